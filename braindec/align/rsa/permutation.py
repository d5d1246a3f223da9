"""Permutation of condition labels: rows and columns of a model's matrix move together, the data stay as they are.

Under the hypothesis that a model knows nothing of *which* condition is which, every order of its conditions is equally
likely. Entries of a matrix are not independent and are never permuted by themselves. All models, regions and times are
scored under the same orders, so that the largest of their standardised scores corrects for their number.

Source: Kriegeskorte, Mur & Bandettini 2008 (Front Syst Neurosci 2:4), randomisation of condition labels; Mantel 1967
(Cancer Research 27:209); Nichols & Holmes 2002 (Human Brain Mapping 15:1), the maximum statistic; Phipson & Smyth 2010
(SAGMB 9:39), the observed order counts as one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import lgamma
from typing import Any

import numpy as np

from braindec.align.rsa._draws import codes_of
from braindec.align.rsa.compare import Comparator, comparator_of
from braindec.align.rsa.rdm import n_conditions_of, pair_places
from braindec.errors import BraindecError
from braindec.stats.asked import seed_of, whole
from braindec.stats.permutation import max_statistic, permutation_p, permute_within

__all__ = ["Permuted", "condition_orders", "permutation_test", "permuted_cells"]

_FEW_ORDERS = 20  # with fewer different orders no p can reach 0.05
_BLOCK = 64  # orders that are scored together


@dataclass(frozen=True, eq=False)
class Permuted:
    """Scores under permuted condition labels.

    Parameters
    ----------
    observed : array of shape (n_models, n_cells)
        Scores with the labels as they are; a cell is a region, a time, ...
    p : array of shape (n_models, n_cells)
        One-sided: scores at least as large.
    p_max : array of shape (n_models, n_cells)
        The same against the largest standardised score of all models and cells.
    chance, low, high : array of shape (n_models, n_cells)
        Mean, and 2.5th and 97.5th percentile, under permutation.
    floor : float
        The smallest p that so many orders can give.
    """

    observed: np.ndarray
    p: np.ndarray
    p_max: np.ndarray
    chance: np.ndarray
    low: np.ndarray
    high: np.ndarray
    floor: float


def condition_orders(
    n_conditions: int, *, n: int, rng: np.random.Generator | int = 0, strata: np.ndarray | None = None,
    blocks: np.ndarray | None = None,
) -> np.ndarray:  # fmt: skip
    """Return random orders of conditions, int of shape (n, n_conditions).

    Parameters
    ----------
    n_conditions, n : int
    rng : Generator or int
        Source of chance.
    strata : array of shape (n_conditions,), optional
        Conditions are exchanged within a stratum only (e.g. sentences of one length), so that what distinguishes the
        strata stays as it is in every order.
    blocks : array of shape (n_conditions,), optional
        Conditions that depend on one another and move together, e.g. sentences of a passage: blocks change places with
        blocks of the same size (and stratum), and each keeps its own order.

    Raises
    ------
    BraindecError
        If fewer than 20 different orders exist: no p could be below 0.05.
    """
    whole(n, "n")
    whole(n_conditions, "n_conditions", least=2)
    if not isinstance(rng, np.random.Generator):
        seed_of(rng, "rng")
    rng = np.random.default_rng(rng)
    stratum = np.zeros(n_conditions, dtype=int) if strata is None else codes_of(strata, n_conditions)
    block = codes_of(blocks, n_conditions)
    members = [np.flatnonzero(block == b) for b in range(block.max() + 1)]
    if any(len(set(stratum[m])) > 1 for m in members):
        raise BraindecError("conditions of one block lie in several strata", fix="make strata of whole blocks")
    kind = codes_of(np.array([f"{stratum[m[0]]}/{len(m)}" for m in members]), len(members))
    orders = sum(lgamma(c + 1) for c in np.bincount(kind))
    if orders < np.log(_FEW_ORDERS):
        raise BraindecError(
            "too few different orders of the conditions for a permutation test", found=f"{round(np.exp(orders))}",
            allowed=f"at least {_FEW_ORDERS}: p cannot fall below 1 / (number of orders)",
            fix="more conditions, fewer strata, or blocks of equal size",
        )  # fmt: skip
    out = np.empty((n, n_conditions), dtype=np.intp)
    for row in out:
        for to, source in zip(members, permute_within(np.arange(len(members)), kind, rng), strict=True):
            row[to] = members[source]
    return out


def permuted_cells(rdms: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return upper triangles (n_rdm, n_pairs) of the same matrices with their conditions in another order."""
    return rdms[:, pair_places(order, len(order))]


def permutation_test(
    models: np.ndarray,
    data: Sequence[np.ndarray],
    *,
    comparator: str | Comparator = "cosine",
    orders: np.ndarray,
    shares: Sequence[np.ndarray] | None = None,
) -> Permuted:
    """Test whether models fit better than with permuted condition labels.

    Parameters
    ----------
    models : array of shape (n_models, n_pairs)
    data : sequence of array of shape (n_rdm, n_pairs)
        Matrices of the subjects, for each cell (region, time).
    comparator : str or Comparator
    orders : array of int, shape (n_permutations, n_conditions)
        From :func:`condition_orders`.
    shares : sequence of array of shape (n_rdm,), optional
        Weight of each matrix in the mean of its cell; equal by default.
    """
    comparator = comparator_of(comparator)
    models = comparator.check(models, None, "model")
    orders = _orders(orders)
    wrong = [i for i, d in enumerate(data) if np.ndim(d) != 2 or np.shape(d)[1] != models.shape[1]
             or (shares is not None and (len(shares) != len(data) or np.shape(shares[i]) != (len(d),)))]  # fmt: skip
    if wrong or not len(data):
        raise BraindecError("data are one array (n_rdm, n_pairs) a cell, each with a weight a matrix", found=f"{len(data)} cells"
                            + (f", cell {wrong[0]} of shape {np.shape(data[wrong[0]])}" if wrong else ""), allowed=f"{models.shape[1]} pairs, as the models")  # fmt: skip
    if n_conditions_of(models.shape[1]) != orders.shape[1]:
        raise BraindecError("orders and matrices differ in conditions", found=f"{orders.shape}, {models.shape}")
    weights = [
        np.full(len(d), 1 / len(d)) if shares is None else shares[i] / np.sum(shares[i]) for i, d in enumerate(data)
    ]
    score = _scorer(models, [comparator.check(d, None, "data") for d in data], weights, comparator)
    n_conditions = orders.shape[1]
    observed = score(np.arange(n_conditions)[None])[0]
    null = np.concatenate([score(orders[i : i + _BLOCK]) for i in range(0, len(orders), _BLOCK)])
    p = permutation_p(observed, null)
    every = np.concatenate([null, observed[None]])
    centre, spread = every.mean(axis=0), every.std(axis=0)
    scale = np.where(spread > 0, spread, 1.0)
    largest = max_statistic(((observed - centre) / scale).ravel(), ((null - centre) / scale).reshape(len(null), -1))
    low, high = np.quantile(null, [0.025, 0.975], axis=0)
    return Permuted(
        observed, np.asarray(p), largest.p.reshape(observed.shape), null.mean(axis=0), low, high, 1 / (len(null) + 1)
    )


def _orders(orders: Any) -> np.ndarray:
    """Orders as an array of whole numbers, one row an order of all conditions."""
    found = np.asarray(orders)
    if (found.ndim != 2 or not len(found) or found.dtype.kind not in "iu"
            or (np.sort(found, axis=1) != np.arange(found.shape[1])).any()):  # fmt: skip
        raise BraindecError("orders hold every condition once a row", found=f"{found.dtype} of shape {found.shape}",
                            fix="condition_orders(n_conditions, n=1000)")  # fmt: skip
    return found


def _scorer(
    models: np.ndarray, data: list[np.ndarray], weights: list[np.ndarray], comparator: Comparator
) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function of orders (n, n_conditions) that gives mean scores (n, n_models, n_cells).

    Embeddings are permuted where they are made entry by entry; whitened ones are made again from permuted matrices.
    """
    n_pairs = models.shape[1]
    if comparator.embed is not None:
        target = np.stack([w @ comparator.embed(d, None) for d, w in zip(data, weights, strict=True)], axis=1)
        whole = comparator.embed(models, None)
        again = comparator.whitened or whole.shape[1] != n_pairs

        def one(order: np.ndarray) -> np.ndarray:
            moved = permuted_cells(models if again else whole, order)
            return (comparator.embed(moved, None) if again and comparator.embed else moved) @ target
    else:

        def one(order: np.ndarray) -> np.ndarray:
            moved = permuted_cells(models, order)
            return np.stack([comparator.compare(moved, d) @ w for d, w in zip(data, weights, strict=True)], axis=1)

    return lambda orders: np.stack([one(order) for order in orders])
