"""Reader ``digits69``: handwritten sixes and nines (van Gerven et al. 2010), one beta a trial, with the pictures shown.

One MATLAB file: X (100 trials, 3,092 voxels), Y (1 = six, 2 = nine), I (28 x 28 pictures, row after row of the transposed
picture), 13 masks on a 110 x 110 x 37 grid. Columns of X are the voxels of the first mask in MATLAB's order (first index
fastest): neighbours in that order correlate at .34 to .44 in all three directions, in the other order at .07 to .34.

Source: van Gerven, de Lange & Heskes 2010 (Neural Computation 22, 3127-3142); the file stands in FieldTrip.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, UnreadableError
from braindec.loaders import _files, _options
from braindec.types import Recording, Windows
from braindec.types.signals import StackedSignal

__all__ = ["load", "files", "pictures", "subjects"]

_FILE = "69digits.mat"
_CLASSES = {1: "six", 2: "nine"}


def load(root: str | Path, subject: str | None = None) -> Windows:
    """Open the betas.

    Parameters
    ----------
    root : str or Path
        The folder of 69digits.mat, or the file.
    subject : str, optional
        "01": there is one.

    Returns
    -------
    Windows of shape (100, 3092, 1)
        ``trial_type`` six or nine, ``stimulus_id`` the picture (each is shown once), ``block`` ten parts of each class in
        order: the file stands class by class, so its order is not time. ``channels.region`` is the visual area (V1, V2, V3;
        "n/a" where there is none, or two) and ``part`` its half.

    Raises
    ------
    UnreadableError
        If the file is damaged.
    BraindecError
        If it is another file.
    """
    found = _read(root)
    betas, labels = np.asarray(found["X"], dtype=np.float32), np.asarray(found["Y"]).astype(int)
    masks, names = [np.asarray(m) > 0 for m in found["masks"]], [str(n) for n in found["funloc"]]
    if betas.shape != (len(labels), int(masks[0].sum())) or set(labels) - set(_CLASSES):
        raise BraindecError(
            "69digits.mat is not the file that this reader knows",
            found=f"X {betas.shape}, {int(masks[0].sum())} voxels",
        )
    place = np.argwhere(masks[0].T)[:, ::-1]  # (voxel, (i, j, k)), the first index fastest
    area, part, shared = _areas(masks[1:], names[1:], place)
    channels = pd.DataFrame({"name": [f"voxel-{i}-{j}-{k}" for i, j, k in place], "type": "voxel", "unit": "a.u.", "region": area,
                             "part": part, "i": place[:, 0], "j": place[:, 1], "k": place[:, 2]})  # fmt: skip
    classes = np.array([_CLASSES[int(v)] for v in labels], dtype=object)
    order = pd.Series(classes).groupby(classes).cumcount().to_numpy()
    counts = pd.Series(classes).groupby(classes).transform("size").to_numpy()
    info = {"dataset": "fmri_digits69_images", "subject": "01", "modality": "fmri", "path": str(_path(root)), "grid": list(masks[0].shape),
            "warnings": ["the file says nothing of voxel sizes: positions are voxel indices",
                         "trials stand class by class in the file: their order is not time",
                         f"{shared} voxels lie in the masks of two areas and count for none"]}  # fmt: skip
    trials = pd.DataFrame({"subject": "01", "run": "n/a", "trial_type": classes, "stimulus_id": _ids(len(labels)), "concept_id": classes,
                           "block": [str(b) for b in order * 10 // counts], "repetition": 0})  # fmt: skip
    recording = Recording(StackedSignal(betas[:, :, None]), 1.0, channels, info=info)
    index = np.stack([np.zeros(len(labels), np.int64), np.arange(len(labels))], axis=1)
    return Windows((recording,), index, 1, trials)


def pictures(root: str | Path) -> tuple[list[str], np.ndarray]:
    """Return the ids of the stimuli and what was shown, uint8 (100, 28, 28, 3)."""
    flat = np.asarray(_read(root)["I"], dtype=np.uint8)
    upright = flat.reshape(len(flat), 28, 28).swapaxes(1, 2)
    return _ids(len(flat)), np.repeat(upright[..., None], 3, axis=3)


def subjects(root: str | Path, **options: Any) -> list[str]:
    """Return the one subject."""
    _options.bind(load, options)
    _path(root)
    return ["01"]


def files(root: str | Path, subject: str | None = None, **options: Any) -> list[Path]:
    """Return the one file."""
    _options.bind(load, {**options, "subject": subject})
    return [_path(root)]


def _areas(masks: list[np.ndarray], names: list[str], place: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Visual area and its part (lh.V1d, ...) of each voxel, and how many voxels lie in two areas."""
    inside = {name.removesuffix(".nii"): mask[tuple(place.T)] for name, mask in zip(names, masks, strict=True)}
    area, part = np.full(len(place), "n/a", dtype=object), np.full(len(place), "n/a", dtype=object)
    count = np.zeros(len(place), dtype=int)
    for wanted in sorted({name.split(".")[1][:2] for name in inside}):
        mine = [name for name in inside if name.split(".")[1].startswith(wanted)]
        any_of = np.logical_or.reduce([inside[n] for n in mine])
        area[any_of], count = wanted, count + any_of
        for name in mine:
            part[inside[name]] = name
    area[count > 1] = part[count > 1] = "n/a"
    return area, part, int((count > 1).sum())


def _path(root: str | Path) -> Path:
    path = _files.existing(root)
    path = path / _FILE if path.is_dir() else path
    if not path.is_file():
        raise BraindecError(f"there is no file {path}", fix="name the folder that holds 69digits.mat")
    return path


def _read(root: str | Path) -> dict[str, Any]:
    import scipy.io

    path = _path(root)
    try:
        found = scipy.io.loadmat(path, squeeze_me=True)
    except Exception as error:
        raise UnreadableError(
            f"{path} cannot be read", found=f"{type(error).__name__}: {error}", fix="copy it again"
        ) from error
    missing = [n for n in ("X", "Y", "I", "masks", "funloc") if n not in found]
    if missing:
        raise BraindecError(
            f"{path.name} has no variable {', '.join(missing)}", found=", ".join(n for n in found if n[0] != "_")
        )
    return found


def _ids(n: int) -> list[str]:
    return [f"digit-{k + 1:03d}" for k in range(n)]
