"""Timed runs for an alignment: words and their times from the events, units of words at volumes, delayed copies.

Units of words are brought to volumes by Lanczos interpolation at the middle of each volume and copied with delays (finite
impulse response); the rate and the length of words go through the same steps and become nuisance bands.

Source: Huth et al. 2016 (Nature 532:453) for Lanczos interpolation of words and delays; Jain & Huth 2018 (NeurIPS) for units
of language models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from braindec.align._alignment_data import BrainItems, region_labels
from braindec.align._encoding_table import as_regions
from braindec.align.responses import load_responses
from braindec.errors import BraindecError
from braindec.signal.delays import delayed
from braindec.types import Features, Recording

__all__ = ["timed_items", "words_of_runs"]

_LOBES = 3  # of the Lanczos window
_ROLES = ("word", "words")


def words_of_runs(runs: Sequence[Recording]) -> pd.DataFrame:
    """Return the words of all runs as one words table: text_id (story or run), word_index, word, stimulus_id, onset (s), ``run_place``.

    Words are events with a column ``word``, or of trial_type "word" with a column ``text``. The same story in several runs is one
    text if its words are the same.

    Raises
    ------
    BraindecError
        If a run has no words.
    """
    parts: list[pd.DataFrame] = []
    texts: dict[str, str] = {}
    for place, run in enumerate(runs):
        events = _words_of(run)
        text_id, words = _story(run), [str(w).strip() for w in events["word"]]
        whole = " ".join(words)
        if texts.get(text_id, whole) != whole:
            text_id = f"{text_id}@{run.label}"
        texts[text_id] = whole
        stops = np.cumsum([len(w) + 1 for w in words]) - 1
        parts.append(pd.DataFrame({
            "text_id": text_id, "word_index": np.arange(len(words)), "word": words, "start": stops - [len(w) for w in words], "stop": stops,
            "stimulus_id": [f"{text_id}/{k}" for k in range(len(words))], "onset": events["onset"].to_numpy(dtype=float),
            "duration": pd.to_numeric(events["duration"], errors="coerce").fillna(0.0).to_numpy(dtype=float), "run_place": place,
        }))  # fmt: skip
    table = pd.concat(parts, ignore_index=True)
    kept = table.drop_duplicates("stimulus_id").reset_index(drop=True)
    kept.attrs["texts"] = texts
    return kept


def timed_items(
    runs: Sequence[Recording], features: Sequence[Features], *, lags: Sequence[float] = (2.0, 4.0, 6.0, 8.0), steps: Sequence[Any] = (),
    regions: Any = None,
) -> tuple[BrainItems, list[Features]]:  # fmt: skip
    """Return the volumes of timed runs as responses, and units of words at those volumes with delays.

    Parameters
    ----------
    runs : sequence of Recording
        With words among their events (:func:`words_of_runs`).
    features : sequence of Features
        Units of words: one model, its untrained copies; ``stimulus_id`` is that of the words.
    lags : sequence of float
        s; rounded to volumes.
    steps : sequence
        Signal steps for the responses.
    regions : str, mapping or labels, optional

    Raises
    ------
    BraindecError
        If a run has no words, or a word has no features.
    """
    step = 1 / runs[0].sfreq
    moves = sorted({round(d / step) for d in lags})
    responses = load_responses(runs, steps)
    values = np.asarray(responses[:, :], dtype=np.float32)
    place = np.repeat(np.arange(len(runs)), [r.n_times for r in runs])
    rows = pd.concat([_rows(run, k) for k, run in enumerate(runs)], ignore_index=True)
    rows.attrs["reach"] = max((abs(m) for m in moves), default=0) + round(6 / step)
    made = [_at_volumes(runs, one, moves, place, step, rows) for one in features]
    pace = np.concatenate([_volumes(run, np.stack([np.ones(len(w)), w["word"].str.len()], axis=1).astype(float), w, step) for run, w in
                           ((r, _words_of(r)) for r in runs)])  # fmt: skip
    usable = np.isfinite(values).all(axis=0) & ~(values == values[:1]).all(axis=0)
    masks = as_regions(region_labels(regions, responses.channels), values.shape[1])
    masks = {name: mask[usable] for name, mask in masks.items() if mask[usable].any()}
    targets = responses.channels[usable].assign(place=np.flatnonzero(usable)).reset_index(drop=True)
    labels = None if len(runs) == 1 else np.array([r.label for r in runs], dtype=object)[place]
    bands: Mapping[str, np.ndarray] = {"word rate and length": delayed(pace, moves, runs=place)}
    brain = BrainItems(
        values[:, usable], rows, masks, targets, len(usable), "time", labels, list(responses.notes), bands
    )
    return brain, made


def _words_of(run: Recording) -> pd.DataFrame:
    events = run.events
    column = next((c for c in ("word", "text") if c in events), None)
    if column is None:
        raise BraindecError(f"the events of {run.label} hold no words", found=f"columns {', '.join(map(str, events.columns))}",
                            fix="data.options.words=true where the reader knows them, or events with a column word")  # fmt: skip
    kept = events[
        events[column].notna() & (events[column].astype(str).str.strip() != "") & (events[column].astype(str) != "n/a")
    ]
    if column == "text" and "trial_type" in kept:
        kept = kept[kept["trial_type"].isin(_ROLES)]
    if not len(kept):
        raise BraindecError(f"the events of {run.label} hold no words", found=f"{len(events)} events")
    return kept.assign(word=kept[column].astype(str)).sort_values("onset", kind="stable").reset_index(drop=True)


def _story(run: Recording) -> str:
    """The one stimulus of a run, or the run."""
    if "stimulus_id" in run.events:
        found = {str(s) for s in run.events["stimulus_id"].dropna()} - {"n/a", "nan", ""}
        if len(found) == 1:
            return found.pop()
    return run.label


def _rows(run: Recording, number: int) -> pd.DataFrame:
    n, info = run.n_times, run.info
    table = pd.DataFrame({"subject": info.get("subject") or "n/a", "session": info.get("session") or "n/a", "run": info.get("run") or str(number + 1),
                          "onset": np.arange(n) / run.sfreq, "stimulus_id": [f"{run.label}@{k}" for k in range(n)]})  # fmt: skip
    return table.assign(content=_story(run), window_id=table["stimulus_id"])


def _at_volumes(
    runs: Sequence[Recording],
    features: Features,
    moves: Sequence[int],
    place: np.ndarray,
    step: float,
    rows: pd.DataFrame,
) -> Features:
    parts = []
    for run in runs:
        words, story = _words_of(run), _story(run)
        known = set(features.ids)
        text = story if f"{story}/0" in known and f"{story}@{run.label}/0" not in known else f"{story}@{run.label}"
        parts.append(_volumes(run, features.of([f"{text}/{k}" for k in range(len(words))]), words, step))
    values = delayed(np.concatenate(parts).astype(np.float32), moves, runs=place)
    units = pd.DataFrame(features.units)
    many = pd.concat([units.assign(lag=m * step) for m in moves], ignore_index=True)
    return Features(values, rows[["stimulus_id"]], many, dict(features.info))


def _volumes(run: Recording, values: np.ndarray, words: pd.DataFrame, step: float) -> np.ndarray:
    """Lanczos interpolation of words at the middle of the volumes of a run, (n_times, n_units)."""
    middle = (np.arange(run.n_times) + 0.5) * step
    length = pd.to_numeric(words["duration"], errors="coerce").fillna(0.0).to_numpy(dtype=float)
    x = (middle[:, None] - (words["onset"].to_numpy(dtype=float) + length / 2)[None]) / step
    weights = np.where(np.abs(x) < _LOBES, np.sinc(x) * np.sinc(x / _LOBES), 0.0)
    return weights @ values
