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
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from tqdm import tqdm

from braindec.errors import BraindecError, did_you_mean
from braindec.signal._trials import as_recordings
from braindec.signal.glm._betas import as_windows, count_bad, run_betas, say_overlap, trial_ids
from braindec.signal.glm._hyper import components_of
from braindec.signal.glm._learn import STEPS, Learned, Step, Wanted, learn
from braindec.signal.glm._runs import Run, chosen_runs, make_runs
from braindec.signal.glm.estimators import spectrum_of
from braindec.signal.glm.fractional_ridge import FRACTIONS, check_fractions
from braindec.signal.glm.hrf_library import STEP, Responses, responses_of
from braindec.types import FitRecord, Recording, Windows

__all__ = ["SingleTrialGLM", "STEPS"]

_MODELS = ("lsa", "lss", "ridge", "ladder")
_BYTES = 64_000_000  # of data of all runs in one batch of voxels


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
    hrf_index_, first_index_, time_to_peak_ : array of shape (n_voxels,)
        Chosen response, that of step B (chosen before noise was taken out), and the time to peak (s) of the first.
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
        everything = self._runs(recordings, confounds, self.responses_)
        places = chosen_runs(everything, runs)
        train = [everything[k] for k in places]
        names = trial_ids(everything)
        self.runs_ = [run.label for run in train]
        self.n_left_out_ = len(everything) - len(train)
        self.channels_ = train[0].recording.ch_names
        self.fitted_on_ = FitRecord.of(self, np.concatenate([names[k] for k in places]))
        self.fit_records_ = [self.fitted_on_]
        learned = learn(train, self.responses_, [self._labels(run) for run in train], self._wanted(train))
        learned.notes[:0] = [text for run in train for text in run.dropped]
        for part in fields(Learned):
            setattr(self, f"{part.name}_", getattr(learned, part.name))
        ran = dict(zip(self.ladder_["step"], self.ladder_["ran"], strict=True))
        self.step_ = max(step for step, done in ran.items() if done)
        self.learned_ = self.step_ != "A"
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
        runs = self._runs(as_recordings(recordings), confounds, self.responses_)
        if runs[0].recording.ch_names != self.channels_:
            raise BraindecError("these runs have other voxels than those of fit", found=f"{runs[0].recording.n_channels} and "
                                f"{len(self.channels_)}", fix="read both with one mask")  # fmt: skip
        n_trials = sum(len(run.trials) for run in runs)
        values = np.empty((n_trials, len(self.channels_)), dtype=np.float32) if out is None else out
        if values.shape != (n_trials, len(self.channels_)) or values.dtype != np.float32:
            raise BraindecError("out does not fit", found=f"{values.dtype} {values.shape}",
                                allowed=f"float32 {(n_trials, len(self.channels_))}")  # fmt: skip
        bad, numbers, first = [], {}, 0
        for run in tqdm(runs, desc="betas", unit="run", disable=None, leave=False):
            numbers[run.label] = spectrum_of(run.designs(self.responses_)[self.responses_.default]).condition
            bad.append(self._run_betas(run, plan, values[first : first + len(run.trials)]))
            first += len(run.trials)
        dropped = [text for run in runs for text in run.dropped]
        notes = list(dict.fromkeys([*self.notes_, *dropped, *say_overlap(numbers), *count_bad(bad)]))
        info = {"model": self.model, "step": step or self.step_, "scale": self.scale, "fitted_on_runs": self.runs_,
                "fitted_on_test_runs": bool(self.learned_ and not self.n_left_out_), "condition_numbers": numbers,
                "notes": notes, "dropped": dropped}  # fmt: skip
        return as_windows(runs, values, bad, info, used=self.runs_, left_out=self.n_left_out_)

    def design(
        self, recordings: Recording | Sequence[Recording], *, confounds: Sequence[np.ndarray | None] | None = None
    ) -> tuple[pd.DataFrame, dict[str, float]]:
        """Return the table of trials and the condition number of each run with the default response; no data are read."""
        self.check()
        responses = self._responses()
        runs = self._runs(as_recordings(recordings), confounds, responses)
        numbers = {run.label: spectrum_of(run.designs(responses)[responses.default]).condition for run in runs}
        return pd.concat([run.trials for run in runs], ignore_index=True), numbers

    def _responses(self) -> Responses:
        asked = ("library" if self.model == "ladder" else "canonical") if self.hrf is None else self.hrf
        return responses_of(asked, step=self.hrf_step)

    def _runs(
        self, recordings: list[Recording], confounds: Sequence[np.ndarray | None] | None, responses: Responses
    ) -> list[Run]:
        return make_runs(
            recordings, column=self.column, select=self.select, drift=self.drift, high_pass=self.high_pass,
            slice_time_ref=self.slice_time_ref, responses=responses, confounds=confounds,
        )  # fmt: skip

    def _labels(self, run: Run) -> np.ndarray:
        name = self.condition or ("stimulus_id" if "stimulus_id" in run.trials else self.column)
        if name not in run.trials:
            raise BraindecError(f"{run.label}: the events have no column {name!r}{did_you_mean(name, run.trials.columns)}",
                                allowed=", ".join(map(str, run.trials.columns)))  # fmt: skip
        return run.trials[name].map(lambda v: str(v) if pd.notna(v) else None).to_numpy(dtype=object)

    def _wanted(self, train: list[Run]) -> Wanted:
        noise = self.noise_regressors
        noise = ("cv" if self.model == "ladder" else 0) if noise is None else noise
        return Wanted(
            noise=noise, ridge=self.model in ("ridge", "ladder"), fractions=check_fractions(self.fractions),
            max_noise=self.max_noise_regressors, pool_r2=self.pool_r2, pool_intensity=self.pool_intensity,
            percent=self.scale == "percent", batch=self._batch(train), on_collinear=self.on_collinear,
        )  # fmt: skip

    def _plan(self, step: str | None) -> Step:
        if step is None:
            return replace(STEPS[self.step_], estimator="lss") if self.model == "lss" else STEPS[self.step_]
        if step not in STEPS:
            raise BraindecError(f"there is no step {step!r}{did_you_mean(str(step), STEPS)}", allowed=", ".join(STEPS))
        row = self.ladder_[self.ladder_["step"] == step]
        if len(row) and not row["ran"].iloc[0]:
            raise BraindecError(f"step {step} did not run: {row['why'].iloc[0]}",
                                allowed=", ".join([*self.ladder_.loc[self.ladder_["ran"], "step"], "LSS"]))  # fmt: skip
        return STEPS[step]

    def _run_betas(self, run: Run, plan: Step, out: np.ndarray) -> dict[str, np.ndarray]:
        percent, batch = self.scale == "percent", self._batch([run])
        if plan.noise and self.n_noise_:
            run = run.without(components_of(run, self.pool_, self.n_noise_, percent=percent, batch=batch))
        default = np.full(len(self.channels_), self.responses_.default)
        index = {"default": default, "first": self.first_index_, "chosen": self.hrf_index_}[plan.responses]
        return run_betas(run, self.responses_, index, self.fraction_, out, estimator=plan.estimator, percent=percent,
                         batch=batch, on_collinear=self.on_collinear)  # fmt: skip

    def _batch(self, runs: Sequence[Run]) -> int:
        if self.batch_voxels is not None:
            return self.batch_voxels
        return int(np.clip(_BYTES // (8 * sum(len(run.times) for run in runs)), 64, 8192))
