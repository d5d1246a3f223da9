"""Result: scores in a long table, arrays, and how they were made; saved without pickle."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.files import write_text, written_whole
from braindec.types.storage import hdf5, to_json

SCORE_COLUMNS = ("metric", "version", "row", "value", "chance", "low", "high", "p", "n")


@dataclass(frozen=True, eq=False)
class Result:
    """What one unit of work, or a whole run, found.

    Parameters
    ----------
    scores : DataFrame
        Long table, one row a score: the unit's keys (subject, ...), ``metric``, ``version``, ``row`` ("decoded", or
        the name of a control), ``value``, ``chance``, ``low`` and ``high`` (95 % interval), ``p``, ``n``, and more.
    arrays : dict of str to array
        Confusion matrices, retrieval curves, training curves, maps, ... A name may contain "/".
    made_by : dict
        Plain JSON: config, versions, commit, inputs, seconds, host, tables for the report.

    Raises
    ------
    BraindecError
        If a decoded score is not finite or has no chance level, interval or n.
    """

    scores: pd.DataFrame
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    made_by: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        scores = self.scores.reset_index(drop=True).copy()
        for column in SCORE_COLUMNS:
            if column not in scores:
                scores[column] = {"row": "decoded", "version": "1"}.get(column, np.nan)
        object.__setattr__(self, "scores", scores)
        if len(scores):
            decoded = scores[scores["row"] == "decoded"]
            for column in ("value", "chance", "low", "high", "n"):
                bad = decoded[~np.isfinite(decoded[column].astype(float))]
                if len(bad):
                    raise BraindecError(
                        f"a score never stands alone: {column} is missing or not finite",
                        found=f"{len(bad)} rows, first {bad.iloc[0].to_dict()}",
                    )

    def save(self, folder: str | Path) -> Path:
        """Write scores.csv, arrays.h5 and made_by.json into ``folder``; each file is whole or not there."""
        folder = Path(folder)
        memory = io.BytesIO()  # HDF5 can crash when it closes a file on a full disk; plain writing cannot
        with hdf5(memory, "w") as file:
            for name in sorted(self.arrays):
                value = np.asarray(self.arrays[name])
                if value.dtype.kind in "OSU":
                    value = np.array([str(v) for v in value.ravel()], dtype=object).reshape(value.shape)
                    file.create_dataset(name, data=value, dtype=_text_type())
                else:
                    file.create_dataset(name, data=value)
        with written_whole(folder / "arrays.h5") as temporary:
            temporary.write_bytes(memory.getbuffer())
        write_text(folder / "made_by.json", json.dumps(json.loads(to_json(dict(self.made_by))), indent=1))
        write_text(folder / "scores.csv", scores_csv(self.scores))
        return folder

    @staticmethod
    def open(folder: str | Path) -> Result:
        """Read a folder that :meth:`save` wrote."""
        folder = Path(folder)
        if not (folder / "scores.csv").is_file():
            raise BraindecError(f"{folder} holds no result", found="no scores.csv", fix="name a folder of braindec run")
        text = dict.fromkeys(("metric", "version", "row", "subject", "session", "run", "fold"), str)
        try:
            scores = pd.read_csv(folder / "scores.csv", dtype=text, keep_default_na=False, na_values=[""])
        except ValueError as error:
            raise _damaged(folder / "scores.csv", error) from None
        arrays: dict[str, np.ndarray] = {}
        if (folder / "arrays.h5").is_file():
            with hdf5(folder / "arrays.h5", "r") as file:
                file.visititems(
                    lambda name, item: arrays.update({name: _read(item)}) if hasattr(item, "shape") else None
                )
        made_by = {}
        if (folder / "made_by.json").is_file():
            made_by = read_json(folder / "made_by.json")
        return Result(scores, arrays, made_by)

    @staticmethod
    def concat(results: Sequence[Result]) -> pd.DataFrame:
        """Join the score tables of several results; an empty sequence gives an empty table with the right columns."""
        tables = [r.scores for r in results if len(r.scores)]
        return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(SCORE_COLUMNS))

    def __repr__(self) -> str:
        decoded = self.scores[self.scores["row"] == "decoded"]
        short = ", ".join(f"{m} {v:.3f}" for m, v in zip(decoded["metric"], decoded["value"], strict=True))
        return f"<Result {short[:120] or 'no scores'}>"


def read_json(path: str | Path) -> dict[str, Any]:
    """Read a JSON file of a results folder; BraindecError when it is damaged."""
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf8"))
    except ValueError as error:
        raise _damaged(path, error) from None
    if not isinstance(content, dict):
        raise _damaged(path, f"a {type(content).__name__}")
    return content


def _damaged(path: Path, found: object) -> BraindecError:
    return BraindecError(
        f"{path} is damaged", found=str(found), fix="run the same braindec run again: what is damaged is made again"
    )


def scores_csv(scores: pd.DataFrame) -> str:
    """CSV text of a score table; the same numbers give the same bytes."""
    return scores.to_csv(index=False, float_format="%.10g", lineterminator="\n")


def _text_type() -> Any:
    import h5py

    return h5py.string_dtype("utf-8")


def _read(item: Any) -> np.ndarray:
    value = item[()]
    if isinstance(value, bytes):
        return np.asarray(value.decode())
    if isinstance(value, np.ndarray) and value.dtype.kind == "O":
        return np.array([v.decode() if isinstance(v, bytes) else v for v in value.ravel()], dtype=object).reshape(
            value.shape
        )
    return np.asarray(value)
