"""What of the time was observed: in bins, in blocks, at a lag, around an event. Nothing here looks at spikes."""

from __future__ import annotations

import numpy as np

from braindec.errors import BraindecError
from braindec.types import Spikes

TIE = 1e-9  # s: a spike so close before an edge of a bin counts as on it, since 0.29 / 0.01 is 28.999...

__all__ = ["TIE", "blocks_of", "checked_spikes", "holds", "joined", "observed_in_bins", "overlap_at"]


def checked_spikes(spikes: Spikes, what: str, *, least: int = 1) -> Spikes:
    """Return ``spikes``.

    Raises
    ------
    BraindecError
        If they are no Spikes, or have fewer than ``least`` units.
    """
    if not isinstance(spikes, Spikes):
        raise BraindecError(f"{what} needs Spikes", found=type(spikes).__name__,
                            fix="Spikes.from_trains([times of each unit, s], start=..., stop=...)")  # fmt: skip
    if spikes.n_units < least:
        raise BraindecError(f"{what} needs {least} unit{'s' * (least != 1)} or more", found=f"{spikes.n_units}")
    return spikes


def joined(support: np.ndarray) -> np.ndarray:
    """Return intervals of shape (n, 2) with those that touch made one."""
    support = np.asarray(support, dtype=float)
    first = np.append(True, support[1:, 0] > support[:-1, 1] + TIE)
    last = np.append(first[1:], True)
    return np.stack([support[first, 0], support[last, 1]], axis=1)


def holds(support: np.ndarray, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """Return whether each stretch ``start`` to ``stop`` was observed as a whole, array of bool."""
    pieces = joined(support)
    which = np.searchsorted(pieces[:, 0], np.asarray(start) + TIE, side="right") - 1
    return (which >= 0) & (np.asarray(stop) <= pieces[np.maximum(which, 0), 1] + TIE)


def observed_in_bins(support: np.ndarray, *, start: float, width: float, n_bins: int) -> np.ndarray:
    """Return the share of each bin that was observed, array of shape (n_bins,)."""
    support = np.asarray(support, dtype=float)
    edges = start + width * np.arange(n_bins + 1)
    length = support[:, 1] - support[:, 0]
    before = np.append(0.0, np.cumsum(length))  # observed up to the beginning of each interval
    which = np.searchsorted(support[:, 0], edges, side="right") - 1
    inside = np.clip(edges - support[np.maximum(which, 0), 0], 0.0, length[np.maximum(which, 0)])
    seen = np.where(which >= 0, before[np.maximum(which, 0)] + inside, 0.0)
    return np.clip(np.diff(seen) / width, 0.0, 1.0)


def blocks_of(support: np.ndarray, *, length: float) -> np.ndarray:
    """Cut intervals into blocks of about ``length`` s, none across a gap, shape (n_blocks, 2)."""
    out = []
    for a, b in joined(support).tolist():
        n = max(1, round((b - a) / length))
        edges = np.linspace(a, b, n + 1)
        out += list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))
    return np.array(out)


def overlap_at(support: np.ndarray, lags: np.ndarray) -> np.ndarray:
    """Return for how many s both t and t + lag were observed, array of the shape of ``lags``."""
    pieces, lags = joined(support), np.asarray(lags, dtype=float)
    if len(pieces) == 1:
        return np.maximum(pieces[0, 1] - pieces[0, 0] - np.abs(lags), 0.0)
    reach = float(np.abs(lags).max()) if lags.size else 0.0
    total = np.zeros(lags.shape)
    for a, b in pieces.tolist():
        for c, d in pieces[(pieces[:, 1] > a - reach) & (pieces[:, 0] < b + reach)].tolist():
            total += np.maximum(np.minimum(b, d - lags) - np.maximum(a, c - lags), 0.0)
    return total
