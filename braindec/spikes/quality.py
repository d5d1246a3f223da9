"""Is a unit one neuron, and was it there all the time? Silent units, refractory violations, contamination, presence.

Source: Hill, Mehta & Kleinfeld 2011 (J Neurosci 31:8699, eq. 1) for the share of foreign spikes f that v violations in
windows of refractoriness r imply: v = 2 r n^2 (1 - f) f / T.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from braindec.spikes._observed import blocks_of, checked_spikes
from braindec.spikes.intervals import interspike_intervals
from braindec.spikes.rates import block_counts
from braindec.stats.asked import number, whole
from braindec.types import Spikes

__all__ = ["unit_quality"]


def unit_quality(spikes: Spikes, *, refractory: float = 0.0015, n_blocks: int = 50) -> pd.DataFrame:
    """Return simple measures of how well units were isolated.

    Parameters
    ----------
    spikes : Spikes
        The recording.
    refractory : float
        Intervals shorter than that are no neuron's, s.
    n_blocks : int
        Blocks of observed time for the presence.

    Returns
    -------
    DataFrame
        unit, name, n (spikes), rate (Hz), violations (intervals below ``refractory``), violation_share, contamination
        (share of foreign spikes, 0 to 0.5; 0.5 also where there are more violations than two neurons of one rate would
        make), presence (share of blocks with spikes), expected_presence (of a Poisson process of that rate), duplicates
        (spikes at one time), silent, note.
    """
    checked_spikes(spikes, "unit_quality")
    number(refractory, "refractory", least=0, ends=False, unit="s")
    blocks = blocks_of(spikes.support, length=spikes.duration / whole(n_blocks, "n_blocks", least=2))
    counts, lengths = block_counts(spikes, blocks), blocks[:, 1] - blocks[:, 0]
    n = counts.sum(axis=1)
    rate = n / spikes.duration
    rows = []
    for u, found in enumerate(interspike_intervals(spikes)):
        short = int((found.lengths < refractory).sum())
        contamination = _foreign(short, int(n[u]), refractory, spikes.duration)
        present, expected = float((counts[u] > 0).mean()), float((1 - np.exp(-rate[u] * lengths)).mean())
        rows.append({"unit": u, "name": str(spikes.units["name"].iloc[u]), "n": int(n[u]), "rate": float(rate[u]), "violations": short,
                     "violation_share": short / len(found.lengths) if len(found.lengths) else 0.0, "contamination": contamination,
                     "presence": present, "expected_presence": expected, "duplicates": int((found.lengths == 0).sum()), "silent": bool(n[u] == 0),
                     "note": _note(int(n[u]), contamination, present, expected)})  # fmt: skip
    return pd.DataFrame(rows)


def _foreign(short: int, n: int, refractory: float, seconds: float) -> float:
    """The smaller root of v = 2 r n^2 (1 - f) f / T; 0.5 where there is none."""
    if short == 0 or n == 0:
        return 0.0
    inside = 1 - 4 * short * seconds / (2 * refractory * n**2)
    return float(0.5 * (1 - np.sqrt(inside))) if inside > 0 else 0.5


def _note(n: int, contamination: float, present: float, expected: float) -> str:
    if n == 0:
        return "silent"
    said = []
    if contamination > 0.1:
        said.append("many intervals below the refractory time: more than one neuron?")
    if expected > 0.95 and present < 0.8:
        said.append("silent in a part of the recording: lost or gained?")
    return "; ".join(said)
