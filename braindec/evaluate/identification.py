"""Identification: is a predicted description nearer to that of its own item than to that of another?

For each item the share of other items whose true description correlates less with the prediction than the item's own does
(pairwise identification; ties count one half), over all items or only over those of the same class, which a decoder that
knows nothing but the class cannot win. Beside it stands the mean correlation of prediction and truth.

Source: pairwise identification as in Kay et al. 2008 (Nature 452) and Shen et al. 2019 (PLoS Computational Biology 15).
Differs from the reference in: ties count one half (there they win, or lose); distractors never hold the item itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.stats.bootstrap import bootstrap_interval
from braindec.stats.permutation import permutation_p, permute_within

__all__ = ["evaluate_identification", "identification_scores"]

VERSION = "1"


def evaluate_identification(
    predicted: np.ndarray,
    true: np.ndarray,
    *,
    within: np.ndarray | None = None,
    exchange: np.ndarray | None = None,
    n_permutations: int = 1000,
    n_bootstrap: int = 2000,
    seed: int = 0,
    row: str = "decoded",
    keys: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Score predictions of held-out items.

    Parameters
    ----------
    predicted, true : arrays of shape (n_items, n_units)
        Held-out predictions, and what was there; one row an item.
    within : array of shape (n_items,), optional
        The class of each item: adds identification among items of one class.
    exchange : array of shape (n_items,), optional
        Predictions are exchanged only among items with the same label (the fold) for the p-values.
    n_permutations, n_bootstrap, seed : int
        For p (whose prediction is whose is permuted) and intervals (over items).
    row, keys : str and mapping
        Of the score table.

    Returns
    -------
    DataFrame
        Rows ``item_correlation`` (chance 0 is what exchanged predictions score on average, which is not 0 when items
        resemble one another), ``identification`` and, with ``within``, ``identification_within``.

    Raises
    ------
    BraindecError
        If shapes differ, values are not finite, or an item is alone.
    """
    similarity = _similarity(predicted, true)
    n = len(similarity)
    labels = (
        np.zeros(n, dtype=int) if within is None else np.unique(np.asarray(within).astype(str), return_inverse=True)[1]
    )
    if n < 2 or (within is not None and np.bincount(labels).min() < 2):
        raise BraindecError("identification needs at least two items (of each class)", found=f"{n} items")
    rng = np.random.default_rng(seed)
    groups = labels if exchange is None else np.unique(np.stack([labels, np.unique(exchange, return_inverse=True)[1]]), axis=1,
                                                      return_inverse=True)[1].ravel()  # fmt: skip
    anywhere = np.zeros(n, dtype=int) if exchange is None else np.unique(exchange, return_inverse=True)[1]
    plans = [("item_correlation", lambda s: np.diagonal(s), anywhere, None),
             ("identification", lambda s: identification_scores(s), anywhere, 0.5)]  # fmt: skip
    if within is not None:
        plans.append(("identification_within", lambda s: identification_scores(s, labels), groups, 0.5))
    rows = []
    for metric, score, exchanged, chance in plans:
        items = score(similarity)
        null = np.array(
            [score(similarity[permute_within(np.arange(n), exchanged, rng)]).mean() for _ in range(n_permutations)]
        )
        low, high = bootstrap_interval(items, n=n_bootstrap, rng=rng)[:2]
        level = chance if chance is not None else float(null.mean()) if len(null) else 0.0
        rows.append({**(keys or {}), "metric": metric, "version": VERSION, "row": row, "value": items.mean(), "chance": level, "low": low,
                     "high": high, "p": permutation_p(items.mean(), null) if len(null) else np.nan, "n": n,
                     "note": "interval over items; p by exchanging predictions" + (" within folds" if exchange is not None else "")})  # fmt: skip
    return pd.DataFrame(rows)


def identification_scores(similarity: np.ndarray, within: np.ndarray | None = None) -> np.ndarray:
    """Return the share of distractors that each item beats, shape (n_items,).

    Parameters
    ----------
    similarity : array of shape (n_items, n_items)
        Prediction of item i (row) against the truth of item j (column).
    within : array of shape (n_items,), optional
        Only items with the same value are distractors; NaN for an item that is alone.
    """
    own = np.diagonal(similarity)[:, None]
    others = ~np.eye(len(similarity), dtype=bool)
    if within is not None:
        others &= np.asarray(within)[:, None] == np.asarray(within)[None, :]
    beaten = (similarity < own) + 0.5 * (similarity == own)
    n = others.sum(axis=1)
    return np.divide((beaten * others).sum(axis=1), n, out=np.full(len(n), np.nan), where=n > 0)


def _similarity(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Pearson correlation of every prediction with every truth, (n_items, n_items)."""
    a, b = np.asarray(predicted, dtype=float), np.asarray(true, dtype=float)
    if a.ndim != 2 or a.shape != b.shape or a.shape[1] < 2:
        raise BraindecError(
            "predictions and truth must be (item, unit) with at least two units", found=f"{a.shape} and {b.shape}"
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise BraindecError("predictions or truth hold values that are not finite")
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(a, axis=1)[:, None] * np.linalg.norm(b, axis=1)[None, :]
    return np.divide(a @ b.T, lengths, out=np.zeros((len(a), len(b))), where=lengths > 0)
