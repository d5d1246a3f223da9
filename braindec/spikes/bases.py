"""Temporal bases of point-process models, and design matrices with named columns.

A basis is a few smooth functions of the lag. A spike train convolved with them gives the covariates of a generalized
linear model: with ``delay=1``, which history and coupling always have, a bin is predicted from the bins before it only.

Source: Pillow et al. 2008 (Nature 454:995), supplement: raised cosines of log-scaled time,
``b_j(t) = (1 + cos(clip(a log(t + c) - phi_j, -pi, pi))) / 2`` with ``phi_j`` pi / 2 apart; de Boor 1978 (A Practical
Guide to Splines) for B-splines.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.stats.asked import number, whole

__all__ = ["Basis", "Design", "boxcar", "bspline", "convolve", "design", "exponential", "raised_cosine"]

_BLOCK = 8192  # bins convolved together: their windows fit in the cache


@dataclass(frozen=True, eq=False)
class Basis:
    """Functions of the lag.

    Parameters
    ----------
    values : array of shape (n_lags, n)
        Row ``l`` is the lag ``l`` bins after the first that is seen.
    width : float
        Bin width, s.
    names : tuple of str
        One a function.
    """

    values: np.ndarray
    width: float
    names: tuple[str, ...]

    @property
    def n(self) -> int:
        """Number of functions."""
        return self.values.shape[1]

    @property
    def duration(self) -> float:
        """How far the basis reaches, s."""
        return len(self.values) * self.width

    @property
    def lags(self) -> np.ndarray:
        """Middle of the bin of each row, s after the first edge, shape (n_lags,)."""
        return (np.arange(len(self.values)) + 0.5) * self.width

    def filter(self, weights: Any) -> np.ndarray:
        """Return the filters that weights of shape (..., n) stand for, shape (..., n_lags)."""
        return np.asarray(weights, dtype=float) @ self.values.T


def _lags(duration: float, width: float, n: int) -> int:
    width = number(width, "width", least=0, ends=False, unit="s")
    duration = number(duration, "duration", least=0, ends=False, unit="s")
    n_lags = round(duration / width)
    if n_lags < n:
        raise BraindecError(
            f"{n} functions need as many bins at least", found=f"{duration:g} s are {n_lags} bins of {width:g} s",
            fix="take fewer functions, a longer duration or narrower bins",
        )  # fmt: skip
    return n_lags


def raised_cosine(n: int, *, duration: float, width: float, scale: str = "log", offset: float | None = None) -> Basis:
    """Return raised cosines, peak 1, whose peaks are even on a linear or logarithmic axis of lags.

    Where four of them overlap they add to 2.

    Parameters
    ----------
    n : int
        How many, at least 2.
    duration, width : float
        How far the basis reaches and the bin width, s.
    scale : {"log", "linear"}
    offset : float, optional
        s, added to the lag before the logarithm: small ones crowd the functions at short lags. One bin by default.
    """
    n = whole(n, "n", least=2)
    if scale not in ("log", "linear"):
        raise BraindecError(f"there is no scale {scale!r} of lags", allowed="log, linear")
    n_lags = _lags(duration, width, n)
    lags = (np.arange(n_lags) + 0.5) * width
    shift = width if offset is None else number(offset, "offset", least=0, ends=False, unit="s")
    axis = np.log(lags + shift) if scale == "log" else lags
    # The first function has its peak at the first lag; the last one, pi after its own, falls to 0 at the end.
    step = (axis[-1] - axis[0]) / (n + 1)
    peaks = axis[0] + step * np.arange(n)
    angle = np.clip((axis[:, None] - peaks) * np.pi / 2 / step, -np.pi, np.pi)
    return Basis((1 + np.cos(angle)) / 2, float(width), tuple(f"cosine{i}" for i in range(n)))


def bspline(n: int, *, duration: float, width: float, degree: int = 3) -> Basis:
    """Return B-splines with even knots; they add to 1 at every lag.

    Parameters
    ----------
    n : int
        How many, more than ``degree``.
    duration, width : float
        How far the basis reaches and the bin width, s.
    degree : int
        3: cubic.
    """
    from scipy.interpolate import BSpline

    degree = whole(degree, "degree")
    n = whole(n, "n", least=degree + 1)
    n_lags = _lags(duration, width, n)
    inner = np.linspace(0, n_lags * width, n - degree + 1)
    knots = np.concatenate([np.full(degree, inner[0]), inner, np.full(degree, inner[-1])])
    values = BSpline.design_matrix((np.arange(n_lags) + 0.5) * width, knots, degree).toarray()
    return Basis(values, float(width), tuple(f"spline{i}" for i in range(n)))


def exponential(taus: Sequence[float] | float, *, width: float, duration: float | None = None) -> Basis:
    """Return ``exp(-lag / tau)`` for each time constant, s; 1 at the first lag.

    Parameters
    ----------
    taus : float or sequence of float
        s.
    width, duration : float
        Bin width, and how far it reaches (5 of the longest time constants by default), s.
    """
    values = [number(t, "tau", least=0, ends=False, unit="s") for t in np.atleast_1d(taus).tolist()]
    if not values:
        raise BraindecError("a basis needs a time constant", found="none")
    n_lags = _lags(5 * max(values) if duration is None else duration, width, 1)
    lags = np.arange(n_lags) * width
    return Basis(np.exp(-lags[:, None] / np.array(values)), float(width), tuple(f"exp{t:g}s" for t in values))


def boxcar(n: int, *, duration: float, width: float) -> Basis:
    """Return ``n`` steps side by side; with as many as bins each lag has its own weight."""
    n = whole(n, "n", least=1)
    n_lags = _lags(duration, width, n)
    which = np.arange(n_lags) * n // n_lags
    return Basis((which[:, None] == np.arange(n)).astype(float), float(width), tuple(f"step{i}" for i in range(n)))


def convolve(signals: Any, basis: Basis, *, delay: int = 1, offsets: Any = None) -> np.ndarray:
    """Convolve signals with a basis, causally: ``y[t] = sum_l basis[l] signal[t - delay - l]``.

    No bin after ``t - delay`` enters ``y[t]``, not even by rounding; what was before the first bin of a stretch counts
    as 0.

    Parameters
    ----------
    signals : array of shape (n_signals, n_bins)
        Counts or stimuli.
    basis : Basis
    delay : int
        Bins between a bin and the newest that it sees: 1 for history, 0 for a stimulus.
    offsets : array of int, shape (n_stretches + 1,), optional
        Where stretches (trials) begin; each starts anew.

    Returns
    -------
    array of shape (n_bins, n_signals, n)
    """
    x = np.atleast_2d(np.asarray(signals, dtype=np.float64))
    if x.ndim != 2 or not np.isfinite(x).all():
        raise BraindecError("signals are finite numbers, (n_signals, n_bins)", found=f"shape {x.shape}")
    delay, (n_lags, n) = whole(delay, "delay"), basis.values.shape
    out = np.zeros((x.shape[1], len(x), n))
    flipped = np.ascontiguousarray(basis.values[::-1])
    edges = [0, x.shape[1]] if offsets is None else np.asarray(offsets).tolist()
    if edges[0] != 0 or edges[-1] != x.shape[1] or any(a > b for a, b in itertools.pairwise(edges)):
        raise BraindecError(
            "offsets rise from 0 to the number of bins", found=str(edges[:8]), allowed=f"0 to {x.shape[1]}"
        )
    for begin, end in itertools.pairwise(edges):
        before = np.zeros((len(x), n_lags - 1 + delay))
        padded = np.concatenate([before, x[:, begin:end]], axis=1)
        windows = np.lib.stride_tricks.sliding_window_view(padded, n_lags, axis=1)[:, : end - begin]
        for i in range(len(x)):
            for first in range(0, end - begin, _BLOCK):
                last = min(first + _BLOCK, end - begin)
                out[begin + first : begin + last, i] = windows[i, first:last] @ flipped
    return out


@dataclass(frozen=True, eq=False)
class Design:
    """A design matrix.

    Parameters
    ----------
    X : array of shape (n_bins, n_columns)
    columns : DataFrame
        One row a column: ``name``, ``kind`` (history, coupling, stimulus), ``source`` (unit or stimulus), ``function``
        (of the basis).
    bases : dict of str to Basis
        By kind.
    """

    X: np.ndarray
    columns: pd.DataFrame
    bases: Mapping[str, Basis]

    def of(self, target: int) -> np.ndarray:
        """Return which columns belong in the model of unit ``target``, bool (n_columns,).

        A history column is of the unit itself, a coupling column of all others.
        """
        kind, source = self.columns["kind"].to_numpy(), self.columns["source"].to_numpy()
        own = source == target
        return np.where(kind == "history", own, np.where(kind == "coupling", ~own, True)).astype(bool)


def design(
    counts: Any,
    *,
    history: Basis | None = None,
    coupling: Basis | None = None,
    stimulus: Mapping[str, Any] | None = None,
    stimulus_basis: Basis | Mapping[str, Basis] | None = None,
    target: int | None = None,
    offsets: Any = None,
) -> Design:
    """Return the design matrix of a population, or of one unit of it.

    Parameters
    ----------
    counts : array of shape (n_units, n_bins)
        Spikes in bins.
    history, coupling : Basis, optional
        How a unit's own spikes, and those of the others, act on it; never in the bin itself.
    stimulus : mapping of str to array (n_bins,), optional
        Signals by name.
    stimulus_basis : Basis or mapping of str to Basis, optional
        Convolved with the signals, the current bin included; without it a signal is a column as it is.
    target : int, optional
        The unit whose model it is; by default the columns of all units (:meth:`Design.of` picks).
    offsets : array of int, optional
        Where stretches (trials) begin.
    """
    y = _counts(counts)
    if target is not None and not 0 <= target < len(y):
        raise BraindecError("there is no such unit", found=str(target), allowed=f"0 to {len(y) - 1}")
    blocks: list[np.ndarray] = []
    rows: list[tuple[str, str, Any, str]] = []
    bases: dict[str, Basis] = {}
    for kind, basis in (("history", history), ("coupling", coupling)):
        if basis is None:
            continue
        bases[kind] = basis
        own = kind == "history"
        units = [u for u in range(len(y)) if target is None or (u == target) == own]
        blocks.append(convolve(y[units], basis, offsets=offsets).reshape(y.shape[1], -1))
        rows += [(f"{kind} unit{u} {name}", kind, u, name) for u in units for name in basis.names]
    for label in stimulus_basis if isinstance(stimulus_basis, Mapping) else ():
        if label not in (stimulus or {}):
            raise BraindecError(
                f"there is a basis for {label!r}, but no such stimulus", allowed=", ".join(stimulus or {})
            )
    for label, signal in (stimulus or {}).items():
        values = np.asarray(signal)
        if values.dtype.kind not in "biuf" or values.shape != y.shape[1:] or not np.isfinite(values).all():
            raise BraindecError(
                f"stimulus {label!r} must have one finite value a bin",
                found=f"{values.shape}",
                allowed=f"{y.shape[1:]}",
            )
        own_basis = stimulus_basis.get(label) if isinstance(stimulus_basis, Mapping) else stimulus_basis
        if own_basis is None:
            blocks.append(values[:, None].astype(float))
            rows.append((f"stimulus {label}", "stimulus", label, ""))
            continue
        bases[f"stimulus {label}"] = own_basis
        blocks.append(convolve(values[None], own_basis, delay=0, offsets=offsets)[:, 0])
        rows += [(f"stimulus {label} {name}", "stimulus", label, name) for name in own_basis.names]
    X = np.concatenate(blocks, axis=1) if blocks else np.zeros((y.shape[1], 0))
    return Design(X, pd.DataFrame(rows, columns=["name", "kind", "source", "function"]), bases)


def _counts(counts: Any) -> np.ndarray:
    """Check counts and return them as float64 (n_units, n_bins)."""
    y = np.atleast_2d(np.asarray(counts, dtype=np.float64))
    if y.ndim != 2 or not y.size or not np.isfinite(y).all() or (y < 0).any() or (y != np.round(y)).any():
        raise BraindecError(
            "counts are whole numbers from 0 on, (n_units, n_bins)", found=f"shape {y.shape}",
            fix="Spikes.counts(width) counts spikes in bins",
        )  # fmt: skip
    return y
