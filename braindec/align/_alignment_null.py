"""Surrogate responses: what the brain might have answered if it had nothing to do with the items, fitted again each time.

Items: each passage (story, stimulus) gets the responses of another one of the same length, so that what passages share
within, content and noise, stays within. Time series, and texts too few or too unlike to change places: phases are
randomised within runs, the same for all channels. One set of surrogates serves all layers, models and scores, so that the
largest of them has a null of its own.

The whole fit is repeated for each surrogate. Giving the *features* of a passage to another one and fitting again is the
same test with the folds renamed; with the responses exchanged, one decomposition of the features serves all surrogates.

Source: Nichols & Holmes 2002 (Human Brain Mapping 15:1) and Winkler et al. 2014 (NeuroImage 92:381) for whole blocks;
Theiler et al. 1992 (Physica D 58:77), Prichard & Theiler 1994 (Phys Rev Lett 73:951) for phases.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import lgamma, log

import numpy as np

from braindec.errors import BraindecError
from braindec.stats.permutation import permute_within
from braindec.stats.surrogates import random_phases, turn_phases

__all__ = ["SLOW", "Surrogates", "make_surrogates", "slowness"]

_SPARE = 20  # so many more arrangements than surrogates are wanted
SLOW = 0.75  # correlation of neighbouring rows above which residuals with turned phases are too calm (7 % at .8, 12 to 20 % at .9)
_SHORTEST = 20  # rows of a run below which phases say nothing


@dataclass(frozen=True, eq=False)
class Surrogates:
    """How to make surrogate responses; number 0 is the responses themselves.

    Parameters
    ----------
    kind : str
        "groups", "phases" or "none".
    orders : array of int, shape (1 + n_surrogates, n), or None
        For "groups": row k of a surrogate is row ``orders[s, k]`` of the responses.
    phases : list
        For "phases": what :func:`braindec.stats.surrogates.random_phases` drew.
    n_rows : int
    words : str
        How they are made, for a report.
    """

    kind: str
    orders: np.ndarray | None
    phases: tuple
    n_rows: int
    words: str

    def __len__(self) -> int:
        """Surrogates, without the responses themselves."""
        return len(self.orders) - 1 if self.orders is not None else len(self.phases)

    def apply(self, Y: np.ndarray, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Responses and surrogates ``start`` to ``stop``, (n_surrogates, n, n_targets)."""
        stop = 1 + len(self) if stop is None else stop
        if self.orders is not None:
            return Y[self.orders[start:stop]]
        made = [Y if s == 0 else turn_phases(Y, self.phases[s - 1]) for s in range(start, stop)]
        return np.stack(made)


def make_surrogates(
    n: int, n_surrogates: int, *, groups: np.ndarray, runs: np.ndarray | None, kind: str, seed: int
) -> Surrogates:
    """Choose and draw the surrogates.

    Parameters
    ----------
    n : int
        Rows.
    groups : array of shape (n,)
        Rows that change places together.
    runs : array of shape (n,), optional
        Groups change places within a run where each of them stands in one and runs hold 5 groups or more; phases are
        drawn for each run.
    kind : {"items", "time"}
        "time" for rows in order whose groups are blocks of no meaning, too: noise that drifts reaches across their borders.
    """
    if int(n_surrogates) != n_surrogates or n_surrogates < 0:
        raise BraindecError("n_surrogates is a whole number of at least 0", found=repr(n_surrogates))
    if not n_surrogates:
        return Surrogates("none", np.arange(n)[None], (), n, "no surrogates")
    if kind == "items":
        labels = np.asarray(groups).astype(str)
        strata, where = _strata(labels, runs)
        if _log_arrangements(strata) >= log(_SPARE * n_surrogates):
            orders = [
                np.arange(n),
                *(_exchanged(labels, strata, np.random.default_rng([seed, 11, s])) for s in range(n_surrogates)),
            ]
            sizes = np.unique(labels, return_counts=True)[1]
            what = "items" if sizes.max() == 1 else "whole groups of items (of one size)"
            return Surrogates("groups", np.stack(orders), (), n, f"responses to {what} exchanged{where}")
    shortest = n if runs is None else int(np.unique(np.asarray(runs).astype(str), return_counts=True)[1].min())
    if shortest < _SHORTEST:
        return Surrogates(
            "none", np.arange(n)[None], (), n, f"too few groups to exchange, and runs of {shortest} rows: no p-values"
        )
    drawn = tuple(random_phases(n, runs=runs, rng=np.random.default_rng([seed, 12, s])) for s in range(n_surrogates))
    return Surrogates("phases", None, drawn, n, "phase-randomised responses" + ("" if runs is None else " of each run"))


def _strata(labels: np.ndarray, runs: np.ndarray | None) -> tuple[dict[str, str], str]:
    """Which groups may change places: those of one size (and run, where that leaves enough)."""
    names, counts = np.unique(labels, return_counts=True)
    size = dict(zip(names.tolist(), counts.tolist(), strict=True))
    strata, where = {g: str(size[g]) for g in size}, ""
    if runs is not None:
        of: dict[str, set[str]] = {}
        for g, r in zip(labels.tolist(), np.asarray(runs).astype(str).tolist(), strict=True):
            of.setdefault(g, set()).add(r)
        if all(len(v) == 1 for v in of.values()) and len(of) >= 5 * len(set().union(*of.values())):
            strata, where = {g: f"{size[g]}/{next(iter(of[g]))}" for g in size}, " within runs"
    return strata, where


def _log_arrangements(strata: dict[str, str]) -> float:
    counts = np.unique(list(strata.values()), return_counts=True)[1]
    return float(sum(lgamma(c + 1) for c in counts))


def _exchanged(labels: np.ndarray, strata: dict[str, str], rng: np.random.Generator) -> np.ndarray:
    """Row numbers after groups of one stratum changed places; the k-th row of a group is the k-th of another."""
    names, codes = np.unique(labels, return_inverse=True)
    codes = codes.reshape(-1)
    new = permute_within(np.arange(len(names)), np.array([strata[g] for g in names.tolist()]), rng)
    order = np.argsort(codes, kind="stable")
    counts = np.bincount(codes)
    starts = np.cumsum(counts) - counts
    place = np.empty(len(codes), dtype=np.int64)
    place[order] = np.arange(len(codes)) - np.repeat(starts, counts)
    return order[starts[new[codes]] + place]


def slowness(Y: np.ndarray, N: np.ndarray, runs: np.ndarray | None) -> np.ndarray:
    """Correlation of neighbouring rows of a run, of what nuisance ``N`` (n, q) leaves of ``Y`` (n, n_targets), (n_targets,)."""
    Z = np.concatenate([np.ones((len(N), 1)), N - N.mean(axis=0)], axis=1)
    rest = Y - Z @ (np.linalg.pinv(Z) @ Y)
    follows = np.ones(len(Y) - 1, dtype=bool) if runs is None else np.asarray(runs)[1:] == np.asarray(runs)[:-1]
    both = (rest[1:] * rest[:-1])[follows].sum(axis=0)
    power = np.sqrt((rest[1:][follows] ** 2).sum(axis=0) * (rest[:-1][follows] ** 2).sum(axis=0))
    return np.divide(both, power, out=np.zeros_like(both), where=power > 0)
