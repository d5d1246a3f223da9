"""Reader ``eegcvpr40``: EEGCVPR40 (Spampinato et al. 2017), refused unless one says that its design is known.

Each of the 40 classes was shown in one block of its own, 50 pictures of 0.5 s one after the other. What drifts from
minute to minute (electrodes, drowsiness, the room) therefore tells the class, and with windows of one block in training
and in test a decoder needs no brain: Li et al. 2021 decode the class from recordings in which the pictures' class was
replaced by another, and lose everything when the order is random. There is no honest split inside a subject: with its
block left out, a class was never trained on. So :func:`load` refuses, unless ``i_know_about_the_block_design: true`` is
among the options; then the trials name their block as ``run``, ``info["warnings"]`` says what a score means, and the
audit's block_design fails the published splits.

``eeg_*.pth``: a dictionary with ``dataset`` (a list of {eeg (128, about 500), image, label, subject}), ``labels``
(WordNet ids) and ``images`` (names); ``block_splits_by_image_{all,single}.pth``: ``splits`` (a list of {train, val,
test} places in ``dataset``). Both are read with ``torch.load(weights_only=True)``.

Source: eeg_signal_classification.py of github.com/perceivelab/eeg_visual_classification for the form; Li, Johansen,
Ahmed, Ilyevsky, Wilbur, Bharadwaj, Siskind (2021), "The Perils and Pitfalls of Block Design for EEG Classification
Experiments", TPAMI 43, 316-333 (IEEE 9264220). Checked against synthetic files only.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, UnreadableError
from braindec.loaders import _files, _options
from braindec.types import Recording, Windows
from braindec.types.signals import StackedSignal

__all__ = ["load", "files", "subjects"]

_REFERENCE = "Li et al. 2021, TPAMI, 10.1109/TPAMI.2020.2973153 (see also IEEE 9264220)"
_DATA = ("eeg_5_95_std.pth", "eeg_55_95_std.pth", "eeg_14_70_std.pth")
_SPLITS = ("block_splits_by_image_all.pth", "block_splits_by_image_single.pth")
_SHORTEST = 3  # trials of one class in a row, on average, that make a block
_PARTS = {"train": "train", "val": "validation", "test": "test"}
_WHAT_IT_MEANS = (
    "block design: each class was shown in a block of its own, so that drift tells the class (Li et al. 2021, TPAMI); with the published splits a score "
    "says nothing about the brain: pure 1/f noise in such blocks is decoded far above chance"
)


def load(
    root: str | Path,
    subject: str | None = None,
    *,
    i_know_about_the_block_design: bool = False,
    data: str | None = None,
    splits: str | None = None,
    split_number: int = 0,
    blocks: str = "class",
    start: int = 20,
    stop: int = 460,
    sfreq: float = 1000.0,
) -> Windows:
    """Open the trials of one subject, when the block design is known to whoever asks.

    Parameters
    ----------
    root : str or Path
        The folder with the .pth files (or with a folder ``block``).
    subject : str
        "1" to "6".
    i_know_about_the_block_design : bool
        Without it nothing is read.
    data, splits : str, optional
        Names of the files; by default the first that is there of eeg_5_95_std.pth, eeg_55_95_std.pth,
        eeg_14_70_std.pth, and of block_splits_by_image_all.pth, block_splits_by_image_single.pth (none is needed).
    split_number : int
        Which of the splits gives the column ``part``.
    blocks : {"class", "order"}
        What is one block (the column ``run``): all trials of a class, as published; or each stretch of one class in the
        order of the file, for data with several blocks a class (``round`` then numbers the blocks of each class;
        neither is there when the order is random).
    start, stop : int
        Samples that are kept; those of other lengths than ``stop`` are left out, as in the authors' script (450 to 600
        samples).
    sfreq : float
        Hz; the file does not say it.

    Returns
    -------
    Windows
        trials: trial_type and concept_id (the class), stimulus_id (the picture), run (the block), and ``part`` where
        there are splits.

    Raises
    ------
    BraindecError
        Unless ``i_know_about_the_block_design`` is true.
    UnreadableError
        If a file is damaged, or holds more than tensors and plain data.
    """
    if i_know_about_the_block_design is not True:
        raise BraindecError(
            "EEGCVPR40 is not opened: each class was shown in a block of its own, so that the time of recording tells the class",
            found=_REFERENCE,
            allowed="a data set with pictures in random order, such as things-eeg2",
            fix="to study the confound itself, say i_know_about_the_block_design: true among the options of the reader",
        )
    if blocks not in ("class", "order"):
        raise BraindecError("blocks is class or order", found=repr(blocks))
    path = _path(root, data, _DATA)
    table = _read(path)
    label = _label(subject, _subjects_of(table))
    rows = [k for k, item in enumerate(table["dataset"]) if str(int(item["subject"])) == label]
    kept = [k for k in rows if table["dataset"][k]["eeg"].shape[1] >= stop]
    if not kept:
        raise BraindecError(f"no trial of subject {label} has {stop} samples", found=f"{len(rows)} trials")
    signals = np.stack([np.asarray(table["dataset"][k]["eeg"][:, start:stop], dtype=np.float32) for k in kept])
    trials = _trials(table, kept, label, blocks)
    split_path = _path(root, splits, _SPLITS, needed=splits is not None)
    if split_path is not None:
        trials["part"] = _parts(split_path, split_number, np.array(kept))
    trials["window_id"] = [f"sub-{label}_item-{k}" for k in kept]
    said = [_WHAT_IT_MEANS]
    if len(kept) < len(rows):
        said.append(f"{len(rows) - len(kept)} of {len(rows)} trials are shorter than {stop} samples and were left out")
    info = {"dataset": "eegcvpr40", "subject": label, "modality": "eeg", "path": str(path), "warnings": said}
    names = [f"ch{k:03d}" for k in range(signals.shape[1])]
    recording = Recording(
        StackedSignal(signals), sfreq, pd.DataFrame({"name": names, "type": "eeg", "unit": "a.u."}), info=info
    )
    n_times = stop - start
    index = np.stack([np.zeros(len(kept), np.int64), np.arange(len(kept)) * n_times], axis=1)
    return Windows((recording,), index, n_times, trials, start / sfreq)


def subjects(root: str | Path, **options: Any) -> list[str]:
    """Return the subjects in the file."""
    values = _options.bind(load, options)
    if values["i_know_about_the_block_design"] is not True:
        load(root, "1")  # says why it is refused
    return _subjects_of(_read(_path(root, values["data"], _DATA)))


def files(root: str | Path, subject: str | None = None, **options: Any) -> list[Path]:
    """Return the files that :func:`load` with the same options reads."""
    values = _options.bind(load, {**options, "subject": subject})
    extra = _path(root, values["splits"], _SPLITS, needed=values["splits"] is not None)
    return [_path(root, values["data"], _DATA), *([extra] if extra else [])]


def _path(root: str | Path, name: str | None, known: tuple[str, ...], needed: bool = True) -> Path | None:
    folder = _files.existing(root)
    for one in [name] if name else known:
        _files.check_inside(one)
        for place in (folder / one, folder / "block" / one):
            if place.is_file():
                return place
    if needed:
        raise BraindecError(f"{root} has no {name or known[0]}", allowed=", ".join(known))
    return None


def _read(path: Path) -> dict[str, Any]:
    import torch

    try:
        mapped = zipfile.is_zipfile(path)  # older files cannot be mapped, and are read whole
        table = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # torch, zipfile and pickle each raise their own
        raise UnreadableError(
            f"{path} cannot be read as tensors and plain data (torch.load with weights_only)",
            found=f"{type(error).__name__}: {str(error)[:200]}",
            fix="the file is damaged, cut short, or holds code: copy it again",
        ) from error
    items = table.get("dataset") if isinstance(table, dict) else None
    fits = (
        isinstance(items, list)
        and items
        and all(isinstance(i, dict) and {"eeg", "image", "label", "subject"} <= set(i) for i in items)
    )
    if not fits or not {"labels", "images"} <= set(table):
        raise UnreadableError(
            f"{path} is not in the form of EEGCVPR40",
            allowed="{dataset: [{eeg, image, label, subject}], labels, images}",
        )
    return table


def _subjects_of(table: dict[str, Any]) -> list[str]:
    return [str(n) for n in sorted({int(item["subject"]) for item in table["dataset"]})]


def _label(subject: str | None, known: list[str]) -> str:
    label = str(subject).removeprefix("sub-").lstrip("0")
    if label not in known:
        raise BraindecError(f"there is no subject {subject!r}", allowed=", ".join(known))
    return label


def _trials(table: dict[str, Any], kept: list[int], label: str, blocks: str) -> pd.DataFrame:
    items = [table["dataset"][k] for k in kept]
    name = [str(table["labels"][int(i["label"])]) for i in items]
    image = [str(table["images"][int(i["image"])]) for i in items]
    trials = pd.DataFrame({"subject": label, "trial_type": name, "concept_id": name, "stimulus_id": image})
    if blocks == "class":
        return trials.assign(run=trials["trial_type"])
    stretch = (trials["trial_type"] != trials["trial_type"].shift()).cumsum()
    first = ~stretch.duplicated()
    if first.sum() > len(trials) / _SHORTEST:
        return trials  # the order is random: there are no blocks
    number = trials.loc[first].groupby("trial_type").cumcount()
    rounds = stretch.map(dict(zip(stretch[first], number + 1, strict=True)))
    return trials.assign(run=stretch.map("block-{:03d}".format), round=rounds.map("{:02d}".format))


def _parts(path: Path, number: int, kept: np.ndarray) -> np.ndarray:
    import torch

    try:
        split = torch.load(path, map_location="cpu", weights_only=True)["splits"][number]
        places = {part: {int(k) for k in split[name]} for name, part in _PARTS.items()}
    except Exception as error:
        raise UnreadableError(f"{path} holds no split {number}", found=f"{type(error).__name__}: {str(error)[:200]}",
                              allowed="{splits: [{train, val, test}]}") from error  # fmt: skip
    part = np.array([next((p for p, inside in places.items() if k in inside), "") for k in kept], dtype=object)
    if (part == "").any():
        raise BraindecError(f"{path.name} leaves {int((part == '').sum())} of {len(kept)} trials of this subject without a part",
                            fix="use block_splits_by_image_all.pth, which counts over all subjects")  # fmt: skip
    return part
