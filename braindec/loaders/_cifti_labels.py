"""Labels of grayordinates (dlabel): keys and names, laid over data whose brain model may hold more or fewer places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, UnreadableError
from braindec.loaders._cifti_file import CiftiFile, open_cifti
from braindec.loaders._cifti_model import BrainModel, match, short

__all__ = ["CiftiLabels", "read_labels"]

_NOTHING = (
    "???",
    "unknown",
    "unlabeled",
    "background",
    "medial_wall",
    "medial wall",
    "background+freesurfer_defined_medial_wall",
)


@dataclass(frozen=True, eq=False)
class CiftiLabels:
    """One map of a dlabel file.

    Parameters
    ----------
    model : BrainModel
        Which grayordinates have a label.
    keys : array of int32, shape (n,)
        Label of each grayordinate.
    table : DataFrame
        key, name, red, green, blue, alpha; one row a label, in order of the keys.
    name : str
        Name of the map.
    path : str
        Where it came from.
    """

    model: BrainModel
    keys: np.ndarray
    table: pd.DataFrame
    name: str
    path: str

    def __repr__(self) -> str:
        parcels = self.parcels()
        names = ", ".join(parcels["name"][:4]) + (", ..." if len(parcels) > 4 else "")
        return f"<CiftiLabels {Path(self.path).name}: {self.name!r}, {len(parcels)} parcels ({names}) on {self.model.describe()}>"

    def parcels(self, background: int | Sequence[int] | None = None) -> pd.DataFrame:
        """Return the labels that are parcels and have a grayordinate: key, name, n_grayordinates.

        ``background`` names the keys that are none; by default 0, and labels called "???" or medial wall.
        """
        there, counts = np.unique(self.keys, return_counts=True)
        names = dict(zip(self.table["key"], self.table["name"], strict=True))
        none = self.none_of(self.table, background)
        rows = [
            (int(k), names.get(int(k), f"label-{k}"), int(c))
            for k, c in zip(there, counts, strict=True)
            if k not in none
        ]
        table = pd.DataFrame(rows, columns=["key", "name", "n_grayordinates"])
        if not len(table):
            raise BraindecError(
                f"{Path(self.path).name}: the map {self.name!r} has no parcel", found=f"keys {there[:8]}"
            )
        twice = table["name"].duplicated(keep=False)
        table.loc[twice, "name"] = [f"{n}-{k}" for n, k in zip(table["name"][twice], table["key"][twice], strict=True)]
        return table

    @staticmethod
    def none_of(table: pd.DataFrame, background: int | Sequence[int] | None) -> set[int]:
        """Return the keys that are no parcel; see :meth:`parcels`."""
        if background is not None:
            return {int(k) for k in np.atleast_1d(background)}
        named = table["name"].str.strip().str.lower().isin(_NOTHING)
        return {0} | {int(k) for k in table["key"][named]}

    def on(self, model: BrainModel, name: str, *, missing: int = 0) -> np.ndarray:
        """Return the key of each grayordinate of another model, shape (n,); ``missing`` where it has none.

        Labels often cover the cortex only, or the medial wall as well: places are matched by vertex and voxel.

        Raises
        ------
        BraindecError
            If a surface has another number of vertices, the volumes differ, or no structure is shared.
        """
        said = self.model.clashes(model)
        kinds = {(b.structure, b.surface) for b in model.blocks}
        shared = [k for k, b in enumerate(self.model.blocks) if (b.structure, b.surface) in kinds]
        if not shared and not said:
            said.append(f"no structure is shared: {_names(self.model)} against {_names(model)}")
        if said:
            raise BraindecError(
                f"{Path(self.path).name} lies on another brain model than {Path(name).name}", found="; ".join(said),
                fix="use labels of the same surface and volume (for fMRIPrep and HCP: fsLR 32k, 91k grayordinates)",
            )  # fmt: skip
        at = match(self.model, model)
        return np.where(at >= 0, self.keys[at], missing).astype(np.int32)

    def lay_over(
        self, model: BrainModel, name: str, *, background: int | Sequence[int] | None = None
    ) -> tuple[np.ndarray, pd.DataFrame, list[str]]:
        """Lay the parcels over another model.

        Returns
        -------
        keys : array of int32, shape (model.size,)
            Parcel of each grayordinate; a key that no parcel has where there is none.
        table : DataFrame
            key, name and n_grayordinates of the parcels that have one there.
        lost : list of str
            Names of the parcels that have none.
        """
        table = self.parcels(background)
        none = 0 if 0 not in set(table["key"]) else int(table["key"].min()) - 1
        keys = self.on(model, name, missing=none)
        keys[~np.isin(keys, table["key"])] = none
        there, counts = np.unique(keys, return_counts=True)
        table["n_grayordinates"] = table["key"].map(dict(zip(there, counts, strict=True))).fillna(0).astype(int)
        held = table["n_grayordinates"] > 0
        if not held.any():
            raise BraindecError(f"no parcel of {Path(self.path).name} has a grayordinate in {Path(name).name}")
        return keys, table[held].reset_index(drop=True), table["name"][~held].tolist()


def read_labels(image: Any, which: int | str | None = None) -> CiftiLabels:
    """Read one map of a dlabel file.

    Parameters
    ----------
    image : str, Path or Cifti2Image
        The file.
    which : int or str, optional
        Number (from 0) or name of the map; needed when there are several.

    Raises
    ------
    UnreadableError
        If it holds no labels of grayordinates.
    BraindecError
        If it holds several maps and none is named.
    """
    file = image if isinstance(image, CiftiFile) else open_cifti(image)
    if file.kind != "dlabel" or not isinstance(file.model, BrainModel):
        raise UnreadableError(
            f"{file.name} holds no labels of grayordinates", found=file.kind, allowed=".dlabel.nii",
            fix="a parcellation of grayordinates is a dlabel file (wb_command -cifti-label-import makes one)",
        )  # fmt: skip
    if which is None and file.n_rows > 1:
        raise BraindecError(
            f"{Path(file.name).name} holds {file.n_rows} maps of labels: which one is meant?",
            found=", ".join(f"{k}: {n}" for k, n in enumerate(file.maps[:12])), fix="name it by number or name",
        )  # fmt: skip
    number = file.map_number(which)
    return CiftiLabels(
        file.model, file.values(keys=True)[number], file.label_table(number), file.maps[number], file.name
    )


def _names(model: BrainModel) -> str:
    return ", ".join(short(s) for s in model.structures[:4])
