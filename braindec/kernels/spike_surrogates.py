"""Surrogate spike trains: spikes moved at random, with what the null hypothesis keeps left as it is.

- :func:`jitter`: each spike is drawn anew, evenly, inside the window of ``width`` that it lies in. Windows stand still
  (they begin at ``start``), so counts in windows are kept exactly: the null is that nothing is finer than the window.
- :func:`dither`: each spike moves evenly by up to ``width`` to either side.
- :func:`shuffle_intervals`: intervals between spikes change places; the first and the last spike stay.
- :func:`shift`: each train moves as a whole, round the stretch: trains keep all of their own order and lose that between
  them.

Refractoriness: with ``refractory > 0`` an interval stays at least as long as that, or as it was where it was shorter
(spikes of another unit that slipped in do not undo it for all). ``jitter`` then draws evenly from what is left of a window
once the dead times are taken off, given where the window before has ended; ``dither`` lets each spike use half of the room
to its neighbours. Without it dithered spikes may pass one another. Shuffled intervals are as long as before in any case.

Which null: only ``jitter`` allows for rates that change together (slower than its window, or at its edges); its p-values are
then exact. ``dither`` smooths rates over twice its width, so shared changes that are not much slower pass for synchrony (29 %
false positives at 5 % where shared rates jump every 25 ms and so does the width). ``shuffle_intervals`` and ``shift`` (without
``width``) lose every change of rates: they suit trains whose rates are constant.

Stretches: every row of ``support`` (or start to stop) is on its own: nothing crosses its ends. Random numbers are hashes of
(seed, surrogate, unit, stretch, spike): same seed, same bytes on every backend and for any number of threads, and more
surrogates leave the first ones as they were.

Source: Amarasingham et al. 2012 (J Neurophysiol 107:517, interval jitter); Louis, Gerstein, Grün & Diesmann 2010 (Front
Comput Neurosci 4:127: dithering, shuffling, shifting, and what each destroys).
Differs from the reference in: how the refractory period is kept (above); a spike that would leave its stretch is drawn
from the part of its reach that lies inside.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from braindec.errors import BraindecError
from braindec.kernels._backend import choose
from braindec.kernels._surrogate_loops import draws, keys_of, make_room, run_loop
from braindec.kernels._trains import check_count, check_positive, check_stretch, check_trains

__all__ = [
    "dither", "dither_numpy", "jitter", "jitter_numpy", "shift", "shift_numpy", "shuffle_intervals",
    "shuffle_intervals_numpy",
]  # fmt: skip

_SALTS = {"jitter": 1, "dither": 2, "shuffle_intervals": 3, "shift": 4}


def jitter(
    flat: np.ndarray, offsets: np.ndarray, *, width: float, start: float, stop: float, n_surrogates: int = 1,
    seed: int = 0, refractory: float = 0.0, support: np.ndarray | None = None, backend: str | None = None,
) -> np.ndarray:  # fmt: skip
    """Draw each spike anew inside its window.

    Parameters
    ----------
    flat, offsets : array
        Ragged trains in s, sorted within each unit.
    width : float
        Width of the windows, s; the last one of a stretch may be narrower.
    start, stop : float
        The stretch that was observed, s; all spikes lie in it.
    n_surrogates : int
        How many are drawn.
    seed : int
        Of the draws.
    refractory : float
        Shortest interval, s, where it was kept before.
    support : array of shape (n_stretches, 2), optional
        Stretches [from, to] in s inside ``start`` and ``stop``, in order: each has windows of its own.
    backend : {"numba", "numpy", "cuda"}, optional
        Which version runs; all return the same.

    Returns
    -------
    array of float64, shape (n_surrogates, n_spikes)
        Times in s, sorted within each unit and stretch; ``offsets`` are those given.

    Raises
    ------
    BraindecError
        If trains are not sorted or not finite, spikes lie outside the stretch, or a width is not above 0.
    """
    job = _job(flat, offsets, start, stop, n_surrogates, seed, support, "jitter")
    plan = _windows(job, check_positive(width, "width"), _check_refractory(refractory))
    return _move(job, plan, choose(backend, kernel="jitter"), chain=True, resort=False)


def dither(
    flat: np.ndarray, offsets: np.ndarray, *, width: float, start: float, stop: float, n_surrogates: int = 1,
    seed: int = 0, refractory: float = 0.0, support: np.ndarray | None = None, backend: str | None = None,
) -> np.ndarray:  # fmt: skip
    """Move each spike evenly by up to ``width`` s to either side; other parameters as in :func:`jitter`."""
    job = _job(flat, offsets, start, stop, n_surrogates, seed, support, "dither")
    plan = _reaches(job, check_positive(width, "width"), _check_refractory(refractory))
    return _move(job, plan, choose(backend, kernel="dither"), chain=False, resort=True)


def shuffle_intervals(
    flat: np.ndarray, offsets: np.ndarray, *, start: float, stop: float, n_surrogates: int = 1, seed: int = 0,
    refractory: float = 0.0, support: np.ndarray | None = None, backend: str | None = None,
) -> np.ndarray:  # fmt: skip
    """Put the intervals of each unit, within each stretch, in another order; parameters as in :func:`jitter`.

    ``refractory`` has nothing to do: the intervals are those that there were.
    """
    chosen = choose(backend, kernel="shuffle_intervals")
    _check_refractory(refractory)
    job = _job(flat, offsets, start, stop, n_surrogates, seed, support, "shuffle_intervals")
    if chosen != "numpy":
        return run_loop("shuffle", chosen, job.keys, job.cuts, job.flat)
    out = np.zeros((len(job.keys), len(job.flat)))
    for row, train, at in job.trains():
        mine = job.flat[at]
        steps, u = np.diff(mine), draws(job.keys[row, train], len(mine))
        for i in range(len(mine) - 1, 1, -1):
            j = int(u[i] * i)
            steps[i - 1], steps[j] = steps[j], steps[i - 1]
        out[row, at] = np.minimum(np.cumsum(np.append(mine[:1], steps)), mine[-1])
        out[row, at.stop - 1] = mine[-1]
    return out


def shift(
    flat: np.ndarray, offsets: np.ndarray, *, start: float, stop: float, width: float | None = None,
    n_surrogates: int = 1, seed: int = 0, support: np.ndarray | None = None, backend: str | None = None,
) -> np.ndarray:  # fmt: skip
    """Move each train, within each stretch, as a whole and round it; parameters as in :func:`jitter`.

    ``width`` is the largest move to either side in s; without it a train may move anywhere. With trials as ``support``
    each unit moves by a step of its own in each trial.
    """
    chosen = choose(backend, kernel="shift")
    reach = np.inf if width is None else check_positive(width, "width")
    job = _job(flat, offsets, start, stop, n_surrogates, seed, support, "shift")
    if chosen != "numpy":
        return run_loop("turn", chosen, job.keys, job.cuts, job.flat, job.starts, job.stops, reach)
    out = np.zeros((len(job.keys), len(job.flat)))
    for row, train, at in job.trains():
        low, high = job.starts[train], job.stops[train]
        u, length = draws(job.keys[row, train], 1)[0], high - low
        by = u * length if reach >= length else (2 * u - 1) * reach
        by += length if by < 0 else 0.0
        moved = job.flat[at] + by
        wrapped = moved >= high
        moved = np.where(wrapped, moved - length, moved)
        out[row, at] = np.clip(np.append(moved[wrapped], moved[~wrapped]), low, high)
    return out


def jitter_numpy(flat: np.ndarray, offsets: np.ndarray, **options: object) -> np.ndarray:
    """Return what :func:`jitter` does, from the definition."""
    return jitter(flat, offsets, **options, backend="numpy")


def dither_numpy(flat: np.ndarray, offsets: np.ndarray, **options: object) -> np.ndarray:
    """Return what :func:`dither` does, from the definition."""
    return dither(flat, offsets, **options, backend="numpy")


def shuffle_intervals_numpy(flat: np.ndarray, offsets: np.ndarray, **options: object) -> np.ndarray:
    """Return what :func:`shuffle_intervals` does, from the definition."""
    return shuffle_intervals(flat, offsets, **options, backend="numpy")


def shift_numpy(flat: np.ndarray, offsets: np.ndarray, **options: object) -> np.ndarray:
    """Return what :func:`shift` does, from the definition."""
    return shift(flat, offsets, **options, backend="numpy")


@dataclass(frozen=True)
class _Job:
    """Trains (one a unit and stretch) with their ends and keys."""

    flat: np.ndarray
    cuts: np.ndarray
    starts: np.ndarray
    stops: np.ndarray
    keys: np.ndarray

    def trains(self) -> list[tuple[int, int, slice]]:
        """Return (surrogate, train, its spikes) of all trains that have spikes."""
        some = np.flatnonzero(np.diff(self.cuts))
        return [(r, int(k), slice(self.cuts[k], self.cuts[k + 1])) for r in range(len(self.keys)) for k in some]


@dataclass(frozen=True)
class _Plan:
    """Where spikes may go, one entry a spike: windows that are shared, their bounds, and dead times."""

    group: np.ndarray
    low: np.ndarray
    high: np.ndarray
    within: np.ndarray
    total: np.ndarray
    gap: np.ndarray

    def arrays(self) -> tuple[np.ndarray, ...]:
        return self.group, self.low, self.high, self.within, self.total, self.gap


def _check_refractory(value: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not (np.isfinite(number) and number >= 0):
        raise BraindecError("the refractory period must be a finite number of s, 0 or more", found=str(value))
    return number


def _job(
    flat: np.ndarray, offsets: np.ndarray, start: float, stop: float, n_surrogates: int, seed: int,
    support: np.ndarray | None, kind: str,
) -> _Job:  # fmt: skip
    flat, offsets = check_trains(flat, offsets)
    start, stop = check_stretch(start, stop, flat)
    n = check_count(n_surrogates, "n_surrogates")
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**64:
        raise BraindecError("a seed is a whole number, 0 or more", found=str(seed))
    try:
        pieces = np.array([[start, stop]]) if support is None else np.asarray(support, dtype=np.float64)
    except (TypeError, ValueError):
        pieces = np.empty(0)
    if pieces.ndim != 2 or pieces.shape[1] != 2 or not len(pieces) or not np.isfinite(pieces).all() \
            or np.any(pieces[:, 0] >= pieces[:, 1]) or np.any(pieces[1:, 0] < pieces[:-1, 1]) \
            or pieces[0, 0] < start or pieces[-1, 1] > stop:  # fmt: skip
        raise BraindecError(
            "the support is rows (from, to) in order, none empty, none over another, inside start and stop",
            found=str(pieces[:4].tolist() if len(pieces) else support),
        )
    n_units, n_pieces = len(offsets) - 1, len(pieces)
    cuts = np.empty(n_units * n_pieces + 1, dtype=np.int64)
    for unit in range(n_units):
        mine = flat[offsets[unit] : offsets[unit + 1]]
        cuts[unit * n_pieces : (unit + 1) * n_pieces] = offsets[unit] + np.searchsorted(mine, pieces[:, 0])
        cuts[unit * n_pieces] = offsets[unit]
    cuts[-1] = len(flat)
    starts, stops = np.tile(pieces[:, 0], n_units), np.tile(pieces[:, 1], n_units)
    train = np.repeat(np.arange(len(starts)), np.diff(cuts))
    outside = (flat < starts[train]) | (flat > stops[train])
    if outside.any():
        raise BraindecError(
            f"{int(outside.sum())} spikes lie in gaps of the support", found=f"the first at {flat[outside][0]:.6g} s"
        )
    return _Job(flat, cuts, starts, stops, keys_of(int(seed), _SALTS[kind], n, len(starts)))


def _intervals(job: _Job, refractory: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the train of each spike, the interval before it (infinite for the first), and what must be kept of it."""
    train = np.repeat(np.arange(len(job.starts)), np.diff(job.cuts))
    before = np.diff(job.flat, prepend=-np.inf)
    before[np.diff(train, prepend=-1) != 0] = np.inf
    return train, before, np.where(np.isinf(before), 0.0, np.minimum(before, refractory))


def _windows(job: _Job, width: float, refractory: float) -> _Plan:
    """Return what jitter may do: windows that stand still, each with room for those after it."""
    flat = job.flat
    train, before, gap = _intervals(job, refractory)
    start, stop = job.starts[train], job.stops[train]
    k = np.floor((flat - start) / width)
    k -= (start + k * width > flat) | ((start + k * width >= stop) & (k > 0))  # rounding; a spike at the very end
    k += (start + (k + 1) * width <= flat) & (start + (k + 1) * width < stop)
    low, high = start + k * width, np.minimum(start + (k + 1) * width, stop)
    first = np.isinf(before) | (np.diff(k, prepend=-1) != 0)  # of its window
    group, at = np.cumsum(first) - 1, np.flatnonzero(first)
    running = np.cumsum(np.where(first, 0.0, gap))
    within = running - running[at][group]
    total = within[np.append(at[1:], len(flat)) - 1] if len(flat) else within
    bound = high[at]
    if refractory > 0:
        make_room(bound, total, gap[at], np.isfinite(before[at]))
    return _Plan(group, low, bound[group], within, total[group], gap)


def _reaches(job: _Job, width: float, refractory: float) -> _Plan:
    """Return what dither may do: each spike has bounds of its own."""
    train, before, gap = _intervals(job, refractory)
    low = np.maximum(job.flat - width, job.starts[train])
    high = np.minimum(job.flat + width, job.stops[train])
    if refractory > 0:
        room = (before - gap) / 2
        low = np.maximum(low, job.flat - room)
        high = np.minimum(high, job.flat + np.append(room[1:], np.inf)) if len(room) else high
    none = np.zeros(len(job.flat))
    return _Plan(np.arange(len(job.flat)), low, high, none, none, none)


def _move(job: _Job, plan: _Plan, backend: str, *, chain: bool, resort: bool) -> np.ndarray:
    if backend != "numpy":
        return run_loop("move", backend, job.keys, job.cuts, *plan.arrays(), chain, resort)
    out = np.zeros((len(job.keys), len(job.flat)))
    for row, train, at in job.trains():
        u, group = draws(job.keys[row, train], at.stop - at.start), plan.group[at]
        u = u[np.lexsort((u, group))]
        mine = out[row, at]
        for w in np.unique(group):
            here = np.flatnonzero(group == w)
            spikes = here + at.start
            base = plan.low[spikes[0]]
            if chain and here[0] > 0:
                base = max(base, mine[here[0] - 1] + plan.gap[spikes[0]])
            room = max(plan.high[spikes[0]] - base - plan.total[spikes[0]], 0.0)
            mine[here] = base + plan.within[spikes] + room * u[here]
        if resort:
            mine.sort()
    return out
