"""Image embeddings computed from pixels: oriented energy and colour on a grid, reduced by principal components.

Source: the layout of oriented (Gabor) energies on a grid follows Oliva & Torralba 2001 (the gist of a scene), sections
3-4; colours are the opponent channels of Ruderman, Cronin & Chiao 1998, simplified to sums and differences.
Differs from the reference in: the filters are real-valued log-Gabor gains in the Fourier plane, and means of colour are
added. Everything that is estimated (mean, components, scale) sees training images only.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from braindec.types import Features

_GRID = 4
_SIDE = 64
_FREQUENCIES = (0.06, 0.12, 0.24)  # cycles a pixel of the 64 x 64 picture
_N_ORIENTATIONS = 6


def picture_features(pictures: np.ndarray) -> np.ndarray:
    """Describe pictures by oriented energy and colour in each cell of a 4 x 4 grid.

    Parameters
    ----------
    pictures : array of shape (n, side, side, 3), uint8
        ``side`` a multiple of 64.

    Returns
    -------
    array of shape (n, 336), float64
        (3 frequencies x 6 orientations + 3 colours) x 16 cells.
    """
    n, side = pictures.shape[:2]
    step = side // _SIDE
    small = pictures.reshape(n, _SIDE, step, _SIDE, step, 3).mean(axis=(2, 4)) / 255.0  # (n, 64, 64, 3)
    red, green, blue = np.moveaxis(small, -1, 0)
    luminance = (red + green + blue) / 3
    colours = [luminance, red - green, (red + green) / 2 - blue]
    spectrum = np.fft.fft2(luminance - luminance.mean(axis=(1, 2), keepdims=True))
    maps = [*colours, *(np.log1p(20 * np.abs(np.fft.ifft2(spectrum * gain))) for gain in _gabor_gains())]
    cell = _SIDE // _GRID
    pooled = [m.reshape(n, _GRID, cell, _GRID, cell).mean(axis=(2, 4)).reshape(n, -1) for m in maps]
    return np.concatenate(pooled, axis=1)


def _gabor_gains() -> list[np.ndarray]:
    """One-sided (analytic) log-Gabor gains, each of shape (64, 64)."""
    fy, fx = np.meshgrid(np.fft.fftfreq(_SIDE), np.fft.fftfreq(_SIDE), indexing="ij")
    radius, angle = np.hypot(fx, fy), np.arctan2(fy, fx)
    radius[0, 0] = 1.0
    gains = []
    for frequency in _FREQUENCIES:
        ring = np.exp(-(np.log(radius / frequency) ** 2) / (2 * np.log(0.6) ** 2))
        ring[0, 0] = 0.0
        for k in range(_N_ORIENTATIONS):
            turn = np.angle(np.exp(1j * (angle - np.pi * k / _N_ORIENTATIONS)))
            gains.append(ring * np.exp(-(turn**2) / (2 * 0.35**2)))
    return gains


def embed(raw: np.ndarray, stimuli: pd.DataFrame, *, n_units: int) -> Features:
    """Reduce picture features to standardised principal components, fitted on training stimuli only.

    Parameters
    ----------
    raw : array of shape (n, n_raw)
        From :func:`picture_features`.
    stimuli : DataFrame
        stimulus_id, concept_id, path, part; ``part`` says which rows are "train".
    n_units : int
        Components kept (fewer when there are fewer training stimuli).

    Returns
    -------
    Features of shape (n, n_units)
        Mean 0, variance 1 and uncorrelated over training stimuli.
    """
    train = (stimuli["part"] == "train").to_numpy()
    scaled = (raw - raw[train].mean(axis=0)) / (raw[train].std(axis=0) + 1e-9)
    _, singular, axes = np.linalg.svd(scaled[train], full_matrices=False)
    n_units = min(n_units, int(train.sum()) - 1, int((singular > 1e-6 * singular[0]).sum()))
    axes = axes[:n_units]
    axes *= np.sign(axes[np.arange(n_units), np.abs(axes).argmax(axis=1)])[:, None]  # a component's sign is arbitrary
    values = scaled @ axes.T
    values /= values[train].std(axis=0)
    explained = singular[:n_units] ** 2 / np.sum(singular**2)
    units = pd.DataFrame({"index": range(n_units), "component": [f"pc{i:03d}" for i in range(n_units)],
                          "variance_explained": explained})  # fmt: skip
    info = {"model": "oriented energy and colour on a 4 x 4 grid, principal components", "version": "1", "fitted_on": "part == train",
            "n_fitted": int(train.sum())}  # fmt: skip
    return Features(values.astype(np.float32), stimuli, units, info)
