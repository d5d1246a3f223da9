"""A library of hemodynamic responses: twenty double-gamma shapes that span what is met in people and regions.

Two gamma densities, as in the canonical response (:mod:`braindec.signal.hrf`), over a grid of the time to peak (3.5 to
6.5 s in steps of 0.75 s), the width (dispersion 1 or 1.5 s: 5.6 or 7.1 s at half height for a peak at 5 s) and the
undershoot (1/6 or 1/2.5 of the weight of the peak, 10 s after it). The member (5 s, 1 s, 1/6) is the canonical response.

Source: Handwerker, Ollinger & D'Esposito 2004 (NeuroImage 21): times to peak between 2.5 and 6.5 s over people and
regions; Prince et al. 2022 (eLife 11:e77599): a library of 20 and the choice of one for each voxel.
Differs from the reference in: shapes are parametric, not principal components of the Natural Scenes Dataset.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from braindec.errors import BraindecError, did_you_mean
from braindec.signal.hrf import LENGTH, canonical_hrf

__all__ = ["STEP", "Responses", "hrf_library", "responses_of"]

STEP = 0.1  # s between the samples of a response
TIMES_TO_PEAK = (3.5, 4.25, 5.0, 5.75, 6.5)  # s
DISPERSIONS = (1.0, 1.5)  # s
RATIOS = (6.0, 2.5)  # weight of the peak against the undershoot
_UNDERSHOOT = 10.0  # s from the peak to the undershoot


@dataclass(frozen=True, eq=False)
class Responses:
    """Hemodynamic responses to choose from.

    Parameters
    ----------
    values : array of shape (n_hrfs, n_samples)
        Every ``step`` s from the event on; each with a peak of 1.
    step : float
        s.
    default : int
        The one that is used where nothing is chosen (the canonical one, where it is a member).
    """

    values: np.ndarray
    step: float
    default: int

    def __len__(self) -> int:
        return len(self.values)

    @property
    def times_to_peak(self) -> np.ndarray:
        """Time of the greatest value of each, s, shape (n_hrfs,)."""
        return np.argmax(self.values, axis=1) * self.step

    def only(self, number: int) -> Responses:
        """Return one member as a library of its own."""
        return Responses(self.values[number : number + 1], self.step, 0)


def hrf_library(
    *, times_to_peak: Sequence[float] = TIMES_TO_PEAK, dispersions: Sequence[float] = DISPERSIONS,
    ratios: Sequence[float] = RATIOS,
) -> Responses:  # fmt: skip
    """Return a library of double-gamma responses over a grid of parameters.

    Parameters
    ----------
    times_to_peak : sequence of float
        s after a short event.
    dispersions : sequence of float
        s; larger is wider.
    ratios : sequence of float
        Weight of the peak against that of the undershoot.

    Returns
    -------
    Responses
        In the order of the grid, time to peak slowest: ``values[(i * n_dispersions + j) * n_ratios + k]``.
    """
    times = np.arange(0.0, LENGTH + STEP / 2, STEP)
    grid = [(peak, width, ratio) for peak in times_to_peak for width in dispersions for ratio in ratios]
    if not grid:
        raise BraindecError("a library needs at least one response", found="an empty grid")
    rows = [
        canonical_hrf(times, peak=peak + width, undershoot=peak + _UNDERSHOOT + 1.0, dispersion=width, ratio=ratio)
        for peak, width, ratio in grid
    ]
    far = [abs(peak - 5.0) + abs(width - 1.0) + abs(ratio - 6.0) for peak, width, ratio in grid]
    return Responses(_peaks_of_one(np.stack(rows)), STEP, int(np.argmin(far)))


def responses_of(hrf: Any, *, step: float = STEP) -> Responses:
    """Return the responses that ``hrf`` names: "canonical", "library", or an array of them.

    Parameters
    ----------
    hrf : str, Responses, or array of shape (n_samples,) or (n_hrfs, n_samples)
        An array holds responses to an impulse, sampled every ``step`` s from 0; its first one is the default.

    Raises
    ------
    BraindecError
        If the name is unknown, or an array is not finite or has a response without a positive peak.
    """
    if isinstance(hrf, Responses):
        return hrf
    if isinstance(hrf, str):
        if hrf == "canonical":
            return Responses(_peaks_of_one(canonical_hrf(np.arange(0.0, LENGTH + STEP / 2, STEP))[None]), STEP, 0)
        if hrf == "library":
            return hrf_library()
        raise BraindecError(f"hrf={hrf!r} is unknown{did_you_mean(hrf, ['canonical', 'library'])}",
                            allowed="canonical, library, or an array (response, sample)")  # fmt: skip
    values = np.atleast_2d(np.asarray(hrf, dtype=float))
    if values.ndim != 2 or values.shape[1] < 2 or not np.isfinite(values).all() or (values.max(axis=1) <= 0).any():
        raise BraindecError("responses need a finite array (response, sample), each with a positive peak",
                            found=f"shape {np.shape(hrf)}", fix="one row a response, from the event on")  # fmt: skip
    if not (np.isfinite(step) and 0 < step <= 1):
        raise BraindecError(
            "the step between samples of a response must be in s", found=repr(step), allowed="above 0, up to 1"
        )
    return Responses(_peaks_of_one(values), float(step), 0)


def _peaks_of_one(values: np.ndarray) -> np.ndarray:
    return values / values.max(axis=1, keepdims=True)
