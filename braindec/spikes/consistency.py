"""Consistency of embeddings: does a linear map carry one into the other, on time that the map was not fitted to?

Embeddings of one time course (seeds, simultaneous recordings) are compared sample by sample; those of different sessions
by the means of samples that are alike in a label. Either way the map is fitted on some contiguous blocks of time and
scored on the others, and the null turns one embedding (or its labels) around in time.

Source: Hyvärinen & Morioka 2016 (arXiv:1605.06336) and Roeder et al. 2021 (arXiv:2007.00810, linear identifiability) for
linear maps between embeddings as the measure; Harris 2021 (bioRxiv 2020.11.29.402719) for shifts as the null;
Hoerl & Kennard 1970 and Allen 1974 (Technometrics 12:55, 16:125) for ridge regression with leave-one-out errors.
Differs from the reference in: the map is not scored on the samples that it was fitted to; there is a null and a p.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.ridge.folds import contiguous_folds
from braindec.stats.asked import whole
from braindec.stats.permutation import permutation_p

__all__ = ["Consistency", "consistency", "consistency_table", "label_bins"]

_LEAST = 3  # samples of a label bin in each part of time
_PENALTIES = 10.0 ** np.arange(-5, 3)  # of the mean squared singular value


@dataclass(frozen=True, eq=False)
class Consistency:
    """How well linear maps carry two embeddings into each other.

    Parameters
    ----------
    r2 : float
        Mean of both directions.
    forward, backward : float
        Of the first from the second, of the second from the first.
    null : array (n_shifts,)
    p : float
        NaN without shifts.
    n : int
        Samples (or label bins, over folds) that were scored.
    folds : array (n_folds,)
        R2 of each held-out block, mean of both directions.
    """

    r2: float
    forward: float
    backward: float
    null: np.ndarray
    p: float
    n: int
    folds: np.ndarray


def consistency(
    a: Any,
    b: Any,
    *,
    labels: tuple[Any, Any] | None = None,
    bins: int = 24,
    circular: bool = False,
    n_folds: int = 4,
    gap: int = 20,
    n_shifts: int = 199,
    rng: np.random.Generator | int = 0,
) -> Consistency:
    """Compare two embeddings.

    Parameters
    ----------
    a, b : array (n_samples, dim)
        In order of time. Without labels of the same samples; dims may differ.
    labels : (array, array), optional
        Of the samples of ``a`` and of ``b``: classes, numbers, or several columns. Embeddings are averaged in bins of
        them, separately in each part of time.
    bins : int
        Bins of a continuous label (of each column, at most ``bins`` in all).
    circular : bool
        The label is an angle in rad.
    n_folds : int
        Contiguous held-out blocks.
    gap : int
        Samples next to a held-out block that no map is fitted to; shifts of the null are longer.
    n_shifts : int
        Of the null; 0 gives no p.
    rng : Generator or int

    Raises
    ------
    BraindecError
        If shapes do not fit, values are not finite, or too few bins are visited in every part of time.
    """
    first, second = _checked(a, "the first embedding"), _checked(b, "the second embedding")
    rng, gap = np.random.default_rng(rng), whole(gap, "gap")
    n_shifts = whole(n_shifts, "n_shifts")
    shortest = len(second) if labels is not None else min(len(first), len(second))
    if shortest < 2 * gap + 4 * n_folds or len(first) < 2 * gap + 4 * n_folds:
        raise BraindecError("too few samples for held-out blocks", found=f"{min(len(first), len(second))}, gap {gap}")
    if labels is None:
        if len(first) != len(second):
            raise BraindecError(
                "embeddings of different length need labels", found=f"{len(first)} and {len(second)} samples",
                fix="labels=(labels_a, labels_b)",
            )  # fmt: skip
        folds = contiguous_folds(len(first), n_folds, buffer=gap)
        codes = None
    else:
        folds = None
        codes = label_bins(labels, lengths=(len(first), len(second)), bins=bins, circular=circular)
    value, forward, backward, n, each = _compare(first, second, codes, folds, n_folds, gap)
    null = np.empty(n_shifts)
    for k in range(n_shifts):
        shift = int(rng.integers(gap + 1, len(second) - gap))
        if codes is None:
            null[k] = _compare(first, np.roll(second, shift, axis=0), None, folds, n_folds, gap)[0]
        else:
            null[k] = _compare(first, second, (codes[0], np.roll(codes[1], shift)), folds, n_folds, gap)[0]
    p = float(permutation_p(value, null)) if n_shifts else np.nan
    return Consistency(value, forward, backward, null, p, n, each)


def consistency_table(
    embeddings: Mapping[str, Any], *, labels: Mapping[str, Any] | None = None, **options: Any
) -> pd.DataFrame:
    """Compare all pairs of named embeddings; columns first, second, r2, forward, backward, p, n, null (mean).

    Parameters
    ----------
    embeddings : mapping of name to array (n_samples, dim)
    labels : mapping of the same names to labels, optional
    **options
        Of :func:`consistency`.
    """
    if len(embeddings) < 2:
        raise BraindecError("consistency is between two embeddings at least", found=f"{len(embeddings)}")
    rows = []
    for one, other in combinations(embeddings, 2):
        both = None if labels is None else (labels[one], labels[other])
        found = consistency(embeddings[one], embeddings[other], labels=both, **options)
        rows.append({"first": one, "second": other, "r2": found.r2, "forward": found.forward, "backward": found.backward,
                     "p": found.p, "n": found.n, "null": found.null.mean() if len(found.null) else np.nan})  # fmt: skip
    return pd.DataFrame(rows)


def label_bins(
    labels: Sequence[Any], *, lengths: Sequence[int] | None = None, bins: int = 24, circular: bool = False
) -> tuple[np.ndarray, ...]:
    """Return the bin of every sample of each session, the same bins in all.

    Classes are bins as they are; numbers are cut at common quantiles, angles in even parts, several columns in a grid.
    """
    arrays = [np.asarray(one) for one in labels]
    lengths = [len(v) for v in arrays] if lengths is None else lengths
    for number, (array, n) in enumerate(zip(arrays, lengths, strict=True), 1):
        if array.ndim not in (1, 2) or len(array) != n:
            raise BraindecError(
                f"labels {number} do not fit their embedding", found=f"{array.shape}", allowed=f"{n} rows"
            )
    together = np.concatenate([v.reshape(len(v), -1) for v in arrays])
    cuts = np.cumsum(lengths)[:-1]
    if not np.issubdtype(together.dtype, np.floating):
        if together.shape[1] != 1:
            raise BraindecError("classes are one column", found=f"shape {together.shape}")
        return tuple(np.split(np.unique(together[:, 0], return_inverse=True)[1].reshape(-1), cuts))
    if not np.isfinite(together).all():
        raise BraindecError("labels are not finite")
    if circular:
        if together.shape[1] != 1:
            raise BraindecError("an angle is one column of rad", found=f"shape {together.shape}")
        turn = np.mod(together[:, 0], 2 * np.pi) / (2 * np.pi)
        return tuple(np.split(np.minimum((turn * bins).astype(int), bins - 1), cuts))
    each = max(2, int(np.floor(whole(bins, "bins", least=2) ** (1 / together.shape[1]) + 1e-9)))
    code = np.zeros(len(together), dtype=int)
    for column in together.T:
        edges = np.quantile(column, np.linspace(0, 1, each + 1)[1:-1])
        code = code * each + np.searchsorted(edges, column, side="right")
    return tuple(np.split(code, cuts))


def _compare(
    a: np.ndarray, b: np.ndarray, codes: tuple[np.ndarray, ...] | None, folds: Any, n_folds: int, gap: int
) -> tuple[float, float, float, int, np.ndarray]:
    """R2 (mean, forward, backward), samples scored, R2 of each fold."""
    if codes is None:
        parts = [(a[train], b[train], a[test], b[test], None) for train, test in folds]
    else:
        parts = _bin_means(a, b, codes, n_folds, gap)
    errors = {"forward": [], "backward": []}  # type: ignore[var-annotated]
    n = 0
    for a_train, b_train, a_test, b_test, _ in parts:
        errors["forward"].append(_errors(b_train, a_train, b_test, a_test))
        errors["backward"].append(_errors(a_train, b_train, a_test, b_test))
        n += len(a_test)
    both = {k: np.array(v) for k, v in errors.items()}
    forward, backward = (float(1 - both[k][:, 0].sum() / both[k][:, 1].sum()) for k in ("forward", "backward"))
    each = np.mean([1 - both[k][:, 0] / both[k][:, 1] for k in both], axis=0)
    return (forward + backward) / 2, forward, backward, n, each


def _errors(x_train: np.ndarray, y_train: np.ndarray, x_test: np.ndarray, y_test: np.ndarray) -> tuple[float, float]:
    """Squared errors of the linear map from x to y on held-out rows, and those of the training mean.

    The map's penalty is the one whose leave-one-out error among the training rows is lowest: label bins are few.
    """
    mean, level = x_train.mean(axis=0), y_train.mean(axis=0)
    u, size, vt = np.linalg.svd(x_train - mean, full_matrices=False)
    y = y_train - level
    target, power = u.T @ y, size**2
    scale = power.sum() / max(1, len(size)) + 1e-300
    best, least = None, np.inf
    for penalty in _PENALTIES:
        keep = power / (power + penalty * scale)
        left = 1 - 1 / len(u) - (u**2) @ keep  # 1 minus the leverage of each row, the mean's included
        loss = (((y - (u * keep) @ target) / np.maximum(left, 1e-6)[:, None]) ** 2).sum()
        if loss < least:
            best, least = penalty, loss
    weights = (vt.T * (size / (power + best * scale))) @ target
    wrong = y_test - level - (x_test - mean) @ weights
    return float((wrong**2).sum()), float(((y_test - level) ** 2).sum()) + 1e-300


def _bin_means(a: np.ndarray, b: np.ndarray, codes: tuple[np.ndarray, ...], n_folds: int, gap: int) -> list[tuple]:
    """Means of both embeddings in the label bins that both visit, in training and in held-out time of each fold."""
    n_bins = 1 + max(int(c.max()) for c in codes)
    out = []
    folds = [contiguous_folds(len(v), n_folds, buffer=gap) for v in (a, b)]
    for fa, fb in zip(*folds, strict=True):
        found, seen = [], []
        for which in (0, 1):
            pair = [_means(v[f[which]], c[f[which]], n_bins) for v, c, f in ((a, codes[0], fa), (b, codes[1], fb))]
            enough = (pair[0][1] >= _LEAST) & (pair[1][1] >= _LEAST)
            found += [pair[0][0][enough], pair[1][0][enough]]
            seen.append(int(enough.sum()))
        if seen[0] < 4 or seen[1] < 2:
            continue
        out.append((*found, None))
    if len(out) < 2:
        raise BraindecError(
            "too few label bins are visited by both sessions in the parts of time", found=f"{len(out)} blocks can be scored",
            fix="fewer bins, or fewer folds",
        )  # fmt: skip
    return out


def _means(values: np.ndarray, codes: np.ndarray, n_bins: int) -> tuple[np.ndarray, np.ndarray]:
    count = np.bincount(codes, minlength=n_bins)
    total = np.stack([np.bincount(codes, weights=column, minlength=n_bins) for column in values.T], axis=1)
    return total / np.maximum(count, 1)[:, None], count


def _checked(embedding: Any, what: str) -> np.ndarray:
    values = np.asarray(embedding, dtype=np.float64)
    if values.ndim != 2 or not values.size:
        raise BraindecError(f"{what} is (sample, dimension)", found=f"shape {values.shape}")
    if not np.isfinite(values).all():
        raise BraindecError(f"{what} holds values that are not finite")
    if np.ptp(values, axis=0).max() == 0:
        raise BraindecError(f"{what} does not vary")
    return values
