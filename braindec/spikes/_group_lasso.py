"""Generalized linear models with a group penalty: whole filters are left out where they are not worth their weights.

Minimises the mean negative log-likelihood plus ``alpha / 2 |w|^2 + group_alpha sum_g sqrt(n_g) |w_g|`` by proximal Newton steps:
the quadratic model is minimised group by group, each group's step from the largest eigenvalue of its block, and the step
is halved until the objective falls enough.

Source: Yuan & Lin 2006 (JRSS B 68:49) for the penalty; Lee, Sun & Saunders 2014 (SIAM J Optim 24:1420) for the method.
"""

from __future__ import annotations

import numpy as np

from braindec.errors import BraindecError
from braindec.spikes._newton import Family, Fit, check_maximum, check_rank, curvature

__all__ = ["group_newton"]


def group_newton(
    X: np.ndarray, y: np.ndarray, family: Family, *, offset: np.ndarray | float, penalty: np.ndarray, groups: np.ndarray,
    group_alpha: float, names: list[str], max_iter: int = 200, tol: float = 1e-10,
) -> Fit:  # fmt: skip
    """Fit one target.

    Parameters
    ----------
    X : array of shape (n_rows, n_columns)
        The last column is the constant.
    penalty : array of shape (n_columns,)
        Of squares.
    groups : array of int, shape (n_columns,)
        Group of each column; -1 has no group penalty.
    group_alpha : float
    names : list of str
        Of the columns, for messages.
    tol : float
        Largest violation of the optimality conditions.

    Raises
    ------
    BraindecError
        If columns without a penalty are collinear or make data separable, or the fit does not converge.
    """
    n = len(y)
    members = [np.flatnonzero(groups == g) for g in np.unique(groups[groups >= 0])]
    free = np.flatnonzero(groups < 0)
    cost = [group_alpha * np.sqrt(len(m)) for m in members]
    beta = np.zeros(X.shape[1])
    share = np.exp(np.broadcast_to(offset, y.shape)).mean()
    beta[-1] = family.link(float(y.mean() / share))

    rest = [names[i] for i in free]
    null = curvature(X[:, free], family.variance(family.mean(offset + np.full(n, beta[-1]))) / n)
    check_rank(null, penalty[free], rest)

    def objective(b: np.ndarray, eta: np.ndarray) -> float:
        groupwise = sum(c * np.linalg.norm(b[m]) for m, c in zip(members, cost, strict=True))
        with np.errstate(over="ignore"):
            return float((family.total(eta) - y * eta).mean() + 0.5 * penalty @ b**2 + groupwise)

    eta = X @ beta + offset
    value = objective(beta, eta)
    for step in range(max_iter):
        mu = family.mean(eta)
        slope = X.T @ (mu - y) / n + penalty * beta
        hessian = curvature(X, family.variance(mu) / n) + np.diag(penalty)
        if step and _violation(beta, slope, members, cost, free) <= tol:
            check_maximum(hessian[np.ix_(free, free)], null, penalty[free], rest)
            return Fit(beta, hessian, step, np.array(value))
        move = _quadratic(beta, slope, hessian, members, cost, free) - beta
        along, size = X @ move, 1.0
        while objective(beta + size * move, eta + size * along) > value + 1e-13 * abs(value) and size > 1e-8:
            size /= 2
        beta, eta = beta + size * move, eta + size * along
        value = objective(beta, eta)
    raise BraindecError(
        "the fit with a group penalty did not converge",
        found=f"{max_iter} iterations",
        fix="penalise squares too: alpha=1e-4, say",
    )


def _quadratic(beta, slope, hessian, members, cost, free):  # type: ignore[no-untyped-def]
    """Minimise slope' (b - beta) + (b - beta)' hessian (b - beta) / 2 + group penalty, group by group."""
    b = beta.copy()
    residual = slope.copy()  # gradient of the quadratic at b
    largest = [np.linalg.eigvalsh(hessian[np.ix_(m, m)])[-1] for m in members]
    inner = np.linalg.inv(hessian[np.ix_(free, free)])
    for _ in range(1000):
        change = -inner @ residual[free]
        b[free] += change
        residual += hessian[:, free] @ change
        moved = float(np.abs(change).max(initial=0))
        for m, c, top in zip(members, cost, largest, strict=True):
            if not top > 0:  # a group whose columns are 0 everywhere stays at 0
                continue
            point = b[m] - residual[m] / top
            length = np.linalg.norm(point)
            new = point * max(0.0, 1 - c / top / length) if length > 0 else point
            change = new - b[m]
            if change.any():
                b[m] = new
                residual += hessian[:, m] @ change
                moved = max(moved, float(np.abs(change).max()))
        if moved < 1e-12:
            break
    return b


def _violation(beta, slope, members, cost, free):  # type: ignore[no-untyped-def]
    """How far the optimality conditions are from holding."""
    worst = float(np.abs(slope[free]).max(initial=0))
    for m, c in zip(members, cost, strict=True):
        length = np.linalg.norm(beta[m])
        off = np.linalg.norm(slope[m] + c * beta[m] / length) if length > 0 else max(0.0, np.linalg.norm(slope[m]) - c)
        worst = max(worst, float(off))
    return worst
