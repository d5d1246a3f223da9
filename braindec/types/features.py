"""Features: numbers that describe items (stimuli, trials, words), one row an item, one column a unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, nearest
from braindec.files import written_whole
from braindec.types.signals import HDF5Signal, Signal, as_signal
from braindec.types.storage import hdf5, read_table, to_json, write_table


@dataclass(frozen=True, eq=False)
class Features:
    """A table of (item, unit), in memory or in an HDF5 file.

    Stimulus embeddings, language-model units, GLM betas and region averages are all Features; alignment is
    Features against Features joined on ``stimulus_id``.

    Parameters
    ----------
    values : Signal or array of shape (n_items, n_units)
        Read lazily when it is file-backed.
    items : DataFrame
        One row an item; ``stimulus_id`` and any other column (concept_id, path, text, ...).
    units : DataFrame, optional
        One row a unit: model, layer, component, index, region, ...
    info : dict
        Where the numbers come from (model, transform, version).

    Raises
    ------
    BraindecError
        If the shapes do not fit or ``stimulus_id`` is missing.
    """

    values: Signal
    items: pd.DataFrame
    units: pd.DataFrame | None = None
    info: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", as_signal(self.values))
        n_items, n_units = self.values.shape
        items = self.items.reset_index(drop=True)
        units = pd.DataFrame({"index": range(n_units)}) if self.units is None else self.units.reset_index(drop=True)
        if len(items) != n_items or len(units) != n_units:
            raise BraindecError(
                "features and their tables differ in number",
                found=f"values {self.values.shape}, {len(items)} items, {len(units)} units",
            )
        if "stimulus_id" not in items:
            raise BraindecError("features need a column stimulus_id in items", found=f"columns {list(items.columns)}")
        items["stimulus_id"] = items["stimulus_id"].astype(str)
        object.__setattr__(self, "items", items)
        object.__setattr__(self, "units", units)

    @property
    def shape(self) -> tuple[int, int]:
        """(n_items, n_units)."""
        return self.values.shape

    @property
    def ids(self) -> np.ndarray:
        """The stimulus_id of each item, shape (n_items,)."""
        return self.items["stimulus_id"].to_numpy(dtype=object)

    def load(self, rows: Any = None) -> np.ndarray:
        """Read the values of ``rows`` (all by default), shape (n_items, n_units), float32."""
        kept = np.arange(len(self.items)) if rows is None else np.atleast_1d(np.arange(len(self.items))[rows])
        values = self.values.read(kept, 0, self.shape[1])
        return np.ascontiguousarray(values, dtype=np.float32)

    def rows_of(self, stimulus_ids: Sequence[Any]) -> np.ndarray:
        """Return the row of each stimulus id.

        Raises
        ------
        BraindecError
            If an id has no features, or features hold an id twice; nothing is dropped silently.
        """
        place = pd.Series(np.arange(len(self.items)), index=self.items["stimulus_id"])
        if not place.index.is_unique:
            twice = place.index[place.index.duplicated()].unique()
            raise BraindecError("a stimulus_id stands twice in the features", found=", ".join(map(str, twice[:5])))
        asked = pd.Index([str(s) for s in stimulus_ids])
        rows = place.index.get_indexer(asked)
        if (rows < 0).any():
            missing = asked[rows < 0].unique()
            near = nearest(missing[0], place.index[:5000])
            raise BraindecError(
                f"{len(missing)} stimulus ids of the trials have no features",
                found=f"{', '.join(map(repr, missing[:5]))}; features hold {len(place)} ids such as "
                f"{', '.join(map(repr, (near or list(place.index[:3]))))}",
                fix="extract features for them, or leave these trials out: windows[windows.trials.stimulus_id.isin(...)]",
            )
        return rows

    def of(self, stimulus_ids: Sequence[Any]) -> np.ndarray:
        """Read the values of stimuli in the order given, shape (n, n_units), float32."""
        rows = self.rows_of(stimulus_ids)
        unique, inverse = np.unique(rows, return_inverse=True)
        return self.load(unique)[inverse]

    def __getitem__(self, rows: Any) -> Features:
        kept = np.atleast_1d(np.arange(len(self.items))[rows])
        return replace(self, values=as_signal(self.load(kept)), items=self.items.iloc[kept])

    def save(self, path: str | Path) -> Features:
        """Write an HDF5 file (float32, contiguous) and return the features opened from it."""
        with written_whole(path) as temporary, hdf5(temporary, "w") as file:
            file.create_dataset("values", data=self.load())
            file.attrs.update(kind="features", info=to_json(self.info))
            write_table(file, "items", self.items)
            write_table(file, "units", pd.DataFrame(self.units))
        return Features.open(path)

    @staticmethod
    def open(path: str | Path) -> Features:
        """Open features that :meth:`save` wrote; values stay on disk."""
        import json

        with hdf5(path, "r") as file:
            if file.attrs.get("kind") != "features":
                raise BraindecError(f"{path} does not hold features", found=f"datasets {list(file)}")
            items, units, info = read_table(file, "items"), read_table(file, "units"), json.loads(file.attrs["info"])
        return Features(HDF5Signal(path, "values"), items, units, info)

    @staticmethod
    def from_array(values: np.ndarray, stimulus_ids: Sequence[Any], **info: Any) -> Features:
        """Make features of an array (n_items, n_units) and the ids of its rows."""
        return Features(
            as_signal(np.asarray(values)), pd.DataFrame({"stimulus_id": [str(s) for s in stimulus_ids]}), None, info
        )

    def __repr__(self) -> str:
        return f"<Features {self.shape[0]} items x {self.shape[1]} units>"
