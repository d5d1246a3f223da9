"""What lies in a results folder, read so that a missing or damaged part is told and the rest still shown."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.types.result import SCORE_COLUMNS

_TEXT = dict.fromkeys(("metric", "version", "row", "subject", "session", "run", "fold"), str)
_SHORT = {"subject": "sub", "session": "ses"}

NAMED = {"model", "cohort", "recording", "network"}  # units that are called by their value alone
_NOUNS = {"subject", "liquid", "population", *NAMED}


@dataclass(frozen=True)
class UnitRecord:
    """One finished unit of work.

    Parameters
    ----------
    name : str
        Its folder, e.g. "subject-01".
    keys : dict
        What it is, e.g. {"subject": "01"}.
    scores : DataFrame
        The long table of :class:`braindec.types.Result`.
    made_by : dict
        How it was made, with overview, audit, panels.
    folder : Path
        Where its arrays are.
    problems : list of str
        What could not be read.
    """

    name: str
    keys: Mapping[str, str]
    scores: pd.DataFrame
    made_by: Mapping[str, Any]
    folder: Path
    problems: list[str] = field(default_factory=list)

    @property
    def label(self) -> str:
        """Its name for people, e.g. "sub-01"."""
        return unit_label(self.keys) or self.name

    @property
    def findings(self) -> list[dict[str, Any]]:
        """What the audit found."""
        return list((self.made_by.get("audit") or {}).get("findings") or [])

    def arrays(self) -> Arrays:
        """Its arrays, read one by one when asked for."""
        return Arrays(self.folder / "arrays.h5")


class Arrays:
    """Arrays of an HDF5 file by name; a file that is missing or damaged is told when an array is asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._names: list[str] | None = None

    def names(self) -> list[str]:
        """Names of all arrays."""
        from braindec.types.storage import hdf5

        if self._names is None:
            found: list[str] = []
            with hdf5(self.path, "r") as file:
                file.visititems(lambda name, item: found.append(name) if hasattr(item, "shape") else None)
            self._names = found
        return self._names

    def __getitem__(self, name: str) -> np.ndarray:
        """Read one array.

        Raises
        ------
        BraindecError
            If the file or the name is not there.
        """
        from braindec.errors import did_you_mean
        from braindec.types.storage import hdf5

        if not self.path.is_file():
            raise BraindecError(
                f"the array {name!r} is not there: {self.path.name} is missing", fix="run this unit again"
            )
        if name not in self.names():
            raise BraindecError(
                f"{self.path.name} has no array {name!r}{did_you_mean(name, self.names())}",
                allowed=", ".join(self.names()[:20]) or "it is empty",
            )
        with hdf5(self.path, "r") as file:
            value = file[name][()]
        if isinstance(value, bytes):
            return np.asarray(value.decode())
        if isinstance(value, np.ndarray) and value.dtype.kind == "O":
            return np.array([v.decode() if isinstance(v, bytes) else v for v in value.ravel()], dtype=object).reshape(
                value.shape
            )
        return np.asarray(value)


@dataclass(frozen=True)
class RunRecord:
    """All of a results folder.

    Parameters
    ----------
    folder : Path
        The folder.
    made_by : dict
        made_by.json over request.json: recipe, title, question, config, versions, ...
    units : list of UnitRecord
        Finished units, in natural order of their names.
    failures : list of dict
        label and error of each unit that failed.
    summary : UnitRecord or None
        The result over all units.
    notes : list of str
        What a reader should know of the folder itself.
    """

    folder: Path
    made_by: Mapping[str, Any]
    units: list[UnitRecord]
    failures: list[dict[str, str]]
    summary: UnitRecord | None
    notes: list[str]

    @property
    def noun(self) -> tuple[str, str]:
        """What a unit is, singular and plural."""
        keys = {tuple(u.keys) for u in self.units}
        one = next(iter(keys)) if len(keys) == 1 else ("subject",) if not keys else ()
        return (one[0], f"{one[0]}s") if len(one) == 1 and one[0] in _NOUNS else ("unit", "units")


def read_run(folder: str | Path) -> RunRecord:
    """Read a results folder.

    Raises
    ------
    BraindecError
        If there is no such folder, or nothing of a run in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise BraindecError(f"there is no folder {folder}", fix="name a folder of braindec run")
    notes: list[str] = []
    request, made_by = _json(folder / "request.json", notes), _json(folder / "made_by.json", notes)
    places = sorted((p for p in folder.glob("units/*") if p.is_dir()), key=lambda p: natural(p.name))
    if not (places or made_by or request or (folder / "scores.csv").is_file()):
        raise BraindecError(
            f"{folder} holds no results",
            found="no made_by.json, scores.csv or units/",
            fix="name a folder of braindec run",
        )
    left_out = {str(name) for name in made_by.get("left_out") or []}
    if left_out:
        notes.append(
            f"Made with other settings or another version of the recipe, therefore not shown (the same command runs them again): {', '.join(sorted(left_out, key=natural))}."
        )
    failures, units = _failure_table(folder / "failures.csv", notes), []
    for place in (p for p in places if p.name not in left_out):
        status = _json(place / "status.json", notes)
        if status.get("state") == "failed":
            _add(failures, unit_label(status.get("unit")) or place.name, status.get("error"))
        elif (place / "scores.csv").is_file() and status.get("state", "done") == "done":
            try:
                units.append(read_unit(place))
            except BraindecError as error:
                _add(failures, unit_label(status.get("unit")) or place.name, str(error))
        else:
            notes.append(f"{place.name} is not finished: the same command goes on from there.")
    summary = _read_summary(folder / "summary", notes) if units or not left_out else None  # a mean of what is not shown
    return RunRecord(folder, _well_formed({**request, **made_by}, notes), units, failures, summary, notes)


def read_unit(folder: Path) -> UnitRecord:
    """Read one unit's folder; a damaged made_by.json is a problem that is told, a damaged score table an error."""
    problems: list[str] = []
    made_by = _json(folder / "made_by.json", problems)
    try:
        scores = pd.read_csv(folder / "scores.csv", dtype=_TEXT, keep_default_na=False, na_values=[""])
    except (OSError, ValueError) as error:
        raise BraindecError(
            f"{folder / 'scores.csv'} cannot be read", found=str(error), fix="run this unit again"
        ) from None
    missing = [c for c in ("metric", "value") if c not in scores]
    if missing:
        raise BraindecError(
            f"{folder / 'scores.csv'} has no column {missing[0]!r}",
            found=", ".join(map(str, scores.columns)) or "no columns",
        )
    for column in SCORE_COLUMNS:
        if column not in scores:
            scores[column] = {"row": "decoded", "version": "1"}.get(column, np.nan)
    for column in ("value", "chance", "low", "high", "p", "n"):
        scores[column] = pd.to_numeric(scores[column], errors="coerce")
    made_by = _well_formed(made_by, problems)
    keys = made_by.get("unit") or {
        c: str(scores[c].iloc[0]) for c in ("subject", "session", "fold") if c in scores and len(scores)
    }
    return UnitRecord(folder.name, {str(k): str(v) for k, v in keys.items()}, scores, made_by, folder, problems)


_KINDS = dict.fromkeys(("unit", "overview", "audit", "versions", "inputs", "config"), dict) | dict.fromkeys(
    ("panels", "citations"), list
)


def _well_formed(made_by: dict[str, Any], problems: list[str]) -> dict[str, Any]:
    """Leave out parts that are of another kind than the page expects, and say so."""
    kept = {}
    for key, value in made_by.items():
        kind = _KINDS.get(key)
        whole = value is None or kind is None or isinstance(value, kind)
        if key == "audit" and isinstance(value, dict):
            findings = value.get("findings", [])
            whole = isinstance(findings, list) and all(isinstance(f, dict) for f in findings)
        if whole:
            kept[key] = value
        else:
            problems.append(
                f"made_by.json: {key} is a {type(value).__name__} where a {kind.__name__} is meant; not used."
            )
    return kept


def unit_label(keys: Mapping[str, Any] | None) -> str:
    """Return a unit's name for people: ``sub-01``, ``sub-01 fold-2``, ``tiny-gpt2``."""
    if keys and set(keys) <= NAMED:
        return " ".join(str(v) for v in keys.values())
    return " ".join(f"{_SHORT.get(str(k), str(k))}-{v}" for k, v in (keys or {}).items())


def natural(text: str) -> list[tuple[int, int, str]]:
    """Key to sort names so that subject-2 comes before subject-10."""
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in re.split(r"(\d+)", text) if part]


def unique(values: Iterable[Any]) -> list[str]:
    """The texts that occur, each once, in order."""
    return list(dict.fromkeys(str(v) for v in values))


def _read_summary(folder: Path, notes: list[str]) -> UnitRecord | None:
    if not (folder / "scores.csv").is_file():
        return None
    try:
        return read_unit(folder)
    except BraindecError as error:
        notes.append(f"The summary over all units cannot be shown: {error}")
        return None


def _failure_table(path: Path, notes: list[str]) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError):
        notes.append(f"{path.name} cannot be read.")
        return []
    failures: list[dict[str, str]] = []
    for row in table.to_dict("records"):
        keys = {k: v for k, v in row.items() if k != "error"}
        _add(failures, unit_label(keys) or "unit", row.get("error"))
    return failures


def _add(failures: list[dict[str, str]], label: str, error: Any) -> None:
    if all(f["label"] != label for f in failures):
        failures.append({"label": label, "error": str(error or "no message was kept")})


def _json(path: Path, notes: list[str]) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf8"))
    except (OSError, ValueError):
        notes.append(f"{path.parent.name}/{path.name} is damaged and was not used.")
        return {}
    return content if isinstance(content, dict) else {}
