"""Log-compressed time, by layer: do years (or numbers) lie on a logarithmic scale about a reference, or on a linear one?

Stimuli ``years``: a table with the columns text ("in the year 1525") and value (the number). Options: ``pool`` ("last"),
``references`` (candidates; 41 over the span, and 0 for positive numbers), ``permutations`` (199), ``seed`` (the probe's).

The distance of two items is 1 minus the correlation of their activations over units. It is correlated, over pairs, with the
difference of their numbers, and with that of ``sign(v - r) log(1 + |v - r|)``; the reference r is chosen on every second item
and both scales are tried on the others, and the other way round, so that the scale with a free parameter is not favoured.

Columns: ``weber_fechner`` correlation on the logarithmic scale minus that on the linear one (above 0: compressed), ``_log`` and
``_linear`` both, ``_reference`` the chosen one (mean of both halves, in the units of value), ``_p`` one-sided, of the larger of both
correlations, from permuted numbers. Rows are layers and sites.

Source: the law is Fechner's (1860); its test in language models with a reference in the present is that of work on temporal
cognition of 2025. Numbers on a logarithmic scale: Dehaene 2003 (Trends Cogn Sci 7:145).

Differs from the reference in: activations instead of judgements asked for in words; the reference is chosen on other items than
those that compare the scales; a permutation test.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from braindec.llm.score import Probe, UnitScore
from braindec.llm.scores._labelled import keys_of, option, pooled
from braindec.llm.scores._log_time import fit_distances, numbered, references_of
from braindec.stats.permutation import permutation_p

DEFAULTS: dict[str, Any] = {"pool": "last", "references": None, "permutations": 199, "seed": None}

__all__ = ["score", "correlation_distances", "layer_test"]


def correlation_distances(values: np.ndarray) -> np.ndarray:
    """1 minus the correlation over units of each pair of items, (n_items, n_items)."""
    x = np.asarray(values, dtype=np.float64)
    x = x - x.mean(axis=1, keepdims=True)
    size = np.sqrt((x**2).sum(axis=1, keepdims=True))
    x = np.divide(x, size, out=np.zeros_like(x), where=size > 0)
    return 1 - x @ x.T


def layer_test(
    distances: np.ndarray, values: np.ndarray, *, references: np.ndarray | None = None, permutations: int = 199,
    rng: np.random.Generator | int = 0,
) -> tuple[float, float, float, float]:  # fmt: skip
    """Return (linear correlation, logarithmic correlation, reference, p) of a layer; ``values`` in rising order."""
    references = references_of(values) if references is None else np.asarray(references, dtype=float)
    found = fit_distances(distances, values, references)
    rng, null = np.random.default_rng(rng), []
    for _ in range(permutations):
        order = rng.permutation(len(values))
        drawn = fit_distances(distances[np.ix_(order, order)], values, references)
        null.append(max(drawn.linear, drawn.log))
    p = permutation_p(max(found.linear, found.log), np.array(null)) if null else np.nan
    return float(found.linear), float(found.log), float(found.reference), float(p)


def _score(probe: Probe) -> pd.DataFrame:
    given = option(probe, "weber_fechner", DEFAULTS)
    table = numbered(probe.need("years"))
    features = pooled(probe, table["text"].tolist(), pool=given["pool"])
    activations, keys = features.load(), keys_of(features)
    seed = probe.seed if given["seed"] is None else given["seed"]
    rows = []
    for _, part in keys.groupby(["model", "layer", "site"], sort=True):
        own, first = part.index.to_numpy(), part.iloc[0]
        linear, log, reference, p = layer_test(
            correlation_distances(activations[:, own]), table["value"].to_numpy(), references=given["references"],
            permutations=given["permutations"], rng=seed,
        )  # fmt: skip
        rows.append((first["model"], first["layer"], first["site"], log - linear, log, linear, reference, p))
    return pd.DataFrame(
        rows,
        columns=[
            "model",
            "layer",
            "site",
            "weber_fechner",
            *(f"weber_fechner_{k}" for k in ("log", "linear", "reference", "p")),
        ],
    )


score = UnitScore(
    "weber_fechner", "1", "layer", ("years",), _score,
    "logarithmic minus linear fit of distances between years", "Fechner 1860, Dehaene 2003",
)  # fmt: skip
