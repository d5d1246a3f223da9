"""Noise input: the same decoder trained and tested on white noise with each channel's scale; must lie at chance.

Source: Jo et al. 2024 (arXiv 2405.06459), where decoders of noise matched those of EEG. A score above chance means
that something other than the signal (order, labels, candidates) carries the class.
"""

from __future__ import annotations

import zlib

import numpy as np

from braindec.evaluate._folds import Context, FoldScores, in_memory, run_folds
from braindec.types import Recording, Signal, Windows

_SAMPLE = 200  # windows that set the scale

__all__ = ["noise_input", "noise_windows"]


def noise_input(context: Context, decoded: FoldScores) -> FoldScores:
    """Run the same folds on noise windows."""
    noise = in_memory(noise_windows(context.windows, seed=context.seed))
    return run_folds(context, noise, label="noise input")


def noise_windows(windows: Windows, *, like: Windows | None = None, seed: int = 0) -> Windows:
    """Return windows of Gaussian white noise with each channel's standard deviation.

    A window's noise depends on its name and the seed only; it is made when it is read, so nothing is held in memory. The scale is
    that of ``like`` (training windows with the same channels) where it is given.
    """
    source = windows if like is None else like
    rows = np.unique(np.linspace(0, len(source) - 1, min(_SAMPLE, len(source))).astype(int))
    scale = source.load(rows).std(axis=(0, 2), dtype=np.float64)
    first = windows.recordings[0]
    signal = NoiseSignal(windows.ids, np.where(scale > 0, scale, 1.0), windows.n_times, seed)
    recording = Recording(signal, windows.sfreq, first.channels, info=first.info)
    index = np.stack([np.zeros(len(windows), int), np.arange(len(windows)) * windows.n_times], axis=1)
    return Windows((recording,), index, windows.n_times, windows.trials, windows.tmin, windows.info)


class NoiseSignal(Signal):
    """White noise laid out window by window.

    Parameters
    ----------
    names : array of str, shape (n_windows,)
        Each window's noise is seeded by its name.
    scale : array of shape (n_channels,)
        Standard deviation of each channel.
    n_times : int
        Samples a window.
    seed : int
        Another seed is other noise.
    """

    def __init__(self, names: np.ndarray, scale: np.ndarray, n_times: int, seed: int) -> None:
        self.seeds = [(int(seed), zlib.crc32(str(name).encode())) for name in names]
        self.scale, self.n_times = scale.astype(np.float32), int(n_times)
        self.shape = (len(scale), len(names) * self.n_times)

    def read(self, channels: slice | np.ndarray = slice(None), start: int = 0, stop: int | None = None) -> np.ndarray:
        stop = self.shape[1] if stop is None else stop
        first, last = start // self.n_times, -(-stop // self.n_times)
        block = np.concatenate([self._window(k) for k in range(first, last)], axis=1)
        return block[channels, start - first * self.n_times : stop - first * self.n_times]

    def _window(self, k: int) -> np.ndarray:
        noise = np.random.default_rng(self.seeds[k]).standard_normal((len(self.scale), self.n_times), dtype=np.float32)
        return noise * self.scale[:, None]
