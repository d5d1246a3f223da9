"""Which times of two sequences belong together, when offset and a small drift are unknown and some have no partner.

Some neighbouring times vote for an offset; from there the match grows to both sides, with an estimate of offset and drift that
each match makes better (a Kalman filter of two numbers).
"""

from __future__ import annotations

from dataclasses import dataclass

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
    best = max(others, key=lambda t: len(t[1]), default=None)
    return Matched(pairs, (best[0] - offset, len(best[1])) if best else None)


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
    forward, state = _walk(a, b, range(row, len(a)), start, _first(offset, tolerance, max_drift), tolerance)
    backward, state = _walk(a, b, range(row - 1, -1, -1), start, state, tolerance)
    # what is known of the drift at the end serves the times that were matched before it was known
    pairs, _ = _walk(a, b, range(len(a)), start, _frozen(state), tolerance)
    return pairs if len(pairs) >= len(forward) + len(backward) else np.concatenate([backward[::-1], forward])


def _first(offset: float, tolerance: float, max_drift: float) -> tuple[np.ndarray, np.ndarray, bool]:
    return np.array([offset, 0.0]), np.diag([(2 * tolerance) ** 2, max_drift**2]), True


def _frozen(state: tuple[np.ndarray, np.ndarray, bool]) -> tuple[np.ndarray, np.ndarray, bool]:
    return state[0], state[1], False


def _walk(
    a: np.ndarray,
    b: np.ndarray,
    rows: range,
    start: float,
    state: tuple[np.ndarray, np.ndarray, bool],
    tolerance: float,
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray, bool]]:
    """Match rows one after the other; the estimate (offset at ``start``, drift) is learned on the way."""
    mean, cov, learns = state[0].copy(), state[1].copy(), state[2]
    noise = (tolerance / 3) ** 2
    pairs: list[tuple[int, int]] = []
    taken: dict[int, int] = {}
    for i in rows:
        design = np.array([1.0, a[i] - start])
        expected = a[i] + design @ mean
        j = int(np.searchsorted(b, expected))
        j = min((k for k in (j - 1, j) if 0 <= k < len(b)), key=lambda k: abs(b[k] - expected))
        spread = float(design @ cov @ design)
        if abs(b[j] - expected) > min(tolerance + 2 * np.sqrt(spread), 3 * tolerance):
            continue
        if j in taken:
            continue
        taken[j] = i
        pairs.append((i, j))
        if learns:
            gain = cov @ design / (spread + noise)
            mean = mean + gain * (b[j] - expected)
            cov = cov - np.outer(gain, design @ cov)
    return np.array(pairs, dtype=int).reshape(-1, 2), (mean, cov, learns)
