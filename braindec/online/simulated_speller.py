"""A made-up speller over sessions, with known drift: choices flash in random order, the one that is meant evokes a P300.

Every flash evokes an early visual response; the flash of the meant choice adds a negative wave at 0.2 s over the sides and
a positive one at 0.33 s over the middle of the back of the head. Potentials are those of dipoles in a spherical head, under
1/f activity of the whole brain, occipital alpha and sensor noise. From session to session the late response comes later,
gets smaller and moves, and the rest of the brain changes its loudness; within a session nothing changes.

Source: Farwell & Donchin (1988, Electroencephalogr Clin Neurophysiol 70:510) for the paradigm; Shenoy et al. (2006, J
Neural Eng 3:R13) for what changes between sessions.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.signal.coloured_noise import coloured
from braindec.signal.spherical_head import eeg_gains, montage_info
from braindec.types import ArraySignal, Recording

__all__ = ["CHANNELS", "speller_recordings"]

CHANNELS = ("Fz", "Cz", "Pz", "P3", "P4", "PO7", "PO8", "Oz")
_PLACES = {"visual": (0.0, -0.068, 0.028), "n200": (-0.045, -0.05, 0.03), "n200 right": (0.045, -0.05, 0.03), "p300": (0.0, -0.03, 0.06)}  # fmt: skip
_MICRO, _LEAD = 1e-6, 2.0


def speller_recordings(
    subject: str = "01",
    *,
    n_sessions: int = 4,
    n_runs: int = 2,
    n_selections: int = 5,
    n_items: int = 6,
    n_repeats: int = 6,
    soa: float = 0.2,
    pause: float = 3.0,
    sfreq: float = 128.0,
    strength: float = 1.0,
    drift: float = 1.0,
    seed: int = 0,
) -> list[Recording]:
    """Make the runs of one subject in order of time.

    Parameters
    ----------
    subject : str
        Another subject has another head and another strength.
    n_sessions, n_runs, n_selections, n_items, n_repeats : int
        Sessions, runs of each, selections of each run, choices, flashes of each choice in a selection.
    soa, pause : float
        From one flash to the next, and between selections, s.
    sfreq : float
        Hz.
    strength : float
        Of the response to the meant choice; 0 leaves nothing to decode.
    drift : float
        How much sessions after the first differ from it; 0 not at all.
    seed : int

    Returns
    -------
    list of Recording
        V. Events: onset, duration, trial_type ("target" or "nontarget"), item, selection, repetition.

    Raises
    ------
    BraindecError
        If there is nothing to choose or to record.
    """
    if min(n_sessions, n_runs, n_selections, n_repeats) < 1 or n_items < 2 or soa <= 0 or sfreq < 40 or drift < 0:
        raise BraindecError(
            "a speller needs sessions, runs, selections, repeats, two items or more, and time between flashes",
            found=f"{n_sessions}, {n_runs}, {n_selections}, {n_repeats}, {n_items} items, {soa} s at {sfreq} Hz",
        )
    number = int.from_bytes(subject.encode()[-6:], "big")
    head = np.random.default_rng([seed, number, 1])
    own = strength * head.uniform(0.85, 1.2)
    places = np.array(list(_PLACES.values())) + head.normal(0, 0.004, (len(_PLACES), 3))
    places *= np.minimum(1.0, 0.078 / np.linalg.norm(places, axis=1, keepdims=True))  # inside the brain
    brain = head.normal(size=(40, 3))
    brain *= (0.075 * head.uniform(0.4, 1.0, 40) ** (1 / 3) / np.linalg.norm(brain, axis=1))[:, None]
    noise = _gains(brain, head.normal(size=brain.shape))
    alpha = _gains(np.array([[-0.015, -0.06, 0.03], [0.015, -0.06, 0.03]]), None)
    direction = head.choice([-1, 1])
    found = []
    for session in range(n_sessions):
        change, size = np.random.default_rng([seed, number, 2, session]), drift * session
        moved = np.concatenate([places[:1], places[1:] @ _turn(0.1 * size * direction).T])
        late = size * 0.018 + (size > 0) * change.normal(0, 0.005)
        courses = _courses(sfreq, own * max(0.3, 1 - 0.08 * size), 0.33 + late, 0.21 + late / 2)
        loud = float(np.exp(min(size, 1) * change.normal(0, 0.08)))
        for run in range(1, n_runs + 1):
            rng = np.random.default_rng([seed, number, 3, session, run])
            events = _events(n_selections, n_items, n_repeats, soa, pause, sfreq, rng)
            signal = _signal(events, _gains(moved, None), courses, loud * noise, alpha, sfreq, rng)
            info = {"dataset": "simulated speller", "subject": subject, "session": f"{session + 1:02d}", "run": f"{run:02d}",
                    "task": "speller", "modality": "eeg", "space": "head, template"}  # fmt: skip
            found.append(Recording(ArraySignal(signal.astype(np.float32)), sfreq, _channels(), events, info))
    return found


def _events(
    n_selections: int, n_items: int, n_repeats: int, soa: float, pause: float, sfreq: float, rng: np.random.Generator
) -> pd.DataFrame:
    """Flashes in random order within each repeat, never one choice twice in a row."""
    rows, onset = [], _LEAD
    for selection in range(n_selections):
        meant, before = int(rng.integers(n_items)), -1
        for repeat in range(n_repeats):
            order = rng.permutation(n_items)
            if order[0] == before:
                order = np.roll(order, -1)
            before = int(order[-1])
            for item in order.tolist():
                kind = "target" if item == meant else "nontarget"
                rows.append(
                    (round(onset * sfreq) / sfreq, 0.1, kind, f"item {item + 1}", f"{selection + 1:02d}", repeat + 1)
                )
                onset += soa
        onset += pause
    return pd.DataFrame(rows, columns=["onset", "duration", "trial_type", "item", "selection", "repetition"])


def _courses(sfreq: float, strength: float, p300: float, n200: float) -> np.ndarray:
    """Responses over 0.8 s, uV at the strongest channel, (visual, n200, n200, p300)."""
    t = np.arange(round(0.8 * sfreq)) / sfreq
    visual = 2.5 * np.exp(-0.5 * ((t - 0.1) / 0.02) ** 2) - 1.5 * np.exp(-0.5 * ((t - 0.16) / 0.03) ** 2)
    early = -1.6 * strength * np.exp(-0.5 * ((t - n200) / 0.025) ** 2)
    late = 3.4 * strength * np.exp(-0.5 * ((t - p300) / 0.05) ** 2)
    return np.stack([visual, early, early, late])


def _signal(
    events: pd.DataFrame, gains: np.ndarray, courses: np.ndarray, noise: np.ndarray, alpha: np.ndarray, sfreq: float,
    rng: np.random.Generator,
) -> np.ndarray:  # fmt: skip
    """Return one run in V, (channel, time)."""
    n = round((events["onset"].iloc[-1] + _LEAD) * sfreq)
    start = np.round(events["onset"].to_numpy() * sfreq).astype(int)
    meant = (events["trial_type"] == "target").to_numpy()
    sources = np.zeros((len(courses), n))
    for sample, is_target in zip(start, meant, strict=True):
        drive = np.r_[rng.normal(1, 0.2), np.full(len(courses) - 1, is_target * rng.normal(1, 0.3))]
        stop = min(n, sample + courses.shape[1])
        sources[:, sample:stop] += drive[:, None] * courses[:, : stop - sample]
    brain = noise @ coloured(rng, (noise.shape[1], n), sfreq, exponent=1.0, corner=0.7)
    waves = alpha @ coloured(rng, (alpha.shape[1], n), sfreq, exponent=0.0, band=(8.5, 11.5))
    sensor = coloured(rng, (len(gains), n), sfreq, exponent=0.0)
    return _MICRO * (gains @ sources + 1.4 * brain + 2.5 * waves + 1.5 * sensor)


def _gains(places: np.ndarray, directions: np.ndarray | None) -> np.ndarray:
    """Potential of each channel for each dipole (radial ones by default), the strongest channel 1."""
    aim = places if directions is None else directions
    found = eeg_gains(CHANNELS, places, aim / np.linalg.norm(aim, axis=1, keepdims=True), on_sphere=True)
    return found / np.abs(found).max(axis=0)


def _turn(angle: float) -> np.ndarray:
    """Rotation about an axis between left-right and up, by an angle in radians."""
    axis = np.array([0.8, 0.0, 0.6])
    cross = np.cross(np.eye(3), axis)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def _channels() -> pd.DataFrame:
    at = np.array([c["loc"][:3] for c in montage_info(CHANNELS, 100.0)["chs"]])
    return pd.DataFrame(
        {"name": list(CHANNELS), "type": "eeg", "unit": "V", "x": at[:, 0], "y": at[:, 1], "z": at[:, 2]}
    )
