"""Unit scores: what a unit, head or layer of a language model does, one score a file of ``llm/scores``.

A score reads a :class:`Probe` (the model and named stimuli) and returns a table with one row a unit. Tables of all
scores join on (model, layer, site, index).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from braindec.errors import BraindecError, did_you_mean
from braindec.llm._check import layer_numbers, whole

if TYPE_CHECKING:
    from braindec.llm.load import LanguageModel

__all__ = ["KEYS", "Probe", "UnitScore", "join_scores"]

KEYS = {
    "unit": ("model", "layer", "site", "index"),
    "head": ("model", "layer", "head"),
    "layer": ("model", "layer", "site"),
    "model": ("model",),
}


@dataclass
class Probe:
    """A language model and the stimuli that its units are tried on.

    Parameters
    ----------
    model : LanguageModel
    stimuli : mapping of str to Any
        Named stimulus sets; each score's module docstring says which it reads and in what form.
    sites : sequence of str
        Sites whose units are scored (see :mod:`braindec.llm.sites`).
    layers : sequence of int, optional
        All by default.
    batch_size : int
    seed : int
    untrained : sequence of LanguageModel
        The same architecture with fresh weights, for scores that compare with it.
    options : mapping
        Options of single scores: ``{"lape": {"top": 0.01}}``.
    """

    model: LanguageModel
    stimuli: Mapping[str, Any]
    sites: Sequence[str] = ("mlp_act",)
    layers: Sequence[int] | None = None
    batch_size: int = 32
    seed: int = 0
    untrained: Sequence[LanguageModel] = ()
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    memory: dict[Any, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        from braindec.llm.sites import SITES  # not at the top: torch is only needed where there is a model

        self.sites = (self.sites,) if isinstance(self.sites, str) else tuple(self.sites)
        if wrong := [s for s in self.sites if s not in SITES]:
            raise BraindecError(
                f"there is no site {wrong[0]!r}{did_you_mean(str(wrong[0]), SITES)}", allowed=", ".join(SITES)
            )
        self.layers = layer_numbers(self.layers)
        if beyond := [n for n in self.layers or () if not 0 <= n < self.model.n_layers]:
            raise BraindecError(
                f"{self.model.name} has no layer {beyond[0]}", allowed=f"0 to {self.model.n_layers - 1}"
            )
        whole(self.batch_size, "batch_size", least=1)
        wrong = (
            [k for k, v in self.options.items() if not isinstance(v, Mapping)]
            if isinstance(self.options, Mapping)
            else ["options"]
        )
        if wrong:
            raise BraindecError(f"options of {wrong[0]!r} are no mapping", allowed='e.g. {"lape": {"top": 0.01}}')

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """Return ``make()``, computed at most once for ``key``: scores that need the same activations share them."""
        if key not in self.memory:
            self.memory[key] = make()
        return self.memory[key]

    def need(self, name: str) -> Any:
        """Return the stimuli called ``name``.

        Raises
        ------
        BraindecError
            If there are none.
        """
        if name not in self.stimuli:
            raise BraindecError(
                f"the probe has no stimuli called {name!r}",
                found=", ".join(map(repr, self.stimuli)) or "none",
                fix=f"add them: Probe(model, {{{name!r}: ...}})",
            )
        return self.stimuli[name]


@dataclass(frozen=True)
class UnitScore:
    """A versioned score of units.

    Parameters
    ----------
    name, version : str
        The version changes when numbers would.
    level : {"unit", "head", "layer", "model"}
        What a row is; :data:`KEYS` has the columns that name it.
    needs : tuple of str
        Names of the stimuli that it reads from the probe.
    function : callable
        ``function(probe) -> DataFrame``: the key columns, a column ``name`` with the score, and others that begin
        with ``name_`` (``name_p``, ``name_q``, ``name_selected``, ...). Undefined values are NaN.
    describe : str
        One line for the report.
    source : str
        Authors, year.
    """

    name: str
    version: str
    level: str
    needs: tuple[str, ...]
    function: Callable[[Probe], pd.DataFrame]
    describe: str
    source: str

    def __call__(self, probe: Probe) -> pd.DataFrame:
        """Return the table of this score, checked: keys present and unique, columns named after the score."""
        table = self.function(probe)
        keys = list(KEYS[self.level])
        if missing := [c for c in (*keys, self.name) if c not in table]:
            raise BraindecError(f"the score {self.name} gave no column {', '.join(missing)}", found=", ".join(table))
        strange = [c for c in table if c not in keys and c != self.name and not c.startswith(f"{self.name}_")]
        if strange:
            raise BraindecError(f"columns of the score {self.name} must begin with its name", found=", ".join(strange))
        if table.duplicated(keys).any():
            raise BraindecError(f"the score {self.name} names a {self.level} twice")
        return table.reset_index(drop=True)


def join_scores(tables: Mapping[str, pd.DataFrame], level: str = "unit") -> pd.DataFrame:
    """Join tables of scores of one level: one row a unit, NaN where a score has none.

    Parameters
    ----------
    tables : mapping of score name to DataFrame
    level : {"unit", "head", "layer", "model"}
    """
    keys = list(KEYS[level])
    joined: pd.DataFrame | None = None
    for table in tables.values():
        joined = table if joined is None else joined.merge(table, on=keys, how="outer", validate="one_to_one")
    if joined is None:
        return pd.DataFrame(columns=keys)
    return joined.sort_values(keys, kind="stable").reset_index(drop=True)
