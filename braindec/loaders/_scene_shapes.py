"""Shapes of the drawn scenes as tests of points (inside or not), all of one area, and how they become pixels.

A shape is a function of points (u, v), u to the right and v down, in units in which every shape has the area of the disc of
radius 1: no shape is brighter than another. :data:`REACH` is how far the farthest point of any shape is from its middle.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Inside = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _disc(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return u**2 + v**2 <= 1


def _square(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    half = np.sqrt(np.pi) / 2
    return (np.abs(u) <= half) & (np.abs(v) <= half)


def _triangle(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    inner = np.sqrt(np.pi / (3 * np.sqrt(3)))  # of the inscribed circle: area 3 sqrt(3) r^2
    return (v <= inner) & (np.sqrt(3) * np.abs(u) - v <= 2 * inner)


def _star(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Five points; the inner corners lie at .45 of the outer: area 5 R r sin(36 degrees)."""
    ratio, tip = 0.45, np.pi / 5
    outer = np.sqrt(np.pi / (5 * ratio * np.sin(tip)))
    radius, angle = np.hypot(u, v), np.arctan2(u, -v)
    angle = np.abs(
        (angle + tip) % (2 * tip) - tip
    )  # folded onto half a point: 0 at the tip, 36 degrees at the inner corner
    x, y = radius * np.cos(angle), radius * np.sin(angle)
    corner = outer * ratio * np.cos(tip), outer * ratio * np.sin(tip)
    return (outer - x) * corner[1] - y * (outer - corner[0]) >= 0


def _cross(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    width = 0.34  # of an arm, in units of its length: area 4 a^2 (2 w - w^2)
    arm = np.sqrt(np.pi / (4 * (2 * width - width**2)))
    long, short = np.maximum(np.abs(u), np.abs(v)), np.minimum(np.abs(u), np.abs(v))
    return (long <= arm) & (short <= width * arm)


def _ring(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    hole = 0.55
    outer2 = 1 / (1 - hole**2)
    radius2 = u**2 + v**2
    return (radius2 <= outer2) & (radius2 >= hole**2 * outer2)


def _heart(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """A square on its corner and half a disc on each upper side: area s^2 (1 + pi / 4)."""
    side = np.sqrt(np.pi / (1 + np.pi / 4))
    down = v - 0.224 * side  # its centre of mass in the middle
    a, b = (u + down) / np.sqrt(2), (down - u) / np.sqrt(2)
    half = side / 2
    square = (np.abs(a) <= half) & (np.abs(b) <= half)
    return square | ((a + half) ** 2 + b**2 <= half**2) | (a**2 + (b + half) ** 2 <= half**2)


def _moon(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """A disc less another one of .7 its radius, moved by .6."""
    small, shift = 0.7, 0.6
    first = np.arccos((shift**2 + 1 - small**2) / (2 * shift))
    second = np.arccos((shift**2 + small**2 - 1) / (2 * shift * small))
    lens = (
        first
        + small**2 * second
        - 0.5 * np.sqrt((small + 1 - shift) * (shift + 1 - small) * (shift + small - 1) * (shift + 1 + small))
    )
    outer = np.sqrt(np.pi / (np.pi - lens))
    right = u - 0.2922 * outer  # its centre of mass in the middle
    return (right**2 + v**2 <= outer**2) & ((right - shift * outer) ** 2 + v**2 > (small * outer) ** 2)


SHAPES: dict[str, Inside] = {
    "disc": _disc, "square": _square, "triangle": _triangle, "star": _star, "cross": _cross, "ring": _ring,
    "heart": _heart, "moon": _moon,
}  # fmt: skip
REACH = 1.6
_FINE = 6  # points a pixel and axis: 37 levels at an edge


def coverage(shape: str, centre: tuple[float, float], *, radius: float, angle: float, size: int) -> np.ndarray:
    """Return how much of each pixel a shape covers, (size, size) float32 of 0 to 1.

    Parameters
    ----------
    shape : str
        Of :data:`SHAPES`.
    centre : (float, float)
        x and y in pixels from the upper left corner of the picture; what leaves the picture is cut off.
    radius : float
        Pixels: the radius of the disc of the same area.
    angle : float
        Turn in degrees, counter-clockwise as seen.
    size : int
        Pixels a side.
    """
    reach = int(np.ceil(REACH * radius)) + 1
    first = np.floor(np.asarray(centre)).astype(int) - reach
    n = 2 * reach + 1
    grid = (np.arange(n * _FINE) + 0.5) / _FINE
    x, y = (grid + first[0] - centre[0]) / radius, (grid + first[1] - centre[1]) / radius
    turn = np.deg2rad(angle)
    u = np.cos(turn) * x[None, :] - np.sin(turn) * y[:, None]
    v = np.sin(turn) * x[None, :] + np.cos(turn) * y[:, None]
    patch = SHAPES[shape](u, v).reshape(n, _FINE, n, _FINE).mean(axis=(1, 3), dtype=np.float32)
    out = np.zeros((size, size), np.float32)
    low, high = np.clip(first, 0, size), np.clip(first + n, 0, size)
    inner = patch[low[1] - first[1] : high[1] - first[1], low[0] - first[0] : high[0] - first[0]]
    out[low[1] : high[1], low[0] : high[0]] = inner
    return out


def moved(mask: np.ndarray, right: int, down: int) -> np.ndarray:
    """Shift a picture by whole pixels; what comes in is 0."""
    out = np.zeros_like(mask)
    h, w = mask.shape
    if abs(right) >= w or abs(down) >= h:
        return out
    out[max(down, 0) : h + min(down, 0), max(right, 0) : w + min(right, 0)] = mask[
        max(-down, 0) : h + min(-down, 0), max(-right, 0) : w + min(-right, 0)
    ]
    return out
