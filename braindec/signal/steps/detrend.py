"""Detrend: remove a polynomial of time from each channel, over the whole run (least squares on Legendre polynomials)."""

from __future__ import annotations

import numpy as np

from braindec.errors import BraindecError
from braindec.signal.steps._blocks import by_channel
from braindec.types import Recording

__all__ = ["detrend"]
VERSION = 1


def detrend(recording: Recording, *, order: int = 1) -> Recording:
    """Remove a polynomial from each channel.

    Parameters
    ----------
    recording : Recording
        One run.
    order : int
        0 removes the mean, 1 a line, 2 a parabola, ...

    Raises
    ------
    BraindecError
        If the order is not a whole number from 0 to 20, or the run is not longer than the polynomial.
    """
    if not (isinstance(order, (int, np.integer)) and 0 <= order <= 20):
        raise BraindecError("the order of detrend is a whole number from 0 to 20", found=repr(order))
    if recording.n_times <= order + 1:
        raise BraindecError(f"{recording.label}: {recording.n_times} samples are too few for order {order}")
    design = np.polynomial.legendre.legvander(np.linspace(-1, 1, recording.n_times), order)  # (time, order + 1)
    basis = np.linalg.qr(design)[0]

    def remove(block: np.ndarray) -> np.ndarray:
        centre = block - block[:, :1]  # a large offset would cost digits
        return centre - (centre @ basis) @ basis.T

    return by_channel(recording, remove)
