"""One table of everything that is known about the units of a language model: all scores, joined, saved and summarised.

Each registered score (``braindec list llm.scores``) runs on one :class:`~braindec.llm.score.Probe`. Scores whose stimuli the
probe lacks are listed with what they need; a score that fails is listed with its reason and takes no other with it.
Rows of the joined table are named by (model, layer, site, index), the columns that
:func:`~braindec.llm.extract.extract` gives its units, so that weights, maps and correlations with a brain join on them. A
head has site "head" and its number as index; a score of a whole layer stands in a row with index -1; a score of the model
in a row with site "model", layer -1 and index -1.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from braindec import registry
from braindec.errors import BraindecError, did_you_mean
from braindec.files import written_whole
from braindec.llm.score import KEYS, Probe, UnitScore, join_scores
from braindec.types import Features

__all__ = ["UNIT", "UnitTable", "unit_table"]

UNIT = list(KEYS["unit"])
HEAD, MODEL, WHOLE = "head", "model", -1
_ABOUT = ["score", "version", "level", "status", "needs", "reason", "seconds", "rows", "describe", "source"]


@dataclass(frozen=True, eq=False)
class UnitTable:
    """Scores of the units of one or several models.

    Parameters
    ----------
    wide : DataFrame
        model, layer, site, index, and the columns of all scores; NaN where a score has no such row.
    about : DataFrame
        One row a score: score, version, level, status ("done", "lacking", "failed"), needs, reason, seconds, rows,
        describe, source.
    """

    wide: pd.DataFrame
    about: pd.DataFrame = field(repr=False)

    @property
    def scores(self) -> list[str]:
        """Names of the scores that are in the table."""
        return self.about.loc[self.about["status"] == "done", "score"].drop_duplicates().tolist()

    def columns_of(self, score: str) -> list[str]:
        """Return the columns that ``score`` made: of names that fit, the longest owns a column."""
        names = self.scores
        if score not in names:
            raise BraindecError(f"the table has no score {score!r}", allowed=", ".join(names) or "none was made")
        owner = {c: max((n for n in names if c == n or c.startswith(f"{n}_")), key=len, default="") for c in self.wide}
        return [c for c in self.wide if owner[c] == score]

    def level(self, level: str) -> pd.DataFrame:
        """Return the scores of one level ("unit", "head", "layer", "model"), named by that level's own keys."""
        if level not in KEYS:
            raise BraindecError(f"there is no level {level!r}", allowed=", ".join(KEYS))
        whole, site = self.wide["index"] == WHOLE, self.wide["site"]
        rows = {"unit": ~whole & (site != HEAD), "head": site == HEAD, "model": whole & (site == MODEL)}
        rows["layer"] = whole & (site != MODEL)
        done = self.about[(self.about["status"] == "done") & (self.about["level"] == level)]
        columns = [c for score in done["score"].drop_duplicates() for c in self.columns_of(score)]
        part = self.wide[rows[level]].rename(columns={"index": "head"} if level == "head" else {})
        return part[[*KEYS[level], *columns]].reset_index(drop=True)

    def long(self) -> pd.DataFrame:
        """Return one row a number: model, layer, site, index, score, column, value (numbers and flags only)."""
        parts = []
        for score in self.scores:
            for column in self.columns_of(score):
                values = _as_numbers(self.wide[column])
                if values is not None and values.notna().any():
                    known = values.notna().to_numpy()
                    part = self.wide.loc[known, UNIT].assign(score=score, column=column, value=values[known])
                    parts.append(part)
        return (
            pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=[*UNIT, "score", "column", "value"])
        )

    def summary(self) -> pd.DataFrame:
        """Return each score by layer: model, layer, site, score, n, n_missing, mean, sd, median, low, high, selected.

        ``low`` and ``high`` are the 5th and 95th percentile over units, ``selected`` the share of units that the score
        selects (column ``<score>_selected`` or ``<score>_flag``; NaN when it has none).
        """
        rows = []
        for score in self.scores:
            level = self.about.loc[self.about["score"] == score, "level"].iloc[0]
            part = self.level(level).assign(**({"site": HEAD} if level == "head" else {}))
            part = part.assign(**({"site": MODEL, "layer": WHOLE} if level == "model" else {}))
            chosen = next((c for c in (f"{score}_selected", f"{score}_flag") if c in part), None)
            for keys, group in part.groupby(["model", "layer", "site"], sort=True):
                values = pd.to_numeric(group[score], errors="coerce").dropna()
                if not len(values) and level != "model" and group[self.columns_of(score)].isna().all(axis=None):
                    continue  # the score does not look at this site
                low, high = values.quantile([0.05, 0.95]) if len(values) else (np.nan, np.nan)
                marked = np.nan if chosen is None else group[chosen].dropna().astype(float).mean()
                rows.append((*keys, score, len(group), len(group) - len(values), values.mean(), values.std(),
                             values.median(), low, high, marked))  # fmt: skip
        names = ["n", "n_missing", "mean", "sd", "median", "low", "high", "selected"]
        return pd.DataFrame(rows, columns=["model", "layer", "site", "score", *names])

    def attach(self, units: pd.DataFrame, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Return ``units`` (of Features, of encoding weights, ...) with the scores of each, in the same order.

        Raises
        ------
        BraindecError
            If ``units`` lacks one of the columns model, layer, site, index.
        """
        if missing := [c for c in UNIT if c not in units]:
            raise BraindecError(f"units are joined on {', '.join(UNIT)}; no {', '.join(missing)}",
                                found=", ".join(map(str, units)))  # fmt: skip
        wanted = [c for c in self.wide if c not in UNIT] if columns is None else list(columns)
        if absent := [c for c in wanted if c not in self.wide]:
            raise BraindecError(f"the table has no column {absent[0]!r}{did_you_mean(absent[0], self.wide)}",
                                allowed=", ".join(c for c in self.wide if c not in UNIT))  # fmt: skip
        return units.merge(self.wide[[*UNIT, *wanted]], on=UNIT, how="left", validate="many_to_one")

    def save(self, path: str | Path) -> UnitTable:
        """Write a ``.csv`` (with the scores' own table beside it, ``-scores.csv``) or an HDF5 file of Features.

        In HDF5 the items are the numeric columns, the units the rows, and columns of text stand in the units table;
        numbers are float32. Returns the table read back.
        """
        path = Path(path)
        if path.suffix == ".csv":
            for where, table in ((path, self.wide), (_beside(path), self.about)):
                with written_whole(where) as temporary:
                    temporary.write_text(
                        table.to_csv(index=False, float_format="%.10g", lineterminator="\n"), encoding="utf8"
                    )
        else:
            self.features().save(path)
        return UnitTable.open(path)

    @staticmethod
    def open(path: str | Path) -> UnitTable:
        """Read what :meth:`save` wrote."""
        path = Path(path)
        if not path.is_file():
            raise BraindecError(f"there is no unit table {path}")
        if path.suffix != ".csv":
            return _of_features(Features.open(path))
        if not _beside(path).is_file():
            raise BraindecError(
                f"{path} is no unit table", found=f"no {_beside(path).name}", fix="UnitTable.save(path)"
            )
        wide, about = (_read_csv(path, UNIT), _read_csv(_beside(path), ["score", "version", "level", "status"]))
        return UnitTable(wide, about.fillna({"needs": "", "reason": ""}))

    def features(self) -> Features:
        """Return the numeric columns as Features: one item a column, one unit a row, joinable with those of a model."""
        numbers = {c: v for c in self.wide if c not in UNIT and (v := _as_numbers(self.wide[c])) is not None}
        text = [c for c in self.wide if c not in UNIT and c not in numbers]
        if not numbers:
            raise BraindecError("the unit table holds no numbers", found=f"{len(self.wide)} rows, no score was made",
                                fix="see table.about for the reasons")  # fmt: skip
        values = np.stack([v.to_numpy(dtype=np.float32) for v in numbers.values()])
        flags = [c for c in numbers if _is_flag(self.wide[c])]
        info = {"kind": "unit table", "about": self.about.to_dict("list"), "columns": list(self.wide), "flags": flags}
        units = self.wide[[*UNIT, *text]].fillna(dict.fromkeys(text, ""))
        return Features(
            values, pd.DataFrame({"stimulus_id": list(numbers)}), units, json.loads(json.dumps(info, default=str))
        )

    @staticmethod
    def concat(tables: Sequence[UnitTable]) -> UnitTable:
        """Stack the tables of several models; a model may stand in one of them only."""
        if not len(tables):
            raise BraindecError("there are no unit tables to stack")
        names = [n for t in tables for n in t.wide["model"].unique()]
        if twice := sorted({n for n in names if names.count(n) > 1}):
            raise BraindecError(f"two tables hold the model {twice[0]!r}", fix="give each model a name of its own")
        about = pd.concat([t.about for t in tables], ignore_index=True)
        order = {"done": 0, "failed": 1, "lacking": 2}
        about = about.sort_values(
            ["score", "status"], key=lambda c: c.map(order) if c.name == "status" else c, kind="stable"
        )
        return UnitTable(
            pd.concat([t.wide for t in tables], ignore_index=True),
            about.drop_duplicates("score").reset_index(drop=True),
        )


def unit_table(probe: Probe, scores: Sequence[str] | None = None) -> UnitTable:
    """Run scores on a model and join them.

    Parameters
    ----------
    probe : Probe
    scores : sequence of str, optional
        Names of registered scores; all of them by default.

    Returns
    -------
    UnitTable
        ``about`` says which scores were made, which lack stimuli (and which those are) and which failed (and why).

    Raises
    ------
    BraindecError
        If a name in ``scores`` is unknown.
    """
    names = registry.names("llm.scores") if scores is None else [scores] if isinstance(scores, str) else list(scores)
    for name in names:
        registry.check("llm.scores", name)
    tables: dict[str, dict[str, pd.DataFrame]] = {level: {} for level in KEYS}
    about = []
    for name in tqdm(names, desc="unit scores", disable=None):
        row, table = _one(name, probe)
        about.append(row)
        if table is not None:
            tables[row["level"]][name] = table
    return UnitTable(_joined(tables), pd.DataFrame(about, columns=_ABOUT))


def _one(name: str, probe: Probe) -> tuple[dict[str, Any], pd.DataFrame | None]:
    """Return what there is to say of a score, and its table or None."""
    row: dict[str, Any] = dict.fromkeys(_ABOUT, "") | {"score": name, "status": "failed", "seconds": 0.0, "rows": 0}
    began = time.perf_counter()
    try:
        score: UnitScore = registry.get("llm.scores", name)
        row |= {"version": score.version, "level": score.level, "needs": ", ".join(score.needs),
                "describe": score.describe, "source": score.source}  # fmt: skip
        if lacking := [n for n in score.needs if n not in probe.stimuli]:
            return row | {"status": "lacking", "reason": f"needs the stimuli {', '.join(lacking)}"}, None
        table = score(probe)
    except Exception as error:  # one score must not take the others with it; its name and reason are in the table
        said = str(error)
        if isinstance(error, BraindecError):
            said = f"{error.asked} ({error.found})" if error.found else error.asked
        kind = "" if isinstance(error, BraindecError) else f"{type(error).__name__}: "
        return row | {"reason": kind + " ".join(said.split()), "seconds": time.perf_counter() - began}, None
    return row | {"status": "done", "seconds": time.perf_counter() - began, "rows": len(table)}, table


def _joined(tables: Mapping[str, Mapping[str, pd.DataFrame]]) -> pd.DataFrame:
    """Join the tables of each level and put the levels below one another, named by the keys of units."""
    parts = [join_scores(tables["unit"], "unit")]
    parts.append(join_scores(tables["head"], "head").rename(columns={"head": "index"}).assign(site=HEAD))
    parts.append(join_scores(tables["layer"], "layer").assign(index=WHOLE))
    parts.append(join_scores(tables["model"], "model").assign(layer=WHOLE, site=MODEL, index=WHOLE))
    parts = [p for p in parts if len(p)]
    if not parts:
        return pd.DataFrame(columns=UNIT)
    wide = pd.concat(parts, ignore_index=True)
    wide[["layer", "index"]] = wide[["layer", "index"]].astype(int)
    return wide[[*UNIT, *(c for c in wide if c not in UNIT)]]


def _is_flag(column: pd.Series) -> bool:
    known = column.dropna()
    return bool(len(known)) and known.map(lambda v: isinstance(v, (bool, np.bool_))).all()


def _as_numbers(column: pd.Series) -> pd.Series | None:
    """Return a column as float (flags as 0 and 1), None when it holds text."""
    if pd.api.types.is_numeric_dtype(column) or _is_flag(column):
        return column.astype(float)
    return pd.Series(np.nan, index=column.index) if column.isna().all() else None


def _read_csv(path: Path, need: Sequence[str]) -> pd.DataFrame:
    try:
        table = pd.read_csv(
            path, keep_default_na=False, na_values=[""], dtype={"model": str, "site": str, "version": str}
        )
    except (ValueError, UnicodeDecodeError) as error:
        raise BraindecError(f"{path} is no unit table", found=str(error).split("\n")[0][:100]) from error
    if missing := [c for c in need if c not in table]:
        raise BraindecError(
            f"{path} is no unit table", found=f"no column {', '.join(missing)}", fix="UnitTable.save(path)"
        )
    return table


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.stem}-scores.csv")


def _of_features(features: Features) -> UnitTable:
    if features.info.get("kind") != "unit table" or features.units is None:
        raise BraindecError("these features are no unit table", found=str(features.info.get("kind", "other features")))
    units = features.units.copy()
    for text in (c for c in units if c not in UNIT):
        units[text] = units[text].replace("", np.nan)
    numbers = pd.DataFrame(dict(zip(features.ids, features.load().astype(float), strict=True)))
    for name in features.info["flags"]:
        numbers[name] = numbers[name].map({0.0: False, 1.0: True})
    wide = pd.concat([units, numbers], axis=1)[features.info["columns"]]
    return UnitTable(wide, pd.DataFrame(features.info["about"]))
