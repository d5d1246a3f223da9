"""Coefficients of all rows, once each target has its penalty and its band weights: one factorisation a distinct pair."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from braindec.ridge._crossval import CrossValidation
from braindec.ridge._operators import SINGLE
from braindec.ridge._spectral import largest_eigenvalue, safe_solver
from braindec.ridge._targets import Targets

__all__ = ["Refit"]

_MEMORY = 400e6  # bytes of factors kept between blocks of targets


@dataclass(eq=False)
class Refit:
    """Solves for the chosen pairs, block by block; nothing of the size (p, t) is kept here.

    Parameters
    ----------
    problem : CrossValidation
        Holds the features and their Gram or kernel matrices.
    targets : Targets
    alpha : array of shape (t,)
        NaN for targets that are skipped.
    draw : array of shape (t,), int
        Row of ``gammas`` of each target.
    gammas : array of shape (n_draws, n_bands)
    """

    problem: CrossValidation
    targets: Targets
    alpha: np.ndarray
    draw: np.ndarray
    gammas: np.ndarray
    _matrix: dict[int, Any] = field(default_factory=dict, repr=False)
    _largest: dict[int, float] = field(default_factory=dict, repr=False)
    _solvers: dict[tuple[int, float], tuple[Callable, bool]] = field(default_factory=dict, repr=False)

    def blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Coefficients of each block, (p, block); NaN columns for skipped targets."""
        design, backend = self.problem.design, self.problem.design.backend
        size = max(design.n, design.p) * 4.0
        for part in self.targets.slices(max(self.targets.block, int(_MEMORY / 4 / size))):
            values = self.targets.read(part)
            block = backend.put(values) if self.problem.dual else backend.product(design.X.T, backend.put(values))
            solved = backend.empty(*block.shape)
            pairs = ((*pair, self._matrix_of(pair[0]), block) for pair in self._pairs(part))
            for columns, found in backend.map(lambda pair: self._solve(*pair), pairs):
                solved[:, columns] = found
            skipped = np.isnan(self.alpha[part])
            weights = self.gammas[self.draw[part]]
            coef = self._coefficients(solved, weights)
            coef[:, skipped] = np.nan
            yield part, coef

    def _pairs(self, part: slice) -> Iterator[tuple[int, float, np.ndarray]]:
        alpha, draw = self.alpha[part], self.draw[part]
        fitted = np.flatnonzero(np.isfinite(alpha))
        pairs, member = np.unique(np.stack([draw[fitted], alpha[fitted]], axis=1), axis=0, return_inverse=True)
        for k, (d, a) in enumerate(pairs):
            yield int(d), float(a), fitted[member.ravel() == k]

    def _matrix_of(self, draw: int) -> Any:
        if draw not in self._matrix:  # pairs come sorted by draw: the last matrix is enough
            self._matrix.clear()
            self._matrix[draw] = matrix = self.problem.matrix(self.gammas[draw])
            self._largest[draw] = largest_eigenvalue(matrix)
        return self._matrix[draw]

    def _solve(self, draw: int, alpha: float, columns: np.ndarray, matrix: Any, block: Any) -> tuple[np.ndarray, Any]:
        """(K + a I)^-1 y, or S (S G S + a I)^-1 S X'y with S the square roots of the band weights."""
        design, backend = self.problem.design, self.problem.design.backend
        solver, exact = self._solver(draw, alpha, matrix)
        block = backend.cast(block[:, columns], exact=exact)
        if self.problem.dual:
            return columns, backend.cast(solver(block))
        scale = backend.cast(backend.put(design.weights(self.gammas[draw]), exact=True), exact=exact)[:, None]
        return columns, backend.cast(scale * solver(scale * block))

    def _solver(self, draw: int, alpha: float, matrix: Any) -> tuple[Callable, bool]:
        """Solver of one pair, and whether it works in float64 (small penalties) or in the working precision."""
        if (draw, alpha) in self._solvers:
            return self._solvers[draw, alpha]
        backend = self.problem.design.backend
        exact = alpha <= SINGLE * self._largest[draw]
        solver = safe_solver(matrix if exact else backend.cast(matrix), alpha, backend)
        if 8.0 * (len(self._solvers) + 1) * matrix.shape[0] ** 2 <= _MEMORY:
            self._solvers[draw, alpha] = solver, exact
        return solver, exact

    def _coefficients(self, solved: Any, weights: np.ndarray) -> np.ndarray:
        design, backend = self.problem.design, self.problem.design.backend
        if not self.problem.dual:
            return backend.get(solved)
        coef = backend.get(backend.product(design.X.T, solved))
        for band, columns in enumerate(design.bands.values()):
            if not (weights[:, band] == 1.0).all():
                coef[columns] *= weights[:, band].astype(coef.dtype)
        return coef
