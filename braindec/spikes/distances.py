"""Distances and synchrony of spike trains: matrices over units, profiles in time, averages over all pairs.

Distances: "victor_purpura" (``cost``, 1 / s), "van_rossum" (``tau``, s), "isi_distance", "spike_distance". Similarities:
:func:`sttc_matrix` (``dt``, s) and :func:`synchrony_matrix`. Definitions stand in :mod:`braindec.kernels`.

Gaps. Where the support has several intervals (those that touch are joined first), each is a recording of its own: nothing
is moved, filtered, tiled or matched across a gap, and edges are corrected at the ends of every interval. The intervals are
then taken together as each measure adds up: Victor-Purpura distances are summed, van Rossum distances are the root of
summed squares, ISI and SPIKE distances are averaged by the length of the intervals, coincidences and tiled spikes are
counted over all intervals and divided by the number of all spikes, tiled time by the length of all intervals.

Units without spikes. Each function warns of them and says what value stands there: the one that the definition gives, or
NaN where it gives none (spike time tiling).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, pairwise

import numpy as np
import pandas as pd
from tqdm import tqdm

from braindec.errors import BraindecError, did_you_mean
from braindec.spikes._observed import checked_spikes, joined
from braindec.types import Spikes

__all__ = [
    "average_distance",
    "average_synchrony",
    "distance_matrix",
    "distance_profile",
    "sttc_matrix",
    "synchrony_matrix",
    "synchrony_profile",
]

# Of each measure: the options it needs, how intervals are taken together, what a unit without spikes gets.
_MEASURES: dict[str, tuple[tuple[str, ...], str, str]] = {
    "victor_purpura": (("cost",), "sum", "their distance to a unit is its number of spikes"),
    "van_rossum": (("tau",), "squares", "their distance to a unit is the size of its filtered train"),
    "isi_distance": ((), "mean", "they count as a single interval as long as the stretch"),
    "spike_distance": ((), "mean", "they count as a single interval as long as the stretch"),
}
_SIMILARITIES = {"sttc": "sttc_matrix(spikes, dt=...)", "spike_synchrony": "synchrony_matrix(spikes)"}


def distance_matrix(
    spikes: Spikes, measure: str = "victor_purpura", *, backend: str | None = None, **options: float
) -> pd.DataFrame:
    """Return the distances of all pairs of units.

    Parameters
    ----------
    spikes : Spikes
        At least 2 units.
    measure : {"victor_purpura", "van_rossum", "isi_distance", "spike_distance"}
        Which distance.
    backend : {"numpy", "numba", "cuda"}, optional
        Version of the kernel.
    **options
        ``cost`` (1 / s) of victor_purpura, ``tau`` (s) of van_rossum; both must be given, the others have none.

    Returns
    -------
    DataFrame of shape (n_units, n_units)
        Symmetric, zeros on the diagonal; index and columns are the names of units.

    Raises
    ------
    BraindecError
        If there are fewer than 2 units, the measure or an option is unknown, or an option is missing or out of range.

    Warns
    -----
    UserWarning
        If a unit has no spikes; the sentence says what its distances are.
    """
    _check(spikes, measure, options)
    _warn_silent(spikes, measure, _MEASURES[measure][2])
    return _named(_matrix(spikes, measure, options, backend), spikes)


def average_distance(
    spikes: Spikes, measure: str = "isi_distance", *, backend: str | None = None, **options: float
) -> float:
    """Return the mean of :func:`distance_matrix` over pairs: the multivariate distance of Kreuz and colleagues."""
    values = distance_matrix(spikes, measure, backend=backend, **options).to_numpy()
    return float(values[np.triu_indices(len(values), 1)].mean())


def sttc_matrix(spikes: Spikes, *, dt: float, backend: str | None = None) -> pd.DataFrame:
    """Return spike time tiling coefficients of all pairs of units.

    Parameters
    ----------
    spikes : Spikes
        At least 2 units.
    dt : float
        Reach of a spike to either side, s.
    backend : {"numpy", "numba", "cuda"}, optional
        Version of the kernel.

    Returns
    -------
    DataFrame of shape (n_units, n_units)
        From -1 to 1, ones on the diagonal; NaN for units without spikes, which are warned of.

    Raises
    ------
    BraindecError
        If there are fewer than 2 units, or ``dt`` is not above 0.
    """
    from braindec.kernels.sttc import sttc_from_counts, tile_counts

    checked_spikes(spikes, "sttc_matrix", least=2)
    _warn_silent(spikes, "sttc", "their coefficients are not defined (NaN)", each=False)
    inside, tiled = np.zeros((spikes.n_units, spikes.n_units), dtype=np.int64), np.zeros(spikes.n_units)
    for flat, offsets, start, stop in _stretches(spikes):
        found, time = tile_counts(flat, offsets, start=start, stop=stop, dt=dt, backend=backend)
        inside += found
        tiled += time
    return _named(sttc_from_counts(inside, tiled / _observed(spikes), _counts(spikes)), spikes)


def synchrony_matrix(spikes: Spikes, *, max_tau: float = math.inf, backend: str | None = None) -> pd.DataFrame:
    """Return SPIKE-synchronisation of all pairs of units: the share of spikes with a partner in the other train.

    Parameters
    ----------
    spikes : Spikes
        At least 2 units.
    max_tau : float
        Longest window of coincidence, s; without it the windows follow the intervals alone.
    backend : {"numpy", "numba", "cuda"}, optional
        Version of the kernel.

    Returns
    -------
    DataFrame of shape (n_units, n_units)
        From 0 to 1, ones on the diagonal.

    Raises
    ------
    BraindecError
        If there are fewer than 2 units, or ``max_tau`` is not above 0.
    """
    pairs, counts = _coincidences(spikes, "synchrony_matrix", max_tau, backend)
    spikes_of = counts[:, None] + counts[None, :]
    return _named(np.where(spikes_of > 0, pairs / np.maximum(spikes_of, 1), 1.0), spikes)


def average_synchrony(spikes: Spikes, *, max_tau: float = math.inf, backend: str | None = None) -> float:
    """Return coincidences of all pairs over spikes of all pairs: the multivariate SPIKE-synchronisation."""
    pairs, counts = _coincidences(spikes, "average_synchrony", max_tau, backend)
    upper = np.triu_indices(len(counts), 1)
    total = (counts[:, None] + counts[None, :])[upper].sum()
    return float(pairs[upper].sum() / total) if total else 1.0


def distance_profile(
    spikes: Spikes, measure: str = "spike_distance", *, units: Sequence[int | str] | None = None
) -> pd.DataFrame:
    """Return a distance over time, of two units or averaged over all pairs of several.

    Parameters
    ----------
    spikes : Spikes
        At least 2 units.
    measure : {"isi_distance", "spike_distance"}
        The others have no profile.
    units : sequence of int or str, optional
        Rows or names; all units by default.

    Returns
    -------
    DataFrame
        One row a piece between two spikes: ``start``, ``stop`` (s), and the distance at its beginning (``begin``) and its
        end (``end``); it is linear in between (constant for ISI distance). Gaps of the support have no rows. The mean of
        ``(begin + end) / 2`` weighted by ``stop - start`` is the distance.

    Raises
    ------
    BraindecError
        If the measure has no profile, or there are fewer than 2 units.
    """
    from braindec.kernels.isi_distance import isi_distance_profile
    from braindec.kernels.spike_distance import spike_distance_profile

    if measure not in ("isi_distance", "spike_distance"):
        raise BraindecError(f"{measure!r} has no profile in time", allowed="isi_distance, spike_distance")
    chosen = _chosen(spikes, units, "distance_profile")
    _warn_silent(chosen, measure, _MEASURES[measure][2])
    profile = isi_distance_profile if measure == "isi_distance" else spike_distance_profile
    pieces = []
    for flat, offsets, start, stop in _stretches(chosen):
        trains = [flat[a:b] for a, b in pairwise(offsets.tolist())]
        edges = np.unique(np.concatenate([[start], flat, [stop]]))
        sums = np.zeros((2, len(edges) - 1))
        pairs = list(combinations(trains, 2))
        for one, two in tqdm(
            pairs, desc=f"{measure} of pairs", leave=False, disable=None if len(pairs) > 500 else True
        ):
            own, *values = profile(one, two, start=start, stop=stop)
            sums += _spread(own, values[0], values[-1], edges)
        begin, end = sums / len(pairs)
        pieces.append(pd.DataFrame({"start": edges[:-1], "stop": edges[1:], "begin": begin, "end": end}))
    return pd.concat(pieces, ignore_index=True)


def synchrony_profile(
    spikes: Spikes, first: int | str, second: int | str, *, max_tau: float = math.inf
) -> pd.DataFrame:
    """Return which spikes of two units have a partner in the other.

    Returns
    -------
    DataFrame
        One row a spike, in order of time: ``time`` (s), ``unit`` (name), ``coincident`` (bool).
    """
    from braindec.kernels.spike_synchrony import spike_synchrony_profile

    chosen = _chosen(spikes, [first, second], "synchrony_profile")
    names, parts = chosen.units["name"].to_numpy(), []
    for flat, offsets, start, stop in _stretches(chosen):
        time, which, coincident = spike_synchrony_profile(
            flat[: offsets[1]], flat[offsets[1] :], start=start, stop=stop, max_tau=max_tau
        )
        parts.append(pd.DataFrame({"time": time, "unit": names[which], "coincident": coincident}))
    return pd.concat(parts, ignore_index=True)


def _matrix(spikes: Spikes, measure: str, options: dict[str, float], backend: str | None) -> np.ndarray:
    """Return distances, intervals taken together."""
    kernel, how = _kernel(measure), _MEASURES[measure][1]
    out, total = np.zeros((spikes.n_units, spikes.n_units)), _observed(spikes)
    for flat, offsets, start, stop in _stretches(spikes):
        ends = {"start": start, "stop": stop} if how == "mean" else {}
        found = kernel(flat, offsets, **ends, **options, backend=backend)
        out += found * (stop - start) / total if how == "mean" else found**2 if how == "squares" else found
    return np.sqrt(out) if how == "squares" else out


def _kernel(measure: str) -> Callable[..., np.ndarray]:
    """Return the kernel of a measure; imported when used, since kernels bring Numba."""
    from importlib import import_module

    return getattr(import_module(f"braindec.kernels.{measure}"), measure)


def _coincidences(spikes: Spikes, what: str, max_tau: float, backend: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Return spikes with a partner of all pairs, and spikes of all units."""
    from braindec.kernels.spike_synchrony import coincidences

    checked_spikes(spikes, what, least=2)
    _warn_silent(
        spikes,
        "spike_synchrony",
        "their synchrony is 0 with a unit that fires and 1 with one that does not",
        each=False,
    )
    found = np.zeros((spikes.n_units, spikes.n_units), dtype=np.int64)
    for flat, offsets, start, stop in _stretches(spikes):
        found += coincidences(flat, offsets, start=start, stop=stop, max_tau=max_tau, backend=backend)
    return found, _counts(spikes)


def _stretches(spikes: Spikes) -> Iterator[tuple[np.ndarray, np.ndarray, float, float]]:
    """Yield ragged trains, start and stop of each interval of the support."""
    flat, offsets = spikes.trains()
    pieces = joined(spikes.support)
    if len(pieces) == 1:
        yield flat, offsets, float(pieces[0, 0]), float(pieces[0, 1])
        return
    for start, stop in pieces.tolist():
        inside = (flat >= start) & (flat <= stop)
        yield flat[inside], np.append(0, np.cumsum(inside))[offsets].astype(np.int64), start, stop


def _spread(own: np.ndarray, begins: np.ndarray, ends: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return a profile that is linear between ``own`` edges on finer ``edges``, shape (2, n_pieces)."""
    piece = np.searchsorted(own, edges[:-1], side="right") - 1
    slope = (ends - begins) / np.diff(own)
    return begins[piece] + slope[piece] * (np.stack([edges[:-1], edges[1:]]) - own[piece])


def _check(spikes: Spikes, measure: str, options: dict[str, float]) -> None:
    checked_spikes(spikes, "a distance of units", least=2)
    measure = measure if isinstance(measure, str) else repr(measure)
    if measure in _SIMILARITIES:
        raise BraindecError(f"{measure} is a similarity and no distance", fix=_SIMILARITIES[measure])
    if measure not in _MEASURES:
        raise BraindecError(
            f"there is no distance {measure!r}{did_you_mean(measure, _MEASURES)}", allowed=", ".join(_MEASURES)
        )
    needs = _MEASURES[measure][0]
    unknown = [name for name in options if name not in needs]
    if unknown:
        raise BraindecError(
            f"{measure} has no option {unknown[0]!r}{did_you_mean(unknown[0], needs)}",
            allowed=", ".join(needs) or "none",
        )
    missing = [name for name in needs if name not in options]
    if missing:
        unit = "1 / s: spikes farther apart than 2 / cost do not belong together" if missing[0] == "cost" else "s"
        raise BraindecError(f"{measure} needs {missing[0]}= ({unit})")


def _chosen(spikes: Spikes, units: Sequence[int | str] | None, what: str) -> Spikes:
    checked_spikes(spikes, what, least=2)
    rows = None if units is None else np.array(list(units), dtype=object)  # rows and names may stand side by side
    return checked_spikes(spikes if rows is None else spikes.select(rows), what, least=2)


def _warn_silent(spikes: Spikes, measure: str, says: str, *, each: bool = True) -> None:
    """Warn of units without spikes and, where ``each``, of intervals in which units have none."""
    silent = np.flatnonzero(_counts(spikes) == 0)
    if len(silent):
        names = ", ".join(str(n) for n in spikes.units["name"].iloc[silent[:5]])
        more = f" and {len(silent) - 5} more" if len(silent) > 5 else ""
        warnings.warn(f"{measure}: no spikes in {names}{more}; {says}", UserWarning, stacklevel=3)
    pieces = joined(spikes.support)
    if each and len(pieces) > 1 and _MEASURES[measure][1] == "mean":
        empty = sum(int((np.diff(offsets) == 0).sum()) for _, offsets, *_ in _stretches(spikes))
        rest = empty - len(silent) * len(pieces)
        if rest:
            warnings.warn(
                f"{measure}: units that fire have no spikes in some of the {len(pieces)} intervals of the support ({rest} "
                f"times); there {says}",
                UserWarning,
                stacklevel=3,
            )


def _counts(spikes: Spikes) -> np.ndarray:
    return np.bincount(spikes.unit, minlength=spikes.n_units)


def _observed(spikes: Spikes) -> float:
    pieces = joined(spikes.support)
    return float((pieces[:, 1] - pieces[:, 0]).sum())


def _named(values: np.ndarray, spikes: Spikes) -> pd.DataFrame:
    names = spikes.units["name"].to_numpy()
    return pd.DataFrame(values, index=names, columns=names)
