"""Exact solvers of generalized linear models with canonical links: Newton with step halving, for one target or many.

Both maximise the mean log-likelihood minus ``alpha / 2`` times the sum of squares of the penalised weights. One target:
the Hessian is summed over blocks of rows and factored. Many targets of one design: the Newton equations are solved by
conjugate gradients whose products are made for all targets at once by two products of matrices, preconditioned by a
factored Hessian; it starts at the mean rate, where all Hessians are multiples of one.

Source: McCullagh & Nelder 1989 (Generalized Linear Models, 2nd ed.), section 2.5; Nocedal & Wright 2006 (Numerical
Optimization, 2nd ed.), algorithm 7.1, for the truncated Newton method.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve, eigh
from scipy.special import expit, xlogy

from braindec.errors import BraindecError

__all__ = [
    "BERNOULLI",
    "POISSON",
    "Family",
    "FLAT",
    "Fit",
    "check_maximum",
    "check_rank",
    "curvature",
    "newton",
    "newton_many",
    "separable",
]

_ROWS = 4096  # of the design that are weighted together: they stay in the second cache
_MOST = 30.0  # exp of more than that many counts a bin is no rate of a neuron; steps are shortened before
FLAT = 1e-6  # a direction whose curvature fell so far below that of the mean rate runs off to infinity
_SINGULAR = 1e-11


@dataclass(frozen=True)
class Family:
    """A distribution with its canonical link: ``log p(y) = y eta - total(eta) + const``."""

    name: str
    mean: Callable[[np.ndarray], np.ndarray]
    total: Callable[[np.ndarray], np.ndarray]
    variance: Callable[[np.ndarray], np.ndarray]  # of the mean
    link: Callable[[float], float]

    def deviance(self, y: np.ndarray, mu: np.ndarray) -> np.ndarray:
        """Return the deviance of each row."""
        if self.name == "poisson":
            return 2 * (xlogy(y, y) - xlogy(y, mu) - y + mu)
        return -2 * (xlogy(y, mu) + xlogy(1 - y, 1 - mu))


POISSON = Family("poisson", np.exp, np.exp, lambda mu: mu, lambda m: float(np.log(m)))
BERNOULLI = Family(
    "bernoulli",
    expit,
    lambda eta: np.logaddexp(0.0, eta),
    lambda mu: mu * (1 - mu),
    lambda m: float(np.log(m / (1 - m))),
)


@dataclass(frozen=True, eq=False)
class Fit:
    """Weights (n_columns,), or (n_columns, n_targets); the Hessian of one target's mean objective; iterations."""

    weights: np.ndarray
    hessian: np.ndarray | None
    n_iter: int
    objective: np.ndarray


def curvature(X: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return ``X' diag(weight) X``; weights are 0 or more."""
    found = np.zeros((X.shape[1], X.shape[1]))
    for first in range(0, len(X), _ROWS):
        part = X[first : first + _ROWS] * np.sqrt(weight[first : first + _ROWS, None])
        found += part.T @ part
    return found


def newton(
    X: np.ndarray, y: np.ndarray, family: Family, *, offset: np.ndarray | float = 0.0, weight: np.ndarray | None = None,
    penalty: np.ndarray, start: np.ndarray | None = None, names: list[str], max_iter: int = 100, tol: float = 1e-14,
) -> Fit:  # fmt: skip
    """Fit one target.

    Parameters
    ----------
    X : array of shape (n_rows, n_columns)
        The last column is the constant.
    y : array of shape (n_rows,)
    family : Family
    offset : array of shape (n_rows,) or float
        Added to the linear predictor (logarithm of the exposure).
    weight : array of shape (n_rows,), optional
        Of each row, adding to 1; equal by default.
    penalty : array of shape (n_columns,)
        Of the squares of the weights.
    start : array of shape (n_columns,), optional
    names : list of str
        Of the columns, for messages.
    max_iter, tol : int, float
        Stops when half the squared Newton decrement is at most ``tol``.

    Raises
    ------
    BraindecError
        If columns are collinear, or the likelihood has no maximum (separable data), and nothing is penalised.
    """
    c = np.full(len(y), 1 / len(y)) if weight is None else weight
    beta = np.zeros(X.shape[1]) if start is None else start.copy()
    if start is None:
        beta[-1] = _constant(y, family, offset, c)
    null = curvature(X, c * family.variance(family.mean(offset + np.full(len(y), _constant(y, family, offset, c)))))
    check_rank(null, penalty, names)
    value, eta = np.inf, X @ beta + offset
    for step in range(max_iter):
        mu = family.mean(eta)
        value = c @ (family.total(eta) - y * eta) + 0.5 * penalty @ beta**2
        gradient = X.T @ (c * (y - mu)) - penalty * beta
        hessian = (null if start is None and step == 0 else curvature(X, c * family.variance(mu))) + np.diag(penalty)
        try:
            move = cho_solve(cho_factor(hessian), gradient)
        except np.linalg.LinAlgError:
            raise separable(hessian, null, names) from None
        decrement = float(gradient @ move)
        along, size = X @ move, 1.0
        while True:
            tried = eta + size * along
            if np.max(tried) < _MOST or family is BERNOULLI:
                new = beta + size * move
                now = c @ (family.total(tried) - y * tried) + 0.5 * penalty @ new**2
                if now <= value + 1e-12 * max(1.0, abs(value)):
                    break
            size /= 2
            if size < 1e-10:
                return Fit(beta, hessian, step, np.array(value))
        beta, eta = new, tried
        if decrement / 2 <= tol:
            check_maximum(hessian, null, penalty, names)
            return Fit(beta, hessian, step + 1, np.array(now))
    check_maximum(hessian, null, penalty, names)
    raise BraindecError("the fit did not converge", found=f"{max_iter} iterations", fix="penalise: alpha=1e-4, say")


def newton_many(
    X: np.ndarray, Y: np.ndarray, family: Family, *, mask: np.ndarray, offset: float = 0.0, penalty: np.ndarray,
    start: np.ndarray | None = None, hessian: np.ndarray | None = None, max_iter: int = 50, tol: float = 1e-14,
) -> Fit:  # fmt: skip
    """Fit many targets of one design, each with its own columns of it.

    Parameters
    ----------
    X : array of shape (n_rows, n_columns)
        The last column is the constant.
    Y : array of shape (n_rows, n_targets) or (n_rows, 1)
    mask : array of bool, shape (n_columns, n_targets)
        Columns in the model of each target.
    penalty : array of shape (n_columns,)
    start : array of shape (n_columns, n_targets), optional
    hessian : array of shape (n_columns, n_columns), optional
        Roughly that of every target, to precondition with; made from the mean rates by default.
    """
    n, (n_columns, n_targets) = len(X), mask.shape
    mask = mask.astype(float)
    Y = np.broadcast_to(Y, (n, n_targets))
    beta = np.zeros((n_columns, n_targets)) if start is None else start.copy()
    if start is None:
        beta[-1] = [family.link(m) - offset for m in Y.mean(axis=0)]
    spread = family.variance(Y.mean(axis=0)) if hessian is None else np.ones(n_targets)
    inverse = _inverses(
        X.T @ X / n if hessian is None else hessian, spread, mask, penalty if hessian is None else 0 * penalty
    )
    active, n_iter = np.arange(n_targets), 0
    value = np.full(n_targets, np.inf)
    while len(active) and n_iter < max_iter:
        n_iter += 1
        b, m, y = beta[:, active], mask[:, active], Y[:, active]
        eta = X @ b + offset
        mu = family.mean(eta)
        value[active] = (family.total(eta) - y * eta).mean(axis=0) + 0.5 * penalty @ b**2
        gradient = (X.T @ (y - mu) / n - penalty[:, None] * b) * m
        move = _conjugate_gradients(X, family.variance(mu) / n, penalty, m, gradient, inverse[active])
        decrement, along = (gradient * move).sum(axis=0), X @ move
        size, ok = np.ones(len(active)), np.zeros(len(active), dtype=bool)
        while not ok.all():
            tried = eta + size * along
            new = b + size * move
            with np.errstate(over="ignore"):
                now = (family.total(tried) - y * tried).mean(axis=0) + 0.5 * penalty @ new**2
            ok = (now <= value[active] + 1e-12 * np.maximum(1, abs(value[active]))) | (size < 1e-10)
            size = np.where(ok, size, size / 2)
        beta[:, active], value[active] = new, now
        active = active[decrement / 2 > tol]
    return Fit(beta, None, n_iter, value)


def _conjugate_gradients(
    X: np.ndarray, weight: np.ndarray, penalty: np.ndarray, mask: np.ndarray, right: np.ndarray, inverse: np.ndarray
) -> np.ndarray:
    """Solve (X' diag(weight) X + penalty) x = right for each column, on its columns of the design."""
    x, rest = np.zeros_like(right), right.copy()
    z = np.einsum("mij,jm->im", inverse, rest)
    p, power = z.copy(), (rest * z).sum(axis=0)
    goal = power * np.minimum(0.01, power) + 1e-300  # superlinear: the better the point, the better the step
    for _ in range(50):
        live = power > goal
        if not live.any():
            break
        product = (X.T @ (weight * (X @ p)) + penalty[:, None] * p) * mask
        curve = (p * product).sum(axis=0)
        size = np.divide(power, curve, out=np.zeros_like(power), where=live & (curve > 0))
        x += size * p
        rest -= size * product
        z = np.einsum("mij,jm->im", inverse, rest)
        new = (rest * z).sum(axis=0)
        p = z + np.divide(new, power, out=np.zeros_like(power), where=live & (power > 0)) * p
        power = np.where(live, new, power)
    return x


def _inverses(hessian: np.ndarray, spread: np.ndarray, mask: np.ndarray, penalty: np.ndarray) -> np.ndarray:
    """Return the inverses of the masked Hessians, (n_targets, n_columns, n_columns)."""
    every = spread[:, None, None] * hessian + np.diag(penalty)
    every *= mask.T[:, :, None] * mask.T[:, None, :]
    n = len(hessian)
    ridge = 1e-10 * np.einsum("mii->m", every) / n
    every[:, range(n), range(n)] += ridge[:, None] + (mask.T == 0)
    return np.linalg.inv(every) * (mask.T[:, :, None] * mask.T[:, None, :])


def _constant(y: np.ndarray, family: Family, offset: np.ndarray | float, c: np.ndarray) -> float:
    """The constant of the model without covariates."""
    if family is POISSON:
        return float(np.log(c @ y) - np.log(c @ np.exp(np.broadcast_to(offset, y.shape))))
    return family.link(float(c @ y))


def _scaled(hessian: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    size = np.sqrt(np.maximum(np.diag(hessian), 0))
    safe = np.where(size > 0, size, 1.0)
    return hessian / safe / safe[:, None], safe


def check_rank(null: np.ndarray, penalty: np.ndarray, names: list[str]) -> None:
    """Refuse designs in which some columns say the same."""
    if (penalty[:-1] > 0).all():
        return
    size = np.diag(null)
    if (size[:-1] <= 0).any():
        raise BraindecError(
            "a column of the design is 0 everywhere", found=names[int(np.flatnonzero(size[:-1] <= 0)[0])],
            fix="leave it out, or penalise: alpha=1e-4, say",
        )  # fmt: skip
    values, vectors = np.linalg.eigh(_scaled(null)[0])
    if values[0] < _SINGULAR:
        raise BraindecError(
            "columns of the design are collinear", found=_largest(vectors[:, 0], names),
            fix="leave one out, or penalise: alpha=1e-4, say",
        )  # fmt: skip


def check_maximum(hessian: np.ndarray, null: np.ndarray, penalty: np.ndarray, names: list[str]) -> None:
    """Refuse a fit along whose flattest direction the likelihood rises for ever."""
    if not (penalty[:-1] > 0).all() and eigh(hessian, null, eigvals_only=True, subset_by_index=[0, 0])[0] < FLAT:
        raise separable(hessian, null, names)


def separable(hessian: np.ndarray, null: np.ndarray, names: list[str]) -> BraindecError:
    """Return the error for separable data, which names the columns of the direction in which the likelihood only grows."""
    vector = eigh(hessian, null, subset_by_index=[0, 0])[1][:, 0]
    return BraindecError(
        "the likelihood has no maximum: some columns tell bins with spikes from bins without them perfectly (separable data)",
        found=_largest(vector * np.sqrt(np.diag(null)), names), fix="penalise: alpha=1e-4, say; or fewer columns or more data",
    )  # fmt: skip


def _largest(vector: np.ndarray, names: list[str]) -> str:
    order = np.argsort(-np.abs(vector))
    return ", ".join(names[i] for i in order[:4] if abs(vector[i]) > 0.1 * abs(vector[order[0]]))
