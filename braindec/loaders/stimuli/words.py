"""words: where words begin in a sound, and what they are like: impulses, or as long as the word lasts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, did_you_mean
from braindec.loaders._stimulus_events import of_kind, spans
from braindec.loaders.stimulus_series import hash_of, make_series, stretches
from braindec.stats.asked import number
from braindec.types import Recording

__all__ = ["words"]


def words(
    events: pd.DataFrame, *, duration: float, sfreq: float = 100.0, values: Sequence[str] = ("onset",), at: str = "onset",
    audio: str | None = None, blocks: Any = None,
) -> Recording:  # fmt: skip
    """Make a series of the words of one sound.

    Parameters
    ----------
    events : DataFrame
        The standard table (:mod:`braindec.loaders.speech_events`): rows of ``trial_type`` word, ``audio_onset`` in s of the
        sound, ``duration``, ``text``.
    duration : float
        Of the sound, s.
    sfreq : float
        Samples of the series a second, Hz.
    values : sequence of str
        One unit each: "onset" is 1 for every word, "length" its number of letters; any other name is a numeric column of
        the table, such as frequency or surprisal.
    at : {"onset", "span"}
        The value stands at the sample nearest to the onset, or from there for as long as the word lasts. Where words
        share a sample, values add up.
    audio : str, optional
        The sound, where the table has several.
    blocks : DataFrame or sequence of (start, stop), optional
        A span ends where its block ends (s).

    Raises
    ------
    BraindecError
        If there are no words, a column is missing or not numeric, or a word lies beyond the sound.
    """
    sfreq = number(sfreq, "sfreq", least=0, ends=False, unit="Hz")
    table, name = of_kind(events, "word", audio)
    values = list(values)
    if not values or isinstance(values, str) or len(set(values)) < len(values):
        raise BraindecError("values are different names", found=repr(values), allowed='"onset", "length", or columns of the table')  # fmt: skip
    heights = np.stack([_heights(table, v) for v in values])
    parts = stretches(blocks, number(duration, "duration", least=0, ends=False, unit="s"), sfreq=sfreq, name=name)
    first, last = spans(table, parts, sfreq=sfreq, duration=duration, at=at)
    series = np.zeros((len(values), parts[-1].last), dtype=np.float64)
    for k in range(len(table)):
        series[:, first[k] : last[k]] += heights[:, k, None]
    return make_series(series.astype(np.float32), sfreq, values, feature="words", stimulus=name, content=hash_of(heights),
                       settings={"values": values, "at": at, "n_words": len(table), "n_blocks": len(parts)})  # fmt: skip


def _heights(table: pd.DataFrame, value: str) -> np.ndarray:
    """One number a word."""
    if value == "onset":
        return np.ones(len(table))
    if value == "length":
        return table["text"].map(lambda t: sum(c.isalnum() for c in str(t))).to_numpy(dtype=float)
    if value not in table:
        raise BraindecError(f"the words have no column {value!r}{did_you_mean(value, table.columns)}",
                            found=f"columns {', '.join(map(str, table.columns))}", allowed="onset, length, or a numeric column")  # fmt: skip
    numbers = pd.to_numeric(table[value], errors="coerce").to_numpy(dtype=float)
    if not np.isfinite(numbers).all():
        row = int(np.argmin(np.isfinite(numbers)))
        raise BraindecError(f"{int((~np.isfinite(numbers)).sum())} of {len(numbers)} words have no {value}", found=f"{table['text'].iloc[row]!r}: {table[value].iloc[row]!r}",
                            fix="fill the column, such as with its mean, or leave these words out")  # fmt: skip
    return numbers
