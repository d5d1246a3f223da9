"""sEEG of made-up subjects who hear words at a steady rate: channels that follow words, phrases or sentences, in 1/f noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.signal.coloured_noise import coloured
from braindec.stats.asked import number, seed_of, whole
from braindec.types import Recording, Windows

__all__ = ["TaggedTruth", "tagged_recordings", "tagged_seeg", "tagged_windows"]

# region -> (centre in MNI, mm; how likely a channel there follows each rate, relative to others)
REGIONS: dict[str, tuple[tuple[float, float, float], dict[str, float]]] = {
    "A1": ((-46.0, -22.0, 8.0), {"word": 1.0}),
    "STG": ((-60.0, -20.0, 2.0), {"word": 0.6, "phrase": 0.6, "sentence": 0.4}),
    "MTG": ((-60.0, -35.0, -6.0), {"phrase": 0.8, "sentence": 0.8}),
    "IFG": ((-50.0, 20.0, 14.0), {"phrase": 0.6, "sentence": 1.0}),
    "Insula": ((-38.0, 4.0, 2.0), {"word": 0.2}),
    "Hippocampus": ((-28.0, -20.0, -16.0), {}),
}
_VOLT = 20e-6  # standard deviation of the background
_CORNER = 0.1  # Hz: the background is flat below


@dataclass(frozen=True)
class TaggedTruth:
    """What was planted in :func:`tagged_seeg`.

    Attributes
    ----------
    channels : DataFrame
        One row a subject, channel and rate: subject, name, region, rate, frequency (Hz), tagged (bool), amplitude (V, 0
        where it is not tagged), phase (rad), snr (power of the tag over power of the background in one bin of one trial).
    rates : mapping
        Name -> Hz.
    conditions : mapping
        Condition -> the rates that are there in it.
    """

    channels: pd.DataFrame
    rates: Mapping[str, float]
    conditions: Mapping[str, Sequence[str]]

    def tagged(self, subject: str, rate: str) -> np.ndarray:
        """Return which channels of a subject follow a rate, in order, shape (n_channels,), bool."""
        rows = self.channels[(self.channels["subject"] == subject) & (self.channels["rate"] == rate)]
        return rows["tagged"].to_numpy(dtype=bool)


def tagged_seeg(
    design: Any = None,
    *,
    rates: Mapping[str, float] | None = None,
    duration: float | None = None,
    conditions: Mapping[str, Sequence[str]] | None = None,
    texts: Mapping[str, Sequence[str]] | None = None,
    n_subjects: int = 3,
    n_channels: int = 24,
    n_trials: int = 24,
    n_runs: int = 2,
    snr: float = 1.0,
    tagged: float = 0.3,
    sfreq: float = 64.0,
    exponent: float = 1.0,
    onset_response: float = 2.0,
    second_harmonic: float = 0.0,
    seed: int = 0,
) -> tuple[list[Windows], TaggedTruth]:
    """Return sEEG trials of sentences, phrases and random words in which known channels follow known rates.

    The background is 1/f noise over the whole run. A tagged channel adds ``amplitude cos(2 pi f t + phase)`` from the
    onset of each trial of a condition that has the rate. Every trial begins with a transient that dies out within 1 s.

    Parameters
    ----------
    design : optional
        An object or mapping with ``rates`` (name -> Hz) and ``duration`` (s a trial), such as a stimulus design.
    rates : mapping of str to float, optional
        Instead of a design; {"sentence": 1.0, "phrase": 2.0, "word": 4.0} by default.
    duration : float, optional
        s a trial, 9 by default: 1 s to drop, and 8 s in which all rates are whole numbers of periods.
    conditions : mapping, optional
        Condition -> rates there; by default sentence: all, phrase: all but the slowest, random: the fastest.
    texts : mapping, optional
        Condition -> what was said in each trial; kept as the column ``text``. Their number is the number of trials.
    n_trials : int
        Trials a condition and subject, each with words of its own.
    n_runs : int
        Trials are dealt to runs at random.
    snr : float
        Power of a tag over the expected power of the background in that frequency bin of one whole trial. At 0.5 and 24
        trials, tagged channels are told from others with an area under the curve above 0.95 by the mean coefficient of
        a condition; tests against a control condition need the default of 1.
    tagged : float
        Share of channels that follow each rate, spread over the regions as REGIONS says.
    exponent : float
        Power of the background falls as 1/f^exponent.
    onset_response : float
        Size of the transient, in standard deviations of the background.
    second_harmonic : float
        Amplitude at twice the rate relative to that at the rate: the trap where one rate is twice another.
    seed : int

    Returns
    -------
    list of Windows of shape (n_conditions * n_trials, n_channels, duration * sfreq), V
        One a subject; ``trials`` has subject, session, run, onset, duration, trial_type (the condition), stimulus_id and
        repetition; ``channels`` has positions (m, MNI) and regions.
    TaggedTruth

    Raises
    ------
    BraindecError
        If a rate is not below half of ``sfreq``, or a condition names an unknown rate.
    """
    numbers = {
        "snr": snr,
        "tagged": tagged,
        "exponent": exponent,
        "onset_response": onset_response,
        "second_harmonic": second_harmonic,
    }
    for name, value in numbers.items():
        number(value, name, least=-np.inf if name == "exponent" else 0.0)
    for name, value in (
        ("n_subjects", n_subjects),
        ("n_channels", n_channels),
        ("n_trials", n_trials),
        ("n_runs", n_runs),
    ):
        whole(value, name, least=1)
    number(sfreq, "sfreq", least=0.0, ends=False, unit="Hz")
    seed_of(seed)
    if duration is not None:
        number(duration, "duration", unit="s")
    for name, value in (("rates", rates), ("conditions", conditions), ("texts", texts)):
        if value is not None and (not isinstance(value, Mapping) or not value):
            raise BraindecError(
                f"{name} are named", found=repr(value)[:60], allowed='a mapping such as {"sentence": ...}'
            )
    if design is not None and not isinstance(design, Mapping) and getattr(design, "rates", None) is None:
        raise BraindecError(
            "a design says rates, duration or conditions",
            found=repr(design)[:60],
            fix="braindec.llm.tag_stimuli.design",
        )
    given = {
        key: value for key, value in locals().items() if key not in ("sfreq", "n_subjects", "numbers", "name", "value")
    }
    subjects = [f"{s + 1:02d}" for s in range(n_subjects)]
    made = [tagged_recordings(subject, sfreq=sfreq, **given) for subject in subjects]
    windows = [tagged_windows(recordings) for recordings, _ in made]
    truth = [truth for _, truth in made]
    table = pd.concat([t.channels for t in truth], ignore_index=True)
    return windows, TaggedTruth(table, truth[0].rates, truth[0].conditions)


def tagged_windows(recordings: Sequence[Recording]) -> Windows:
    """Cut the trials of :func:`tagged_recordings`."""
    sfreq = recordings[0].sfreq
    n_times = round(float(recordings[0].events["duration"].iloc[0]) * sfreq)
    index, tables = [], []
    for place, recording in enumerate(recordings):
        first = np.round(recording.events["onset"].to_numpy() * sfreq).astype(int)
        index.append(np.column_stack([np.full(len(first), place), first]))
        keys = {key: recording.info[key] for key in ("subject", "session", "run")}
        tables.append(recording.events.assign(**keys))
    trials = pd.concat(tables, ignore_index=True)
    trials["repetition"] = 0
    return Windows(tuple(recordings), np.concatenate(index), n_times, trials)


def tagged_recordings(
    subject: str, *, design: Any, rates: Mapping[str, float] | None, duration: float | None,
    conditions: Mapping[str, Sequence[str]] | None, texts: Mapping[str, Sequence[str]] | None, n_channels: int, n_trials: int,
    n_runs: int, snr: float, tagged: float, sfreq: float, exponent: float, onset_response: float, second_harmonic: float, seed: int,
) -> tuple[list[Recording], TaggedTruth]:  # fmt: skip
    """Return the continuous runs of one subject; parameters as :func:`tagged_seeg`."""
    rates, duration, conditions = _settle(design, rates, duration, conditions, sfreq)
    n_trials = {name: len(texts[name]) if texts and name in texts else n_trials for name in conditions}
    if min(n_trials.values()) < n_runs or n_runs < 1 or n_channels < 1 or snr < 0:
        raise BraindecError(
            "each run needs a trial of each condition, and snr cannot be negative", found=f"{n_trials} trials, {n_runs} runs, snr {snr}"
        )  # fmt: skip
    rng = np.random.default_rng([seed, 81, int(subject)])
    channels = _channels(n_channels, rng)
    planted = _plant(channels, rates, duration, snr, tagged, sfreq, exponent, rng)
    order = [(name, k) for name, count in n_trials.items() for k in range(count)]
    order = [order[k] for k in rng.permutation(len(order))]
    order.sort(
        key=lambda trial: trial[1] % n_runs
    )  # stable: every run has its share of each condition, in random order
    recordings = []
    for run in range(n_runs):
        shown = [trial for trial in order if trial[1] % n_runs == run]
        gap = duration + 1.0
        events = pd.DataFrame({
            "onset": 1.0 + gap * np.arange(len(shown)), "duration": duration, "trial_type": [name for name, _ in shown],
            "stimulus_id": [f"{name}-{k:03d}" for name, k in shown],
        })  # fmt: skip
        events["concept_id"] = events["stimulus_id"]  # each trial has words of its own
        if texts:
            events["text"] = [texts[name][k] if name in texts else "n/a" for name, k in shown]
        n_times = round((1.0 + gap * len(shown)) * sfreq)
        signal = coloured(rng, (n_channels, n_times), sfreq, exponent=exponent, corner=_CORNER)
        signal += _responses(
            events, channels, planted, rates, conditions, n_times, sfreq, onset_response, second_harmonic
        )
        info = {"dataset": "synthetic-tagged-seeg", "subject": subject, "session": "01", "task": "listening", "run": f"{run + 1:02d}",
                "modality": "ieeg", "space": "MNI152NLin2009cAsym"}  # fmt: skip
        recordings.append(Recording((_VOLT * signal).astype(np.float32), sfreq, channels, events, info))
    table = planted.assign(subject=subject, amplitude=planted["amplitude"] * _VOLT)
    return recordings, TaggedTruth(table, rates, conditions)


def _settle(
    design: Any,
    rates: Mapping[str, float] | None,
    duration: float | None,
    conditions: Mapping[str, Sequence[str]] | None,
    sfreq: float,
) -> tuple[dict[str, float], float, dict[str, Sequence[str]]]:
    """Rates, duration and conditions, from the design where they are not given."""

    def of_design(name: str) -> Any:
        return design.get(name) if isinstance(design, Mapping) else getattr(design, name, None)

    found = rates or (of_design("rates") if design is not None else None) or {"sentence": 1.0, "phrase": 2.0, "word": 4.0}  # fmt: skip
    found = {str(name): float(rate) for name, rate in dict(found).items()}
    length = float(duration or (of_design("duration") if design is not None else None) or 9.0)
    slow = sorted(found, key=lambda name: found[name])
    used = dict(conditions or {"sentence": tuple(slow), "phrase": tuple(slow[1:] or slow), "random": tuple(slow[-1:])})
    for name, there in used.items():
        if unknown := [rate for rate in there if rate not in found]:
            raise BraindecError(
                f"the condition {name!r} has a rate that is not there: {unknown[0]!r}", allowed=", ".join(found)
            )
    fastest = max(found.values())
    if not 0 < min(found.values()) <= fastest < sfreq / 2 or length <= 1.0:
        raise BraindecError(
            "rates must lie between 0 and half the sampling frequency, and a trial must last more than 1 s",
            found=f"{found} Hz, sfreq {sfreq:g} Hz, {length:g} s",
        )
    return found, length, used


def _channels(n: int, rng: np.random.Generator) -> pd.DataFrame:
    """Contacts on shafts, one shaft a region, 3.5 mm apart, from deep to lateral."""
    names = list(REGIONS)
    rows = []
    for k in range(n):
        region, contact = names[k % len(names)], k // len(names)
        centre = np.array(REGIONS[region][0]) / 1000
        along = np.array([-1.0, 0.15 * (names.index(region) - 2), 0.1]) * 0.0035 * (contact - (n // len(names) - 1) / 2)
        place = centre + along + rng.normal(0, 0.0004, 3)
        rows.append((f"{chr(65 + names.index(region))}{contact + 1}", "seeg", "V", *place, region, "good"))
    rows.sort(key=lambda row: (row[0][0], int(row[0][1:])))
    return pd.DataFrame(rows, columns=["name", "type", "unit", "x", "y", "z", "region", "status"])


def _plant(
    channels: pd.DataFrame, rates: Mapping[str, float], duration: float, snr: float, tagged: float, sfreq: float, exponent: float,
    rng: np.random.Generator,
) -> pd.DataFrame:  # fmt: skip
    """Which channel follows which rate, and how strongly; amplitudes in standard deviations of the background."""
    tables = []
    for name, rate in rates.items():
        likely = np.array([REGIONS[region][1].get(name, 0.05) + 0.02 for region in channels["region"]])
        chosen = rng.choice(
            len(channels), size=max(1, round(tagged * len(channels))), replace=False, p=likely / likely.sum()
        )
        is_tagged = np.isin(np.arange(len(channels)), chosen)
        strength = snr * rng.uniform(0.8, 1.2, len(channels)) * is_tagged
        # share of the variance of the background in one bin, 1 / duration wide: a sinusoid puts amplitude^2 / 2 there
        grid = np.arange(1, int(sfreq / 2 * 100)) / 100
        density = np.maximum(grid, _CORNER) ** -exponent
        share = max(rate, _CORNER) ** -exponent / (density.sum() / 100) / duration
        tables.append(pd.DataFrame({
            "name": channels["name"], "region": channels["region"], "rate": name, "frequency": rate, "tagged": is_tagged,
            "amplitude": np.sqrt(2 * strength * share), "phase": rng.uniform(-np.pi, np.pi, len(channels)), "snr": strength,
        }))  # fmt: skip
    return pd.concat(tables, ignore_index=True)


def _responses(
    events: pd.DataFrame, channels: pd.DataFrame, planted: pd.DataFrame, rates: Mapping[str, float],
    conditions: Mapping[str, Sequence[str]], n_times: int, sfreq: float, onset_response: float, second_harmonic: float,
) -> np.ndarray:  # fmt: skip
    """What the trials add to the background, shape (n_channels, n_times), in its standard deviations."""
    out = np.zeros((len(channels), n_times))
    n = round(float(events["duration"].iloc[0]) * sfreq)
    time = np.arange(n) / sfreq
    transient = onset_response * np.exp(-time / 0.15) * np.minimum(time / 0.05, 1.0) * (time < 1.0)
    heard = channels["region"].map(lambda region: 1.0 if region in ("A1", "STG") else 0.3).to_numpy()
    courses = {}
    for name in rates:
        rows = planted[planted["rate"] == name]
        angle = 2 * np.pi * rates[name] * time + rows["phase"].to_numpy()[:, None]
        courses[name] = rows["amplitude"].to_numpy()[:, None] * (np.cos(angle) + second_harmonic * np.cos(2 * angle))
    for onset, kind in zip(events["onset"], events["trial_type"], strict=True):
        first = round(onset * sfreq)
        out[:, first : first + n] += np.outer(heard, transient)
        for name in conditions[kind]:
            out[:, first : first + n] += courses[name]
    return out
