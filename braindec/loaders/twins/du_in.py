"""Twin of Du-IN (Zheng et al. 2024): the pickles that the reader ``du_in`` describes, items of the class ``utils.DotDict`` as published.

Some channels carry word latents in the envelope of their 70 to 100 Hz activity and in a slow response; the others carry
noise that drifts over minutes. Planted leak: the ten channels that look best on **all** trials, test trials among them,
bear the names that the authors chose for that subject, so ``channels: chosen`` takes what a selection that saw
everything would take. ``settings`` take all channels. Truth: ``words`` (word, latent), and for a subject "001/tuned"
(channel,; True where words are carried), "001/weights" (latent, channel), "001/chosen" (10,) the places of the ten.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from braindec.files import written_whole
from braindec.loaders._twin_evoked import background
from braindec.loaders._twin_pickle import plain_pickle
from braindec.loaders.readers.du_in import CHOSEN
from braindec.loaders.twin import Twin, write_truth

__all__ = ["make"]

_TMIN, _LATENTS = -0.5, 6


def make(
    folder: str | Path,
    *,
    seed: int = 0,
    n_subjects: int = 2,
    n_runs: int = 3,
    n_words: int = 8,
    n_repetitions: int = 5,
    n_channels: int = 16,
    n_tuned: int = 6,
    sfreq: float = 400.0,
    duration: float = 2.0,
    amplitude: float = 1.5,
) -> Twin:
    """Write the twin.

    Parameters
    ----------
    folder : str or Path
        Where.
    seed : int
        Same seed, same bytes.
    n_subjects, n_runs : int
        Subjects 001, 002, ... (12 in the published data) and their runs.
    n_words, n_repetitions : int
        Words (61), and how often each is read in a run.
    n_channels, n_tuned : int
        Bipolar channels, and how many of them carry words.
    sfreq, duration : float
        Hz (1000) and s (3) of a trial.
    amplitude : float
        Of the response, in standard deviations of the background.
    """
    folder, rng = Path(folder), np.random.default_rng([seed, 212])
    words = rng.normal(size=(n_words, _LATENTS))
    names = [f"word{k:02d}" for k in range(n_words)]
    truth = {"words": words}
    for number in range(1, n_subjects + 1):
        label = f"{number:03d}"
        tuned = np.zeros(n_channels, dtype=bool)
        tuned[rng.permutation(n_channels)[:n_tuned]] = True
        weights = rng.normal(size=(_LATENTS, n_channels)) * tuned / np.sqrt(_LATENTS)
        runs = []
        for _ in range(n_runs):
            order = rng.permutation(np.repeat(np.arange(n_words), n_repetitions))
            runs.append((order, _trials(rng, amplitude * words[order] @ weights, sfreq, duration)))
        chosen = _best(np.concatenate([d for _, d in runs]), np.concatenate([o for o, _ in runs]))
        labels = _labels(label, n_channels, chosen)
        for run, (order, data) in enumerate(runs, start=1):
            items = [{"name": names[w], "data_s": d} for w, d in zip(order, data, strict=True)]
            home = (
                folder
                / "data"
                / "seeg.he2023xuanwu"
                / label
                / "word-recitation"
                / f"run{run}"
                / "dataset.bipolar.default.unaligned"
            )
            _save(home / "data", items)
            _save(home / "info", {"ch_names": labels})
        truth |= {f"{label}/tuned": tuned, f"{label}/weights": weights, f"{label}/chosen": chosen}
    write_truth(folder, truth)
    settings = {
        "signal": [],
        "epochs": {"tmin": 0.0, "tmax": duration + _TMIN},
        "split": {"by": "run"},
        "events": {"column": "trial_type"},
        "regions": None,  # positions and labels are not published
    }
    options = {"channels": "all", "sfreq": sfreq, "tmin": _TMIN}
    about = {
        "seed": seed,
        "n_subjects": n_subjects,
        "n_runs": n_runs,
        "n_words": n_words,
        "n_channels": n_channels,
        "n_tuned": n_tuned,
        "sfreq": sfreq,
    }
    return Twin(folder, "du-in", "du_in", "seeg_word_classification", options, settings, about)


def _trials(rng: np.random.Generator, gains: np.ndarray, sfreq: float, duration: float) -> np.ndarray:
    """Trials of one run cut from one continuous recording, (trial, channel, time), float32."""
    n_trials, n_channels = gains.shape
    n_times = round(duration * sfreq)
    noise = background(rng, n_channels, n_trials * n_times, sfreq=sfreq, shared=0.2, lowest=0.02)
    data = noise.reshape(n_channels, n_trials, n_times).swapaxes(0, 1)
    times = np.arange(n_times) / sfreq + _TMIN
    course = np.exp(-0.5 * ((times - 0.45) / 0.15) ** 2)
    high = min(95.0, 0.4 * sfreq)
    carrier = np.sin(2 * np.pi * (high * times + rng.uniform(size=(n_trials, n_channels, 1))))
    return (data + gains[:, :, None] * course + (0.3 + np.abs(gains[:, :, None])) * 0.3 * course * carrier).astype(
        np.float32
    )


def _best(data: np.ndarray, order: np.ndarray, n: int = 10) -> np.ndarray:
    """The channels whose mean response differs most between words, on all trials: an F ratio of the window 0.2 to 0.7
    of a trial."""
    n_times = data.shape[2]
    level = data[:, :, int(0.35 * n_times) : int(0.6 * n_times)].mean(axis=2)
    means = np.stack([level[order == w].mean(axis=0) for w in np.unique(order)])
    within = np.mean([level[order == w].var(axis=0) for w in np.unique(order)], axis=0)
    return np.sort(np.argsort(-means.var(axis=0) / within, kind="stable")[:n])


def _labels(subject: str, n_channels: int, chosen: np.ndarray) -> list[str]:
    """Names of the channels: those of the authors' choice for the chosen ones."""
    labels = [f"Z{k + 1}" for k in range(n_channels)]
    for place, name in zip(chosen, CHOSEN[subject].split(), strict=True):
        labels[place] = name
    return labels


def _save(path: Path, value: list | dict) -> None:
    with written_whole(path) as temporary:
        temporary.write_bytes(plain_pickle(value, dict_class="utils.DotDict.DotDict"))
