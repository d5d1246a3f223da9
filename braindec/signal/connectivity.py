"""Connectivity of the channels within each window: coherence, its imaginary part, weighted phase-lag index; node strength.

Spectra of overlapping Hann-tapered pieces of a window are combined over the pieces (and, for one number a band, averaged
over its frequencies afterwards). Mixing without delay (volume conduction, a common reference) makes coherence but no
imaginary part.

Source: Nolte et al. 2004 (Clin Neurophysiol 115:2292) for imaginary coherency; Vinck et al. 2011 (NeuroImage 55:1548),
equation 8, for the weighted phase-lag index; Cattai et al. 2021 (Frontiers in Neuroscience 15:613817) for node strength in
motor imagery; Welch 1967 for the pieces.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.signal import get_window

from braindec.errors import BraindecError, did_you_mean
from braindec.signal.filter_bank import check_bands

MEASURES = ("imaginary_coherence", "coherence", "wpli")

__all__ = ["MEASURES", "connectivity", "node_strength"]


def connectivity(
    X: np.ndarray,
    sfreq: float,
    *,
    bands: Sequence[Sequence[float]],
    measure: str = "imaginary_coherence",
    segment: float = 0.5,
    overlap: float = 0.75,
) -> np.ndarray:
    """Return how strongly each pair of channels is connected in each band of each window.

    Parameters
    ----------
    X : array of shape (n_windows, n_channels, n_times)
    sfreq : float
        Hz.
    bands : sequence of (low, high)
        Hz; each must hold a frequency of the pieces (multiples of 1 / segment).
    measure : {"imaginary_coherence", "coherence", "wpli"}
        Size of the imaginary part of coherency; magnitude of coherency; weighted phase-lag index.
    segment, overlap : float
        Length of the pieces in s, and the share that neighbours have in common.

    Returns
    -------
    array of shape (n_windows, n_bands, n_channels, n_channels), float32
        0 to 1, symmetric, zeros on the diagonal.

    Raises
    ------
    BraindecError
        If there are fewer than two channels, a window holds fewer than three pieces, a band is beyond half the sampling
        frequency or between two frequencies, or a channel is constant.
    """
    if measure not in MEASURES:
        raise BraindecError(
            f"unknown measure {measure!r}{did_you_mean(str(measure), MEASURES)}", allowed=", ".join(MEASURES)
        )
    n_windows, n_channels, n_times = X.shape
    if n_channels < 2:
        raise BraindecError("connectivity is between channels", found=f"{n_channels} channel")
    edges = check_bands(bands, sfreq=sfreq)
    length = round(segment * sfreq)
    step = max(1, round(length * (1 - overlap)))
    starts = np.arange(0, n_times - length + 1, step)
    if length < 4 or len(starts) < 3:
        raise BraindecError(
            "connectivity within a window needs three pieces or more",
            found=f"{len(starts)} pieces of {segment:g} s in {n_times / sfreq:.3g} s", fix="longer windows, or a shorter segment",
        )  # fmt: skip
    freqs = np.fft.rfftfreq(length, 1 / sfreq)
    inside = [np.flatnonzero((freqs >= low) & (freqs < high)) for low, high in edges]
    for (low, high), rows in zip(edges, inside, strict=True):
        if not len(rows):
            raise BraindecError(
                f"no frequency of the pieces lies in the band {low:g} to {high:g} Hz", found=f"steps of {sfreq / length:.3g} Hz",
                fix="a longer segment, or a wider band",
            )  # fmt: skip
    used = np.unique(np.concatenate(inside))
    taper = get_window("hann", length)
    out = np.empty((n_windows, len(edges), n_channels, n_channels), dtype=np.float32)
    for i in range(n_windows):
        pieces = np.stack([X[i, :, s : s + length] for s in starts]).astype(np.float64)  # (piece, channel, time)
        pieces -= pieces.mean(axis=2, keepdims=True)
        spectra = np.fft.rfft(pieces * taper, axis=2)[:, :, used].transpose(2, 0, 1)  # (freq, piece, channel)
        strength = _of_pieces(spectra, measure, i)
        for b, rows in enumerate(inside):
            out[i, b] = strength[np.searchsorted(used, rows)].mean(axis=0)
    return out


def _of_pieces(spectra: np.ndarray, measure: str, window: int) -> np.ndarray:
    """Connection of each pair, shape (freq, channel, channel), from spectra (freq, piece, channel)."""
    diagonal = np.arange(spectra.shape[2])
    if measure == "wpli":
        imaginary = np.imag(spectra[:, :, :, None] * spectra[:, :, None, :].conj())  # (freq, piece, channel, channel)
        size = np.abs(imaginary).mean(axis=1)
        found = np.divide(np.abs(imaginary.mean(axis=1)), size, out=np.zeros_like(size), where=size > 0)
    else:
        cross = spectra.swapaxes(1, 2) @ spectra.conj()  # (freq, channel, channel)
        power = np.real(cross[:, diagonal, diagonal])
        if not power.min() > 0:
            flat = np.flatnonzero((power <= 0).any(axis=0))
            raise BraindecError(
                f"channel number {flat[0]} is constant in window {window}: it has no coherence",
                fix="leave flat channels out",
            )
        coherency = cross / np.sqrt(power[:, :, None] * power[:, None, :])
        found = np.abs(coherency.imag if measure == "imaginary_coherence" else coherency)
    found[:, diagonal, diagonal] = 0.0
    return found


def node_strength(connections: np.ndarray) -> np.ndarray:
    """Return the mean connection of each channel with the others, shape (..., n_channels)."""
    return connections.sum(axis=-1) / (connections.shape[-1] - 1)
