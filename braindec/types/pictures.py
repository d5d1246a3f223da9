"""Pictures: the stimuli themselves, images or short films, one item a stimulus_id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError, did_you_mean

__all__ = ["Pictures"]


@dataclass(frozen=True, eq=False)
class Pictures:
    """Images (item, height, width, channel) or films (item, frame, height, width, channel).

    Parameters
    ----------
    values : array-like of shape (n, [n_frames,] height, width, channel)
        uint8, or floats of 0 to 1; one channel (grey) or three (red, green, blue). Anything with a ``shape`` that gives
        arrays for ``values[rows]``: an array, an HDF5 data set, :class:`braindec.loaders.images.Images`.
    items : DataFrame
        One row an item: ``stimulus_id`` and any other column (concept_id, caption, ...).
    frame_rate : float, optional
        Frames per second of films, Hz.
    info : dict
        Where they come from.

    Raises
    ------
    BraindecError
        If the shape is none of the two, tables and values differ in number, or an id stands twice.
    """

    values: Any
    items: pd.DataFrame
    frame_rate: float | None = None
    info: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not hasattr(self.values, "shape") or not isinstance(self.items, pd.DataFrame):
            raise BraindecError(
                "pictures need an array of values and a table of items", found=f"{type(self.values).__name__}, {type(self.items).__name__}",
                fix="Pictures.from_arrays(values, stimulus_ids) makes both",
            )  # fmt: skip
        shape = tuple(self.values.shape)
        if shape[:1] == (0,):
            raise BraindecError("there are no pictures", found=f"shape {shape}", fix="keep at least one item")
        if len(shape) not in (4, 5) or shape[-1] not in (1, 3) or 0 in shape:
            raise BraindecError(
                "pictures must be (item, height, width, channel), films (item, frame, height, width, channel)",
                found=f"shape {shape}", allowed="1 channel (grey) or 3 (red, green, blue), last",
                fix="give grey pictures a last axis of one: values[..., None]",
            )  # fmt: skip
        items = self.items.reset_index(drop=True)
        if len(items) != shape[0]:
            raise BraindecError("pictures and their table differ in number", found=f"{shape[0]} and {len(items)}")
        if "stimulus_id" not in items:
            raise BraindecError("pictures need a column stimulus_id in items", found=f"columns {list(items.columns)}")
        if items["stimulus_id"].isna().any():
            raise BraindecError("pictures without a stimulus_id", found=f"first: row {int(items['stimulus_id'].isna().argmax())}",
                                fix="name each picture, or leave it out")  # fmt: skip
        if self.frame_rate is not None and not (isinstance(self.frame_rate, Real) and 0 < self.frame_rate < np.inf):
            raise BraindecError(
                "frame_rate of films must be above 0", found=repr(self.frame_rate), allowed="frames per second, or None"
            )
        items["stimulus_id"] = items["stimulus_id"].astype(str)
        twice = items["stimulus_id"][items["stimulus_id"].duplicated()].unique()
        if len(twice):
            raise BraindecError("a stimulus_id of the pictures stands twice", found=", ".join(map(str, twice[:5])))
        object.__setattr__(self, "items", items)

    @classmethod
    def from_arrays(
        cls, values: Any, stimulus_ids: Sequence[Any], *, frame_rate: float | None = None, **columns: Sequence[Any]
    ) -> Pictures:
        """Make pictures of an array, or of a list of arrays that all have one size and mode.

        Parameters
        ----------
        values : array or list of arrays
            See the class; each entry of a list is one picture, (height, width) or (height, width, channel).
        stimulus_ids : sequence of shape (n,)
        frame_rate : float, optional
        **columns
            Further columns of the table, such as ``concept_id``.

        Raises
        ------
        BraindecError
            If pictures differ in size or in mode: nothing is scaled or converted unasked.
        """
        if isinstance(values, (list, tuple)):
            values = [np.asarray(v) for v in values]
            kinds = {v.shape for v in values}
            if len(kinds) > 1:
                raise BraindecError(
                    "the pictures are not of one size and mode",
                    found=", ".join(f"{sum(v.shape == k for v in values)} of {k}" for k in sorted(kinds, key=str)[:6]),
                    fix="read them with braindec.loaders.images.load_images(folder, size=...), which scales and crops all alike",
                )  # fmt: skip
            values = np.stack(values) if values else np.zeros((0, 0, 0, 0))
        if not hasattr(values, "shape"):
            values = np.asarray(values)
        if isinstance(values, np.ndarray) and values.ndim == 3:
            values = values[..., None]
        table = {name: list(column) for name, column in {"stimulus_id": stimulus_ids, **columns}.items()}
        wrong = {name: len(column) for name, column in table.items() if len(column) != len(values)}
        if wrong:
            raise BraindecError("pictures and their table differ in number", found=f"{len(values)} pictures; {wrong}")
        return cls(values, pd.DataFrame(table), frame_rate)

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, [n_frames,] height, width, channel)."""
        return tuple(self.values.shape)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.shape[-3], self.shape[-2]

    @property
    def n_channels(self) -> int:
        """1 for grey pictures, 3 for colour."""
        return self.shape[-1]

    @property
    def is_film(self) -> bool:
        """True for films, which have an axis of frames."""
        return len(self.shape) == 5

    @property
    def ids(self) -> np.ndarray:
        """The stimulus_id of each item, shape (n,)."""
        return self.items["stimulus_id"].to_numpy(dtype=object)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> Pictures:
        """Keep items."""
        kept = np.atleast_1d(np.arange(len(self))[rows])
        return Pictures(self._read(kept), self.items.iloc[kept], self.frame_rate, dict(self.info))

    def rows_of(self, stimulus_ids: Sequence[Any]) -> np.ndarray:
        """Return the row of each stimulus, shape (len(stimulus_ids),).

        Raises
        ------
        BraindecError
            If a stimulus has no picture.
        """
        place = {s: i for i, s in enumerate(self.ids)}
        missing = [str(s) for s in dict.fromkeys(stimulus_ids) if str(s) not in place]
        if missing:
            raise BraindecError(
                f"there is no picture of {missing[0]!r}{did_you_mean(missing[0], place)}",
                found=f"{len(missing)} stimuli without a picture, {len(place)} pictures",
                fix="give a picture for every stimulus of the trials, or keep only trials that have one",
            )
        return np.array([place[str(s)] for s in stimulus_ids], dtype=int)

    def load(self, rows: Any = None) -> np.ndarray:
        """Read pictures, float32 of 0 to 1.

        Raises
        ------
        BraindecError
            If values are no numbers, are not finite or leave 0 to 1.
        """
        kept = np.arange(len(self)) if rows is None else np.atleast_1d(np.arange(len(self))[rows])
        values = self._read(kept)
        if values.dtype == np.uint8:
            return values.astype(np.float32) / 255
        if values.dtype.kind not in "buif":
            raise BraindecError(
                "pictures must be numbers", found=f"dtype {values.dtype}", allowed="uint8, or floats of 0 to 1"
            )
        source, values = values.dtype, values.astype(np.float32)
        if not len(values):
            return values
        if not np.isfinite(values).all() or values.min() < -1e-6 or values.max() > 1 + 1e-6:
            raise BraindecError(
                "pictures other than uint8 must be finite and between 0 and 1",
                found=f"{source}, {np.fmin.reduce(values, None):.3g} to {np.fmax.reduce(values, None):.3g}" + ("" if np.isfinite(values).all() else ", some not finite"),
                fix="divide by the largest value that the format allows (255 for 8 bits), or give uint8",
            )  # fmt: skip
        return np.clip(values, 0.0, 1.0)

    def of(self, stimulus_ids: Sequence[Any]) -> np.ndarray:
        """Read the pictures of stimuli in the order given, float32 of 0 to 1; see :meth:`rows_of` and :meth:`load`."""
        return self.load(self.rows_of(stimulus_ids))

    def __repr__(self) -> str:
        what = f"{self.shape[1]} frames of " if self.is_film else ""
        return f"<Pictures {len(self)}, {what}{self.size[0]} x {self.size[1]}, {'colour' if self.n_channels == 3 else 'grey'}>"

    def _read(self, rows: np.ndarray) -> np.ndarray:
        if isinstance(self.values, np.ndarray):
            return self.values[rows]
        order, back = np.unique(rows, return_inverse=True)  # HDF5 reads rows in rising order, each once
        return (
            np.asarray(self.values[order])[back.reshape(-1)] if len(rows) else np.zeros((0, *self.shape[1:]), np.uint8)
        )
