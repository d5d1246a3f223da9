"""Small windows and features in memory, with a planted linear signal: for tests and examples of every other room."""

from __future__ import annotations

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, did_you_mean
from braindec.signal.coloured_noise import coloured
from braindec.types import Features, Recording, Windows

_DESIGNS = ("random", "block")
_LEAKS = ("before_onset", "duplicate_run")


def synthetic_features(
    n_stimuli: int = 40, n_units: int = 16, *, n_concepts: int | None = None, seed: int = 0
) -> Features:
    """Make features of stimuli: independent normal numbers around a mean for each concept.

    Parameters
    ----------
    n_stimuli, n_units : int
        Shape; ids are ``stim-000``, ``stim-001``, ...
    n_concepts : int, optional
        Concepts, shown in turn; one a stimulus by default (then a concept is a stimulus).
    seed : int
        Same seed, same numbers.
    """
    rng = np.random.default_rng([seed, 20])
    n_concepts = n_stimuli if n_concepts is None else n_concepts
    concept = np.arange(n_stimuli) % n_concepts
    values = 0.6 * rng.normal(size=(n_concepts, n_units))[concept] + 0.8 * rng.normal(size=(n_stimuli, n_units))
    items = pd.DataFrame(
        {
            "stimulus_id": [f"stim-{i:03d}" for i in range(n_stimuli)],
            "concept_id": [f"concept-{c:03d}" for c in concept],
        }
    )
    return Features(values.astype(np.float32), items, info={"model": "synthetic", "seed": seed})


def synthetic_windows(
    features: Features | None = None,
    *,
    n_subjects: int = 1,
    n_runs: int = 4,
    n_trials: int = 40,
    n_classes: int = 2,
    n_channels: int = 8,
    sfreq: float = 100.0,
    tmin: float = -0.1,
    tmax: float = 0.5,
    soa: float = 0.8,
    strength: float = 1.0,
    design: str = "random",
    drift: float = 0.0,
    leak: str | None = None,
    seed: int = 0,
) -> Windows:
    """Make windows of continuous simulated EEG that carry the class and the features of the stimulus shown.

    Parameters
    ----------
    features : Features, optional
        What the stimuli are; ``synthetic_features(seed=seed)`` by default. A stimulus's class is its concept's number
        modulo ``n_classes``.
    n_subjects, n_runs, n_trials, n_classes, n_channels : int
        ``n_trials`` is for each run. Each subject has topographies of its own.
    sfreq, tmin, tmax, soa : float
        Hz; s from onset (``tmax`` not included); s from onset to onset (jittered by 10 %).
    strength : float
        Peak of the signal of the class, and of that of the features, in units of the noise's standard deviation (typical
        over channels); 0 plants nothing.
    design : str
        "random": stimuli in random order within the run. "block": all trials of a class follow each other.
    drift : float
        Standard deviation of a slow drift in the same units; with blocks it makes the class decodable from time alone.
    leak : str, optional
        "before_onset": the signal of a class is there before the stimulus. "duplicate_run": the last run is a copy of
        the first under another name.
    seed : int
        Same seed, same bytes.

    Returns
    -------
    Windows
        In V; trials hold subject, session, run, onset, duration, trial_type ("class-0", ...), stimulus_id, concept_id,
        repetition. ``info["topographies"]`` is (subject, channel, component) and ``info["course"]`` the time course
        over ``times``; component 0 is the class (-1 to 1), the others ``features @ info["directions"].T``, standardised
        over the stimuli.

    Raises
    ------
    BraindecError
        If design or leak is unknown.
    """
    for asked, known, what in ((design, _DESIGNS, "design"), (leak, (None, *_LEAKS), "leak")):
        if asked not in known:
            raise BraindecError(
                f"there is no {what} {asked!r}{did_you_mean(str(asked), map(str, known))}",
                allowed=", ".join(map(str, known)),
            )
    features = synthetic_features(seed=seed) if features is None else features
    n_times = round((tmax - tmin) * sfreq)
    times = tmin + np.arange(n_times) / sfreq
    kinds = _class_numbers(features, n_classes)
    drives, directions = _drives(features, kinds, n_classes, seed)
    recordings, index, tables, topographies = [], [], [], []
    for s in range(n_subjects):
        mixing = np.random.default_rng([seed, 22, s]).normal(size=(n_channels, drives.shape[1]))
        mixing[:, 1:] /= np.sqrt(drives.shape[1] - 1)  # class and features are equally strong
        topographies.append(1e-5 * strength * mixing)
        for run in range(n_runs):
            number = 0 if leak == "duplicate_run" and run == n_runs - 1 else run
            rng = np.random.default_rng([seed, 23, s, number])
            shown = _order(kinds, n_trials, design, rng)
            onset = np.round((1.0 + np.cumsum(soa * rng.uniform(0.9, 1.1, n_trials))) * sfreq).astype(int)
            shape = n_channels, int(onset[-1] + (tmax + 2) * sfreq)
            signal = coloured(rng, shape, sfreq, exponent=0.6, corner=0.5)
            signal += drift * coloured(rng, shape, sfreq, exponent=2.0, corner=0.01, band=(0.0, 0.08))
            _add(signal, onset, drives[shown], mixing * strength, sfreq, tmin, leak)
            events = _events(features, shown, kinds, onset / sfreq)
            keys = {"subject": f"{s + 1:02d}", "session": "01", "run": f"{run + 1:02d}"}
            index.append(np.column_stack([np.full(n_trials, len(recordings)), onset + round(tmin * sfreq)]))
            recordings.append(_recording(signal, sfreq, events, keys))
            tables.append(events.assign(**keys))
    told = {"topographies": np.stack(topographies), "course": _course(times), "directions": directions}
    return Windows(tuple(recordings), np.concatenate(index), n_times, pd.concat(tables, ignore_index=True), tmin, told)


def _drives(features: Features, kinds: np.ndarray, n_classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """How strongly each stimulus drives each component, (stimulus, 1 + n), and the directions (n, unit) of the features."""
    rng = np.random.default_rng([seed, 21])
    directions = np.linalg.qr(rng.normal(size=(features.shape[1], min(6, features.shape[1]))))[0].T
    values = features.load()
    linear = (values - values.mean(axis=0)) @ directions.T
    linear = linear / (linear.std(axis=0) + 1e-12)
    return np.column_stack([2.0 * kinds / max(n_classes - 1, 1) - 1, linear]), directions


def _events(features: Features, shown: np.ndarray, kinds: np.ndarray, onset: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({
        "onset": onset, "duration": 0.2, "trial_type": [f"class-{k}" for k in kinds[shown]], "stimulus_id": features.ids[shown],
        "concept_id": _concepts(features)[shown], "repetition": pd.Series(shown).groupby(shown).cumcount() + 1,
    })  # fmt: skip


def _recording(signal: np.ndarray, sfreq: float, events: pd.DataFrame, keys: dict[str, str]) -> Recording:
    channels = pd.DataFrame({"name": [f"E{c + 1}" for c in range(len(signal))], "type": "eeg", "unit": "V"})
    info = {"dataset": "synthetic", "task": "images", "modality": "eeg", **keys}
    return Recording((1e-5 * signal).astype(np.float32), sfreq, channels, events, info)


def _concepts(features: Features) -> np.ndarray:
    items = features.items
    return items["concept_id" if "concept_id" in items else "stimulus_id"].astype(str).to_numpy(dtype=object)


def _class_numbers(features: Features, n_classes: int) -> np.ndarray:
    return np.unique(_concepts(features), return_inverse=True)[1] % n_classes


def _order(kinds: np.ndarray, n_trials: int, design: str, rng: np.random.Generator) -> np.ndarray:
    """Which stimulus each trial shows: all of them once in random order before any comes again."""
    rounds = -(-n_trials // len(kinds))
    shown = np.concatenate([rng.permutation(len(kinds)) for _ in range(rounds)])[:n_trials]
    if design == "block":
        place = rng.permutation(kinds.max() + 1)  # the order of the blocks is drawn for each run
        shown = shown[np.argsort(place[kinds[shown]], kind="stable")]
    return shown


def _course(times: np.ndarray) -> np.ndarray:
    """0 before onset, then a peak at 150 ms and a broader one at 300 ms."""
    shape = np.exp(-0.5 * ((times - 0.15) / 0.03) ** 2) + 0.6 * np.exp(-0.5 * ((times - 0.3) / 0.06) ** 2)
    return np.where(times >= 0.04, shape, 0.0)


def _add(
    signal: np.ndarray,
    onset: np.ndarray,
    drives: np.ndarray,
    mixing: np.ndarray,
    sfreq: float,
    tmin: float,
    leak: str | None,
) -> None:
    """Add the planted signal of each trial in place; ``drives`` is (trial, component), ``mixing`` (channel, component)."""
    shape = _course(np.arange(int(0.6 * sfreq)) / sfreq)
    for start, drive in zip(onset, drives, strict=True):
        signal[:, start : start + len(shape)] += np.outer(mixing @ drive, shape)
        if leak == "before_onset":
            first = start + round(min(tmin, 0) * sfreq)
            signal[:, first:start] += (mixing[:, 0] * drive[0])[:, None]
