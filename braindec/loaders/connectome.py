"""Connectomes: who makes how many synapses onto whom, from edge lists or matrices of counts.

Edge lists (.csv, .tsv) have the columns pre, post, type (chemical or electrical) and synapses; JSON files hold matrices
``chemical`` and ``electrical`` with the presynaptic neurons in rows, and ``chemical_sign`` of the presynaptic neurons where
it is known. An electrical synapse that a list names from one side is taken for both.

Source of the form of the files: White et al. 1986 (Phil Trans R Soc B 314:1); Witvliet et al. 2021 (Nature 596:257).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, UnreadableError, did_you_mean
from braindec.loaders import _files

__all__ = ["GABA_C_ELEGANS", "Connectome", "read_connectome"]

_TYPES = ("chemical", "electrical")
_COLUMNS = ("pre", "post", "type", "synapses")
# McIntire et al. 1993 (Nature 364:334): the 26 GABAergic neurons of C. elegans
GABA_C_ELEGANS = ("DD*", "VD*", "RME*", "AVL", "DVB", "RIS")


@dataclass(frozen=True, eq=False)
class Connectome:
    """Synapses among neurons.

    Parameters
    ----------
    names : list of str
        The neurons.
    chemical : array of shape (n, n)
        Chemical synapses from row to column.
    electrical : array of shape (n, n)
        Gap junctions, symmetric.
    sign : array of shape (n,), optional
        1 for excitatory and -1 for inhibitory neurons; None where nobody said.
    notes : list of str
        What a reader must know.
    """

    names: list[str]
    chemical: np.ndarray
    electrical: np.ndarray
    sign: np.ndarray | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def signed(self) -> np.ndarray:
        """Chemical synapses with the sign of their presynaptic neuron, (n, n).

        Raises
        ------
        BraindecError
            If signs are not known.
        """
        if self.sign is None:
            raise BraindecError(
                "the signs of these neurons are not known", fix="read_connectome(..., inhibitory=[...])"
            )
        return self.chemical * self.sign[:, None]

    def index(self, name: str) -> int:
        """Return the row of a neuron."""
        if name not in self.names:
            raise BraindecError(
                f"there is no neuron {name!r}{did_you_mean(name, self.names)}", found=f"{len(self.names)} neurons"
            )
        return self.names.index(name)

    def __repr__(self) -> str:
        sign = "signs unknown" if self.sign is None else f"{int((self.sign < 0).sum())} inhibitory"
        return (
            f"<Connectome {len(self.names)} neurons, {int((self.chemical > 0).sum())} chemical and "
            f"{int((np.triu(self.electrical) > 0).sum())} electrical connections, {sign}>"
        )


def read_connectome(
    path: str | Path,
    *,
    names: Sequence[str] | None = None,
    drop: Sequence[str] = (),
    inhibitory: Sequence[str] | None = None,
) -> Connectome:
    """Read a connectome.

    Parameters
    ----------
    path : str or Path
        An edge list (.csv or .tsv, separated by commas or tabs) or a .json file of matrices.
    names : sequence of str, optional
        The neurons: of a matrix without names, in its order; of an edge list, those that are wanted, in order (an edge of
        another neuron is refused). By default those of the file, sorted; of a matrix ``neuron000``, ...
    drop : sequence of str
        Names, or patterns with ``*``, that are left out with their synapses (muscles, glia).
    inhibitory : sequence of str, optional
        Names, or patterns with ``*``, of inhibitory neurons; all others are then excitatory. By default what the file says.

    Returns
    -------
    Connectome

    Raises
    ------
    UnreadableError
        If the file is not of one of the two forms.
    BraindecError
        If neurons are missing, a type is unknown, a count is negative or not finite, a matrix is not square, or sizes differ.
    """
    path = _files.existing(path)
    if path.is_dir() or path.suffix.lower() not in (".csv", ".tsv", ".json"):
        raise UnreadableError(
            f"{path} is no connectome",
            found="a folder" if path.is_dir() else f"ending {path.suffix}",
            allowed=".csv, .tsv, .json",
        )
    if path.stat().st_size == 0:
        raise UnreadableError(f"{path} is empty (0 bytes)", fix="copy the file again")
    read = _matrices if path.suffix.lower() == ".json" else _edges
    found = read(path, None if names is None else [str(n) for n in names], [str(d) for d in drop])
    if inhibitory is None:
        return found
    sign = np.ones(len(found.names))
    for asked in inhibitory:
        matched = [i for i, n in enumerate(found.names) if fnmatchcase(n, str(asked))]
        if not matched:
            raise BraindecError(
                f"inhibitory: no neuron is called {asked!r}{did_you_mean(str(asked), found.names)}",
                found=f"{len(found.names)} neurons",
            )
        sign[matched] = -1
    return Connectome(found.names, found.chemical, found.electrical, sign, found.notes)


def _edges(path: Path, names: list[str] | None, drop: list[str]) -> Connectome:
    table = _edge_table(path)
    notes: list[str] = []
    every = sorted(set(table["pre"]) | set(table["post"]))
    gone = _matching(every, drop, path)
    table = table[~table["pre"].isin(gone) & ~table["post"].isin(gone)]
    kept = [n for n in every if n not in gone]
    if names is not None:
        unknown = sorted(set(kept) - set(names))
        if unknown:
            raise BraindecError(
                f"{path.name} holds {len(unknown)} neurons that are not among the names", found=", ".join(unknown[:8]) + (" ..." if len(unknown) > 8 else ""),
                fix="add them to names, or leave them out: drop=[...]",
            )  # fmt: skip
        silent = [n for n in names if n not in kept]
        if silent:
            notes.append(
                f"{len(silent)} of {len(names)} neurons have no synapse in {path.name}: {', '.join(silent[:6])}"
            )
        kept = _unique(names, "names")
    place = {n: i for i, n in enumerate(kept)}
    twice = int(table.duplicated(["pre", "post", "type"]).sum())
    if twice:
        notes.append(f"{path.name}: {twice} connections stand more than once; their synapses are added")
    matrices = {t: np.zeros((len(kept), len(kept))) for t in _TYPES}
    for kind, part in table.groupby("type"):
        np.add.at(
            matrices[str(kind)], (part["pre"].map(place), part["post"].map(place)), part["synapses"].to_numpy(float)
        )
    return Connectome(kept, matrices["chemical"], _both_sides(matrices["electrical"], path, notes), None, notes)


def _edge_table(path: Path) -> pd.DataFrame:
    try:
        with path.open(encoding="utf-8-sig") as file:
            separator = "\t" if "\t" in file.readline() else ","
        table = pd.read_csv(path, sep=separator, dtype=str, encoding="utf-8-sig", keep_default_na=False)
    except (pd.errors.ParserError, UnicodeDecodeError) as error:
        raise UnreadableError(f"{path} cannot be read as a table", found=str(error).splitlines()[0]) from error
    table.columns = [str(c).strip() for c in table.columns]
    lacking = [c for c in _COLUMNS if c not in table]
    if lacking:
        raise UnreadableError(
            f"{path} is no list of connections: it has no column {lacking[0]!r}",
            found=", ".join(table.columns[:8]),
            allowed=", ".join(_COLUMNS),
        )
    if not len(table):
        raise UnreadableError(f"{path} holds no connection")
    for column in ("pre", "post", "type"):
        table[column] = table[column].str.strip()
    for column in ("pre", "post"):
        empty = (table[column] == "").to_numpy()
        if empty.any():
            raise BraindecError(
                f"{path.name}: {int(empty.sum())} connections name no {column} neuron",
                found=f"the first in line {int(empty.argmax()) + 2}",
            )
    unknown = sorted(set(table["type"]) - set(_TYPES))
    if unknown:
        raise BraindecError(
            f"{path.name}: unknown type of synapse {unknown[0]!r}{did_you_mean(unknown[0], _TYPES)}",
            found=", ".join(unknown[:6]),
            allowed=", ".join(_TYPES),
        )
    counts = pd.to_numeric(table["synapses"], errors="coerce").to_numpy(float)
    wrong = ~np.isfinite(counts) | (counts < 0)
    if wrong.any():
        line = int(wrong.argmax())
        raise BraindecError(f"{path.name}: {int(wrong.sum())} numbers of synapses are negative or no numbers",
                            found=f"{table['synapses'].iloc[line]!r} in line {line + 2}", allowed="0 or more")  # fmt: skip
    return table.assign(synapses=counts)


def _matrices(path: Path, names: list[str] | None, drop: list[str]) -> Connectome:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UnreadableError(f"{path} is not JSON", found=str(error)[:120]) from error
    if not isinstance(content, dict) or "chemical" not in content:
        keys = ", ".join(list(content)[:8]) if isinstance(content, dict) else type(content).__name__
        raise UnreadableError(
            f"{path} holds no matrix 'chemical'", found=keys, allowed="chemical, electrical, chemical_sign, names"
        )
    chemical = _square(content["chemical"], "chemical", path)
    n, notes = len(chemical), []
    electrical = _square(content["electrical"], "electrical", path) if "electrical" in content else np.zeros((n, n))
    if electrical.shape != chemical.shape:
        raise BraindecError(
            f"{path.name}: the matrices differ in size", found=f"{chemical.shape} and {electrical.shape}"
        )
    given = content.get("names") if names is None else names
    if given is not None and len(given) != n:
        raise BraindecError(f"{path.name}: names do not fit the matrix", found=f"{len(given)} names for {n} neurons")
    if given is None:
        notes.append(f"{path.name} does not name its neurons: they are numbered")
    called = _unique([str(v) for v in given], "names") if given is not None else [f"neuron{i:03d}" for i in range(n)]
    sign = None
    if "chemical_sign" in content:
        sign = np.asarray(content["chemical_sign"], dtype=float)
        if sign.shape != (n,) or not np.isin(sign, (-1, 1)).all():
            raise BraindecError(
                f"{path.name}: chemical_sign must hold 1 or -1 for each neuron", found=f"shape {sign.shape}"
            )
    gone = set(_matching(called, drop, path))
    keep = np.array([c not in gone for c in called])
    electrical = _both_sides(electrical[np.ix_(keep, keep)], path, notes)
    return Connectome(
        [c for c in called if c not in gone],
        chemical[np.ix_(keep, keep)],
        electrical,
        None if sign is None else sign[keep],
        notes,
    )


def _square(values: Any, name: str, path: Path) -> np.ndarray:
    try:
        matrix = np.asarray(values, dtype=float)
    except (ValueError, TypeError) as error:
        raise BraindecError(f"{path.name}: {name} is no matrix of numbers", found=str(error)[:100]) from error
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise BraindecError(f"{path.name}: {name} is not square", found=f"shape {matrix.shape}")
    if not np.isfinite(matrix).all() or matrix.min(initial=0) < 0:
        raise BraindecError(
            f"{path.name}: {name} holds numbers of synapses that are negative or not finite", allowed="0 or more"
        )
    return matrix


def _both_sides(matrix: np.ndarray, path: Path, notes: list[str]) -> np.ndarray:
    """Gap junctions have no direction: the larger of the two entries stands on both sides."""
    apart = int((np.triu(matrix, 1) != np.tril(matrix, -1).T).sum())
    if apart:
        notes.append(
            f"{path.name}: {apart} electrical connections are named from one side only, or differently; the larger number is taken for both"
        )
    return np.maximum(matrix, matrix.T)


def _matching(names: Sequence[str], patterns: Sequence[str], path: Path) -> list[str]:
    for pattern in patterns:
        if not any(fnmatchcase(n, pattern) for n in names):
            raise BraindecError(f"drop: {path.name} has no neuron {pattern!r}{did_you_mean(pattern, names)}")
    return [n for n in names if any(fnmatchcase(n, p) for p in patterns)]


def _unique(names: Sequence[str], what: str) -> list[str]:
    twice = sorted({n for n in names if list(names).count(n) > 1})
    if twice:
        raise BraindecError(f"{what} stand twice: {', '.join(twice[:5])}")
    return list(names)
