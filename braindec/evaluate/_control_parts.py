"""From a control report to what a recipe's result holds: scores, arrays of examples, panels, findings, sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from braindec.evaluate._control_pairs import as_unit
from braindec.evaluate.finding import Finding

if TYPE_CHECKING:
    from braindec.evaluate.control_report import ControlReport

_LARGEST = 96  # pixels: larger examples are made smaller
_FINE = ("pixcorr", "ssim", "frame_ssim")  # metrics that order single items well
_METRICS = {"pixcorr": "PixCorr", "ssim": "SSIM", "frame_ssim": "SSIM of frames"}
_NAMES = {
    "stimulus": "stimulus", "shuffled_brain": "shuffled brain", "noise_brain": "noise brain", "mean_brain": "mean brain",
    "prior_only": "prior only", "nearest_training": "nearest training", "category_oracle": "same category",
    "true_features": "true features", "mean_picture": "mean picture",
}  # fmt: skip

__all__ = ["ReportParts", "examples", "report_parts"]


class ReportParts(NamedTuple):
    """What goes into a :class:`braindec.types.Result`."""

    scores: pd.DataFrame
    arrays: dict[str, np.ndarray]
    panels: list[dict[str, Any]]
    findings: list[Finding]
    sentences: list[str]


def report_parts(
    report: ControlReport,
    made: Mapping[str, Any],
    true: Any,
    *,
    by: str | None = None,
    rows: Sequence[str] | None = None,
    n_frames: int = 4,
    prefix: str = "control",
    title: str = "Shown, decoded and controls",
) -> ReportParts:
    """Return the scores, arrays, panels, findings and sentences of a control report.

    Parameters
    ----------
    report : ControlReport
    made : mapping of row to array (n_seeds, n, ...)
        What was scored; the first seed is shown.
    true : array (n, ...)
    by : str, optional
        Metric whose decoded score orders the examples; PixCorr or SSIM where they were scored.
    rows : sequence of str, optional
        Rows to show; all by default.
    n_frames : int
        Frames of a film that are shown.
    prefix : str
        Names of arrays begin with it.
    title : str
        Of the panel of pictures.

    Returns
    -------
    ReportParts
        ``panels`` draw ``picture_grid`` (not for captions) and ``control_bars``; texts of examples are the array
        ``<prefix>/texts``.
    """
    shown = [r for r in (rows or made) if r in made]
    text = np.asarray(true[:1]).dtype.kind in "OUS" or isinstance(true[0], (str, list))
    by = by or next((m for m in _FINE if m in report.values), next(iter(report.values)))
    scores = report.values[by]["decoded"][0]
    places, labels = examples(scores if report.better[by] else -scores, few=not text and np.ndim(true) == 5)
    arrays: dict[str, np.ndarray] = {f"{prefix}/examples": report.ids[places].astype(object)}
    panels: list[dict[str, Any]] = []
    names = [_NAMES.get(r, r.replace("_", " ")) for r in ["stimulus", *shown]]
    if text:
        columns = [[_flat(true[i]) for i in places], *([_flat(made[r][0][i]) for i in places] for r in shown)]
        arrays[f"{prefix}/texts"] = np.array(columns, dtype=object)
    else:
        stack = [_small(as_unit(np.asarray(v[places])), n_frames) for v in (true, *(made[r][0] for r in shown))]
        arrays[f"{prefix}/pictures"] = np.round(255 * np.stack(stack)).astype(np.uint8)
        panels.append({
            "draw": "picture_grid", "title": title,
            "args": {"pictures": f"@{prefix}/pictures", "names": names, "labels": labels, "scores": [float(s) for s in scores[places]],
                     "metric": by},
            "caption": f"Best, middle and worst by the {_METRICS.get(by, by.replace('_', ' '))} of what was decoded, first seed, and items in between: "
                       "nothing is chosen by looks. Controls start from the same noise as what was decoded.",
        })  # fmt: skip
    panels.append(_bars(report, arrays, prefix))
    return ReportParts(report.scores, arrays, panels, list(report.findings), list(report.sentences))


def examples(scores: np.ndarray, *, few: bool = False) -> tuple[np.ndarray, list[str]]:
    """Return items by score, best first, and what to call them: best, median, worst, and (unless ``few``) others between.

    Parameters
    ----------
    scores : array of shape (n,)
        More is better; what is not finite is left out.
    few : bool
        Best, median and worst only.
    """
    scores = np.asarray(scores, dtype=float)
    order = np.argsort(-np.where(np.isfinite(scores), scores, -np.inf), kind="stable")[: int(np.isfinite(scores).sum())]
    n = len(order)
    wanted = {0: "best", n // 2: "median", n - 1: "worst"}
    if not few and n < 12:
        wanted = {**{k: f"{k + 1} of {n}" for k in range(n)}, **wanted}
    elif not few:
        wanted |= {1: "2nd best", n // 4: "upper quarter", n // 2 + 1: "next to median", (3 * n) // 4: "lower quarter", n - 2: "2nd worst"}  # fmt: skip
    kept = sorted(k for k in wanted if 0 <= k < n)
    return order[kept], [wanted[k] for k in kept]


def _bars(report: ControlReport, arrays: dict[str, np.ndarray], prefix: str) -> dict[str, Any]:
    table = report.scores[~report.scores["metric"].str.endswith("_difference")]
    metrics, rows = list(dict.fromkeys(table["metric"])), list(dict.fromkeys(table["row"]))
    for column in ("value", "low", "high", "chance"):
        grid = table.pivot(index="row", columns="metric", values=column).reindex(index=rows, columns=metrics)
        arrays[f"{prefix}/{column}"] = grid.to_numpy(dtype=float)
    args = {
        c: f"@{prefix}/{n}" for c, n in (("values", "value"), ("low", "low"), ("high", "high"), ("chance", "chance"))
    }
    return {
        "draw": "control_bars", "title": "Decoded against every control",
        "args": {"rows": rows, "metrics": metrics, "better": [bool(report.better[m]) for m in metrics], **args},
        "caption": "Mean over items and seeds with 95 % intervals over stimuli. Shaded: rows that know nothing of the item; the generator's prior "
                   "alone scores as much. Below: simpler decoders and limits. Ticks: chance (what was made, scored for other stimuli).",
    }  # fmt: skip


def _small(pictures: np.ndarray, n_frames: int) -> np.ndarray:
    if pictures.ndim == 5 and pictures.shape[1] > n_frames:
        pictures = pictures[:, np.linspace(0, pictures.shape[1] - 1, n_frames).round().astype(int)]
    step = max(1, -(-max(pictures.shape[-3:-1]) // _LARGEST))
    if step == 1:
        return pictures
    height, width = (s // step * step for s in pictures.shape[-3:-1])
    cut = pictures[..., :height, :width, :]
    return cut.reshape(*cut.shape[:-3], height // step, step, width // step, step, cut.shape[-1]).mean(axis=(-4, -2))


def _flat(text: Any) -> str:
    return text if isinstance(text, str) else str(text[0])
