"""Simulated sEEG of people who read words aloud: shafts through known regions, words made of shared syllables, planted truth.

Each word is a row of syllables from one small inventory, as words of a language are rows of its phonemes. While a syllable
is spoken, contacts of the ventral sensorimotor cortex (vSMC) and the superior temporal gyrus (STG) answer with a slow wave
and with a change of high-gamma power (70 to 150 Hz), each contact with weights of its own for each syllable; the onset and
the pace of speech differ from trial to trial. Everything else is there to be mistaken for it: visual cortex answers to each
printed word alike, the insula to speaking as such, neighbours on a shaft share 1/f noise, all contacts share the noise of the reference,
and the mains hum on top.

Besides the runs of word reading there are runs of free speech without any labels: other rows of the same syllables, which follow
one another by fixed preferences. This is what pre-training can use, by construction: a model that has learned there what syllables
look like has to learn from labels only which word they make. Where unlabelled recordings share nothing with the task
(``shared_syllables=False`` draws other weights for free speech) pre-training has nothing to give.

Source: regions, window, sampling and task after Zheng et al. 2024 (NeurIPS), "Du-IN", section 2; high-gamma tuning of
ventral sensorimotor cortex to speech gestures after Bouchard et al. 2013 (Nature 495:327). Numbers are made up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.signal.coloured_noise import coloured
from braindec.stats.asked import seed_of, whole
from braindec.types import Recording

__all__ = ["WordReading", "WordTruth", "synthetic_word_reading"]

# shaft -> (Destrieux label of its contacts from deep to lateral, place of the first and last contact in MNI, mm)
SHAFTS: dict[str, tuple[tuple[str, str], tuple[float, float, float], tuple[float, float, float]]] = {
    "A": (("G_precentral", "G_precentral"), (-36.0, -4.0, 28.0), (-60.0, -2.0, 26.0)),
    "B": (("S_central", "G_postcentral"), (-36.0, -16.0, 32.0), (-61.0, -14.0, 30.0)),
    "C": (("G_temp_sup-Plan_tempo", "G_temp_sup-Lateral"), (-40.0, -22.0, -2.0), (-65.0, -22.0, 4.0)),
    "D": (("G_insular_short", "G_front_inf-Opercular"), (-34.0, 12.0, 4.0), (-57.0, 14.0, 14.0)),
    "E": (("G_oc-temp_med-Lingual", "G_occipital_middle"), (-14.0, -74.0, -4.0), (-39.0, -82.0, 6.0)),
}
GROUPS = {
    "A": ("vSMC", "vSMC"),
    "B": ("vSMC", "vSMC"),
    "C": ("STG", "STG"),
    "D": ("insula", "IFG"),
    "E": ("visual", "visual"),
}
_SYLLABLES = ("ba", "do", "ki", "lu", "ma", "ne", "po", "ri", "sa", "to", "vi", "zu")
_VOLT = 20e-6  # standard deviation of the background
_HIGH = (70.0, 150.0)  # Hz
_LENGTH = 0.22  # s a syllable
_START = 0.25  # s from the printed word to speech


@dataclass(frozen=True)
class WordTruth:
    """What was planted.

    Parameters
    ----------
    contacts : DataFrame
        One row a subject and contact: subject, name, region (label), group ("vSMC", ...), informative (bool), slow and
        high_gamma (size of its answer, in standard deviations of the background).
    words : mapping of str to tuple of str
        Word -> its syllables.
    preferences : array of shape (n_syllables, n_syllables)
        How likely each syllable follows each in free speech.
    """

    contacts: pd.DataFrame
    words: Mapping[str, tuple[str, ...]]
    preferences: np.ndarray

    def informative(self, subject: str) -> list[str]:
        """Names of the contacts of a subject that carry words."""
        mine = self.contacts[(self.contacts["subject"] == subject) & self.contacts["informative"]]
        return list(mine["name"])


@dataclass(frozen=True, eq=False)
class WordReading:
    """Runs by subject.

    Parameters
    ----------
    reading : dict of str to list of Recording
        Runs in which words are read aloud; events with trial_type "word" and the word as ``text``, ``stimulus_id`` and ``concept_id``.
    speech : dict of str to list of Recording
        Runs of free speech without events.
    truth : WordTruth
    """

    reading: dict[str, list[Recording]]
    speech: dict[str, list[Recording]]
    truth: WordTruth


def synthetic_word_reading(
    *,
    n_subjects: int = 4,
    n_words: int = 61,
    n_runs: int = 4,
    n_repetitions: int = 2,
    n_speech_runs: int = 2,
    speech_duration: float = 120.0,
    n_contacts: int = 6,
    slow: float = 2.0,
    high_gamma: float = 1.0,
    jitter: float = 0.06,
    silent_groups: tuple[str, ...] = (),
    shared_syllables: bool = True,
    line_freq: float = 50.0,
    sfreq: float = 350.0,
    only: Sequence[str] | None = None,
    seed: int = 0,
) -> WordReading:
    """Simulate the runs.

    Parameters
    ----------
    n_subjects, n_words : int
        Words are the same for all subjects; contacts, weights and noise are each subject's own.
    n_runs, n_repetitions : int
        Runs of reading, and how often each word is read in each.
    n_speech_runs : int
    speech_duration : float
        s a run of free speech.
    n_contacts : int
        On each of five shafts.
    slow, high_gamma : float
        Mean size of the slow wave, in standard deviations of the background, and of the change of high-gamma amplitude
        relative to its resting amplitude. Both 0: no word information anywhere.
    jitter : float
        Standard deviation of the onset of speech, s; the pace varies by as many times 2 (of 1) in either direction.
    silent_groups : tuple of str
        "vSMC" or "STG": these contacts carry nothing.
    shared_syllables : bool
        Free speech has the syllables of the words; otherwise their weights are others.
    line_freq, sfreq : float
        Hz.
    only : list of str, optional
        Make these of the subjects "01", "02", ... only; they are the same as among all.
    seed : int
        Same seed, same bytes.

    Raises
    ------
    BraindecError
        If a number cannot be used, or the sampling frequency is too low for high gamma.
    """
    for name, value, least in (("n_subjects", n_subjects, 1), ("n_words", n_words, 2), ("n_runs", n_runs, 1), ("n_repetitions", n_repetitions, 1),
                               ("n_speech_runs", n_speech_runs, 0), ("n_contacts", n_contacts, 2)):  # fmt: skip
        whole(value, name, least=least)
    seed = seed_of(seed)
    if (
        sfreq < 2.2 * _HIGH[1]
        or slow < 0
        or high_gamma < 0
        or speech_duration < 10
        or not 0 <= jitter <= 0.2
        or n_words > 600
    ):
        raise BraindecError(
            "words cannot be simulated so",
            found=f"sfreq={sfreq}, jitter={jitter}, slow={slow}, high_gamma={high_gamma}, speech_duration={speech_duration}, n_words={n_words}",
            allowed=f"sfreq at least {2.2 * _HIGH[1]:g} Hz, sizes of 0 or more, a jitter up to 0.2 s, at least 10 s, at most 600 words",
        )
    nobody = [] if only is None else [s for s in only if s not in {f"{k + 1:02d}" for k in range(n_subjects)}]
    if nobody:
        raise BraindecError(f"there is no subject {nobody[0]!r}", allowed=f"01 to {n_subjects:02d}")
    unknown = set(silent_groups) - {"vSMC", "STG"}
    if unknown:
        raise BraindecError(
            "these groups carry no words to be silenced", found=str(sorted(unknown)), allowed="vSMC, STG"
        )
    rng = np.random.default_rng([seed, 91])
    words = _lexicon(n_words, rng)
    preferences = rng.dirichlet(np.full(len(_SYLLABLES), 0.35), size=len(_SYLLABLES))
    reading, speech, tables = {}, {}, []
    for k in range(n_subjects):
        subject = f"{k + 1:02d}"
        if only is not None and subject not in only:
            continue
        own = np.random.default_rng([seed, 92, k])
        brain = _Brain(
            own, n_contacts, slow=slow, high_gamma=high_gamma, silent=silent_groups, sfreq=sfreq, line_freq=line_freq
        )
        other = brain.weights if shared_syllables else brain.draw(np.random.default_rng([seed, 93, k]))
        reading[subject] = [_reading_run(brain, subject, r, words, n_repetitions, jitter, own) for r in range(n_runs)]
        speech[subject] = [
            _speech_run(brain, other, subject, r, preferences, speech_duration, own) for r in range(n_speech_runs)
        ]
        tables.append(brain.table.assign(subject=subject))
    return WordReading(reading, speech, WordTruth(pd.concat(tables, ignore_index=True), words, preferences))


def _lexicon(n: int, rng: np.random.Generator) -> dict[str, tuple[str, ...]]:
    """Words of three different syllables, no two with more than two of them in the same places."""
    every = [
        (a, b, c)
        for a in range(len(_SYLLABLES))
        for b in range(len(_SYLLABLES))
        for c in range(len(_SYLLABLES))
        if len({a, b, c}) == 3
    ]
    chosen = [every[k] for k in rng.permutation(len(every))[:n]]
    rows = [tuple(_SYLLABLES[k] for k in row) for row in chosen]
    return dict(sorted(("".join(row), row) for row in rows))


class _Brain:
    """Contacts of one subject and how they answer."""

    def __init__(
        self, rng: np.random.Generator, n_contacts: int, *, slow: float, high_gamma: float, silent: tuple[str, ...], sfreq: float,
        line_freq: float,
    ) -> None:  # fmt: skip
        self.sfreq, self.line_freq = sfreq, line_freq
        rows = []
        for shaft, (labels, deep, lateral) in SHAFTS.items():
            shift = rng.normal(0, 2.0, 3)
            for k in range(n_contacts):
                share = k / (n_contacts - 1)
                place = (1 - share) * np.array(deep) + share * np.array(lateral) + shift
                half = int(share >= 0.5)
                rows.append(
                    (f"{shaft}{k + 1}", "seeg", "V", *(place / 1000), labels[half], "good", shaft, GROUPS[shaft][half])
                )
        table = pd.DataFrame(
            rows, columns=["name", "type", "unit", "x", "y", "z", "region", "status", "shaft", "group"]
        )
        self.channels = table.drop(columns=["shaft", "group"])
        self.shafts = pd.factorize(table["shaft"])[0]
        group = table["group"].to_numpy()
        carries = np.isin(group, [g for g in ("vSMC", "STG") if g not in silent])
        strength = np.where(carries, rng.uniform(0.6, 1.4, len(table)), 0.0) * (rng.uniform(size=len(table)) < 0.8)
        self.sizes = (slow * strength, high_gamma * strength)
        self.visual, self.speaking = group == "visual", (group == "insula") | carries
        self.hum = np.exp(rng.normal(-1.5, 0.5, len(table)))
        self.weights = self.draw(rng)
        self.table = table[["name", "region", "group"]].assign(
            informative=strength > 0 if slow or high_gamma else False, slow=self.sizes[0], high_gamma=self.sizes[1]
        )

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Weights of each contact for each syllable: signed for the slow wave, 0 or more for high gamma."""
        shape = (len(self.channels), len(_SYLLABLES))
        signed = rng.normal(size=shape)
        positive = rng.gamma(0.6, 1.0, size=shape)
        return self.sizes[0][:, None] * signed, self.sizes[1][:, None] * positive / 0.6

    def run(
        self, n_times: int, spoken: pd.DataFrame, printed: np.ndarray, weights: tuple[np.ndarray, np.ndarray], rng: np.random.Generator
    ) -> np.ndarray:  # fmt: skip
        """Signal in V of a run, (n_contacts, n_times); ``spoken``: syllable, onset and duration (s); ``printed``: onsets (s)."""
        n = len(self.channels)
        common = coloured(rng, (self.shafts.max() + 1, n_times), self.sfreq, exponent=1.2, corner=1.0)[self.shafts]
        out = 0.8 * coloured(rng, (n, n_times), self.sfreq, exponent=1.2, corner=1.0) + 0.5 * common
        out += 0.3 * coloured(rng, (1, n_times), self.sfreq, exponent=0.8, corner=1.0)
        drive, wave = np.zeros((len(_SYLLABLES), n_times)), np.zeros((len(_SYLLABLES), n_times))
        for syllable, onset, duration in spoken[["syllable", "onset", "duration"]].itertuples(index=False):
            first, long = round((onset - 0.05) * self.sfreq), round(1.5 * duration * self.sfreq)
            if first < 0 or first + long > n_times:
                continue
            u = (np.arange(long) + 0.5) / long
            drive[syllable, first : first + long] += np.sin(np.pi * u) ** 2
            wave[syllable, first : first + long] += np.sin(2 * np.pi * u) * np.sin(np.pi * u)
        out += weights[0] @ wave
        high = coloured(rng, (n, n_times), self.sfreq, exponent=0.0, band=_HIGH)
        out += 0.12 * high * (1 + weights[1] @ drive + 0.6 * np.outer(self.speaking, drive.sum(0)))
        out += 1.5 * np.outer(self.visual, self._printed(printed, n_times))
        time = np.arange(n_times) / self.sfreq
        for harmonic in (1, 3):
            if harmonic * self.line_freq < 0.49 * self.sfreq:
                out += np.outer(
                    self.hum / harmonic, np.sin(2 * np.pi * harmonic * self.line_freq * time + rng.uniform(0, 6))
                )
        return (_VOLT * out).astype(np.float32)

    def _printed(self, onsets: np.ndarray, n_times: int) -> np.ndarray:
        course = np.zeros(n_times)
        u = np.arange(round(0.4 * self.sfreq)) / self.sfreq
        answer = np.exp(-0.5 * ((u - 0.12) / 0.03) ** 2) - 0.6 * np.exp(-0.5 * ((u - 0.22) / 0.05) ** 2)
        for onset in onsets:
            first = round(onset * self.sfreq)
            course[first : first + len(u)] += answer[: n_times - first]
        return course


def _reading_run(
    brain: _Brain, subject: str, run: int, words: Mapping[str, tuple[str, ...]], n_repetitions: int, jitter: float, rng: np.random.Generator
) -> Recording:  # fmt: skip
    names = list(words)
    order = np.concatenate([rng.permutation(len(names)) for _ in range(n_repetitions)])
    onset = 1.0 + np.cumsum(rng.uniform(1.45, 1.65, len(order)))
    onset = np.round(onset * brain.sfreq) / brain.sfreq
    spoken = []
    for word, at in zip(order, onset, strict=True):
        begin = at + _START + float(np.clip(rng.normal(0, jitter), -0.2, 0.2))
        pace = _LENGTH * rng.uniform(1 - 2 * jitter, 1 + 2 * jitter)
        spoken += [(_SYLLABLES.index(s), begin + k * pace, pace) for k, s in enumerate(words[names[word]])]
    text = np.array([names[k] for k in order], dtype=object)
    events = pd.DataFrame(
        {
            "onset": onset,
            "duration": 3 * _LENGTH,
            "trial_type": "word",
            "text": text,
            "stimulus_id": text,
            "concept_id": text,
        }
    )
    n_times = round((onset[-1] + 2.5) * brain.sfreq)
    signal = brain.run(n_times, _table(spoken), onset, brain.weights, rng)
    return Recording(signal, brain.sfreq, brain.channels, events, _info(subject, "reading", run, brain.line_freq))


def _speech_run(
    brain: _Brain, weights: tuple[np.ndarray, np.ndarray], subject: str, run: int, preferences: np.ndarray, duration: float,
    rng: np.random.Generator,
) -> Recording:  # fmt: skip
    spoken, at, last = [], 1.0, int(rng.integers(len(_SYLLABLES)))
    while at < duration - 1.0:
        pace = _LENGTH * rng.uniform(0.92, 1.08)
        spoken.append((last, at, pace))
        at += pace + (rng.uniform(0.2, 0.6) if rng.uniform() < 0.15 else 0.0)  # now and then a pause
        last = int(rng.choice(len(_SYLLABLES), p=preferences[last]))
    signal = brain.run(round(duration * brain.sfreq), _table(spoken), np.empty(0), weights, rng)
    return Recording(signal, brain.sfreq, brain.channels, info=_info(subject, "speech", run, brain.line_freq))


def _table(spoken: list[tuple[int, float, float]]) -> pd.DataFrame:
    return pd.DataFrame(spoken, columns=["syllable", "onset", "duration"])


def _info(subject: str, task: str, run: int, line_freq: float) -> dict:
    return {"dataset": "synthetic-word-reading", "subject": subject, "session": "01", "task": task, "run": f"{run + 1:02d}",
            "modality": "ieeg", "space": "MNI152NLin2009cAsym", "line_freq": line_freq}  # fmt: skip
