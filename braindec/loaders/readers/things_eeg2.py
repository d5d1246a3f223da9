"""Reader ``things_eeg2``: THINGS-EEG2 (Gifford et al. 2022) as published, raw or preprocessed, without unpickling it.

Raw: ``raw_data/sub-01/ses-01/raw_eeg_{training,test}.npy``, a dictionary with ``raw_eeg_data`` (channel, time) in V,
``ch_names``, ``ch_types``, ``sfreq`` (1000 Hz); the channel "stim" holds the number of the image, from 1, at the sample
of its onset, and 99999 at targets, which are dropped. One Recording a session and part. Preprocessed:
``preprocessed_data/sub-01/preprocessed_eeg_{training,test}.npy``, with ``preprocessed_eeg_data`` (condition,
repetition, channel, time), ``ch_names``, ``times``; sessions are mixed, so nothing says when a trial was. One Windows
for both parts. ``image_metadata.npy`` names the images: ``{train,test}_img_files`` and
``{train,test}_img_concepts_THINGS`` ("00001_aardvark").

Candidates: ``stimulus_id`` is the image ("aardvark_01b"), ``concept_id`` its concept. Retrieval among the 200 test
images is among images when the features are theirs; with features that are the mean of *other* images of the concept
(NICE's "center") it is among concepts. Name the one that is meant by the features that are given.

Source: 01_eeg_preprocessing/source_to_raw.py and 02_eeg_preprocessing of github.com/gifale95/eeg_encoding (MIT), the
changes of github.com/eeyhsong/NICE-EEG (MIT; a bare pickle under the name .npy, 63 channels, times that begin before
the data do). Checked against synthetic files only.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, UnreadableError
from braindec.evaluate.published import published_step
from braindec.loaders import _files, _options
from braindec.loaders._positions import standard_montage
from braindec.loaders.plain_pickle import load_plain
from braindec.types import Recording, Windows
from braindec.types.signals import ArraySignal, StackedSignal

__all__ = ["load", "files", "subjects"]

_PARTS = {"train": "training", "test": "test"}
_PLACES = {
    "raw": ("raw_data", "Raw_data", "eeg_dataset/raw_data", "raw_eeg", "."),
    "preprocessed": ("preprocessed_data", "Preprocessed_data", "Preprocessed_data_250Hz", "eeg_dataset/preprocessed_data", "."),
}  # fmt: skip
_METADATA = (
    "image_metadata.npy",
    "image_set/image_metadata.npy",
    "images/image_metadata.npy",
    "Image_set/image_metadata.npy",
)
_TARGET = 99999
_WHITENED = (
    "the published preprocessing whitened each session (MVNN) with the covariance of training and test trials together: for a clean "
    "test use the raw form, and whiten on training trials (transform noise_normalizer)"
)


def load(
    root: str | Path,
    subject: str | None = None,
    *,
    form: str = "raw",
    session: str | Sequence[str] | None = None,
    part: str | None = None,
    whitened_with: str = "both",
    montage: str | None = None,
) -> list[Recording] | Windows:
    """Open one subject; signals stay on disk.

    Parameters
    ----------
    root : str or Path
        The folder with ``image_metadata.npy`` (or ``image_set/image_metadata.npy``) and the folders of the EEG.
    subject : str
        "01" to "10".
    form : {"raw", "preprocessed"}
        Which files.
    session : str or list of str, optional
        Sessions of the raw form ("01" to "04").
    part : {"train", "test"}, optional
        Only this part.
    whitened_with : {"both", "train", "none"}
        What the covariance of preprocessed files was computed from: training and test trials (the published files),
        training trials (files made by NICE), or nothing. "both" is told to the audit
        (:mod:`braindec.evaluate.published`).
    montage : str, optional
        Positions from a template of mne, such as "standard_1005".

    Returns
    -------
    list of Recording (raw) or Windows (preprocessed)
        Events and trials have trial_type "image", stimulus_id, concept_id, part ("train" or "test", concepts disjoint)
        and repetition.

    Raises
    ------
    BraindecError, UnreadableError
        If a file is not there, holds more than plain data, or does not fit the list of images.
    """
    if whitened_with not in ("both", "train", "none"):
        raise BraindecError("whitened_with is both, train or none", found=repr(whitened_with))
    images = _images(_files.existing(root))
    found = _found(root, form, subject, session, part)
    if form == "preprocessed":
        return Windows.concat([_windows(p, name, label, images, whitened_with, montage) for p, label, _, name in found])
    recordings = [_recording(p, name, label, ses, images, montage) for p, label, ses, name in found]
    return _with_repetitions(recordings)


def subjects(root: str | Path, **options: Any) -> list[str]:
    """Return the subjects that have files of this form."""
    values = _options.bind(load, options)
    form = values["form"]
    name = "ses-*/raw_eeg_*.npy" if form == "raw" else "preprocessed_eeg_*.npy"
    for folder in _folders(root, form):
        found = sorted({p.relative_to(folder).parts[0].removeprefix("sub-") for p in folder.glob(f"sub-*/{name}")})
        if found:
            return found
    raise BraindecError(
        f"{root} holds no {form} EEG of THINGS-EEG2", allowed=f"sub-01/{name} in it, or in {', '.join(_PLACES[form][:-1])}",
        fix="unpack the archives of a subject; name the other form with form: preprocessed (or raw)",
    )  # fmt: skip


def files(root: str | Path, subject: str | None = None, **options: Any) -> list[Path]:
    """Return the files that :func:`load` with the same options reads."""
    values = _options.bind(load, {**options, "subject": subject})
    found = _found(root, values["form"], subject, values["session"], values["part"])
    return [_metadata_path(_files.existing(root)), *(p for p, *_ in found)]


def _folders(root: str | Path, form: str) -> list[Path]:
    path = _files.existing(root)
    if form not in _PLACES:
        raise BraindecError("form is raw or preprocessed", found=repr(form))
    return [path / place for place in _PLACES[form] if (path / place).is_dir()]


def _found(
    root: str | Path, form: str, subject: str | None, session: Any, part: str | None
) -> list[tuple[Path, str, str | None, str]]:
    """(file, subject, session, part) in order of session, training before test."""
    if subject is None or (part is not None and part not in _PARTS):
        raise BraindecError(
            "the reader things_eeg2 opens one subject; part is train or test", found=f"subject={subject}, part={part}"
        )
    label = str(subject).removeprefix("sub-")
    _files.check_inside(label)
    wanted, parts = _options.as_list(session), [part] if part else list(_PARTS)
    for folder in _folders(root, form):
        home = folder / f"sub-{label}"
        if form == "preprocessed":
            found = [(home / f"preprocessed_eeg_{_PARTS[p]}.npy", label, None, p) for p in parts]
        else:
            sessions = [s.name.removeprefix("ses-") for s in sorted(home.glob("ses-*"))]
            found = [(home / f"ses-{s}" / f"raw_eeg_{_PARTS[p]}.npy", label, s, p)
                     for s in sessions if wanted is None or s in wanted for p in parts]  # fmt: skip
        there = [f for f in found if f[0].is_file()]
        if there:
            return there
    raise BraindecError(f"{root} has no {form} EEG of subject {label}" + (f", session {wanted}" if wanted else ""),
                        fix=f"subjects that are there: {', '.join(subjects(root, form=form))}")  # fmt: skip


def _metadata_path(root: Path) -> Path:
    for name in _METADATA:
        if (root / name).is_file():
            return root / name
    raise BraindecError(
        f"{root} has no image_metadata.npy",
        allowed=", ".join(_METADATA),
        fix="it stands beside the images on osf.io/y63gw; without it the numbers of the images mean nothing",
    )


def _images(root: Path) -> dict[str, pd.DataFrame]:
    """The images of each part in the order of their numbers: stimulus_id, concept_id."""
    path = _metadata_path(root)
    table = load_plain(path)
    found = {}
    for part in _PARTS:
        names = [f"{part}_img_files", f"{part}_img_concepts_THINGS"]
        missing = [n for n in names if not isinstance(table, dict) or n not in table]
        if missing:
            raise UnreadableError(
                f"{path} has no {missing[0]}",
                found=", ".join(map(str, table))[:200] if isinstance(table, dict) else "no dictionary",
            )
        image, concept = (pd.Series([str(v) for v in table[n]], dtype=object) for n in names)
        stem = image.str.replace(r"\.[A-Za-z]+$", "", regex=True)
        found[part] = pd.DataFrame({"stimulus_id": stem, "concept_id": concept.str.replace(r"^\d+_", "", regex=True)})
    return found


def _content(path: Path, name: str) -> tuple[dict[str, Any], np.ndarray]:
    table = load_plain(path)
    if not isinstance(table, dict) or not isinstance(table.get(name), np.ndarray) or "ch_names" not in table:
        said = ", ".join(map(str, table)) if isinstance(table, dict) else type(table).__name__
        raise UnreadableError(
            f"{path} is no file of THINGS-EEG2", found=said[:200], allowed=f"a dictionary with {name}, ch_names, ..."
        )
    return table, table[name]


def _recording(
    path: Path, part: str, subject: str, session: str | None, images: dict[str, pd.DataFrame], montage: str | None
) -> Recording:
    table, data = _content(path, "raw_eeg_data")
    names = [str(n) for n in table["ch_names"]]
    if data.ndim != 2 or len(names) != len(data) or "stim" not in names:
        raise UnreadableError(
            f"{path}: raw_eeg_data must be (channel, time) with a channel stim",
            found=f"shape {data.shape}, {len(names)} names",
        )
    stim = np.asarray(data[names.index("stim")]).round().astype(np.int64)
    onset = np.flatnonzero((stim != 0) & (np.r_[0, stim[:-1]] != stim))
    value = stim[onset]
    target = value == _TARGET
    sfreq = float(table["sfreq"])
    events = _named(value[~target], images[part], path)
    events.insert(0, "onset", onset[~target] / sfreq)
    events.insert(1, "duration", 0.1)
    events["part"] = part
    said = [f"{path.name}: {int(target.sum())} targets (99999) were left out"] if target.any() else []
    if part == "train":
        said.append(
            f"{path.name}: the parts of the training session were joined end to end; filters ring at the joints"
        )
    kinds = [str(t) for t in table.get("ch_types", ["eeg"] * len(names))]
    channels = pd.DataFrame(
        {"name": names, "type": kinds, "unit": ["V" if k in ("eeg", "eog") else "n/a" for k in kinds]}
    )
    info = {"dataset": "things-eeg2", "subject": subject, "session": session, "task": "images", "run": _PARTS[part], "modality": "eeg",
            "path": str(path), "warnings": said}  # fmt: skip
    recording = Recording(ArraySignal(data), sfreq, channels, events, info)
    recording = recording.select([n for n, k in zip(names, kinds, strict=True) if k != "stim"])
    return standard_montage(recording, montage, said) if montage else recording


def _named(value: np.ndarray, images: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The images of trigger values."""
    if len(value) and not (value.min() >= 1 and value.max() <= len(images)):
        raise UnreadableError(
            f"{path}: the channel stim names images that are not in image_metadata.npy",
            found=f"{value.min()} to {value.max()}",
            allowed=f"1 to {len(images)}, and {_TARGET} for targets",
        )
    rows = images.iloc[value - 1].reset_index(drop=True)
    return rows.assign(trial_type="image")[["trial_type", "stimulus_id", "concept_id"]]


def _with_repetitions(recordings: list[Recording]) -> list[Recording]:
    """Count the presentations of each image over sessions."""
    shown: dict[tuple[str, str], int] = {}
    out = []
    for recording in recordings:
        counts = []
        for key in zip(recording.events["part"], recording.events["stimulus_id"], strict=True):
            shown[key] = shown.get(key, 0) + 1
            counts.append(shown[key])
        out.append(recording.with_events(recording.events.assign(repetition=counts)))
    return out


def _windows(
    path: Path, part: str, subject: str, images: dict[str, pd.DataFrame], whitened_with: str, montage: str | None
) -> Windows:
    table, data = _content(path, "preprocessed_eeg_data")
    names, times = [str(n) for n in table["ch_names"]], np.asarray(table.get("times", []), dtype=float)
    if data.ndim != 4 or data.shape[2] != len(names) or len(data) != len(images[part]) or len(times) < data.shape[3]:
        raise UnreadableError(
            f"{path}: preprocessed_eeg_data must be (condition, repetition, channel, time)",
            found=f"shape {data.shape}, {len(images[part])} images, {len(names)} names, {len(times)} times",
        )  # fmt: skip
    times = times[len(times) - data.shape[3] :]  # NICE keeps the times of what it cut off
    n_images, n_repetitions = data.shape[:2]
    sfreq = round(1 / float(np.median(np.diff(times))), 6)
    trials = images[part].iloc[np.repeat(np.arange(n_images), n_repetitions)].reset_index(drop=True)
    trials = trials.assign(subject=subject, run=_PARTS[part], trial_type="image", part=part,
                           repetition=np.tile(np.arange(1, n_repetitions + 1), n_images))  # fmt: skip
    trials["window_id"] = [
        f"sub-{subject}_{part}_{s}_rep-{r}" for s, r in zip(trials["stimulus_id"], trials["repetition"], strict=True)
    ]
    signal = StackedSignal(_one_axis_less(data))
    said = published_step("MVNN of the published files", _WHITENED) if whitened_with == "both" else {"warnings": []}
    said["warnings"].append(
        f"{path.name}: the repetitions of all sessions were mixed by the publishers: no trial has a time"
    )
    info = {
        "dataset": "things-eeg2",
        "subject": subject,
        "task": "images",
        "run": _PARTS[part],
        "modality": "eeg",
        "path": str(path),
        **said,
    }
    unit = "V" if whitened_with == "none" else "a.u."
    recording = Recording(signal, sfreq, pd.DataFrame({"name": names, "type": "eeg", "unit": unit}), info=info)
    recording = standard_montage(recording, montage, said["warnings"]) if montage else recording
    index = np.stack([np.zeros(len(trials), np.int64), np.arange(len(trials)) * data.shape[3]], axis=1)
    return Windows((recording,), index, data.shape[3], trials, float(times[0]))


def _one_axis_less(data: np.ndarray) -> np.ndarray:
    """(condition, repetition, channel, time) -> (trial, channel, time), still a map of the file."""
    shape = (data.shape[0] * data.shape[1], *data.shape[2:])
    if isinstance(data, np.memmap) and data.flags.c_contiguous:
        return np.memmap(data.filename, dtype=data.dtype, mode="r", offset=data.offset, shape=shape)
    return data.reshape(shape)
