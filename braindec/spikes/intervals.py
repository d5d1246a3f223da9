"""Intervals between spikes: their distribution, CV, and the local measures CV2, LV, LvR that a slow rate change leaves alone.

No interval goes across a gap of the support, and local measures compare only intervals that follow one another.

Source: Holt et al. 1996 (J Neurophysiol 75:1806) for CV2 = mean of 2 |I1 - I2| / (I1 + I2); Shinomoto et al. 2003
(Neural Computation 15:2823) for LV = 3 mean of ((I1 - I2) / (I1 + I2))^2; Shinomoto et al. 2009 (PLoS Comput Biol
5:e1000433, eq. 3) for LvR = 3 mean of (1 - 4 I1 I2 / (I1 + I2)^2) (1 + 4 R / (I1 + I2)). All are 1 for a Poisson
process (LvR with R = 0) and 0 for a clock.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.spikes._observed import TIE, checked_spikes, joined
from braindec.stats.asked import number, whole
from braindec.stats.bootstrap import interval_of
from braindec.types import Spikes

__all__ = ["Intervals", "interspike_intervals", "interval_histogram", "interval_statistics"]

MEASURES = ("cv", "cv2", "lv", "lvr")


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


def interval_statistics(
    spikes: Spikes, *, refractory: float = 0.005, n_bootstrap: int = 500, level: float = 0.95, seed: int = 0
) -> pd.DataFrame:
    """Return CV, CV2, LV and LvR of each unit, with intervals by a bootstrap of blocks of neighbouring intervals.

    Parameters
    ----------
    spikes : Spikes
        The recording.
    refractory : float
        R of LvR, s.
    n_bootstrap : int
        Resamples; 0 gives no intervals.
    level : float
        Coverage wanted.
    seed : int
        Source of chance.

    Returns
    -------
    DataFrame
        unit, name, metric, value, low, high, n (intervals). A unit with fewer than 2 intervals (CV), or no pair of them
        (the others), has no value: NaN, with the reason in ``note``.
    """
    number(refractory, "refractory", least=0, unit="s")
    whole(n_bootstrap, "n_bootstrap")
    rng = np.random.default_rng(seed)
    rows = []
    for u, (found, name) in enumerate(zip(interspike_intervals(spikes), spikes.units["name"].astype(str), strict=True)):
        values = _measures(found, np.arange(len(found.lengths)), refractory)
        draws = _draws(found, refractory, n_bootstrap, rng) if n_bootstrap else {}
        first, _ = found.pairs()
        for metric in MEASURES:
            n = len(found.lengths) if metric == "cv" else len(first)
            low, high = (interval_of(draws[metric], n_units=n, level=level) if metric in draws and n >= 10 else (np.nan, np.nan))  # fmt: skip
            rows.append({"unit": u, "name": name, "metric": metric, "value": values[metric], "low": max(low, 0.0) if np.isfinite(low) else low,
                         "high": high, "n": n, "note": "" if np.isfinite(values[metric]) else "too few intervals"})  # fmt: skip
    return pd.DataFrame(rows)


def _measures(found: Intervals, rows: np.ndarray, refractory: float) -> dict[str, float]:
    """The measures of some intervals (rows, of which those that follow their neighbour make pairs with it)."""
    lengths = found.lengths[rows]
    out = {"cv": float(lengths.std() / lengths.mean()) if len(lengths) > 1 and lengths.mean() > 0 else np.nan}
    later = rows[found.follows[rows]]
    a, b = found.lengths[later - 1], found.lengths[later]
    keep = a + b > 0  # two doubled spikes in a row say nothing
    a, b = a[keep], b[keep]
    if not len(a):
        return out | dict.fromkeys(MEASURES[1:], np.nan)
    both = a + b
    local = ((a - b) / both) ** 2
    return out | {"cv2": float(np.mean(2 * np.abs(a - b) / both)), "lv": float(3 * local.mean()),
                  "lvr": float(3 * np.mean(local * (1 + 4 * refractory / both)))}  # fmt: skip


def _draws(found: Intervals, refractory: float, n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Bootstrap of runs of neighbouring intervals, as long as the square root of their number."""
    size = len(found.lengths)
    if size < 10:
        return {}
    run = max(2, int(np.sqrt(size)))
    starts = rng.integers(0, size, size=(n, -(-size // run)))
    rows = ((starts[:, :, None] + np.arange(run)) % size).reshape(n, -1)[:, :size]
    drawn = [_measures(found, r, refractory) for r in rows]
    table = {m: np.array([d[m] for d in drawn]) for m in MEASURES}
    return {m: v for m, v in table.items() if np.isfinite(v).all()}


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
