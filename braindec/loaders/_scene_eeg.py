"""EEG of somebody who looks at drawn scenes: dipoles in a spherical head, each driven by one attribute at its own time.

The signal after a scene is ``sum_k topography_k * course_k(t) * drive_k + evoked + noise``. Place drives four sources of V1 with
receptive fields in the four quarters of the picture (about 80 ms), the background one that sees luminance (90 ms), hue four
of V4 (105 ms), shape six of LO and IT (160 and 195 ms), direction of motion four of MT (235 ms; films only). Drives are the same
for all subjects; places, orientations, latencies and so topographies are each subject's own. Noise: 1/f activity of the whole
brain, occipital alpha, sensors; no blinks, muscles or hum.

Source: the sphere of :mod:`braindec.signal.spherical_head`, electrodes on the sphere.
"""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.loaders._scene_fmri import contrast_maps
from braindec.loaders._scene_trials import subject_number
from braindec.loaders._synthetic_eeg import MICRO, background
from braindec.loaders._synthetic_head import _EVOKED, REFERENCE, Head, _inside, _orientations, course
from braindec.loaders._synthetic_presets import _CAP32, EEGPreset
from braindec.signal.spherical_head import ORIGIN, eeg_gains, montage_info
from braindec.types import Pictures, Recording, Windows

_SITES = (  # attribute, name, latency s, width s, x, y, z relative to the origin in m
    ("position", "V1 right lower", 0.080, 0.013, 0.014, -0.064, -0.010), ("position", "V1 right upper", 0.080, 0.013, 0.012, -0.062, 0.014),
    ("position", "V1 left lower", 0.080, 0.013, -0.014, -0.064, -0.010), ("position", "V1 left upper", 0.080, 0.013, -0.012, -0.062, 0.014),
    ("background", "V2", 0.090, 0.015, 0.000, -0.060, 0.022),
    ("colour", "V4 left 1", 0.105, 0.014, -0.026, -0.058, -0.016), ("colour", "V4 right 1", 0.105, 0.014, 0.026, -0.058, -0.016),
    ("colour", "V4 left 2", 0.110, 0.014, -0.034, -0.052, -0.018), ("colour", "V4 right 2", 0.110, 0.014, 0.034, -0.052, -0.018),
    ("shape", "LO left 1", 0.160, 0.020, -0.043, -0.046, -0.010), ("shape", "LO right 1", 0.160, 0.020, 0.043, -0.046, -0.010),
    ("shape", "LO left 2", 0.165, 0.020, -0.042, -0.050, 0.008), ("shape", "LO right 2", 0.165, 0.020, 0.042, -0.050, 0.008),
    ("shape", "IT left", 0.195, 0.024, -0.054, -0.026, -0.012), ("shape", "IT right", 0.195, 0.024, 0.054, -0.026, -0.012),
    ("motion", "MT left 1", 0.235, 0.026, -0.050, -0.042, 0.012), ("motion", "MT right 1", 0.235, 0.026, 0.050, -0.042, 0.012),
    ("motion", "MT left 2", 0.245, 0.026, -0.046, -0.036, 0.026), ("motion", "MT right 2", 0.245, 0.026, 0.046, -0.036, 0.026),
)  # fmt: skip
AMPLITUDE = {
    "position": 6.5,
    "background": 4.5,
    "colour": 3.3,
    "shape": 2.3,
    "motion": 2.5,
}  # microvolts a unit of drive
_LEAD = 1.5  # s before the first and after the last scene
_COURSE_S = 0.6


def drives_of(pictures: Pictures, attribute: list[str], seed: int) -> np.ndarray:
    """How strongly each picture drives each source, (picture, source), mean 0 and variance 1 over the pictures."""
    rng = np.random.default_rng([seed, 91])
    items, names = pictures.items, pictures.info["levels"]["shape"]
    hue = 2 * np.pi * items["hue"].to_numpy()
    which = items["shape"].map({s: i for i, s in enumerate(names)}).to_numpy()
    tuning = rng.standard_normal((len(names), 6))
    turn = np.deg2rad(items["direction"].to_numpy())
    pace = 0.4 + 0.6 * items["speed"].to_numpy() / max(pictures.info["speed"][1], 1e-12)
    contrast, luminance = contrast_maps(pictures)
    made = {
        "position": _quarters(contrast),
        "background": luminance.mean(axis=(1, 2))[:, None],
        "colour": np.stack([np.cos(hue), np.sin(hue), np.cos(hue + 0.8), np.sin(2 * hue)], axis=1),
        "shape": tuning[which],
        "motion": np.stack([np.cos(turn), np.sin(turn), np.cos(turn - 0.8), np.sin(turn - 0.8)], axis=1)
        * pace[:, None],
    }
    order = list(dict.fromkeys(attribute))
    values = np.concatenate([made[a] for a in order], axis=1)
    spread = values.std(axis=0)
    return (values - values.mean(axis=0)) / np.where(spread > 1e-12, spread, 1.0)


def _quarters(contrast: np.ndarray) -> np.ndarray:
    """Contrast in receptive fields in the quarters of the picture: left upper, left lower, right upper, right lower."""
    height, width = contrast.shape[1:]
    fields = []
    for x in (-0.3, 0.3):
        for y in (-0.3, 0.3):
            gauss = [
                np.exp(-((2 * (np.arange(n) + 0.5) / n - 1 - c) ** 2) / 0.18) for n, c in ((height, y), (width, x))
            ]
            fields.append(np.outer(*gauss).ravel())
    return contrast.reshape(len(contrast), -1) @ np.stack(fields, axis=1)


def make_scene_head(
    channels: list[str], *, sfreq: float, film: bool, seed: int, subject: str
) -> tuple[Head, dict[str, Any]]:
    """Place one subject's sources; return the head, and names, attributes and latencies of the planted ones."""
    rng = np.random.default_rng([seed, 92, subject_number(subject)])
    sites = [s for s in _SITES if film or s[0] != "motion"]
    n = len(sites)
    whole = rng.normal(size=(48, 3))
    whole *= (0.07 * rng.uniform(0.3, 1, (48, 1)) ** (1 / 3)) / np.linalg.norm(whole, axis=1, keepdims=True)
    alpha = np.array([[-0.02, -0.058, 0.012], [0.022, -0.056, 0.014], [0.0, -0.045, 0.045]])
    groups = [
        _inside(np.array([s[4:] for s in sites]) + rng.normal(0, 0.003, (n, 3))),
        _inside(np.array([e[4:] for e in _EVOKED]) + rng.normal(0, 0.003, (len(_EVOKED), 3))),
        _inside(whole), _inside(alpha + rng.normal(0, 0.004, (3, 3))),
    ]  # fmt: skip
    normals = [_orientations(p, r, rng) for p, r in zip(groups, (0.8, 1.0, 0.0, 1.0), strict=True)]
    gains = eeg_gains(channels, np.concatenate(groups), np.concatenate(normals), reference=REFERENCE, on_sphere=True)
    scaled = np.split(gains / np.abs(gains).max(axis=0), np.cumsum([len(g) for g in groups])[:-1], axis=1)
    times = np.arange(round(_COURSE_S * sfreq) + 1) / sfreq
    late = np.array([s[2] for s in sites]) + np.clip(rng.normal(0, 0.003), -0.006, 0.006)
    courses = np.stack([course(times, a, s[3]) for a, s in zip(late, sites, strict=True)])
    size = rng.uniform(0.8, 1.25, len(_EVOKED))
    waves = np.stack([e[3] * g * course(times, e[1], e[2]) for e, g in zip(_EVOKED, size, strict=True)])
    evoked = (scaled[1] * np.sign(scaled[1].sum(axis=0))) @ waves
    level = MICRO * np.array([AMPLITUDE[s[0]] for s in sites])
    told = {"attribute": np.array([s[0] for s in sites], dtype=object), "name": np.array([s[1] for s in sites], dtype=object),
            "latency": late, "position": groups[0] + ORIGIN}  # fmt: skip
    quiet = np.zeros(len(channels))
    return Head(scaled[0] * level, courses, times, evoked, scaled[2], scaled[3], quiet, quiet, []), told


def respond(
    pictures: Pictures, trials: pd.DataFrame, *, noise: float, seed: int, subject: str, channels: list[str] | None, sfreq: float,
    tmin: float, tmax: float,
) -> Windows:  # fmt: skip
    """Return windows around the scenes, cut from one continuous recording a run, in V."""
    names = _CAP32.split() if channels is None else list(channels)
    sensible = (
        all(isinstance(v, Real) for v in (noise, sfreq, tmin, tmax)) and 0 <= noise < np.inf and 50 <= sfreq <= 2000
    )
    if not sensible or not tmin < tmax or tmin < -0.5 or tmax > 1.0 or round((tmax - tmin) * sfreq) < 1:
        raise BraindecError("EEG of scenes needs sensible numbers", found=f"noise={noise}, sfreq={sfreq}, {tmin} to {tmax} s",
                            allowed="noise >= 0, sfreq 50 to 2000 Hz, -0.5 <= tmin < tmax <= 1 s, at least one sample")  # fmt: skip
    head, told = make_scene_head(names, sfreq=sfreq, film=pictures.is_film, seed=seed, subject=subject)
    drives = drives_of(pictures, list(told["attribute"]), seed)
    shown = pictures.shape[1] / pictures.frame_rate if pictures.is_film and pictures.frame_rate else 0.3
    table = channel_table(names, sfreq)
    preset = EEGPreset(sfreq=sfreq)
    recordings, index, tables, power = [], [], [], []
    for number, (run, part) in enumerate(trials.groupby("run", sort=True)):
        rng = np.random.default_rng([seed, 93, subject_number(subject), int(run)])
        start, n_times = _onsets(len(part), max(0.75, shown + 0.1, tmax - tmin), sfreq, rng)
        ongoing = noise * background(head, n_times, preset, rng)
        power.append((ongoing**2).mean(axis=1))
        signal = ongoing + _planted(head, drives[part["row"]], start, n_times, rng)
        info = {
            "dataset": "drawn scenes, eeg",
            "subject": subject,
            "session": "01",
            "run": run,
            "modality": "eeg",
            "space": "head",
        }
        events = part.drop(columns="row").assign(onset=start / sfreq, duration=shown)
        recordings.append(Recording(signal.astype(np.float32), sfreq, table, events, info))
        index.append(np.column_stack([np.full(len(part), number), start + round(tmin * sfreq)]))
        tables.append(events)
    truth = {**told, "topographies": head.leadfield, "courses": head.courses, "times": head.times, "drives": drives,
             "evoked": head.evoked, "noise_sd": np.sqrt(np.mean(power, axis=0))}  # fmt: skip
    n_window = round((tmax - tmin) * sfreq)
    trials = pd.concat(tables, ignore_index=True)
    return Windows(
        tuple(recordings), np.concatenate(index), n_window, trials, round(tmin * sfreq) / sfreq, {"truth": truth}
    )


def channel_table(names: list[str], sfreq: float) -> pd.DataFrame:
    """Name, type, unit and place (m, head coordinates) of the channels."""
    places = np.array([c["loc"][:3] for c in montage_info(names, sfreq)["chs"]])
    return pd.DataFrame(
        {"name": names, "type": "eeg", "unit": "V", "x": places[:, 0], "y": places[:, 1], "z": places[:, 2]}
    )


def _onsets(n: int, gap: float, sfreq: float, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """First sample of each scene, ``gap`` to ``gap`` + .15 s apart, and the length of the run."""
    gaps = np.round(rng.uniform(gap, gap + 0.15, n) * sfreq).astype(int)
    start = round(_LEAD * sfreq) + np.concatenate([[0], np.cumsum(gaps[:-1])])
    return start, int(start[-1]) + round(_LEAD * sfreq)


def _planted(head: Head, drives: np.ndarray, start: np.ndarray, n_times: int, rng: np.random.Generator) -> np.ndarray:
    """What the scenes add to the ongoing signal, V, (channel, time); strength varies from trial to trial by 10 %."""
    out = np.zeros((len(head.leadfield), n_times))
    length = len(head.times)
    for at, drive in zip(start, drives * rng.normal(1, 0.1, (len(drives), 1)), strict=True):
        out[:, at : at + length] += (head.leadfield * drive) @ head.courses + rng.normal(1, 0.15) * head.evoked
    return out
