"""Reader ``things_fmri``: single-trial responses of THINGS-fMRI in table form -> Windows of one value a voxel and trial.

The folder betas_csv: ``sub-01_ResponseData.h5``, ``sub-01_StimulusMetadata.csv`` (one row a trial: trial_type "train" or
"test", session, run, subject_id, trial_id, stimulus, concept) and ``sub-01_VoxelMetadata.csv`` (one row a voxel: voxel_id,
voxel_x, voxel_y, voxel_z = indices in the volume, nc_singletrial, nc_testset, pRF columns, and one 0/1 column a region: V1,
hV4, lFFA, glasser-FFC, ...). ResponseData.h5 is a pandas table in HDF5 ("fixed" form: a dataset ``blockN_values`` of
(voxel, column) for each type of column); it is read in place, without pandas, PyTables or the pickles it may hold for
names of columns: the block of floating-point numbers with one column a trial, in the order of StimulusMetadata.

Source: the notebook MRI/notebooks/fmri_usage.ipynb of github.com/ViCCo-Group/THINGS-data, and pandas/io/pytables.py for
the form; Hebart, Contier, Teichmann et al. (2023), eLife 12, e82580. Checked against synthetic files only.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, UnreadableError, did_you_mean
from braindec.loaders import _files, _options
from braindec.loaders._betas_masks import open_labels, space_info
from braindec.loaders._betas_signal import BetasSignal
from braindec.loaders.betas import windows_of
from braindec.types import Windows
from braindec.types.signals import SelectedSignal
from braindec.types.storage import hdf5

__all__ = ["load", "files", "subjects"]

_PLAIN = {"voxel_id", "subject_id", "voxel_x", "voxel_y", "voxel_z", "nc_singletrial", "nc_testset", "splithalf_uncorrected",
          "splithalf_corrected"}  # fmt: skip
_REGIONS = ("V1", "V2", "V3", "hV4", "VO1", "VO2", "LO1 (prf)", "LO2 (prf)", "TO1", "TO2", "V3b", "V3a", *(f"{side}{roi}" for roi in
            ("EBA", "FFA", "OFA", "STS", "PPA", "RSC", "TOS", "LOC") for side in "lr"), "IT")  # fmt: skip
_TRIALS = ("trial_type", "session", "run", "stimulus")


def load(
    root: str | Path,
    subject: str | None = None,
    *,
    mask: Sequence[str] | str | None = None,
    rois: Sequence[str] | None = None,
) -> Windows:
    """Open the responses of one subject; only tables are read.

    Parameters
    ----------
    root : str or Path
        The folder betas_csv, or the one that holds it.
    subject : str
        "01", "02" or "03".
    mask : str or list of str, optional
        Columns of VoxelMetadata.csv: voxels of any of these regions are kept; by default all (about 200,000).
    rois : list of str
        Columns that name ``channels.region`` (the first that a voxel has); by default those of ``mask``, or without one the
        retinotopic and functional regions that are there. Those named here become columns of ``channels``.

    Returns
    -------
    Windows
        One Recording a session. ``stimulus_id`` is the name of the image without its ending, ``concept_id`` its concept,
        ``part`` "train" or "test" (100 images shown once in each of 12 sessions); ``channels`` has the noise ceilings
        nc_singletrial and nc_testset in % (computed from the test trials) and i, j, k. Positions are there when
        brainmasks/sub-01_space-T1w_brainmask.nii.gz stands beside betas_csv.

    Raises
    ------
    BraindecError, UnreadableError
        If tables and responses differ in number, or a region is not there.
    """
    folder, name = _folder(root, subject)
    voxels = _table(folder / f"{name}_VoxelMetadata.csv", ("voxel_id", "voxel_x", "voxel_y", "voxel_z"))
    stimuli = _table(folder / f"{name}_StimulusMetadata.csv", _TRIALS)
    wanted = _options.as_list(mask) or []
    for column in [*wanted, *(rois or [])]:
        if column not in voxels:
            raise BraindecError(
                f"VoxelMetadata has no region {column!r}{did_you_mean(column, voxels.columns)}",
                allowed=", ".join([c for c in voxels if c not in _PLAIN][:40]) + ", ...",
            )  # fmt: skip
    signal = _responses(folder / f"{name}_ResponseData.h5", voxels["voxel_id"].to_numpy(), len(stimuli))
    keep = np.flatnonzero(_flags(voxels, wanted).any(axis=1)) if wanted else np.arange(len(voxels))
    if not len(keep):
        raise BraindecError(f"no voxel lies in {', '.join(wanted)}", found=f"{len(voxels)} voxels")
    if len(keep) < len(voxels):
        signal = SelectedSignal(signal, keep, 0, len(stimuli))
    brain = _brain_mask(folder, name)
    channels = _channels(voxels.iloc[keep], rois, wanted or [r for r in _REGIONS if r in voxels], brain)
    info = {"dataset": "things-fmri", "subject": name.removeprefix("sub-"), **(brain or {"space": "T1w"})}
    return windows_of([signal], _trials(stimuli), channels, info, look=True)


def subjects(root: str | Path, **options: Any) -> list[str]:
    """Return the subjects that have responses."""
    _options.bind(load, options)
    folder = _betas_folder(root)
    found = sorted(p.name.split("_")[0].removeprefix("sub-") for p in folder.glob("sub-*_ResponseData.h5"))
    if not found:
        raise BraindecError(f"{folder} holds no responses", allowed="sub-01_ResponseData.h5, ...")
    return found


def files(root: str | Path, subject: str | None = None, **options: Any) -> list[Path]:
    """Return the files that :func:`load` with the same options reads."""
    _options.bind(load, options)
    folder, name = _folder(root, subject)
    paths = [folder / f"{name}_{part}" for part in ("ResponseData.h5", "StimulusMetadata.csv", "VoxelMetadata.csv")]
    extra = _mask_path(folder, name)
    return paths + ([extra] if extra.is_file() else [])


def _betas_folder(root: str | Path) -> Path:
    path = _files.existing(root)
    return path / "betas_csv" if (path / "betas_csv").is_dir() else path


def _folder(root: str | Path, subject: str | None) -> tuple[Path, str]:
    if subject is None:
        raise BraindecError("the reader things_fmri opens one subject at a time", fix='say subject: "01"')
    name = f"sub-{str(subject).removeprefix('sub-')}"
    _files.check_inside(name)
    return _betas_folder(root), name


def _table(path: Path, needed: Sequence[str]) -> pd.DataFrame:
    try:
        table = pd.read_csv(_files.existing(path), encoding="utf-8-sig")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, OSError) as error:
        raise UnreadableError(f"{path} cannot be read as a table", found=str(error)[:200]) from error
    missing = [c for c in needed if c not in table]
    if missing:
        raise UnreadableError(f"{path.name} has no column {missing[0]}", found=f"columns {list(table.columns)[:20]}")
    return table


def _flags(voxels: pd.DataFrame, columns: Sequence[str]) -> np.ndarray:
    """Which voxels lie in each region, shape (n_voxels, n_columns); a region is a column of 0 and 1."""
    found = voxels[list(columns)].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=float)
    for column, values in zip(columns, found.T, strict=True):
        if not np.isin(values, (0.0, 1.0)).all():
            raise BraindecError(
                f"VoxelMetadata: {column!r} is no region", found=f"values such as {voxels[column].iloc[int(np.argmin(np.isin(values, (0, 1))))]!r}",
                allowed="a column of 0 and 1",
            )  # fmt: skip
    return found > 0


def _responses(path: Path, voxel_id: np.ndarray, n_trials: int) -> Any:
    """The block of ResponseData.h5 that holds the responses, as (voxel, trial)."""
    n_voxels = len(voxel_id)
    with hdf5(path, "r") as file:
        found: dict[str, tuple] = {}
        file.visititems(
            lambda n, item: found.update({n: (item.shape, item.dtype)}) if getattr(item, "shape", None) else None
        )
    blocks = {
        n: v
        for n, v in found.items()
        if n.rsplit("/", 1)[-1].endswith("_values") and v[1].kind == "f" and len(v[0]) == 2
    }
    for name, (shape, _) in blocks.items():
        if shape == (n_voxels, n_trials):
            return BetasSignal(path, name, trial_axis=1)
        if shape == (n_voxels, n_trials + 1):  # voxel_id stands before them when it was stored as a float
            whole = BetasSignal(path, name, trial_axis=1)
            if np.array_equal(whole.read(slice(None), 0, 1)[:, 0], np.asarray(voxel_id, dtype=np.float32)):
                return SelectedSignal(whole, np.arange(n_voxels), 1, n_trials + 1)
    shapes = {n: v[0] for n, v in blocks.items()} or {n: v[0] for n, v in found.items()}
    raise UnreadableError(
        f"{path.name} has no block of {n_voxels} voxels x {n_trials} trials",
        found=", ".join(f"{n} {s}" for n, s in list(shapes.items())[:6]),
        fix="take the three files of one subject from one release; a file in pandas' table form: save it again with "
        "format='fixed'",
    )


def _trials(stimuli: pd.DataFrame) -> pd.DataFrame:
    missing = [c for c in _TRIALS if stimuli[c].isna().any()]
    if missing:
        raise BraindecError(f"StimulusMetadata has no {missing[0]} in {int(stimuli[missing[0]].isna().sum())} of {len(stimuli)} rows",
                            fix="take the three files of one subject from one release")  # fmt: skip
    stem = stimuli["stimulus"].astype(str).str.replace(r"\.[A-Za-z]+$", "", regex=True)
    concept = stimuli["concept"].astype(str) if "concept" in stimuli else stem.str.rsplit("_", n=1).str[0]
    return pd.DataFrame({"stimulus_id": stem, "concept_id": concept, "session": stimuli["session"].astype(str),
                         "run": stimuli["run"].astype(str), "part": stimuli["trial_type"].astype(str)})  # fmt: skip


def _channels(
    voxels: pd.DataFrame, rois: Sequence[str] | None, default: Sequence[str], brain: dict[str, Any] | None
) -> pd.DataFrame:
    places = voxels[["voxel_x", "voxel_y", "voxel_z"]].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=float)
    if not (np.isfinite(places) & (places == np.round(places))).all():
        raise BraindecError("VoxelMetadata: voxel_x, voxel_y and voxel_z must be indices", allowed="whole numbers")
    ijk, region = places.astype(int), np.full(len(voxels), "n/a", dtype=object)
    named = list(default if rois is None else rois)
    for column, inside in zip(named, _flags(voxels, named).T, strict=True):
        region[(region == "n/a") & inside] = column
    table = pd.DataFrame({"name": [f"voxel-{v}" for v in voxels["voxel_id"]], "type": "voxel", "unit": "a.u.", "region": region,
                          "i": ijk[:, 0], "j": ijk[:, 1], "k": ijk[:, 2]})  # fmt: skip
    if brain is not None:
        affine = np.array(brain["affine"])
        table[["x", "y", "z"]] = (ijk @ affine[:3, :3].T + affine[:3, 3]) / 1000.0
    for column in ("nc_singletrial", "nc_testset", *(rois or [])):
        if column in voxels:
            table[column] = voxels[column].to_numpy()
    return table


def _mask_path(folder: Path, name: str) -> Path:
    return folder.parent / "brainmasks" / f"{name}_space-T1w_brainmask.nii.gz"


def _brain_mask(folder: Path, name: str) -> dict[str, Any] | None:
    path = _mask_path(folder, name)
    return space_info(*open_labels(path), "T1w") if path.is_file() else None
