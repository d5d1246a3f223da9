"""A made-up film, models that read it, and intracranial recordings of those who see and hear it, with known truth.

Scenes last seconds and carry a visual latent; sentences carry a language latent that depends in part on the scene, so that
both go together and both change slowly. The interaction is the product of the two: no linear function of vision and
language beside one another. Models are noisy linear readings of latents (one of vision, language, or of both with the
interaction), their randomly initialised twins read low-level features and little else. Electrodes on shafts follow vision,
language, both linearly (to be joined features suffice: no integration), the interaction, low-level features, or nothing.
Nothing is downloaded; the same seed gives the same bytes.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, did_you_mean
from braindec.loaders.movie_events import movie_events
from braindec.signal.coloured_noise import coloured
from braindec.stats.asked import number, seed_of, whole
from braindec.types import Features, Recording
from braindec.types.signals import as_signal

__all__ = ["SITE_TYPES", "Movie", "MovieModels", "MovieTruth", "made_up_movie", "movie_models", "movie_recordings"]

SITE_TYPES = ("vision", "language", "linear", "multimodal", "low_level", "none")
_STEP, _FRAME, _DIMS, _PRODUCTS = 0.05, 0.5, 6, 4  # s of the clock, s a frame, latents of each kind, interactions
_BEFORE = 5.0  # s of recording before and after the film
_PLAN = {"vision": 4, "language": 4, "linear": 4, "multimodal": 4, "low_level": 2, "none": 6}
_SHAFTS = {  # region: entry and target of a shaft, MNI, mm
    "Left Fusiform Gyrus": ((-64, -52, -16), (-30, -48, -16)),
    "Left Superior Temporal Sulcus": ((-66, -30, -2), (-44, -28, 4)),
    "Left Superior Temporal Gyrus": ((-66, -12, 4), (-44, -14, 8)),
    "Right Superior Temporal Sulcus": ((66, -32, 0), (44, -28, 4)),
    "Left Inferior Frontal Gyrus": ((-56, 24, 14), (-34, 22, 10)),
}


@dataclass(frozen=True, eq=False)
class Movie:
    """A film.

    Attributes
    ----------
    name : str
    duration : float
        s.
    frames, words, sentences, cuts : DataFrame
        ``onset`` (s in the film), ``duration``, and ``frame_id`` or ``text_id``; words have ``sentence_id``.
    vision, language, interaction : array of shape (n_times, n_latents)
        At 20 Hz, about unit variance.
    low_level : array of shape (n_times, 3)
        Luminance, envelope of the sound, words a second over the last 2 s; standardised.
    text : mapping of str to array
        The language latent of each word and sentence.
    """

    name: str
    duration: float
    frames: pd.DataFrame
    words: pd.DataFrame
    sentences: pd.DataFrame
    cuts: pd.DataFrame
    vision: np.ndarray
    language: np.ndarray
    interaction: np.ndarray
    low_level: np.ndarray
    text: Mapping[str, np.ndarray]

    def events(self, start: float = 0.0) -> pd.DataFrame:
        """Words with the nearest frame and cuts with the nearest sentence, of a recording in which it begins at ``start``."""
        return movie_events(
            self.words, self.cuts, frames=self.frames, sentences=self.sentences, film=self.name, start=start
        )

    def at(self, times: np.ndarray) -> np.ndarray:
        """Rows of the latents at times (s in the film)."""
        return np.clip(np.asarray(times, dtype=float) / _STEP, 0, len(self.vision) - 1).astype(int)

    def __repr__(self) -> str:
        return f"<Movie {self.name}: {self.duration:.0f} s, {len(self.cuts)} cuts, {len(self.words)} words>"


@dataclass(frozen=True, eq=False)
class MovieModels:
    """Features of models that saw, read, or did both.

    Attributes
    ----------
    features : mapping of str to Features
    roles : mapping of str to str
        "vision", "language", "multimodal" or "nuisance"; twins have none.
    random : mapping of str to str
        The randomly initialised twin of a trained model.
    controlled : (str, str)
        Two models of vision that differ in one thing: the first was taught with language and reads the interaction.
    """

    features: Mapping[str, Features]
    roles: Mapping[str, str]
    random: Mapping[str, str]
    controlled: tuple[str, str]


@dataclass(frozen=True, eq=False)
class MovieTruth:
    """What was planted: ``sites`` has subject, name, region, type and lag (s) of each electrode."""

    sites: pd.DataFrame
    snr: float

    def planted(self, subject: str, names: object = None) -> np.ndarray:
        """Which electrodes of a subject are sites of integration, in the order of ``names`` (of the recording by default)."""
        own = self.sites[self.sites["subject"] == subject].set_index("name")["type"]
        return (own if names is None else own.loc[list(names)]).eq("multimodal").to_numpy()  # type: ignore[call-overload]


def made_up_movie(name: str = "film", *, duration: float = 900.0, together: float = 0.4, scene: float = 4.0, seed: int = 0) -> Movie:  # fmt: skip
    """Draw a film.

    Parameters
    ----------
    name : str
        Another name, another film.
    duration : float
        s, at least 60.
    together : float
        Correlation of what is said with what is shown, 0 to below 1.
    scene : float
        Median length of a scene, s.
    seed : int

    Raises
    ------
    BraindecError
        If a number makes no sense.
    """
    duration, scene = number(duration, "duration", least=60.0, unit="s"), number(scene, "scene", least=0.5, unit="s")
    together = number(together, "together", least=0.0, most=0.99)
    rng = np.random.default_rng([seed_of(seed), 37, zlib.crc32(str(name).encode())])
    n = round(duration / _STEP)
    cuts = _starts(lambda: max(1.0, scene * np.exp(0.5 * rng.standard_normal())), duration)
    place = np.searchsorted(cuts, np.arange(n) * _STEP, side="right") - 1
    scenes = rng.standard_normal((len(cuts), _DIMS))
    vision = 0.85 * scenes[place] + np.sqrt(1 - 0.85**2) * _slow(rng, n, _DIMS, seconds=1.0)
    words, sentences, text = _speech(name, duration, scenes, cuts, together, rng)
    language = np.zeros((n, _DIMS))
    for onset, length, word in words[["onset", "duration", "text_id"]].itertuples(index=False):
        language[round(onset / _STEP) : round((onset + length) / _STEP)] = text[word]
    product = vision[:, :_PRODUCTS] * language[:, :_PRODUCTS]
    rate = np.histogram(words["onset"], bins=n, range=(0, n * _STEP))[0].astype(float)
    window = np.ones(round(2.0 / _STEP))
    rate = np.convolve(rate, window)[:n]
    light = 0.5 * vision[:, 0] + rng.standard_normal(len(cuts))[place] + 0.3 * _slow(rng, n, 1, seconds=0.5)[:, 0]
    sound = (np.abs(language).sum(axis=1) > 0) * (1 + 0.5 * _slow(rng, n, 1, seconds=0.2)[:, 0])
    at = np.arange(0.0, duration, _FRAME)
    frames = pd.DataFrame({"onset": at, "duration": _FRAME, "frame_id": [f"{name}-f{k:05d}" for k in range(len(at))]})
    return Movie(
        str(name), duration, frames, words, sentences, pd.DataFrame({"onset": cuts[1:], "duration": 0.0}), vision, language,
        _scaled(product), _scaled(np.stack([light, sound, rate], axis=1)), text,
    )  # fmt: skip


def movie_models(
    movie: Movie, *, noise: float = 0.6, interaction_noise: float = 0.6, n_units: int = 20, seed: int = 0
) -> MovieModels:
    """Read a film with candidate models of vision and language, a multimodal one, and their untrained twins.

    Parameters
    ----------
    movie : Movie
    noise : float
        Standard deviation of the noise in readings of a latent of unit variance; one candidate of each kind has twice as
        much. The multimodal model reads vision and language with 1.3 times as much: it is no better reader of either.
    interaction_noise : float
        The same for the interaction.
    n_units : int
        Of each model, at least 8; with fewer than 18 the multimodal model cannot hold all that it reads.
    seed : int
    """
    number(noise, "noise", least=0.0), number(interaction_noise, "interaction_noise", least=0.0)
    n_units, rng = whole(n_units, "n_units", least=8), np.random.default_rng([seed_of(seed), 53])
    events = movie.events().drop_duplicates("stimulus_id", ignore_index=True)
    texts = list(movie.text)
    rows = movie.at(movie.frames["onset"].to_numpy() + 1e-6)
    frame_at = pd.Series(np.arange(len(movie.frames)), index=movie.frames["frame_id"])
    shown, low = movie.vision[rows], movie.low_level
    said = np.stack([movie.text[t] for t in texts])
    of_frame = frame_at.loc[events["frame_id"]].to_numpy()
    of_text = pd.Series(np.arange(len(texts)), index=texts).loc[events["text_id"]].to_numpy()
    v, w = shown[of_frame], said[of_text]
    product = v[:, :_PRODUCTS] * w[:, :_PRODUCTS]
    product = (product - product.mean(axis=0)) / product.std(axis=0)
    frame_low, event_low = low[rows][:, :1], low[movie.at(events["movie_time"].to_numpy())]

    def seen(scale: float, rows: np.ndarray | None = None) -> np.ndarray:
        values = shown + scale * _slow(rng, len(shown), _DIMS, seconds=1.0, step=_FRAME)
        return values if rows is None else values[rows]

    def heard(scale: float, rows: np.ndarray | None = None) -> np.ndarray:
        values = said + scale * rng.standard_normal(said.shape)
        return values if rows is None else values[rows]

    def crossed(scale: float) -> np.ndarray:
        return product + scale * rng.standard_normal(product.shape)

    def make(latents: list[np.ndarray], ids: pd.Series | list[str], model: str) -> Features:
        joined = np.concatenate(latents, axis=1)
        values = joined @ rng.standard_normal((joined.shape[1], n_units)) / np.sqrt(joined.shape[1])
        values = values + 0.05 * rng.standard_normal(values.shape)
        items = pd.DataFrame({"stimulus_id": list(ids)})
        return Features(
            as_signal(values.astype(np.float32)), items, pd.DataFrame({"model": [model] * n_units}), {"model": model}
        )

    frame_ids, event_ids = movie.frames["frame_id"], events["stimulus_id"]

    def twin(latents: np.ndarray, ids: pd.Series | list[str], model: str) -> Features:
        bent = np.tanh(latents @ rng.standard_normal((latents.shape[1], 3 * n_units)))
        return make([bent], ids, model)

    features = {
        "vision_a": make([seen(noise), frame_low], frame_ids, "vision_a"),
        "vision_b": make([seen(2 * noise), frame_low], frame_ids, "vision_b"),
        "language_a": make([heard(noise)], texts, "language_a"),
        "language_b": make([heard(2 * noise)], texts, "language_b"),
        "multimodal": make(
            [seen(1.3 * noise, of_frame), heard(1.3 * noise, of_text), 1.5 * crossed(interaction_noise), event_low[:, :1]],
            event_ids, "multimodal",
        ),
        "with_language": make([seen(noise, of_frame), crossed(interaction_noise)], event_ids, "with_language"),
        "without_language": make([seen(noise, of_frame), rng.standard_normal(product.shape)], event_ids, "without_language"),
        "vision_a_random": twin(np.concatenate([frame_low, 0.3 * seen(2.0)], axis=1), frame_ids, "vision_a_random"),
        "language_a_random": twin(0.3 * heard(2.0), texts, "language_a_random"),
        "multimodal_random": twin(
            np.concatenate([event_low[:, :1], 0.3 * seen(2.0, of_frame), 0.3 * heard(2.0, of_text)], axis=1),
            event_ids, "multimodal_random",
        ),
        "low_level": Features(
            as_signal(event_low.astype(np.float32)), pd.DataFrame({"stimulus_id": list(event_ids)}),
            pd.DataFrame({"model": ["luminance", "envelope", "word_rate"]}), {"model": "low_level"},
        ),
    }  # fmt: skip
    roles = {"vision_a": "vision", "vision_b": "vision", "language_a": "language", "language_b": "language",
             "multimodal": "multimodal", "low_level": "nuisance"}  # fmt: skip
    random = {k: f"{k}_random" for k in ("vision_a", "language_a", "multimodal")}
    return MovieModels(features, roles, random, ("with_language", "without_language"))


def movie_recordings(
    movie: Movie, *, n_subjects: int = 3, plan: Mapping[str, int] | None = None, n_shafts: int = 3, snr: float = 0.3,
    sfreq: float = 40.0, seed: int = 0,
) -> tuple[list[Recording], MovieTruth]:  # fmt: skip
    """Record subjects who see the film, one run each; their electrodes differ.

    Parameters
    ----------
    movie : Movie
    n_subjects : int
    plan : mapping of str to int, optional
        How many electrodes of each of ``SITE_TYPES`` a subject has.
    n_shafts : int
        1 to 5; contacts are shared out among them.
    snr : float
        Variance of the response over that of the noise (1/f), over the whole recording.
    sfreq : float
        Hz, at least 20.
    seed : int

    Returns
    -------
    recordings : list of Recording
        V, type "seeg", positions in MNI space (m), events of :func:`braindec.loaders.movie_events.movie_events`.
    truth : MovieTruth

    Raises
    ------
    BraindecError
        If a number makes no sense, or the plan names an unknown type.
    """
    plan = dict(_PLAN if plan is None else plan)
    unknown = [k for k in plan if k not in SITE_TYPES]
    if unknown or not sum(whole(v, f"plan[{k!r}]") for k, v in plan.items()):
        name = unknown[0] if unknown else ""
        raise BraindecError(f"the plan of electrodes does not work{did_you_mean(name, SITE_TYPES)}", found=repr(plan),
                            allowed=f"how many of each of {', '.join(SITE_TYPES)}")  # fmt: skip
    n_subjects, n_shafts = whole(n_subjects, "n_subjects", least=1), whole(n_shafts, "n_shafts", least=1)
    if n_shafts > len(_SHAFTS):
        raise BraindecError(f"n_shafts={n_shafts} does not work", allowed=f"1 to {len(_SHAFTS)}")
    snr, sfreq = number(snr, "snr", least=0.0), number(sfreq, "sfreq", least=20.0, unit="Hz")
    none = plan.get("none", 0)
    order = [("vision", plan.get("vision", 0)), ("none", none // 2), ("linear", plan.get("linear", 0)),
             ("multimodal", plan.get("multimodal", 0)), ("language", plan.get("language", 0)),
             ("low_level", plan.get("low_level", 0)), ("none", none - none // 2)]  # fmt: skip
    types = [kind for kind, count in order for _ in range(count)]
    recordings, tables = [], []
    for k in range(n_subjects):
        subject = f"{k + 1:02d}"
        rng = np.random.default_rng([seed_of(seed), 71, k, zlib.crc32(movie.name.encode())])
        channels = _contacts(len(types), n_shafts, rng)
        lags = rng.uniform(0.1, 0.4, len(types))
        signal = _responses(movie, types, lags, snr, sfreq, rng)
        info = {"dataset": "simulated film", "subject": subject, "task": movie.name, "modality": "ieeg",
                "space": "MNI152NLin2009cAsym"}  # fmt: skip
        recordings.append(Recording(signal, sfreq, channels, movie.events(_BEFORE), info))
        tables.append(pd.DataFrame({"subject": subject, "name": channels["name"], "region": channels["region"], "type": types, "lag": lags}))  # fmt: skip
    return recordings, MovieTruth(pd.concat(tables, ignore_index=True), snr)


def _responses(movie: Movie, types: list[str], lags: np.ndarray, snr: float, sfreq: float, rng: np.random.Generator) -> np.ndarray:  # fmt: skip
    """Responses and noise, (n_channels, n_times), V."""
    clock = np.arange(round((movie.duration + 2 * _BEFORE) * sfreq)) / sfreq - _BEFORE
    parts = {"vision": movie.vision, "language": movie.language, "multimodal": movie.interaction, "low_level": movie.low_level}  # fmt: skip
    mixes = {"vision": {"vision": 1.0}, "language": {"language": 1.0}, "linear": {"vision": 1.0, "language": 1.0},
             "multimodal": {"vision": 0.5, "language": 0.5, "multimodal": 1.0}, "low_level": {"low_level": 1.0}, "none": {}}  # fmt: skip
    noise = coloured(rng, (len(types), len(clock)), sfreq, exponent=1.0, corner=0.1)
    shared = coloured(rng, (1, len(clock)), sfreq, exponent=1.0, corner=0.1)
    out = (noise + 0.4 * shared) / np.sqrt(1.16)
    smooth = np.hanning(round(0.2 * sfreq) + 2)
    for c, (kind, lag) in enumerate(zip(types, lags, strict=True)):
        inside = (clock - lag >= 0) & (clock - lag < movie.duration)
        rows, drive = movie.at(clock - lag), np.zeros(len(clock))
        for name, weight in mixes[kind].items():
            course = parts[name] @ rng.standard_normal(parts[name].shape[1])
            drive += weight * np.where(inside, (course / course.std())[rows], 0.0)
        if mixes[kind]:
            drive = np.convolve(drive, smooth / smooth.sum(), mode="same")
            out[c] += np.sqrt(snr) * drive / drive.std()
    return (5e-5 * out).astype(np.float32)


def _contacts(n: int, n_shafts: int, rng: np.random.Generator) -> pd.DataFrame:
    """Channel table of contacts on shafts from the surface to the depth; places differ a little between subjects."""
    names, regions, places = [], [], []
    counts = np.full(n_shafts, n // n_shafts) + (np.arange(n_shafts) < n % n_shafts)
    for (region, (entry, target)), count, letter in zip(_SHAFTS.items(), counts, "ABCDE", strict=False):
        moved = 2.0 * rng.standard_normal(3)
        share = np.linspace(0, 1, max(count, 2))[:count, None]
        places.append(np.asarray(target) * (1 - share) + np.asarray(entry) * share + moved)
        names += [f"{letter}{k + 1}" for k in range(count)]
        regions += [region] * count
    xyz = np.concatenate(places) / 1000
    return pd.DataFrame({"name": names, "type": "seeg", "unit": "V", "x": xyz[:, 0], "y": xyz[:, 1], "z": xyz[:, 2], "region": regions})  # fmt: skip


def _speech(name: str, duration: float, scenes: np.ndarray, cuts: np.ndarray, together: float, rng: np.random.Generator):  # fmt: skip
    """Words and sentences with their latents; a sentence is in part about the scene in which it begins."""
    about = np.linalg.qr(rng.standard_normal((_DIMS, _DIMS)))[0]
    about = np.eye(_DIMS) if together == 0 else 0.5 * np.eye(_DIMS) + 0.5 * about
    about /= np.linalg.norm(about, axis=1, keepdims=True)
    words, sentences, text, clock = [], [], {}, 1.0
    while clock < duration - 6:
        scene = scenes[np.searchsorted(cuts, clock, side="right") - 1]
        topic = together * about @ scene + np.sqrt(1 - together**2) * rng.standard_normal(_DIMS)
        begin, own = clock, f"{name}-s{len(sentences):04d}"
        text[own] = topic
        for _ in range(rng.integers(4, 12)):
            length = rng.uniform(0.2, 0.5)
            word = f"{name}-w{len(words):05d}"
            text[word] = 0.7 * topic + np.sqrt(1 - 0.7**2) * rng.standard_normal(_DIMS)
            words.append((clock, length, word, own))
            clock += length + rng.uniform(0.0, 0.1)
        sentences.append((begin, clock - begin, own))
        clock += rng.exponential(1.2) + 0.2
    tables = (
        pd.DataFrame(words, columns=["onset", "duration", "text_id", "sentence_id"]),
        pd.DataFrame(sentences, columns=["onset", "duration", "text_id"]),
    )
    return *tables, text


def _starts(draw, duration: float) -> np.ndarray:
    """Times from 0 with drawn gaps, s."""
    times = [0.0]
    while times[-1] < duration:
        times.append(times[-1] + draw())
    return np.array(times[:-1])


def _slow(rng: np.random.Generator, n: int, k: int, *, seconds: float, step: float = _STEP) -> np.ndarray:
    """A process of unit variance that forgets within ``seconds``, (n, k)."""
    from scipy.signal import lfilter

    keep = np.exp(-step / seconds)
    drawn = rng.standard_normal((n, k))
    drawn[1:] *= np.sqrt(1 - keep**2)
    return lfilter([1.0], [1.0, -keep], drawn, axis=0)


def _scaled(values: np.ndarray) -> np.ndarray:
    return (values - values.mean(axis=0)) / values.std(axis=0)
