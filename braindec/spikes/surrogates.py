"""Surrogate recordings: spikes moved inside the stretches that were observed, rates kept on slow time scales.

``jitter`` draws each spike anew inside its window of ``width`` s, the windows standing still: under the null that rates do
not change inside a window and units are independent, data and surrogates are exchangeable and p-values exact. ``dither``
moves each spike by up to ``width`` to either side, and ``shuffle_intervals`` puts the intervals of a unit in another order
(all rate changes are lost). Gaps of the support stay empty.

Spikes of a burst are not exchangeable one by one: two bursts that meet by chance make many pairs of spikes, and a jitter that
takes bursts apart calls that synchrony. "patterns" moves groups of spikes whose intervals are below ``bursts`` s as one.

Source: Amarasingham et al. 2012 (J Neurophysiol 107:517) for windows that stand still; Harrison & Geman 2009 (Neural Computation
21:1244) for patterns (here groups may come nearer to one another than ``bursts``); Louis et al. 2010 (Front Comput Neurosci
4:127) compare surrogates.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from braindec.errors import BraindecError, did_you_mean
from braindec.spikes._observed import TIE, checked_spikes, joined
from braindec.stats.asked import number, seed_of, whole
from braindec.types import Spikes

__all__ = ["surrogate_trains"]

KINDS = ("jitter", "patterns", "dither", "shuffle_intervals")
_AT_ONCE = 4_000_000  # spikes that are drawn together


def surrogate_trains(
    spikes: Spikes,
    *,
    kind: str = "jitter",
    width: float = 0.02,
    n: int = 1,
    seed: int = 0,
    refractory: float = 0.0,
    bursts: float = 0.0,
) -> Iterator[np.ndarray]:
    """Return an iterator of ``n`` arrays like ``spikes.trains()[0]``; the offsets are those of ``spikes``.

    Parameters
    ----------
    spikes : Spikes
        The recording.
    kind : {"jitter", "patterns", "dither", "shuffle_intervals"}
        How spikes are moved.
    width : float
        Window (jitter; of the first spike of a group for patterns) or reach to either side (dither), s.
    n : int
        Surrogates.
    seed : int
        Same seed, same surrogates.
    refractory : float
        Intervals of a unit stay above it where they were, s; not for patterns.
    bursts : float
        For patterns: spikes of a unit at most so far apart move together, s.

    Raises
    ------
    BraindecError
        For an unknown kind, a width that is not above 0, or bursts without patterns.
    """
    from braindec.kernels import spike_surrogates

    checked_spikes(spikes, "surrogate_trains")
    if kind not in KINDS:
        raise BraindecError(f"unknown surrogates {kind!r}{did_you_mean(kind, KINDS)}", allowed=", ".join(KINDS))
    number(width, "width", least=0, ends=False, unit="s")
    number(refractory, "refractory", least=0, unit="s")
    whole(n, "n", least=1)
    if (number(bursts, "bursts", least=0, unit="s") > 0) != (kind == "patterns") or (kind == "patterns" and refractory):
        raise BraindecError("surrogates of kind 'patterns' need bursts (s) and no refractory time; others have no bursts",
                            found=f"kind {kind}, bursts {bursts:g} s, refractory {refractory:g} s", fix="bursts=0.005")  # fmt: skip
    if kind == "patterns":
        return _patterns(spikes, width, bursts, n, seed_of(seed))
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


def _patterns(spikes: Spikes, width: float, bursts: float, n: int, seed: int) -> Iterator[np.ndarray]:
    """Groups of spikes, each drawn anew with its first spike in the window where it was and inside its observed stretch."""
    flat, offsets = spikes.trains()
    pieces = joined(spikes.support)
    unit = np.repeat(np.arange(spikes.n_units), np.diff(offsets))
    piece = np.maximum(np.searchsorted(pieces[:, 0], flat + TIE, side="right") - 1, 0)
    begins = np.append(True, (np.diff(unit) != 0) | (np.diff(piece) != 0) | (np.diff(flat) > bursts))[: len(flat)]
    group = np.cumsum(begins) - 1
    first = np.flatnonzero(begins)
    last = np.append(first[1:], len(flat)) - 1
    span, home = flat[last] - flat[first], pieces[piece[first]]
    window = spikes.start + width * np.floor((flat[first] - spikes.start) / width + TIE)
    low = np.maximum(window, home[:, 0])
    room = np.maximum(np.minimum(window + width, home[:, 1] - span) - low, 0.0)
    rng, apart = np.random.default_rng(seed), unit * (spikes.stop - spikes.start + 1.0)
    for _ in range(n):
        moved = flat + (low + room * rng.random(len(first)) - flat[first])[group]
        moved = np.clip(moved, home[group, 0], home[group, 1])
        yield moved[np.argsort(moved + apart, kind="stable")]  # units stay one after another
