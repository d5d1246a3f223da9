"""Reader ``algonauts2023``: responses of the Algonauts Project 2023 challenge (NSD on the surface) -> Windows, a vertex a channel.

``subj01/training_split/training_fmri/lh_training_fmri.npy`` and ``rh_...`` (image, vertex), the images in
``training_split/training_images/train-0001_nsd-00013.png`` (their order is that of the rows);
``roi_masks/lh.all-vertices_fsaverage_space.npy`` (163,842 flags: which fsaverage vertices the columns are) and
``roi_masks/lh.streams_challenge_space.npy`` (a number for each column). The numbers' names stand in mapping_*.npy, which are
pickles and are not opened; they are those of the challenge's tutorial, written down here. Responses to the test images were
not published; a folder test_split/test_fmri of the same form is read as part "test" where there is one.

Source: Gifford et al. (2023), arXiv 2301.03198, and the challenge's tutorial (github.com/gifale95/algonauts_2023). Checked
against synthetic files only. The published responses are z-scored within each session and averaged over repetitions,
over all trials: that was done before they were published.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, did_you_mean
from braindec.loaders import _files, _options
from braindec.loaders._betas_signal import BetasSignal, JoinedSignal, open_array
from braindec.loaders.betas import windows_of
from braindec.types import Windows

__all__ = ["load", "files", "subjects"]

LABELS = {
    "prf-visualrois": ("V1v", "V1d", "V2v", "V2d", "V3v", "V3d", "hV4"),
    "floc-bodies": ("EBA", "FBA-1", "FBA-2", "mTL-bodies"),
    "floc-faces": ("OFA", "FFA-1", "FFA-2", "mTL-faces", "aTL-faces"),
    "floc-places": ("OPA", "PPA", "RSC"),
    "floc-words": ("OWFA", "VWFA-1", "VWFA-2", "mfs-words", "mTL-words"),
    "streams": ("early", "midventral", "midlateral", "midparietal", "ventral", "lateral", "parietal"),
}
_HEMISPHERES = {"lh": "CIFTI_STRUCTURE_CORTEX_LEFT", "rh": "CIFTI_STRUCTURE_CORTEX_RIGHT"}
_IMAGE = re.compile(r"(train|test)-(\d+)_nsd-(\d+)\.png")


def load(
    root: str | Path,
    subject: str | None = None,
    *,
    hemisphere: str = "both",
    rois: Sequence[str] = ("streams",),
    mask: str | None = None,
) -> Windows:
    """Open the responses of one subject.

    Parameters
    ----------
    root : str or Path
        The folder that holds subj01, subj02, ...
    subject : str
        "01" to "08".
    hemisphere : {"both", "lh", "rh"}
        Which vertices.
    rois : list of str
        Classes of regions ("streams", "prf-visualrois", "floc-faces", ...): a column of ``channels`` each; ``region`` is the
        first that a vertex has.
    mask : str, optional
        Keep the vertices of one region: its name ("V1v", "ventral", ...) or a class ("prf-visualrois").

    Returns
    -------
    Windows
        One trial an image (its repetitions were averaged). ``stimulus_id`` "nsd-00013" as in the image's name, ``part``;
        ``channels.vertex`` is the vertex of fsaverage.

    Raises
    ------
    BraindecError
        If images and responses differ in number, or masks and responses in vertices.
    """
    folder, sides = _folder(root, subject), _sides(hemisphere)
    rois = _options.as_list(rois) or []
    signals, tables = [], []
    for split in _splits(folder):
        signals.append(_signal(folder, split, sides))
        tables.append(_trials(folder, split, signals[-1].shape[1]))
    sizes = {signal.shape[0] for signal in signals}
    channels = pd.concat([_channels(folder, side, [*rois, *_class_of(mask)]) for side in sides], ignore_index=True)
    if sizes != {len(channels)}:
        raise BraindecError(
            "masks and responses differ in vertices", found=f"masks {len(channels)}, responses {sorted(sizes)}"
        )
    trials = pd.concat(tables, ignore_index=True)
    info = {"dataset": "algonauts2023", "subject": folder.name.removeprefix("subj"), "space": "fsaverage",
            "n_vertices": dict.fromkeys(_HEMISPHERES.values(), 163842)}  # fmt: skip
    windows = windows_of(signals, trials.assign(session="1", repetition=0), channels, info, look=True)
    return windows if mask is None else _masked(windows, mask)


def subjects(root: str | Path, **options: Any) -> list[str]:
    """Return the subjects that have responses."""
    _options.bind(load, options)
    found = sorted(
        p.name.removeprefix("subj") for p in _files.existing(root).glob("subj*") if (p / "training_split").is_dir()
    )
    if not found:
        raise BraindecError(f"{root} holds no subject", allowed="folders subj01, subj02, ... with training_split")
    return found


def files(root: str | Path, subject: str | None = None, **options: Any) -> list[Path]:
    """Return the files that :func:`load` with the same options reads (images are only listed)."""
    values = _options.bind(load, {**options, "subject": subject})
    folder, sides = _folder(root, subject), _sides(values["hemisphere"])
    names = dict.fromkeys([*(_options.as_list(values["rois"]) or []), *_class_of(values["mask"])])
    paths = [_fmri(folder, split, side) for split in _splits(folder) for side in sides]
    paths += [folder / "roi_masks" / f"{side}.all-vertices_fsaverage_space.npy" for side in sides]
    return paths + [folder / "roi_masks" / f"{side}.{name}_challenge_space.npy" for side in sides for name in names]


def _sides(hemisphere: str) -> list[str]:
    if hemisphere not in ("both", *_HEMISPHERES):
        raise BraindecError(f"hemisphere {hemisphere!r} is unknown", allowed="both, lh, rh")
    return list(_HEMISPHERES) if hemisphere == "both" else [hemisphere]


def _folder(root: str | Path, subject: str | None) -> Path:
    if subject is None:
        raise BraindecError("the reader algonauts2023 opens one subject at a time", fix='say subject: "01"')
    name = f"subj{str(subject).removeprefix('subj')}"
    _files.check_inside(name)
    return _files.existing(_files.existing(root) / name)


def _fmri(folder: Path, split: str, side: str) -> Path:
    return folder / f"{split}_split" / f"{split}_fmri" / f"{side}_{split}_fmri.npy"


def _splits(folder: Path) -> list[str]:
    return ["training", *(["test"] if _fmri(folder, "test", "lh").is_file() else [])]


def _signal(folder: Path, split: str, sides: list[str]) -> JoinedSignal:
    return JoinedSignal([BetasSignal(_fmri(folder, split, side)) for side in sides])


def _trials(folder: Path, split: str, n: int) -> pd.DataFrame:
    images = folder / f"{split}_split" / f"{split}_images"
    names = sorted(p.name for p in images.glob("*.png")) if images.is_dir() else []
    found = [m for name in names if (m := _IMAGE.fullmatch(name))]
    if len(found) != n:
        raise BraindecError(
            f"{split}: {n} responses but {len(found)} images in {images}", found=", ".join(names[:3]) or "no image",
            allowed="one image a response, named like train-0001_nsd-00013.png (only the names are read)",
        )  # fmt: skip
    twice = pd.Series([int(m[3]) for m in found])
    if twice.duplicated().any() or any(len(m[3]) != len(found[0][3]) for m in found):
        raise BraindecError(
            f"{split}: the names of the images do not tell them apart", found=f"nsd-{found[int(twice.duplicated().argmax())][3]} among {len(found)} names",
            allowed="one image a response, numbers of five digits (nsd-00013)",
        )  # fmt: skip
    part = "train" if split == "training" else "test"
    return pd.DataFrame({"stimulus_id": [f"nsd-{m[3]}" for m in found], "image": [m[0] for m in found], "part": part})


def _channels(folder: Path, side: str, classes: Sequence[str]) -> pd.DataFrame:
    flags = np.asarray(open_array(folder / "roi_masks" / f"{side}.all-vertices_fsaverage_space.npy", None)).reshape(-1)
    vertex = np.flatnonzero(flags)
    table = pd.DataFrame({"name": [f"{side}-{v}" for v in vertex], "type": "vertex", "unit": "z", "structure": _HEMISPHERES[side],
                          "vertex": vertex, "i": -1, "j": -1, "k": -1})  # fmt: skip
    region = np.full(len(table), "n/a", dtype=object)
    for name in dict.fromkeys(classes):
        if name not in LABELS:
            raise BraindecError(
                f"there is no class of regions {name!r}{did_you_mean(name, LABELS)}", allowed=", ".join(LABELS)
            )
        path = folder / "roi_masks" / f"{side}.{name}_challenge_space.npy"
        numbers = np.asarray(open_array(path, None)).reshape(-1)
        if len(numbers) != len(table) or not np.isin(numbers, np.arange(len(LABELS[name]) + 1)).all():
            raise BraindecError(
                f"{path.name} does not fit the vertices", found=f"{len(numbers)} numbers, {numbers.min(initial=0)} to {numbers.max(initial=0)}",
                allowed=f"{len(table)} whole numbers, 0 to {len(LABELS[name])}",
            )  # fmt: skip
        called = np.array(["n/a", *LABELS[name]], dtype=object)[numbers.astype(int)]
        table[name] = called
        region = np.where(region == "n/a", called, region)
    return table.assign(region=region)


def _class_of(mask: str | None) -> list[str]:
    """The class of regions that ``mask`` is, or has."""
    if mask is None:
        return []
    found = [c for c, names in LABELS.items() if mask == c or mask in names]
    if not found:
        known = [*LABELS, *(n for names in LABELS.values() for n in names)]
        raise BraindecError(f"there is no region {mask!r}{did_you_mean(mask, known)}", allowed=", ".join(known))
    return found[:1]


def _masked(windows: Windows, mask: str) -> Windows:
    from dataclasses import replace

    column = windows.channels[_class_of(mask)[0]]
    keep = (column != "n/a") if mask in LABELS else (column == mask)
    if not keep.any():
        raise BraindecError(f"no vertex of this subject lies in {mask!r}", found=f"{len(column)} vertices")
    return replace(windows, recordings=tuple(r.select(np.flatnonzero(keep)) for r in windows.recordings))
