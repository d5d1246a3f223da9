"""Twin of THINGS-MEG (Hebart et al. 2023): epochs and the table of trials that the reader ``things_meg`` describes.

Training images of all concepts, the tested ones among them, are shown once; test images once a session; catch trials
between them. Truth: ``latents`` (stimulus, 20) in the order of the features' items (training images, then test images),
``concept`` (stimulus,), and for a subject "1/topographies" (latent, channel), "1/courses" (latent, time from onset).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from braindec.loaders._twin_evoked import background, make_sensors
from braindec.loaders.twin import Twin, write_features, write_truth
from braindec.loaders.twins._images import make_stimuli
from braindec.types.mne_signals import quiet_mne

__all__ = ["make"]

_TMIN, _TMAX = -0.1, 1.3


def make(
    folder: str | Path,
    *,
    seed: int = 0,
    n_subjects: int = 2,
    n_sessions: int = 6,
    n_concepts: int = 44,
    n_images: int = 4,
    n_test: int = 14,
    n_channels: int = 24,
    sfreq: float = 100.0,
    amplitude: float = 0.25,
) -> Twin:
    """Write the twin.

    Parameters
    ----------
    folder : str or Path
        Where.
    seed : int
        Same seed, same bytes.
    n_subjects, n_sessions : int
        4 and 12 in the published data.
    n_concepts, n_images : int
        Concepts (1,854) and images of each that are shown once (12).
    n_test : int
        Test images, each of one of these concepts (200), shown once a session.
    n_channels, sfreq : float
        271 magnetometers, 200 Hz.
    amplitude : float
        Response to one latent at its peak, in standard deviations of the background.
    """
    folder, rng = Path(folder), np.random.default_rng([seed, 217])
    concept = np.concatenate([np.repeat(np.arange(n_concepts), n_images), rng.permutation(n_concepts)[:n_test]])
    stimuli = make_stimuli(rng, concept)
    names = [f"thing{c:03d}" for c in concept]
    n_train = n_concepts * n_images
    place_in = np.r_[np.tile(np.arange(n_images), n_concepts), np.full(n_test, n_images)]
    ids = [f"{n}_{k + 1:02d}s" for n, k in zip(names, place_in, strict=True)]
    truth = {"latents": stimuli.latents, "concept": concept}
    for number in range(1, n_subjects + 1):
        sensors = make_sensors(rng, stimuli.latents.shape[1], n_channels, sfreq=sfreq, amplitude=amplitude)
        table = _order(rng, n_train, n_test, n_sessions)
        shown = table["stimulus"].to_numpy()
        n_times = round((_TMAX - _TMIN) * sfreq) + 1
        data = (
            background(rng, n_channels, len(table) * n_times, sfreq=sfreq)
            .reshape(n_channels, len(table), n_times)
            .swapaxes(0, 1)
        )
        first, real = round(-_TMIN * sfreq), np.flatnonzero(shown >= 0)
        data[real, :, first : first + sensors.courses.shape[1]] += sensors.respond(stimuli.latents[shown[real]])
        _write(folder, number, data, sfreq, _attributes(table, ids, names, n_train))
        truth |= {f"{number}/topographies": sensors.topographies, f"{number}/courses": sensors.courses}
    write_features(folder, stimuli.table(ids, names))
    write_truth(folder, truth)
    settings = {
        "signal": [],
        "features": "{root}/twin/features.h5",
        "split": {"column": "part", "by": "concept_id"},
        "epochs": {"tmin": 0.0, "tmax": 0.5},
    }
    about = {
        "seed": seed,
        "n_subjects": n_subjects,
        "n_sessions": n_sessions,
        "n_concepts": n_concepts,
        "n_images": n_images,
        "n_test": n_test,
    }
    return Twin(folder, "things-meg", "things_meg", "eeg_image_retrieval", settings=settings, about=about)


def _order(rng: np.random.Generator, n_train: int, n_test: int, n_sessions: int) -> pd.DataFrame:
    """stimulus (-1 for catch trials), session and run of each trial."""
    rows = []
    for session, part in enumerate(np.array_split(rng.permutation(n_train), n_sessions), start=1):
        shown = rng.permutation(np.r_[part, n_train + np.arange(n_test), np.full(max(1, len(part) // 10), -1)])
        for run, some in enumerate(np.array_split(shown, 2), start=1):
            rows += [(int(s), session, run, 1.5 * k + 2.0) for k, s in enumerate(some)]
    return pd.DataFrame(rows, columns=["stimulus", "session_nr", "run_nr", "image_on"])


def _attributes(table: pd.DataFrame, ids: list[str], names: list[str], n_train: int) -> pd.DataFrame:
    stimulus = table["stimulus"].to_numpy()
    kind = np.where(stimulus < 0, "catch", np.where(stimulus < n_train, "exp", "test"))
    path = [
        f"images_catch_meg/catch{k:03d}.jpg"
        if s < 0
        else f"images_meg/{names[s]}/{ids[s]}.jpg"
        if s < n_train
        else f"images_test_meg/{ids[s]}.jpg"
        for k, s in enumerate(stimulus)
    ]
    numbers = np.where(stimulus < 0, 999999, stimulus + 1)
    return pd.DataFrame(
        {
            "trial_type": kind,
            "session_nr": table["session_nr"],
            "run_nr": table["run_nr"],
            "image_on": table["image_on"],
            "image_off": table["image_on"] + 0.5,
            "image_path": path,
            "things_image_nr": numbers,
        }
    )


def _write(folder: Path, number: int, data: np.ndarray, sfreq: float, attributes: pd.DataFrame) -> None:
    import mne

    (folder / "sourcedata").mkdir(parents=True, exist_ok=True)
    attributes.to_csv(folder / "sourcedata" / f"sample_attributes_P{number}.csv", index=False, lineterminator="\n")
    n_channels = data.shape[1]
    info = mne.create_info([f"MLT{k + 1:02d}-1609" for k in range(n_channels)], sfreq, "mag", verbose="ERROR")
    for channel, where in zip(info["chs"], _helmet(n_channels), strict=True):
        channel["loc"][:12] = [*where, 1, 0, 0, 0, 1, 0, *(where / np.linalg.norm(where))]
    samples = np.arange(len(data)) * data.shape[2]
    events = np.stack([samples, np.zeros_like(samples), attributes["things_image_nr"].to_numpy()], axis=1)
    path = folder / "derivatives" / "preprocessed" / f"preprocessed_P{number}-epo.fif"
    path.parent.mkdir(parents=True, exist_ok=True)
    with quiet_mne():
        epochs = mne.EpochsArray(data, info, events, tmin=_TMIN, verbose="ERROR")
        epochs.save(path, fmt="single", verbose="ERROR")


def _helmet(n: int) -> np.ndarray:
    """Points on the upper part of a sphere of 11 cm, (n, 3) in m."""
    height = 1 - 1.1 * (np.arange(n) + 0.5) / n
    turn = np.pi * (3 - np.sqrt(5)) * np.arange(n)
    flat = np.sqrt(1 - height**2)
    return 0.11 * np.stack([flat * np.cos(turn), flat * np.sin(turn), height], axis=1)
