"""A rapid event-related experiment with known betas, responses and noise; courses are convolved by brute force."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from scipy.signal import lfilter

from braindec.signal.glm.hrf_library import Responses, hrf_library
from braindec.types import Recording

_FINE = 0.02  # s


@dataclass
class Experiment:
    """Runs, and what was planted: ``betas`` (trial, voxel) in order of runs, ``index`` (voxel), ``noise`` of each run."""

    recordings: list[Recording]
    betas: np.ndarray
    index: np.ndarray
    noise: list[np.ndarray]
    loading: np.ndarray


def brute_force(onsets, duration, response, step, n_times, tr):
    """Course of each event, peak 1: a box on a fine grid convolved with the response, shape (n_times, n_trials)."""
    n = round(n_times * tr / _FINE)
    kernel = np.interp(np.arange(0, (len(response) - 1) * step, _FINE), np.arange(len(response)) * step, response)
    box = np.ones(max(1, round(duration / _FINE)))
    course = np.convolve(box, kernel)
    course = course / course.max()
    out = np.zeros((n_times, len(onsets)))
    for k, onset in enumerate(onsets):
        fine = np.zeros(n)
        first = round(onset / _FINE)
        part = course[: n - first]
        fine[first : first + len(part)] = part
        out[:, k] = fine[np.round(np.arange(n_times) * tr / _FINE).astype(int)]
    return out


def make_experiment(
    *,
    seed=0,
    n_runs=4,
    n_stimuli=20,
    n_voxels=60,
    isi=4.0,
    tr=2.0,
    duration=2.0,
    noise=1.0,
    mean=1.0,
    spread=1.0,
    library: Responses | None = None,
    silent=0,
    n_global=0,
    amount=2.0,
    repeats=True,
    rho=0.3,
    events=None,
) -> Experiment:
    """Each run shows every stimulus once, ``isi`` s apart; the last ``silent`` voxels answer to nothing.

    Noise: AR(1) of standard deviation ``noise`` percent, and ``n_global`` courses shared by all voxels.
    """
    rng = np.random.default_rng(seed)
    library = hrf_library() if library is None else library
    index = rng.integers(len(library), size=n_voxels)
    pattern = mean + spread * rng.standard_normal((n_stimuli, n_voxels))
    pattern[:, n_voxels - silent :] = 0
    loading = amount * rng.uniform(0.5, 1.5, (n_global, n_voxels)) * rng.choice([-1, 1], (n_global, n_voxels))
    n_times = int(np.ceil((6 + n_stimuli * isi + 16) / tr))
    recordings, betas, shared = [], [], []
    for run in range(n_runs):
        order = rng.permutation(n_stimuli)
        onsets = 6 + isi * np.arange(n_stimuli)
        own = pattern[order] if repeats else mean + spread * rng.standard_normal((n_stimuli, n_voxels))
        signal = np.zeros((n_times, n_voxels))
        for h in np.unique(index):
            mine = index == h
            signal[:, mine] = brute_force(onsets, duration, library.values[h], library.step, n_times, tr) @ own[:, mine]
        white = rng.standard_normal((n_times + 20, n_voxels))
        signal += noise * lfilter([np.sqrt(1 - rho**2)], [1, -rho], white, axis=0)[20:]
        courses = rng.standard_normal((n_times, n_global))
        signal += courses @ loading
        signal += np.linspace(-1, 1, n_times)[:, None] * rng.normal(0, 1, n_voxels)
        base = 1000 * rng.uniform(0.8, 1.2, n_voxels)
        names = [f"s{k:02d}" if repeats else f"s{run}-{k:02d}" for k in order]
        table = pd.DataFrame({"onset": onsets, "duration": duration, "trial_type": "picture", "stimulus_id": names})
        channels = pd.DataFrame({"name": [f"v{k:03d}" for k in range(n_voxels)], "type": "voxel", "unit": "a.u."})
        info = {"subject": "01", "session": "1", "task": "see", "run": str(run + 1), "modality": "fmri"}
        recordings.append(Recording((base * (1 + signal / 100)).T.astype(np.float32), 1 / tr, channels, table, info))
        betas.append(own)
        shared.append(courses)
    return Experiment(recordings, np.concatenate(betas), index, shared, loading)


@pytest.fixture
def experiment():
    """Return the function that makes an experiment."""
    return make_experiment


def row_correlation(a, b):
    """Correlation over trials of each voxel."""
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    return (a * b).sum(axis=0) / np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))


@pytest.fixture
def convolve():
    """Return the convolution by brute force."""
    return brute_force


@pytest.fixture
def agreement():
    """Return the correlation over trials of each voxel."""
    return row_correlation
