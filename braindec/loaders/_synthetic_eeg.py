"""The EEG of the synthetic cohort: design, planted signal, noise and artefacts, written as BIDS (BrainVision).

Planted signal of a trial: ``sum_k gain * amplitude_k * leadfield[:, k] * courses[k] * drive(features @ directions[k])``
with ``drive(s) = s + 0.15 (s^2 - 1)`` cut at +-3: linear in the image features but for a mild curvature. Directions are
shared by all subjects; topographies, latencies, widths and the gain are each subject's own.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.signal import oaconvolve

from braindec.errors import BraindecError
from braindec.loaders._synthetic_head import N_SITES, Head, make_head, montage_info
from braindec.loaders._synthetic_presets import EEGPreset
from braindec.signal.coloured_noise import coloured
from braindec.types import Features

MICRO = 1e-6
_GAINS = (1.0, 1.15, 0.62)  # the third subject is weak
_AMPLITUDE = 4.5 * MICRO  # V a unit of drive at the channel that sees most
_LEAD = 3.0  # s before the first and after the last image
_BAD_CHANNEL = "T8"


def plant(features: Features, preset: EEGPreset, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw orthonormal directions of the feature space and compute how strongly each stimulus drives each.

    Returns
    -------
    directions : array of shape (n_components, n_units)
        Mostly within the leading components of the features, where images differ most.
    drives : array of shape (n_stimuli, n_components)
    """
    n_units = features.shape[1]
    if not 0 < preset.n_components <= min(N_SITES, n_units):
        raise BraindecError(
            "too many planted components", found=str(preset.n_components), allowed=f"1 to {min(N_SITES, n_units)}"
        )
    rng = np.random.default_rng([seed, 2])
    weights = rng.normal(size=(n_units, preset.n_components)) * np.exp(-np.arange(n_units) / (n_units / 2.5))[:, None]
    directions = np.linalg.qr(weights)[0].T
    linear = np.clip(features.load().astype(float) @ directions.T, -3, 3)
    return directions, linear + 0.15 * (linear**2 - 1)


def subject_gain(index: int, strength: float, seed: int) -> float:
    """How strongly the planted signal of subject ``index`` (from 0) is expressed."""
    jitter = np.random.default_rng([seed, 3, index]).uniform(0.95, 1.05)
    return strength * _GAINS[index % len(_GAINS)] * float(jitter)


def design(stimuli: pd.DataFrame, preset: EEGPreset, seed: int, index: int) -> list[pd.DataFrame]:
    """Return the trials of each run of a subject, in random order within the run.

    Training runs come in turn with test runs. The exemplars of each training concept are spread evenly over the training
    runs; each test image equally often in each test run, all of them once before any comes again.
    """
    rng = np.random.default_rng([seed, 4, index])
    train, test = (stimuli[stimuli["part"] == part] for part in ("train", "test"))
    shown = pd.concat([train.iloc[rng.permutation(len(train))] for _ in range(preset.train_repetitions)])
    shown = shown.iloc[np.argsort(shown.groupby("concept_id").cumcount().to_numpy(), kind="stable")]
    pieces = np.array_split(np.arange(len(shown)), preset.train_runs)
    train_runs = [shown.iloc[rng.permutation(p)] for p in pieces]
    each = preset.test_repetitions // preset.test_runs
    test_runs = [
        pd.concat([test.iloc[rng.permutation(len(test))] for _ in range(each)]) for _ in range(preset.test_runs)
    ]
    runs = []
    for i in range(max(len(train_runs), len(test_runs))):
        runs += [r for pool in (train_runs, test_runs) for r in pool[i : i + 1]]
    trials = pd.concat([t.assign(run=f"{i:02d}") for i, t in enumerate(runs, start=1)], ignore_index=True)
    trials["repetition"] = trials.groupby("stimulus_id").cumcount() + 1
    return [_timed(part.reset_index(drop=True), preset, rng) for _, part in trials.groupby("run")]


def _timed(trials: pd.DataFrame, preset: EEGPreset, rng: np.random.Generator) -> pd.DataFrame:
    gaps = np.round(rng.uniform(*preset.soa, size=len(trials)) * preset.sfreq).astype(int)
    sample = round(_LEAD * preset.sfreq) + np.concatenate([[0], np.cumsum(gaps[:-1])])
    return trials.assign(sample=sample, onset=sample / preset.sfreq)


def simulate_run(
    head: Head, trials: pd.DataFrame, drives: np.ndarray, gain: float, preset: EEGPreset, rng: np.random.Generator
) -> np.ndarray:
    """Return one run's signal in V, shape (n_chans, n_times); ``drives`` is (n_trials, n_components)."""
    n_chans, sfreq = len(head.eyes), preset.sfreq
    n_times = int(trials["sample"].iloc[-1]) + round(_LEAD * sfreq)
    jitter = np.clip(np.round(rng.normal(0, 0.003 * sfreq, len(trials))), -2, 2).astype(int)
    start = trials["sample"].to_numpy() + jitter
    impulses = np.zeros((drives.shape[1], n_times))
    np.add.at(impulses.T, start, drives * rng.normal(1, 0.1, (len(trials), 1)))
    common = np.zeros((1, n_times))
    np.add.at(common[0], start, rng.normal(1, 0.15, len(trials)))
    planted = head.leadfield @ (gain * _AMPLITUDE * oaconvolve(impulses, head.courses, axes=1)[:, :n_times])
    evoked = oaconvolve(np.repeat(common, n_chans, axis=0), head.evoked, axes=1)[:, :n_times]
    return planted + evoked + background(head, n_times, preset, rng) + _artefacts(head, n_times, preset, rng)


def background(head: Head, n_times: int, preset: EEGPreset, rng: np.random.Generator) -> np.ndarray:
    """Ongoing activity in V: 1/f sources in the whole head, occipital alpha, and sensor noise."""
    sfreq = preset.sfreq
    brain = head.background @ coloured(rng, (head.background.shape[1], n_times), sfreq, exponent=1.0, corner=0.5)
    strength = 1 + 0.6 * coloured(rng, (head.alpha.shape[1], n_times), sfreq, exponent=2.0, corner=0.1)
    band = coloured(rng, (head.alpha.shape[1], n_times), sfreq, exponent=0.0, band=(8.8, 11.2))
    alpha = head.alpha @ (np.clip(strength, 0.1, None) * band)
    sensor = coloured(rng, (len(head.eyes), n_times), sfreq, exponent=0.5, corner=0.5)
    return MICRO * (2.2 * brain + 2.5 * alpha + 1.6 * sensor)


def _artefacts(head: Head, n_times: int, preset: EEGPreset, rng: np.random.Generator) -> np.ndarray:
    """Blinks, muscle bursts, mains hum and slow drift, V."""
    sfreq, n_chans = preset.sfreq, len(head.eyes)
    time = np.arange(n_times) / sfreq
    out = 14 * coloured(rng, (n_chans, n_times), sfreq, exponent=2.0, corner=0.03, band=(0.0, 0.5))
    out += np.outer(head.eyes, blinks(n_times, sfreq, rng))
    burst = coloured(rng, (n_chans, n_times), sfreq, exponent=0.0, band=(25.0, 0.48 * sfreq))
    envelope = np.zeros(n_times)
    for onset in rng.uniform(0, time[-1], rng.poisson(3 * time[-1] / 60)):
        envelope += np.exp(-0.5 * ((time - onset) / rng.uniform(0.12, 0.35)) ** 4)
    out += 14 * head.muscle[:, None] * envelope * burst
    if preset.line_freq < 0.49 * sfreq:
        size, phase = np.exp(rng.normal(0.2, 0.6, n_chans)), rng.uniform(0, 2 * np.pi) + rng.normal(0, 0.4, n_chans)
        out += size[:, None] * np.sin(2 * np.pi * preset.line_freq * time + phase[:, None])
    return MICRO * out


def blinks(n_times: int, sfreq: float, rng: np.random.Generator) -> np.ndarray:
    """Blinks as the eye channel sees them, microvolts, about 12 a minute."""
    time = np.arange(n_times) / sfreq
    out = np.zeros(n_times)
    for onset in np.cumsum(rng.gamma(3.0, 5 / 3, int(time[-1] / 2) + 2)):
        rise = np.where(time < onset, 0.06, 0.11)
        out += rng.uniform(70, 140) * np.exp(-0.5 * ((time - onset) / rise) ** 2)
    return out


def write_subject(
    root: Path, index: int, stimuli: pd.DataFrame, features: Features, drives: np.ndarray, preset: EEGPreset, seed: int
):
    """Simulate and write all runs of one subject; return what was planted (arrays, and a description)."""
    subject, channels = f"{index + 1:02d}", preset.channels.split()
    head = make_head(channels, preset.sfreq, preset.n_components, np.random.default_rng([seed, 5, index]))
    gain = subject_gain(index, preset.strength, seed)
    bad = [_BAD_CHANNEL] if index % 3 == 1 and _BAD_CHANNEL in channels else []
    for trials in design(stimuli, preset, seed, index):
        rng = np.random.default_rng([seed, 6, index, int(trials["run"].iloc[0])])
        data = simulate_run(head, trials, drives[features.rows_of(trials["stimulus_id"])], gain, preset, rng)
        for name in bad:
            loose = coloured(rng, (1, data.shape[1]), preset.sfreq, exponent=1.5, corner=0.2)[0]
            data[channels.index(name)] = MICRO * (120 * loose + 25 * rng.standard_normal(data.shape[1]))
        eye = data[channels.index("Fp1")] * 1.6 + MICRO * 3 * rng.standard_normal(data.shape[1])
        _write_run(root, subject, np.vstack([data, eye]), channels, trials, bad, preset)
    window = (head.times >= 0.05) & (head.times < 0.5)
    per_drive = gain * _AMPLITUDE * head.leadfield[:, :, None] * head.courses[None][:, :, window]
    train = (stimuli["part"] == "train").to_numpy()
    signal = np.sqrt((per_drive**2 * drives[train].var(axis=0)[None, :, None]).sum(axis=1).mean())
    noise = background(head, int(60 * preset.sfreq), preset, np.random.default_rng([seed, 7, index])).std(axis=1)
    noise = np.sqrt((noise**2).mean())
    arrays = {
        "leadfield": gain * _AMPLITUDE * head.leadfield,
        "courses": head.courses,
        "times": head.times,
        "evoked": head.evoked,
    }
    info = {"gain": gain, "signal_rms_V": float(signal), "noise_rms_V": float(noise),
            "snr_db": float(20 * np.log10(signal / noise)) if signal > 0 else None, "bad_channels": bad,
            "components": [{**c, "moment_nAm_per_drive": gain * _AMPLITUDE / c["peak_gain_V_per_Am"] * 1e9} for c in head.components]}  # fmt: skip
    return arrays, info


def _write_run(
    root: Path,
    subject: str,
    data: np.ndarray,
    channels: list[str],
    trials: pd.DataFrame,
    bad: list[str],
    preset: EEGPreset,
) -> None:
    import mne
    import mne_bids

    info = mne.create_info([*channels, "VEOG"], preset.sfreq, ["eeg"] * len(channels) + ["eog"])
    with mne.use_log_level("ERROR"):
        raw = mne.io.RawArray(data, info)
        raw.set_montage(montage_info(channels, preset.sfreq).get_montage())
        raw.info["line_freq"], raw.info["bads"] = preset.line_freq, bad
        raw.set_annotations(mne.Annotations(trials["onset"], preset.image_duration, "image"))
        path = mne_bids.BIDSPath(root=root, subject=subject, task="images", run=trials["run"].iloc[0], datatype="eeg")
        mne_bids.write_raw_bids(raw, path, format="BrainVision", allow_preload=True, overwrite=True, verbose="ERROR")
    stem = root / f"sub-{subject}" / "eeg" / f"sub-{subject}_task-images_run-{trials['run'].iloc[0]}"
    events = pd.DataFrame({
        "onset": [f"{t:.4f}" for t in trials["onset"]], "duration": f"{preset.image_duration:g}", "trial_type": "image",
        "stimulus_id": trials["stimulus_id"], "concept_id": trials["concept_id"], "repetition": trials["repetition"],
        "part": trials["part"], "stim_file": trials["path"].str.removeprefix("stimuli/"), "value": 1, "sample": trials["sample"],
    })  # fmt: skip
    events.to_csv(f"{stem}_events.tsv", sep="\t", index=False, na_rep="n/a", lineterminator="\n")
    Path(f"{stem}_events.json").write_text(json.dumps(EVENT_COLUMNS, indent=1) + "\n")
    sidecar = Path(f"{stem}_eeg.json")
    told = {"Manufacturer": "n/a", "EEGReference": "linked mastoids (TP9, TP10)", "EEGGround": "AFz", "TaskDescription": "Simulated: images "
            "one after the other, fixation in the middle"}  # fmt: skip
    sidecar.write_text(json.dumps({**json.loads(sidecar.read_text(encoding="utf8")), **told}, indent=1) + "\n")


EVENT_COLUMNS = {
    "trial_type": {"Description": "Kind of event", "Levels": {"image": "An image is shown"}},
    "stimulus_id": {"Description": "Which image; a row of stimuli/stimuli.tsv"},
    "concept_id": {"Description": "What the image shows; training and test images share no concept"},
    "repetition": {"Description": "How often this subject has seen this image, this time included"},
    "part": {
        "Description": "The image belongs to the training or the test images",
        "Levels": {"train": "training", "test": "test"},
    },
    "stim_file": {"Description": "Path below stimuli/"},
}


def write_subjects(
    root: Path, stimuli: pd.DataFrame, features: Features, preset: EEGPreset, seed: int, *, done: Callable[[], object]
) -> tuple[dict[str, np.ndarray], dict]:
    """Write all subjects; return the arrays and the description of what was planted."""
    directions, drives = plant(features, preset, seed)
    arrays: dict[str, np.ndarray] = {"directions": directions, "drives": drives}
    subjects = {}
    for index in range(preset.n_subjects):
        own, subjects[f"{index + 1:02d}"] = write_subject(root, index, stimuli, features, drives, preset, seed)
        arrays.update({f"sub-{index + 1:02d}/{k}": v for k, v in own.items()})
        done()
    info = {
        "description": "trial = sum_k leadfield[:, k] courses[k] drives[stimulus, k] + evoked + noise; drives = s + 0.15 (s^2 - 1), "
        "s = features @ directions[k], cut at +-3. snr_db compares signal_rms_V (variance over training images, mean over channels and "
        "0.05 to 0.5 s) with noise_rms_V (ongoing activity and sensor noise; no blinks, muscle, hum or drift).",
        "channels": preset.channels.split(), "stimulus_id": stimuli["stimulus_id"].tolist(), "planted_range_s": [0.04, 0.6],
        "subjects": subjects,
    }  # fmt: skip
    return arrays, info
