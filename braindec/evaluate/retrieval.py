"""Retrieval as a statistical object: which of these named candidates was it, against chance, with an interval and a p.

Similarity is the cosine. Ranks are fair to ties (:mod:`braindec.evaluate._ranks`), candidates are told apart by name
and never counted twice, chance is exact (``k / n_candidates``, however many trials an item has), intervals resample
items and not trials, and the p-value permutes which item is which, so that it holds when trials of one item are alike.

Source: the pitfalls are those of sections "Evaluation" in Défossez et al. 2023 (Nat Mach Intell, de-duplicated
candidates) and Song et al. 2024 (ICLR, NICE; un-normalised candidates, averaged test trials); exact intervals of
Clopper & Pearson 1934; permutation p of Phipson & Smyth 2010 (eq. 2).
Differs from the references in: cosine instead of a raw product; single trials are reported beside averages; no result
depends on the order of the candidates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, nearest
from braindec.evaluate._ranks import blocks, unit_rows
from braindec.evaluate._retrieval_stats import Pool, make_metrics, repetition_curve, score_pools
from braindec.types import Features

DIRECTIONS = ("brain_to_image", "image_to_brain")

__all__ = ["Retrieval", "evaluate_retrieval"]


@dataclass(frozen=True, eq=False)
class Retrieval:
    """Outcome of :func:`evaluate_retrieval`.

    Parameters
    ----------
    scores : DataFrame
        Long table as in :class:`braindec.types.Result`, with ``direction``, ``k``, ``n_candidates``, ``n_items``.
    curve : DataFrame
        Top-1 against the number of averaged repetitions: k, top1, low, high, n, chance.
    queries : DataFrame
        One row a query: true_id, rank (expected under random tie-breaking), tied, n_candidates, and group.
    candidate_ids : array of str
        The candidates, each once.
    """

    scores: pd.DataFrame
    curve: pd.DataFrame
    queries: pd.DataFrame
    candidate_ids: np.ndarray
    direction: str
    notes: tuple[str, ...] = ()
    pools: tuple[Pool, ...] = field(default=(), repr=False)

    @property
    def ranks(self) -> np.ndarray:
        """Expected rank of the true candidate of each query, 1 is best, shape (n_queries,)."""
        return self.queries["rank"].to_numpy()

    @property
    def similarity(self) -> np.ndarray:
        """Similarity of each query to each candidate, shape (n_queries, n_candidates), float32; made when asked for."""
        if len({len(p.candidates) for p in self.pools}) > 1:
            raise BraindecError(
                "groups have different candidates", fix="evaluate one group at a time for its similarities"
            )
        out = np.empty((len(self.queries), len(self.pools[0].candidates)), dtype=np.float32)
        for pool in self.pools:
            for rows, block in blocks(pool.queries, pool.candidates):
                out[pool.rows[rows]] = block
        return out

    def top(self, n: int = 5) -> np.ndarray:
        """Names of the ``n`` most similar candidates of each query, best first, shape (n_queries, n)."""
        n = min(n, min(len(p.candidates) for p in self.pools))
        out = np.empty((len(self.queries), n), dtype=object)
        for pool in self.pools:
            for rows, block in blocks(pool.queries, pool.candidates):
                best = np.argsort(-block, axis=1, kind="stable")[:, :n]
                out[pool.rows[rows]] = pool.names[best]
        return out

    def __repr__(self) -> str:
        top = self.scores.iloc[0]
        return (
            f"<Retrieval {self.direction}, {int(top['n'])} queries, {int(top['n_candidates'])} candidates: {top['metric']} "
            f"{top['value']:.3f} [{top['low']:.3f}, {top['high']:.3f}], chance {top['chance']:.3f}, p {top['p']:.3g}>"
        )


def evaluate_retrieval(
    predicted: np.ndarray,
    candidates: np.ndarray | Features,
    *,
    true_ids: Sequence[Any],
    candidate_ids: Sequence[Any] | None = None,
    direction: str = "brain_to_image",
    topk: Sequence[int] = (1, 5),
    groups: Sequence[Any] | None = None,
    repetitions: Sequence[int] | None = None,
    n_permutations: int = 1000,
    n_bootstrap: int = 2000,
    seed: int = 0,
    row: str = "decoded",
    similarity: str = "cosine",
    keys: Mapping[str, Any] | None = None,
) -> Retrieval:
    """Score how well predicted vectors find their item among named candidates.

    Parameters
    ----------
    predicted : array of shape (n_trials, dim)
        One vector a trial, decoded from the brain.
    candidates : array of shape (n_candidates, dim), or Features
        The vectors of the candidates. The whole declared set is searched, always.
    true_ids : sequence of shape (n_trials,)
        The item that was shown; trials of one item share the id.
    candidate_ids : sequence of shape (n_candidates,)
        Names of the candidates (Features bring their own). A name that stands several times with one vector counts
        once.
    direction : str
        "brain_to_image": each trial searches the candidates. "image_to_brain": each item that was shown searches
        the mean predicted vectors of the items (within each group).
    topk : sequence of int
        Which top-k to report; those that are not below the number of candidates are left out, with a note.
    groups : sequence of shape (n_trials,), optional
        Subject of each trial: scores are given for each and pooled (column ``subject``, "pooled").
    repetitions : sequence of int, optional
        Numbers of trials to average for the curve; by default 1, 2, 4, ... up to all.
    n_permutations, n_bootstrap : int
        Permutations of item identity for p (0: no p), and resamples of items for intervals.
    seed : int
        The same seed gives the same numbers.
    row : str
        Name of the row in the score table; a "decoded" row is followed by its null (row
        "item_permutation": mean of the permutations, with the span of 95 % of them).
    similarity : str
        "cosine", or "dot" (long vectors then win more often; a note says so).
    keys : dict, optional
        Columns put before the score table, e.g. ``{"subject": "01"}``.

    Returns
    -------
    Retrieval

    Raises
    ------
    BraindecError
        If candidates are unnamed, one name has two vectors, a true id is not among the candidates, shapes differ, or
        a value is not finite.

    Examples
    --------
    >>> vectors = np.eye(4)
    >>> found = evaluate_retrieval(vectors, vectors, true_ids=list("abcd"), candidate_ids=list("abcd"), topk=(1,))
    >>> float(found.scores.value[0]), float(found.scores.chance[0])
    (1.0, 0.25)
    """
    notes: list[str] = []
    predicted, vectors, names, true = _check(predicted, candidates, true_ids, candidate_ids, notes)
    if direction not in DIRECTIONS:
        raise BraindecError(f"unknown direction {direction!r}", allowed=" or ".join(map(repr, DIRECTIONS)))
    if similarity not in ("cosine", "dot"):
        raise BraindecError(f"unknown similarity {similarity!r}", allowed="'cosine' or 'dot'")
    labels = None if groups is None else np.array([str(g) for g in groups], dtype=object)
    if labels is not None and len(labels) != len(predicted):
        raise BraindecError("groups and predicted differ in number", found=f"{len(labels)} and {len(predicted)}")
    scale = _scaler(similarity, predicted, vectors, notes)
    pools = _pools(predicted, vectors, names, true, labels, direction=direction, scale=scale)
    fewest = min(len(p.candidates) for p in pools)
    left_out = [k for k in topk if not 1 <= k < fewest]
    if left_out:
        notes.append(f"top-{', '.join(map(str, left_out))} left out: there are {fewest} candidates")
    metrics = make_metrics([k for k in topk if k not in left_out])
    rng = np.random.default_rng(seed)
    scores, queries = score_pools(
        pools, metrics, n_permutations=n_permutations, n_bootstrap=n_bootstrap, rng=rng, row=row
    )
    scores = scores.assign(direction=direction)
    curve = repetition_curve(
        predicted,
        vectors,
        true,
        labels,
        direction=direction,
        scale=scale,
        ks=repetitions,
        n_bootstrap=n_bootstrap,
        rng=rng,
    )
    if labels is None:
        scores, curve, queries = (t.drop(columns="subject") for t in (scores, curve, queries))
    given = {c: v for c, v in (keys or {}).items() if c not in scores}
    scores = scores.assign(**given)[[*given, *scores.columns]]
    if notes:
        scores["note"] = ["; ".join(filter(None, [text, *notes])) for text in scores["note"]]
    queries.insert(0, "true_id", np.concatenate([p.names[p.true] for p in pools])[np.argsort(_order(pools))])
    return Retrieval(scores, curve, queries, names, direction, tuple(notes), tuple(pools))


def _order(pools: list[Pool]) -> np.ndarray:
    return np.concatenate([p.rows for p in pools])


def _check(
    predicted: np.ndarray,
    candidates: np.ndarray | Features,
    true_ids: Sequence[Any],
    candidate_ids: Sequence[Any] | None,
    notes: list[str],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return predicted, unique candidates, their names, and the candidate row of each trial."""
    if isinstance(candidates, Features):
        candidate_ids = candidates.ids if candidate_ids is None else candidate_ids
        candidates = candidates.load()
    if candidate_ids is None:
        raise BraindecError(
            "candidates need names: a score among unnamed candidates cannot be checked",
            fix="pass candidate_ids= (one a candidate), or Features",
        )
    predicted, vectors = (np.asarray(a, dtype=np.float64) for a in (predicted, candidates))
    if predicted.ndim != 2 or vectors.ndim != 2 or predicted.shape[1] != vectors.shape[1]:
        raise BraindecError(
            "predicted and candidates must be (n, dim) with one dim", found=f"{predicted.shape} and {vectors.shape}"
        )
    ids, shown = (np.array([str(i) for i in a], dtype=object) for a in (candidate_ids, true_ids))
    if len(ids) != len(vectors) or len(shown) != len(predicted):
        raise BraindecError(
            "names and vectors differ in number",
            found=f"{len(vectors)} candidates, {len(ids)} candidate_ids; {len(predicted)} predicted, {len(shown)} true_ids",
        )
    if not len(shown):
        raise BraindecError("nothing to retrieve", found="0 predicted vectors")
    for what, array in (("predicted", predicted), ("candidates", vectors)):
        bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
        if len(bad):
            raise BraindecError(f"{what} holds values that are not finite", found=f"{len(bad)} rows, first {bad[0]}")
    vectors, ids = _unique_candidates(vectors, ids, notes)
    place = pd.Index(ids).get_indexer(pd.Index(shown))
    if (place < 0).any():
        missing = pd.unique(shown[place < 0])
        near = nearest(missing[0], ids[:5000])
        raise BraindecError(
            f"{len(missing)} true ids are not among the candidates",
            found=", ".join(map(repr, missing[:5])) + (f"; nearest candidate {near[0]!r}" if near else ""),
            fix="the candidate set must hold every item that was shown",
        )
    if len(ids) < 2:
        raise BraindecError("retrieval needs at least 2 candidates", found=f"{len(ids)}")
    return predicted, vectors, ids, place


def _unique_candidates(vectors: np.ndarray, ids: np.ndarray, notes: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Keep each name once; one name with two vectors is an error."""
    zero = np.flatnonzero(~vectors.any(axis=1))
    if len(zero):
        raise BraindecError(
            "a candidate is all zeros", found=f"{len(zero)}, first {ids[zero[0]]!r}", fix="extract it again"
        )
    code, unique = pd.factorize(ids)
    if len(unique) == len(ids):
        return vectors, ids
    first = np.full(len(unique), -1)
    first[code[::-1]] = np.arange(len(ids))[::-1]
    off = np.abs(vectors - vectors[first[code]]).max(axis=1) > 1e-5 * np.abs(vectors).max(axis=1)
    if off.any():
        raise BraindecError(
            f"{len(pd.unique(code[off]))} candidate ids have several different vectors",
            found=f"first {ids[np.flatnonzero(off)[0]]!r}",
            fix="give each vector its own id, or average the vectors of an id before retrieval",
        )
    notes.append(f"{len(ids) - len(unique)} repeated candidates counted once")
    return vectors[first], np.asarray(unique, dtype=object)


def _scaler(similarity: str, predicted: np.ndarray, vectors: np.ndarray, notes: list[str]) -> Any:
    if similarity == "cosine":
        return unit_rows
    longest = np.sqrt(np.linalg.norm(predicted, axis=1).max() * np.linalg.norm(vectors, axis=1).max()) or 1.0
    notes.append("raw product, not cosine: long candidates are favoured")
    return lambda rows: np.asarray(rows, dtype=np.float64) / longest


def _pools(
    predicted: np.ndarray,
    vectors: np.ndarray,
    names: np.ndarray,
    true: np.ndarray,
    labels: np.ndarray | None,
    *,
    direction: str,
    scale: Any,
) -> list[Pool]:
    """One search for each group: queries, candidates, and which is which."""
    pools, first = [], 0
    for label in ["pooled"] if labels is None else sorted(set(labels)):
        mine = np.arange(len(true)) if labels is None else np.flatnonzero(labels == label)
        items, code = np.unique(true[mine], return_inverse=True)
        if len(items) < 2:
            raise BraindecError(
                f"retrieval needs trials of at least 2 items{'' if labels is None else f' from {label}'}",
                found=f"{len(mine)} trials of {names[items[0]]!r}",
            )
        if direction == "brain_to_image":
            pools.append(Pool(label, scale(predicted[mine]), scale(vectors), true[mine], true[mine], names, mine))
            continue
        sums = np.zeros((len(items), predicted.shape[1]))
        np.add.at(sums, code, predicted[mine])
        means = sums / np.bincount(code)[:, None]
        own = np.arange(len(items))
        pools.append(Pool(label, scale(vectors[items]), scale(means), own, items, names[items], first + own))
        first += len(items)
    return pools
