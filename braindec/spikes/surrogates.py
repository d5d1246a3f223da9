"""Surrogate recordings: spikes moved inside the stretches that were observed, rates kept on slow time scales.

``jitter`` draws each spike anew inside its window of ``width`` s, the windows standing still: under the null that rates do
not change inside a window and units are independent, data and surrogates are exchangeable and p-values exact. ``dither``
moves each spike by up to ``width`` to either side, and ``shuffle_intervals`` puts the intervals of a unit in another order
(all rate changes are lost). Gaps of the support stay empty.

Source: Amarasingham et al. 2012 (J Neurophysiol 107:517) for windows that stand still; Louis et al. 2010 (Front Comput
Neurosci 4:127) compare surrogates.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from braindec.errors import BraindecError, did_you_mean
from braindec.spikes._observed import checked_spikes, joined
from braindec.stats.asked import number, seed_of, whole
from braindec.types import Spikes

__all__ = ["surrogate_trains"]

KINDS = ("jitter", "dither", "shuffle_intervals")
_AT_ONCE = 4_000_000  # spikes that are drawn together


def surrogate_trains(
    spikes: Spikes, *, kind: str = "jitter", width: float = 0.02, n: int = 1, seed: int = 0, refractory: float = 0.0
) -> Iterator[np.ndarray]:
    """Return an iterator of ``n`` arrays like ``spikes.trains()[0]``; the offsets are those of ``spikes``.

    Parameters
    ----------
    spikes : Spikes
        The recording.
    kind : {"jitter", "dither", "shuffle_intervals"}
        How spikes are moved.
    width : float
        Window (jitter) or reach to either side (dither), s.
    n : int
        Surrogates.
    seed : int
        Same seed, same surrogates.
    refractory : float
        Intervals of a unit stay above it where they were, s.

    Raises
    ------
    BraindecError
        For an unknown kind or a width that is not above 0.
    """
    from braindec.kernels import spike_surrogates

    checked_spikes(spikes, "surrogate_trains")
    if kind not in KINDS:
        raise BraindecError(f"unknown surrogates {kind!r}{did_you_mean(kind, KINDS)}", allowed=", ".join(KINDS))
    number(width, "width", least=0, ends=False, unit="s")
    number(refractory, "refractory", least=0, unit="s")
    whole(n, "n", least=1)
    make = getattr(spike_surrogates, kind)
    options: dict[str, Any] = {"refractory": refractory, **({"width": width} if kind != "shuffle_intervals" else {})}
    flat, offsets = spikes.trains()
    options |= {"start": spikes.start, "stop": spikes.stop, "support": joined(spikes.support)}
    chunk = int(np.clip(_AT_ONCE // max(len(flat), 1), 1, n))
    seeds = np.random.SeedSequence(seed_of(seed)).generate_state(-(-n // chunk)) >> 1

    def each() -> Iterator[np.ndarray]:
        for k, own in enumerate(seeds.tolist()):
            yield from make(flat, offsets, n_surrogates=min(chunk, n - k * chunk), seed=own, **options)

    return each()
