"""Cross-validated scores of penalties for blocks of targets.

Only sums over the held-out rows are kept: with the held-out response e (around the training mean) and its prediction
p, the squared error is e'e - 2 e'p + p'p, and r needs the sums of p and of its products; no array of
(row, target, penalty) is made.

Scores: "r2" is pooled over folds, 1 - (mean over folds of the mean squared error) / (mean over folds of the variance of
the held-out rows), whose best penalty is that of the mean squared error; "r" is the mean of Pearson r over folds, where
a prediction or response without variance counts as 0.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from braindec.ridge._backend import Places
from braindec.ridge._design import Design
from braindec.ridge._operators import DualOperators, FoldRows, PrimalFolds, PrimalOperators, anchored, fold_rows
from braindec.ridge._targets import Targets
from braindec.ridge.folds import Fold

__all__ = ["CrossValidation"]

_MEMORY = 400e6  # bytes of operators that are held at a time
_NARROW = 128  # targets that a block has at least, where there are so many


class CrossValidation:
    """Scores of penalties on held-out rows, for features that may be weighted by band.

    Parameters
    ----------
    design : Design
    folds : list of (train, test)
    alphas : array of shape (n_alphas,)
    dual : bool
        Work with kernels (rows) or Gram matrices (columns).
    scoring : "r2" or "r"
    """

    def __init__(self, design: Design, folds: Sequence[Fold], alphas: np.ndarray, *, dual: bool, scoring: str) -> None:
        self.design, self.alphas, self.dual, self.scoring = design, alphas, dual, scoring
        self.rows = fold_rows(folds, design.n)
        self._kernels = design.kernels() if dual else []
        self._primal = None if dual else PrimalFolds(self.rows, design)
        removed = np.concatenate([fold.removed.places for fold in self.rows]) if self.rows else np.empty(0)
        self._partition = len(removed) == design.n == len(np.unique(removed))

    def with_every(self, stride: int) -> CrossValidation:
        """The same problem with a thinner grid of penalties."""
        thinner = copy.copy(self)
        thinner.alphas = self.alphas[stride // 2 :: stride]
        return thinner

    def matrix(self, gamma: np.ndarray) -> Any:
        """Weighted kernel (n, n; anchored) or Gram matrix (p, p) of all rows, float64; a new array."""
        if self.dual:
            kernel = sum(float(weight) * kernel for weight, kernel in zip(gamma, self._kernels) if weight > 0)
            return anchored(kernel) if self.design.centre else kernel
        scale = self.design.backend.put(self.design.weights(gamma), exact=True)
        return self._primal.gram * scale[:, None] * scale[None, :]

    def scores(self, gamma: np.ndarray, targets: Targets) -> np.ndarray:
        """Score of each penalty for each target, (n_alphas, t); NaN for skipped targets."""
        operators = self._operators(gamma)
        scores = np.full((len(self.alphas), targets.t), np.nan)
        step = self._at_a_time(operators)
        for start in range(0, len(self.alphas), step):
            places = range(start, min(start + step, len(self.alphas)))
            matrices = self._matrices(operators, places)
            wanted = np.zeros(scores.shape, dtype=bool)
            wanted[start : places.stop] = True
            self._fill(scores, wanted, targets, matrices, operators.bases)
        scores[:, targets.skipped] = np.nan
        return scores

    def scores_near(self, gamma: np.ndarray, targets: Targets, guess: np.ndarray) -> np.ndarray:
        """As :meth:`scores`, for penalties around a guess (t,) only: NaN elsewhere.

        The guess and its neighbours are tried, then one more as long as the best so far is the last one tried: the top of
        a hill, which is the best of the grid where the score has a single hill.
        """
        operators, matrices = self._operators(gamma), {}
        step = self._at_a_time(operators)
        scores = np.full((len(self.alphas), targets.t), np.nan)
        wanted = np.abs(np.arange(len(self.alphas))[:, None] - guess) <= 1  # (place, target)
        wanted[:, targets.skipped] = False
        while wanted.any():
            places = np.flatnonzero(wanted.any(axis=1))
            for portion in np.split(places, range(step, len(places), step)):
                if step < len(self.alphas):
                    matrices.clear()
                matrices |= self._matrices(operators, [place for place in portion if place not in matrices])
                now = np.zeros_like(wanted)
                now[portion] = wanted[portion]
                self._fill(scores, now, targets, matrices, operators.bases)
            wanted = _next_steps(scores)
        return scores

    def _matrices(self, operators: DualOperators | PrimalOperators, places: Iterable[int]) -> dict[int, list[Any]]:
        """Operators of all folds for some places of the grid, several at a time."""
        places = [int(place) for place in places]
        return dict(zip(places, self.design.backend.map(lambda place: operators.at(self.alphas[place]), places)))

    def _fill(
        self, scores: np.ndarray, wanted: np.ndarray, targets: Targets, matrices: Mapping[int, list[Any]],
        bases: list[Any | None],
    ) -> None:  # fmt: skip
        """Score the wanted (place, target) pairs, several blocks of targets at a time."""
        backend = self.design.backend
        n_blocks = -(-targets.t // targets.block)
        n_blocks = min(-(-n_blocks // backend.workers) * backend.workers, max(1, targets.t // _NARROW))
        parts = targets.slices(min(targets.block, -(-targets.t // n_blocks)))

        def work(item: tuple[slice, np.ndarray]) -> None:
            part, values = item
            columns, requests = _sorted_requests(wanted[:, part])
            block = backend.put(values)
            if len(columns) < block.shape[1] or (np.diff(columns) != 1).any():
                block = backend.columns(block, Places(columns))
            for request, score in zip(requests, self._evaluate(block, requests, matrices, bases)):
                scores[request.place, part.start + columns[request.start : request.stop]] = score

        for _ in backend.map(work, ((part, targets.read(part)) for part in parts if wanted[:, part].any())):
            pass

    def _evaluate(
        self, block: Any, requests: list[_Request], matrices: Mapping[int, list[Any]], bases: list[Any | None]
    ) -> list[np.ndarray]:
        """Score of each request: one penalty for neighbouring columns of the block."""
        sums = [Sums(request.stop - request.start, self.scoring) for request in requests]
        for k, known in enumerate(self._known(block, bases)):
            for request, total in zip(requests, sums):
                self._add(total, matrices[request.place][k], known.part(request.start, request.stop))
        return [total.score() for total in sums]

    def _at_a_time(self, operators: DualOperators | PrimalOperators) -> int:
        return max(1, int(_MEMORY / (self.design.backend.numpy_dtype.itemsize * max(operators.size, 1))))

    def _operators(self, gamma: np.ndarray) -> DualOperators | PrimalOperators:
        if self.dual:
            return DualOperators(self.matrix(gamma), self.rows, self.design)
        return PrimalOperators(self._primal, self.design.weights(gamma))

    def _known(self, block: Any, bases: list[Any | None]) -> Any:
        """What each fold needs of a block of targets, one fold at a time."""
        backend, X = self.design.backend, self.design.X
        parts, total = [], None
        if not self.dual:
            parts = [backend.rows(X, rows.removed).T @ backend.rows(block, rows.removed) for rows in self.rows]
            total = sum(parts[1:], parts[0]) if self._partition else X.T @ block
        sums = block.sum(0)
        for k, (rows, basis) in enumerate(zip(self.rows, bases)):
            mean = (sums - backend.rows(block, rows.removed).sum(0)) / len(rows.train)
            if self.dual:
                given = backend.rows(block, rows.train)
            else:
                given = total - parts[k]
                if self.design.centre:
                    given -= backend.cast(self._primal.sums[k])[:, None] * mean[None, :]
            held = backend.rows(block, rows.test)
            if self.design.centre:
                held = held - mean[None, :]
            yield _Known.of(rows, given, held, basis, backend)

    def _add(self, sums: Sums, matrix: Any, known: _Known) -> None:
        backend = self.design.backend
        predicted = matrix @ known.given
        both, own = backend.get(backend.dot(known.held, predicted)), backend.get(backend.dot(predicted, predicted))
        mean = 0.0
        if self.scoring == "r":
            mean = backend.get(predicted[0] / known.n**0.5 if known.projected else predicted.sum(0) / known.n)
        sums.add(known, both, own, mean)


@dataclass(frozen=True, eq=False)
class _Known:
    """One fold of one block: input of the operators (k, b), held-out responses (m, b), and sums over held-out rows (b,)."""

    n: int
    given: Any
    held: Any
    projected: bool
    squares: np.ndarray
    total: np.ndarray

    @classmethod
    def of(cls, rows: FoldRows, given: Any, held: Any, basis: Any | None, backend: Any) -> _Known:
        squares, total = backend.get(backend.dot(held, held)), backend.get(held.sum(0))
        return cls(
            len(rows.test), given, held if basis is None else basis.T @ held, basis is not None,
            np.asarray(squares, dtype=np.float64), np.asarray(total, dtype=np.float64),
        )  # fmt: skip

    def part(self, start: int, stop: int) -> _Known:
        """The same for neighbouring columns."""
        inside = slice(start, stop)
        if start == 0 and stop == len(self.squares):
            return self
        return _Known(
            self.n,
            self.given[:, inside],
            self.held[:, inside],
            self.projected,
            self.squares[inside],
            self.total[inside],
        )


@dataclass(frozen=True)
class _Request:
    """A penalty, by its place in the grid, for columns ``start`` to ``stop`` of a block."""

    place: int
    start: int
    stop: int


def _sorted_requests(wanted: np.ndarray) -> tuple[np.ndarray, list[_Request]]:
    """Columns that want a place, sorted by the first that they want, and each place's runs of neighbours among them."""
    columns = np.flatnonzero(wanted.any(axis=0))
    columns = columns[np.argsort(wanted[:, columns].argmax(axis=0), kind="stable")]
    requests = []
    for place in np.flatnonzero(wanted.any(axis=1)):
        inside = np.flatnonzero(wanted[place, columns])
        runs = np.split(inside, np.flatnonzero(np.diff(inside) > 1) + 1)
        requests += [_Request(int(place), int(run[0]), int(run[-1]) + 1) for run in runs]
    return columns, requests


def _next_steps(scores: np.ndarray) -> np.ndarray:
    """Pairs (place, target) beside the best so far that were not tried, bool."""
    tried = np.isfinite(scores)
    best = np.where(tried, scores, -np.inf).argmax(axis=0)
    wanted = (np.abs(np.arange(len(scores))[:, None] - best) == 1) & ~tried
    return wanted & tried.any(axis=0)


class Sums:
    """Running sums over folds for one penalty, (b,) each."""

    def __init__(self, size: int, scoring: str) -> None:
        self._scoring, self._folds = scoring, 0
        self._error, self._variance, self._r = np.zeros(size), np.zeros(size), np.zeros(size)

    def add(self, known: _Known, both: np.ndarray, own: np.ndarray, mean: np.ndarray | float) -> None:
        """Add a fold: sums of held-out response times prediction, of squared prediction, mean of the prediction."""
        n, self._folds = known.n, self._folds + 1
        variance = np.maximum(known.squares - known.total**2 / n, 0.0)
        if self._scoring == "r2":
            self._error += (known.squares - 2.0 * both + own) / n
            self._variance += variance / n
            return
        product = np.sqrt(variance * np.maximum(own - n * mean**2, 0.0))
        with np.errstate(divide="ignore", invalid="ignore"):
            self._r += np.where(product > 0, (both - known.total * mean) / product, 0.0)

    def score(self) -> np.ndarray:
        """Pooled R2 or mean r, (b,)."""
        if self._scoring == "r":
            return self._r / self._folds
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self._variance > 0, 1.0 - self._error / self._variance, np.nan)
