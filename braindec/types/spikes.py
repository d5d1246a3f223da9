"""Spikes: sorted spike times of many units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.types.recording import Recording
from braindec.types.signals import as_signal


@dataclass(frozen=True, eq=False)
class Spikes:
    """Spike times of many units in one stretch of time.

    Parameters
    ----------
    times : array of shape (n_spikes,)
        Times in s, sorted.
    unit : array of int, shape (n_spikes,)
        Row of ``units`` that fired.
    units : DataFrame
        One row a unit (name, region, quality, ...).
    start, stop : float
        The stretch that was observed, s.
    events : DataFrame
        As in :class:`Recording`.
    info : dict
        As in :class:`Recording`.

    Raises
    ------
    BraindecError
        If times are unsorted, not finite or outside the stretch, or a unit is unknown.
    """

    times: np.ndarray
    unit: np.ndarray
    units: pd.DataFrame
    start: float
    stop: float
    events: pd.DataFrame = field(default_factory=lambda: pd.DataFrame({"onset": [], "duration": []}))
    info: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        times, unit = np.asarray(self.times, dtype=np.float64), np.asarray(self.unit, dtype=np.int32)
        object.__setattr__(self, "times", times)
        object.__setattr__(self, "unit", unit)
        units = self.units.reset_index(drop=True)
        if "name" not in units:
            units = units.assign(name=[f"unit{i:03d}" for i in range(len(units))])
        object.__setattr__(self, "units", units)
        if times.shape != unit.shape or times.ndim != 1:
            raise BraindecError("spike times and units differ in number", found=f"{times.shape} and {unit.shape}")
        if not self.start < self.stop:
            raise BraindecError("spikes need start < stop (s)", found=f"{self.start} and {self.stop}")
        if len(times):
            if not np.isfinite(times).all() or np.any(np.diff(times) < 0):
                raise BraindecError("spike times must be finite and sorted", fix="sort them: order = times.argsort()")
            if times[0] < self.start or times[-1] > self.stop:
                raise BraindecError(
                    "spike times lie outside the observed stretch",
                    found=f"{times[0]:.6g} to {times[-1]:.6g} s against {self.start:.6g} to {self.stop:.6g} s",
                    fix="are the times in s? milliseconds must be divided by 1000",
                )
            if unit.min() < 0 or unit.max() >= len(units):
                raise BraindecError(
                    "a spike names an unknown unit", found=f"{unit.max()}", allowed=f"0 to {len(units) - 1}"
                )

    @property
    def n_units(self) -> int:
        """Number of units."""
        return len(self.units)

    def counts(self, width: float) -> Recording:
        """Count spikes in bins, as a recording of (unit, bin) at 1 / ``width`` Hz.

        Parameters
        ----------
        width : float
            Bin width in s; a last bin that is not full is dropped.
        """
        n_bins = int(np.floor((self.stop - self.start) / width * (1 + 1e-12)))
        if n_bins < 1:
            raise BraindecError(f"bins of {width} s do not fit", found=f"{self.stop - self.start:.6g} s were observed")
        bins = np.floor((self.times - self.start) / width + 1e-9).astype(np.int64)  # 0.29 / 0.01 is 28.999...
        inside = bins < n_bins
        counts = np.zeros((self.n_units, n_bins), dtype=np.float32)
        np.add.at(counts, (self.unit[inside], bins[inside]), 1.0)
        channels = self.units.assign(type="unit", unit="count")
        events = self.events.assign(onset=self.events["onset"] - self.start)
        return Recording(as_signal(counts), 1.0 / width, channels, events, {"modality": "spikes", **self.info})

    def __repr__(self) -> str:
        return f"<Spikes {self.n_units} units, {len(self.times)} spikes, {self.start:g} to {self.stop:g} s>"
