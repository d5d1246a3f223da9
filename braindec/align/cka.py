"""Centred kernel alignment (CKA) of two sets of units over the same items: unbiased unless the biased one is asked for.

The plain estimate compares all cells of two Gram matrices, the diagonals too, which are large for any data: with more
units than items it is near 1 for pure noise (0.97 for 200 items with 4,096 and 13,000 units). Here the diagonals are
left out and rows are centred so that the inner product estimates the Hilbert-Schmidt independence criterion (HSIC)
without bias: 0 in expectation for unrelated data, and it may be negative.

Linear CKA works with n x n Gram matrices or with units x units products, whichever is less work; features on disk are
read in blocks of units or of items. ``batch`` averages HSIC over disjoint random batches of items, for many of both.

Source: Kornblith et al. 2019 (ICML, arXiv:1905.00414) for CKA; Song et al. 2012 (JMLR 13:1393), theorem 2, and Székely
& Rizzo 2014 (Annals of Statistics 42:2382) for the unbiased estimate; Nguyen, Raghu & Kornblith 2021 (arXiv:2010.15327)
for batches; Murphy, Zylberberg & Fyshe 2024 (arXiv:2405.01012) for what goes wrong without.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from braindec.align._cka_sources import Rows, away_from_mean, open_rows, paired
from braindec.errors import BraindecError, did_you_mean
from braindec.stats.asked import seed_of
from braindec.stats.permutation import permutation_p, permute_within

__all__ = ["CKATest", "cka", "cka_matrix", "cka_test"]

_MOST_ITEMS = 30_000  # a Gram matrix of more takes over 7 GB


class CKATest(NamedTuple):
    """CKA with its permutation test: ``value``, one-sided ``p``, ``null`` of shape (n_permutations,)."""

    value: float
    p: float
    null: np.ndarray


@dataclass(frozen=True)
class _How:
    debiased: bool
    kernel: str
    bandwidth: float


def cka(
    X: Any,
    Y: Any,
    *,
    debiased: bool = True,
    kernel: str = "linear",
    bandwidth: float = 1.0,
    equal_units: bool | int = False,
    n_draws: int = 20,
    batch: int | None = None,
    seed: int = 0,
) -> float:
    """Return how alike the geometry of the same items is in two sets of units.

    Parameters
    ----------
    X, Y : Features, or array of shape (n_items, n_units)
        Two Features are joined on stimulus_id; arrays have their rows in one order.
    debiased : bool
        The plain, biased estimate when False (a warning says why not).
    kernel : {"linear", "rbf"}
    bandwidth : float
        Width of the rbf kernel as a multiple of the median distance between items.
    equal_units : bool or int
        Compare equally many units: as many as the smaller set has (True), or this number, drawn at random from each
        side ``n_draws`` times; the mean is returned.
    batch : int, optional
        Average HSIC over random disjoint batches of this many items instead of using all pairs.
    seed : int
        For ``equal_units`` and ``batch``.

    Returns
    -------
    float
        1 for geometries that are equal up to scale, about 0 for unrelated ones.

    Raises
    ------
    BraindecError
        For fewer than 4 items, different items, values that are not finite, or data without any variance.
    """
    how = _how(debiased, kernel, bandwidth)
    first, second = paired(X, Y)
    _enough(first, batch)
    rng = np.random.default_rng(seed_of(seed))
    if equal_units is False:
        return _cka(first, second, how, batch, rng)
    if not isinstance(equal_units, Integral) or not isinstance(n_draws, Integral) or n_draws < 1:
        raise BraindecError("units are drawn a whole number of times, at least once",
                            found=f"equal_units={equal_units!r}, n_draws={n_draws!r}")  # fmt: skip
    wanted = min(first.n_units, second.n_units) if equal_units is True else int(equal_units)
    if not 1 <= wanted <= min(first.n_units, second.n_units):
        raise BraindecError(
            f"equal_units={equal_units} is not to be had", found=f"{first.n_units} and {second.n_units} units"
        )
    draws = [(first.draw(wanted, rng), second.draw(wanted, rng)) for _ in range(n_draws)]
    return float(np.mean([_cka(a, b, how, batch, rng) for a, b in draws]))


def cka_matrix(
    layers: Mapping[str, Any] | Sequence[Any],
    others: Mapping[str, Any] | Sequence[Any] | None = None,
    *,
    debiased: bool = True,
    kernel: str = "linear",
    bandwidth: float = 1.0,
) -> pd.DataFrame:
    """Return the CKA of every layer with every other, or with each of ``others``; Gram matrices are made once.

    Parameters
    ----------
    layers, others : mapping of name to Features or arrays, or sequence of them
        All over the same items.

    Returns
    -------
    DataFrame of shape (n_layers, n_others)
    """
    how = _how(debiased, kernel, bandwidth)
    left = _named(layers)
    right = left if others is None else _named(others)
    reference = open_rows(next(iter(left.values())))
    _enough(reference, None)
    if reference.n_items > _MOST_ITEMS:
        raise BraindecError(
            "a matrix of CKA is made of Gram matrices", found=f"{reference.n_items} items", allowed=f"{_MOST_ITEMS}"
        )
    grams: dict[int, np.ndarray] = {}
    for name, values in tqdm([*left.items(), *right.items()], desc="Gram matrices", disable=None):
        if id(values) in grams:
            continue
        grams[id(values)] = _unit(_centred(_gram(open_rows(values).joined(reference), how), how), str(name))
    table = [[float(np.vdot(grams[id(a)], grams[id(b)])) for b in right.values()] for a in left.values()]
    return pd.DataFrame(table, index=list(left), columns=list(right))


def cka_test(
    X: Any,
    Y: Any,
    *,
    n_permutations: int = 1000,
    groups: Sequence[Any] | None = None,
    debiased: bool = True,
    kernel: str = "linear",
    bandwidth: float = 1.0,
    seed: int = 0,
) -> CKATest:
    """Test CKA against items of ``Y`` in random order.

    Parameters
    ----------
    n_permutations : int
    groups : sequence, shape (n_items,), optional
        Items are exchanged within groups only (runs, stories): give them when neighbours are alike.

    Raises
    ------
    BraindecError
        As :func:`cka`.
    """
    how = _how(debiased, kernel, bandwidth)
    first, second = paired(X, Y)
    _enough(first, None)
    a = _unit(_centred(_gram(first, how), how), "X")
    b = _unit(_centred(_gram(second, how), how), "Y")
    rng, order = np.random.default_rng(seed_of(seed)), np.arange(first.n_items)
    blocks = None if groups is None else np.asarray(groups)
    if blocks is not None and len(blocks) != first.n_items:
        raise BraindecError("groups name one group an item", found=f"{len(blocks)} groups, {first.n_items} items")
    if blocks is not None and len(set(map(str, blocks))) == len(blocks):
        raise BraindecError(
            "every item is a group of its own: none can be exchanged", fix="groups=None, or larger groups"
        )
    if not isinstance(n_permutations, Integral) or n_permutations < 1:
        raise BraindecError(f"n_permutations={n_permutations!r} makes no null", allowed="a whole number from 1 on")
    value, null = float(np.vdot(a, b)), np.empty(n_permutations)
    for k in tqdm(range(n_permutations), desc="CKA permutations", disable=None):
        turn = permute_within(order, blocks, rng)
        null[k] = np.vdot(a, b[np.ix_(turn, turn)])
    return CKATest(value, float(permutation_p(value, null)), null)


def _how(debiased: bool, kernel: str, bandwidth: float) -> _How:
    if kernel not in ("linear", "rbf"):
        raise BraindecError(
            f"kernel={kernel!r} is unknown{did_you_mean(str(kernel), ['linear', 'rbf'])}", allowed="linear, rbf"
        )
    if not isinstance(bandwidth, Real) or not 0 < bandwidth < np.inf:
        raise BraindecError("a kernel's bandwidth is positive", found=f"{bandwidth}")
    if not debiased:
        warnings.warn(
            "biased CKA is near 1 for pure noise when units outnumber items; it is no evidence of a likeness",
            stacklevel=3,
        )
    return _How(debiased, kernel, bandwidth)


def _enough(rows: Rows, batch: int | None) -> None:
    if batch is not None and (not isinstance(batch, Integral) or isinstance(batch, bool)):
        raise BraindecError(
            f"batch={batch!r} is no number of items", allowed="a whole number from 4 on, or None for all"
        )
    n = rows.n_items if batch is None else min(batch, rows.n_items)
    if n < 4:
        raise BraindecError("CKA needs at least 4 items (in a batch)", found=f"{n}")


def _cka(first: Rows, second: Rows, how: _How, batch: int | None, rng: np.random.Generator) -> float:
    if batch is not None and batch < first.n_items:
        order = rng.permutation(first.n_items)
        parts = [order[i : i + batch] for i in range(0, len(order) - batch + 1, batch)]
        sums = sum(np.array(_products(first.pick(rows), second.pick(rows), how)) for rows in parts)
    else:
        sums = np.array(_products(first, second, how))
    cross, own, other = (float(s) for s in sums)
    for value, side in ((own, "X"), (other, "Y")):
        if not value > 0:
            raise BraindecError(
                f"CKA is not defined: the items of {side} do not differ, or only one of them does",
                found=f"{value:g} of {side} with itself",
            )
    return cross / np.sqrt(own * other)


def _products(first: Rows, second: Rows, how: _How) -> tuple[float, float, float]:
    """HSIC, up to one factor, of (first, second), of the first with itself, and of the second with itself."""
    n, p, q = first.n_items, first.n_units, second.n_units
    by_units = n * (p * q + p * p + q * q) < n * n * (p + q) + 10 * n * n
    if how.kernel == "linear" and (by_units or n > _MOST_ITEMS):
        return _by_units(first, second, how.debiased)
    if n > _MOST_ITEMS:
        raise BraindecError(
            f"a Gram matrix of {n} items does not fit in memory", fix="batch=1000 averages over batches of items"
        )
    a, b = _centred(_gram(first, how), how), _centred(_gram(second, how), how)
    return float(np.vdot(a, b)), float(np.vdot(a, a)), float(np.vdot(b, b))


def _gram(rows: Rows, how: _How) -> np.ndarray:
    """Kernel matrix (n, n) of centred items, summed over blocks of units."""
    gram = np.zeros((rows.n_items,) * 2)
    for block in rows.units():
        block = away_from_mean(block, block.mean(axis=0))
        gram += block @ block.T
    if how.kernel == "linear":
        return gram
    norms = np.diagonal(gram)
    distances = np.maximum(norms[:, None] + norms[None, :] - 2 * gram, 0.0)
    median = np.median(distances[np.triu_indices(len(gram), 1)])
    if not median > 0:
        raise BraindecError("an rbf kernel needs items that differ", found="median distance 0")
    return np.exp(-distances / (2 * how.bandwidth**2 * median))


def _centred(gram: np.ndarray, how: _How) -> np.ndarray:
    """Centre rows and columns: off the diagonal only, so that products are unbiased, or of the whole matrix."""
    n = len(gram)
    if not how.debiased:
        mean = gram.mean(axis=0)
        return gram - mean - mean[:, None] + mean.mean()
    np.fill_diagonal(gram, 0.0)
    row = gram.sum(axis=0)
    gram = gram - row / (n - 2) - row[:, None] / (n - 2) + row.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(gram, 0.0)
    return gram


def _unit(gram: np.ndarray, name: str) -> np.ndarray:
    size = np.linalg.norm(gram)
    if not size > 0:
        raise BraindecError(f"CKA is not defined: the items of {name} do not differ", found="no variance")
    return gram / size


def _by_units(first: Rows, second: Rows, debiased: bool) -> tuple[float, float, float]:
    """The three values of HSIC (times n (n - 3) when unbiased) from products of units; items come in batches.

    With centred items x_i, y_i, norms ``k_i = |x_i|^2`` and ``l_i = |y_i|^2`` and K, L without their diagonals:
    ``tr KL = |X'Y|^2 - sum k_i l_i``, ``(K1)_i = -k_i`` and ``1'K1 = -sum k_i``, because centred items sum to 0.
    """
    n = first.n_items
    means = first.mean(), second.mean()
    products: list[Any] = [0.0, 0.0, 0.0]
    norms = np.zeros((2, n))
    start = 0
    for blocks in zip(first.items(), second.items(), strict=True):
        x, y = (away_from_mean(block, mean) for block, mean in zip(blocks, means, strict=True))
        for place, (a, b) in enumerate(((x, y), (x, x), (y, y))):
            products[place] = products[place] + a.T @ b
        norms[:, start : start + len(x)] = np.einsum("ip,ip->i", x, x), np.einsum("ip,ip->i", y, y)
        start += len(x)
    whole = [float(np.sum(np.square(product))) for product in products]
    if debiased:
        for place, (a, b) in enumerate(((0, 1), (0, 0), (1, 1))):
            both, totals = float(norms[a] @ norms[b]), float(norms[a].sum() * norms[b].sum())
            whole[place] += totals / ((n - 1) * (n - 2)) - both - 2 * both / (n - 2)
    return whole[0], whole[1], whole[2]


def _named(layers: Mapping[str, Any] | Sequence[Any]) -> dict[str, Any]:
    table = dict(layers) if isinstance(layers, Mapping) else {str(i): one for i, one in enumerate(layers)}
    if not table:
        raise BraindecError("a matrix of CKA needs layers", found="none")
    return table
