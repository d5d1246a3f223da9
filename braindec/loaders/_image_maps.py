"""Features of pixels: oriented energy, histograms of oriented gradients, colour, small pictures; nothing is estimated.

Source: oriented energy on a grid follows Oliva & Torralba 2001 (International Journal of Computer Vision 42, sections
3-4); histograms of oriented gradients follow Dalal & Triggs 2005 (CVPR, section 6); colour is the mean and spread of
opponent channels on a grid (MPEG-7 colour layout in spirit).
Differs from the reference in: gist uses log-Gabor gains in the Fourier plane without local contrast normalisation of
the image; gradient histograms are normalised a cell with its neighbours, without overlapping blocks.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.ndimage import uniform_filter

from braindec.errors import BraindecError

_FREQUENCIES = (0.05, 0.1, 0.2, 0.35)  # cycles a pixel
_N_ORIENTATIONS = 8
_N_BINS = 9


def _gist(pictures: np.ndarray, grid: int) -> tuple[np.ndarray, list[str]]:
    grey = pictures.mean(axis=3)
    grey = grey - grey.mean(axis=(1, 2), keepdims=True)
    height, width = grey.shape[1:]
    pad = max(height, width) // 4
    spectrum = np.fft.fft2(np.pad(grey, ((0, 0), (pad, pad), (pad, pad)), mode="reflect"))
    fy, fx = np.meshgrid(np.fft.fftfreq(height + 2 * pad), np.fft.fftfreq(width + 2 * pad), indexing="ij")
    radius, angle = np.hypot(fx, fy), np.arctan2(fy, fx)
    radius[0, 0] = 1.0
    parts, names = [], []
    for frequency in _FREQUENCIES:
        ring = np.exp(-(np.log(radius / frequency) ** 2) / (2 * np.log(0.6) ** 2))
        ring[0, 0] = 0.0
        for k in range(_N_ORIENTATIONS):
            turn = np.angle(np.exp(1j * (angle - np.pi * k / _N_ORIENTATIONS)))  # one-sided: the result is analytic
            gain = ring * np.exp(-(turn**2) / (2 * (np.pi / _N_ORIENTATIONS / 1.5) ** 2))
            energy = np.abs(np.fft.ifft2(spectrum * gain))[:, pad : pad + height, pad : pad + width]
            parts.append(_pool(energy, grid))
            names += [f"gist-f{frequency:g}-o{k}-c{c}" for c in range(grid * grid)]
    return np.concatenate(parts, axis=1), names


def _hog(pictures: np.ndarray, grid: int) -> tuple[np.ndarray, list[str]]:
    cells = 2 * grid
    dy, dx = np.gradient(pictures, axis=(1, 2))
    strength = np.hypot(dx, dy)
    best = strength.argmax(axis=3)[..., None]  # the colour channel with the steepest gradient
    dx, dy, strength = (np.take_along_axis(a, best, axis=3)[..., 0] for a in (dx, dy, strength))
    place = (np.arctan2(dy, dx) % np.pi) / np.pi * _N_BINS
    lower = np.floor(place - 0.5)
    share = place - 0.5 - lower
    votes = [(lower.astype(int) % _N_BINS, 1 - share), ((lower.astype(int) + 1) % _N_BINS, share)]
    histogram = np.stack(
        [sum(_pool(np.where(b == k, strength * w, 0.0), cells) for b, w in votes) for k in range(_N_BINS)], axis=2
    )  # (n, cells * cells, bins)
    field = histogram.reshape(len(pictures), cells, cells, _N_BINS)
    local = uniform_filter((field**2).sum(axis=3), size=(1, 3, 3), mode="nearest")
    scaled = field / np.sqrt(local + 1e-6)[..., None]
    names = [f"hog-c{c}-b{k}" for c in range(cells * cells) for k in range(_N_BINS)]
    return np.minimum(scaled, 2.0).reshape(len(pictures), -1), names


def _colour(pictures: np.ndarray, grid: int) -> tuple[np.ndarray, list[str]]:
    red, green, blue = np.moveaxis(pictures.astype(np.float64), 3, 0)  # a spread is a small difference of large squares
    channels = {"light": (red + green + blue) / 3, "red_green": red - green, "yellow_blue": (red + green) / 2 - blue}
    parts, names = [], []
    for name, channel in channels.items():
        mean = _pool(channel, grid)
        spread = np.sqrt(np.maximum(_pool(channel**2, grid) - mean**2, 0.0))
        parts += [mean, spread]
        names += [f"colour-{name}-{what}-c{c}" for what in ("mean", "spread") for c in range(grid * grid)]
    return np.concatenate(parts, axis=1), names


def _pixels(pictures: np.ndarray, grid: int) -> tuple[np.ndarray, list[str]]:
    side, names = 4 * grid, "rgb" if pictures.shape[3] == 3 else ("grey",)
    small = np.stack([_pool(pictures[..., c], side) for c in range(pictures.shape[3])], axis=2)
    return small.reshape(len(pictures), -1), [f"pixels-{p}-{c}" for p in range(side * side) for c in names]


KINDS: dict[str, Callable[[np.ndarray, int], tuple[np.ndarray, list[str]]]] = {
    "gist": _gist,
    "hog": _hog,
    "colour": _colour,
    "pixels": _pixels,
}


def _pool(maps: np.ndarray, grid: int) -> np.ndarray:
    """Means of (n, height, width) over a grid of cells that differ by a pixel at most, shape (n, grid * grid)."""
    for axis in (1, 2):
        edges = np.linspace(0, maps.shape[axis], grid + 1).round().astype(int)
        if (np.diff(edges) < 1).any():
            raise BraindecError(
                f"images of {maps.shape[axis]} pixels are too small for {grid} cells",
                fix="make them larger, or the grid smaller",
            )
        summed = np.add.reduceat(maps, edges[:-1], axis=axis)
        shape = [1, 1, 1]
        shape[axis] = grid
        maps = summed / np.diff(edges).reshape(shape)
    return maps.reshape(len(maps), -1)
