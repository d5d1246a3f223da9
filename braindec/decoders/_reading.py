"""Reading windows through transforms that were fitted on training rows, in blocks, so that memory stays flat."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import pandas as pd

from braindec import registry
from braindec.errors import BraindecError
from braindec.types import FitRecord, Windows

_FIT_ROWS = 2000  # training windows that a transform is fitted on, spread evenly; more change a median very little
_BLOCK = 2**26  # bytes of windows read at once

__all__ = ["WindowReader", "column"]


class WindowReader:
    """Windows as the model sees them: read, checked, transformed.

    Parameters
    ----------
    scaler : str, transform, list of them, or None
        Names in ``signal/transforms`` ("robust" is short for "robust_scaler"), applied in order.
    scale_by : str, optional
        Column of the trials; each of its values is scaled by its own numbers.
    """

    def __init__(self, scaler: Any, scale_by: str | None = None) -> None:
        given = [] if scaler is None else list(scaler) if isinstance(scaler, (list, tuple)) else [scaler]
        self.transforms = [_transform(s) for s in given]
        self.scale_by = scale_by

    def fit(self, windows: Windows) -> WindowReader:
        """Fit the transforms on training windows, and remember channels and length."""
        if not len(windows):
            raise BraindecError("there are no training windows", found="0 windows")
        self.ch_names, self.n_times, self.sfreq = list(windows.ch_names), windows.n_times, float(windows.sfreq)
        if self.transforms:
            rows = np.unique(np.linspace(0, len(windows) - 1, min(len(windows), _FIT_ROWS)).round().astype(int))
            if self.scale_by is not None:  # no value of the column may be missed
                rows = np.union1d(rows, np.unique(column(windows, self.scale_by), return_index=True)[1])
            data, some = windows.load(rows), windows[rows]
            groups = self._groups(some)
            for transform in self.transforms:
                transform.fit(data, ids=some.ids, groups=groups)
                data = transform.transform(data, groups=groups)
        return self

    @property
    def records(self) -> list[FitRecord]:
        """What the transforms saw."""
        return [r for t in self.transforms for r in (getattr(t, "fit_records_", None) or [t.fitted_on_])]

    def read(self, windows: Windows, rows: Any = None) -> np.ndarray:
        """Return windows transformed, (window, channel, time), float32."""
        data = windows.load(rows)
        if self.transforms:
            groups = self._groups(windows if rows is None else windows[rows])
            for transform in self.transforms:
                data = transform.transform(data, groups=groups)
        return np.asarray(data, dtype=np.float32)

    def blocks(self, windows: Windows, size: int | None = None) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield (rows, windows transformed) of all windows in order, so many at a time."""
        self.check(windows)
        if size is None:
            size = max(1, _BLOCK // (4 * windows.n_channels * windows.n_times))
        for start in range(0, len(windows), size):
            rows = slice(start, min(start + size, len(windows)))
            yield rows, self.read(windows, rows)

    def check(self, windows: Windows) -> None:
        """Raise unless the windows have the channels, length and sampling frequency of the training windows."""
        if list(windows.ch_names) != self.ch_names:
            strange = [c for c in windows.ch_names if c not in self.ch_names]
            missing = [c for c in self.ch_names if c not in windows.ch_names]
            raise BraindecError(
                "the decoder was fitted on other channels",
                found=f"new: {', '.join(strange[:8]) or 'none'}; missing: {', '.join(missing[:8]) or 'none'}"
                + ("" if strange or missing else "; another order"),
                fix="give the windows the same channels in the same order",
            )
        if windows.n_times != self.n_times or abs(windows.sfreq - self.sfreq) > 1e-6 * self.sfreq:
            raise BraindecError(
                "the decoder was fitted on windows of another length or sampling frequency",
                found=f"{windows.n_times} samples at {windows.sfreq:g} Hz", allowed=f"{self.n_times} samples at {self.sfreq:g} Hz",
            )  # fmt: skip

    def _groups(self, windows: Windows) -> np.ndarray | None:
        return None if self.scale_by is None else column(windows, self.scale_by)


def column(windows: Windows, name: str) -> np.ndarray:
    """Return a column of the trials as strings.

    Raises
    ------
    BraindecError
        If it is missing or has holes.
    """
    trials: pd.DataFrame = windows.trials
    if name not in trials:
        raise BraindecError(
            f"the trials have no column {name!r}", found=f"columns {', '.join(map(str, trials.columns))}"
        )
    if trials[name].isna().any():
        where = windows.ids[np.flatnonzero(trials[name].isna())[0]]
        raise BraindecError(f"{int(trials[name].isna().sum())} trials have no {name}", found=f"first: {where}",
                            fix=f"leave them out: windows[windows.trials[{name!r}].notna()]")  # fmt: skip
    return trials[name].astype(str).to_numpy(dtype=object)


def _transform(given: Any) -> Any:
    if not isinstance(given, str):
        return deepcopy(given)
    names = registry.names("signal.transforms")
    name = f"{given}_scaler" if given not in names and f"{given}_scaler" in names else given
    return registry.get("signal.transforms", name)()


def spread_groups(windows: Windows, names: Sequence[str]) -> np.ndarray:
    """Return the first of the columns ``names`` that the trials have, complete; row names when there is none."""
    for name in names:
        if name in windows.trials and windows.trials[name].notna().all():
            return column(windows, name)
    return windows.ids.astype(str)
