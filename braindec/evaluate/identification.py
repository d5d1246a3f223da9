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
    items: np.ndarray | None = None,
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
    predicted, true : arrays of shape (n_rows, n_units)
        Held-out predictions, and what was there; one row a trial.
    items : array of shape (n_rows,), optional
        Which item each row is of; every row is one of its own by default. Rows of one item have one truth, are no distractors
        of one another, and stay together in permutations and resamples: what is special in the response to an item comes
        back in each of its trials.
    within : array of shape (n_rows,), optional
        The class of each item: adds identification among items of one class.
    exchange : array of shape (n_rows,), optional
        Items are exchanged only with those of the same label (the fold) for the p-values; among all where an item has
        several.
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
        If shapes differ, values are not finite, rows of one item differ, or an item is alone.
    """
    similarity = _similarity(predicted, true)
    n_rows = len(similarity)
    names = np.arange(n_rows) if items is None else np.asarray(items).astype(str)
    _, first, code = np.unique(names, return_index=True, return_inverse=True)
    code, n = code.reshape(-1), len(first)
    if len(code) != n_rows or not np.array_equal(np.asarray(true)[first][code], np.asarray(true)):
        raise BraindecError("rows of one item have one truth", found=f"{n} items in {n_rows} rows")
    similarity = similarity[:, first]
    labels = _of_items(within, first, code)
    if labels is None:
        raise BraindecError("an item belongs to one class", found="items of several classes")
    if n < 2 or (within is not None and np.bincount(labels).min() < 2):
        raise BraindecError("identification needs at least two items (of each class)", found=f"{n} items")
    rng = np.random.default_rng(seed)
    folds = _of_items(exchange, first, code)
    said = " within folds" if exchange is not None and folds is not None else ""
    anywhere = np.zeros(n, dtype=int) if folds is None else folds
    groups = np.unique(np.stack([labels, anywhere]), axis=1, return_inverse=True)[1].ravel()
    plans = [("item_correlation", lambda own: similarity[np.arange(n_rows), own], anywhere, None),
             ("identification", lambda own: identification_scores(similarity, own), anywhere, 0.5)]  # fmt: skip
    if within is not None:
        plans.append(("identification_within", lambda own: identification_scores(similarity, own, labels), groups, 0.5))
    rows = []
    for metric, score, exchanged, chance in plans:
        values = score(code)
        null = np.array(
            [score(permute_within(np.arange(n), exchanged, rng)[code]).mean() for _ in range(n_permutations)]
        )
        low, high = bootstrap_interval(values, n=n_bootstrap, rng=rng, clusters=None if n == n_rows else code)[:2]
        level = chance if chance is not None else float(null.mean()) if len(null) else 0.0
        rows.append({**(keys or {}), "metric": metric, "version": VERSION, "row": row, "value": values.mean(), "chance": level, "low": low,
                     "high": high, "p": permutation_p(values.mean(), null) if len(null) else np.nan, "n": n_rows,
                     "note": f"interval over {n} items; p by exchanging predictions{said}"})  # fmt: skip
    return pd.DataFrame(rows)


def _of_items(labels: np.ndarray | None, first: np.ndarray, code: np.ndarray) -> np.ndarray | None:
    """Numbers of the labels of items, one for all without labels; None where rows of an item differ."""
    if labels is None:
        return np.zeros(len(first), dtype=int)
    numbers = np.unique(np.asarray(labels).astype(str), return_inverse=True)[1].reshape(-1)
    return numbers[first] if np.array_equal(numbers[first][code], numbers) else None


def identification_scores(
    similarity: np.ndarray, own: np.ndarray | None = None, within: np.ndarray | None = None
) -> np.ndarray:
    """Return the share of distractors that the item of each row beats, shape (n_rows,).

    Parameters
    ----------
    similarity : array of shape (n_rows, n_items)
        Each prediction (row) against the truth of each item (column).
    own : array of int, shape (n_rows,), optional
        The item of each row; that of its number by default.
    within : array of shape (n_items,), optional
        Only items with the same value are distractors; NaN for an item that is alone.
    """
    own = np.arange(len(similarity)) if own is None else np.asarray(own)
    value = similarity[np.arange(len(similarity)), own][:, None]
    others = own[:, None] != np.arange(similarity.shape[1])
    if within is not None:
        others &= np.asarray(within)[own][:, None] == np.asarray(within)
    beaten = (similarity < value) + 0.5 * (similarity == value)
    n = others.sum(axis=1)
    return np.divide((beaten * others).sum(axis=1), n, out=np.full(len(n), np.nan), where=n > 0)


def _similarity(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Pearson correlation of every prediction with every truth, (n_rows, n_rows)."""
    a, b = np.asarray(predicted, dtype=float), np.asarray(true, dtype=float)
    if a.ndim != 2 or a.shape != b.shape or a.shape[1] < 2:
        raise BraindecError(
            "predictions and truth must be (row, unit) with at least two units", found=f"{a.shape} and {b.shape}"
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise BraindecError("predictions or truth hold values that are not finite")
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(a, axis=1)[:, None] * np.linalg.norm(b, axis=1)[None, :]
    return np.divide(a @ b.T, lengths, out=np.zeros((len(a), len(b))), where=lengths > 0)
