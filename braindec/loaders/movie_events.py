"""Events of a film for a brain that hears and sees at once: words with the frame on screen, cuts with the sentence heard.

Source: design of Subramaniam et al. 2024 (ICML; "Revealing vision-language integration in the brain with multimodal
networks"): word onsets with the nearest frame, scene cuts with the nearest sentence.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from braindec.errors import BraindecError

__all__ = ["movie_events", "nearest_rows"]


def movie_events(
    words: pd.DataFrame, cuts: pd.DataFrame, *, frames: pd.DataFrame, sentences: pd.DataFrame, film: str = "film",
    start: float = 0.0, furthest: float = 10.0,
) -> pd.DataFrame:  # fmt: skip
    """Pair every word with the nearest frame, and every cut with the nearest sentence.

    Parameters
    ----------
    words : DataFrame
        ``onset`` (s in the film), ``duration``, ``text_id``; other columns stay.
    cuts : DataFrame
        ``onset`` (s in the film) of the first frame of each scene.
    frames : DataFrame
        ``onset``, ``frame_id``.
    sentences : DataFrame
        ``onset``, ``duration``, ``text_id``; the nearest is the one that is spoken, else the one whose begin or end is
        nearest.
    film : str
        Its name, in the column ``film``.
    start : float
        When the film begins, s in the recording.
    furthest : float
        Cuts whose nearest sentence is further away than this (s) are left out: nothing is said there.

    Returns
    -------
    DataFrame
        In order of time: onset (s in the recording), duration, trial_type ("word" or "cut"), film, movie_time (s in the
        film), frame_id, text_id, stimulus_id (film, text and frame).

    Raises
    ------
    BraindecError
        If a table has no rows or lacks a column.
    """
    needs = {"words": (words, ("onset", "duration", "text_id")), "frames": (frames, ("onset", "frame_id")),
             "sentences": (sentences, ("onset", "duration", "text_id")), "cuts": (cuts, ("onset",))}  # fmt: skip
    for name, (table, columns) in needs.items():
        missing = [c for c in columns if c not in table]
        if missing or (not len(table) and name in ("frames", "sentences")):
            raise BraindecError(
                f"the table of {name} does not work", found=f"{len(table)} rows, columns {list(table)}",
                allowed=f"one row or more with {', '.join(columns)}",
            )  # fmt: skip
    at, seen = frames["onset"].to_numpy(dtype=float), frames["frame_id"].astype(str).to_numpy(dtype=object)
    spoken = words.assign(trial_type="word", frame_id=seen[nearest_rows(at, words["onset"].to_numpy(dtype=float))])
    when = cuts["onset"].to_numpy(dtype=float)
    begin = sentences["onset"].to_numpy(dtype=float)
    rows = nearest_rows(begin, when, ends=begin + sentences["duration"].to_numpy(dtype=float))
    away = np.maximum(np.maximum(begin[rows] - when, when - begin[rows] - sentences["duration"].to_numpy(dtype=float)[rows]), 0)  # fmt: skip
    shown = pd.DataFrame({
        "onset": when, "duration": 0.0, "trial_type": "cut", "frame_id": seen[nearest_rows(at, when)],
        "text_id": sentences["text_id"].astype(str).to_numpy(dtype=object)[rows],
    })[away <= furthest]  # fmt: skip
    table = pd.concat([spoken, shown], ignore_index=True).sort_values("onset", kind="stable", ignore_index=True)
    pair = film + "|" + table["text_id"].astype(str) + "|" + table["frame_id"].astype(str)
    return table.assign(film=film, movie_time=table["onset"], onset=table["onset"] + start, stimulus_id=pair)


def nearest_rows(begins: np.ndarray, times: np.ndarray, *, ends: np.ndarray | None = None) -> np.ndarray:
    """Return for each time the row whose moment, or stretch from begin to end, is nearest; the first of equals.

    Parameters
    ----------
    begins : array of shape (n_rows,)
        s, in any order.
    times : array of shape (n,)
        s.
    ends : array of shape (n_rows,), optional
        s.
    """
    ends = begins if ends is None else ends
    order = np.argsort(begins, kind="stable")
    begins, ends = np.asarray(begins, dtype=float)[order], np.asarray(ends, dtype=float)[order]
    after = np.searchsorted(begins, times, side="right")
    sides = np.clip(np.stack([after - 1, after]), 0, len(begins) - 1)  # (2, n)
    away = np.maximum(np.maximum(begins[sides] - times, times - ends[sides]), 0.0)
    return order[sides[away.argmin(axis=0), np.arange(len(times))]]
