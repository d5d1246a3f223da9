"""Decode continuous variables from many signals over time: ridge with delays, contiguous folds, circular shifts for p.

What an animal does and what its neurons do both change slowly, so that any two such series correlate. Test blocks are
contiguous and training rows near them are left out; p-values repeat the whole cross-validation, training included, on
targets that were turned around within the run, which keeps the autocorrelation of both sides. A straight line over the run
stays where it is while the rest is turned: signals that bleach and animals that tire share one by accident. (A target of
two values is turned as a whole: look at the control time_only.) R2 stands beside r: a prediction can correlate and still be
off in scale or offset.

Source: Hoerl & Kennard 1970 (Technometrics 12:55); Harris 2021 (bioRxiv 2020.11.29.402719) for shifting one of two
autocorrelated series; Lahiri 2003 (Resampling Methods for Dependent Data, ch. 2) for resampling blocks of time.
Differs from the reference in: a shift shorter than the gap is not drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.ridge.folds import contiguous_folds
from braindec.ridge.plain import fit_ridge
from braindec.stats.bootstrap import bootstrap_interval
from braindec.stats.permutation import permutation_p
from braindec.stats.surrogates import phase_randomized

__all__ = ["SeriesDecoding", "decode_series", "delayed"]

_CONTROLS = ("label_shuffle", "noise_input", "time_only")
_HARMONICS = 4


@dataclass(frozen=True, eq=False)
class SeriesDecoding:
    """What was decoded.

    Parameters
    ----------
    scores : DataFrame
        One row a target, metric and row ("decoded" or a control): target, metric, version, row, value, chance, low, high,
        p, n, note.
    true, predicted : array of shape (n_rows, n_targets)
        Held-out predictions, in the units of the targets.
    names : list of str
        The targets.
    folds : list of (train_rows, test_rows)
    null : dict of str to array (n_shifts,)
        "<target>/<metric>" -> scores of the shifted targets.
    """

    scores: pd.DataFrame
    true: np.ndarray
    predicted: np.ndarray
    names: list[str]
    folds: list[tuple[np.ndarray, np.ndarray]]
    null: dict[str, np.ndarray] = field(default_factory=dict)


def decode_series(
    X: np.ndarray,
    Y: np.ndarray,
    *,
    names: Sequence[str],
    sfreq: float,
    runs: np.ndarray | None = None,
    delays: Sequence[int] = (0,),
    n_folds: int = 5,
    gap: float = 10.0,
    block: float = 20.0,
    controls: Sequence[str] = _CONTROLS,
    n_shifts: int = 199,
    n_bootstrap: int = 1000,
    seed: int = 0,
    keys: Mapping[str, Any] | None = None,
) -> SeriesDecoding:
    """Cross-validate a ridge decoder of continuous or binary variables.

    Parameters
    ----------
    X : array of shape (n, n_signals)
        Signals, one row a sample, in order of time within each run.
    Y : array of shape (n, n_targets)
        Targets. One with two values is scored by AUC, others by Pearson's r and R2.
    names : sequence of str
        Names of the targets.
    sfreq : float
        Samples a second, Hz.
    runs : array of shape (n,), optional
        Run of each row.
    delays : sequence of int
        The signals so many samples before the target (negative: after it, for signals that lag behind what they show).
    n_folds : int
        Contiguous test blocks.
    gap : float
        Training rows closer than this to a test row are left out, s.
    block : float
        Length of the blocks of time that intervals resample, s; longer where a target is so slow that its autocorrelation
        falls to 1 / e later than in a quarter of it.
    controls : sequence of str
        "label_shuffle": targets turned around (straight lines kept); "noise_input": signals with random phases, of the same spectra and
        correlations; "time_only": slow waves of the time in the run. They are given for r and AUC.
    n_shifts : int
        Turned targets of the null; 0 gives no p.
    n_bootstrap : int
        Resamples of the intervals.
    seed : int
        Same seed, same numbers.
    keys : mapping, optional
        Columns put before each score.

    Raises
    ------
    BraindecError
        If shapes do not fit, values are not finite, a target does not vary, a run is too short for the gap, or delays
        reach over the gap.
    """
    X, Y = np.asarray(X, dtype=np.float64), np.asarray(Y, dtype=np.float64)
    runs = (
        np.zeros(len(X), dtype=int) if runs is None else np.unique(np.asarray(runs).astype(str), return_inverse=True)[1]
    )
    buffer = _checked(X, Y, names, runs, sfreq, delays, gap, controls)
    folds = contiguous_folds(len(X), n_folds, runs=runs, buffer=buffer)
    rng = np.random.default_rng([seed, 1])
    shifted = np.stack([_turned(Y, runs, buffer, rng) for _ in range(n_shifts)], axis=2) if n_shifts else None
    lengths = [max(2, round(block * sfreq), _slowness(y, runs)) for y in Y.T]
    blocks = [_blocks(folds, len(X), length) for length in lengths]
    inputs = {"decoded": X}
    if "noise_input" in controls:
        inputs["noise_input"] = phase_randomized(X, runs=runs, rng=np.random.default_rng([seed, 2]))
    if "time_only" in controls:
        inputs["time_only"] = _time(runs)
    rows: list[dict[str, Any]] = []
    predicted, null = np.empty(0), {}
    for row, signals in inputs.items():
        features = delayed(signals, runs, delays) if row != "time_only" else signals
        held, turned = _predictions(features, Y, shifted, folds, runs, buffer)
        if row == "decoded":
            predicted = held
        for t, name in enumerate(names):
            for metric in _metrics(Y[:, t], row):
                found, own = _score(metric, Y[:, t], held[:, t], folds, (blocks[t], lengths[t] / sfreq), n_bootstrap, seed,
                                    None if shifted is None else (shifted[:, t], turned[:, t]))  # fmt: skip
                note = [] if row == "decoded" else [_ABOUT[row]]
                note += [f"targets turned around within the run {n_shifts} times" if n_shifts else "no shifts, no p"]
                rows.append(
                    {**(keys or {}), "target": name, "row": row, **found, "note": "; ".join(note + found.pop("said"))}
                )
                if row == "decoded":
                    null[f"{name}/{metric}"] = own
                    if "label_shuffle" in controls and n_shifts and metric != "r2":
                        low, high = np.quantile(own, [0.025, 0.975])
                        rows.append({**(keys or {}), "target": name, "row": "label_shuffle", **found, "value": own.mean(),
                                     "low": low, "high": high, "p": np.nan, "note": _ABOUT["label_shuffle"]})  # fmt: skip
    first = [*(keys or {}), "target", "metric", "version", "row", "value", "chance", "low", "high", "p", "n", "note"]
    order = {row: k for k, row in enumerate(("decoded", *_CONTROLS))}
    table = pd.DataFrame(rows)[first]
    table = table.sort_values("row", key=lambda r: r.map(order), kind="stable").reset_index(drop=True)
    return SeriesDecoding(table, Y, predicted, [str(n) for n in names], folds, null)


_ABOUT = {
    "label_shuffle": "mean and 95 % range of decoders of targets turned around",
    "noise_input": "signals with random phases: their spectra and correlations, nothing else",
    "time_only": f"{_HARMONICS} slow waves of the time in the run instead of signals",
}


def delayed(X: np.ndarray, runs: np.ndarray, delays: Sequence[int]) -> np.ndarray:
    """Return the signals at each delay, side by side, (n, n_signals * n_delays); run ends repeat their first or last row."""
    rows = np.arange(len(X))
    first = np.array([rows[runs == r].min() for r in np.unique(runs)])[runs]
    last = np.array([rows[runs == r].max() for r in np.unique(runs)])[runs]
    return np.concatenate([X[np.clip(rows - d, first, last)] for d in delays], axis=1)


def _checked(
    X: np.ndarray, Y: np.ndarray, names: Sequence[str], runs: np.ndarray, sfreq: float, delays: Sequence[int], gap: float,
    controls: Sequence[str],
) -> int:  # fmt: skip
    """Refuse what cannot be decoded; return the gap in samples."""
    if X.ndim != 2 or Y.ndim != 2 or len(X) != len(Y) or Y.shape[1] != len(names) or len(runs) != len(X):
        raise BraindecError(
            "signals (n, n_signals), targets (n, n_targets) and their names must fit",
            found=f"{X.shape}, {Y.shape}, {len(names)} names",
        )
    for what, values in (("signals", X), ("targets", Y)):
        bad = ~np.isfinite(values).all(axis=0)
        if bad.any():
            raise BraindecError(f"{what} are not finite", found=f"{int(bad.sum())} of {len(bad)}, the first is number {int(np.flatnonzero(bad)[0])}",
                                fix="cut the stretch without values, or leave these out")  # fmt: skip
    for name, values in zip(names, Y.T, strict=True):
        if np.ptp(values) == 0:
            raise BraindecError(f"the target {name} does not vary", found=f"{values[0]:g} throughout")
    unknown = [c for c in controls if c not in _CONTROLS]
    if unknown:
        raise BraindecError(f"unknown control {unknown[0]!r}", allowed=", ".join(_CONTROLS))
    if not len(delays) or any(d != int(d) for d in delays) or not sfreq > 0 or not gap >= 0:
        raise BraindecError(
            "delays are whole samples, sfreq is above 0 and gap at least 0", found=f"{list(delays)}, {sfreq}, {gap}"
        )
    buffer, reach = int(np.ceil(gap * sfreq)), max(abs(int(d)) for d in delays)
    if reach and buffer < 2 * reach:
        raise BraindecError(
            f"delays of up to {reach} samples reach over the gap of {gap:g} s", found=f"{buffer} samples",
            fix=f"gap: {2 * reach / sfreq:.3g} s or more, so that no sample is in training and test",
        )  # fmt: skip
    shortest = np.bincount(runs).min()
    if shortest < 2 * buffer + 10:
        raise BraindecError(f"a run of {shortest} samples is too short for a gap of {gap:g} s", fix="use a smaller gap")
    return buffer


def _turned(Y: np.ndarray, runs: np.ndarray, buffer: int, rng: np.random.Generator) -> np.ndarray:
    """Targets turned around within each run by a random number of samples, more than the gap; straight lines stay."""
    out = np.empty_like(Y)
    binary = np.array([len(np.unique(y)) == 2 for y in Y.T])
    for run in np.unique(runs):
        rows = np.flatnonzero(runs == run)
        low = max(1, buffer)
        time = np.arange(len(rows)) - (len(rows) - 1) / 2
        line = np.where(binary, 0.0, time[:, None] * (time @ Y[rows] / (time @ time)))
        out[rows] = line + np.roll(Y[rows] - line, int(rng.integers(low, len(rows) - low + 1)), axis=0)
    return out


def _time(runs: np.ndarray) -> np.ndarray:
    """Slow waves of the place in the run, (n, 2 * _HARMONICS + 1)."""
    place = np.concatenate([np.linspace(0, 1, n) for n in np.bincount(runs)])
    waves = [f(np.pi * k * place) for k in range(1, _HARMONICS + 1) for f in (np.cos, np.sin)]
    return np.stack([place, *waves], axis=1)


def _predictions(
    X: np.ndarray, Y: np.ndarray, shifted: np.ndarray | None, folds: Sequence, runs: np.ndarray, buffer: int
) -> tuple[np.ndarray, np.ndarray]:
    """Held-out predictions of the targets (n, t), and of each shifted one (n, t, n_shifts)."""
    n, t = Y.shape
    columns = Y if shifted is None else np.concatenate([Y, shifted.reshape(n, -1)], axis=1)
    held = np.full(columns.shape, np.nan)
    for train, test in folds:
        mean, scale = X[train].mean(axis=0), X[train].std(axis=0)
        scale = np.where(scale > 1e-12 * (np.abs(mean) + 1e-300), scale, np.inf)  # a flat signal says nothing
        inner = contiguous_folds(len(train), 5, buffer=min(buffer, len(train) // 20))
        fit = fit_ridge((X[train] - mean) / scale, columns[train], folds=inner, dtype="float64")
        held[test] = np.where(fit.skipped, columns[train].mean(axis=0), fit.predict((X[test] - mean) / scale))
    turned = np.empty((n, t, 0)) if shifted is None else held[:, t:].reshape(n, t, -1)
    return held[:, :t], turned


def _metrics(y: np.ndarray, row: str) -> list[str]:
    if len(np.unique(y)) == 2:
        return ["auc"]
    return ["pearson", "r2"] if row == "decoded" else ["pearson"]


def _value(metric: str, y: np.ndarray, s: np.ndarray) -> float:
    if metric == "auc":
        from scipy.stats import rankdata

        positive = y == y.max()
        n1, n0 = int(positive.sum()), int((~positive).sum())
        if not n1 or not n0:
            return 0.5
        return float((rankdata(s)[positive].sum() - n1 * (n1 + 1) / 2) / (n1 * n0))
    if metric == "r2":
        return float(1 - np.sum((y - s) ** 2) / np.sum((y - y.mean()) ** 2))
    if np.ptp(s) == 0 or np.ptp(y) == 0:
        return 0.0
    return float(np.corrcoef(y, s)[0, 1])


def _score(
    metric: str, y: np.ndarray, s: np.ndarray, folds: Sequence, blocks: tuple[np.ndarray, float], n_bootstrap: int, seed: int,
    shifted: tuple[np.ndarray, np.ndarray] | None,
) -> tuple[dict[str, Any], np.ndarray]:  # fmt: skip
    """One row of the table, and the null behind its p."""
    rows = np.concatenate([test for _, test in folds])
    value = _value(metric, y[rows], s[rows])
    low, high = bootstrap_interval(
        np.stack([y[rows], s[rows]], axis=1), lambda v: _value(metric, v[:, 0], v[:, 1]), n=n_bootstrap,
        rng=np.random.default_rng([seed, 3]), clusters=blocks[0][rows],
    )  # fmt: skip
    null, p = np.empty(0), np.nan
    if shifted is not None:
        null = np.array([_value(metric, a, b) for a, b in zip(shifted[0][rows].T, shifted[1][rows].T, strict=True)])
        p = float(permutation_p(value, null))
    each = [_value(metric, y[test], s[test]) for _, test in folds if np.ptp(y[test]) > 0]
    said = (
        [f"in single blocks {min(each):.2f} to {max(each):.2f}", f"interval over blocks of {blocks[1]:.3g} s"]
        if each
        else []
    )
    if metric == "r2" and value < 0:
        said.append("worse than the mean: correlated at best, scale or offset are wrong")
    bounds = {"auc": (0.0, 1.0), "pearson": (-1.0, 1.0), "r2": (-np.inf, 1.0)}[metric]
    found = {"metric": metric, "version": "1", "value": value, "chance": 0.5 if metric == "auc" else 0.0,
             "low": max(bounds[0], min(low, value)), "high": min(bounds[1], max(high, value)), "p": p, "n": len(rows),
             "said": said}  # fmt: skip
    return found, null


def _slowness(y: np.ndarray, runs: np.ndarray) -> int:
    """Four times the lag at which the autocorrelation of a target falls below 1 / e, in samples."""
    shortest = int(np.bincount(runs).min())
    parts = [y[runs == r] - y[runs == r].mean() for r in np.unique(runs)]
    power = sum(float(p @ p) for p in parts)
    for lag in range(1, max(2, shortest // 4)):
        if sum(float(p[:-lag] @ p[lag:]) for p in parts) < power / np.e:
            return 4 * lag
    return shortest


def _blocks(folds: Sequence, n: int, length: int) -> np.ndarray:
    """Number stretches of time of about ``length`` samples inside each test block."""
    out, count = np.zeros(n, dtype=int), 0
    for _, test in folds:
        parts = max(1, round(len(test) / length))
        out[test] = count + np.arange(len(test)) * parts // len(test)
        count += parts
    return out
