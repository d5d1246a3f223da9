"""Made-up stories that are spoken, and MEG or EEG of subjects who hear them, with known truth.

Sentences come from the grammar of the package, sounds from a small formant synthesiser. Each subject's sensors follow a
handful of latent features of the sound (band energies, rises of the envelope, classes of phonemes, words) after 50 to
250 ms, through smooth topographies; how features mix into sources differs between subjects, so that a model needs a part
of its own for each. Nothing is downloaded; the same seed gives the same bytes.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.loaders import _speech_brain
from braindec.loaders._language_words import sentence
from braindec.loaders._speech_sounds import LONGEST, PHONEMES, SOUND_RATE, phonemes_of, speak
from braindec.loaders.speech_events import EVENT_COLUMNS, sentence_id
from braindec.stats.asked import number, seed_of, whole
from braindec.types import Recording
from braindec.types.signals import ArraySignal

__all__ = ["SpeechTruth", "Story", "made_up_stories", "made_up_story", "speech_recordings"]

_SCALE = {"meg": 3e-13, "eeg": 1e-5}  # T, V: standard deviation of the noise
_TYPES = {"meg": ("mag", "T"), "eeg": ("eeg", "V")}


@dataclass(frozen=True, eq=False)
class Story:
    """A spoken story.

    Attributes
    ----------
    name : str
        Its sound file is ``name + ".wav"``.
    sound : array of shape (n_samples,)
        float32, mono, at 16 kHz.
    words, phonemes : DataFrame
        One row a word or phoneme: onset and duration (s in the sound), trial_type, text, audio, audio_onset, story,
        sentence, sentence_id, word_index.
    """

    name: str
    sound: np.ndarray
    words: pd.DataFrame
    phonemes: pd.DataFrame

    @property
    def audio(self) -> str:
        """Name of the sound file, without folder."""
        return f"{self.name}.wav"

    @property
    def sfreq(self) -> float:
        """Of the sound, Hz."""
        return float(SOUND_RATE)

    @property
    def duration(self) -> float:
        """Of the sound, s."""
        return len(self.sound) / SOUND_RATE

    @property
    def sentences(self) -> pd.DataFrame:
        """One row a sentence, in the columns of ``words``; ``text`` is the sentence, ``word_index`` 0."""
        number = self.words["word_index"].eq(0).cumsum()
        table = self.words.groupby(number, sort=False).head(1).reset_index(drop=True)
        ends = (self.words["onset"] + self.words["duration"]).groupby(number, sort=False).max().to_numpy()
        return table.assign(text=table["sentence"], trial_type="sentence", duration=ends - table["onset"].to_numpy())

    def events(self, start: float = 0.0, *, phonemes: bool = True) -> pd.DataFrame:
        """Return the events of a recording in which the sound begins at ``start`` s: sound, sentences, words, phonemes."""
        whole_sound = pd.DataFrame([(0.0, self.duration, "sound", self.audio, self.audio, 0.0, self.name, "n/a", "n/a", -1)],
                                   columns=list(EVENT_COLUMNS))  # fmt: skip
        parts = [whole_sound, self.sentences, self.words, *([self.phonemes] if phonemes else [])]
        table = pd.concat(parts, ignore_index=True)
        order = table["trial_type"].map({"sound": 0, "sentence": 1, "word": 2, "phoneme": 3})
        place = np.lexsort([order.to_numpy(), table["onset"].to_numpy()])
        table = table.iloc[place].reset_index(drop=True)
        return table.assign(onset=table["onset"] + start)

    def save_sound(self, folder: str | Path) -> Path:
        """Write the sound as 16-bit WAV into a folder and return the file."""
        from scipy.io import wavfile

        path = Path(folder) / self.audio
        path.parent.mkdir(parents=True, exist_ok=True)
        wavfile.write(path, SOUND_RATE, np.round(32767 * self.sound).astype(np.int16))
        return path

    def __repr__(self) -> str:
        return f"<Story {self.name}: {self.duration:.1f} s, {len(self.sentences)} sentences, {len(self.words)} words>"


@dataclass(frozen=True, eq=False)
class SpeechTruth:
    """What was planted in :func:`speech_recordings`.

    Attributes
    ----------
    components : tuple of str
        The latent features.
    latents : mapping of str to array of shape (n_components, n_times)
        Of each story, at 100 Hz of its sound.
    topographies, mixing, trfs : mapping of str to array
        Of each subject: (n_channels, n_sources), (n_sources, n_components), (n_components, n_lags).
    lags : array of shape (n_lags,)
        s.
    starts : DataFrame
        subject, session, story, start: when the sound began, s in the recording.
    snr : float
        Variance of the response over variance of the noise.
    """

    components: tuple[str, ...]
    latents: Mapping[str, np.ndarray]
    topographies: Mapping[str, np.ndarray]
    mixing: Mapping[str, np.ndarray]
    trfs: Mapping[str, np.ndarray]
    lags: np.ndarray
    starts: pd.DataFrame
    snr: float

    def arrays(self) -> dict[str, np.ndarray]:
        """Return everything as named arrays: ``01/topographies``, ``story/latents``, ``lags``, ..."""
        found: dict[str, np.ndarray] = {"lags": self.lags, "snr": np.array(self.snr)}
        found |= {f"stories/{name}/latents": values.astype(np.float32) for name, values in self.latents.items()}
        for part in ("topographies", "mixing", "trfs"):
            found |= {f"sub-{who}/{part}": values for who, values in getattr(self, part).items()}
        return found


def made_up_story(
    name: str = "story-1", *, n_sentences: int = 60, seed: int = 0, words_per_sentence: tuple[int, int] = (7, 11),
    texts: Sequence[str] | None = None,
) -> Story:  # fmt: skip
    """Draw a story and speak it.

    Parameters
    ----------
    name : str
        Of the story; another name, another story.
    n_sentences : int
        No sentence stands twice; each lasts about 2.5 to 4 s, with a pause of 0.25 to 0.5 s after it.
    seed : int
    words_per_sentence : (int, int)
        Fewest and most words, between 5 and 17.
    texts : sequence of str, optional
        Sentences to speak instead of drawn ones; a sentence may stand in several stories.

    Returns
    -------
    Story

    Raises
    ------
    BraindecError
        If a number makes no sense.
    """
    rng = np.random.default_rng([seed_of(seed), 91, zlib.crc32(str(name).encode())])
    units_of = (
        _draw(whole(n_sentences, "n_sentences", least=1), _words_span(words_per_sentence), rng)
        if texts is None
        else _split(texts)
    )
    words, phonemes, clock = [], [], 0.3
    for units in units_of:
        text = " ".join(units).capitalize() + "."
        own = (f"{name}.wav", name, text, sentence_id(text))
        for index, word in enumerate(units):
            begin = clock
            for label in phonemes_of(word):
                length = min(LONGEST, PHONEMES[label].length * rng.uniform(0.75, 1.25))
                phonemes.append((clock, length, "phoneme", label, own[0], clock, *own[1:], index))
                clock += length
            words.append((begin, clock - begin, "word", word, own[0], begin, *own[1:], index))
            clock += rng.uniform(0.0, 0.03)
        clock += rng.uniform(0.25, 0.5)
    tables = [pd.DataFrame(rows, columns=list(EVENT_COLUMNS)) for rows in (words, phonemes)]
    starts, lengths = (np.round(tables[1][c].to_numpy() * SOUND_RATE).astype(int) for c in ("onset", "duration"))
    sound = speak(list(tables[1]["text"]), starts, lengths, round((clock + 0.3) * SOUND_RATE), rng)
    return Story(str(name), sound, *tables)


def made_up_stories(n: int = 2, *, n_sentences: int = 60, seed: int = 0, **options: Any) -> list[Story]:
    """Draw several stories ("story-1", ...) with ``n_sentences`` in all, shared out as evenly as possible."""
    n, n_sentences = whole(n, "n", least=1), whole(n_sentences, "n_sentences", least=1)
    if n_sentences < n:
        raise BraindecError("a story needs a sentence", found=f"n_sentences={n_sentences} for n={n} stories")
    sizes = [n_sentences // n + (k < n_sentences % n) for k in range(n)]
    return [made_up_story(f"story-{k + 1}", n_sentences=size, seed=seed, **options) for k, size in enumerate(sizes)]


def speech_recordings(
    stories: Sequence[Story | Sequence[Story]], *, n_subjects: int = 8, n_sessions: int = 1, modality: str = "meg", n_channels: int = 40,
    sfreq: float = 50.0, snr: float = 0.1, shared: float = 0.2, sensors_differ: bool = False, drift: float = 0.0, shuffle: bool = False,
    gap: tuple[float, float] = (1.0, 2.0), seed: int = 0, layout: pd.DataFrame | None = None,
) -> tuple[list[Recording], SpeechTruth]:  # fmt: skip
    """Simulate subjects who hear stories: one recording a subject, session and story.

    Parameters
    ----------
    stories : sequence of Story, or of sequences of Story
        A sequence inside is played in one recording, one sound after the other. Every session plays all of them, so
        with two sessions every sentence is heard twice.
    n_subjects, n_sessions : int
    modality : {"meg", "eeg"}
        Type and unit of the channels (T or V).
    n_channels : int
        Spread over a helmet.
    sfreq : float
        Hz.
    snr : float
        Variance of the response over variance of the noise, over all channels; 0 is a brain that does not listen.
    shared : float
        How much of the mixing of features into sources is common to all subjects, 0 to 1.
    sensors_differ : bool
        Each subject lacks a tenth of the channels (others in each), and sensors sit a few mm elsewhere.
    drift : float
        How much slower the clock of the recording is than that of the sound, s a s; the events keep the time of the sound.
    shuffle : bool
        The sounds of a recording are played in another order for each subject and session.
    gap : (float, float)
        Shortest and longest pause between two sounds of a recording, s.
    seed : int
    layout : DataFrame, optional
        Channels of your own: name, x, y, z in m, and any other column; replaces ``n_channels``.

    Returns
    -------
    recordings : list of Recording
        In order of subject, session, story; ``info.task`` is the number of the story, events the standard table of speech.
    truth : SpeechTruth

    Raises
    ------
    BraindecError
        If an option makes no sense, or two stories have one name.
    """
    groups = [[item] if isinstance(item, Story) else list(item) for item in stories]
    sounds = [story for group in groups for story in group]
    _check(sounds, modality, n_subjects, n_sessions, n_channels)
    number(snr, "snr", least=0), number(shared, "shared", least=0, most=1), number(drift, "drift", least=-0.1, most=0.1)
    number(sfreq, "sfreq", least=10, unit="Hz")
    channels = _layout(layout, n_channels, modality)
    features = {story.name: _speech_brain.latents(story.sound, story.words, story.phonemes) for story in sounds}
    recordings, starts, brains = [], [], {}
    for k in range(n_subjects):
        who, rng = f"{k + 1:02d}", np.random.default_rng([seed_of(seed), 92, k])
        mine = _own_sensors(channels, rng) if sensors_differ else channels
        common = np.random.default_rng([seed, 93])
        brain = _speech_brain.make_brain(
            mine[["x", "y", "z"]].to_numpy(dtype=float), shared=shared, rng=rng, common=common
        )
        brains[who], seen = brain, _speech_brain.respond(features, brain)
        for session in range(n_sessions):
            for task, group in enumerate(groups):
                own = np.random.default_rng([seed, 94, k, session, task])
                order = [group[i] for i in own.permutation(len(group))] if shuffle else group
                begins = _begins([story.duration * (1 + max(drift, 0.0)) for story in order], gap, sfreq, own)
                played = [(begin, seen[story.name]) for begin, story in zip(begins, order, strict=False)]
                signal = _signal(played, brain, begins[-1], sfreq=sfreq, snr=snr, drift=drift, rng=own)
                info = {"dataset": "made-up speech", "subject": who, "session": str(session), "task": str(task), "run": None,
                        "modality": modality}  # fmt: skip
                starts += [(who, str(session), s.name, begin) for begin, s in zip(begins, order, strict=False)]
                events = pd.concat([s.events(b) for b, s in zip(begins, order, strict=False)], ignore_index=True)
                recordings.append(Recording(ArraySignal(_SCALE[modality] * signal), sfreq, mine, events, info))
    truth = SpeechTruth(
        _speech_brain.COMPONENTS, features, {w: b.topographies for w, b in brains.items()}, {w: b.mixing for w, b in brains.items()},
        {w: b.trfs for w, b in brains.items()}, next(iter(brains.values())).lags,
        pd.DataFrame(starts, columns=["subject", "session", "story", "start"]), float(snr),
    )  # fmt: skip
    return recordings, truth


def _begins(lengths: Sequence[float], gap: tuple[float, float], sfreq: float, rng: np.random.Generator) -> list[float]:
    """When each sound begins, and when the recording ends (one more than sounds), s; each on a sample."""
    clock, found = rng.uniform(1.0, 4.0), []
    for length in lengths:
        found.append(round(clock * sfreq) / sfreq)
        clock = found[-1] + length + rng.uniform(*gap)
    return [*found, found[-1] + lengths[-1] + 1.0]


def _signal(
    played: Sequence[tuple[float, np.ndarray]], brain: Any, length: float, *, sfreq: float, snr: float, drift: float,
    rng: np.random.Generator,
) -> np.ndarray:  # fmt: skip
    """The responses from when each sound begins, and noise of variance 1, float32 (n_channels, n_times)."""
    signal = _speech_brain.noise(brain, round(length * sfreq), sfreq, rng)
    for start, seen in played:
        n_seen = seen.shape[1]
        first = round(start * sfreq)
        stop = min(signal.shape[1], first + int(n_seen / _speech_brain.RATE * (1 + drift) * sfreq) + 1)
        at = np.arange(stop - first) / sfreq / (1 + drift) * _speech_brain.RATE
        grid = np.arange(n_seen)
        for row, course in zip(signal, seen, strict=True):
            row[first:stop] += np.sqrt(snr) * np.interp(at, grid, course, right=0.0)
    return signal.astype(np.float32)


def _layout(layout: pd.DataFrame | None, n_channels: int, modality: str) -> pd.DataFrame:
    kind, unit = _TYPES[modality]
    if layout is None:
        places = _speech_brain.helmet(n_channels, 0.11 if modality == "meg" else 0.09)
        prefix = "MEG" if modality == "meg" else "E"
        layout = pd.DataFrame({"name": [f"{prefix}{k + 1:03d}" for k in range(n_channels)], **dict(zip("xyz", places.T, strict=True))})  # fmt: skip
    return layout.assign(type=kind, unit=unit).reset_index(drop=True)


def _own_sensors(channels: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """A tenth of the channels is missing, the others moved by about 3 mm."""
    keep = np.sort(rng.permutation(len(channels))[: max(4, round(0.9 * len(channels)))])
    mine = channels.iloc[keep].reset_index(drop=True)
    moved = mine[["x", "y", "z"]].to_numpy(dtype=float) + rng.normal(0, 0.003, (len(mine), 3))
    if "loc" in mine:  # coils: place first, then directions
        loc = np.array(mine["loc"].tolist(), dtype=float)
        mine["loc"] = np.column_stack([moved, loc[:, 3:]]).tolist()
    return mine.assign(**dict(zip("xyz", moved.T, strict=True)))


def _draw(n_sentences: int, span: tuple[int, int], rng: np.random.Generator) -> list[tuple[str, ...]]:
    """Sentences of the grammar, none twice."""
    texts: dict[tuple[str, ...], None] = {}
    while len(texts) < n_sentences:
        texts[tuple(word for word, _ in sentence(rng, n_words=int(rng.integers(span[0], span[1] + 1))))] = None
    return list(texts)


def _split(texts: Sequence[str]) -> list[tuple[str, ...]]:
    """Words of given sentences, in lower case and without marks."""
    units = [tuple(re.sub(r"[^\w\s'-]", "", text).lower().split()) for text in texts]
    if isinstance(texts, str) or not units or not all(units):
        raise BraindecError(
            "texts are sentences", found=repr(list(texts)[:2]), allowed='a list such as ["The old dog ate the pie."]'
        )
    return units


def _words_span(span: Any) -> tuple[int, int]:
    if not isinstance(span, (tuple, list)) or len(span) != 2:
        raise BraindecError(f"words_per_sentence={span!r} does not work", allowed="(fewest, most), e.g. (7, 11)")
    low, high = whole(span[0], "the fewest words"), whole(span[1], "the most words")
    if not 5 <= low <= high <= 17:
        raise BraindecError(f"no sentences of {low} to {high} words", allowed="5 to 17")
    return low, high


def _check(stories: Sequence[Story], modality: str, n_subjects: int, n_sessions: int, n_channels: int) -> None:
    names = [story.name for story in stories]
    if not names or len(set(names)) < len(names):
        raise BraindecError("stories need names of their own", found=", ".join(names) or "no story")
    if modality not in _TYPES:
        raise BraindecError(f"no modality {modality!r}", allowed="meg, eeg")
    whole(n_subjects, "n_subjects", least=1), whole(n_sessions, "n_sessions", least=1)
    whole(n_channels, "n_channels", least=4)
