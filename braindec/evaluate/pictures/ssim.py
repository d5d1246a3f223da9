"""SSIM: structural similarity, in the three definitions that tables of decoded pictures were made with.

Local means, variances and covariance under a Gaussian window (sigma 1.5 pixels, cut at 3.5 sigma: 11 pixels), population
normalised, K1 = .01, K2 = .03, data range 1; the mean over the places where the window fits.

* ``strict``: 2-D window, each colour channel, mean over channels; in the size of the pictures. Pictures of less than 11 pixels
  get the largest window that fits (odd).
* ``mindeye-2023``: pictures scaled to 256 (antialias) then 425 pixels, grey, 2-D window.
* ``braindiffuser-2023``: pictures scaled to 425 pixels, grey, every column of pixels compared with a 1-D window and averaged:
  what the flag ``multichannel=True`` on a grey picture did in the version of scikit-image in use then. A fifth to a quarter lower on natural pictures.

Source: Wang, Bovik, Sheikh & Simoncelli 2004 (IEEE Trans. Image Processing 13), equation 13; versions after Scotti et al. 2023
and Ozcelik & VanRullen 2023.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import correlate1d

from braindec.errors import BraindecError
from braindec.evaluate._made_and_true import sizes_then, with_grey
from braindec.evaluate.picture_metric import PictureMetric

__all__ = ["ssim", "structural_similarity"]

SIGMA, RADIUS = 1.5, 5
C1, C2 = 0.01**2, 0.03**2


def structural_similarity(a: np.ndarray, b: np.ndarray, *, axes: Sequence[int], radius: int = RADIUS) -> np.ndarray:
    """Return the mean structural similarity of each item.

    Parameters
    ----------
    a, b : arrays of shape (n, ...)
        Values of 0 to 1.
    axes : sequence of int
        Axes that the window spreads over; all others are compared place by place. The mean is over everything, less the
        border of ``axes`` where the window does not fit.
    radius : int
        Of the window, in pixels.
    """
    a, b = a.astype(np.float64), b.astype(np.float64)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / SIGMA) ** 2)
    weights /= weights.sum()

    def local(values: np.ndarray) -> np.ndarray:
        for axis in axes:
            values = correlate1d(values, weights, axis=axis, mode="reflect")
        return values

    mean_a, mean_b = local(a), local(b)
    var_a, var_b = local(a * a) - mean_a**2, local(b * b) - mean_b**2
    cov = local(a * b) - mean_a * mean_b
    same = ((2 * mean_a * mean_b + C1) * (2 * cov + C2)) / ((mean_a**2 + mean_b**2 + C1) * (var_a + var_b + C2))
    inner = tuple(slice(radius, -radius) if radius and axis in axes else slice(None) for axis in range(a.ndim))
    return same[inner].reshape(len(a), -1).mean(axis=1)


def _strict(made: np.ndarray, true: np.ndarray, *, resize: tuple[int, ...] | None = None) -> np.ndarray:
    def score(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return structural_similarity(a, b, axes=(1, 2), radius=min(RADIUS, (min(a.shape[1:3]) - 1) // 2))

    return sizes_then(score, made, true, resize)


def _grey(made: np.ndarray, true: np.ndarray, *, resize: tuple[int, ...] | None, axes: tuple[int, ...]) -> np.ndarray:
    def score(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        if min(a.shape[axis] for axis in axes) < 2 * RADIUS + 1:
            raise BraindecError(
                "this version of ssim has a window of 11 pixels", found=f"pictures of {a.shape[1]} x {a.shape[2]}",
                fix="let it scale them (resize=(256, 425)), or use version 'strict'",
            )  # fmt: skip
        return structural_similarity(with_grey(a), with_grey(b), axes=axes)

    return sizes_then(score, made, true, resize)


def _columns(made: np.ndarray, true: np.ndarray, *, resize: tuple[int, ...] | None = (425,)) -> np.ndarray:
    return _grey(made, true, resize=resize, axes=(1,))


def _plane(made: np.ndarray, true: np.ndarray, *, resize: tuple[int, ...] | None = (256, 425)) -> np.ndarray:
    return _grey(made, true, resize=resize, axes=(1, 2))


ssim = PictureMetric(
    name="ssim",
    versions={"strict": _strict, "mindeye-2023": _plane, "braindiffuser-2023": _columns},
    describe="structural similarity of each picture with the one shown (local means, contrasts, covariance)",
    about={
        "strict": "2-D Gaussian window (11 pixels, or the largest that fits) on each colour channel, own size",
        "mindeye-2023": "grey, 2-D Gaussian window, scaled to 256 (antialias) then 425 pixels",
        "braindiffuser-2023": "grey, 1-D Gaussian window along columns only, scaled to 425 pixels",
    },
    by_frame=True,
    bounds=(-1.0, 1.0),
)
