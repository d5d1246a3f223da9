"""Several decoders of oscillations on the same folds: their scores, what each gains over the first, and what feedback adds.

A decoder that learns during use is scored twice on the same held-out windows: with its weights as they were after training
(row "static_twin") and deciding in the order of time with feedback after each decision (row "decoded"). The p-value of
such decoders holds the trained weights fixed and permutes the labels of the held-out windows within runs, feedback
included; that is a test only where training and held-out windows share no label, so with several folds there is no p.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone

from braindec import registry
from braindec.decoders._make import make_decoder
from braindec.evaluate._exchange import exchange_of
from braindec.evaluate._folds import interval, null_values, value_of
from braindec.evaluate._rows import rows_of
from braindec.evaluate.crossval import CrossValidation, cross_validate
from braindec.stats.bootstrap import bootstrap_weights, interval_of
from braindec.stats.permutation import permutation_p
from braindec.types import FitRecord, Split, Windows

_FEWEST_CLUSTERS = 5  # fewer runs than this are not resampled

__all__ = ["Comparison", "adapt_over_folds", "compare_decoders", "paired_difference"]


@dataclass
class Comparison:
    """What a comparison found.

    scores : long table with the column ``decoder``
    correct : {decoder: array (n_test,)}, 1 where a held-out window was right, test windows in the order of the folds
    first : CrossValidation of the first decoder
    records : what was fitted where, of all decoders
    adapting : {decoder: (n_test,)} hits of the static twin of decoders that adapt
    """

    scores: pd.DataFrame
    correct: dict[str, np.ndarray]
    first: CrossValidation
    records: list[tuple[Split, list[FitRecord]]]
    adapting: dict[str, np.ndarray] = field(default_factory=dict)


def compare_decoders(
    decoders: Sequence[Mapping[str, Any]],
    narrow: Windows,
    broad: Windows,
    y: np.ndarray,
    splits: Sequence[Split],
    *,
    statistics: Mapping[str, Any],
    span: tuple[float, float | None],
    seed: int,
    keys: Mapping[str, Any],
    folder: str,
) -> Comparison:
    """Cross-validate several decoders on the same windows.

    Parameters
    ----------
    decoders : sequence of mapping
        ``name`` and options of each; differences are taken from the first, which must not adapt.
    narrow, broad : Windows
        The same trials filtered to one band, and not; decoders with ``own_bands`` are given the latter.
    y : array of shape (n_windows,)
    splits : list of Split
    statistics : mapping
        ``metrics``, ``controls``, ``n_permutations``, ``n_bootstrap``.
    span : (tmin, tmax)
        The span of ``broad`` that such decoders use, s.
    seed, keys, folder
        See :func:`braindec.evaluate.crossval.cross_validate`.
    """
    names = _names(decoders)
    tables, correct, adapting, first, records = [], {}, {}, None, []
    for name, options in zip(names, decoders, strict=True):
        own = getattr(registry.get("decoders", options["name"]), "own_bands", False)
        offered = {"tmin": span[0], "tmax": span[1]} if own else {}
        decoder = make_decoder(options, seed=seed, folder=f"{folder}/{name}", **offered)
        windows = broad if own else narrow
        if hasattr(decoder, "adapt_stream"):
            table, hits, static, more = adapt_over_folds(
                decoder, windows, y, splits, statistics=statistics, seed=seed, keys=keys
            )
            adapting[name] = static
            records += list(zip(splits, more, strict=True))
        else:
            how = dict(statistics)
            if first is not None:  # sees no signal, so it is the same for all decoders
                how["controls"] = [c for c in how["controls"] if c != "time_only"]
            if not hasattr(decoder, "null_decisions"):  # trained anew for each labelling: too slow beside the others
                how.update(n_permutations=0, controls=[])
            cv = cross_validate(decoder, windows, y, splits, **how, seed=seed, keys=keys)
            first = first or cv
            table, hits = cv.scores, (cv.predictions["true"] == cv.predictions["predicted"]).to_numpy(dtype=float)
            records += cv.records
        tables.append(table.assign(decoder=name))
        correct[name] = hits
    tested = np.concatenate([s.test for s in splits])
    alike = exchange_of(narrow, np.unique(y, return_inverse=True)[1], splits)
    how = {
        "n_bootstrap": statistics["n_bootstrap"],
        "seed": seed,
        "clusters": alike.clusters[tested],
        "where": alike.where,
    }
    for name in names[1:]:
        row = paired_difference(correct[name], correct[names[0]], y[tested], **how)
        tables.append(pd.DataFrame([{**keys, **row, "row": f"over_{names[0]}", "decoder": name}]))
    for name, static in adapting.items():
        row = paired_difference(correct[name], static, y[tested], **how)
        tables.append(pd.DataFrame([{**keys, **row, "row": "over_static_twin", "decoder": name}]))
    return Comparison(pd.concat(tables, ignore_index=True), correct, first, records, adapting)


def _names(decoders: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of the decoders; one that comes twice is told by the options in which it differs."""
    names = []
    for options in decoders:
        twins = [d for d in decoders if d["name"] == options["name"]]
        own = [f"{k}={v}" for k, v in options.items() if k != "name" and any(t.get(k) != v for t in twins)]
        names.append(" ".join([str(options["name"]), *own]).replace(", ", " "))
    return [n if names.count(n) == 1 else f"{n} {names[: i + 1].count(n)}" for i, n in enumerate(names)]


def paired_difference(
    a: np.ndarray, b: np.ndarray, truth: np.ndarray, *, clusters: np.ndarray | None = None, where: str = "run", n_bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """Return how much more balanced accuracy hits ``a`` have than hits ``b`` of the same windows, with its interval.

    Parameters
    ----------
    a, b : array of shape (n,)
        1 where the window was right.
    truth : array of shape (n,)
        Classes: each weighs the same.
    clusters : array of shape (n,), optional
        Runs: one decoder is ahead in one run, the other in another, so that whole runs are resampled where there are 5 or
        more. With fewer, windows are, and the interval holds for these runs.
    where : str
        What a cluster is.
    """
    classes, codes = np.unique(truth, return_inverse=True)
    counts = np.bincount(codes)
    weighted = (a - b) * (len(a) / (len(classes) * counts))[codes]
    n_clusters = 1 if clusters is None else len(np.unique(clusters))
    many, rng = n_clusters >= _FEWEST_CLUSTERS, np.random.default_rng([seed, 7])
    weights = bootstrap_weights(clusters if many else np.arange(len(a)), None, n=n_bootstrap, rng=rng)
    ends = interval_of(weights @ weighted / weights.sum(axis=1), n_units=n_clusters if many else len(a))
    how = f"{where}s" if many else f"windows of these {n_clusters} {where}s" if n_clusters > 1 else "windows"
    return {"metric": "balanced_accuracy_difference", "version": "1", "value": float(weighted.mean()), "chance": 0.0,
            "low": ends.low, "high": ends.high, "p": np.nan, "n": len(a), "note": f"paired over windows; interval over {how}"}  # fmt: skip


def adapt_over_folds(
    decoder: Any,
    windows: Windows,
    y: np.ndarray,
    splits: Sequence[Split],
    *,
    statistics: Mapping[str, Any],
    seed: int = 0,
    keys: Mapping[str, Any] | None = None,
) -> tuple[pd.DataFrame, np.ndarray, np.ndarray, list[list[FitRecord]]]:
    """Train in each fold, then decide on its held-out windows twice: with frozen weights, and adapting to feedback.

    Returns
    -------
    scores : DataFrame
        Rows "decoded" (adapting) and "static_twin".
    adaptive, static : array of shape (n_test,)
        1 where a held-out window was right, in the order of the folds.
    records : list of list of FitRecord
    """
    classes, codes = np.unique(y, return_inverse=True)
    exchange = exchange_of(windows, codes, splits)
    n_permutations = statistics["n_permutations"] if len(splits) == 1 and getattr(decoder, "adapt", "") == "head" else 0
    rng = np.random.default_rng([seed, 5])
    labellings = exchange.draw(codes, splits, n=n_permutations, rng=rng)
    adaptive, static, null, records = [], [], [], []
    place = np.argsort(rows_of(windows).order)  # in time: runs in the order they were read in ("10" comes after "9")
    for split in splits:
        rows = split.test[np.argsort(place[split.test])]
        order = np.argsort(rows, kind="stable")
        twin = clone(decoder).fit(windows[split.train], y[split.train])
        records.append(list(twin.fit_records_))
        held = windows[rows]
        static.append(twin.decision(held)[order])
        if n_permutations:
            decided = twin.null_streams(held, classes[labellings[:, rows]])
            one_hot = (decided[:, :, None] == classes).astype(float)
            null.append(one_hot[:, order])
        stream = deepcopy(twin).adapt_stream(held, y[rows])
        adaptive.append(stream.values[order])
    table = []
    for row, scores in (("decoded", adaptive), ("static_twin", static)):
        fixed = [
            np.repeat((s == s.max(axis=1, keepdims=True)).astype(float)[None], n_permutations, axis=0) for s in scores
        ]
        worlds = null if row == "decoded" else fixed
        for name in statistics["metrics"]:
            metric = registry.get("evaluate.metrics", name)
            if metric.needs == "scores" and metric.name != "auc":
                continue  # values of decisions are no posteriors
            value = value_of(metric, scores, codes, splits)
            ends, how = interval(metric, scores, codes, splits, exchange=exchange, n=statistics["n_bootstrap"],
                                 rng=np.random.default_rng([seed, 6]))  # fmt: skip
            p, tested = np.nan, metric.needs == "labels" and n_permutations
            if tested:
                p = float(permutation_p(value, null_values(metric, worlds, labellings, splits)))
            said = (
                "trained weights fixed, labels of the held-out windows permuted, feedback included"
                if tested
                else "no p"
            )
            table.append({**(keys or {}), "metric": metric.name, "version": metric.version, "row": row, "value": value,
                          "chance": float(metric.chance(np.concatenate([codes[s.test] for s in splits]), np.arange(len(classes)))),
                          "low": max(metric.bounds[0], min(ends.low, value)), "high": min(metric.bounds[1], max(ends.high, value)),
                          "p": p, "n": sum(len(s.test) for s in splits), "note": f"{how}; {said}"})  # fmt: skip
    hits = [np.concatenate([(s.argmax(axis=1) == codes[split.test]).astype(float) for s, split in zip(part, splits, strict=True)])
            for part in (adaptive, static)]  # fmt: skip
    return pd.DataFrame(table), hits[0], hits[1], records
