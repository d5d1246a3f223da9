"""Grids of penalties, the best of them for each target, and how many targets sit on the edge of the grid."""

from __future__ import annotations

from typing import Any

import numpy as np

from braindec.errors import BraindecError

__all__ = ["at_edge", "penalty_grid"]

_GRID = 10.0 ** np.arange(-3.0, 5.5, 0.5)  # 17 penalties, in units of the mean eigenvalue


def penalty_grid(alphas: Any, mean_eigenvalue: float) -> np.ndarray:
    """Penalties to try, (n_alphas,) float64, rising: those given, or for "auto" a wide grid in units of the features."""
    if isinstance(alphas, str):
        if alphas != "auto":
            raise BraindecError(f"penalties {alphas!r}", allowed="'auto', a number or a list of numbers")
        return _GRID * (mean_eigenvalue if mean_eigenvalue > 0 else 1.0)
    try:
        grid = np.atleast_1d(np.asarray(alphas, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise BraindecError("ridge penalties must be numbers", found=repr(alphas)) from error
    if grid.ndim != 1 or not len(grid) or not (np.isfinite(grid) & (grid > 0)).all():
        raise BraindecError("ridge penalties must be positive numbers", found=np.array2string(grid, threshold=12))
    if len(np.unique(grid)) < len(grid):
        raise BraindecError("a penalty is in the grid twice", found=np.array2string(grid, threshold=12))
    return np.sort(grid)


def at_edge(alpha: np.ndarray, alphas: np.ndarray) -> dict[str, int]:
    """Number of targets whose best penalty is the lowest or the highest of the grid (the true best may lie beyond)."""
    if len(alphas) < 2:
        return {"lowest": 0, "highest": 0}
    return {"lowest": int((alpha == alphas.min()).sum()), "highest": int((alpha == alphas.max()).sum())}
