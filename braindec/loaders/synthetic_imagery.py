"""Made-up motor imagery with known truth: rhythms of the motor cortex that fade, sessions that drift.

Each class damps the mu and beta rhythm of a part of the motor strip (event-related desynchronisation) from 0.5 s after the
cue to the end of the trial: left hand the right hemisphere (below C4), right hand the left one (C3), feet the vertex (Cz),
tongue the lower parts of both sides. Potentials come from current dipoles in a spherical head with the channels of the BCI
Competition IV, data set 2a; added are 1/f activity of the whole brain, occipital alpha and sensor noise.

Drift changes the head between sessions in the way that decoders suffer from: the strength of each motor rhythm at rest, the
place of the electrodes (all dipoles are turned by some degrees), and how loud the rest of the brain is.

Source: Pfurtscheller & Lopes da Silva 1999 (Clin Neurophysiol 110:1842) for the rhythms and their damping; Tangermann et al.
2012 (Frontiers in Neuroscience 6:55) for the design; Shenoy et al. 2006 (J Neural Eng 3:R13) for what changes between
sessions. The same seed gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, did_you_mean
from braindec.signal.coloured_noise import coloured
from braindec.signal.spherical_head import eeg_gains, montage_info
from braindec.types import ArraySignal, Recording

CHANNELS = ("Fz", "FC3", "FC1", "FCz", "FC2", "FC4", "C5", "C3", "C1", "Cz", "C2", "C4", "C6", "CP3", "CP1", "CPz", "CP2", "CP4",
            "P1", "Pz", "P2", "POz")  # fmt: skip
CLASSES = ("left_hand", "right_hand", "feet", "tongue")
# m from the middle of the head: x right, y front, z up
_PLACES = {"left": (-0.040, 0.0, 0.060), "right": (0.040, 0.0, 0.060), "vertex": (0.0, 0.0, 0.072),
           "left_low": (-0.058, 0.008, 0.042), "right_low": (0.058, 0.008, 0.042)}  # fmt: skip
_DAMPED = {"left_hand": ("right",), "right_hand": ("left",), "feet": ("vertex",), "tongue": ("left_low", "right_low")}
_MU, _BETA = (9.5, 12.5), (18.0, 24.0)
_RHYTHM, _MICRO = 6.0, 1e-6  # root mean square of a mu rhythm at its strongest channel, uV
_CUE, _TRIAL, _LEAD = 2.0, 3.5, 2.0  # s: rest before the cue (and jitter), imagery, before the first trial

__all__ = ["CHANNELS", "CLASSES", "Imagery", "synthetic_imagery"]


@dataclass(frozen=True, eq=False)
class Imagery:
    """Recordings of one made-up subject and what was planted.

    Attributes
    ----------
    recordings : list of Recording
        In order of session and run; events have ``onset``, ``duration``, ``trial_type``. V.
    truth : mapping
        ``patterns`` (n_channels, n_rhythms) V of each rhythm by session, ``rhythms`` their names, ``damped`` the rhythms of
        each class, ``strength`` of each rhythm (session, rhythm), ``depth`` of the damping.
    """

    recordings: list[Recording]
    truth: Mapping[str, Any]


def synthetic_imagery(
    subject: str = "01",
    *,
    classes: Sequence[str] = CLASSES,
    n_sessions: int = 2,
    n_runs: int = 3,
    n_trials: int = 24,
    sfreq: float = 100.0,
    depth: float = 0.55,
    drift: float = 1.0,
    channels: Sequence[str] = CHANNELS,
    seed: int = 0,
) -> Imagery:
    """Make the recordings of one subject.

    Parameters
    ----------
    subject : str
        Another subject has another head; its skill (the damping) differs too.
    classes : sequence of str
        Of :data:`CLASSES`, two or more.
    n_sessions, n_runs, n_trials : int
        Sessions, runs of each, trials of each run (as evenly over the classes as it goes, in random order).
    sfreq : float
        Hz.
    depth : float
        Share of a rhythm's amplitude that imagery takes away, 0 to 1; 0 makes classes that cannot be told apart.
    drift : float
        How much sessions after the first differ from it: 0 not at all, 1 as they usually do.
    channels : sequence of str
        Names of the 10-05 system.
    seed : int

    Raises
    ------
    BraindecError
        If a class is unknown, or a number makes no sense.
    """
    _check(classes, n_sessions, n_runs, n_trials, sfreq, depth, drift)
    number = int.from_bytes(str(subject).encode()[-6:], "big")
    head = np.random.default_rng([seed, number, 1])
    own_depth = float(np.clip(depth * head.uniform(0.75, 1.2), 0.0, 0.95))
    places = np.array(list(_PLACES.values())) + head.normal(0, 0.003, (len(_PLACES), 3))
    strength = np.exp(head.normal(0, 0.2, len(_PLACES)))
    brain = head.normal(size=(60, 3))
    brain *= (0.075 * head.uniform(0.4, 1.0, 60) ** (1 / 3) / np.linalg.norm(brain, axis=1))[:, None]
    directions = _unit(brain + head.normal(0, 0.03, brain.shape))
    alpha = np.array([[-0.015, -0.065, 0.02], [0.015, -0.065, 0.02], [0.0, -0.055, 0.045]])
    recordings, patterns, strengths = [], [], []
    for session in range(1, n_sessions + 1):
        change = np.random.default_rng([seed, number, 2, session])
        size = drift if session > 1 else 0.0
        turn = _rotation(size * change.normal(0, 0.04, 3))
        now = strength * np.exp(size * change.normal(0, 0.35, len(strength)))
        loud = float(np.exp(size * change.normal(0, 0.2)))
        motor = _gains(channels, places @ turn.T, _unit(places @ turn.T)) * _MICRO * _RHYTHM
        noise = _gains(channels, brain @ turn.T, directions @ turn.T)
        visual = _gains(channels, alpha @ turn.T, _unit(alpha @ turn.T))
        patterns.append(motor)
        strengths.append(now)
        for run in range(1, n_runs + 1):
            rng = np.random.default_rng([seed, number, 3, session, run])
            events = _events(classes, n_trials, rng)
            signal = _signal(events, motor * now, noise * loud, visual, own_depth, sfreq, rng)
            info = {"dataset": "synthetic imagery", "subject": str(subject), "session": f"{session:02d}", "run": f"{run:02d}",
                    "task": "imagery", "modality": "eeg", "space": "head, template"}  # fmt: skip
            recordings.append(
                Recording(ArraySignal(signal.astype(np.float32)), sfreq, _channel_table(channels), events, info)
            )
    truth = {"patterns": np.stack(patterns), "rhythms": list(_PLACES), "damped": {c: _DAMPED[c] for c in classes},
             "strength": np.stack(strengths), "depth": own_depth}  # fmt: skip
    return Imagery(recordings, truth)


def _check(
    classes: Sequence[str], n_sessions: int, n_runs: int, n_trials: int, sfreq: float, depth: float, drift: float
) -> None:
    unknown = [c for c in classes if c not in CLASSES]
    if unknown or len(set(classes)) < 2 or len(set(classes)) < len(list(classes)):
        wrong = str(unknown[0]) if unknown else ", ".join(classes)
        raise BraindecError(f"imagery needs two known classes or more, each once{did_you_mean(wrong, CLASSES) if unknown else ''}",
                            found=wrong, allowed=", ".join(CLASSES))  # fmt: skip
    for name, value, least in (
        ("n_sessions", n_sessions, 1),
        ("n_runs", n_runs, 1),
        ("n_trials", n_trials, len(classes)),
    ):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
            raise BraindecError(f"{name} must be a whole number of at least {least}", found=repr(value))
    if not (np.isfinite(sfreq) and sfreq >= 60):
        raise BraindecError("beta rhythms need a sampling frequency of 60 Hz or more", found=f"{sfreq!r} Hz")
    if not 0 <= depth <= 1 or not 0 <= drift <= 5:
        raise BraindecError(
            "depth is a share from 0 to 1, drift a number from 0 to 5", found=f"{depth!r} and {drift!r}"
        )


def _events(classes: Sequence[str], n_trials: int, rng: np.random.Generator) -> pd.DataFrame:
    """Cues in random order; each with rest before it, of a length that varies."""
    names = np.array(classes, dtype=object)[rng.permutation(np.arange(n_trials) % len(classes))]
    gaps = _CUE + rng.uniform(0, 0.5, n_trials)
    onset = _LEAD + np.cumsum(gaps) + _TRIAL * np.arange(n_trials)
    return pd.DataFrame({"onset": np.round(onset, 3), "duration": _TRIAL, "trial_type": names})


def _signal(
    events: pd.DataFrame, motor: np.ndarray, noise: np.ndarray, visual: np.ndarray, depth: float, sfreq: float,
    rng: np.random.Generator,
) -> np.ndarray:  # fmt: skip
    """Return one run in V, shape (n_channels, n_times)."""
    n_times = int((events["onset"].iloc[-1] + _TRIAL + _LEAD) * sfreq)
    n_channels, n_rhythms = motor.shape
    rhythm = coloured(rng, (n_rhythms, n_times), sfreq, exponent=0.0, band=_MU)
    rhythm += 0.5 * coloured(rng, (n_rhythms, n_times), sfreq, exponent=0.0, band=_BETA)
    slow = coloured(rng, (n_rhythms, n_times), sfreq, exponent=2.0, corner=0.05)
    amplitude = np.exp(0.25 * slow)  # rhythms wax and wane
    names, time = list(_PLACES), np.arange(n_times) / sfreq
    for onset, kind in zip(events["onset"], events["trial_type"], strict=True):
        rise = np.clip((time - onset - 0.3) / 0.4, 0, 1) * np.clip((onset + _TRIAL - time) / 0.3, 0, 1)
        deep = 1 - np.clip(depth * rng.uniform(0.5, 1.3), 0, 1) * rise
        for place in _DAMPED[kind]:
            amplitude[names.index(place)] *= deep
    brain = coloured(rng, (noise.shape[1], n_times), sfreq, exponent=1.0, corner=1.0)
    alpha = coloured(rng, (visual.shape[1], n_times), sfreq, exponent=0.0, band=(8.5, 11.5))
    sensor = coloured(rng, (n_channels, n_times), sfreq, exponent=0.0)
    return motor @ (rhythm * amplitude) + _MICRO * (1.1 * noise @ brain + 5.0 * visual @ alpha + 0.8 * sensor)


def _gains(channels: Sequence[str], places: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Potential of each channel for each dipole, the strongest channel of a dipole 1; average of the mastoids as reference."""
    gains = eeg_gains(channels, places, directions, on_sphere=True)
    return gains / np.abs(gains).max(axis=0)


def _channel_table(channels: Sequence[str]) -> pd.DataFrame:
    places = np.array([c["loc"][:3] for c in montage_info(channels, 100.0)["chs"]])
    return pd.DataFrame(
        {"name": list(channels), "type": "eeg", "unit": "V", "x": places[:, 0], "y": places[:, 1], "z": places[:, 2]}
    )


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _rotation(angles: np.ndarray) -> np.ndarray:
    """Rotation by a vector of angles in radians (Rodrigues)."""
    size = float(np.linalg.norm(angles))
    if size == 0:
        return np.eye(3)
    x, y, z = angles / size
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(size) * k + (1 - np.cos(size)) * k @ k
