"""What can be read from latents on held-out time: linear maps and nearest neighbours on contiguous folds, with p.

Latents may be fitted anew in each fold (to its training rows). Held-out predictions are compared with the labels, and,
for the null, with the labels turned around in time by more than the gap, which keeps the slowness of both.

Source: Hoerl & Kennard 1970 (Technometrics 12:55) for ridge regression; Cover & Hart 1967 (IEEE Trans Inf Theory 13:21)
for nearest neighbours; Harris 2021 (bioRxiv 2020.11.29.402719) for shifts; Lahiri 2003 for resampling blocks of time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from braindec.errors import BraindecError, did_you_mean
from braindec.ridge.folds import contiguous_folds
from braindec.ridge.plain import fit_ridge
from braindec.stats.asked import whole
from braindec.stats.bootstrap import bootstrap_interval
from braindec.stats.permutation import permutation_p

__all__ = ["ReadOut", "Score", "angular_error", "nearest", "read_out", "scored"]

_HOW = ("linear", "neighbours")
_BLOCK = 512  # rows whose distances are held at once


@dataclass(frozen=True, eq=False)
class ReadOut:
    """Held-out predictions of one session.

    Parameters
    ----------
    true, predicted : array (n_rows, n_columns)
        In order of time; classes as codes, (n_rows, 1).
    rows : array of int
        The samples that were predicted.
    fold : array of int
        The held-out block of each.
    n_classes : int
        0 for numbers.
    """

    true: np.ndarray
    predicted: np.ndarray
    rows: np.ndarray
    fold: np.ndarray
    n_classes: int = 0


@dataclass(frozen=True, eq=False)
class Score:
    """A score of held-out predictions; ``p`` is NaN without shifts, ``null`` (n_shifts,)."""

    metric: str
    value: float
    chance: float
    low: float
    high: float
    p: float
    null: np.ndarray
    n: int


def read_out(
    latents: Any,
    labels: Any,
    *,
    folds: Sequence[tuple[np.ndarray, np.ndarray]],
    how: str = "linear",
    n_neighbours: Sequence[int] = (5, 15, 45),
    gap: int = 20,
) -> ReadOut:
    """Predict labels of held-out time from latents.

    Parameters
    ----------
    latents : array (n, dim), or a list of them, one a fold
        A fold's own latents were fitted to its training rows.
    labels : array (n,) or (n, n_columns)
        Floats are numbers, anything else is classes.
    folds : sequence of (train_rows, test_rows)
        Contiguous test rows.
    how : {"linear", "neighbours"}
        Ridge with a penalty chosen inside the training rows, or the mean label of the nearest training rows.
    n_neighbours : sequence of int
        Numbers of neighbours to choose from, inside the training rows.
    gap : int
        Samples between the parts inside the training rows.

    Raises
    ------
    BraindecError
        If shapes do not fit or ``how`` is unknown.
    """
    if how not in _HOW:
        raise BraindecError(f"there is no read-out {how!r}{did_you_mean(str(how), _HOW)}", allowed=", ".join(_HOW))
    y = np.asarray(labels)
    classes = None if np.issubdtype(y.dtype, np.floating) else np.unique(y)
    several = list(latents) if isinstance(latents, (list, tuple)) else [latents] * len(folds)
    if len(several) != len(folds) or any(np.ndim(z) != 2 or len(z) != len(y) for z in several):
        raise BraindecError(
            "latents are (sample, dim), one array or one a fold, and have a label a sample",
            found=f"{[np.shape(z) for z in several][:3]}, {len(folds)} folds, {len(y)} labels",
        )
    targets = y.reshape(len(y), -1).astype(float) if classes is None else (y.reshape(-1, 1) == classes).astype(float)
    if not np.isfinite(targets).all():
        raise BraindecError("labels are not finite")
    ks = [whole(k, "n_neighbours", least=1) for k in n_neighbours]
    guess, block = np.full(targets.shape, np.nan), np.zeros(len(y), dtype=int)
    for k, (z, (train, test)) in enumerate(zip(several, folds, strict=True)):
        z = np.asarray(z, dtype=float)
        block[test] = k
        guess[test] = _predict(z[train], targets[train], z[test], how, ks, gap)
    rows = np.sort(np.concatenate([test for _, test in folds]))
    if classes is None:
        return ReadOut(targets[rows], guess[rows], rows, block[rows])
    true, chosen = (v[rows].argmax(axis=1)[:, None].astype(float) for v in (targets, guess))
    return ReadOut(true, chosen, rows, block[rows], len(classes))


def scored(
    found: ReadOut | Sequence[ReadOut],
    *,
    metric: str | None = None,
    gap: int = 20,
    block: int = 100,
    n_shifts: int = 199,
    n_bootstrap: int = 1000,
    rng: np.random.Generator | int = 0,
) -> Score:
    """Score predictions of one or several sessions together.

    Parameters
    ----------
    found : ReadOut, or a sequence of them
    metric : {"r2", "pearson", "balanced_accuracy"}, optional
        R2 is over all columns together, about the mean of each session; r is the mean over columns, within held-out blocks
        (across them training means, which lie on the other side, push it below 0); balanced accuracy is for classes, and
        is what they are scored by. Numbers have R2 by default.
    gap, block : int
        Samples; shifts of the null are longer than ``gap``; intervals resample stretches of ``block``.
    n_shifts, n_bootstrap : int
    rng : Generator or int
    """
    several = [found] if isinstance(found, ReadOut) else list(found)
    n_classes = several[0].n_classes
    kind = metric or ("balanced_accuracy" if n_classes else "r2")
    if kind not in ("balanced_accuracy",) * bool(n_classes) + ("r2", "pearson") * (not n_classes):
        raise BraindecError(f"{kind!r} is no score of {'classes' if n_classes else 'numbers'}",
                            allowed="balanced_accuracy" if n_classes else "r2, pearson")  # fmt: skip
    rng, block = np.random.default_rng(rng), whole(block, "block", least=2)
    sums = []
    for one in several:
        parts = _parts(one.true, one, kind)
        stretch = np.arange(len(parts)) // block
        sums += [parts[stretch == k].sum(axis=0) for k in range(stretch[-1] + 1)]
    stacked = np.stack(sums)
    value = _score(stacked, kind)
    low, high = np.nan, np.nan
    if len(stacked) > 1 and n_bootstrap:
        low, high = bootstrap_interval(stacked, lambda v: _score(v, kind), n=n_bootstrap, rng=rng)
        low, high = min(low, value), max(min(high, 1.0), value)
    null = np.empty(whole(n_shifts, "n_shifts"))
    for k in range(len(null)):
        turned = [np.roll(s.true, int(rng.integers(gap + 1, max(gap + 2, len(s.true) - gap))), axis=0) for s in several]
        null[k] = _score(
            np.concatenate([_parts(t, s, kind) for t, s in zip(turned, several, strict=True)]),
            kind,
        )
    p = float(permutation_p(value, null)) if len(null) else np.nan
    return Score(
        kind, value, 1 / n_classes if n_classes else 0.0, low, high, p, null, sum(len(s.rows) for s in several)
    )


def nearest(train: np.ndarray, test: np.ndarray, k: int) -> np.ndarray:
    """Return the ``k`` nearest training rows of each test row, nearest first, (n_test, k)."""
    k = min(k, len(train))
    squares, out = (train**2).sum(axis=1), np.empty((len(test), k), dtype=int)
    for start in range(0, len(test), _BLOCK):
        part = test[start : start + _BLOCK]
        distance = squares - 2 * part @ train.T
        some = np.argpartition(distance, k - 1, axis=1)[:, :k]
        order = np.argsort(np.take_along_axis(distance, some, axis=1), axis=1, kind="stable")
        out[start : start + _BLOCK] = np.take_along_axis(some, order, axis=1)
    return out


def angular_error(true: np.ndarray, predicted: np.ndarray) -> float:
    """Return the median absolute angle between (cos, sin) pairs, degrees; pairs need not have length 1."""
    a, b = (np.arctan2(v[:, 1], v[:, 0]) for v in (true, predicted))
    return float(np.degrees(np.median(np.abs(np.angle(np.exp(1j * (a - b)))))))


def _predict(x: np.ndarray, y: np.ndarray, new: np.ndarray, how: str, ks: list[int], gap: int) -> np.ndarray:
    inner = contiguous_folds(len(x), 4, buffer=min(gap, len(x) // 20))
    if how == "linear":
        mean, scale = x.mean(axis=0), x.std(axis=0)
        scale = np.where(scale > 1e-12 * (np.abs(mean) + 1e-300), scale, np.inf)
        fit = fit_ridge((x - mean) / scale, y, folds=inner, dtype="float64")
        return np.where(fit.skipped, y.mean(axis=0), fit.predict((new - mean) / scale))
    ks = [k for k in sorted(set(ks)) if k <= min(len(a) for a, _ in inner)] or [1]
    if len(ks) > 1:
        wrong = np.zeros(len(ks))
        for train, test in inner:
            near = nearest(x[train], x[test], ks[-1])
            wrong += [((y[train][near[:, :k]].mean(axis=1) - y[test]) ** 2).sum() for k in ks]
        ks = [ks[int(wrong.argmin())]]
    return y[nearest(x, new, ks[0])].mean(axis=1)


def _parts(true: np.ndarray, found: ReadOut, kind: str) -> np.ndarray:
    """What each row adds to the sums that a score is made of."""
    if kind == "r2":
        wrong = ((true - found.predicted) ** 2).sum(axis=1)
        return np.stack([wrong, ((true - true.mean(axis=0)) ** 2).sum(axis=1)], axis=1)
    if kind == "pearson":
        a, b = (_centred(v, found.fold) for v in (true, found.predicted))
        return np.concatenate([np.ones((len(a), a.shape[1])), a, b, a * a, b * b, a * b], axis=1)
    own = true[:, :1] == np.arange(found.n_classes)
    return np.concatenate([own & (true == found.predicted), own], axis=1).astype(float)


def _centred(values: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """Values minus the mean of their held-out block."""
    count = np.bincount(fold)
    means = np.stack([np.bincount(fold, weights=column) for column in values.T], axis=1) / np.maximum(count, 1)[:, None]
    return values - means[fold]


def _score(parts: np.ndarray, kind: str) -> float:
    total = parts.sum(axis=0)
    if kind == "r2":
        return float(1 - total[0] / max(total[1], 1e-300))
    if kind == "pearson":
        n, a, b, aa, bb, ab = total.reshape(6, -1)
        size = np.sqrt(np.maximum(aa - a * a / n, 0) * np.maximum(bb - b * b / n, 0))
        return float(np.mean(np.where(size > 1e-300, (ab - a * b / n) / np.maximum(size, 1e-300), 0.0)))
    half = len(total) // 2
    there = total[half:] > 0
    return float((total[:half][there] / total[half:][there]).mean())
