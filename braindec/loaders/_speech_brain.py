"""Brains that follow made-up speech: latent features of a sound, responses over 50 to 250 ms, smooth topographies, noise.

Source: the temporal response function as a convolution of stimulus features, Crosse et al. 2016, equation 1.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from braindec.loaders._speech_sounds import CLASSES, SOUND_RATE, class_of
from braindec.signal.coloured_noise import coloured

__all__ = ["COMPONENTS", "RATE", "Brain", "helmet", "latents", "make_brain", "noise", "respond"]

RATE = 100.0  # Hz of latent features and responses
_EDGES = (100.0, 350.0, 600.0, 1000.0, 1500.0, 2200.0, 3200.0, 5000.0, 7800.0)  # Hz of the bands
_BANDS = tuple(f"band {low:.0f}-{high:.0f} Hz" for low, high in itertools.pairwise(_EDGES))
COMPONENTS = (*_BANDS, "onset", *CLASSES, "word")
_WEIGHTS = np.array([0.8] * len(_BANDS) + [0.8] + [1.0] * len(CLASSES) + [1.0])
_LAGS = np.arange(0, 0.4, 1 / RATE)  # s


@dataclass(frozen=True)
class Brain:
    """One subject: what each channel sees of each component, and when.

    Attributes
    ----------
    topographies : array of shape (n_channels, n_sources)
        What each channel sees of a source, unit norm a source.
    mixing : array of shape (n_sources, n_components)
        How much of each component a source carries.
    trfs : array of shape (n_components, n_lags)
        Response of each component to a unit of its latent feature, over ``lags`` (s).
    background : array of shape (n_channels, n_background)
        Topographies of ongoing activity.
    """

    topographies: np.ndarray
    mixing: np.ndarray
    trfs: np.ndarray
    background: np.ndarray
    lags: np.ndarray = field(default_factory=lambda: _LAGS.copy())


def helmet(n_channels: int, radius: float = 0.11) -> np.ndarray:
    """Return places spread evenly over the upper part of a sphere, (n_channels, 3) in m (right, front, up)."""
    k = np.arange(n_channels)
    up = 1 - 1.35 * (k + 0.5) / n_channels  # from the top to a little below the equator
    angle = k * np.pi * (3 - np.sqrt(5))
    ring = np.sqrt(1 - up**2)
    return radius * np.column_stack([ring * np.cos(angle), ring * np.sin(angle), up]) + [0.0, 0.0, 0.04]


def latents(sound: np.ndarray, words: pd.DataFrame, phonemes: pd.DataFrame) -> np.ndarray:
    """Return the latent features of a sound at 100 Hz, each of mean 0 and standard deviation 1, (n_components, n_times).

    Energies of eight bands relative to the whole (dB, silence at 0), rises of the envelope, onsets of phonemes of five
    classes, and onsets of words weighted by how unexpected the word is (a fixed number of each word).
    """
    power = _band_power(sound)
    n_times = power.shape[1]
    loud = 10 * np.log10(power.sum(axis=0) + 1e-6)
    shape = 10 * np.log10(power + 1e-6)
    shape = (shape - shape.mean(axis=0)) * (loud > -40)
    onset = np.maximum(np.diff(np.sqrt(power.sum(axis=0)), prepend=0.0), 0)
    kinds = np.zeros((len(CLASSES), n_times))
    starts = np.minimum(np.round(phonemes["onset"].to_numpy() * RATE).astype(int), n_times - 1)
    for start, name in zip(starts, phonemes["text"], strict=True):
        kinds[CLASSES.index(class_of(name)), start] += 1
    word = np.zeros(n_times)
    at = np.minimum(np.round(words["onset"].to_numpy() * RATE).astype(int), n_times - 1)
    np.add.at(word, at, [_weight(w) for w in words["text"]])
    found = np.vstack([shape, onset, kinds, word])
    spread = found.std(axis=1, keepdims=True)
    return (found - found.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1.0)


def make_brain(places: np.ndarray, *, shared: float, rng: np.random.Generator, common: np.random.Generator) -> Brain:
    """Draw a subject: ``shared`` of the mixing (0 to 1) comes from ``common``, the rest from ``rng``.

    ``common`` must be in the same state for all subjects of a group.
    """
    n_components, head = len(COMPONENTS), _sphere(places)
    sources = _inside(12, common, head) + rng.normal(0, 0.006, (12, 3))
    directions = common.normal(size=(12, 3)) + 0.3 * rng.normal(size=(12, 3))
    topographies = _fields(places, sources, directions)
    group, own = common.normal(size=(2, 12, n_components)), rng.normal(size=(12, n_components))
    mixing = np.sqrt(shared) * group[0] + np.sqrt(1 - shared) * own
    mixing /= np.linalg.norm(mixing, axis=0, keepdims=True)
    latency = np.linspace(0.06, 0.2, n_components)[common.permutation(n_components)]
    latency = np.clip(latency + rng.normal(0, 0.006, n_components), 0.05, 0.25)
    width = common.uniform(0.018, 0.032, n_components)
    first = np.exp(-0.5 * ((_LAGS - latency[:, None]) / width[:, None]) ** 2)
    later = np.exp(-0.5 * ((_LAGS - latency[:, None] - 2.5 * width[:, None]) / (1.4 * width[:, None])) ** 2)
    background = _fields(places, _inside(30, rng, head), rng.normal(size=(30, 3)))
    return Brain(topographies, mixing * _WEIGHTS, first - 0.5 * later, background)


def respond(features: Mapping[str, np.ndarray], brain: Brain) -> dict[str, np.ndarray]:
    """Return the response of each channel to each sound at 100 Hz, (n_channels, n_times + n_lags).

    Components have unit variance over all sounds, and so have the channels on average.
    """
    courses = {}
    for name, values in features.items():
        length = values.shape[1] + len(brain.lags)
        spectra = np.fft.rfft(values, length, axis=1) * np.fft.rfft(brain.trfs, length, axis=1)
        courses[name] = np.fft.irfft(spectra, length, axis=1)
    spread = np.concatenate(list(courses.values()), axis=1).std(axis=1, keepdims=True)
    seen = brain.topographies @ (brain.mixing / np.where(spread > 0, spread, 1.0).T)
    found = {name: seen @ values for name, values in courses.items()}
    size = np.sqrt(np.mean(np.concatenate(list(found.values()), axis=1).var(axis=1)))
    return {name: values / size for name, values in found.items()}


def noise(brain: Brain, n_times: int, sfreq: float, rng: np.random.Generator) -> np.ndarray:
    """Return ongoing activity (1/f, spatially correlated) and sensor noise, unit variance on average, (n_channels, n_times)."""
    courses = coloured(rng, (brain.background.shape[1], n_times), sfreq, exponent=1.0, corner=0.5)
    activity = brain.background @ courses
    activity /= np.sqrt(np.mean(activity.var(axis=1)))
    return np.sqrt(0.8) * activity + np.sqrt(0.2) * rng.standard_normal(activity.shape)


def _band_power(sound: np.ndarray) -> np.ndarray:
    """Power in each band at 100 Hz, (n_bands, n_times); frames of 32 ms centred at the sample."""
    size, hop = 512, round(SOUND_RATE / RATE)
    n_times = len(sound) // hop + 1
    padded = np.pad(sound, (size // 2, size))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop][:n_times]
    hertz = np.fft.rfftfreq(size, 1 / SOUND_RATE)
    sums = np.array([(hertz >= low) & (hertz < high) for low, high in itertools.pairwise(_EDGES)])
    window = np.hanning(size).astype(np.float32)
    blocks = [np.abs(np.fft.rfft(frames[k : k + 4096] * window, axis=1)) ** 2 for k in range(0, n_times, 4096)]
    return np.concatenate([b @ sums.T for b in blocks]).T


def _weight(word: str) -> float:
    """How unexpected a word is: between 0.3 and 1.7, longer words more so, always the same."""
    mixed = sum((k + 1) * ord(c) for k, c in enumerate(word)) % 97 / 97
    return 0.3 + 0.7 * mixed + 0.7 * min(len(word), 9) / 9


def _sphere(places: np.ndarray) -> tuple[np.ndarray, float]:
    """Centre and radius (m) of the sphere that fits sensors best."""
    design = np.column_stack([2 * places, np.ones(len(places))])
    solution = np.linalg.lstsq(design, (places**2).sum(axis=1), rcond=None)[0]
    return solution[:3], float(np.sqrt(max(1e-6, solution[3] + (solution[:3] ** 2).sum())))


def _inside(n: int, rng: np.random.Generator, head: tuple[np.ndarray, float]) -> np.ndarray:
    """Places in the upper part of the head, near two thirds of its radius, (n, 3) in m."""
    rays = rng.normal(size=(n, 3))
    rays[:, 2] = np.abs(rays[:, 2]) * 0.8
    return 0.64 * head[1] * rays / np.linalg.norm(rays, axis=1, keepdims=True) + head[0]


def _fields(places: np.ndarray, sources: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Smooth topographies of dipoles: a positive and a negative side; unit norm a source, (n_channels, n_sources)."""
    away = places[:, None] - sources[None]
    distance = np.linalg.norm(away, axis=2)
    directions = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    seen = (away * directions).sum(axis=2) / distance**3
    return seen / np.linalg.norm(seen, axis=0, keepdims=True)
