"""Fitted models scored on conditions and subjects that had no part in the fit, in the data and in every resample.

Drawn conditions and drawn subjects are divided into folds (copies stay together). Weights are fitted on the pairs among
training conditions and the pooled training subjects, and scored on the pairs among test conditions of the test subjects;
ceilings use the same folds. Which unit falls into which fold is chance that would be counted as variance: two divisions of
each resample give it away, and ``2 cov(mean of both) - cov(one)`` is free of it.

Source: Schütt et al. 2023 (eLife 12:e82566), "Cross-validation" and its correction by two assignments; numbers of folds as
there. Differs from the reference in: scores are means over subjects, not over folds, when folds differ in size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from tqdm import tqdm

from braindec.align.rsa._draws import Draws, codes_of, draw, pair_weights
from braindec.align.rsa._evaluate import shares
from braindec.align.rsa._ranks import RANKED
from braindec.align.rsa._sums import LINEAR, weighted_sums
from braindec.align.rsa.bootstrap import Bootstrap, covariance_of, enough_units
from braindec.align.rsa.compare import Comparator
from braindec.align.rsa.models import Model
from braindec.align.rsa.permutation import permuted_cells
from braindec.errors import BraindecError
from braindec.kernels.rank_ceilings import rank_again_numpy

__all__ = ["CrossValidated", "cross_validate_models", "n_folds"]

_ASSIGNMENTS = 2  # of each resample
_ESTIMATES = 20  # of the data themselves
_SHUFFLED = 4  # of the data in each other order
_LEAST = 0.25  # of the covariance of means that a correction leaves


@dataclass(frozen=True, eq=False)
class CrossValidated(Bootstrap):
    """A bootstrap of held-out scores.

    Parameters
    ----------
    divided : dict of str to array of shape (n_resamples, 2, n_models + 2)
        Scores and ceilings of both divisions of each resample.
    weights : list of array of shape (n_fits, n_parts)
        Fitted weights of each model over the folds of the data themselves, times the spread of each part, scaled to a sum of 1.
    shuffled : array of shape (n_orders, n_models), optional
        Scores of models fitted again to data whose conditions are in another order.
    """

    divided: dict[str, np.ndarray] = field(default_factory=dict)
    weights: Sequence[np.ndarray] = ()
    shuffled: np.ndarray | None = None

    def covariances(self) -> dict[str, np.ndarray]:
        """Covariances without the part of the divisions.

        With few resamples the difference can fall to 0 or below; it is kept between a quarter of the covariance of the means
        and all of it, direction by direction.
        """
        return {name: _corrected(v) for name, v in self.divided.items()}


def _corrected(values: np.ndarray) -> np.ndarray:
    mean = covariance_of(values.mean(axis=1))
    known = np.flatnonzero(np.isfinite(np.diag(mean)))
    if not len(known):
        raise BraindecError("fitted models cannot be scored in the resamples: these hold too few different conditions or subjects",
                            found=f"{len(values)} resamples", fix="more conditions, a larger n, or Fixed models")  # fmt: skip
    inside = np.ix_(known, known)
    single = (covariance_of(values[:, 0]) + covariance_of(values[:, 1]))[inside] / 2
    size, axes = np.linalg.eigh(mean[inside])
    root = axes * np.sqrt(np.maximum(size, 1e-12 * max(size.max(), np.finfo(float).tiny)))
    back = np.linalg.inv(root)
    share, turn = np.linalg.eigh(back @ (2 * mean[inside] - single) @ back.T)
    out = np.full(mean.shape, np.nan)
    out[inside] = (root @ turn * np.clip(share, _LEAST, 1.0)) @ (root @ turn).T
    return out


def n_folds(n_conditions: int, n_subjects: int) -> tuple[int, int]:
    """Return numbers of folds over conditions and over subjects for as many units as a resample has on average."""
    kept = 1 - np.exp(-1)
    c, s = kept * n_conditions, kept * n_subjects
    return int(2 + (c >= 12) + (c >= 24) + (c >= 40)), int(2 + (s >= 6) + (s >= 12) + (s >= 20))


def cross_validate_models(
    models: Sequence[Model],
    data: np.ndarray,
    *,
    comparator: Comparator,
    kind: str = "two-factor",
    n: int = 200,
    subjects: np.ndarray | None = None,
    condition_groups: np.ndarray | None = None,
    rng: np.random.Generator | int = 0,
    orders: np.ndarray | None = None,
) -> CrossValidated:
    """Score models on held-out conditions and subjects, and in resamples of both; see :func:`bootstrap_rsa`.

    With one subject only conditions are divided. Rank comparators fit mixtures by Pearson correlation and score by ranks.
    ``orders`` (n_orders, n_conditions) of conditions, for which all is fitted again, say what is chance.

    Raises
    ------
    BraindecError
        For too few conditions for folds of three, or a comparator that is neither linear nor by ranks.
    """
    if comparator.name not in (*LINEAR, *RANKED):
        raise BraindecError(
            f"fitted models cannot be scored by {comparator.name}", allowed=", ".join((*LINEAR, *RANKED))
        )
    rng = np.random.default_rng(rng)
    n_conditions = round((1 + np.sqrt(1 + 8 * data.shape[1])) / 2)
    subject, group = codes_of(subjects, len(data)), codes_of(condition_groups, n_conditions)
    n_s, n_c = int(subject.max() + 1), int(group.max() + 1)
    enough_units(kind, n_s, n_c)
    folds = n_folds(n_c, n_s)
    if n_c < 3 * folds[0] or kind == "none":
        raise BraindecError(
            "fitted models are scored on held-out conditions and need at least 3 (groups of) conditions in each of "
            f"{folds[0]} folds and a bootstrap", found=f"{n_c} conditions, bootstrap={kind!r}",
        )  # fmt: skip
    task = _Task(list(models), np.asarray(data, dtype=float), comparator, subject, group, folds)
    every = Draws(np.ones((1, n_conditions)), np.ones((1, len(data))))
    fits: list[list[np.ndarray]] = [[] for _ in models]
    parts = [task.divide(every.conditions[0], [every.rdms[0]], rng, fits)[0] for _ in range(_ESTIMATES)]
    each = np.mean([p[0] for p in parts], axis=0)
    bounds = np.mean([p[1] for p in parts], axis=0)
    drawn = draw(group, subject, n=n, rng=rng)
    divided = _resampled(task, drawn, every, kind, rng)
    share = shares(every.rdms, subject)[0]
    scores = each @ share / share.sum()
    means = {name: v.mean(axis=1) for name, v in divided.items()}
    weights = [_shares_of_parts(np.array(f), m.parts) for f, m in zip(fits, models, strict=True)]
    shuffled = None if orders is None else np.array([_shuffled(task, order, every, rng) @ share / share.sum() for order in orders])  # fmt: skip
    return CrossValidated(scores, each, bounds, means, n_s, n_c, kind, subject, {}, divided, weights, shuffled)


def _shuffled(task: _Task, order: np.ndarray, every: Draws, rng: np.random.Generator) -> np.ndarray:
    """Held-out scores (n_models, n_rdm) with the conditions of the data in another order."""
    moved = replace(task, data=permuted_cells(task.data, order))
    return np.mean([moved.divide(every.conditions[0], [every.rdms[0]], rng)[0][0] for _ in range(_SHUFFLED)], axis=0)


def _shares_of_parts(weights: np.ndarray, parts: np.ndarray) -> np.ndarray:
    scaled = weights * np.where(parts.std(axis=1) > 0, parts.std(axis=1), 1.0)
    return scaled / scaled.sum(axis=1, keepdims=True)


def _resampled(task: _Task, drawn: Draws, every: Draws, kind: str, rng: np.random.Generator) -> dict[str, np.ndarray]:
    wanted = {"two-factor": ("both", "subjects", "conditions")}.get(kind, (kind,))
    k, n = len(task.models), len(drawn.conditions)
    out = {name: np.full((n, _ASSIGNMENTS, k + 2), np.nan) for name in wanted}
    for b in tqdm(range(n), desc="bootstrap of fitted models", disable=None):
        for a in range(_ASSIGNMENTS):
            over = [name for name in wanted if name != "subjects"]
            if over:
                own = {"both": drawn.rdms[b], "conditions": every.rdms[0]}
                for name, found in zip(
                    over, task.divide(drawn.conditions[b], [own[x] for x in over], rng), strict=True
                ):
                    out[name][b, a] = task.row(found, own[name])
            if "subjects" in wanted:
                found = task.divide(every.conditions[0], [drawn.rdms[b]], rng)[0]
                out["subjects"][b, a] = task.row(found, drawn.rdms[b])
    return out


@dataclass(frozen=True, eq=False)
class _Task:
    """What is fitted and scored."""

    models: list[Model]
    data: np.ndarray
    comparator: Comparator
    subject: np.ndarray
    group: np.ndarray
    folds: tuple[int, int]

    def row(self, found: tuple[np.ndarray, np.ndarray], copies: np.ndarray) -> np.ndarray:
        """Means over drawn subjects, and ceilings, (n_models + 2,); NaN where the resample could not be divided."""
        share = shares(copies[None], self.subject)[0]
        return np.append(np.where(share > 0, found[0], 0.0) @ share / share.sum(), found[1])

    def divide(
        self, copies: np.ndarray, drawn: list[np.ndarray], rng: np.random.Generator, fits: list[list[np.ndarray]] | None = None
    ) -> list[tuple[np.ndarray, np.ndarray]]:  # fmt: skip
        """Divide conditions once and, for each draw of subjects, subjects once; return held-out scores and ceilings.

        Returns
        -------
        list of (scores (n_models, n_rdm), ceilings (2,))
            Means over folds of conditions; NaN where there are too few different units.
        """
        there = np.unique(self.group[copies > 0])
        empty = np.full((len(self.models), len(self.data)), np.nan), np.full(2, np.nan)
        if len(there) < 3 * self.folds[0]:
            return [empty] * len(drawn)
        part = np.full(self.group.max() + 1, -1)
        part[rng.permutation(there)] = np.arange(len(there)) % self.folds[0]
        held = [copies * (part[self.group] == f) for f in range(self.folds[0])]
        rows = np.concatenate([*(m.parts for m in self.models), self.data])
        name = self.comparator.name if self.comparator.name in LINEAR else "pearson"
        nothing = rows[:0]
        train = weighted_sums(nothing, rows, np.stack([copies - h for h in held]), name)
        test = weighted_sums(nothing, rows, np.stack(held), name) if self.comparator.name in LINEAR else None
        out = []
        for own in drawn:
            people = self._people(own, rng)
            if people is None:
                out.append(empty)
                continue
            found = [self._score(f, held[f], train, test, rows, own, people, fits) for f in range(self.folds[0])]
            out.append((np.mean([s for s, _ in found], axis=0), np.mean([c for _, c in found], axis=0)))
        return out

    def _people(self, own: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
        """Fold of each matrix by its subject; all in fold 0 with one subject; None when too few were drawn."""
        if self.subject.max() == 0:
            return np.zeros(len(self.subject), dtype=int)
        there = np.unique(self.subject[own > 0])
        if len(there) < self.folds[1]:
            return None
        part = np.full(self.subject.max() + 1, -1)
        part[rng.permutation(there)] = np.arange(len(there)) % self.folds[1]
        return part[self.subject]

    def _score(
        self, fold: int, held: np.ndarray, train, test, rows: np.ndarray, own: np.ndarray, people: np.ndarray,
        fits: list[list[np.ndarray]] | None,
    ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
        """Scores (n_models, n_rdm) and ceilings (2,) of one fold of conditions, over all folds of subjects."""
        first = len(rows) - len(self.data)
        spans = np.split(np.arange(first), np.cumsum([len(m.parts) for m in self.models])[:-1])
        scores, lower = np.zeros((len(self.models), len(self.data))), np.zeros(len(self.data))
        measured = _Linear(test.among_data[fold], first, test.scale[fold]) if test is not None else _Ranked(
            rows, held, first, self.comparator.name == "spearman")  # fmt: skip
        for f in np.unique(people[own > 0]):
            mine = (people == f) & (own > 0)
            others = own * ~mine if (own * ~mine).any() else own
            size = np.where(train.scale[fold][first:] > 0, train.scale[fold][first:], np.inf)
            pooled = others / size
            gram = train.among_data[fold]
            for i, (model, span) in enumerate(zip(self.models, spans, strict=True)):
                weights = model.fit(gram[np.ix_(span, span)], gram[span, first:] @ pooled)
                if fits is not None:
                    fits[i].append(weights)
                scores[i, mine] = measured.of_model(span, weights)[mine]
            lower[mine] = measured.of_pool(others)[mine]
        share = shares(own[None], self.subject)[0]
        upper = measured.of_pool(own)
        both = [np.average(x[own > 0], weights=share[own > 0]) for x in (lower, upper)]
        if self.subject.max() == 0:
            both = [np.nan, np.nan]
        return scores, np.array(both)


class _Linear:
    """Similarities on test conditions from inner products."""

    def __init__(self, gram: np.ndarray, first: int, scale: np.ndarray) -> None:
        self.gram, self.first, self.scale = gram, first, scale
        self.size = np.sqrt(np.maximum(np.diag(gram)[first:], np.finfo(float).tiny))

    def of_model(self, span: np.ndarray, weights: np.ndarray) -> np.ndarray:
        own = weights @ self.gram[np.ix_(span, span)] @ weights
        return weights @ self.gram[span, self.first :] / (self.size * np.sqrt(max(own, np.finfo(float).tiny)))

    def of_pool(self, copies: np.ndarray) -> np.ndarray:
        scale = self.scale[self.first :]
        pool = copies / np.where(scale > 0, scale, np.inf)
        among = self.gram[self.first :, self.first :]
        return pool @ among / (self.size * np.sqrt(max(pool @ among @ pool, np.finfo(float).tiny)))


class _Ranked:
    """Similarities on test conditions from weighted mid-ranks."""

    def __init__(self, rows: np.ndarray, held: np.ndarray, first: int, ties: bool) -> None:
        weights = pair_weights(held[None])[0]
        kept = weights > 0
        self.rows, self.first, self.weights, self.ties = rows[:, kept], first, weights[kept], ties
        self.ranks = np.stack([rank_again_numpy(row, self.weights) for row in self.rows[first:]])

    def _similar(self, ranks: np.ndarray) -> np.ndarray:
        n, top = self.weights.sum(), self.ranks @ (self.weights * ranks)
        if not self.ties:
            return top / ((n**3 - n) / 12)
        size = np.sqrt((self.ranks**2 @ self.weights) * (ranks**2 @ self.weights))
        return top / np.where(size > 0, size, np.inf)

    def of_model(self, span: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return self._similar(rank_again_numpy(weights @ self.rows[span], self.weights))

    def of_pool(self, copies: np.ndarray) -> np.ndarray:
        return self._similar(rank_again_numpy(copies @ self.ranks, self.weights))
