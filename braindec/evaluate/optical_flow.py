"""Dense optical flow between two frames, in numpy and scipy: pyramidal, iterative Lucas-Kanade with a Gaussian window.

At each level of a pyramid (coarse first) the second frame is warped by the flow so far and the remaining motion is the local
least-squares solution of brightness constancy, Gaussian weighted, kept small where the picture has no structure to follow (a
ridge on the structure tensor). Flow is median filtered between iterations, so that outliers at edges do not spread, and set to
0 where it explains less than a quarter of what changed: noise, and what does not change, does not move. Around a shape on a
plain ground the flow reaches a few pixels too far.

Source: Lucas & Kanade 1981 (IJCAI); Bouguet 2001 (pyramidal form). Differs from the reference in: dense, ridge on the
structure tensor, median filter, flow must explain the change.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates, median_filter

from braindec.errors import BraindecError

__all__ = ["film_flows", "optical_flow"]

SMALLEST = 8
SMOOTH = 1.0
RIDGE = 1e-3
FLOOR = 5e-4  # squared gradient (1 / pixel) below which there is nothing to follow: contrasts of 1 % a pixel
SPREAD = 0.5  # of the window, in which a flow must explain the difference
GAIN = 0.75  # of the squared difference that may be left for a flow to be believed
FAINT = 0.02  # part of the steepest gradient (squared) of the frame below which nothing is followed
NOTHING = 1e-5  # squared difference of frames (0.3 % of full contrast) that is no motion
LARGEST_STEP = 2.0


def optical_flow(
    first: np.ndarray, second: np.ndarray, *, window: float = 3.0, iterations: int = 4, max_levels: int = 4
) -> np.ndarray:
    """Return how far each pixel of ``first`` has moved in ``second``.

    Parameters
    ----------
    first, second : arrays of shape (n, height, width) or (n, height, width, channel)
        Frames of 0 to 1; all channels have one flow (a shape as bright as its ground moves by its colour).
    window : float
        Standard deviation of the Gaussian window, pixels.
    iterations : int
        At each level.
    max_levels : int
        Of the pyramid, each half the size of the one below, none smaller than 8 pixels. Three levels follow about 8 pixels a
        frame.

    Returns
    -------
    array of shape (n, height, width, 2)
        Pixels to the right (columns) and down (rows).

    Raises
    ------
    BraindecError
        If shapes differ, or frames are smaller than 8 pixels.
    """
    first, second = (np.asarray(v, dtype=np.float64) for v in (first, second))
    if first.ndim == 3 and second.ndim == 3:
        first, second = first[..., None], second[..., None]
    if first.shape != second.shape or first.ndim != 4 or min(first.shape[1:3]) < SMALLEST:
        raise BraindecError(
            "optical flow is between two stacks of frames (n, height, width[, channel])", found=f"{first.shape} and {second.shape}",
            allowed=f"frames of at least {SMALLEST} pixels, both of one shape",
        )  # fmt: skip
    if window <= 0 or iterations < 1 or max_levels < 1:
        raise BraindecError(
            "optical flow needs a window, iterations and levels",
            found=f"window={window}, iterations={iterations}, max_levels={max_levels}",
        )
    pyramid = [tuple(gaussian_filter(v, (0, SMOOTH, SMOOTH, 0), mode="nearest") for v in (first, second))]
    while len(pyramid) < max_levels and min(pyramid[-1][0].shape[1:3]) >= 2 * SMALLEST:
        pyramid.append(tuple(gaussian_filter(v, (0, 1.0, 1.0, 0), mode="nearest")[:, ::2, ::2] for v in pyramid[-1]))
    flow = np.zeros((*pyramid[-1][0].shape[:3], 2))
    for a, b in reversed(pyramid):
        if flow.shape[1:3] != a.shape[1:3]:
            flow = 2 * _enlarged(flow, a.shape[1:3])
        flow = _refined(a, b, flow, window=window, iterations=iterations)
    return flow * _explains(*pyramid[0], flow, window=window)[..., None]


def film_flows(films: np.ndarray, *, window: float = 3.0, batch: int = 256) -> np.ndarray:
    """Return the flow between neighbouring frames of films.

    Parameters
    ----------
    films : array of shape (n, n_frames, height, width, channel)
        Values of 0 to 1.
    window : float
        See :func:`optical_flow`.
    batch : int
        Pairs of frames at a time.

    Returns
    -------
    array of shape (n, n_frames - 1, height, width, 2)
    """
    if films.ndim != 5 or films.shape[1] < 2:
        raise BraindecError("motion needs films of at least two frames", found=f"shape {films.shape}")
    a, b = (v.reshape(-1, *films.shape[2:]) for v in (films[:, :-1], films[:, 1:]))
    flows = [optical_flow(a[i : i + batch], b[i : i + batch], window=window) for i in range(0, len(a), batch)]
    return np.concatenate(flows).reshape(len(films), films.shape[1] - 1, *films.shape[2:4], 2)


def _enlarged(flow: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Bilinear; pixel i of a level stands where pixel 2 i of the level below does."""
    _, height, width, _ = flow.shape
    rows, columns = np.minimum(np.arange(shape[0]) / 2, height - 1), np.minimum(np.arange(shape[1]) / 2, width - 1)
    r0, c0 = np.minimum(rows.astype(int), max(height - 2, 0)), np.minimum(columns.astype(int), max(width - 2, 0))
    fr, fc = (rows - r0)[None, :, None, None], (columns - c0)[None, None, :, None]
    upper = flow[:, r0][:, :, c0] * (1 - fc) + flow[:, r0][:, :, c0 + 1] * fc
    lower = flow[:, r0 + 1][:, :, c0] * (1 - fc) + flow[:, r0 + 1][:, :, c0 + 1] * fc
    return upper * (1 - fr) + lower * fr


def _refined(a: np.ndarray, b: np.ndarray, flow: np.ndarray, *, window: float, iterations: int) -> np.ndarray:
    spread = (0, window, window)

    for _ in range(iterations):
        warped, inside = _warped(b, flow)
        gy, gx = np.gradient((a + warped) / 2, axis=(1, 2))
        gt = warped - a
        products = (gx * gx, gy * gy, gx * gy, gx * gt, gy * gt)
        xx, yy, xy, xt, yt = (gaussian_filter(p.mean(axis=-1) * inside, spread, mode="nearest") for p in products)
        ridge = RIDGE * (xx + yy).mean(axis=(1, 2), keepdims=True) + FLOOR
        xx, yy = xx + ridge, yy + ridge
        det = xx * yy - xy * xy
        step = np.stack([-(yy * xt - xy * yt) / det, -(xx * yt - xy * xt) / det], axis=-1)
        flow = flow + np.clip(step, -LARGEST_STEP, LARGEST_STEP)
        flow = median_filter(flow, size=(1, 3, 3, 1), mode="nearest")
    return flow


def _warped(frames: np.ndarray, flow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frames seen through a flow, and where it stays inside them."""
    n, height, width, _ = frames.shape
    place = np.meshgrid(np.arange(n), np.arange(height), np.arange(width), indexing="ij", sparse=True)
    row, column = place[1] + flow[..., 1], place[2] + flow[..., 0]
    inside = (row >= 0) & (row <= height - 1) & (column >= 0) & (column <= width - 1)
    at = [np.broadcast_to(place[0], row.shape), row, column]
    channels = [map_coordinates(c, at, order=1, mode="nearest") for c in np.moveaxis(frames, -1, 0)]
    return np.stack(channels, axis=-1), inside


def _explains(a: np.ndarray, b: np.ndarray, flow: np.ndarray, *, window: float) -> np.ndarray:
    """Where the flow takes away a good part of the squared difference that no motion leaves, and something can be followed."""
    warped, inside = _warped(b, flow)
    spread = (0, SPREAD * window, SPREAD * window)
    before = gaussian_filter(((b - a) ** 2).mean(axis=-1) * inside, spread, mode="nearest")
    after = gaussian_filter(((warped - a) ** 2).mean(axis=-1) * inside, spread, mode="nearest")
    edges = sum((g**2).mean(axis=-1) for g in np.gradient(a, axis=(1, 2)))
    edges = gaussian_filter(edges, (0, 1.0, 1.0), mode="nearest")
    return (after < GAIN * before - NOTHING) & (edges > FAINT * edges.max(axis=(1, 2), keepdims=True))
