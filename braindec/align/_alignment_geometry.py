"""RSA and CKA of layers and regions, for the responses and all their surrogates, over all items and over the items of each fold.

Both compare two symmetric matrices over items without their diagonal: dissimilarities (RSA) or inner products (CKA). A score
is the cosine of the two after something was projected out of both: the mean (Pearson, Spearman, rho-a), or row and column
effects (debiased CKA: U-centring), and, for partial scores, the matrices of nuisance bands. Pairs of items of one passage are
left out: they share noise, and with them CKA of noise that passages share is 0.4 with any model. Repetitions of an item are averaged first; units and channels have variance 1 over items.

Source: Kriegeskorte et al. 2008 (Front Syst Neurosci 2:4); Murphy et al. 2024 (arXiv:2405.01012) for debiased CKA; Székely &
Rizzo 2014 (Ann Stat 42:2382) for U-centring as an orthogonal projection and partial scores in that space; Dekker, Krackhardt
& Snijders 2007 (Psychometrika 72:563) for exchanging residuals of matrices; Efron 1982 for the jackknife.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from braindec.align._alignment_null import make_surrogates
from braindec.align.layer_choice import LayerChoice
from braindec.align.rsa.compare import comparator_of
from braindec.align.rsa.rdm import cells_to_square, compute_rdm, square_to_cells
from braindec.errors import BraindecError

__all__ = ["Compared", "ItemGeometry"]

_FEW_UNITS = 10  # fewer channels: squared distances instead of correlations of patterns
_BLOCKS = 20  # of the jackknife
_LEAST = 4  # items of a fold, at least
_GROUPS = 4  # groups below which pairs within groups count, too: folds of two groups could not be made


@dataclass(frozen=True, eq=False)
class Compared:
    """Scores of one layer; the first surrogate is the responses themselves.

    Parameters
    ----------
    full : array of shape (1 + n_surrogates, n_regions)
        Over all items.
    test, train : array of shape (n_folds, 1 + n_surrogates, n_regions)
        Over the items of each part.
    low, high : array of shape (n_regions,)
        95 % interval of ``full`` for the responses themselves.
    how : str
    metric : str
    """

    full: np.ndarray
    test: np.ndarray
    train: np.ndarray
    low: np.ndarray
    high: np.ndarray
    how: str
    metric: str


class ItemGeometry:
    """Items (repetitions averaged), their folds and surrogates; shared by RSA and CKA."""

    def __init__(self, job: Any) -> None:
        data, held = job.data, job.held
        if data.kind != "items":
            raise BraindecError("RSA and CKA compare items; these responses are volumes", fix='scores=("encoding",)')
        self.job = job
        ids = data.rows["stimulus_id"].to_numpy(dtype=object).astype(str)
        names, first, codes = np.unique(ids, return_index=True, return_inverse=True)
        order = np.argsort(first)
        place = np.empty(len(names), dtype=int)
        place[order] = np.arange(len(names))
        self.codes, self.n = place[codes.reshape(-1)], len(names)
        first = np.sort(first)
        self.groups = held.groups[first]
        self.folds = [(self._items(f.train, f.test), self._items(f.test, f.train)) for f in job.folds]
        if len(set(self.groups.tolist())) >= _GROUPS:
            self.folds = _joined(self.folds, self.groups)
        few = min((min(len(a), len(b)) for a, b in self.folds), default=0)
        if few < _LEAST:
            raise BraindecError("a fold has too few items for RSA and CKA", found=f"{few} items", allowed=f"{_LEAST} or more",
                                fix='fewer folds, or scores=("encoding",)')  # fmt: skip
        runs = None if data.runs is None else np.asarray(data.runs)[first]
        if runs is not None and len(set(runs.tolist())) > 1 and pd.Series(data.runs).groupby(ids).nunique().max() > 1:
            runs = None  # an item was shown in several runs: items change places among all
        wanted = 0 if held.unnamed else job.n_surrogates
        made = make_surrogates(self.n, wanted, groups=self.groups, runs=runs, kind="items", seed=job.seed)
        self.orders = made.orders if made.orders is not None else np.arange(self.n)[None]
        self.words = (
            made.words if made.orders is not None else "texts too few or too unlike to change places: no p-values"
        )
        if held.unnamed:  # drift makes items near in time alike on both sides, and no exchange keeps that
            self.words = "items stand in order and nothing says which belong together: no p-values"
        apart = self.groups[:, None] != self.groups[None]
        if len(set(self.groups.tolist())) < _GROUPS:
            apart = ~np.eye(self.n, dtype=bool)
        self.apart = apart.astype(np.float64)  # pairs that count
        lost = int((~apart).sum() - self.n) // 2
        self.left = f", {lost:,} pairs within groups left out" if lost else ""
        blocks = pd.factorize(self.groups)[0]
        self.blocks = blocks if blocks.max() + 1 <= _BLOCKS else blocks * _BLOCKS // (blocks.max() + 1)

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Rows of one item averaged, and each column brought to mean 0 and variance 1, (n_items, n_columns) float64."""
        if len(self.codes) == self.n:
            out = np.asarray(values, dtype=np.float64)
        else:
            order, counts = np.argsort(self.codes, kind="stable"), np.bincount(self.codes)
            out = (
                np.add.reduceat(values[order].astype(np.float64), np.cumsum(counts) - counts, axis=0) / counts[:, None]
            )
        out = out - out.mean(axis=0)
        spread = out.std(axis=0)
        return out[:, spread > 1e-12] / spread[spread > 1e-12]

    def engine(self, score: str) -> _Engine:
        """RSA or CKA over these items."""
        return _Engine(self, score)

    def _items(self, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
        return np.setdiff1d(self.codes[rows], self.codes[others])


def _joined(folds: list[tuple[np.ndarray, np.ndarray]], groups: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Neighbouring folds put together until test items are of two groups or more: a single one has no pair that counts."""
    parts: list[list[tuple[np.ndarray, np.ndarray]]] = [[]]
    for fold in folds:
        if len({g for _, test in parts[-1] for g in groups[test].tolist()}) > 1:
            parts.append([])
        parts[-1].append(fold)
    if len(parts) > 1 and len(set(groups[np.concatenate([test for _, test in parts[-1]])].tolist())) < 2:
        last = parts.pop()
        parts[-1] += last
    out = []
    for part in parts:
        test = np.unique(np.concatenate([b for _, b in part]))
        train = part[0][0]
        for a, _ in part[1:]:
            train = np.intersect1d(train, a)
        out.append((np.setdiff1d(train, test), test))
    return out


class _Engine:
    """One kind of comparison."""

    def __init__(self, items: ItemGeometry, score: str) -> None:
        self.items, self.metric, job = items, score, items.job
        self.space = _Cka(items) if score == "cka" else _Rsa(items, job.comparator)
        regions = list(job.data.regions.values())
        self.brain = np.stack([self.space.matrix(items.mean(job.data.Y[:, mask])) for mask in regions]).astype(
            np.float32
        )
        # one matrix a band
        self.bands = [self.space.matrix(items.mean(v), few=True) for v in job.bands.values() if items.mean(v).shape[1]]

    def layers(self, values: Sequence[np.ndarray], *, surrogates: bool) -> list[Compared]:
        """Scores of several sets of units."""
        items = self.items
        models = np.stack([self.space.matrix(items.mean(v)) for v in values])
        orders = items.orders if surrogates else items.orders[:1]
        everything = np.arange(items.n)
        parts = [everything, *(p for fold in items.folds for p in fold)]
        scores = self._scores(models, parts, orders)
        folds = range(len(items.folds))
        train, test = np.stack([scores[1 + 2 * f] for f in folds]), np.stack([scores[2 + 2 * f] for f in folds])
        low, high = self._jackknife(models, scores[0][:, 0])
        how = f"{self.space.words}; interval: jackknife over {items.blocks.max() + 1} blocks of items"
        return [
            Compared(scores[0][k], test[:, k], train[:, k], low[k], high[k], how, self.metric)
            for k in range(len(models))
        ]

    def full(self, whole: Sequence[Compared]) -> np.ndarray:
        """(n_layers, 1 + n_surrogates, n_regions)."""
        return np.stack([w.full for w in whole])

    def unique(self, values: Sequence[np.ndarray], choice: LayerChoice) -> dict[str, Any] | None:
        """Partial scores of the layers that folds chose, nuisance matrices projected out of both sides."""
        if not self.bands:
            return None
        items, (n_folds, n_regions) = self.items, choice.place.shape
        out = np.zeros((n_folds, len(items.orders), n_regions))
        models = {p: self.space.matrix(items.mean(values[p])) for p in np.unique(choice.place)}
        for fold, (_, rows) in enumerate(items.folds):
            part = self.space.part(rows, [b[np.ix_(rows, rows)] for b in self.bands])
            for p in np.unique(choice.place[fold]):
                here = np.flatnonzero(choice.place[fold] == p)
                out[fold][:, here] = self._partial(models[p], part, here)
        mean = out.mean(axis=0)
        return {"metric": f"{self.metric}_partial", "value": mean[0], "null": mean[1:], "pieces": list(out[:, 0].T)}

    def _scores(self, models: np.ndarray, parts: Sequence[np.ndarray], orders: np.ndarray) -> list[np.ndarray]:
        """For each part of the items: (n_models, n_orders, n_regions)."""
        made = [self.space.part(rows) for rows in parts]
        flat = [_unit(p.project(p.cut(models)).reshape(len(models), -1)).astype(np.float32) for p in made]
        out = [np.zeros((len(models), len(orders), len(self.brain))) for _ in parts]
        for s, order in enumerate(orders):
            moved = self.brain if s == 0 else self.brain[:, order[:, None], order[None]]
            for k, part in enumerate(made):
                sub = part.cut(moved)
                norm, both = part.norms(sub), flat[k] @ sub.reshape(len(sub), -1).T
                out[k][:, s] = np.divide(both, norm, out=np.zeros_like(both), where=norm > 0)
        return out

    def _partial(self, model: np.ndarray, part: _Part, regions: np.ndarray) -> np.ndarray:
        """(n_orders, n_regions): residual model matrices exchanged, and projected again."""
        brain = _unit(part.project(part.cut(self.brain[regions])).reshape(len(regions), -1))
        left = self.space.part(np.arange(self.items.n), self.bands).project(model[None])[0]
        out = np.zeros((len(self.items.orders), len(regions)))
        for s, order in enumerate(self.items.orders):
            moved = model if s == 0 else left[order[:, None], order[None]]
            out[s] = brain @ _unit(part.project(part.cut(moved)[None]).reshape(1, -1))[0]
        return out

    def _jackknife(self, models: np.ndarray, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """95 % intervals (n_models, n_regions) from leaving blocks of items out."""
        blocks = self.items.blocks
        count = int(blocks.max()) + 1
        parts = [np.flatnonzero(blocks != b) for b in range(count)]
        left = np.stack([s[:, 0] for s in self._scores(models, parts, self.items.orders[:1])])
        error = np.sqrt((count - 1) / count * ((left - left.mean(axis=0)) ** 2).sum(axis=0))
        half = stats.t.ppf(0.975, count - 1) * error
        return value - half, value + half


class _Rsa:
    """Dissimilarities; what is projected out is the mean of the cells (not for the cosine)."""

    def __init__(self, items: ItemGeometry, comparator: str) -> None:
        self.comparator = comparator_of(comparator)
        if self.comparator.embed is None or self.comparator.whitened:
            raise BraindecError(f"align_units cannot use the comparator {comparator!r}", allowed="spearman, pearson, rho_a, cosine",
                                fix="braindec.align.rsa.infer takes every comparator")  # fmt: skip
        self.weight, self.cells = items.apart, square_to_cells(items.apart) > 0
        self.centre = self.comparator.name != "cosine"
        self.words = f"{self.comparator.name} of dissimilarities of {items.n} items{items.left}"

    def matrix(self, values: np.ndarray, *, few: bool = False) -> np.ndarray:
        """Embedded dissimilarities, (n, n); 0 where a cell does not count."""
        if not values.shape[1]:
            raise BraindecError("a set of units or channels never changes over the items", fix="leave it out")
        measure = "squared_euclidean" if few or values.shape[1] < _FEW_UNITS else "correlation"
        cells = compute_rdm(values, measure=measure).values[0]
        kept = np.zeros(len(cells))
        assert self.comparator.embed is not None
        kept[self.cells] = self.comparator.embed(cells[None, self.cells], None)[0]
        return cells_to_square(kept)

    def part(self, rows: np.ndarray, others: Sequence[np.ndarray] = ()) -> _Part:
        """The projection for some items."""
        weight = self.weight[np.ix_(rows, rows)]
        count = weight.sum()

        def centred(squares: np.ndarray) -> np.ndarray:
            if not self.centre:
                return squares * weight
            return (squares - (squares.sum(axis=(-2, -1)) / count)[..., None, None]) * weight

        def norms(squares: np.ndarray) -> np.ndarray:
            flat = squares.reshape(len(squares), -1)
            return np.sqrt(
                np.maximum(_squares(flat) - self.centre * (flat @ np.ones(flat.shape[1], flat.dtype)) ** 2 / count, 0.0)
            )

        return _Part(rows, _and_without(centred, [centred(o) for o in others]), norms)


class _Cka:
    """Inner products; what is projected out are row and column effects over the pairs that count."""

    def __init__(self, items: ItemGeometry) -> None:
        self.weight = items.apart
        self.words = f"debiased linear CKA of {items.n} items{items.left}"

    def matrix(self, values: np.ndarray, *, few: bool = False) -> np.ndarray:
        """Inner products of pairs that count, (n, n)."""
        if not values.shape[1]:
            raise BraindecError("a set of units or channels never changes over the items", fix="leave it out")
        return values @ values.T / values.shape[1] * self.weight

    def part(self, rows: np.ndarray, others: Sequence[np.ndarray] = ()) -> _Part:
        """The projection for some items."""
        weight = self.weight[np.ix_(rows, rows)]
        effects = np.diag(weight.sum(axis=1)) + weight  # normal equations of a row and a column effect
        inverse = np.linalg.inv(effects) if np.linalg.cond(effects, 1) < 1e8 else np.linalg.pinv(effects)

        def centred(squares: np.ndarray) -> np.ndarray:
            effect = squares.sum(axis=-1) @ inverse
            return (squares - effect[..., :, None] - effect[..., None, :]) * weight

        def norms(squares: np.ndarray) -> np.ndarray:
            sums = squares @ np.ones(squares.shape[2], squares.dtype)
            square = _squares(squares.reshape(len(squares), -1))
            return np.sqrt(np.maximum(square - 2 * ((sums @ inverse) * sums).sum(axis=1), 0.0))

        return _Part(rows, _and_without(centred, [centred(o) for o in others]), norms)


@dataclass(frozen=True, eq=False)
class _Part:
    """Some items: ``project`` (k, n, n) -> (k, n, n), and ``norms`` (k, n, n) -> (k,) of the projection without others."""

    rows: np.ndarray
    project: Callable[[np.ndarray], np.ndarray]
    norms: Callable[[np.ndarray], np.ndarray]

    def cut(self, squares: np.ndarray) -> np.ndarray:
        """The rows and columns of this part."""
        if len(self.rows) == squares.shape[-1]:
            return squares
        return squares[..., self.rows[:, None], self.rows[None]]


def _and_without(
    centred: Callable[[np.ndarray], np.ndarray], others: Sequence[np.ndarray]
) -> Callable[[np.ndarray], np.ndarray]:
    """The projection, and other (projected) matrices taken out, too."""
    if not others:
        return centred
    Q, R = np.linalg.qr(np.stack([o.ravel() for o in others], axis=1))
    size = np.abs(np.diag(R))
    Q = Q[:, size > 1e-10 * max(float(size.max()), 1e-300)]

    def project(squares: np.ndarray) -> np.ndarray:
        flat = centred(squares).reshape(len(squares), -1)
        return (flat - (flat @ Q) @ Q.T).reshape(squares.shape)

    return project


def _squares(flat: np.ndarray) -> np.ndarray:
    return np.einsum("ki,ki->k", flat, flat)


def _unit(flat: np.ndarray) -> np.ndarray:
    size = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.divide(flat, size, out=np.zeros_like(flat), where=size > 1e-12)
