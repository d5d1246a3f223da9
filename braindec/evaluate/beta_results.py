"""Result of single-trial betas: reliability of each step, what was learned, and pictures of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.evaluate.audit import Audit
from braindec.evaluate.beta_reliability import step_name
from braindec.evaluate.finding import Finding
from braindec.signal.glm.single_trial import STEPS, SingleTrialGLM
from braindec.types import Result, Windows

__all__ = ["betas_result", "findings_of"]

_SAME = 0.25  # share of neighbouring pairs of stimuli that come again, beyond what random orders give


def betas_result(
    glm: SingleTrialGLM, betas: Windows, scores: pd.DataFrame, found: Mapping[str, np.ndarray], *, path: Path,
    notes: Sequence[str] = (),
) -> Result:  # fmt: skip
    """Return the result of a subject: scores of the steps, maps of what was learned, panels.

    Parameters
    ----------
    glm : SingleTrialGLM
        The fitted one, whose ``betas`` were written to ``path``.
    scores, found, notes
        From :func:`braindec.evaluate.beta_reliability.ladder_reliability`.
    """
    channels, info = betas.channels, betas.info
    what = {f"step {name}": step.what for name, step in STEPS.items()}
    if len(scores):  # numbers of voxels and folds stand with the decoded rows
        scores = scores.assign(
            note=[what.get(row, note) for row, note in zip(scores["row"], scores["note"], strict=True)]
        )
    driven = np.nan_to_num(glm.r2_, nan=-1.0) > 0
    arrays: dict[str, np.ndarray] = {
        **found, "glm/time_to_peak": np.where(driven, glm.time_to_peak_, np.nan), "glm/hrf_index": glm.hrf_index_, "glm/r2": glm.r2_,
        "glm/onoff_r2": glm.onoff_r2_, "glm/onoff_beta": glm.onoff_beta_, "glm/pool": glm.pool_, "glm/fraction": glm.fraction_,
        "glm/noise_curve": glm.noise_curve_, "glm/positions": channels[["x", "y", "z"]].to_numpy(dtype=float),
        "glm/responses": glm.responses_.values, "glm/response_times": np.arange(glm.responses_.values.shape[1]) * glm.responses_.step,
    }  # fmt: skip
    panels = [
        *_reliability_panels(scores, step_name(glm)),
        *_map_panels(arrays, driven),
        *_design_panels(betas, arrays),
        *_noise_panels(glm),
    ]
    ladder = {f"step {r.step}: {r.what}": "ran" + (f" ({r.why})" if r.why else "") if r.ran else f"did not run: {r.why}"
              for r in glm.ladder_.itertuples()}  # fmt: skip
    overview = {
        "modality": "fmri", "runs": len(info["condition_numbers"]), "trials": len(betas), "voxels": betas.n_channels,
        "repeated stimuli": glm.n_conditions_, "model": glm.model, **ladder, "betas": path.name,
        "betas of step": info["step"], "hyper-parameters from runs": ", ".join(info["fitted_on_runs"]),
        "learned from test runs too": info["fitted_on_test_runs"], "voxels that predict held-out runs": int(driven.sum()),
        "condition numbers": f"{min(info['condition_numbers'].values()):.3g} to {max(info['condition_numbers'].values()):.3g}",
        "voxels without betas": ", ".join(f"{n} {k}" for k, n in info["nan_voxels"].items() if n) or "none",
        "events left out": "; ".join(info["dropped"]) or "none",
    }  # fmt: skip
    told = list(dict.fromkeys([*info["notes"], *notes]))
    warnings = [t for r in betas.recordings for t in r.info.get("warnings") or [] if t not in told]
    made_by = {"overview": overview, "audit": Audit(tuple(findings_of(betas.trials, info["condition_numbers"], glm))).to_dict(), "panels": panels,
               "notes": told, "warnings": list(dict.fromkeys(warnings))}  # fmt: skip
    return Result(scores, arrays, made_by)


def findings_of(trials: pd.DataFrame, numbers: Mapping[str, float], glm: SingleTrialGLM | None = None) -> list[Finding]:
    """Return what the audit says: rows that hyper-parameters saw, overlap of trials, order of stimuli.

    Parameters
    ----------
    trials : DataFrame
        One row a trial.
    numbers : mapping of str to float
        Condition number of the trials of each run.
    glm : SingleTrialGLM, optional
        The fitted one; without it nothing is said of what was learned.
    """
    steep = max(numbers.values())
    apart = Finding("trial_overlap", "warn" if steep > 30 else "pass",
                    f"condition number of the trials of a run: up to {steep:.3g}", {"condition_numbers": dict(numbers)},
                    "" if steep <= 30 else "prefer ridge (the ladder) or model: lss", "Belsley, Kuh & Welsch 1980")  # fmt: skip
    return [*([] if glm is None else [_scope_finding(glm, len(numbers))]), apart, _order_finding(trials)]


def _scope_finding(glm: SingleTrialGLM, n: int) -> Finding:
    seen = {"runs": glm.runs_}
    if not glm.learned_:
        return Finding("fit_scope", "pass", "nothing was learned over runs: each beta is from its own run alone")
    if glm.n_left_out_:
        said = f"hyper-parameters were learned from {len(glm.runs_)} of {n} runs; the others may be tested on"
        return Finding("fit_scope", "pass", said, seen)
    return Finding(
        "fit_scope", "warn", f"hyper-parameters of these betas were learned from all {n} runs: a decoder tested on any of them is "
        "tested on runs that shaped its training betas (the reliabilities of this report are of left-out runs)", seen,
        fix="name the runs that train it: train_runs: [...]",
    )  # fmt: skip


def _order_finding(trials: pd.DataFrame) -> Finding:
    """Whether stimuli follow one another in the same order in several runs: overlap then looks like reliability."""
    column = "stimulus_id" if "stimulus_id" in trials else "trial_type"
    if column not in trials:
        return Finding("trial_order", "skip", "trials have neither stimulus_id nor trial_type")
    pairs: dict[tuple, set] = {}
    total = 0
    for run, part in trials.groupby([c for c in ("session", "run") if c in trials], sort=False):
        found = set(pairwise(part.sort_values("onset")[column].astype(str)))
        total += len(found)
        for pair in found:
            pairs.setdefault(pair, set()).add(run)
    share = sum(len(runs) for runs in pairs.values() if len(runs) > 1) / max(total, 1)
    n, n_runs = trials[column].nunique(), len(trials.groupby([c for c in ("session", "run") if c in trials]))
    by_chance = 1 - (1 - 1 / n) ** (n_runs - 1)  # when every run shows every stimulus
    if share <= by_chance + _SAME or n < 5:
        return Finding(
            "trial_order",
            "pass",
            f"{share:.0%} of neighbouring pairs of stimuli come in two runs or more",
            {"share": share},
        )
    return Finding(
        "trial_order", "warn", f"{share:.0%} of neighbouring pairs of stimuli come in the same order in two runs or more: responses that "
        "overlap, and shrinkage, then make betas of repetitions alike", {"share": share},
        fix="compare with the step A, and draw a new order for each run in the next study",
    )  # fmt: skip


def _reliability_panels(scores: pd.DataFrame, last: str) -> list[dict[str, Any]]:
    """Distribution of voxels at each step, and the scores of each step with their intervals."""
    if not len(scores):
        return []
    steps = _steps(scores["row"], last)
    panels = [{"draw": "ladder", "title": "Reliability of voxels up the ladder",
               "args": {"values": "@reliability/voxels", "names": "@reliability/steps", "label": "correlation of halves",
                        "n_joined": len({f"step {last}", *scores["row"]} & {f"step {s}" for s in "ABCD"})},
               "caption": "Correlation over stimuli of the betas of odd and even repetitions, in runs that nothing was learned "
               f"from; one value a voxel and fold. {steps}."}]  # fmt: skip
    what = {
        "voxel_reliability": "over stimuli, mean over voxels",
        "pattern_reliability": "over voxels, mean over stimuli",
    }
    for metric, how in what.items():
        part = scores[scores["metric"] == metric]
        plain = {"decoded": f"step {last}", "label_shuffle": "stimuli exchanged"}
        part = part.assign(name=[plain.get(row, row) for row in part["row"]])
        part = part.sort_values("name", key=lambda n: n.where(n != "stimuli exchanged", "~"))
        shown = [f"decoded: {n}" if r == "decoded" else n for n, r in zip(part["name"], part["row"], strict=True)]
        columns = {k: part[k].astype(float).tolist() for k in ("low", "high", "p", "n")}
        panels.append({
            "draw": "score_bars", "title": metric.replace("_", " ").capitalize() + " of betas",
            "args": {"rows": shown, "values": part["value"].astype(float).tolist(), **columns, "chance": 0.0,
                     "metric": "correlation of halves"},
            "caption": f"Correlation {how}, in runs that nothing was learned from. {steps}.",
        })  # fmt: skip
    return panels


def _steps(rows: pd.Series, last: str) -> str:
    names = {f"step {last}", *rows}
    return "; ".join(f"{s}: {step.what}" for s, step in STEPS.items() if f"step {s}" in names)


def _map_panels(arrays: Mapping[str, np.ndarray], driven: np.ndarray) -> list[dict[str, Any]]:
    if not driven.any() or not np.isfinite(arrays["glm/positions"]).all():
        return []
    panels = [{"draw": "voxel_map", "title": "Variance of held-out runs that the model explains",
               "args": {"values": "@glm/r2", "positions": "@glm/positions", "label": "R²", "unit": ""},
               "caption": "Cross-validated over training runs, with the response chosen for each voxel; grey: no betas."}]  # fmt: skip
    if len(arrays["glm/responses"]) > 1:
        panels.insert(0, {"draw": "voxel_map", "title": "Time to peak of the chosen response",
                          "args": {"values": "@glm/time_to_peak", "positions": "@glm/positions", "background": "@glm/positions",
                                   "label": "time to peak", "unit": "s"},
                          "caption": "Of each voxel whose held-out runs are predicted (R² above 0), the response of the library that fits best; grey: other voxels."})  # fmt: skip
    return panels


def _design_panels(betas: Windows, arrays: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    trials = betas.trials
    arrays["design/onset"] = trials["onset"].to_numpy(dtype=float)
    runs = trials[[c for c in ("session", "run") if c in trials]].astype(str).agg(" ".join, axis=1)
    arrays["design/run"] = runs.to_numpy(dtype=object)
    label = trials["trial_type"] if "trial_type" in trials else pd.Series("trial", index=trials.index)
    arrays["design/label"] = label.astype(str).to_numpy(dtype=object)
    return [
        {"draw": "event_raster", "title": "Trials of each run",
         "args": {"onset": "@design/onset", "label": "@design/label", "run": "@design/run"}, "caption": "Each tick is a trial, for which one beta a voxel was estimated."},
        {"draw": "timecourse", "title": "Responses to choose from",
         "args": {"times": "@glm/response_times", "values": "@glm/responses", "ylabel": "response (peak 1)"},
         "caption": "The library of response functions to a brief event, one of which is chosen for each voxel." if len(arrays["glm/responses"]) > 1
         else "The response to a brief event that all voxels share."},
    ]  # fmt: skip


def _noise_panels(glm: SingleTrialGLM) -> list[dict[str, Any]]:
    curve = glm.noise_curve_
    if len(curve) < 2 or not np.isfinite(curve).all():
        return []
    rows = [f"{k} (taken)" if k == glm.n_noise_ else str(k) for k in range(len(curve))]
    return [{"draw": "score_bars", "title": "How many noise regressors",
             "args": {"rows": rows, "values": (curve - curve[0]).tolist(), "chance": 0.0,
                      "metric": "gain in median R² of held-out runs", "zero": "no regressor"},
             "caption": f"Median over voxels that any number predicts; {glm.n_noise_} were taken (the smallest number within 5 % "
             f"of the best gain), from a pool of {int(glm.pool_.sum())} voxels."}]  # fmt: skip
