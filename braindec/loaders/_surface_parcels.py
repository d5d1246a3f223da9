"""Parcels and structures of surface and CIFTI runs: which rows of the files become which channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.loaders._cifti_labels import CiftiLabels
from braindec.loaders._cifti_model import BrainModel, short
from braindec.loaders._run_signal import parcel_rows

# Numbers of vertices that only one standard surface has; 163,842 is both fsaverage and fsLR 164k.
_SPACES = {32492: "fsLR", 59292: "fsLR", 2562: "fsaverage4", 10242: "fsaverage5", 40962: "fsaverage6"}


@dataclass(frozen=True, eq=False)
class Chosen:
    """Rows of the files, the first row of each parcel (None for single places), and the channel table."""

    rows: np.ndarray
    starts: np.ndarray | None
    channels: pd.DataFrame


def choose(
    model: BrainModel,
    name: str,
    said: list[str],
    *,
    structures: str | Sequence[str] | None = None,
    parcels: CiftiLabels | None = None,
    regions: CiftiLabels | None = None,
    missing: np.ndarray | None = None,
) -> Chosen:
    """Return the places of a model that are asked for, or its parcels.

    Parameters
    ----------
    model : BrainModel
        Of the runs.
    name : str
        Of a file of them, for messages.
    said : list of str
        Is told what is left out.
    structures : str or list of str, optional
        See :meth:`BrainModel.rows_of`.
    parcels : CiftiLabels, optional
        Channels are means over these.
    regions : CiftiLabels, optional
        Channels stay single places; the column ``region`` says in which parcel they lie.
    missing : array of bool, shape (model.size,), optional
        Places without data (NaN in the first volume of a run), which are left out.
    """
    kept = np.zeros(model.size, dtype=bool)
    kept[model.rows_of(structures)] = True
    if missing is not None and (missing & kept).any():
        said.append(
            f"{int((missing & kept).sum())} of {int(kept.sum())} vertices hold no numbers (NaN, the medial wall) and are "
            "left out"
        )
        kept &= ~missing
    if not kept.any():
        raise BraindecError(f"nothing is left of {Path(name).name}", found=model.describe(), fix="check structures")
    if parcels is None:
        rows = np.flatnonzero(kept)
        channels = model.channels().iloc[rows].reset_index(drop=True)
        return Chosen(rows, None, channels if regions is None else _with_regions(channels, regions, model, rows, name))
    return _parcels(model, kept, parcels, name, said)


def space_of(n_vertices: dict[str, int]) -> str | None:
    """Return the surface that has this number of vertices, when only one does."""
    found = {_SPACES.get(n) for n in n_vertices.values()}
    return found.pop() if len(found) == 1 else None


def _parcels(model: BrainModel, kept: np.ndarray, labels: CiftiLabels, name: str, said: list[str]) -> Chosen:
    keys, table, lost = labels.lay_over(model, name)
    none = int(table["key"].min()) - 1
    keys = np.where(kept, keys.astype(np.int64), none)
    counts = np.array([np.count_nonzero(keys == k) for k in table["key"]])
    lost += table["name"][counts == 0].tolist()
    table = table.assign(n_grayordinates=counts)[counts > 0].reset_index(drop=True)
    if lost:
        said.append(
            f"{len(lost)} of {len(lost) + len(table)} parcels of {Path(labels.path).name} have no place in the data and are "
            f"left out: {', '.join(lost[:6])}"
        )
    if not len(table):
        raise BraindecError(f"no parcel of {Path(labels.path).name} has a place in {Path(name).name}")
    rows, starts = parcel_rows(keys, table["key"].to_numpy())
    xyz = np.full((len(table), 3), np.nan)
    structure = []
    for k, (a, b) in enumerate(zip(starts, np.r_[starts[1:], len(rows)], strict=True)):
        places = rows[a:b]
        structure.append("+".join(dict.fromkeys(short(s) for s in model.structure_of[places])))
        if model.affine is not None and (model.vertex[places] < 0).all():
            centre = model.voxel[places].mean(axis=0)
            xyz[k] = (model.affine[:3, :3] @ centre + model.affine[:3, 3]) / 1000
    channels = pd.DataFrame(
        {"name": table["name"], "type": "parcel", "unit": "a.u.", "x": xyz[:, 0], "y": xyz[:, 1], "z": xyz[:, 2],
         "region": table["name"], "label": table["key"], "structure": structure,
         "n_grayordinates": table["n_grayordinates"]}
    )  # fmt: skip
    return Chosen(rows, starts, channels)


def _with_regions(
    channels: pd.DataFrame, labels: CiftiLabels, model: BrainModel, rows: np.ndarray, name: str
) -> pd.DataFrame:
    keys, table, _ = labels.lay_over(model, name)
    names = dict(zip(table["key"], table["name"], strict=True))
    return channels.assign(region=[names.get(int(k), "n/a") for k in keys[rows]])
