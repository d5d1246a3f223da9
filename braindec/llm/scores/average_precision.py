"""Concept and relation units: how well one unit tells the texts of a concept from all others.

Stimuli ``concepts``: a table with the columns text and concept, or a mapping concept -> list of texts. Options: ``pool``
("last"), ``k`` (units selected a concept, default 10), ``gate`` (q that a selected unit must pass, default 0.05; None: no
gate), ``permutations`` (999), ``seed`` (the probe's).

For each unit and concept the activation is a classifier's score and its average precision is taken: the mean, over the
texts of the concept, of the share of its texts among those that score as high. Equal activations count together. It is 1
where all texts of the concept come first; what chance gives depends on how many texts there are, so the score is
``(AP - chance) / (1 - chance)`` with chance the mean over all orders of distinct scores. The unit's score is that of its
best concept; the p-value permutes the concepts of the texts and takes the best again, so that choosing it is paid for.

Columns: ``average_precision`` (1 perfect, 0 chance), ``_concept`` the best, ``_p``, ``_q``, ``_selected`` (among the ``k``
best of its concept), ``_ap_<concept>`` the plain average precision.

Source: Liu et al. 2025 (EMNLP, "On relation-specific neurons in large language models"), after Kojima et al. 2024 (NAACL)
and Suau et al. 2022 (ICML) for average precision of a neuron as a classifier.

Differs from the reference in: chance is taken away, so that concepts with many and few texts compare; selection passes a
permutation test; a unit is named for its best concept only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.llm.score import Probe, UnitScore
from braindec.llm.scores._labelled import distinct, keys_of, labelled, option, pooled
from braindec.stats.contrast import top_units
from braindec.stats.fdr import fdr_bh

_CHUNK = 4_000_000  # numbers of a block
DEFAULTS: dict[str, Any] = {"pool": "last", "k": 10, "gate": 0.05, "permutations": 999, "seed": None}

__all__ = ["score", "Precision", "average_precision", "chance_precision", "concept_units"]


@dataclass(frozen=True, eq=False)
class Precision:
    """Average precision of units for concepts.

    Parameters
    ----------
    ap : array of shape (n_units, n_concepts)
    chance : array of shape (n_concepts,)
    best : array of int, shape (n_units,)
        Column of the concept with the largest score.
    score : array of shape (n_units,)
        ``(AP - chance) / (1 - chance)`` of the best; NaN where the unit never changes.
    p : array of shape (n_units,)
        From permuted concepts, for the best of all; NaN without permutations.
    """

    ap: np.ndarray
    chance: np.ndarray
    best: np.ndarray
    score: np.ndarray
    p: np.ndarray


def average_precision(values: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """Average precision of each column for each labelling; equal values count together.

    Parameters
    ----------
    values : array of shape (n_texts, n_units)
    positive : array of bool, shape (..., n_texts)
        Which texts belong to a concept; several labellings at once.

    Returns
    -------
    array of shape (..., n_units)
        NaN where a labelling has no positive text.
    """
    return _Ranked(np.asarray(values)).precision(np.asarray(positive, dtype=bool))


class _Ranked:
    """Texts in falling order of each unit, sorted once for all labellings."""

    def __init__(self, values: np.ndarray) -> None:
        if values.ndim != 2 or not np.isfinite(values).all():
            raise BraindecError(
                "activations are a matrix of (text, unit) of finite numbers", found=f"shape {values.shape}"
            )
        self.order = np.argsort(-values, axis=0, kind="stable")
        ranked = np.take_along_axis(values, self.order, axis=0)
        last = np.ones(ranked.shape, dtype=bool)
        last[:-1] = ranked[1:] != ranked[:-1]
        place = np.where(last, np.arange(len(values))[:, None], len(values))
        self.end = np.minimum.accumulate(place[::-1], axis=0)[::-1]  # where the run of equal values ends
        self.tied = ~last.all(axis=0)
        self.constant = (ranked[0] == ranked[-1]) if len(values) else np.ones(values.shape[1], bool)

    def precision(self, positive: np.ndarray, columns: np.ndarray | None = None) -> np.ndarray:
        order = self.order if columns is None else self.order[:, columns]
        end = self.end if columns is None else self.end[:, columns]
        labels = positive.reshape(-1, positive.shape[-1])
        out = np.empty((len(labels), order.shape[1]))
        for i, own in enumerate(labels):
            hits = own[order]
            share = hits.cumsum(axis=0) / np.arange(1, len(order) + 1)[:, None]
            n = own.sum()
            out[i] = (hits * np.take_along_axis(share, end, axis=0)).sum(axis=0) / n if n else np.nan
        return out.reshape(*positive.shape[:-1], order.shape[1])


def chance_precision(n_positive: int, n: int) -> float:
    """Mean average precision over all orders of ``n`` texts of which ``n_positive`` are of the concept.

    A positive text at place i has i - 1 others before it, of which (n_positive - 1) / (n - 1) are positive on average.
    """
    harmonic = float(np.sum(1 / np.arange(1, n + 1)))
    if n < 2:
        return 1.0
    return (harmonic + (n_positive - 1) / (n - 1) * (n - harmonic)) / n


def concept_units(
    values: np.ndarray, concepts: np.ndarray, *, permutations: int = 999, rng: np.random.Generator | int = 0
) -> tuple[Precision, np.ndarray]:
    """Score every unit for every concept.

    Parameters
    ----------
    values : array of shape (n_texts, n_units)
    concepts : array of shape (n_texts,)
    permutations : int
        Of the concepts over texts; 0 for no p-value. Units without equal values share one null, the same for all of them.
    rng : Generator or int

    Returns
    -------
    Precision
    names : array of str
        The concepts, in the order of the columns.

    Raises
    ------
    BraindecError
        If there are fewer than 2 concepts or one has fewer than 2 texts.
    """
    names, code = np.unique(np.asarray(concepts).astype(str), return_inverse=True)
    counts = np.bincount(code)
    if len(names) < 2 or counts.min() < 2:
        raise BraindecError("concepts need at least 2 texts each, and there must be 2 or more of them",
                            found=", ".join(f"{k}: {n}" for k, n in zip(names, counts, strict=True)))  # fmt: skip
    ranked = _Ranked(np.asarray(values))
    own = code == np.arange(len(names))[:, None]  # (concept, text)
    chance = np.array([chance_precision(int(n), len(code)) for n in counts])

    def score_of(ap: np.ndarray) -> np.ndarray:
        return (ap - chance[:, None]) / (1 - chance[:, None])

    ap = ranked.precision(own)
    scores = score_of(ap)
    best = scores.argmax(axis=0)
    top = np.where(ranked.constant, np.nan, scores.max(axis=0))
    rng = np.random.default_rng(rng)
    p = np.full(values.shape[1], np.nan)
    if permutations:
        orders = np.stack([rng.permutation(len(code)) for _ in range(permutations)])
        p = _p_values(ranked, top, own, orders, score_of)
    return Precision(ap.T, chance, best, top, p), names


def _p_values(ranked: _Ranked, top: np.ndarray, own: np.ndarray, orders: np.ndarray, score_of: Any) -> np.ndarray:
    """Where all values differ, permuting texts permutes ranks: one null for all such units; others have their own."""
    p = np.full(len(top), np.nan)
    alike = np.flatnonzero(~ranked.tied)
    if len(alike):
        null = np.sort([score_of(ranked.precision(own[:, o], alike[:1])).max() for o in orders])
        more = len(null) - np.searchsorted(null, top[alike] - 1e-12, side="left")
        p[alike] = (1 + more) / (1 + len(null))
    tied = np.flatnonzero(ranked.tied & ~ranked.constant)
    step = max(1, _CHUNK // own.shape[1])
    for start in range(0, len(tied), step):
        block = tied[start : start + step]
        more = np.zeros(len(block), int)
        for order in orders:
            more += score_of(ranked.precision(own[:, order], block)).max(axis=0) >= top[block] - 1e-12
        p[block] = (1 + more) / (1 + len(orders))
    return p


def _score(probe: Probe) -> pd.DataFrame:
    given = option(probe, "average_precision", DEFAULTS)
    table = distinct(labelled(probe.need("concepts"), label="concept", what="concepts"), "concepts")
    features = pooled(probe, table["text"].tolist(), pool=given["pool"])
    seed = probe.seed if given["seed"] is None else given["seed"]
    found, names = concept_units(
        features.load(), table["concept"].to_numpy(), permutations=given["permutations"], rng=seed
    )
    q = fdr_bh(found.p)
    allowed = None if given["gate"] is None else np.nan_to_num(q, nan=1.0) <= given["gate"]
    chosen = top_units(found.score, k=given["k"], groups=found.best, allowed=allowed)
    units = keys_of(features)
    named = np.where(np.isnan(found.score), "", names[found.best])
    return units.assign(
        average_precision=found.score, average_precision_concept=named, average_precision_p=found.p,
        average_precision_q=q, average_precision_selected=chosen.mask(len(units)),
        **{f"average_precision_ap_{name}": found.ap[:, k] for k, name in enumerate(names)},
    )  # fmt: skip


score = UnitScore(
    "average_precision", "1", "unit", ("concepts",), _score,
    "average precision of a unit as classifier of its best concept, above chance", "Liu et al. 2025, Suau et al. 2022",
)  # fmt: skip
