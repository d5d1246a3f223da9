"""Coloured noise: Gaussian, of unit variance, with a power that falls with frequency."""

from __future__ import annotations

import numpy as np

__all__ = ["coloured"]


def coloured(
    rng: np.random.Generator, shape: tuple[int, int], sfreq: float, *, exponent: float, corner: float = 0.0,
    band: tuple[float, float] | None = None,
) -> np.ndarray:  # fmt: skip
    """Noise of unit variance with power 1/f^exponent above ``corner`` Hz (flat below), kept inside ``band``."""
    frequency = np.fft.rfftfreq(shape[1], 1 / sfreq)
    amplitude = np.maximum(frequency, max(corner, 1e-3)) ** (-exponent / 2)
    amplitude[0] = 0
    if band is not None:
        amplitude[(frequency < band[0]) | (frequency > band[1])] = 0
    spectrum = np.fft.rfft(rng.standard_normal(shape), axis=1) * amplitude
    out = np.fft.irfft(spectrum, n=shape[1], axis=1)
    return out / out.std(axis=1, keepdims=True)
