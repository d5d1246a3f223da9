"""Events of natural language: one standard table of words, phonemes and sentences, whatever they come from.

Rows are words, phonemes, sentences or sounds; columns are those of :data:`EVENT_COLUMNS`. ``onset`` is the time in the
recording, ``audio_onset`` that in the sound; tables that know the sound alone have the same value in both until
:func:`place` puts them into a recording. Nothing is guessed: the unit of times is named, labels of silence are listed.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.loaders._literals import from_literals
from braindec.loaders._speech_sentences import add_sentences, need, normalised, sentence_id
from braindec.loaders._word_tables import EVENT_COLUMNS, SILENCE, read_textgrid, read_words_csv

__all__ = [
    "EVENT_COLUMNS", "SILENCE", "add_sentences", "check_onsets", "from_literals", "normalised", "place", "read_textgrid",
    "read_words_csv", "sentence_id",
]  # fmt: skip

_FILLED = 0.1  # share of the recording over which words spread when their unit is right


def place(words: pd.DataFrame, starts: Mapping[str, float], *, label: str = "the recording") -> pd.DataFrame:
    """Put words of sounds into a recording: ``onset`` = when the sound began + ``audio_onset``.

    Parameters
    ----------
    words : DataFrame
        With ``audio`` and ``audio_onset``.
    starts : mapping of str to float
        When each sound began, s in the recording; rows of other sounds are left out.
    label : str
        Of the recording, for the message.

    Raises
    ------
    BraindecError
        If no row is of these sounds.
    """
    need(words, ("audio", "audio_onset"))
    played = words[words["audio"].astype(str).isin(list(starts))]
    if not len(played):
        there = sorted(set(words["audio"].astype(str)))
        raise BraindecError(f"{label}: there are no words for the sounds that were played", found=f"sounds {', '.join(list(starts)[:5])}",
                            allowed=", ".join(there[:8]))  # fmt: skip
    begin = played["audio"].astype(str).map(dict(starts)).to_numpy(dtype=float)
    placed = played.assign(onset=begin + played["audio_onset"].to_numpy(dtype=float))
    return placed.sort_values("onset", kind="stable").reset_index(drop=True)


def check_onsets(events: pd.DataFrame, duration: float, label: str, *, sfreq: float | None = None) -> None:
    """Refuse words that lie before or beyond the recording.

    Parameters
    ----------
    events : DataFrame
        ``onset`` in s.
    duration : float
        Of the recording, s.
    label : str
        Of the recording.
    sfreq : float, optional
        Of the recording, Hz: onsets in samples are then recognised.

    Raises
    ------
    BraindecError
        If an onset is no number, negative, or beyond the end: how many, the first, the likely cause, the fix.
    """
    need(events, ("onset",), label)
    onsets = pd.to_numeric(events["onset"], errors="coerce").to_numpy(dtype=float)
    lost = ~np.isfinite(onsets)
    if lost.any():
        raise BraindecError(f"{label}: {int(lost.sum())} of {len(onsets)} events have no onset", found=f"the first in row {int(np.argmax(lost)) + 1}",
                            fix="leave them out, or correct the table")  # fmt: skip
    outside = (onsets < 0) | (onsets >= duration)
    if not outside.any():
        return
    first = int(np.flatnonzero(outside)[0])
    what = "words" if "trial_type" in events and events["trial_type"].astype(str).isin(["word"]).any() else "events"
    text = f" ({str(events['text'].iloc[first])[:30]!r})" if "text" in events else ""
    cause, fix = _cause(onsets, duration, sfreq)
    raise BraindecError(
        f"{label}: {int(outside.sum())} of {len(onsets)} {what} lie beyond the recording",
        found=f"the first is row {first + 1}{text} at {onsets[first]:.6g} s, onsets go from {onsets.min():.6g} to {onsets.max():.6g} s; "
        f"the recording has 0 to {duration:.6g} s; {cause}",
        fix=fix,
    )


def _cause(onsets: np.ndarray, duration: float, sfreq: float | None) -> tuple[str, str]:
    """What is likely wrong with onsets outside of the recording, and what to do."""
    span = float(onsets.max() - onsets.min())
    units = [(1000.0, "ms", "divide onsets by 1000, or read them with unit='ms'")]
    if sfreq is not None:
        units.append((sfreq, f"samples at {sfreq:g} Hz", f"divide onsets by {sfreq:g}, or read them with unit='samples', sfreq={sfreq:g}"))  # fmt: skip
    if onsets.min() >= 0 and onsets.max() > 5 * duration:
        fitting = [u for u in units if onsets.max() / u[0] < duration and span / u[0] > _FILLED * duration]
        if fitting:  # of those that fit, the one that fills most of the recording
            _, name, fix = min(fitting, key=lambda u: u[0])
            return f"they look like {name}", fix
    if (onsets.min() >= duration or onsets.min() < 0) and span < duration:
        return (
            "they fit when shifted, so they are of another clock or of another recording",
            "take the time from the start of this recording: subtract when it began, or align the clocks by their triggers "
            "(braindec.signal.clock.align_clock)",
        )
    return (
        "the recording was stopped early, or the events are of another run",
        "check that the table belongs to this run; leave out events beyond the end",
    )
