"""Windows of continuous speech: at word onsets or by stride, each inside one block of sentences, baselined, brain behind sound.

A block is a run of consecutive sentences of one sound; parts for training and test are made of whole blocks, so that no
window shows sound of another part. The same content has the same names (``stimulus_id``, ``content_id``) in every subject and session.

Source: Défossez, Caucheteux, Rapin, Kabeli & King 2023 (Nat Mach Intell 5:1097), Methods, "Datasets" and "Preprocessing": windows of
3 s from -0.5 s, baseline of the first 0.5 s, 150 ms between sound and brain, sentences merged to 6 s or more.
Differs from the reference in: blocks that share a sentence are one content (a sentence that is said twice would stand on both
sides); a sentence that stands at several places of the sounds is a segment of its own at each, since what follows it differs;
the last sample of a window is not included; a rest shorter than a block joins the block before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, did_you_mean
from braindec.signal._baselined import BaselinedWindows
from braindec.signal._speech_blocks import Blocks, sentence_blocks
from braindec.signal._speech_content import shared_content
from braindec.signal._trials import as_recordings, identify, join_trials, unique_ids
from braindec.types import Recording, Segments, Windows
from braindec.types.windows import check_same_channels

__all__ = ["speech_windows", "block_spans", "segments_for", "shared_content"]

_JITTER = 0.05  # s that the times of one segment may differ by between recordings
_EPSILON = 1e-6  # s


def speech_windows(
    recordings: Recording | Sequence[Recording],
    *,
    tmin: float = -0.5,
    tmax: float = 2.5,
    anchor: str = "word",
    stride: float = 0.5,
    shift: float = 0.150,
    baseline: float | None = 0.5,
    min_block: float = 6.0,
    blocks: str = "merged",
) -> Windows:
    """Cut windows of recordings of continuous speech; nothing is read.

    Parameters
    ----------
    recordings : Recording or sequence of Recording
        Events have onset, duration, trial_type ("word" among them), audio, audio_onset (s in that sound), sentence_id and word_index.
        The recordings share channels and sampling frequency.
    tmin, tmax : float
        Span in s around the word's onset.
    anchor : {"word", "stride"}
        A window at each word (the published test windows), or one every ``stride`` s of each block (training windows).
    stride : float
        s between windows when they are cut by stride.
    shift : float
        The brain is this much (s) behind the sound: the first ``shift`` s of the window of the recording are dropped, and
        the last ``shift`` s of that of the sound (:func:`segments_for`), so that sample i of one goes with sample i of the other.
    baseline : float or None
        The mean over the first so many s of the window (before anything is dropped) is taken off each channel.
    min_block : float
        Consecutive sentences are merged to blocks of at least so many s.
    blocks : {"merged", "sentence"}
        "sentence": each sentence is a block; for designs in which sentences are shuffled for each subject.

    Returns
    -------
    Windows
        ``tmin + shift`` to ``tmax``. ``trials`` has the columns of the word (or "stride" as trial_type), and stimulus_id,
        sentence_id, block_id, content_id (what must stay on one side of a split), ``start`` (time in the sound, s, of the first sample),
        ``in_block`` (s from the block's begin), ``recording``. ``info["dropped"]`` says what was left out, ``info["repeated"]`` what was heard
        several times.

    Raises
    ------
    BraindecError
        If columns are missing, most words lie beyond the recording, or no window lies within a block.
    """
    recordings = as_recordings(recordings)
    check_same_channels(recordings)
    _check(recordings[0].sfreq, tmin, tmax, anchor, stride, shift, baseline, blocks)
    tables, dropped = [], []
    for recording in recordings:
        found = sentence_blocks(recording, min_block=0.0 if blocks == "sentence" else min_block)
        dropped += found.dropped
        table = _at_words(found, tmin, tmax) if anchor == "word" else _by_stride(found, tmin, tmax, stride)
        tables.append(table.assign(recording=recording.label))
    tables = identify(tables, recordings)
    kept, index, n_full = [], [], round((tmax - tmin) * recordings[0].sfreq)
    for number, (recording, table) in enumerate(zip(recordings, tables, strict=True)):
        sample = np.round(table["onset"].to_numpy(dtype=float) * recording.sfreq).astype(np.int64)
        first = sample + round(tmin * recording.sfreq)
        inside = (first >= 0) & (first + n_full <= recording.n_times)
        if (~inside).any():
            dropped.append(f"{recording.label}: {int((~inside).sum())} of {len(table)} windows leave the recording "
                           f"(0 to {recording.duration:.6g} s)")  # fmt: skip
        kept.append(table.assign(sample=sample)[inside])
        index.append(np.stack([np.full(int(inside.sum()), number), first[inside]], axis=1))
    where = np.concatenate(index)
    if not len(where):
        raise BraindecError(
            f"no window from {tmin:g} to {tmax:g} s lies within a block of sentences",
            found="; ".join(dropped[:4]) or f"blocks of {_longest(recordings, min_block, blocks):.3g} s at most",
            fix="a shorter window, or a larger min_block",
        )
    kind = "" if anchor == "word" else "/stride"  # a window by stride may begin where one at a word does
    trials = join_trials(kept).assign(window_id=unique_ids(recordings, where) + kind)
    windows = _cut(recordings, where, n_full, trials, tmin=tmin, shift=shift, baseline=baseline, dropped=dropped)
    return shared_content(windows)


def segments_for(windows: Windows | Sequence[Windows], series: Mapping[str, Recording]) -> Segments:
    """Cut the piece of its sound's features for each different segment of the windows.

    Parameters
    ----------
    windows : Windows or sequence of Windows
        Of :func:`speech_windows`; all subjects, training and test together if wanted.
    series : mapping of str to Recording
        Features of whole sounds by the name in the column ``audio``, at the sampling frequency of the windows.

    Returns
    -------
    Segments
        As long as the windows; items have stimulus_id, audio, start, text, sentence_id, block_id and content_id.

    Raises
    ------
    BraindecError
        If a sound is missing, rates differ, or one segment is at two places.
    """
    parts = [windows] if isinstance(windows, Windows) else list(windows)
    columns = [
        "stimulus_id",
        "audio",
        "start",
        "text",
        "sentence_id",
        "block_id",
        "content_id",
        "in_block",
    ]  # what the evaluation needs
    items = pd.concat([w.trials[columns] for w in parts], ignore_index=True)
    spread = items.groupby("stimulus_id")["start"].agg(np.ptp)
    if (spread > _JITTER).any():
        name = spread.idxmax()
        raise BraindecError(
            f"the segment {name!r} begins at different times of its sound", found=f"{spread.max():.3g} s apart",
            allowed=f"{_JITTER:g} s", fix="name the windows of all subjects together: shared_content([...])",
        )  # fmt: skip
    for name, one in series.items():
        if abs(one.sfreq - parts[0].sfreq) > 1e-6 * parts[0].sfreq:
            raise BraindecError(
                f"the features of {name!r} have another rate than the windows", found=f"{one.sfreq:g} Hz and {parts[0].sfreq:g} Hz",
                fix=f"make features at {parts[0].sfreq:g} Hz, or resample one of the two",
            )  # fmt: skip
    items = items.drop_duplicates("stimulus_id").reset_index(drop=True)
    return Segments.cut(series, items, duration=parts[0].n_times / parts[0].sfreq)


def block_spans(windows: Windows | Sequence[Windows]) -> dict[str, list[tuple[float, float]]]:
    """Return (start, stop) in s of the blocks of each sound, in order: where sounds are cut before features with a context are made.

    Raises
    ------
    BraindecError
        If blocks overlap: recordings were cut into other blocks, and their context cannot be kept apart.
    """
    parts = [windows] if isinstance(windows, Windows) else list(windows)
    spans = (
        pd.concat([w.trials[["audio", "block_start", "block_stop"]] for w in parts], ignore_index=True)
        .round(6)
        .drop_duplicates()
    )
    found: dict[str, list[tuple[float, float]]] = {}
    for name, own in spans.sort_values("block_start", kind="stable").groupby("audio", sort=True):
        begins, ends = own["block_start"].to_numpy(), own["block_stop"].to_numpy()
        bad = np.flatnonzero(begins[1:] < ends[:-1] - _JITTER)
        if len(bad):
            raise BraindecError(
                f"blocks of {name!r} overlap", found=f"{begins[bad[0]]:g} to {ends[bad[0]]:g} s and {begins[bad[0] + 1]:g} to {ends[bad[0] + 1]:g} s",
                fix="recordings that begin elsewhere in the sound make other blocks: leave them out, or blocks='sentence'",
            )  # fmt: skip
        ends = np.minimum(ends, np.append(begins[1:], np.inf))
        found[str(name)] = list(zip(begins.tolist(), ends.tolist(), strict=True))
    return found


def _cut(recordings, where, n_full, trials, *, tmin, shift, baseline, dropped) -> Windows:
    """Windows less their baseline, without the first ``shift`` s."""
    sfreq = recordings[0].sfreq
    n_skip, n_base = round(shift * sfreq), round((baseline or 0.0) * sfreq)
    n_times = n_full - n_skip
    begin, info = (
        (round(tmin * sfreq) + n_skip) / sfreq,
        {"dropped": dropped, "shift": n_skip / sfreq, "baseline": n_base / sfreq},
    )
    if not n_base:
        return Windows(tuple(recordings), where + np.array([0, n_skip]), n_times, trials, begin, info)
    made, index = [], np.empty_like(where)
    for number, recording in enumerate(recordings):
        mine = np.flatnonzero(where[:, 0] == number)
        signal = BaselinedWindows(recording.signal, where[mine, 1], n_base=n_base, n_skip=n_skip, n_times=n_times)
        made.append(replace(recording, signal=signal, events=recording.events.iloc[:0]))
        index[mine] = np.stack([np.full(len(mine), number), np.arange(len(mine)) * n_times], axis=1)
    return Windows(tuple(made), index, n_times, trials, begin, info)


def _at_words(found: Blocks, tmin: float, tmax: float) -> pd.DataFrame:
    """One row a word whose window lies within its block; times are those of the sound."""
    at = found.words["audio_onset"].to_numpy(dtype=float)
    table = found.words.assign(start=at + tmin, _within=["-w" + str(int(k)) for k in found.words["word_index"]])
    table = _with_blocks(table, found)
    inside = (table["in_block"] >= -_EPSILON) & (at + tmax <= table["block_stop"] + _EPSILON)
    return table[inside].reset_index(drop=True)


def _by_stride(found: Blocks, tmin: float, tmax: float, stride: float) -> pd.DataFrame:
    """One row every ``stride`` s of each block; named by the sentence that is under way at the first sample."""
    at, code = found.words["audio_onset"].to_numpy(dtype=float), found.words["_block"].to_numpy()
    word, start = [], []  # the word under way at the first sample of each window, and that sample's time
    for number, begin, end in zip(found.blocks.index, found.blocks["start"], found.blocks["stop"], strict=True):
        mine = np.flatnonzero(code == number)
        n = max(0, int(np.floor((end - begin - (tmax - tmin) + _EPSILON) / stride)) + 1)
        own = begin + stride * np.arange(n)
        word.append(mine[np.maximum(np.searchsorted(at[mine], own + _EPSILON, side="right") - 1, 0)])
        start.append(own)
    rows, start = found.words.iloc[np.concatenate(word)].reset_index(drop=True), np.concatenate(start)
    table = pd.DataFrame({
        "onset": rows["onset"] + start - rows["audio_onset"] - tmin, "duration": tmax - tmin, "trial_type": "stride", "audio": rows["audio"],
        "audio_onset": start - tmin, "sentence_id": rows["sentence_id"], "word_index": np.nan, "text": None, "start": start,
        "_sentence_start": rows["_sentence_start"], "_block": rows["_block"],
        "_within": [f"+{s:.2f}" for s in start - rows["_sentence_start"]],
    })  # fmt: skip
    return _with_blocks(table, found)


def _with_blocks(table: pd.DataFrame, found: Blocks) -> pd.DataFrame:
    """Add what is known of the block of each row, and how far from its begin the window starts."""
    own = found.blocks.loc[table["_block"]].reset_index(drop=True)
    columns = {c: own[c].to_numpy() for c in ("block_id", "block_sentences")}
    columns |= {"block_start": own["start"].to_numpy(), "block_stop": own["stop"].to_numpy()}
    in_block = table["start"].to_numpy(dtype=float) - columns["block_start"]
    return table.drop(columns="_block").assign(**columns, in_block=in_block)


def _check(sfreq, tmin, tmax, anchor, stride, shift, baseline, blocks) -> None:
    for name, value, allowed in (("anchor", anchor, ("word", "stride")), ("blocks", blocks, ("merged", "sentence"))):
        if value not in allowed:
            raise BraindecError(
                f"{name}={value!r} is unknown{did_you_mean(str(value), allowed)}", allowed=", ".join(allowed)
            )
    if not (tmin <= 0 < tmax and 0 <= shift < tmax - tmin and round((tmax - tmin - shift) * sfreq) >= 2):
        raise BraindecError(
            "the window cannot be cut", found=f"tmin={tmin:g}, tmax={tmax:g}, shift={shift:g} s at {sfreq:g} Hz",
            allowed="tmin <= 0 < tmax, 0 <= shift, and two samples or more left",
        )  # fmt: skip
    if baseline is not None and not 0 < baseline <= tmax - tmin:
        raise BraindecError("baseline is the length of a span at the window's begin, s", found=repr(baseline),
                            allowed=f"0 to {tmax - tmin:g}, or None")  # fmt: skip
    if not stride * sfreq >= 1:
        raise BraindecError("stride is a time in s of one sample or more", found=repr(stride))


def _longest(recordings, min_block, blocks) -> float:
    spans = [sentence_blocks(r, min_block=0.0 if blocks == "sentence" else min_block).blocks for r in recordings]
    return max(float((b["stop"] - b["start"]).max()) for b in spans)
