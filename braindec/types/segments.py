"""Segments: what a stimulus was like over time, one equally long piece an item, cut lazily from series of whole sounds or films."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, did_you_mean
from braindec.types.features import Features
from braindec.types.recording import Recording
from braindec.types.windows import Windows

__all__ = ["Segments"]


@dataclass(frozen=True, eq=False)
class Segments:
    """Pieces (item, unit, time) of feature series, joined with windows of a recording on ``stimulus_id``.

    A series is a :class:`Recording` of a stimulus: its channels are units (mel bands, layers of a speech model, motion
    energy), its time is that of the sound or film. Nothing is read before it is asked for; pieces may overlap.

    Parameters
    ----------
    windows : Windows
        The pieces; ``trials`` holds ``stimulus_id``, each once.

    Raises
    ------
    BraindecError
        If ``stimulus_id`` is missing or stands twice.
    """

    windows: Windows

    def __post_init__(self) -> None:
        trials = self.windows.trials
        if "stimulus_id" not in trials:
            raise BraindecError("segments need a column stimulus_id", found=f"columns {list(trials.columns)}")
        ids = trials["stimulus_id"].astype(str)
        if ids.duplicated().any():
            twice = ids[ids.duplicated()].unique()
            raise BraindecError("a stimulus_id stands twice in the segments", found=", ".join(twice[:5]))
        object.__setattr__(self, "_place", pd.Series(np.arange(len(ids)), index=pd.Index(ids.to_numpy(dtype=object))))

    @staticmethod
    def cut(
        series: Mapping[str, Recording], items: pd.DataFrame, *, duration: float, column: str = "audio"
    ) -> Segments:
        """Cut one piece for each item.

        Parameters
        ----------
        series : mapping of str to Recording
            Feature series by the name of the sound or film; they share units and sampling frequency.
        items : DataFrame
            ``stimulus_id``, the name of the series (``column``) and ``start``, the time of the first sample in s of that
            series; rows that repeat a stimulus_id must agree and are used once. Further columns are kept.
        duration : float
            Length of a piece, s.
        column : str
            Which column names the series.

        Raises
        ------
        BraindecError
            If a series is missing, a piece leaves its series, or one id is at two places.
        """
        missing = [c for c in ("stimulus_id", column, "start") if c not in items]
        if missing:
            raise BraindecError(
                f"items need a column {missing[0]!r}", found=f"columns {', '.join(map(str, items.columns))}"
            )
        items = items.assign(stimulus_id=items["stimulus_id"].astype(str))
        items = items[~items.duplicated(["stimulus_id", column, "start"])]
        if items["stimulus_id"].duplicated().any():
            name = items["stimulus_id"][items["stimulus_id"].duplicated()].iloc[0]
            places = items[items["stimulus_id"] == name][[column, "start"]].to_numpy().tolist()
            raise BraindecError(f"the segment {name!r} is at two places", found=str(places[:3]),
                                fix="give each place an id of its own, or cut the repeated content from one recording of it")  # fmt: skip
        names = list(dict.fromkeys(items[column].astype(str)))
        strange = [n for n in names if n not in series]
        if strange:
            raise BraindecError(
                f"there is no series of features for {strange[0]!r}{did_you_mean(strange[0], list(series))}",
                found=f"{len(strange)} of {len(names)} are missing", allowed=", ".join(list(series)[:8]),
            )  # fmt: skip
        recordings = tuple(series[n] for n in names)
        sfreq, n_times = recordings[0].sfreq, round(duration * recordings[0].sfreq)
        if n_times < 1:
            raise BraindecError("a segment has no sample", found=f"duration {duration:g} s at {sfreq:g} Hz")
        number = items[column].astype(str).map({n: i for i, n in enumerate(names)}).to_numpy()
        first = np.round(items["start"].to_numpy(dtype=float) * sfreq).astype(np.int64)
        lengths = np.array([r.n_times for r in recordings])[number]
        outside = (first < 0) | (first + n_times > lengths)
        if outside.any():
            bad = int(np.flatnonzero(outside)[0])
            raise BraindecError(
                f"{int(outside.sum())} of {len(items)} segments leave their sound or film",
                found=f"{items['stimulus_id'].iloc[bad]!r}: {items['start'].iloc[bad]:g} to {items['start'].iloc[bad] + duration:g} s of "
                f"{names[number[bad]]!r}, which has {lengths[bad] / sfreq:g} s",
                fix="leave these items out, or use shorter segments",
            )
        return Segments(Windows(recordings, np.stack([number, first], axis=1), n_times, items))

    @staticmethod
    def from_array(values: np.ndarray, stimulus_ids: Sequence[Any], *, sfreq: float) -> Segments:
        """Make segments of an array (item, unit, time) and the ids of its rows."""
        table = pd.DataFrame({"stimulus_id": [str(s) for s in stimulus_ids]})
        return Segments(Windows.from_arrays(np.asarray(values, dtype=np.float32), table, sfreq=sfreq))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(n_items, n_units, n_times)."""
        return self.windows.shape

    @property
    def sfreq(self) -> float:
        """Samples a second, Hz."""
        return self.windows.sfreq

    @property
    def items(self) -> pd.DataFrame:
        """One row an item: stimulus_id and what else is known."""
        return self.windows.trials

    @property
    def units(self) -> list[str]:
        """Names of the units."""
        return self.windows.ch_names

    @property
    def ids(self) -> np.ndarray:
        """The stimulus_id of each item, shape (n_items,)."""
        return self.items["stimulus_id"].astype(str).to_numpy(dtype=object)

    def load(self, rows: Any = None) -> np.ndarray:
        """Read pieces, shape (n_items, n_units, n_times), float32."""
        return self.windows.load(rows)

    def rows_of(self, stimulus_ids: Sequence[Any]) -> np.ndarray:
        """Return the row of each stimulus id; BraindecError names those that have no segment."""
        asked = pd.Index([str(s) for s in stimulus_ids])
        place = self._place  # type: ignore[attr-defined]
        rows = place.index.get_indexer(asked)
        if (rows < 0).any():
            missing = asked[rows < 0].unique()
            raise BraindecError(
                f"{len(missing)} stimulus ids of the trials have no segment",
                found=f"{', '.join(map(repr, missing[:5]))}; there are {len(self.ids)} such as "
                f"{', '.join(map(repr, self.ids[:3]))}",
                fix="cut segments for them, or leave these trials out",
            )
        return rows

    def of(self, stimulus_ids: Sequence[Any]) -> np.ndarray:
        """Read the pieces of stimuli in the order given, shape (n, n_units, n_times), float32."""
        unique, inverse = np.unique(self.rows_of(stimulus_ids), return_inverse=True)
        return self.load(unique)[inverse]

    def __getitem__(self, rows: Any) -> Segments:
        return Segments(self.windows[rows])

    def __len__(self) -> int:
        return len(self.windows)

    def mean(self) -> Features:
        """Average over time: Features (item, unit), for decoders of one vector a stimulus."""
        info = {"averaged": f"{self.shape[2] / self.sfreq:g} s"}
        units = pd.DataFrame({"index": range(self.shape[1]), "name": self.units})
        return Features(self.load().mean(axis=2), self.items, units, info)

    def __repr__(self) -> str:
        return (
            f"<Segments {self.shape[0]} items x {self.shape[1]} units x {self.shape[2]} samples at {self.sfreq:g} Hz>"
        )
