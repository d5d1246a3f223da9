"""Sentences of a recording of continuous speech, and blocks of consecutive ones."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.types import Recording

_COLUMNS = ("onset", "duration", "trial_type", "audio", "audio_onset", "sentence_id", "word_index")
_GAP = 5.0  # s of silence between sentences that end a block
_BEYOND = 0.5  # share of the words that may lie outside the recording

__all__ = ["Blocks", "sentence_blocks"]


@dataclass(frozen=True)
class Blocks:
    """Words in order with the number of their block, and the blocks.

    Parameters
    ----------
    words : DataFrame
        Columns of the events, and _sentence (number of the sentence as it was heard), _sentence_start (s in the sound),
        _block, block_sentences.
    blocks : DataFrame
        block_id, block_sentences (sentence ids in order, with a space between them), audio, start and stop (s in the sound);
        rows have the numbers in ``words["_block"]``.
    dropped : list of str
    """

    words: pd.DataFrame
    blocks: pd.DataFrame
    dropped: list[str]


def sentence_blocks(recording: Recording, *, min_block: float) -> Blocks:
    """Find the sentences and merge consecutive ones of one sound until a block lasts ``min_block`` s.

    A sentence lasts until the next one of its sound begins, or until its last word ends. A rest that is shorter joins the
    block before it; a block ends where the sound is silent for more than 5 s.

    Raises
    ------
    BraindecError
        If columns or words are missing, times are not finite, or most words lie beyond the recording.
    """
    words, dropped = _words(recording)
    fresh = (words["audio"] != words["audio"].shift()) | (words["sentence_id"] != words["sentence_id"].shift())
    again = words["word_index"].astype(float).diff() <= 0  # the same sentence twice in a row
    back = words["audio_onset"].diff() < 0
    words["_sentence"] = (fresh | again | back).cumsum() - 1
    grouped = words.groupby("_sentence", sort=True)
    heard = grouped.agg(
        audio=("audio", "first"),
        sentence_id=("sentence_id", "first"),
        start=("audio_onset", "first"),
        stop=("_end", "max"),
    )
    following = heard["start"].shift(-1)
    same = (
        (heard["audio"] == heard["audio"].shift(-1))
        & (following >= heard["start"])
        & (following - heard["stop"] <= _GAP)
    )
    heard["stop"] = np.where(same, following, heard["stop"])
    heard["_block"] = _merge(heard, same.to_numpy(), min_block)
    blocks = heard.groupby("_block").agg(
        audio=("audio", "first"),
        start=("start", "first"),
        stop=("stop", "last"),
        block_sentences=("sentence_id", " ".join),
    )
    blocks["block_id"] = [hashlib.sha256(s.encode()).hexdigest()[:12] for s in blocks["block_sentences"]]
    words["_sentence_start"] = heard["start"].to_numpy()[words["_sentence"]]
    words["_block"] = heard["_block"].to_numpy()[words["_sentence"]]
    words["block_sentences"] = blocks["block_sentences"].to_numpy()[words["_block"]]
    return Blocks(words.drop(columns="_end"), blocks, dropped)


def _merge(heard: pd.DataFrame, joined: np.ndarray, min_block: float) -> np.ndarray:
    """Number of the block of each sentence; ``joined`` says that the next sentence follows in the same sound."""
    number, block, began, short = np.zeros(len(heard), dtype=int), 0, 0, False
    start, stop = heard["start"].to_numpy(), heard["stop"].to_numpy()
    first_of_run = 0
    for i in range(len(heard)):
        number[i] = block
        whole = stop[i] - start[began] >= min_block - 1e-9
        if joined[i] and not whole:
            continue
        short = not whole and began > first_of_run  # the rest of a sound joins the block before it
        if short:
            number[began : i + 1] = number[began - 1]
            block -= 1
        block, began = block + 1, i + 1
        if not joined[i]:
            first_of_run = i + 1
    return number


def _words(recording: Recording) -> tuple[pd.DataFrame, list[str]]:
    """The words within the recording, in order."""
    events, label = recording.events, recording.label
    missing = [c for c in _COLUMNS if c not in events]
    if missing:
        raise BraindecError(
            f"{label}: events of speech need the columns {', '.join(missing)}", found=f"columns {', '.join(map(str, events.columns))}",
            fix="use a reader of speech data, or add them to the events (braindec.loaders.speech_events)",
        )  # fmt: skip
    words = events[events["trial_type"].astype(str) == "word"].copy()
    words = words[~words["sentence_id"].isin(["", "n/a"]) & words["sentence_id"].notna()]
    if not len(words):
        kinds = ", ".join(sorted(set(map(str, events["trial_type"])))[:8])
        raise BraindecError(
            f"{label} has no words", found=f"trial_type {kinds or 'none'}", allowed="word, with a sentence_id"
        )
    for name in ("onset", "duration", "audio_onset", "word_index"):
        words[name] = pd.to_numeric(words[name], errors="coerce").astype(float)
    words["duration"] = words["duration"].fillna(0.0)
    bad = ~np.isfinite(words[["onset", "audio_onset", "word_index"]]).all(axis=1)
    if bad.any():
        raise BraindecError(f"{label}: {int(bad.sum())} of {len(words)} words have no time or place", found=str(words[bad].iloc[0].get("text")),
                            fix="leave these words out, or correct onset, audio_onset and word_index")  # fmt: skip
    outside = ~words["onset"].between(0, recording.duration, inclusive="left")
    dropped = []
    if outside.any():
        first, last = words.loc[outside, "onset"].min(), words.loc[outside, "onset"].max()
        text = f"{int(outside.sum())} of {len(words)} words lie beyond the recording"
        found = f"onsets {first:.6g} to {last:.6g} s, the recording has 0 to {recording.duration:.6g} s"
        if outside.mean() > _BEYOND:
            raise BraindecError(
                f"{label}: {text}", found=found, fix="check that onsets are in s from the start of this recording"
            )
        dropped.append(f"{label}: {text} ({found})")
    words = words[~outside].sort_values("onset", kind="stable").reset_index(drop=True)
    words["sentence_id"], words["audio"] = words["sentence_id"].astype(str), words["audio"].astype(str)
    words["_end"] = words["audio_onset"] + words["duration"]
    return words, dropped
