"""SingleTrialGLM: one beta a trial and voxel, with everything that is learned taken from named training runs only.

Models: least squares of all trials at once ("lsa"), each trial against the others ("lss"), fractional ridge ("ridge"), and
the "ladder" of four steps: A the canonical response, B a response for each voxel from a library, C noise regressors,
D fractional ridge. A step that cannot run (no condition is repeated, one training run) is left out, and said: in
``ladder_``, ``notes_``, the warnings of the betas, and a Python warning.

Betas are estimated run by run, each from the data of its own run; what is learned over runs (response, noise pool, number of
noise regressors, fraction) comes from the training runs that ``fit`` names. So no number of a test run enters a training
beta, and no number of a training beta changes with the data of a test run.

Source: Mumford et al. 2012 (NeuroImage 59); Kay et al. 2013 (Frontiers in Neuroscience 7:247); Rokem & Kay 2020 (GigaScience
9:giaa133); Prince et al. 2022 (eLife 11:e77599), steps b1 to b4; Allen et al. 2022 (Nature Neuroscience 25).
Differs from the reference in: runs are estimated one by one, not as one long design; responses are chosen by variance
explained in held-out runs, not in the same data; shrunk betas are not rescaled.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from tqdm import tqdm

from braindec.errors import BraindecError, did_you_mean
from braindec.signal._trials import as_recordings
from braindec.signal.glm import _hyper
from braindec.signal.glm._betas import as_windows, count_bad, trial_ids
from braindec.signal.glm._runs import Run, batches, chosen_runs, make_runs
from braindec.signal.glm.crossval import Conditions, repeated_conditions
from braindec.signal.glm.denoise import choose_number, noise_pool
from braindec.signal.glm.estimators import Spectrum, lsa_matrix, lss_matrix, spectrum_of
from braindec.signal.glm.fractional_ridge import FRACTIONS, check_fractions, fractional_betas
from braindec.signal.glm.hrf_library import STEP, responses_of
from braindec.types import FitRecord, Recording, Windows

__all__ = ["SingleTrialGLM", "STEPS"]

_MODELS = ("lsa", "lss", "ridge", "ladder")
_BYTES = 64_000_000  # of data of all runs in one batch of voxels
_COLLINEAR = 30.0  # condition number above which betas of neighbours are said to be hard to tell apart


@dataclass(frozen=True)
class Step:
    """What a step uses: the chosen responses (or the default one), noise regressors (or none), and which estimator."""

    chosen: bool
    noise: bool
    estimator: str
    what: str


STEPS = {
    "A": Step(False, False, "lsa", "default response, all trials at once"),
    "B": Step(True, False, "lsa", "a response for each voxel"),
    "C": Step(True, True, "lsa", "noise regressors"),
    "D": Step(True, True, "ridge", "fractional ridge"),
    "LSS": Step(False, False, "lss", "default response, each trial against the others"),
}
_LAST = {"lsa": "C", "lss": "lss", "ridge": "D", "ladder": "D"}
_OWN = {**STEPS, "lss": Step(True, True, "lss", "each trial against the others")}


class SingleTrialGLM(BaseEstimator):
    """Single-trial betas of fMRI.

    Parameters
    ----------
    model : {"lsa", "lss", "ridge", "ladder"}
        See the module.
    hrf : "canonical", "library", or array of shape (n_hrfs, n_samples), optional
        More than one response: each voxel gets its own. "canonical" by default, "library" for the ladder. An array holds
        responses to an impulse every ``hrf_step`` s; its first is the default.
    noise_regressors : "cv" or int, optional
        How many components of the noise pool. 0 by default, "cv" for the ladder.
    fractions : sequence of float
        Fractions of ridge that are tried (model "ridge" and "ladder").
    column, select : str, and list of str, optional
        Which events are trials: those with a label in ``column``, or with one of these labels.
    condition : str, optional
        The event column by which trials are repetitions of one another; "stimulus_id" where it is, else ``column``.
    drift : "polynomial", "cosine" or int
        See :func:`braindec.signal.glm.design.drift_columns`; ``high_pass`` in Hz is for cosines.
    slice_time_ref : float
        When in its TR a volume counts as taken, 0 to 1 (0.5 for data corrected to the middle slice).
    scale : {"percent", "none"}
        Percent of the mean of the voxel in the run, or as the data are.
    max_noise_regressors : int
        Of "cv".
    pool_r2, pool_intensity : float
        Voxels of the noise pool: cross-validated R2 of ON-OFF below, mean intensity above this share of the 99th percentile.
    on_collinear : {"raise", "min_norm"}
        What happens when trials of a run cannot be told apart: an error, or the shortest solution with a note.
    batch_voxels : int, optional
        Voxels in memory at once; by default as many as take about 64 MB.

    Attributes
    ----------
    hrf_index_, time_to_peak_ : array of shape (n_voxels,)
        Chosen response and its time to peak (s).
    r2_, onoff_r2_, onoff_beta_ : array of shape (n_voxels,)
        Cross-validated R2 with the chosen response and of ON-OFF (type A), and the weight of ON-OFF.
    pool_ : array of bool, shape (n_voxels,)
    n_noise_ : int
    noise_curve_ : array of shape (n_numbers,)
        Median cross-validated R2 with 0, 1, ... noise regressors.
    fraction_ : array of shape (n_voxels,)
    ladder_ : DataFrame
        step, what, ran, why.
    notes_ : list of str
    runs_ : list of str
        Labels of the training runs.
    fitted_on_ : FitRecord
        Ids of the training trials.
    """

    def __init__(
        self,
        *,
        model: str = "lsa",
        hrf: Any = None,
        noise_regressors: int | str | None = None,
        fractions: Sequence[float] = FRACTIONS,
        column: str = "trial_type",
        select: list[str] | None = None,
        condition: str | None = None,
        drift: int | str = "polynomial",
        high_pass: float = 1 / 128,
        slice_time_ref: float = 0.0,
        scale: str = "percent",
        max_noise_regressors: int = 10,
        pool_r2: float = 0.0,
        pool_intensity: float = 0.1,
        on_collinear: str = "raise",
        batch_voxels: int | None = None,
        hrf_step: float = STEP,
    ) -> None:
        self.model, self.hrf, self.noise_regressors, self.fractions = model, hrf, noise_regressors, fractions
        self.column, self.select, self.condition = column, select, condition
        self.drift, self.high_pass, self.slice_time_ref, self.scale = drift, high_pass, slice_time_ref, scale
        self.max_noise_regressors, self.pool_r2, self.pool_intensity = max_noise_regressors, pool_r2, pool_intensity
        self.on_collinear, self.batch_voxels, self.hrf_step = on_collinear, batch_voxels, hrf_step

    def check(self) -> None:
        """Refuse settings that make no sense.

        Raises
        ------
        BraindecError
        """
        for name, known in (
            ("model", _MODELS),
            ("scale", ("percent", "none")),
            ("on_collinear", ("raise", "min_norm")),
        ):
            value = getattr(self, name)
            if value not in known:
                raise BraindecError(
                    f"{name}={value!r} is unknown{did_you_mean(str(value), known)}", allowed=", ".join(known)
                )
        number = self.noise_regressors
        if number not in (None, "cv") and (isinstance(number, (str, bool)) or int(number) != number or number < 0):
            raise BraindecError(f"noise_regressors={number!r} makes no sense", allowed='"cv", or a number of 0 or more')
        if not 0 <= self.slice_time_ref <= 1:
            raise BraindecError(f"slice_time_ref={self.slice_time_ref!r} is a share of the TR", allowed="0 to 1")
        if (self.batch_voxels is not None and self.batch_voxels < 1) or self.max_noise_regressors < 0:
            raise BraindecError("batch_voxels must be at least 1, max_noise_regressors at least 0")
        check_fractions(self.fractions)
        self._responses()

    def fit(
        self,
        recordings: Recording | Sequence[Recording],
        *,
        runs: Sequence[Any] | None = None,
        confounds: Sequence[np.ndarray | None] | None = None,
    ) -> SingleTrialGLM:
        """Learn responses, noise pool, number of noise regressors and fractions from the training runs.

        Parameters
        ----------
        recordings : sequence of Recording
            Runs of one subject, one TR, the same voxels. Slow files are read several times: prepare them with a cache.
        runs : sequence, optional
            Training runs: labels of runs, (session, run) pairs, or labels of recordings. The others are not read. All of
            them by default; the betas then say ``fitted_on_test_runs``.
        confounds : sequence of array of shape (n_times, n_confounds), optional
            Taken out of each run, one table a run (or None).

        Raises
        ------
        BraindecError
            If runs do not fit together, or events are missing.
        """
        self.check()
        recordings = as_recordings(recordings)
        self.responses_ = self._responses()
        everything = self._runs(recordings, confounds)
        places = chosen_runs(everything, runs)
        train = [everything[k] for k in places]
        names = trial_ids(everything)
        self.runs_ = [run.label for run in train]
        self.n_left_out_ = len(everything) - len(train)
        self.channels_ = train[0].recording.ch_names
        self.fitted_on_ = FitRecord.of(self, np.concatenate([names[k] for k in places]))
        self.fit_records_ = [self.fitted_on_]
        self.notes_: list[str] = [text for run in train for text in run.dropped]
        self._learn(train)
        for text in self.notes_:
            if text.startswith("step "):
                warnings.warn(f"single-trial GLM: {text}", UserWarning, stacklevel=2)
        return self

    def betas(
        self,
        recordings: Recording | Sequence[Recording],
        *,
        step: str | None = None,
        confounds: Sequence[np.ndarray | None] | None = None,
        out: np.ndarray | None = None,
    ) -> Windows:
        """Estimate the betas of each run from its own data.

        Parameters
        ----------
        recordings : sequence of Recording
            Any runs with the voxels of the fitted ones.
        step : {"A", "B", "C", "D", "LSS"}, optional
            A step of the ladder, or the default response with LSS, instead of the model.
        confounds : sequence of array, optional
            As for :meth:`fit`.
        out : array of shape (n_trials, n_voxels), float32, optional
            Filled instead of a new array, e.g. a memory map.

        Returns
        -------
        Windows
            Shape (n_trials, n_voxels, 1), a Recording a session. ``trials.used_in_fit``: the run was a training run of
            ``fit``; ``info``: model, step, fitted_on_runs, fitted_on_test_runs (no run was left out of ``fit``), dropped,
            condition_numbers, nan_voxels (why: how many).

        Raises
        ------
        BraindecError
            If voxels differ, trials cannot be told apart, or the step did not run.
        """
        if not hasattr(self, "responses_"):
            raise BraindecError(
                "this single-trial GLM is not fitted", fix="call fit(recordings, runs=training_runs) first"
            )
        plan = self._plan(step)
        runs = self._runs(as_recordings(recordings), confounds)
        if runs[0].recording.ch_names != self.channels_:
            raise BraindecError("these runs have other voxels than those of fit", found=f"{runs[0].recording.n_channels} and "
                                f"{len(self.channels_)}", fix="read both with one mask")  # fmt: skip
        n_trials = sum(len(run.trials) for run in runs)
        values = np.empty((n_trials, len(self.channels_)), dtype=np.float32) if out is None else out
        if values.shape != (n_trials, len(self.channels_)) or values.dtype != np.float32:
            raise BraindecError("out does not fit", found=f"{values.dtype} {values.shape}",
                                allowed=f"float32 {(n_trials, len(self.channels_))}")  # fmt: skip
        notes, bad, numbers, first = list(self.notes_), [], {}, 0
        for run in tqdm(runs, desc="betas", unit="run", disable=None, leave=False):
            numbers[run.label] = spectrum_of(run.designs(self.responses_)[self.responses_.default]).condition
            bad.append(self._run_betas(run, plan, values[first : first + len(run.trials)]))
            first += len(run.trials)
        notes += [t for run in runs for t in run.dropped if t not in notes] + self._said(numbers) + count_bad(bad)
        info = {"model": self.model, "step": step or self.step_, "scale": self.scale, "fitted_on_runs": self.runs_,
                "fitted_on_test_runs": self.learned_ and not self.n_left_out_, "condition_numbers": numbers, "notes": notes,
                "dropped": [t for run in runs for t in run.dropped]}  # fmt: skip
        return as_windows(runs, values, bad, info, used=self.runs_, left_out=self.n_left_out_)

    def _responses(self) -> Any:
        asked = ("library" if self.model == "ladder" else "canonical") if self.hrf is None else self.hrf
        return responses_of(asked, step=self.hrf_step)

    def _runs(self, recordings: list[Recording], confounds: Sequence[np.ndarray | None] | None) -> list[Run]:
        return make_runs(
            recordings, column=self.column, select=self.select, drift=self.drift, high_pass=self.high_pass,
            slice_time_ref=self.slice_time_ref, responses=self.responses_, confounds=confounds,
        )  # fmt: skip

    def _labels(self, run: Run) -> np.ndarray:
        name = self.condition or ("stimulus_id" if "stimulus_id" in run.trials else self.column)
        if name not in run.trials:
            raise BraindecError(f"{run.label}: the events have no column {name!r}{did_you_mean(name, run.trials.columns)}",
                                allowed=", ".join(map(str, run.trials.columns)))  # fmt: skip
        return run.trials[name].map(lambda v: str(v) if pd.notna(v) else None).to_numpy(dtype=object)

    def _learn(self, train: list[Run]) -> None:
        """Go up the ladder on the training runs."""
        percent, batch = self.scale == "percent", self._batch(train)
        labels = [self._labels(run) for run in train]
        conditions, why_not = Conditions(labels), repeated_conditions(labels)
        found = _hyper.choose_responses(train, self.responses_, conditions, percent=percent, batch=batch)
        if percent and found.unusable.mean() > 0.5:
            self._refuse_percent(train, batch)
        self.hrf_index_, self.r2_, self.onoff_r2_, self.onoff_beta_ = found.index, found.r2, found.onoff_r2, found.onoff
        self.time_to_peak_ = self.responses_.times_to_peak[self.hrf_index_]
        self.n_conditions_, self.n_repeated_trials_ = conditions.n_conditions, conditions.n_trials
        rungs = [("A", True, "")]
        many = len(self.responses_) > 1
        why = (
            ""
            if many and len(train) > 1
            else ("there is only one training run" if many else "one response was asked for")
        )
        rungs.append(("B", not why, why))
        if not why and why_not:
            self.notes_.append(f"responses were chosen by ON-OFF alone: {why_not}")
        rungs.append(("C", *self._learn_noise(train, conditions, why_not, found, percent, batch)))
        rungs.append(("D", *self._learn_fractions(train, conditions, why_not, found, percent, batch)))
        self.ladder_ = pd.DataFrame(
            [(s, STEPS[s].what, ran, w) for s, ran, w in rungs], columns=["step", "what", "ran", "why"]
        )
        asked = {"B": many, "C": self._asked_noise() != 0, "D": self.model in ("ridge", "ladder")}
        self.notes_ += [f"step {s} ({STEPS[s].what}) did not run: {w}" for s, ran, w in rungs if not ran and asked[s]]
        last = _LAST[self.model]
        self.step_ = last if last != "D" or rungs[-1][1] else "C"
        self.learned_ = any(ran for s, ran, _ in rungs if s != "A")

    def _asked_noise(self) -> int | str:
        return ("cv" if self.model == "ladder" else 0) if self.noise_regressors is None else self.noise_regressors

    def _learn_noise(
        self, train: list[Run], conditions: Conditions, why_not: str | None, found: Any, percent: bool, batch: int
    ) -> tuple[bool, str]:
        asked = self._asked_noise()
        self.n_noise_, self.noise_curve_, self.pool_ = 0, np.full(1, np.nan), np.zeros(len(found.index), dtype=bool)
        if asked == 0:
            return False, "none were asked for"
        if len(train) < 2:
            return False, "there is only one training run"
        if asked == "cv" and why_not:
            return False, f"the number of noise regressors is chosen by repeated conditions, and {why_not}"
        usable = ~found.unusable
        self.pool_ = noise_pool(np.where(usable, found.onoff_r2, np.nan), found.intensity, threshold=self.pool_r2,
                                bright=self.pool_intensity)  # fmt: skip
        wanted = self.max_noise_regressors if asked == "cv" else int(asked)
        if self.pool_.sum() <= wanted:
            return False, f"the noise pool has only {int(self.pool_.sum())} voxels"
        if asked != "cv":
            self.n_noise_ = wanted
            return True, f"{wanted} asked for"
        parts = [_hyper.components_of(run, self.pool_, wanted, percent=percent, batch=batch) for run in train]
        scores = _hyper.score_numbers(train, self.responses_, self.hrf_index_, conditions, parts, usable & ~self.pool_,
                                      percent=percent, batch=batch)  # fmt: skip
        self.n_noise_, self.noise_curve_ = choose_number(scores)
        return True, f"{self.n_noise_} of up to {scores.shape[0] - 1}, from {int(self.pool_.sum())} voxels"

    def _learn_fractions(
        self, train: list[Run], conditions: Conditions, why_not: str | None, found: Any, percent: bool, batch: int
    ) -> tuple[bool, str]:
        self.fraction_ = np.ones(len(found.index))
        if self.model not in ("ridge", "ladder"):
            return False, "not asked for"
        if why_not:
            return False, f"fractions are chosen by repeated conditions, and {why_not}"
        parts = [self._components(run) for run in train]

        @cache
        def spectra(k: int, h: int) -> Spectrum:
            return self._spectrum(train[k], h, parts[k])

        fractions = check_fractions(self.fractions)
        self.fraction_ = _hyper.choose_fractions(
            train, self.hrf_index_, conditions, spectra, fractions, ~found.unusable, percent=percent,
            batch=max(1, batch // max(1, len(fractions) // 4)),
        )  # fmt: skip
        low = float(np.mean(self.fraction_[~found.unusable] == fractions[0])) if (~found.unusable).any() else 0.0
        if low > 0.5:
            self.notes_.append(f"the smallest fraction tried ({fractions[0]:g}) is best in {low:.0%} of voxels")
        return True, f"median {np.median(self.fraction_[~found.unusable]):.2f} of the length of least squares"

    def _plan(self, step: str | None) -> Step:
        if step is None:
            return _OWN[self.step_]
        if step not in STEPS:
            raise BraindecError(f"there is no step {step!r}{did_you_mean(str(step), STEPS)}", allowed=", ".join(STEPS))
        row = self.ladder_[self.ladder_["step"] == step]
        if len(row) and not row["ran"].iloc[0]:
            raise BraindecError(f"step {step} did not run: {row['why'].iloc[0]}",
                                allowed=", ".join([*self.ladder_.loc[self.ladder_["ran"], "step"], "LSS"]))  # fmt: skip
        return STEPS[step]

    def _components(self, run: Run) -> np.ndarray:
        return _hyper.components_of(
            run, self.pool_, self.n_noise_, percent=self.scale == "percent", batch=self._batch([run])
        )

    def _spectrum(self, run: Run, h: int, components: np.ndarray) -> Spectrum:
        found = spectrum_of(_hyper.cleaned(run.designs(self.responses_)[h], components))
        if not found.full and self.on_collinear == "raise":
            first, second = (run.trials.iloc[k]["onset"] for k in found.closest)
            raise BraindecError(
                f"{run.label}: its {len(run.trials)} trials cannot be told apart (rank {len(found.s)}, condition number "
                f"{found.condition:.3g})", found=f"most alike: the trials at {first:g} s and {second:g} s",
                fix="select one event a trial, use model='lss', or on_collinear='min_norm'",
            )  # fmt: skip
        return found

    def _run_betas(self, run: Run, plan: Step, out: np.ndarray) -> dict[str, np.ndarray]:
        """Fill ``out`` (n_trials, n_voxels); return why voxels are NaN."""
        components = self._components(run) if plan.noise and self.n_noise_ else np.zeros((len(run.times), 0))
        index = self.hrf_index_ if plan.chosen else np.full(len(self.channels_), self.responses_.default)
        operators: dict[int, Any] = {}
        bad: dict[str, list[np.ndarray]] = {}
        for voxels in batches(out.shape[1], self._batch([run])):
            block = run.read(voxels, percent=self.scale == "percent")
            kept = ~block.unusable
            for h, mine in _hyper.groups_of(index[voxels], kept):
                if h not in operators:
                    operators[h] = self._operator(run, h, plan, components)
                if plan.estimator == "ridge":
                    found = fractional_betas(operators[h], block.data[:, mine], self.fraction_[voxels][mine][None])[0]
                else:
                    found = operators[h] @ block.data[:, mine]
                out[:, np.flatnonzero(mine) + voxels.start] = found
            out[:, np.flatnonzero(~kept) + voxels.start] = np.nan
            for reason, mask in block.bad.items():
                bad.setdefault(reason, []).append(mask)
        return {reason: np.concatenate(masks) for reason, masks in bad.items()}

    def _operator(self, run: Run, h: int, plan: Step, components: np.ndarray) -> Any:
        if plan.estimator == "lss":
            return lss_matrix(_hyper.cleaned(run.designs(self.responses_)[h], components))
        spectrum = self._spectrum(run, h, components)
        return spectrum if plan.estimator == "ridge" else lsa_matrix(spectrum)

    def _batch(self, runs: Sequence[Run]) -> int:
        if self.batch_voxels is not None:
            return self.batch_voxels
        return int(np.clip(_BYTES // (8 * sum(len(run.times) for run in runs)), 64, 8192))

    def _said(self, numbers: dict[str, float]) -> list[str]:
        steep = {k: v for k, v in numbers.items() if v > _COLLINEAR}
        if not steep:
            return []
        worst = max(steep, key=lambda k: steep[k])
        return [f"trials overlap: condition number above {_COLLINEAR:g} in {len(steep)} of {len(numbers)} runs (up to "
                f"{steep[worst]:.3g} in {worst}): least-squares betas of neighbours trade off"]  # fmt: skip

    def _refuse_percent(self, train: list[Run], batch: int) -> None:
        n = len(self.channels_)
        without = np.zeros(n, dtype=bool)
        for voxels in batches(n, batch):
            without[voxels] = np.logical_or.reduce([run.read(voxels, percent=True).bad["no baseline"] for run in train])
        if without.mean() > 0.5:
            raise BraindecError("percent signal change needs a mean that is larger than the fluctuations",
                                found=f"{int(without.sum())} of {n} voxels have none: were the data detrended or z-scored?",
                                fix="scale='none', or signal steps without detrend and zscore")  # fmt: skip
