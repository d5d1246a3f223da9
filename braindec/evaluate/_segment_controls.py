"""Control inputs for retrieval of speech: stimuli exchanged as whole contents, and windows that know where they are but hear nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.evaluate._rows import rows_of
from braindec.evaluate._segment_ranks import exchange_table, places_in_content
from braindec.types import Windows

__all__ = ["exchanged_stimuli", "place_windows"]


def exchanged_stimuli(windows: Sequence[Windows], *, content: str = "content_id", seed: int = 0) -> list[Windows]:
    """Pair each content's windows with the segments of another content, at the same place in it; the same for all subjects.

    Parameters
    ----------
    windows : sequence of Windows
        Of :func:`braindec.signal.speech_windows.speech_windows`; training windows, or validation windows.
    content : str
        What is exchanged as a whole; no content keeps its own.
    seed : int

    Raises
    ------
    BraindecError
        If there are fewer than two contents.
    """
    trials = pd.concat([w.trials for w in windows], ignore_index=True)
    items = trials.drop_duplicates("stimulus_id").reset_index(drop=True)
    code, position = places_in_content(items, content)
    n = int(code.max()) + 1
    if n < 2:
        raise BraindecError("there is nothing to exchange: all windows are of one content", found="1 content")
    order = np.random.default_rng(seed).permutation(n)
    given = np.empty(n, dtype=int)
    given[order] = np.roll(order, 1)  # one cycle through all: none keeps its own
    new = exchange_table(code, position)[np.arange(len(items)), given[code]]
    names = items["stimulus_id"].to_numpy(dtype=object)
    mapped = pd.Series(names[new], index=names)
    return [w.with_trials(stimulus_id=mapped[w.trials["stimulus_id"]].to_numpy(dtype=object)) for w in windows]


def place_windows(windows: Windows) -> Windows:
    """Return windows of five courses that know no signal: time from the block's begin and to its end, and place in the recording."""
    trials, times = windows.trials, np.arange(windows.n_times) / windows.sfreq
    since = trials["in_block"].to_numpy(dtype=float)[:, None] + times
    left = (trials["block_stop"] - trials["start"]).to_numpy(dtype=float)[:, None] - times
    rows = rows_of(windows)
    where = (trials["onset"].to_numpy(dtype=float) if not rows.timed else rows.start)[:, None] + times
    X = np.stack([since, left, where, np.sin(where / 10), np.cos(where / 10)], axis=1).astype(
        np.float32
    )  # (window, course, time)
    names = ["since begin", "until end", "in recording", "sine", "cosine"]
    info = {k: v for k, v in windows.info.items() if k != "dropped"}
    made = Windows.from_arrays(X, trials, sfreq=windows.sfreq, channels=names, tmin=windows.tmin)
    return Windows(made.recordings, made.index, made.n_times, made.trials, made.tmin, info)
