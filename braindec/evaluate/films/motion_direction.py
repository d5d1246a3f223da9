"""Motion direction: does the made film move the way the film shown did?

The direction of a film is that of its summed optical flow. ``strict`` asks whether it is nearest to the same of left, right,
up and down as the true one (chance one quarter); ``cosine`` takes the cosine of the angle between the two (chance 0);
:func:`direction_errors` gives the angle in degrees.

A made film without motion has no direction and counts 0 (wrong). A film shown without motion cannot be got right or wrong and
counts chance; give ``directions`` where they are known.

Source: the flow of :mod:`braindec.evaluate.optical_flow`; circular error as in circular statistics (Fisher 1993).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from braindec.errors import BraindecError, did_you_mean
from braindec.evaluate.optical_flow import film_flows
from braindec.evaluate.picture_metric import PictureMetric

__all__ = ["motion_direction", "direction_errors", "motion_angles"]

WORDS = {"right": 0.0, "up": 90.0, "left": 180.0, "down": 270.0}
STILL = 0.1  # pixels a frame that the fastest hundredth of pixels must pass


def motion_angles(films: np.ndarray, *, window: float = 3.0) -> np.ndarray:
    """Return the direction of each film in degrees, 0 right, 90 up, (n,); NaN for one that stands still."""
    flows = film_flows(films, window=window)
    flat = flows.reshape(len(flows), -1, 2)
    total = flat.sum(axis=1)
    fastest = np.quantile(np.linalg.norm(flat, axis=-1), 0.99, axis=1)
    angle = np.degrees(np.arctan2(-total[:, 1], total[:, 0])) % 360
    return np.where((fastest > STILL) & (np.abs(total).max(axis=1) > 1e-9), angle, np.nan)


def direction_errors(made: np.ndarray, true: np.ndarray, *, directions: Sequence[Any] | None = None) -> np.ndarray:
    """Return the angle between the directions of made and true films, degrees of 0 to 180, (n,); NaN where one is still."""
    difference = motion_angles(made) - _true_angles(true, directions)
    return np.abs((difference + 180) % 360 - 180)


def _true_angles(true: np.ndarray, directions: Sequence[Any] | None) -> np.ndarray:
    if directions is None:
        return motion_angles(true)
    if len(directions) != len(true):
        raise BraindecError("directions name one direction an item", found=f"{len(directions)} for {len(true)} items")
    angles = []
    for value in directions:
        if isinstance(value, str) and value not in WORDS:
            raise BraindecError(
                f"there is no direction {value!r}{did_you_mean(value, WORDS)}",
                allowed=f"{', '.join(WORDS)}, or degrees",
            )
        angles.append(WORDS[value] if isinstance(value, str) else float(value) % 360)
    return np.array(angles)


def _direction(
    made: np.ndarray, true: np.ndarray, *, directions: Sequence[Any] | None = None, measure: str = "nearest"
) -> np.ndarray:
    truth, seen = _true_angles(true, directions), motion_angles(made)
    if np.isnan(truth).all():
        raise BraindecError(
            "no film that was shown moves", found=f"{len(true)} films that stand still",
            fix="give directions=[...], or leave motion_direction out",
        )  # fmt: skip
    if measure == "cosine":
        return np.where(np.isnan(truth), 0.0, np.cos(np.radians(seen - truth)))
    right = np.where(np.isnan(seen), np.nan, _quarter(seen) == _quarter(truth))
    return np.where(np.isnan(truth), 0.25, right)


def _quarter(angles: np.ndarray) -> np.ndarray:
    return np.round(np.nan_to_num(angles) / 90).astype(int) % 4


def _chance(n: int, labels: Any, *, measure: str = "nearest", **_: Any) -> float:
    return 0.0 if measure == "cosine" else 0.25


motion_direction = PictureMetric(
    name="motion_direction",
    versions={"strict": _direction, "cosine": partial(_direction, measure="cosine")},
    describe="does the made film move the way the film shown did (left, right, up or down)?",
    kind="films",
    about={
        "strict": "direction of the summed optical flow, nearest of four; a made film without motion is wrong",
        "cosine": "cosine of the angle between the two directions; a made film without motion counts 0",
    },
    chance_level=_chance,
    undefined_says="the made film stands still",
    bounds=(-1.0, 1.0),
    blind_says="the mean training film, the same for every item",
)
