"""Twin of EEGCVPR40 (Spampinato et al. 2017): pure noise with the published block design, in the files that the reader ``eegcvpr40`` describes.

There is **no** response to any picture: each subject is one recording of 1/f noise that drifts slowly. Classes are
shown in blocks, so random folds, and the published kind of split, decode the class far above chance, and leaving whole
rounds of blocks out is at chance. ``order="random"`` deals the same classes in random order: no fold decodes anything.
The published data have one block a class, and so no honest split; ``n_blocks`` gives the twin several, so that one
exists. Truth: ``order`` (trial,) class numbers of the first subject in time, ``signal`` = 0.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from braindec.files import written_whole
from braindec.loaders._twin_evoked import background
from braindec.loaders.twin import Twin, write_truth

__all__ = ["make"]


def make(
    folder: str | Path,
    *,
    seed: int = 0,
    n_subjects: int = 2,
    n_classes: int = 10,
    n_blocks: int = 3,
    n_images: int = 12,
    n_channels: int = 24,
    n_times: int = 120,
    order: str = "block",
) -> Twin:
    """Write the twin.

    Parameters
    ----------
    folder : str or Path
        Where.
    seed : int
        Same seed, same bytes.
    n_subjects, n_classes : int
        6 and 40 in the published data.
    n_blocks, n_images : int
        Blocks of a class (1), and pictures a block (50).
    n_channels, n_times : int
        128, and about 500 samples of a picture.
    order : {"block", "random"}
        The published design, or the same pictures in random order.
    """
    import torch

    folder, rng = Path(folder), np.random.default_rng([seed, 213])
    n_each = n_blocks * n_images
    dataset, first = [], None
    for subject in range(1, n_subjects + 1):
        classes = np.repeat(_blocks(rng, n_classes, n_blocks), n_images)
        classes = rng.permutation(classes) if order == "random" else classes
        first = classes if first is None else first
        signal = background(
            rng, n_channels, len(classes) * n_times, sfreq=1000.0, exponent=1.0, lowest=0.01, shared=0.0
        )
        trials = signal.reshape(n_channels, len(classes), n_times).swapaxes(0, 1).astype(np.float32)
        shown = np.zeros(n_classes, dtype=int)
        for label, eeg in zip(classes.tolist(), trials, strict=True):
            item = {
                "eeg": torch.from_numpy(eeg.copy()),
                "image": label * n_each + int(shown[label]),
                "label": label,
                "subject": subject,
            }
            dataset.append(item)
            shown[label] += 1
    wnids = [f"n{2000000 + 137 * c:08d}" for c in range(n_classes)]
    images = [f"{wnids[c]}_{k}" for c in range(n_classes) for k in range(n_each)]
    _save(folder / "block" / "eeg_5_95_std.pth", {"dataset": dataset, "labels": wnids, "images": images})
    part = np.array(["train", "train", "train", "val", "test"])[
        rng.permutation(np.arange(n_classes * n_each) % 5)
    ]  # by picture, as published
    of_item = part[[i["image"] for i in dataset]]
    _save(
        folder / "block" / "block_splits_by_image_all.pth",
        {"splits": [{p: np.flatnonzero(of_item == p).tolist() for p in ("train", "val", "test")}]},
    )
    write_truth(folder, {"order": first, "signal": np.zeros(1)})
    options = {"i_know_about_the_block_design": True, "blocks": "order", "start": 0, "stop": n_times}
    settings = {
        "signal": [],
        "epochs": {"tmin": 0.0, "tmax": n_times / 1000},
        "split": {"by": "round"},
        "events": {"column": "trial_type"},
    }
    about = {
        "seed": seed,
        "n_subjects": n_subjects,
        "n_classes": n_classes,
        "n_blocks": n_blocks,
        "n_images": n_images,
        "order": order,
    }
    return Twin(folder, "eegcvpr40", "eegcvpr40", "erp_classification", options, settings, about)


def _blocks(rng: np.random.Generator, n_classes: int, n_blocks: int) -> np.ndarray:
    """Class of each block: every class once a round, never twice in a row."""
    rounds = [rng.permutation(n_classes)]
    for _ in range(1, n_blocks):
        one = rng.permutation(n_classes)
        rounds.append(np.roll(one, 1) if one[0] == rounds[-1][-1] else one)
    return np.concatenate(rounds)


def _save(path: Path, value: dict) -> None:
    import torch

    with written_whole(path) as temporary, temporary.open("wb") as stream:
        torch.save(value, stream)
