"""Spike trains with one auxiliary spike before and one after them, as ISI and SPIKE distances need at the edges.

The interval before the first spike is not known; it lasts at least from the start of the recording. Its length is taken as
the larger of that stretch and the first known interval, and in the same way at the end. A train without spikes counts as
one with a spike at the start and one at the stop: a single interval as long as the recording.

Source: Kreuz, Mulansky & Bozanic 2015 (SPIKY, J Neurophysiol 113:3432); Mulansky & Kreuz 2016 (SoftwareX
5:183).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from braindec.kernels._trains import check_stretch, check_times

__all__ = ["add_knots", "check_pair", "one_train", "order_keys"]


def check_pair(first: Any, second: Any, start: float, stop: float) -> tuple[list[np.ndarray], float, float]:
    """Return two trains as sorted times inside the stretch ``start`` to ``stop``, and that stretch, in s."""
    trains = [check_times(train, "spike times") for train in (first, second)]
    return trains, *check_stretch(start, stop, np.concatenate(trains))


def one_train(times: np.ndarray, start: float, stop: float) -> np.ndarray:
    """Return one train between its auxiliary spikes, shape (n_spikes + 2,); without spikes start and stop are spikes."""
    real = times if len(times) else np.array([start, stop])
    first, last = (real[1] - real[0], real[-1] - real[-2]) if len(real) > 1 else (0.0, 0.0)
    before, after = min(start, real[0] - first), max(stop, real[-1] + last)
    return np.concatenate([[before], real, [after]])


def add_knots(flat: np.ndarray, offsets: np.ndarray, start: float, stop: float) -> tuple[np.ndarray, np.ndarray]:
    """Return all trains between their auxiliary spikes, and where each begins, as ragged arrays."""
    counts = np.diff(offsets)
    if not len(flat) or (counts == 0).any():
        trains = [one_train(flat[a:b], start, stop) for a, b in pairwise(offsets)]
        return np.concatenate(trains), np.append(0, np.cumsum([len(t) for t in trains])).astype(np.int64)
    head, tail = offsets[:-1], offsets[1:] - 1
    second, penultimate = np.minimum(head + 1, tail), np.maximum(tail - 1, head)
    before = np.minimum(start, flat[head] - (flat[second] - flat[head]))
    after = np.maximum(stop, flat[tail] + (flat[tail] - flat[penultimate]))
    places = offsets + 2 * np.arange(len(offsets))
    knots = np.empty(places[-1])
    inner = np.ones(len(knots), dtype=bool)
    inner[places[:-1]], inner[places[1:] - 1] = False, False
    knots[inner], knots[places[:-1]], knots[places[1:] - 1] = flat, before, after
    return knots, places


def order_keys(knots: np.ndarray, places: np.ndarray, start: float) -> np.ndarray:
    """Return whole numbers in the order of the knots, in which the auxiliary spike after a train comes after all others.

    The bits of floating-point numbers from 0 on have their order, and whole numbers are compared in a quarter of the time,
    which is what a walk through two trains waits for.
    """
    since = np.maximum(knots - start, 0.0)
    since[places[1:] - 1] = np.inf
    return since.view(np.int64)
