"""Reliability of single-trial betas: do repetitions of one stimulus give the same betas, in runs that nothing was learned from?

Repetitions of each stimulus are split into two halves and averaged. Voxel reliability is the correlation of the halves over
stimuli, averaged over voxels; pattern reliability is the correlation over voxels, after the mean pattern of each half is
taken out, averaged over stimuli. Both are 0 when betas carry nothing of the stimulus. The test exchanges the stimuli of
one half; the interval resamples stimuli.

Voxels are those whose training runs predict one another (cross-validated R2 above a threshold), so neither the voxels nor
what the model learned come from the runs that are scored.

Source: Prince et al. 2022 (eLife 11:e77599), test-retest reliability of betas; Allen et al. 2022 (Nature Neuroscience 25).
Differs from the reference in: what the model learns comes from other runs than those whose reliability is measured. Note that
ridge and LSS make betas of neighbouring trials alike: if the order of stimuli is the same in several runs, that alone makes
betas reliable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.signal.glm.single_trial import SingleTrialGLM
from braindec.stats.bootstrap import bootstrap_interval
from braindec.stats.permutation import permutation_p
from braindec.types import Recording, Windows

__all__ = ["Halves", "fold_runs", "halves_of", "ladder_reliability", "reliability", "step_name"]

_FEW = 10  # voxels below which all usable ones are taken


@dataclass(frozen=True)
class Halves:
    """Mean betas of the two halves of the repetitions.

    Parameters
    ----------
    first, second : array of shape (n_stimuli, n_voxels)
    stimuli : array of str, shape (n_stimuli,)
    """

    first: np.ndarray
    second: np.ndarray
    stimuli: np.ndarray


def halves_of(betas: np.ndarray, stimuli: Sequence[Any]) -> Halves | None:
    """Average the 1st, 3rd, ... and the 2nd, 4th, ... repetition of each stimulus; None for fewer than 3 repeated stimuli.

    Parameters
    ----------
    betas : array of shape (n_trials, n_voxels)
    stimuli : sequence of shape (n_trials,)
        n/a is left out.
    """
    labels = pd.Series([None if pd.isna(s) else str(s) for s in stimuli], dtype=object)
    turn = labels.groupby(labels).cumcount()
    counts = labels.map(labels.value_counts())
    names = np.array(sorted(labels[counts >= 2].unique()), dtype=object)
    if len(names) < 3:
        return None
    sides = []
    for half in (0, 1):
        shown = (labels.to_numpy()[:, None] == names[None, :]) & (turn % 2 == half).to_numpy()[:, None]
        weight = shown / shown.sum(axis=0)
        sides.append(weight.T @ betas)
    return Halves(sides[0], sides[1], names)


def reliability(
    folds: Sequence[Halves], *, n_permutations: int = 1000, n_bootstrap: int = 2000, rng: np.random.Generator
) -> dict[str, dict[str, Any]]:
    """Return voxel and pattern reliability over folds that each have stimuli of their own.

    Parameters
    ----------
    folds : sequence of Halves
        Voxels without a value left out.

    Returns
    -------
    dict
        "voxel_reliability" and "pattern_reliability": value, low, high, p, n (stimuli), null (n_permutations,).
    """
    found = {}
    for metric, axis in (("voxel_reliability", 0), ("pattern_reliability", 1)):
        tables = [_agreement(h, axis) for h in folds]  # (stimulus of one half, stimulus of the other)
        parts = np.concatenate([np.diag(t) for t in tables])
        null = np.zeros(n_permutations)
        for draw in range(n_permutations):
            null[draw] = sum(t[np.arange(len(t)), rng.permutation(len(t))].sum() for t in tables) / len(parts)
        value = float(parts.mean())
        low, high = bootstrap_interval(parts, n=n_bootstrap, rng=rng)
        p = permutation_p(value, null) if n_permutations else np.nan
        found[metric] = {"value": value, "low": low, "high": high, "p": p, "n": len(parts), "null": null}
    return found


def _agreement(halves: Halves, axis: int) -> np.ndarray:
    """Contribution of each pair (stimulus in the first half, stimulus in the second half), shape (n_stimuli, n_stimuli).

    Its diagonal averages to the reliability. ``axis`` 0: voxels are standardised over stimuli; 1: patterns, without the
    mean pattern of their half, over voxels.
    """
    first, second = _standardised(halves, axis)
    return first @ second.T / first.shape[1]


def _voxels(halves: Halves) -> np.ndarray:
    """Correlation of the halves over stimuli, shape (n_voxels,)."""
    first, second = _standardised(halves, 0)
    return (first * second).mean(axis=0)


def _standardised(halves: Halves, axis: int) -> tuple[np.ndarray, np.ndarray]:
    sides = []
    for side in (halves.first, halves.second):
        side = side - side.mean(axis=0)
        if axis == 1:
            side = side - side.mean(axis=1, keepdims=True)
        size = np.sqrt((side**2).mean(axis=axis, keepdims=True))
        sides.append(side / np.where(size > 0, size, np.inf))
    return sides[0], sides[1]


def fold_runs(recordings: Sequence[Recording], n_folds: int) -> list[list[str]]:
    """Return the labels of the runs of each fold: neighbours in time together.

    Raises
    ------
    BraindecError
        If labels are not unique, or fewer than two runs are left in or out.
    """
    labels = [r.label for r in recordings]
    if len(set(labels)) < len(labels):
        raise BraindecError(
            "runs need names of their own", found=", ".join(labels[:6]), fix="set info['run'] (and session)"
        )
    folds = [list(part) for part in np.array_split(np.array(labels, dtype=object), n_folds)]
    if min(len(f) for f in folds) < 2 or len(labels) - max(len(f) for f in folds) < 2:
        raise BraindecError(
            f"{n_folds} folds of {len(labels)} runs: each needs two runs to score (repetitions) and two to learn from",
            fix="fewer folds (statistics.n_folds), or more runs",
        )
    return folds


def ladder_reliability(
    glm: SingleTrialGLM,
    recordings: Sequence[Recording],
    folds: Sequence[Sequence[str]],
    *,
    confounds: Sequence[np.ndarray | None] | None = None,
    threshold: float = 0.05,
    n_permutations: int = 1000,
    n_bootstrap: int = 2000,
    rng: np.random.Generator,
) -> tuple[pd.DataFrame, dict[str, np.ndarray], list[str]]:
    """Score each step that ran, on runs left out of everything that is learned.

    Parameters
    ----------
    glm : SingleTrialGLM
        Settings; clones are fitted.
    recordings : sequence of Recording
    folds : sequence of list of str
        Labels of the runs that are left out and scored together.
    threshold : float
        Voxels count whose R2 among the training runs is above it (0 lets many voxels of pure noise in, since R2 is the
        best of all responses); all usable ones where fewer than 10 are.

    Returns
    -------
    scores : DataFrame
        metric, row ("decoded" for the step that the model takes, "step A", ... for the others, "label_shuffle"), value,
        chance 0, low, high, p, n, note.
    arrays : dict of str to array
        ``null/<metric>`` of the last step; ``reliability/steps`` (n_steps,) and ``reliability/voxels`` (n_steps, n_voxels of
        all folds), the correlation of halves of each voxel.
    notes : list of str
    """
    from sklearn.base import clone

    halves: dict[str, list[Halves]] = {}
    notes: list[str] = []
    last = ""
    for number, fold in enumerate(folds):
        model = clone(glm).fit(
            recordings, runs=[r.label for r in recordings if r.label not in set(fold)], confounds=confounds
        )
        places = [k for k, r in enumerate(recordings) if r.label in set(fold)]
        own = None if confounds is None else [confounds[k] for k in places]
        last = step_name(model)
        steps = {**{s: s for s in model.ladder_.loc[model.ladder_["ran"], "step"]}, "LSS": "LSS", last: None}
        notes += [f"fold {number + 1}: {text}" for text in model.notes_ if text.startswith("step ")]
        for name, step in steps.items():
            found = _halves(model, model.betas([recordings[k] for k in places], step=step, confounds=own), threshold)
            if found is not None:
                halves.setdefault(name, []).append(found)
    whole = {name: parts for name, parts in halves.items() if len(parts) == len(halves.get("A", []))}
    if not whole:
        said = "reliability cannot be measured: no fold of left-out runs shows three stimuli twice or more"
        return pd.DataFrame(), {}, [*notes, said]
    return (*_table(whole, last, n_permutations, n_bootstrap, rng), notes)


def step_name(model: SingleTrialGLM) -> str:
    """The step that the model itself takes; LSS with what was learned is none of the ladder."""
    if model.model == "lss":
        return "LSS, learned" if model.learned_ else "LSS"
    return model.step_


def _halves(model: SingleTrialGLM, betas: Windows, threshold: float) -> Halves | None:
    values = betas.load(check=False)[:, :, 0]
    finite = np.isfinite(values).all(axis=0)
    driven = finite & (np.nan_to_num(model.r2_, nan=-1.0) > threshold)
    column = model.condition or ("stimulus_id" if "stimulus_id" in betas.trials else model.column)
    return halves_of(values[:, driven if driven.sum() >= _FEW else finite], betas.trials[column].tolist())


def _table(
    halves: Mapping[str, list[Halves]], last: str, n_permutations: int, n_bootstrap: int, rng: np.random.Generator
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    last = last if last in halves else next(reversed(halves))
    steps = sorted(halves)
    arrays = {"reliability/steps": np.array(steps, dtype=object),
              "reliability/voxels": np.stack([np.concatenate([_voxels(h) for h in halves[s]]) for s in steps])}  # fmt: skip
    rows = []
    for step in [last, *(s for s in halves if s != last)]:
        found = reliability(halves[step], n_permutations=n_permutations, n_bootstrap=n_bootstrap, rng=rng)
        n_voxels = sorted({h.first.shape[1] for h in halves[step]})
        for metric, one in found.items():
            null = one.pop("null")
            row = "decoded" if step == last else f"step {step}"
            rows.append({"metric": metric, "row": row, "chance": 0.0, **one,
                         "note": f"step {step}, {len(halves[step])} folds, {' and '.join(map(str, n_voxels))} voxels"})  # fmt: skip
            if step == last and n_permutations:
                arrays[f"null/{metric}"] = null
                low, high = np.percentile(null, [2.5, 97.5])
                rows.append({"metric": metric, "row": "label_shuffle", "chance": 0.0, "value": null.mean(), "low": low,
                             "high": high, "p": np.nan, "n": one["n"], "note": "stimuli of one half exchanged"})  # fmt: skip
    return pd.DataFrame(rows).assign(version="1"), arrays
