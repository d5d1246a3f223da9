"""Which times of two sequences belong together, when offset and a small drift are unknown and some have no partner.

Some neighbouring times vote for an offset; from there the match grows to both sides, with an estimate of offset and drift that
each match makes better (a Kalman filter of two numbers).
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

__all__ = ["Matched", "match_times"]

_SEEDS = 5  # places that vote
_VOTERS = 40  # neighbouring times that vote
_PEAKS = 4  # offsets that are tried at each place
_RIVAL = 0.9  # share of the best number of matches that makes another offset a rival


@dataclass(frozen=True)
class Matched:
    """Pairs of rows, shape (n, 2), and another offset that fits about as well: (its difference in s, matches)."""

    pairs: np.ndarray
    rival: tuple[float, int] | None


def match_times(a: np.ndarray, b: np.ndarray, *, tolerance: float, max_drift: float) -> Matched:
    """Match times in order.

    Parameters
    ----------
    a, b : array of shape (n,) and (m,)
        In order, s.
    tolerance : float
        s.
    max_drift : float
        Largest drift, s a s.
    """
    tried: list[tuple[float, np.ndarray, float]] = []  # offset at the middle, pairs, sum of squares
    middle = float(np.median(a))
    for seed in np.unique(np.linspace(0, max(len(a) - _VOTERS, 0), _SEEDS).astype(int)):
        for row, offset in _votes(a[seed : seed + _VOTERS], b, tolerance, max_drift):
            if any(_same(p, a, b, seed + row, offset, tolerance) for _, p, _ in tried):
                continue
            pairs = _grow(a, b, seed + row, offset, tolerance, max_drift)
            if len(pairs) >= 2:
                x, y = a[pairs[:, 0]], b[pairs[:, 1]] - a[pairs[:, 0]]
                line = (
                    np.polynomial.polynomial.polyfit(x - middle, y, 1) if np.ptp(x) > 0 else np.array([y.mean(), 0.0])
                )
                rest = y - line[0] - line[1] * (x - middle)
                tried.append((float(line[0]), pairs, float(np.square(rest).mean())))
    if not tried:
        return Matched(np.zeros((0, 2), dtype=int), None)
    most = max(len(p) for _, p, _ in tried)
    offset, pairs, scatter = max((t for t in tried if len(t[1]) >= _RIVAL * most), key=lambda t: _gain(t, tolerance))
    others = [t for t in tried if abs(t[0] - offset) > tolerance and len(t[1]) >= _RIVAL * len(pairs)]
    others = [t for t in others if t[2] <= max(9 * scatter, (0.05 * tolerance) ** 2)]
    best = max(others, key=lambda t: (len(t[1]), -abs(t[0] - offset)), default=None)
    return Matched(pairs, (best[0] - offset, len(best[1])) if best else None)


def _same(pairs: np.ndarray, a: np.ndarray, b: np.ndarray, row: int, offset: float, tolerance: float) -> bool:
    """Whether an offset at a row is that of a match that was tried."""
    k = int(np.argmin(np.abs(pairs[:, 0] - row)))
    return abs(b[pairs[k, 1]] - a[pairs[k, 0]] - offset) <= tolerance


def _gain(tried: tuple[float, np.ndarray, float], tolerance: float) -> float:
    """Matches, each worth less the more they scatter."""
    return len(tried[1]) * (1.0 - min(tried[2] / tolerance**2, 0.9))


def _votes(voters: np.ndarray, b: np.ndarray, tolerance: float, max_drift: float) -> list[tuple[int, float]]:
    """Offsets at which most of some neighbouring times find a partner, with the row (in the voters) they hold for."""
    width = tolerance + max_drift * float(np.ptp(voters)) / 2
    differences = b[None, :] - voters[:, None]
    flat = np.sort(differences.ravel())
    count = np.searchsorted(flat, flat + 2 * width, side="right") - np.arange(len(flat))
    found: list[tuple[int, float]] = []
    for place in np.argsort(-count, kind="stable"):
        if len(found) == _PEAKS or count[place] < 2:
            break
        group = flat[place : place + count[place]]
        centre = float(np.median(group))
        if all(abs(centre - other) > width for _, other in found):
            found.append((len(voters) // 2, centre))
    return found


def _grow(a: np.ndarray, b: np.ndarray, row: int, offset: float, tolerance: float, max_drift: float) -> np.ndarray:
    """Match from one row to both sides; each match makes offset and drift more certain. Pairs in order, each time once."""
    start = float(a[row])
    first = _Line(offset, 0.0, (2 * tolerance) ** 2, 0.0, max_drift**2)
    forward, line = _walk(a, b, range(row, len(a)), start, first, tolerance, learns=True)
    backward, line = _walk(a, b, range(row - 1, -1, -1), start, line, tolerance, learns=True)
    # what is known of the drift at the end serves the times that were matched before it was known
    pairs, _ = _walk(a, b, range(len(a)), start, line, tolerance, learns=False)
    return np.array(max(pairs, backward[::-1] + forward, key=len), dtype=int).reshape(-1, 2)


class _Line(NamedTuple):
    """Offset and drift, and their variances (``vo``, ``vd``) and covariance (``c``)."""

    offset: float
    drift: float
    vo: float
    c: float
    vd: float


def _walk(
    a: np.ndarray, b: np.ndarray, rows: range, start: float, line: _Line, tolerance: float, *, learns: bool
) -> tuple[list[tuple[int, int]], _Line]:
    """Match rows one after the other; the line (offset at ``start``, drift) is learned on the way."""
    noise = (tolerance / 3) ** 2
    times, others = a.tolist(), b.tolist()
    offset, drift, vo, c, vd = line
    pairs: list[tuple[int, int]] = []
    taken: set[int] = set()
    for i in rows:
        x = times[i] - start
        expected = times[i] + offset + drift * x
        j = bisect_left(others, expected)
        if j == len(others) or (j > 0 and expected - others[j - 1] < others[j] - expected):
            j -= 1
        rest = others[j] - expected
        spread = vo + 2 * c * x + vd * x * x
        if abs(rest) > min(tolerance + 2 * spread**0.5, 3 * tolerance) or j in taken:
            continue
        taken.add(j)
        pairs.append((i, j))
        if learns:  # Kalman's update of two numbers by one
            po, pd = vo + c * x, c + vd * x
            go, gd = po / (spread + noise), pd / (spread + noise)
            offset, drift = offset + go * rest, drift + gd * rest
            vo, c, vd = vo - go * po, c - go * pd, vd - gd * pd
    return pairs, _Line(offset, drift, vo, c, vd)
