"""Going up the ladder: responses, noise regressors, responses once more without the noise, ridge fractions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.signal.glm import _hyper
from braindec.signal.glm._betas import told_apart
from braindec.signal.glm._runs import Run, batches
from braindec.signal.glm.crossval import Conditions, repeated_conditions
from braindec.signal.glm.denoise import choose_number, noise_pool
from braindec.signal.glm.estimators import Spectrum
from braindec.signal.glm.hrf_library import Responses

__all__ = ["STEPS", "Learned", "Step", "Wanted", "learn"]


_NUMBERS = 16_000_000  # betas of all fractions that are held at once


@dataclass(frozen=True)
class Step:
    """What a step uses: which responses ("default", "first", "chosen"), noise regressors or none, which estimator."""

    responses: str
    noise: bool
    estimator: str
    what: str


STEPS = {
    "A": Step("default", False, "lsa", "default response, all trials at once"),
    "B": Step("first", False, "lsa", "a response for each voxel"),
    "C": Step("chosen", True, "lsa", "noise regressors"),
    "D": Step("chosen", True, "ridge", "fractional ridge"),
    "LSS": Step("default", False, "lss", "default response, each trial against the others"),
}


@dataclass(frozen=True)
class Wanted:
    """What is to be learned, and how.

    Parameters
    ----------
    noise : int or "cv"
    ridge : bool
    fractions : array
    max_noise, pool_r2, pool_intensity
        As in :class:`braindec.signal.glm.single_trial.SingleTrialGLM`.
    percent : bool
    batch : int
    on_collinear : str
    """

    noise: int | str
    ridge: bool
    fractions: np.ndarray
    max_noise: int
    pool_r2: float
    pool_intensity: float
    percent: bool
    batch: int
    on_collinear: str


@dataclass
class Learned:
    """What was learned from training runs; arrays of shape (n_voxels,) unless said otherwise."""

    hrf_index: np.ndarray
    first_index: np.ndarray
    time_to_peak: np.ndarray
    r2: np.ndarray
    onoff_r2: np.ndarray
    onoff_beta: np.ndarray
    pool: np.ndarray
    fraction: np.ndarray
    n_noise: int = 0
    noise_curve: np.ndarray = field(default_factory=lambda: np.full(1, np.nan))
    n_conditions: int = 0
    ladder: pd.DataFrame = field(default_factory=pd.DataFrame)
    notes: list[str] = field(default_factory=list)


def learn(train: Sequence[Run], responses: Responses, labels: Sequence[np.ndarray], wanted: Wanted) -> Learned:
    """Learn from training runs; ``labels`` are the conditions of the trials of each run.

    Raises
    ------
    BraindecError
        If percent signal change makes no sense for these data, or trials cannot be told apart.
    """
    conditions, why_not = Conditions(labels), repeated_conditions(labels)
    first = _hyper.choose_responses(train, responses, conditions, percent=wanted.percent, batch=wanted.batch)
    if wanted.percent and first.unusable.mean() > 0.5:
        _refuse_percent(train, wanted.batch)
    n = len(first.index)
    found = Learned(first.index, first.index, responses.times_to_peak[first.index], first.r2, first.onoff_r2, first.onoff,
                    np.zeros(n, dtype=bool), np.ones(n), n_conditions=conditions.n_conditions)  # fmt: skip
    many = len(responses) > 1
    one_run = "there is only one training run"
    why = "" if many and len(train) > 1 else (one_run if many else "one response was asked for")
    if not why and why_not:
        found.notes.append(f"responses were chosen by the common response to all trials alone: {why_not}")
    rungs = [("A", True, ""), ("B", not why, why)]
    clean: Sequence[Run] = train
    ran, why = (
        (False, one_run)
        if len(train) < 2 and wanted.noise
        else _noise(train, responses, conditions, why_not, first, wanted, found)
    )
    rungs.append(("C", ran, why))
    if found.n_noise:
        clean = [r.without(_components(r, found, wanted)) for r in train]
        if many:
            again = _hyper.choose_responses(clean, responses, conditions, percent=wanted.percent, batch=wanted.batch)
            found.hrf_index, found.time_to_peak = again.index, responses.times_to_peak[again.index]
            found.r2 = again.r2
    rungs.append(("D", *_fractions(clean, responses, conditions, why_not, ~first.unusable, wanted, found)))
    found.ladder = pd.DataFrame(
        [(s, STEPS[s].what, ran, w) for s, ran, w in rungs], columns=["step", "what", "ran", "why"]
    )
    asked = {"A": True, "B": many, "C": wanted.noise != 0, "D": wanted.ridge}
    found.notes += [f"step {s} ({STEPS[s].what}) did not run: {w}" for s, ran, w in rungs if not ran and asked[s]]
    return found


def _noise(
    train: Sequence[Run], responses: Responses, conditions: Conditions, why_not: str | None, first: _hyper.Chosen,
    wanted: Wanted, found: Learned,
) -> tuple[bool, str]:  # fmt: skip
    """Fill in pool, number and curve; return whether the step ran, and why (not)."""
    if wanted.noise == 0:
        return False, "none were asked for"
    if wanted.noise == "cv" and why_not:
        return False, f"the number of noise regressors is chosen by repeated conditions, and {why_not}"
    usable = ~first.unusable
    pool = noise_pool(np.where(usable, first.onoff_r2, np.nan), first.intensity, threshold=wanted.pool_r2,
                      bright=wanted.pool_intensity)  # fmt: skip
    most = wanted.max_noise if wanted.noise == "cv" else int(wanted.noise)
    if pool.sum() <= most:
        return False, f"the noise pool has only {int(pool.sum())} voxels"
    found.pool = pool
    if wanted.noise != "cv":
        found.n_noise = most
        return True, f"{most} asked for, from {int(pool.sum())} voxels"
    parts = [_hyper.components_of(run, pool, most, percent=wanted.percent, batch=wanted.batch) for run in train]
    scores = _hyper.score_numbers(
        train, responses, first.index, conditions, parts, usable & ~pool, percent=wanted.percent, batch=wanted.batch
    )
    found.n_noise, found.noise_curve = choose_number(scores)
    if not np.isfinite(found.noise_curve).any():
        return True, "0: no voxel predicts held-out runs"
    return True, f"{found.n_noise} of up to {len(scores) - 1}, from {int(pool.sum())} voxels"


def _components(run: Run, found: Learned, wanted: Wanted) -> np.ndarray:
    return _hyper.components_of(run, found.pool, found.n_noise, percent=wanted.percent, batch=wanted.batch)


def _fractions(
    clean: Sequence[Run], responses: Responses, conditions: Conditions, why_not: str | None, usable: np.ndarray, wanted: Wanted,
    found: Learned,
) -> tuple[bool, str]:  # fmt: skip
    """Fill in the fractions; return whether the step ran, and why (not)."""
    if not wanted.ridge:
        return False, "not asked for"
    if why_not:
        return False, f"fractions are chosen by repeated conditions, and {why_not}"

    @cache
    def spectra(k: int, h: int) -> Spectrum:
        return told_apart(clean[k], responses, h, wanted.on_collinear)

    tried = wanted.fractions
    numbers = len(tried) * (sum(len(run.trials) for run in clean) + conditions.n_conditions)  # a voxel
    batch = int(np.clip(_NUMBERS // numbers, 1, wanted.batch))
    found.fraction = _hyper.choose_fractions(
        clean, found.hrf_index, conditions, spectra, tried, usable, percent=wanted.percent, batch=batch
    )
    driven = usable & (np.nan_to_num(found.r2, nan=-1.0) > 0)
    if not driven.any():
        return True, "no voxel predicts held-out runs"
    low = float(np.mean(found.fraction[driven] == tried[0]))
    if low > 0.5 and len(tried) > 1:
        found.notes.append(
            f"the smallest fraction tried ({tried[0]:g}) is best in {low:.0%} of the voxels that predict held-out runs"
        )
    return True, (
        f"median {np.median(found.fraction[driven]):.2f} of the length of least squares in the {int(driven.sum())} "
        "voxels that predict held-out runs"
    )


def _refuse_percent(train: Sequence[Run], batch: int) -> None:
    n = train[0].recording.n_channels
    without = np.zeros(n, dtype=bool)
    for voxels in batches(n, batch):
        without[voxels] = np.logical_or.reduce([run.read(voxels, percent=True).bad["no baseline"] for run in train])
    if without.mean() > 0.5:
        raise BraindecError(
            "percent signal change needs a mean that is larger than the fluctuations",
            found=f"{int(without.sum())} of {n} voxels have none: were the data detrended or z-scored?",
            fix="scale='none', or signal steps without detrend and zscore",
        )
