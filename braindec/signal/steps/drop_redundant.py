"""Drop redundant: leave out channels that are a combination of earlier ones (a rebuilt reference, a copy).

Gram-Schmidt in the order of the channels, on the correlation matrix: a channel is redundant when less than ``tolerance`` of
its variance is left after the earlier ones are regressed out. Every second of the run counts equally, whatever its
amplitude: in a run with one huge artefact all channels would look alike, and the rounding of a file is small against the
signal but not against nothing.

Source: Golub & Van Loan, Matrix Computations, section 4.2 (Cholesky factor without pivoting).
"""

from __future__ import annotations

import numpy as np

from braindec.errors import BraindecError
from braindec.signal.steps._blocks import add_warning, time_blocks
from braindec.signal.steps._check import positive
from braindec.types import Recording

__all__ = ["drop_redundant"]
VERSION = 1


def drop_redundant(recording: Recording, *, tolerance: float = 5e-4) -> Recording:
    """Return a lazy selection without redundant channels.

    Parameters
    ----------
    recording : Recording
        Read once, in blocks of time. Flat channels and trigger channels are left as they are.
    tolerance : float
        Share of a channel's variance that the earlier channels must leave.

    Raises
    ------
    BraindecError
        If there are more channels than samples (every later channel would be redundant).
    """
    tolerance = positive(tolerance, "tolerance", "")
    n = recording.n_channels
    if recording.n_times <= n:
        raise BraindecError(f"{recording.label}: {recording.n_times} samples cannot tell {n} channels apart")
    moment = np.zeros((n, n))
    length = min(max(round(recording.sfreq), 2), recording.n_times)
    for _, block in time_blocks(recording, multiple=length):
        pieces = max(1, block.shape[1] // length)  # of a second; they may be a little longer at the end
        for piece in np.array_split(block, pieces, axis=1):
            piece = piece - piece.mean(axis=1, keepdims=True)
            power = np.einsum("ct,ct->", piece, piece)
            moment += piece @ piece.T / power if power > 0 else 0.0
    redundant = _redundant(moment, tolerance, skip=(recording.channels["type"] == "stim").to_numpy())
    if not redundant:
        return recording
    names = [recording.ch_names[i] for i in redundant]
    found = recording.select(np.delete(np.arange(n), redundant))
    return add_warning(found, f"redundant channels left out (combinations of others): {', '.join(names)}")


def _redundant(covariance: np.ndarray, tolerance: float, *, skip: np.ndarray) -> list[int]:
    spread = np.sqrt(np.maximum(np.diag(covariance), 0))
    usable = (spread > 0) & ~skip
    kept: list[int] = []
    redundant = []
    factor = np.zeros((len(spread), len(spread)))  # rows of the Cholesky factor of the kept channels
    for i in np.flatnonzero(usable):
        row = np.zeros(len(kept))
        for k, j in enumerate(kept):
            row[k] = (covariance[i, j] / (spread[i] * spread[j]) - row[:k] @ factor[k, :k]) / factor[k, k]
        left = 1 - row @ row
        if left < tolerance:
            redundant.append(int(i))
            continue
        factor[len(kept), : len(kept)], factor[len(kept), len(kept)] = row, np.sqrt(left)
        kept.append(int(i))
    return redundant
