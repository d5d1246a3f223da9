"""Twin of THINGS-EEG2 (Gifford et al. 2022): the files that the reader ``things_eeg2`` describes, raw and preprocessed.

Images come every 200 ms, so responses overlap; each session shows half of the training images twice and all test images
several times, in files of their own, with a target now and then. Truth: ``latents`` (stimulus, 20) in the order of the
features' items (training images, then test images), ``concept`` (stimulus,), and for a subject "01/topographies"
(latent, channel), "01/courses" (latent, time). ``twin/features.h5`` describes the images, ``twin/prototypes.h5`` the
concepts: for each test image the mean of other images of its concept.

``leaked`` plants a leak: so many test images are of concepts that training shows.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from braindec.loaders._twin_evoked import Sensors, background, make_sensors, place
from braindec.loaders._twin_pickle import save_npy_dictionary
from braindec.loaders.twin import Twin, write_features, write_truth
from braindec.loaders.twins._images import Stimuli, make_stimuli
from braindec.types import Features

__all__ = ["make"]

_NAMES = (
    "Fp1",
    "Fp2",
    "F3",
    "Fz",
    "F4",
    "C3",
    "Cz",
    "C4",
    "T7",
    "T8",
    "TP9",
    "TP10",
    "P7",
    "P3",
    "Pz",
    "P4",
    "P8",
    "PO7",
    "POz",
    "PO8",
    "O1",
    "Oz",
    "O2",
    "CPz",
)
_SOA, _LEAD, _DURATION = 0.2, 1.0, 0.5  # s between onsets, before the first image, and length of a response
_MICRO = 1e-6
_BASELINE = 0.2  # s before the onset, in preprocessed files
_OTHERS = 4  # images of a test concept that are never shown


def make(
    folder: str | Path,
    *,
    seed: int = 0,
    n_subjects: int = 2,
    n_sessions: int = 4,
    n_concepts: int = 30,
    n_images: int = 3,
    n_test: int = 12,
    n_repetitions: int = 5,
    sfreq: float = 100.0,
    amplitude: float = 1.2,
    leaked: int = 0,
) -> Twin:
    """Write the twin.

    Parameters
    ----------
    folder : str or Path
        Where.
    seed : int
        Same seed, same bytes.
    n_subjects, n_sessions : int
        10 and 4 in the published data.
    n_concepts, n_images : int
        Training concepts, and images of each (1,654 and 10).
    n_test : int
        Test images, one of each test concept (200).
    n_repetitions : int
        Presentations of a test image in a session (20).
    sfreq : float
        Hz (1000).
    amplitude : float
        Response to one latent at its peak, microvolt; the background has 10.
    leaked : int
        So many test images are of training concepts.
    """
    folder, rng = Path(folder), np.random.default_rng([seed, 211])
    concept, ids, names = _contents(n_concepts, n_images, n_test, leaked)
    stimuli = make_stimuli(rng, concept)
    n_train = n_concepts * n_images
    shown = np.arange(n_train + n_test)
    _write_metadata(folder, ids, names, n_train, n_test)
    truth = {"latents": stimuli.latents[shown], "concept": concept[shown]}
    for number in range(1, n_subjects + 1):
        label = f"{number:02d}"
        sensors = make_sensors(
            rng, stimuli.latents.shape[1], len(_NAMES), sfreq=sfreq, duration=_DURATION, amplitude=amplitude
        )
        trials: dict[str, list] = {"training": [], "test": []}
        for session in range(1, n_sessions + 1):
            half = np.arange(n_train)[session % 2 :: 2]
            orders = {
                "training": rng.permutation(np.repeat(half, 2)),
                "test": n_train + rng.permutation(np.repeat(np.arange(n_test), n_repetitions)),
            }
            for part, order in orders.items():
                first = n_train if part == "test" else 0
                data, samples = _session(rng, sensors, stimuli, order, sfreq)
                _write_raw(folder, label, session, part, data, samples, order - first, rng, sfreq)
                trials[part].append((order - first, _cut(data, samples, sfreq)))
        for part, parts in trials.items():
            _write_preprocessed(folder, label, part, parts, rng, sfreq)
        truth |= {f"{label}/topographies": sensors.topographies, f"{label}/courses": sensors.courses}
    write_features(folder, stimuli.table(ids[: len(shown)], names[: len(shown)], shown))
    _prototypes(stimuli, ids, names, n_train, n_test).save(folder / "twin" / "prototypes.h5")
    write_truth(folder, truth)
    settings = {
        "features": "{root}/twin/features.h5",
        "split": {"column": "part", "by": "concept_id"},
        "epochs": {"tmax": 0.4},
    }
    sizes = {
        "n_subjects": n_subjects,
        "n_sessions": n_sessions,
        "n_train": n_train,
        "n_test": n_test,
        "leaked": leaked,
        "seed": seed,
    }
    return Twin(folder, "things-eeg2", "things_eeg2", "eeg_image_retrieval", settings=settings, about=sizes)


def _contents(n_concepts: int, n_images: int, n_test: int, leaked: int) -> tuple[np.ndarray, list[str], list[str]]:
    """Concept number, image and concept name of the training images, the test images, and unseen images of test
    concepts."""
    test = np.r_[np.arange(leaked), n_concepts + np.arange(n_test - leaked)]
    concept = np.concatenate([np.repeat(np.arange(n_concepts), n_images), test, np.repeat(test, _OTHERS)])
    names = [f"thing{c:03d}" for c in concept]
    place_in = np.concatenate(
        [
            np.tile(np.arange(n_images), n_concepts),
            np.full(n_test, n_images),
            np.tile(n_images + 1 + np.arange(_OTHERS), n_test),
        ]
    )
    return concept, [f"{n}_{k + 1:02d}b" for n, k in zip(names, place_in, strict=True)], names


def _prototypes(stimuli: Stimuli, ids: list[str], names: list[str], n_train: int, n_test: int) -> Features:
    table = stimuli.table(ids, names)
    others = np.asarray(stimuli.features)[n_train + n_test :].reshape(n_test, _OTHERS, -1).mean(axis=1)
    test = table.items.iloc[n_train : n_train + n_test].reset_index(drop=True)
    return Features(others, test, table.units, {**table.info, "candidates": "concepts: the mean of other images"})


def _write_metadata(folder: Path, ids: list[str], names: list[str], n_train: int, n_test: int) -> None:
    table = {}
    for part, first, n in (("train", 0, n_train), ("test", n_train, n_test)):
        some, number = names[first : first + n], {n: k + 1 for k, n in enumerate(dict.fromkeys(names))}
        table[f"{part}_img_concepts"] = [f"{number[c]:05d}_{c}" for c in some]
        table[f"{part}_img_concepts_THINGS"] = [f"{number[c]:05d}_{c}" for c in some]
        table[f"{part}_img_files"] = [f"{i}.jpg" for i in ids[first : first + n]]
    save_npy_dictionary(folder / "image_set" / "image_metadata.npy", table)


def _session(
    rng: np.random.Generator, sensors: Sensors, stimuli: Stimuli, order: np.ndarray, sfreq: float
) -> tuple[np.ndarray, np.ndarray]:
    """Signal of one file in microvolt, (channel, time), and the sample of each onset."""
    samples = np.round((_LEAD + _SOA * np.arange(len(order))) * sfreq).astype(np.int64)
    n_times = samples[-1] + round(2 * _LEAD * sfreq)
    data = 10.0 * background(rng, len(_NAMES), n_times, sfreq=sfreq)
    place(data, sensors.respond(stimuli.latents[order]), samples)
    return data, samples


def _write_raw(
    folder: Path,
    label: str,
    session: int,
    part: str,
    data: np.ndarray,
    samples: np.ndarray,
    image: np.ndarray,
    rng: np.random.Generator,
    sfreq: float,
) -> None:
    stim = np.zeros(data.shape[1])
    stim[samples] = image + 1
    targets = samples[rng.permutation(len(samples))[: max(1, len(samples) // 20)]] + round(_SOA * sfreq / 2)
    stim[targets] = 99999
    table = {
        "raw_eeg_data": np.concatenate([data * _MICRO, stim[None]]),
        "ch_names": [*_NAMES, "stim"],
        "ch_types": ["eeg"] * len(_NAMES) + ["stim"],
        "sfreq": int(sfreq),
        "highpass": 0.01,
        "lowpass": 100,
    }
    save_npy_dictionary(folder / "raw_data" / f"sub-{label}" / f"ses-{session:02d}" / f"raw_eeg_{part}.npy", table)


def _cut(data: np.ndarray, samples: np.ndarray, sfreq: float) -> np.ndarray:
    """Windows with their baseline taken off, (trial, channel, time)."""
    first, last = round(-_BASELINE * sfreq), round(_DURATION * sfreq)
    cut = np.stack([data[:, s + first : s + last] for s in samples])
    return cut - cut[:, :, :-first].mean(axis=2, keepdims=True)


def _write_preprocessed(
    folder: Path,
    label: str,
    part: str,
    sessions: list[tuple[np.ndarray, np.ndarray]],
    rng: np.random.Generator,
    sfreq: float,
) -> None:
    """Sort by image, mix the repetitions of all sessions, and whiten as the authors did: with all that there is."""
    image = np.concatenate([order for order, _ in sessions])
    windows = np.concatenate([cut for _, cut in sessions])
    values, vectors = np.linalg.eigh(np.cov(windows.swapaxes(0, 1).reshape(len(_NAMES), -1)))
    white = np.einsum("cd,ndt->nct", (vectors / np.sqrt(values)) @ vectors.T, windows)
    rows = np.stack([rng.permutation(np.flatnonzero(image == i)) for i in range(image.max() + 1)])
    times = np.arange(windows.shape[2]) / sfreq - _BASELINE
    table = {"preprocessed_eeg_data": white[rows].astype(np.float32), "ch_names": list(_NAMES), "times": times}
    save_npy_dictionary(folder / "preprocessed_data" / f"sub-{label}" / f"preprocessed_eeg_{part}.npy", table)
