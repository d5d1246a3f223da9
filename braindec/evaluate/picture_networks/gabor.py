"""Gabor: oriented energy in several scales and coarse colour, in places; a description of pictures that needs no weights.

Log-Gabor filters (8 orientations in octave scales down to a wavelength of 3 pixels) are applied to luminance, and to the two
colour differences of colour pictures; the amplitude of the complex response, and the plain low-pass picture, are averaged in a
grid of places. Amplitude does not change with small shifts, low-pass colour tells what energy does not.

Source: Field 1987 (J. Opt. Soc. Am. A 4), log-Gabor functions; Kay et al. 2008 (Nature 452), Gabor energy as a description of
natural images; opponent colours as in Plataniotis & Venetsanopoulos 2000.
"""

from __future__ import annotations

import numpy as np

from braindec.errors import BraindecError
from braindec.evaluate._made_and_true import GREY, resized
from braindec.evaluate.picture_network import PictureNetwork

__all__ = ["Gabor"]

BANDWIDTH = 0.55  # ratio of the radial Gaussian's width to the centre frequency: about 1.5 octaves


class Gabor(PictureNetwork):
    """Log-Gabor energy and low-pass colour.

    Parameters
    ----------
    n_orientations : int
    grid : int
        Places along each side; fewer for pictures with fewer than two pixels a place.
    max_size : int
        Larger pictures are scaled down to this many pixels on their longer side first.

    Attributes
    ----------
    layers : tuple
        "all" (energy and low-pass, the default), "energy", "low_pass", and "scale-1" (finest), "scale-2", "scale-3": the energy
        of one scale.
    """

    name = "gabor"
    layers = ("all", "energy", "low_pass", "scale-1", "scale-2", "scale-3")
    map_layers = ("energy", "low_pass")

    def __init__(self, *, n_orientations: int = 8, grid: int = 8, max_size: int = 64) -> None:
        if n_orientations < 2 or grid < 1 or max_size < 8:
            raise BraindecError(
                "gabor needs at least 2 orientations, 1 place and 8 pixels",
                found=f"n_orientations={n_orientations}, grid={grid}, max_size={max_size}",
            )
        self.n_orientations, self.grid, self.max_size = n_orientations, grid, max_size

    def describe(self, pictures: np.ndarray, layer: str) -> np.ndarray:
        """Return the units of a layer, all places and filters in a row."""
        wanted = {"all": ("energy", "low_pass")}.get(layer, (layer,))
        return np.concatenate([m.reshape(len(m), -1) for m in self.maps(pictures, wanted)], axis=1)

    def maps(self, pictures: np.ndarray, layers: tuple[str, ...]) -> list[np.ndarray]:
        """Return maps (n, grid, grid, filters) of layers."""
        height, width = pictures.shape[1:3]
        if min(height, width) < 4:
            raise BraindecError("gabor needs pictures of at least 4 pixels", found=f"{height} x {width}")
        longer = max(height, width)
        if longer > self.max_size:
            size = tuple(max(4, round(s * self.max_size / longer)) for s in (height, width))
            pictures = resized(pictures, size)
        opponent = _opponent(np.asarray(pictures, dtype=np.float32))
        found: dict[str, np.ndarray] = {}
        if any(layer != "low_pass" for layer in layers):
            scales = self._energy(opponent)
            found = {f"scale-{i + 1}": s for i, s in enumerate(scales)}
            found["energy"] = np.concatenate(scales, axis=-1)
        if any(layer in ("low_pass", "all") for layer in layers):
            found["low_pass"] = self._places(opponent)
        missing = [layer for layer in layers if layer not in found]
        if missing:
            raise BraindecError(
                f"pictures of {height} x {width} have no {missing[0]}", allowed=", ".join(sorted(found)),
                fix="larger pictures have more scales",
            )  # fmt: skip
        return [found[layer] for layer in layers]

    def _energy(self, opponent: np.ndarray) -> list[np.ndarray]:
        shorter = min(opponent.shape[1:3])
        margin = min(max(8, shorter // 4), shorter // 2)  # a filter of the coarsest scale reaches about so far
        padded = np.pad(opponent, ((0, 0), (margin, margin), (margin, margin), (0, 0)), mode="reflect")
        spectrum = np.fft.fft2(padded, axes=(1, 2))
        scales = []
        for wavelength in _wavelengths(min(opponent.shape[1:3])):
            filters = _log_gabor(padded.shape[1:3], wavelength, self.n_orientations)
            amplitude = [np.abs(np.fft.ifft2(spectrum * f[None, :, :, None], axes=(1, 2))) for f in filters]
            kept = np.concatenate(amplitude, axis=-1)[
                :, margin : padded.shape[1] - margin, margin : padded.shape[2] - margin
            ]
            scales.append(self._places(kept.astype(np.float32)))
        return scales

    def _places(self, maps: np.ndarray) -> np.ndarray:
        import torch
        from torch.nn.functional import adaptive_avg_pool2d

        shape = tuple(min(self.grid, max(2, s // 2)) for s in maps.shape[1:3])
        nchw = torch.from_numpy(np.ascontiguousarray(np.moveaxis(maps, -1, 1)))
        return np.moveaxis(adaptive_avg_pool2d(nchw, shape).numpy(), 1, -1)


def _wavelengths(size: int) -> list[float]:
    """Up to three octaves from 3 pixels on, not longer than the picture."""
    return [w for w in (3.0, 6.0, 12.0) if w <= size]


def _opponent(pictures: np.ndarray) -> np.ndarray:
    """Luminance, and red - green and blue - yellow halves of colour pictures."""
    if pictures.shape[-1] == 1:
        return pictures
    red, green, blue = np.moveaxis(pictures, -1, 0)
    return np.stack([pictures @ GREY.astype(np.float32), (red - green) / 2, (blue - (red + green) / 2) / 2], axis=-1)


def _log_gabor(shape: tuple[int, int], wavelength: float, n_orientations: int) -> list[np.ndarray]:
    """Filters in the frequency domain, one-sided so that the response is complex and its amplitude is energy."""
    fy, fx = np.meshgrid(*(np.fft.fftfreq(s) for s in shape), indexing="ij")
    radius, angle = np.hypot(fx, fy), np.arctan2(fy, fx)
    radius[0, 0] = 1.0
    radial = np.exp(-(np.log(radius * wavelength) ** 2) / (2 * np.log(BANDWIDTH) ** 2))
    radial[0, 0] = 0.0
    filters = []
    for k in range(n_orientations):
        turned = np.angle(np.exp(1j * (angle - np.pi * k / n_orientations)))
        filters.append(
            (2 * radial * np.exp(-(turned**2) / (2 * (np.pi / n_orientations / 1.2) ** 2))).astype(np.float32)
        )
    return filters
