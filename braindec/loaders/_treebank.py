"""Parts of the reader ``braintreebank``: electrodes that are rows of a file each, and words placed by triggers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, UnreadableError
from braindec.loaders import _files
from braindec.loaders.speech_events import EVENT_COLUMNS, normalised, sentence_id
from braindec.types import Signal
from braindec.types.storage import hdf5

__all__ = ["ElectrodeSignal", "nonverbal_stretches", "read_words", "sample_of"]

_DEVIATION = 0.005  # share by which the triggers may differ from the sampling frequency
_AWAY, _LENGTH, _STEP = (
    2.0,
    1.0,
    0.5,
)  # s from every word, of a stretch without words, and from one to the next (Neuroprobe)


class ElectrodeSignal(Signal):
    """``data/electrode_0``, ``data/electrode_1``, ... of an HDF5 file as (channel, time).

    Parameters
    ----------
    path : str or Path
        The file.
    n_channels : int
        The first so many electrodes; a file may hold more than have a name.
    factor : float
        To SI units.

    Raises
    ------
    UnreadableError
        If electrodes are missing or differ in length.
    """

    slow = True

    def __init__(self, path: str | Path, n_channels: int, *, factor: float = 1.0) -> None:
        self.path, self.factor = str(path), float(factor)
        with hdf5(path, "r") as file:
            group = file.get("data")
            shapes = [
                group[f"electrode_{k}"].shape if group is not None and f"electrode_{k}" in group else None
                for k in range(n_channels)
            ]
            kinds = [group[f"electrode_{k}"].dtype for k in range(n_channels)] if None not in shapes else []
        strange = next((k for k, kind in enumerate(kinds) if kind.kind not in "fiu"), None)
        if strange is not None:
            raise UnreadableError(
                f"{path}: electrode_{strange} holds no real numbers",
                found=str(kinds[strange]),
                fix="copy the file again",
            )
        if None in shapes or any(len(s) != 1 for s in shapes) or len(set(shapes)) != 1:
            wrong = next((k for k, s in enumerate(shapes) if s is None or s != shapes[0]), 0)
            raise UnreadableError(
                f"{path} must hold data/electrode_0 to data/electrode_{n_channels - 1}, one row of one length each",
                found=f"electrode_{wrong}: {shapes[wrong]}",
                fix="take labels and recordings of one subject",
            )
        self.shape = (n_channels, int(shapes[0][0]))

    def read(self, channels: slice | np.ndarray = slice(None), start: int = 0, stop: int | None = None) -> np.ndarray:
        rows = np.arange(self.shape[0])[channels]
        stop = self.shape[1] if stop is None else min(stop, self.shape[1])
        out = np.empty((len(rows), max(0, stop - start)), dtype=np.float32)
        group = self._group()
        for place, row in enumerate(rows):
            out[place] = group[f"electrode_{row}"][start:stop]
        return np.multiply(out, np.float32(self.factor), out=out) if self.factor != 1 else out

    def _group(self) -> Any:
        group = self.__dict__.get("_open_group")
        if group is None:
            import h5py

            self._open_file = h5py.File(self.path, "r")
            group = self._open_group = self._open_file["data"]
        return group


def sample_of(times: np.ndarray, timings: pd.DataFrame, sfreq: float) -> np.ndarray:
    """Return the sample of times of the film (s): that of the nearest trigger, plus the distance to it.

    Parameters
    ----------
    times : array of shape (n,)
        s.
    timings : DataFrame
        ``movie_time`` in s and ``index`` in samples of each trigger. Where the film was paused two rows have one
        movie_time: what comes before takes the first, what comes after the last (the authors take the first for both,
        which puts words after a pause into it).
    sfreq : float
        Hz.
    """
    movie, index = timings["movie_time"].to_numpy(float), timings["index"].to_numpy(float)
    order = np.lexsort((index, movie))
    ranked = movie[order]
    right = np.clip(np.searchsorted(ranked, times), 0, len(ranked) - 1)
    left = np.maximum(right - 1, 0)
    near = ranked[np.where(np.abs(times - ranked[left]) <= np.abs(ranked[right] - times), left, right)]
    first, last = np.searchsorted(ranked, near), np.searchsorted(ranked, near, side="right") - 1
    which = order[np.where(times >= near, last, first)]
    return index[which] + (times - movie[which]) * sfreq


def read_words(
    features: Path, timings: Path, *, film: str, sfreq: float, duration: float, warnings: list[str]
) -> pd.DataFrame:  # fmt: skip
    """Return the words of a film with their onsets in the recording.

    Raises
    ------
    UnreadableError, BraindecError
        If a table cannot be read, the triggers contradict ``sfreq``, or no word lies in the recording.
    """
    triggers = _table(timings, ("movie_time", "index")).dropna(subset=["movie_time", "index"]).reset_index(drop=True)
    _check_rate(triggers, sfreq, timings)
    words = _table(features, ("start", "end", "text"))
    words = words.drop(columns=[c for c in words if c.startswith("Unnamed")])
    timed = words[["start", "end"]].apply(pd.to_numeric, errors="coerce").notna().all(axis=1)
    shown = timed & (words["start"] <= triggers["movie_time"].max())
    onset = sample_of(words.loc[shown, "start"].to_numpy(float), triggers, sfreq) / sfreq
    length = (words.loc[shown, "end"] - words.loc[shown, "start"]).to_numpy(float)
    inside = (onset >= 0) & (onset + length <= duration)
    if not inside.any():
        raise BraindecError(f"no word of {film} lies in the recording of {duration:.1f} s", found=f"{int(shown.sum())} words, "
                            + (f"the first at {onset.min():.1f} s" if len(onset) else "all after the last trigger"),
                            fix="transcript, triggers and recording must be of one session")  # fmt: skip
    told = {
        "have no time": int((~timed).sum()),
        "come after the last trigger": int((timed & ~shown).sum()),
        "lie outside the recording": int((~inside).sum()),
    }
    warnings += [f"{film}: {n} of {len(words)} words {what} and were left out" for what, n in told.items() if n]
    kept = words[shown][inside].reset_index(drop=True)
    return _standard(kept, onset[inside], length[inside], film)


def _standard(kept: pd.DataFrame, onset: np.ndarray, length: np.ndarray, film: str) -> pd.DataFrame:
    sentence = kept["sentence"].fillna("n/a").astype(str) if "sentence" in kept else pd.Series("n/a", index=kept.index)
    ids = {s: sentence_id(s) if s != "n/a" and normalised(s) else "n/a" for s in sentence.unique()}
    place = (
        pd.to_numeric(kept["idx_in_sentence"], errors="coerce").fillna(-1).astype(int)
        if "idx_in_sentence" in kept
        else -1
    )
    table = pd.DataFrame(
        {
            "onset": onset,
            "duration": length,
            "trial_type": "word",
            "text": kept["text"].fillna("").astype(str),
            "audio": film,
            "audio_onset": kept["start"].astype(float),
            "story": film,
            "sentence": sentence,
            "sentence_id": sentence.map(ids),
            "word_index": place,
        }
    )
    others = kept.drop(columns=[c for c in kept if c in (*EVENT_COLUMNS, "start", "end")])
    return (
        pd.concat([table[list(EVENT_COLUMNS)], others], axis=1)
        .sort_values("onset", kind="stable")
        .reset_index(drop=True)
    )


def nonverbal_stretches(words: pd.DataFrame, film: str) -> pd.DataFrame:
    """Return stretches of 1 s between words, half overlapping, at least 2 s away from every word, as rows of the event
    table."""
    starts = words["onset"].to_numpy(float)
    ends = np.maximum.accumulate(starts + words["duration"].to_numpy(float))
    onset = [
        np.arange(a + _AWAY, b - _AWAY - _LENGTH + 1e-9, _STEP) for a, b in zip(ends[:-1], starts[1:], strict=True)
    ]
    onset = np.concatenate(onset) if onset else np.empty(0)
    return pd.DataFrame(
        {
            "onset": onset,
            "duration": _LENGTH,
            "trial_type": "nonverbal",
            "text": "",
            "audio": film,
            "audio_onset": np.nan,
            "story": film,
            "sentence": "n/a",
            "sentence_id": "n/a",
            "word_index": -1,
        }
    )


def _table(path: Path, needed: tuple[str, ...]) -> pd.DataFrame:
    try:
        table = pd.read_csv(_files.existing(path))
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, OSError) as error:
        raise UnreadableError(f"{path} cannot be read as a table", found=str(error)[:200]) from error
    missing = [c for c in needed if c not in table]
    if missing:
        raise UnreadableError(
            f"{path} has no column {missing[0]}", found=f"columns {list(table.columns)[:12]}", allowed=", ".join(needed)
        )
    return table


def _check_rate(triggers: pd.DataFrame, sfreq: float, path: Path) -> None:
    """Refuse a sampling frequency that the triggers contradict; pauses change the index but not the film, and count
    little in a median."""
    if len(triggers) < 2:
        raise UnreadableError(f"{path} holds {len(triggers)} triggers: words cannot be placed")
    film, samples = np.diff(triggers["movie_time"].to_numpy(float)), np.diff(triggers["index"].to_numpy(float))
    steady = (film > 0.01) & (film < 60) & (samples > 0)
    if not steady.any():
        raise UnreadableError(
            f"{path} holds no triggers that follow one another in the film", found=f"{len(triggers)} rows"
        )
    found = float(np.median(samples[steady] / film[steady]))
    if abs(found - sfreq) > _DEVIATION * sfreq:
        raise BraindecError(
            f"{path.name} does not fit a sampling frequency of {sfreq:g} Hz",
            found=f"{found:.1f} samples a second of the film",
            fix=f"give the reader the sampling frequency of this subject: sfreq: {{default: 2048, ...: {found:.0f}}}",
        )
