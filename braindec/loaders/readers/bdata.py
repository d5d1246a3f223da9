"""Reader ``bdata``: BData files of the Kamitani lab (BrainDecoderToolbox2, bdpy), such as Generic Object Decoding -> Windows.

HDF5: ``dataset`` (or ``dataSet``) (sample, column), and ``metadata`` (or ``metaData``) with ``key`` (key,), ``description`` and
``value`` (key, column): the row of a key is 1 in the columns that it names (VoxelData, ROI_V1, stimulus_id, Run,
DataType, ...) or holds a number for each column (voxel_x, voxel_y, voxel_z in mm; NaN elsewhere); newer files have ``vmap/<key>/<number>``
= a name for each number. DataType is 1 for training, 2 for perception tests, 3 for imagery tests.

Source: bdpy/bdata/bdata.py and bdpy/mri/load_mri.py of github.com/KamitaniLab/bdpy; code/matlab/convertdata_BrainData.m and
code/python of github.com/KamitaniLab/GenericObjectDecoding (which columns there are, and that an image's number is
<category>.<image>); Horikawa & Kamitani (2017), Nature Communications 8, 15037. Checked against synthetic files only. MATLAB
copies (.mat) of the same data are not read.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, UnreadableError, did_you_mean
from braindec.loaders import _files, _options
from braindec.loaders._betas_signal import BetasSignal
from braindec.loaders.betas import windows_of
from braindec.types import Windows
from braindec.types.storage import hdf5

__all__ = ["load", "files", "subjects"]

PARTS = {1: "train", 2: "test", 3: "imagery"}
_STIMULUS = ("stimulus_name", "stimulus_id", "Label", "image_index")


def load(
    root: str | Path,
    subject: str | None = None,
    *,
    pattern: str = "Subject{subject}.h5",
    mask: str | Sequence[str] = "VoxelData",
    rois: Sequence[str] | None = None,
    stimulus: str | None = None,
    form: str = "number",
    parts: Sequence[str] = ("train", "test"),
    part: str = "DataType",
    dataset: str | None = None,
) -> Windows:
    """Open one subject; the metadata are read, values stay on disk.

    Parameters
    ----------
    root : str or Path
        The folder of the files.
    subject : str
        What ``{subject}`` stands for ("1" to "5").
    pattern : str
        Name of the files inside ``root``.
    mask : str or list of str
        Keys: voxels of any of them are channels ("VoxelData" all, "ROI_VC", ["ROI_V1", "ROI_V2"], ...).
    rois : list of str, optional
        Keys that name ``channels.region`` (the first that a voxel has), without "ROI_"; by default all ROI_* keys, those with fewest
        voxels first, so that V1 comes before the whole visual cortex. Each is a column too.
    stimulus : str, optional
        The key of the stimulus; by default the first that is there of stimulus_name, stimulus_id, Label, image_index.
    form : {"number", "imagenet"}
        "imagenet": the number <category>.<image> becomes "n01443537_22563", and the category "n01443537" the ``concept_id``.
    parts : list of str
        Which of "train", "test", "imagery" to keep.
    part : str
        The key that says the part (1, 2, 3); where the file has none, all is "train".
    dataset : str, optional
        Label.

    Returns
    -------
    Windows
        ``run`` is "<part>-<number>": numbers begin at 1 in each part of the published files.

    Raises
    ------
    UnreadableError
        If the file is no BData file.
    BraindecError
        If a key is not there.
    """
    path = _path(root, subject, pattern)
    meta = _Meta(path)
    columns = meta.any_of(_options.as_list(mask) or [])
    trials = _trials(meta, stimulus, form, part)
    parts = _options.as_list(parts) or []
    unknown = [p for p in parts if p not in PARTS.values()]
    if unknown:
        raise BraindecError(f"parts: {unknown[0]!r} is unknown", allowed=", ".join(PARTS.values()))
    signal = BetasSignal(path, meta.data, voxels=columns)
    info = {"dataset": dataset, "subject": str(subject), "session": "1"}
    windows = windows_of([signal], trials, _channels(meta, columns, rois), info, look=True)
    keep = windows.trials["part"].isin(parts).to_numpy()
    if not keep.any():
        raise BraindecError(
            f"{path.name} has no trial of {', '.join(parts)}", found=str(trials["part"].value_counts().to_dict())
        )
    return windows[keep]


def subjects(root: str | Path, **options: Any) -> list[str]:
    """Return the labels that ``{subject}`` takes in the names of files."""
    values = _options.bind(load, options)
    return _files.labels(_files.find(root, values["pattern"], ()), {**values, "subject": None})


def files(root: str | Path, subject: str | None = None, **options: Any) -> list[Path]:
    """Return the file that :func:`load` with the same options reads."""
    values = _options.bind(load, options)
    return [_path(root, subject, values["pattern"])]


def _path(root: str | Path, subject: str | None, pattern: str) -> Path:
    _files.check_inside(pattern)
    if subject is None:
        raise BraindecError("the reader bdata opens one subject at a time", fix='say subject: "1"')
    return _files.existing(_files.existing(root) / pattern.replace("{subject}", str(subject)))


class _Meta:
    """The metadata of a BData file: ``rows`` key -> (column,) and ``names`` key -> {number: name}."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with hdf5(path, "r") as file:
            group = next((n for n in ("metadata", "metaData") if n in file), None)
            self.data = next((n for n in ("dataset", "dataSet") if n in file), "")
            if group is None or not self.data or not {"key", "value"} <= set(file[group]):
                raise UnreadableError(
                    f"{path} is no BData file", found=f"it holds {list(file)}", allowed="dataset and metadata (key, value)",
                )  # fmt: skip
            table, shape = file[group], getattr(file[self.data], "shape", ())
            if len(shape) != 2 or table["value"].dtype.kind not in "iuf":
                raise UnreadableError(
                    f"{path} is no BData file", found=f"{self.data} of shape {shape}, metadata/value of {table['value'].dtype}",
                    allowed="dataset (sample, column) and numbers in metadata/value",
                )  # fmt: skip
            keys = [k.decode() if isinstance(k, bytes) else str(k) for k in file[group]["key"][...]]
            values = np.asarray(file[group]["value"][...], dtype=float)
            self.n_columns = int(file[self.data].shape[1])
            if values.shape != (len(keys), self.n_columns):
                raise UnreadableError(
                    f"{path.name}: the metadata do not fit the dataset", found=f"values {values.shape}, {len(keys)} keys, "
                    f"{self.n_columns} columns",
                )  # fmt: skip
            self.rows = dict(zip(keys, values, strict=True))
            self.names = {k: {float(n): _text(v[()]) for n, v in file["vmap"][k].items()} for k in file.get("vmap", {})}

    def columns(self, key: str) -> np.ndarray:
        """Columns that ``key`` names."""
        if key not in self.rows:
            raise BraindecError(
                f"{self.path.name} has no key {key!r}{did_you_mean(key, self.rows)}", allowed=", ".join(self.rows)
            )
        return np.flatnonzero(self.rows[key] == 1)

    def any_of(self, keys: Sequence[str]) -> np.ndarray:
        columns = np.unique(np.concatenate([self.columns(k) for k in keys])) if keys else np.zeros(0, int)
        if not len(columns):
            raise BraindecError(f"{self.path.name}: no voxel is in {', '.join(keys) or 'nothing'}")
        return columns

    def values(self, key: str) -> np.ndarray:
        """The one column of ``key``, shape (sample,)."""
        found = self.columns(key)
        if len(found) != 1:
            raise BraindecError(f"{self.path.name}: {key} names {len(found)} columns", allowed="one")
        with hdf5(self.path, "r") as file:
            values = np.asarray(file[self.data][:, int(found[0])], dtype=float)
        if not np.isfinite(values).all():
            raise UnreadableError(f"{self.path.name}: {key} is not known in {int((~np.isfinite(values)).sum())} of {len(values)} samples",
                                  fix="download the file again")  # fmt: skip
        return values


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _trials(meta: _Meta, stimulus: str | None, form: str, part: str) -> pd.DataFrame:
    key = stimulus or next((k for k in _STIMULUS if k in meta.rows), None)
    if key is None:
        raise BraindecError(
            f"{meta.path.name}: which key is the stimulus?", found=", ".join(meta.rows), fix="say stimulus: ..."
        )
    numbers = meta.values(key)
    if form not in ("number", "imagenet"):
        raise BraindecError(f"form {form!r} is unknown", allowed="number, imagenet")
    if key in meta.names:
        ids = [meta.names[key].get(float(v), "n/a") for v in numbers]
    else:
        ids = [_imagenet(v) if form == "imagenet" else f"{v:.10g}" for v in numbers]
    trials = pd.DataFrame({"stimulus_id": ids})
    if form == "imagenet":
        trials["concept_id"] = [i.split("_")[0] for i in ids]
    codes = meta.values(part) if part in meta.rows else np.ones(len(trials))
    trials["part"] = [PARTS.get(int(c), f"{part}-{int(c)}") for c in codes]
    for column, name in (("Run", "run"), ("Session", "session"), ("Block", "block")):
        if column in meta.rows:
            trials[name] = [f"{v:.10g}" for v in meta.values(column)]
    if "run" in trials:
        trials["run"] = trials["part"] + "-" + trials["run"]
    trials["repetition"] = trials.groupby(["part", "stimulus_id"], sort=False).cumcount()
    return trials


def _imagenet(number: float) -> str:
    """1443537.022563 -> "n01443537_22563": category before the point, image (six digits) after it."""
    category, image = f"{number:.6f}".split(".")
    return f"n{int(category):08d}" + (f"_{int(image)}" if int(image) else "")


def _channels(meta: _Meta, columns: np.ndarray, rois: Sequence[str] | None) -> pd.DataFrame:
    regions = [k for k in meta.rows if k.startswith("ROI_")] if rois is None else list(rois)
    regions = sorted(regions, key=lambda k: len(meta.columns(k))) if rois is None else regions
    table = pd.DataFrame({"name": [f"voxel-{c}" for c in columns], "type": "voxel", "unit": "a.u."})
    for axis in "xyz":
        if f"voxel_{axis}" in meta.rows:
            table[axis] = meta.rows[f"voxel_{axis}"][columns] / 1000.0
        if f"voxel_{'ijk'['xyz'.index(axis)]}" in meta.rows:
            table["ijk"["xyz".index(axis)]] = meta.rows[f"voxel_{'ijk'['xyz'.index(axis)]}"][columns].astype(int)
    region = np.full(len(columns), "n/a", dtype=object)
    for key in regions:
        inside = np.isin(columns, meta.columns(key))
        region[(region == "n/a") & inside] = key.removeprefix("ROI_")
        table[key] = inside
    return table.assign(region=region)
