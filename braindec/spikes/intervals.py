"""Intervals between spikes: their distribution, CV, and the local measures CV2, LV, LvR that a slow rate change leaves alone.

No interval goes across a gap of the support, and local measures compare only intervals that follow one another.

Source: Holt et al. 1996 (J Neurophysiol 75:1806) for ``CV2 = mean of 2 |I1 - I2| / (I1 + I2)``; Shinomoto et al. 2003
(Neural Computation 15:2823) for ``LV = 3 mean of ((I1 - I2) / (I1 + I2))^2``; Shinomoto et al. 2009 (PLoS Comput Biol
5:e1000433, eq. 3) for LvR = 3 mean of (1 - 4 I1 I2 / (I1 + I2)^2) (1 + 4 R / (I1 + I2)). All are 1 for a Poisson
process (LvR with R = 0) and 0 for a clock. Intervals: a jackknife of groups (Miller 1974, Biometrika 61:1) on the logarithm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from braindec.errors import BraindecError
from braindec.spikes._observed import TIE, checked_spikes, joined
from braindec.stats.asked import number
from braindec.types import Spikes

__all__ = ["Intervals", "interspike_intervals", "interval_histogram", "interval_statistics"]

MEASURES = ("cv", "cv2", "lv", "lvr")
_GROUPS = 20  # runs of intervals that the jackknife leaves out, one by one


@dataclass(frozen=True)
class Intervals:
    """Intervals of one unit.

    Parameters
    ----------
    lengths : array of shape (n,)
        s, in order of time.
    follows : array of bool, shape (n,)
        Whether an interval begins where the one before it ended (no gap of the support between them).
    """

    lengths: np.ndarray
    follows: np.ndarray

    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Return neighbouring intervals, each with the one after it."""
        later = np.flatnonzero(self.follows)
        return self.lengths[later - 1], self.lengths[later]


def interspike_intervals(spikes: Spikes) -> list[Intervals]:
    """Return the intervals of each unit."""
    checked_spikes(spikes, "interspike_intervals")
    pieces = joined(spikes.support)
    flat, offsets = spikes.trains()
    piece = np.searchsorted(pieces[:, 0], flat + TIE, side="right") - 1
    out = []
    for u in range(spikes.n_units):
        mine = slice(offsets[u], offsets[u + 1])
        within = np.diff(piece[mine]) == 0
        lengths = np.diff(flat[mine])
        follows = np.append(False, within[1:] & within[:-1]) if len(within) else np.zeros(0, bool)
        out.append(Intervals(lengths[within], follows[within]))
    return out


def interval_statistics(spikes: Spikes, *, refractory: float = 0.005, level: float = 0.95) -> pd.DataFrame:
    """Return CV, CV2, LV and LvR of each unit, with intervals by a jackknife of runs of neighbouring intervals.

    The interval of CV is still too narrow where intervals have a heavy tail or wander and there are few hundred of them:
    the rare long ones that make the CV were not seen.

    Parameters
    ----------
    spikes : Spikes
        The recording.
    refractory : float
        R of LvR, s.
    level : float
        Coverage wanted.

    Returns
    -------
    DataFrame
        unit, name, metric, value, low, high, n (intervals). A unit with fewer than 2 intervals (CV), or no pair of them
        (the others), has no value: NaN, with the reason in ``note``.
    """
    number(refractory, "refractory", least=0, unit="s")
    rows = []
    for u, (found, name) in enumerate(zip(interspike_intervals(spikes), spikes.units["name"].astype(str), strict=True)):
        values = _measures(found, np.ones(len(found.lengths), dtype=bool), refractory)
        ends = _ends(found, values, refractory, number(level, "level", least=0, most=1, ends=False))
        first, _ = found.pairs()
        for metric in MEASURES:
            n = len(found.lengths) if metric == "cv" else len(first)
            low, high = ends.get(metric, (np.nan, np.nan))
            rows.append({"unit": u, "name": name, "metric": metric, "value": values[metric], "low": low, "high": high, "n": n,
                         "note": "" if np.isfinite(values[metric]) else "too few intervals"})  # fmt: skip
    return pd.DataFrame(rows)


def _measures(found: Intervals, keep: np.ndarray, refractory: float) -> dict[str, float]:
    """The measures of the intervals that are kept; neighbours are compared where both are."""
    lengths = found.lengths[keep]
    out = {"cv": float(lengths.std() / lengths.mean()) if len(lengths) > 1 and lengths.mean() > 0 else np.nan}
    later = np.flatnonzero(found.follows & keep)
    later = later[keep[later - 1]]
    a, b = found.lengths[later - 1], found.lengths[later]
    keep = a + b > 0  # two doubled spikes in a row say nothing
    a, b = a[keep], b[keep]
    if not len(a):
        return out | dict.fromkeys(MEASURES[1:], np.nan)
    both = a + b
    local = ((a - b) / both) ** 2
    return out | {"cv2": float(np.mean(2 * np.abs(a - b) / both)), "lv": float(3 * local.mean()),
                  "lvr": float(3 * np.mean(local * (1 + 4 * refractory / both)))}  # fmt: skip


def _ends(
    found: Intervals, values: dict[str, float], refractory: float, level: float
) -> dict[str, tuple[float, float]]:
    """Ends of the interval of each measure: runs of neighbouring intervals left out, on the scale of the logarithm."""
    n = len(found.lengths)
    if n < 10:
        return {}
    groups = min(_GROUPS, n // 2)
    of = np.arange(n) * groups // n
    drawn = [_measures(found, of != g, refractory) for g in range(groups)]
    out = {}
    for metric, value in values.items():
        left = np.array([d[metric] for d in drawn])
        if not np.isfinite(left).all() or not np.isfinite(value):
            continue
        if value <= 0 or (left <= 0).any():
            if value == 0 and (left == 0).all():
                out[metric] = (0.0, 0.0)  # a clock
            continue
        each = groups * np.log(value) - (groups - 1) * np.log(left)
        half = stats.t.ppf((1 + level) / 2, groups - 1) * each.std(ddof=1) / np.sqrt(groups)
        out[metric] = (float(min(value, np.exp(each.mean() - half))), float(max(value, np.exp(each.mean() + half))))
    return out


def interval_histogram(
    spikes: Spikes, unit: int | str, *, edges: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the density of a unit's intervals, 1/s, and the edges of its bins, s (50 of equal ratio by default);
    intervals of 0 s are left out.

    Raises
    ------
    BraindecError
        If the unit has fewer than 2 intervals, or edges do not rise.
    """
    lengths = interspike_intervals(spikes.select([unit]))[0].lengths
    lengths = lengths[lengths > 0]
    if len(lengths) < 2:
        raise BraindecError("a distribution of intervals needs 2 or more", found=f"unit {unit} has {len(lengths)}")
    if edges is None:
        edges = np.geomspace(lengths.min() * 0.99, lengths.max() * 1.01, 51)
    edges = np.asarray(edges, dtype=float)
    if edges.ndim != 1 or len(edges) < 2 or (np.diff(edges) <= 0).any():
        raise BraindecError("edges of bins must rise", found=str(edges.tolist())[:80])
    return np.histogram(lengths, edges)[0] / (len(lengths) * np.diff(edges)), edges
