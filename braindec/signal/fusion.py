"""Two recordings of the same trials as one: windows of EEG and fMRI (or any others) that were made together, side by side.

Windows of modalities differ in channels, length and sampling frequency, so each part's (channel, time) becomes one column of
numbers, and the columns stand under one another: a fused window is (n_numbers, 1). Whatever decodes windows decodes these
too, controls and audit included; encoders that want the parts back find their shapes in ``info["fused"]``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.types import Recording, Signal, Windows

__all__ = ["fuse_windows"]

KEYS = ("subject", "session", "run", "stimulus_id", "repetition")


def fuse_windows(parts: Mapping[str, Windows], *, keys: Sequence[str] = KEYS) -> Windows:
    """Join windows of the same trials.

    Parameters
    ----------
    parts : mapping of name to Windows
        Two or more, such as ``{"eeg": ..., "fmri": ...}``.
    keys : sequence of str
        Columns of the trials that name a trial; those that all parts have are used, and together they must name each trial
        once in each part.

    Returns
    -------
    Windows of shape (n_trials, sum of n_channels * n_times, 1)
        In the order of the first part; trials that one part lacks are left out and counted in ``info["left_out"]``. Channels
        are named ``eeg:Cz@3`` (sample 3); ``info["fused"]`` maps each part's name to [n_channels, n_times]. Read lazily.

    Raises
    ------
    BraindecError
        If there are fewer than two parts, keys do not name trials once, or no trial is in all parts.
    """
    if not isinstance(parts, Mapping) or not all(isinstance(w, Windows) for w in parts.values()):
        raise BraindecError(
            "parts are windows by the names of their modalities",
            found=type(parts).__name__,
            fix='{"eeg": windows, "fmri": windows}',
        )
    if len(parts) < 2:
        raise BraindecError("fusing needs windows of two modalities or more", found=f"{len(parts)}")
    empty = [name for name, w in parts.items() if not len(w)]
    if empty:
        raise BraindecError(f"there are no windows of {empty[0]!r} to fuse", found="0 windows")
    shared = [k for k in keys if all(k in w.trials for w in parts.values())]
    tables = {name: _names(name, w, shared) for name, w in parts.items()}
    places = {name: pd.Series(np.arange(len(t)), index=t) for name, t in tables.items()}
    first = next(iter(parts))
    common = [t for t in tables[first] if all(t in p.index for p in places.values())]
    if not common:
        raise BraindecError(
            "the parts share no trial", found="; ".join(f"{n}: {t[0] if len(t) else 'no trial'}" for n, t in tables.items()),
            fix=f"name trials alike in {', '.join(shared)}, or say with keys= which columns name a trial",
        )  # fmt: skip
    rows = {name: place.loc[common].to_numpy() for name, place in places.items()}
    whole = parts[first]
    signal = FusedSignal([w[rows[name]] for name, w in parts.items()])
    channels = pd.concat([_channels(name, w) for name, w in parts.items()], ignore_index=True)
    info = {**whole.recordings[0].info, "modality": "fused"}
    left_out = {name: len(w) - len(common) for name, w in parts.items() if len(w) > len(common)}
    told = [f"{n} of {len(parts[name])} trials of {name} have no partner in the other parts (matched by {', '.join(shared)})"
            for name, n in left_out.items()]  # fmt: skip
    recording = Recording(signal, 1.0, channels, info={**info, "warnings": [*info.get("warnings", []), *told]})
    index = np.stack([np.zeros(len(common), np.int64), np.arange(len(common))], axis=1)
    fused = {name: [w.n_channels, w.n_times] for name, w in parts.items()}
    return Windows((recording,), index, 1, whole.trials.iloc[rows[first]], info={"fused": fused, "left_out": left_out})


class FusedSignal(Signal):
    """(number, trial): the parts of each trial, flattened and under one another."""

    def __init__(self, parts: Sequence[Windows]) -> None:
        self.parts = list(parts)
        self.shape = (sum(w.n_channels * w.n_times for w in self.parts), len(self.parts[0]))

    def read(self, channels: slice | np.ndarray = slice(None), start: int = 0, stop: int | None = None) -> np.ndarray:
        """Return the numbers of trials ``start`` to ``stop``, (number, trial)."""
        rows = np.arange(start, self.shape[1] if stop is None else stop)
        blocks = [w.load(rows).reshape(len(rows), -1).T for w in self.parts]
        return np.concatenate(blocks)[channels]


def _names(name: str, windows: Windows, keys: Sequence[str]) -> np.ndarray:
    """One text a trial."""
    if "stimulus_id" not in keys:
        raise BraindecError(
            f"trials of {name!r} cannot be told apart", found=f"shared columns: {', '.join(keys) or 'none'}",
            fix="every part needs stimulus_id, and repetition (or run) where stimuli are shown more than once",
        )  # fmt: skip
    gone = [k for k in keys if windows.trials[k].isna().any()]
    if gone:
        raise BraindecError(
            f"{int(windows.trials[gone[0]].isna().sum())} trials of {name!r} have no {gone[0]}",
            fix="leave them out, or leave it out of keys=",
        )
    texts = windows.trials[list(keys)].astype(str).agg("|".join, axis=1).to_numpy(dtype=object)
    twice = pd.Series(texts)[pd.Series(texts).duplicated()].unique()
    if len(twice):
        raise BraindecError(
            f"trials of {name!r} are not named once by {', '.join(keys)}", found=f"{twice[0]} stands twice",
            fix="add a column such as repetition to all parts and name it in keys=",
        )  # fmt: skip
    return texts


def _channels(name: str, windows: Windows) -> pd.DataFrame:
    table = windows.channels.loc[windows.channels.index.repeat(windows.n_times)].reset_index(drop=True)
    samples = np.tile(np.arange(windows.n_times), windows.n_channels)
    names = [
        f"{name}:{c}@{s}" if windows.n_times > 1 else f"{name}:{c}" for c, s in zip(table["name"], samples, strict=True)
    ]
    return table.assign(name=names, part=name, sample=samples)
