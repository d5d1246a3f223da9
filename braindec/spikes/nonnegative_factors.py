"""NonnegativeFactors: a non-negative tensor as a sum of few outer products, by least squares.

``x[i, j, ...] ~ sum_r w_r a_ir b_jr ...``, all of it not below 0. Two modes give non-negative matrix factorisation, which
has many solutions; three or more are unique up to order under mild conditions. Entries may be held out (a mask), to
choose the number of factors by how well they are predicted.

Source: Cichocki & Phan 2009 (IEICE Trans E92-A:708) for HALS; Lee & Seung 2001 (NeurIPS 13) and Shashua & Hazan 2005
(ICML) for multiplicative updates; Bro & Kiers 2003 (J Chemometrics 17:274) for core consistency; Wold 1978
(Technometrics 20:397) for held-out entries.
Differs from the reference in: HALS with a mask fills held-out entries with the model in each sweep (majorisation), so that
the error over the others still never rises.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from braindec.errors import BraindecError
from braindec.stats.asked import number, whole

__all__ = ["Match", "NonnegativeFactors", "choose_rank", "core_consistency", "match_factors"]

_METHODS = ("hals", "multiplicative")
_TINY = 1e-12


class Match(NamedTuple):
    """``order[k]`` is the found factor that belongs to the true factor ``k``; ``cosine`` (n_modes, n_true)."""

    order: np.ndarray
    cosine: np.ndarray


class NonnegativeFactors:
    """Fit from several starts; the best is kept.

    Parameters
    ----------
    rank : int
        Factors.
    method : {"hals", "multiplicative"}
        HALS needs far fewer sweeps.
    n_starts : int
    n_iterations : int
        Sweeps over all modes, at most.
    tolerance : float
        Stop when the error falls by less than this share of it in a sweep.
    seed : int

    Attributes
    ----------
    weights_ : array (rank,)
        Falling.
    factors_ : list of array (n_mode, rank)
        One a mode; columns of length 1.
    errors_ : array (n_sweeps + 1,)
        Squared error over the seen entries, relative to their sum of squares, of the best start.
    starts_ : array (n_starts,)
        Final error of each.
    explained_ : float
        1 minus the final error.
    """

    def __init__(
        self, rank: int, *, method: str = "hals", n_starts: int = 5, n_iterations: int = 300, tolerance: float = 1e-6,
        seed: int = 0,
    ) -> None:  # fmt: skip
        self.rank, self.method, self.n_starts = rank, method, n_starts
        self.n_iterations, self.tolerance, self.seed = n_iterations, tolerance, seed

    def fit(self, tensor: Any, *, seen: Any = None) -> NonnegativeFactors:
        """Factorise.

        Parameters
        ----------
        tensor : array of 2 dimensions or more
            Not below 0.
        seen : array of bool of the same shape, optional
            Entries to fit to; the others are not looked at (they may be NaN).

        Raises
        ------
        BraindecError
            If entries are negative or not finite, nothing is seen of a row of a mode, or an option is wrong.
        """
        x, mask = _checked(tensor, seen)
        if self.method not in _METHODS:
            raise BraindecError(f"there is no method {self.method!r}", allowed=", ".join(_METHODS))
        rank, n = whole(self.rank, "rank", least=1), whole(self.n_iterations, "n_iterations", least=1)
        tolerance = number(self.tolerance, "tolerance", least=0)
        sweep = _hals if self.method == "hals" else _multiplicative
        size, best = float((x**2).sum()), None
        finals = []
        for start in range(whole(self.n_starts, "n_starts", least=1)):
            rng = np.random.default_rng([self.seed, start])
            level = (x.sum() / (mask.sum() if mask is not None else x.size) / rank) ** (1 / x.ndim)
            factors = [2 * level * rng.random((k, rank)) + _TINY for k in x.shape]
            errors = [_error(x, factors, mask) / size]
            for _ in range(n):
                factors = sweep(x, factors, mask)
                errors.append(_error(x, factors, mask) / size)
                if errors[-2] - errors[-1] <= tolerance * errors[-2]:
                    break
            finals.append(errors[-1])
            if best is None or errors[-1] < best[1][-1]:
                best = (factors, errors)
        factors, errors = best  # type: ignore[misc]
        lengths = [np.linalg.norm(f, axis=0) for f in factors]
        weights = np.prod(lengths, axis=0)
        order = np.argsort(-weights, kind="stable")
        self.weights_ = weights[order]
        self.factors_ = [(f / np.maximum(k, 1e-300))[:, order] for f, k in zip(factors, lengths, strict=True)]
        self.errors_, self.starts_ = np.array(errors), np.array(finals)
        self.explained_ = float(1 - errors[-1])
        return self

    def reconstruct(self) -> np.ndarray:
        """Return the tensor that the factors make."""
        if not hasattr(self, "factors_"):
            raise BraindecError("NonnegativeFactors is not fitted", fix="call fit first")
        return _product([self.factors_[0] * self.weights_, *self.factors_[1:]])


def choose_rank(
    tensor: Any, ranks: Sequence[int], *, held: float = 0.1, n_repeats: int = 3, seed: int = 0, **options: Any
) -> pd.DataFrame:
    """Predict held-out entries with each number of factors.

    Parameters
    ----------
    tensor : array
    ranks : sequence of int
    held : float
        Share of the entries that is held out, at random.
    n_repeats : int
        Other entries each time, the same for all ranks.
    seed : int
    **options
        Of :class:`NonnegativeFactors`.

    Returns
    -------
    DataFrame
        rank, held_out (share of the variance of held-out entries that is predicted, mean), error (its standard error),
        explained (of a fit to all entries), core_consistency (in %, NaN for two modes), chosen: the smallest rank within
        one standard error of the best.
    """
    x, _ = _checked(tensor, None)
    share = number(held, "held", least=0, most=0.5, ends=False)
    chosen = [whole(r, "ranks", least=1) for r in ranks]
    if not chosen:
        raise BraindecError("there is no rank to choose from")
    masks = [
        np.random.default_rng([seed, 11, k]).random(x.shape) >= share
        for k in range(whole(n_repeats, "n_repeats", least=2))
    ]
    rows = []
    for rank in tqdm(chosen, desc="ranks", disable=None, leave=False):
        gained = []
        for mask in masks:
            model = NonnegativeFactors(rank, seed=seed, **options).fit(x, seen=mask)
            wrong = (x - model.reconstruct())[~mask]
            gained.append(1 - (wrong**2).sum() / ((x[~mask] - x[mask].mean()) ** 2).sum())
        whole_fit = NonnegativeFactors(rank, seed=seed, **options).fit(x)
        rows.append({"rank": rank, "held_out": np.mean(gained), "error": np.std(gained, ddof=1) / np.sqrt(len(gained)),
                     "explained": whole_fit.explained_,
                     "core_consistency": core_consistency(x, whole_fit) if x.ndim > 2 else np.nan})  # fmt: skip
    table = pd.DataFrame(rows)
    best = int(table["held_out"].to_numpy().argmax())
    enough = table["held_out"] >= table["held_out"].iloc[best] - table["error"].iloc[best]
    table["chosen"] = table["rank"] == table.loc[enough, "rank"].min()
    return table


def core_consistency(tensor: Any, model: NonnegativeFactors) -> float:
    """Return how far the factors keep to themselves, %: 100 when no product of different factors would help, low or
    negative when there are too many factors."""
    core, _ = _checked(tensor, None)
    rank = len(model.weights_)
    factors = [model.factors_[0] * model.weights_, *model.factors_[1:]]
    for mode, factor in enumerate(factors):
        core = np.moveaxis(np.tensordot(np.linalg.pinv(factor), core, axes=(1, mode)), 0, mode)
    ideal = np.zeros((rank,) * core.ndim)
    ideal[(np.arange(rank),) * core.ndim] = 1.0
    return float(100 * (1 - ((core - ideal) ** 2).sum() / rank))


def match_factors(true: Sequence[np.ndarray], found: Sequence[np.ndarray]) -> Match:
    """Pair found with true factors so that the product of their cosines over modes is largest in sum.

    Parameters
    ----------
    true, found : sequence of array (n_mode, rank)
    """
    from scipy.optimize import linear_sum_assignment

    if len(true) != len(found) or any(len(t) != len(f) for t, f in zip(true, found, strict=True)):
        raise BraindecError("true and found factors have other modes", found=f"{[np.shape(f) for f in found]}")
    cosines = np.stack([_unit(t).T @ _unit(f) for t, f in zip(true, found, strict=True)])
    rows, columns = linear_sum_assignment(-np.prod(cosines, axis=0))
    order = np.full(cosines.shape[1], -1)
    order[rows] = columns
    both = np.zeros(cosines.shape[:2])
    both[:, rows] = cosines[:, rows, columns]
    return Match(order, both)


def _unit(factor: np.ndarray) -> np.ndarray:
    values = np.asarray(factor, dtype=float)
    return values / np.maximum(np.linalg.norm(values, axis=0), 1e-300)


def _checked(tensor: Any, seen: Any) -> tuple[np.ndarray, np.ndarray | None]:
    x = np.asarray(tensor, dtype=np.float64)
    if x.ndim < 2 or 0 in x.shape:
        raise BraindecError("a tensor has 2 modes or more", found=f"shape {x.shape}")
    mask = None if seen is None else np.asarray(seen)
    if mask is not None:
        if mask.dtype != bool or mask.shape != x.shape:
            raise BraindecError("seen is a mask of the shape of the tensor", found=f"{mask.dtype} {mask.shape}")
        for mode in range(x.ndim):
            empty = ~mask.any(axis=tuple(k for k in range(x.ndim) if k != mode))
            if empty.any():
                raise BraindecError(f"nothing is seen of row {int(np.flatnonzero(empty)[0])} of mode {mode}")
        x = np.where(mask, x, 0.0)
    if not np.isfinite(x).all() or (x < 0).any():
        bad = ~np.isfinite(x) | (x < 0)
        raise BraindecError(
            "the tensor must be finite and not below 0", found=f"{int(bad.sum())} of {x.size} entries are not"
        )
    if not x.any():
        raise BraindecError("the tensor is 0 everywhere")
    return x, mask


def _rest(factors: list[np.ndarray], mode: int) -> np.ndarray:
    """Column-wise products of all factors but one, (product of the other sizes, rank)."""
    others = [f for k, f in enumerate(factors) if k != mode]
    out = others[0]
    for f in others[1:]:
        out = (out[:, None, :] * f[None, :, :]).reshape(-1, out.shape[1])
    return out


def _unfold(x: np.ndarray, mode: int) -> np.ndarray:
    return np.moveaxis(x, mode, 0).reshape(x.shape[mode], -1)


def _product(factors: list[np.ndarray]) -> np.ndarray:
    return (factors[0] @ _rest(factors, 0).T).reshape([len(f) for f in factors])


def _error(x: np.ndarray, factors: list[np.ndarray], mask: np.ndarray | None) -> float:
    wrong = x - _product(factors)
    return float((wrong**2).sum() if mask is None else (wrong[mask] ** 2).sum())


def _hals(x: np.ndarray, factors: list[np.ndarray], mask: np.ndarray | None) -> list[np.ndarray]:
    factors = list(factors)
    for mode in range(x.ndim):
        filled = x if mask is None else np.where(mask, x, _product(factors))
        rest = _rest(factors, mode)
        target, gram, own = _unfold(filled, mode) @ rest, rest.T @ rest, factors[mode].copy()
        for r in range(own.shape[1]):
            if gram[r, r] > 1e-300:
                own[:, r] = np.maximum(own[:, r] + (target[:, r] - own @ gram[:, r]) / gram[r, r], 0.0)
        factors[mode] = own
    return factors


def _multiplicative(x: np.ndarray, factors: list[np.ndarray], mask: np.ndarray | None) -> list[np.ndarray]:
    factors = list(factors)
    for mode in range(x.ndim):
        rest, own = _rest(factors, mode), factors[mode]
        if mask is None:
            below = own @ (rest.T @ rest)
        else:
            below = _unfold(np.where(mask, _product(factors), 0.0), mode) @ rest
        factors[mode] = own * (_unfold(x, mode) @ rest) / np.maximum(below, 1e-300)
    return factors
