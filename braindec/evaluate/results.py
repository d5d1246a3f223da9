"""From scores to a Result: the tables, arrays and panels that a report shows, the same for every recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pydantic import Field

from braindec.config import Section, name_in
from braindec.evaluate.audit import Audit
from braindec.evaluate.crossval import CrossValidation
from braindec.evaluate.retrieval import Retrieval
from braindec.stats.bootstrap import bootstrap_interval
from braindec.stats.combine import cauchy, fisher
from braindec.types import Result, Windows

# metrics between 0 and 1, by how their names begin: their intervals over units are held there; differences of them are not
_SHARES = (
    "accuracy",
    "balanced_accuracy",
    "f1",
    "auc",
    "top",
    "mrr",
    "pairwise",
    "identification",
    "two_way",
    "tagged_",
    "planted_auc",
    "planted_named",
    "within_category",
    "n_way",
    "film_two_way",
    "film_n_way",
    "bleu",
    "meteor",
    "rouge",
)
_CORRELATIONS = ("pixcorr", "ssim", "frame_ssim", "sentence_cosine", "temporal_consistency", "caption_r")  # -1 to 1


class SplitBy(Section):
    """How rows are held out: by a key (leave one out, or ``n_folds``), or contiguous blocks of "time"."""

    by: str = "run"
    n_folds: Annotated[int, Field(ge=2)] | None = None
    gap: float = Field(0.0, ge=0)


class Statistics(Section):
    """Which metrics and control rows, and how many permutations and resamples."""

    metrics: list[Annotated[str, name_in("evaluate.metrics")]] = Field(["balanced_accuracy"], min_length=1)
    controls: list[Annotated[str, name_in("evaluate.controls")]] = ["label_shuffle", "noise_input", "time_only"]
    n_permutations: int = Field(200, ge=0)
    n_bootstrap: int = Field(1000, ge=100)


def classification_result(
    cv: CrossValidation, card: Audit, windows: Windows, y: np.ndarray, *, overview: Mapping[str, Any]
) -> Result:
    """Return the result of one cross-validated classifier with its panels.

    Parameters
    ----------
    cv : CrossValidation
        Scores, predictions and confusion.
    card : Audit
        Findings on the design and the fitted steps.
    windows : Windows
        What was decoded, for the map of class differences.
    y : array of shape (n_windows,)
        The classes.
    overview : mapping
        Facts of the data for the report; its ``warnings`` and ``citations`` are told separately.
    """
    classes = [str(c) for c in cv.classes]
    arrays = {**cv.arrays(), "confusion": np.asarray(cv.confusion)}
    panels = [
        {"draw": "confusion", "title": "Confusion matrix", "args": {"matrix": "@confusion", "labels": classes},
         "caption": "Held-out windows only, all folds together."},
    ]  # fmt: skip
    metric = str(cv.scores["metric"].iloc[0])
    null = arrays.get(f"null/{metric}")
    if null is not None and len(null):
        observed = float(
            cv.scores.loc[(cv.scores["row"] == "decoded") & (cv.scores["metric"] == metric), "value"].iloc[0]
        )
        panels.append(
            {"draw": "null_histogram", "title": "Observed against permuted labels",
             "args": {"observed": observed, "null": f"@null/{metric}", "label": "AUC" if metric == "auc" else metric.replace("_", " ")},
             "caption": f"The whole cross-validation was repeated on {len(null)} permutations of the labels."}
        )  # fmt: skip
    difference, panel = class_difference(windows, y)
    if panel is not None:
        arrays.update(difference)
        panels.append(panel)
    return Result(cv.scores, arrays, _made_by(card, overview, panels))


def class_difference(windows: Windows, y: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, Any] | None]:
    """Return where and when the classes differ: F of a one-way analysis for each channel and sample, and its panel.

    Descriptive, over all windows; nothing is selected by it.
    """
    if len(np.unique(y)) < 2 or windows.n_channels * windows.n_times < 2:
        return {}, None
    f = _one_way_f(windows, y)
    channels = windows.channels
    positions = channels[["x", "y", "z"]].to_numpy(dtype=float)
    arrays = {"difference/f": f, "difference/times": windows.times, "difference/positions": positions,
              "difference/channels": np.array(windows.ch_names, dtype=object)}  # fmt: skip
    caption = "F of the class means against the variance within classes, all windows: descriptive, no test."
    if windows.n_times == 1:
        if not np.isfinite(positions).all():
            return arrays, None
        arrays["difference/voxels"] = f[:, 0]
        return arrays, {"draw": "voxel_map", "title": "Where the classes differ", "caption": caption,
                        "args": {"positions": "@difference/positions", "values": "@difference/voxels", "label": "F", "unit": ""}}  # fmt: skip
    return arrays, {"draw": "topomap_times", "title": "Where and when the classes differ", "caption": caption,
                    "args": {"values": "@difference/f", "times": "@difference/times", "positions": "@difference/positions",
                             "ch_names": "@difference/channels", "label": "F", "unit": ""}}  # fmt: skip


def retrieval_panels(found: Retrieval, arrays: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """Add the arrays of a retrieval and return the panel of its repetition curve."""
    for column in ("k", "top1", "low", "high", "n"):
        arrays[f"curve/{column}"] = found.curve[column].to_numpy()
    chance = float(found.curve["chance"].iloc[0])
    return [
        {"draw": "retrieval_curve", "title": "Top-1 against the number of averaged trials",
         "args": {"k": "@curve/k", "top1": "@curve/top1", "low": "@curve/low", "high": "@curve/high", "n": "@curve/n",
                  "chance": chance, "n_candidates": len(found.candidate_ids)},
         "caption": f"{found.direction.replace('_', ' ').capitalize()}, {len(found.candidate_ids)} named candidates; band: 95 % over items."},
    ]  # fmt: skip


def retrieval_result(
    scores: pd.DataFrame, card: Audit, arrays: Mapping[str, np.ndarray], panels: Sequence[Mapping[str, Any]],
    *, overview: Mapping[str, Any], notes: Sequence[str] = ()
) -> Result:  # fmt: skip
    """Return the result of a retrieval recipe from its score table, arrays and panels."""
    return Result(scores, dict(arrays), {**_made_by(card, overview, list(panels)), "notes": list(notes)})


def group_scores(
    results: Sequence[Result], *, shared_stimuli: bool = False, n_bootstrap: int = 2000, seed: int = 0
) -> Result | None:
    """Return mean scores over units, with intervals over units and a combined p of the decoded rows.

    Fisher's p holds for independent tests; with ``shared_stimuli``, where units saw the same stimuli and p asks whether
    features of the stimuli matter, the Cauchy combination is taken, which holds when tests depend on one another.

    The p-value asks whether *no* unit carries information (a fixed-effects question). Intervals are over units, so they
    speak of a population only when there are enough of them. Returns None for fewer than two units.
    """
    if len(results) < 2:
        return None
    rng = np.random.default_rng(seed)
    combine, named = (cauchy, "Cauchy-combined p") if shared_stimuli else (fisher, "Fisher's combined p")
    table = pd.concat([r.scores for r in results], ignore_index=True)
    by = [c for c in ("metric", "version", "row", "region", "band", "direction", "k", "n_candidates") if c in table]
    rows = []
    for key, group in table.groupby(by, sort=False, dropna=False):
        values, p = group["value"].to_numpy(dtype=float), group["p"].to_numpy(dtype=float)
        if len(values) < 2 or not np.isfinite(values).all():
            continue
        low, high = bootstrap_interval(values, n=n_bootstrap, rng=rng)[:2]
        name = str(group["metric"].iloc[0])
        if name.startswith((*_SHARES, *_CORRELATIONS)) and not name.endswith("_difference"):
            low, high = max(low, 0.0 if name.startswith(_SHARES) else -1.0), min(high, 1.0)
        combined = combine(p) if key[by.index("row")] == "decoded" and np.isfinite(p).all() else np.nan
        rows.append({"subject": "mean", **dict(zip(by, key, strict=True)), "value": values.mean(),
                     "chance": group["chance"].astype(float).mean(), "low": low, "high": high, "p": combined, "n": len(values),
                     "note": f"mean of {len(values)} units, interval over units, {named}"})  # fmt: skip
    return Result(pd.DataFrame(rows)) if rows else None


def _one_way_f(windows: Windows, y: np.ndarray, block: int = 256) -> np.ndarray:
    """F of each channel and sample, shape (n_channels, n_times); windows are read in blocks."""
    classes, code = np.unique(y, return_inverse=True)
    counts = np.bincount(code).astype(float)
    sums = np.zeros((len(classes), windows.n_channels, windows.n_times))
    squares = np.zeros((windows.n_channels, windows.n_times))
    scale = np.abs(windows.load(np.arange(min(block, len(windows))))).mean(dtype=float) or 1.0  # volts are tiny
    for start in range(0, len(windows), block):
        rows = np.arange(start, min(start + block, len(windows)))
        data = windows.load(rows).astype(float) / scale
        squares += np.einsum("ict,ict->ct", data, data)
        for k in range(len(classes)):
            sums[k] += data[code[rows] == k].sum(axis=0)
    n = counts.sum()
    grand = sums.sum(axis=0) / n
    between = (sums**2 / counts[:, None, None]).sum(axis=0) - n * grand**2
    within = squares - (sums**2 / counts[:, None, None]).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        f = (between / (len(classes) - 1)) / (within / max(n - len(classes), 1))
    return np.nan_to_num(f, nan=0.0, posinf=0.0)


def _made_by(card: Audit, overview: Mapping[str, Any], panels: list[Any]) -> dict[str, Any]:
    told = {k: list(overview.get(k, [])) for k in ("warnings", "citations")}
    facts = {k: v for k, v in overview.items() if k not in told}
    return {"overview": facts, "audit": card.to_dict(), "panels": panels, **told}
