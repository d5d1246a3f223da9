"""BOLD with planted truth: named bands of stimulus features drive channels through a haemodynamic response.

Channel v follows, after drift and motion are taken away,

    y_v = sum over bands b of sqrt(share[b, v]) s_bv + noise_v,    var(y_v) = 1,

where s_bv is a weighted sum of the band's feature columns, convolved with the canonical response and scaled to unit
variance over the distinct stimuli, and the noise is an autoregressive process of order one. From this follow exactly, over
these stimuli: the share of variance that no model can exceed (``signal_share``, the noise ceiling) and what is lost when a
band is left out (``unique``).

Source: encoding models as in Huth et al. 2016 (Nature 532); AR(1) noise of BOLD: Bullmore et al. 1996 (MRM 35).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.signal import lfilter

from braindec.signal.hrf import LENGTH, canonical_hrf
from braindec.types import Features

__all__ = ["BANDS", "STORY_BANDS", "BandOf", "Planted", "ar_noise", "band_rows", "courses", "drift", "encoding_settings",
           "independent_features", "plant", "timed_features", "units_of"]  # fmt: skip

_RHO = 0.4  # autocorrelation of the noise from one volume to the next


@dataclass(frozen=True)
class BandOf:
    """A band of stimulus features.

    Parameters
    ----------
    name : str
        Value of the units' column ``band``.
    n_columns : int
        Feature columns.
    seconds : float
        How slowly they change: time constant of an autoregressive process.
    follows : str, optional
        A band whose first columns these resemble (r = 0.5), so that what they explain alone is not theirs alone.
    """

    name: str
    n_columns: int
    seconds: float
    follows: str | None = None


BANDS = (BandOf("visual", 8, 4.0), BandOf("language", 12, 2.0), BandOf("motion", 4, 3.0, follows="visual"))
STORY_BANDS = (BandOf("acoustic", 6, 2.0), BandOf("semantic", 12, 3.0), BandOf("rate", 2, 2.0, follows="acoustic"))


@dataclass(frozen=True)
class Planted:
    """What was planted in some channels.

    Parameters
    ----------
    weights : array of shape (n_columns, n_channels)
        Of the convolved feature columns; the response of a channel without noise is ``course @ weights``.
    noise : array of shape (n_channels,)
        Standard deviation of the noise.
    signal_share : array of shape (n_channels,)
        Variance of the response without noise; 1 is the variance of the response with noise.
    unique : dict of str to array of shape (n_channels,)
        Variance that the other bands cannot explain.
    """

    weights: np.ndarray
    noise: np.ndarray
    signal_share: np.ndarray
    unique: Mapping[str, np.ndarray]

    def arrays(self, prefix: str) -> dict[str, np.ndarray]:
        """Return what ``truth.h5`` holds: ``{prefix}/signal_share``, ``{prefix}/unique/<band>``, ``{prefix}/weights``."""
        found = {f"{prefix}/signal_share": self.signal_share, f"{prefix}/weights": self.weights}
        return found | {f"{prefix}/unique/{name}": values for name, values in self.unique.items()}


def encoding_settings(
    bands: Sequence[BandOf], *, delays: Sequence[float] | None = (2, 4, 6, 8), **more: Any
) -> dict[str, Any]:
    """Return the settings of the recipe voxelwise_encoding: one band of features for each band of a twin.

    Parameters
    ----------
    delays : sequence of float, optional
        s; None for single trials.
    """
    path = "{root}/twin/features.h5"
    named = {b.name: {"kind": "features", "path": path, "units": {"band": b.name}} for b in bands}
    return {"bands": named, **({} if delays is None else {"delays": [float(d) for d in delays]}), **more}


def timed_features(
    durations: Mapping[str, float], bands: Sequence[BandOf], *, step: float, rng: np.random.Generator
) -> Features:
    """Make features sampled every ``step`` s of stimuli that last ``durations`` s.

    Returns
    -------
    Features
        items: stimulus_id, onset (s from the start of the stimulus); units: name, band; each column has mean 0 and
        variance 1 over all stimuli.
    """
    counts = [int(np.ceil(d / step - 1e-9)) for d in durations.values()]
    values = _standardised(np.concatenate([_smooth(n, bands, step, rng) for n in counts]))
    items = pd.DataFrame(
        {
            "stimulus_id": np.repeat(list(durations), counts).astype(object),
            "onset": np.concatenate([np.arange(n) * step for n in counts]),
        }
    )
    return Features(values.astype(np.float32), items, units_of(bands), {"description": "simulated"})


def units_of(bands: Sequence[BandOf]) -> pd.DataFrame:
    """Return the table of feature columns: name and band."""
    rows = [(f"{band.name}-{k:02d}", band.name) for band in bands for k in range(band.n_columns)]
    return pd.DataFrame(rows, columns=["name", "band"], dtype=object)


def band_rows(bands: Sequence[BandOf]) -> dict[str, slice]:
    """Return the columns of each band."""
    ends = np.cumsum([band.n_columns for band in bands])
    return {band.name: slice(int(end) - band.n_columns, int(end)) for band, end in zip(bands, ends, strict=True)}


def independent_features(n: int, bands: Sequence[BandOf], rng: np.random.Generator) -> np.ndarray:
    """Return columns for ``n`` stimuli that have no time, standardised, shape (n, n_columns)."""
    return _standardised(_linked([rng.standard_normal((n, b.n_columns)) for b in bands], bands))


def courses(features: Features, stimulus: str, *, onset: float, n_volumes: int, tr: float) -> np.ndarray:
    """Convolve the features of one stimulus with the canonical response, sampled in the middle of each volume.

    Parameters
    ----------
    features : Features
        Timed ones, with a constant step.
    onset : float
        s in the run at which the stimulus begins.

    Returns
    -------
    array of shape (n_volumes, n_columns)
    """
    rows = np.flatnonzero(features.ids == stimulus)
    times = features.items["onset"].to_numpy(dtype=float)[rows] + onset
    fine = float(times[1] - times[0])
    lags = (np.arange(n_volumes) + 0.5)[:, None] * tr - (times + fine / 2)[None, :]  # (volume, sample)
    kernel = np.where((lags > 0) & (lags < LENGTH), canonical_hrf(np.maximum(lags, 0.0)), 0.0) * fine
    return kernel @ features.load(rows).astype(float)


def plant(
    course: np.ndarray, bands: Mapping[str, slice], shares: Mapping[str, np.ndarray], rng: np.random.Generator
) -> Planted:
    """Choose weights so that each band brings its share of the variance of each channel.

    Parameters
    ----------
    course : array of shape (n_rows, n_columns)
        Convolved features (or features of single trials) of all distinct stimuli.
    bands : mapping of str to slice
        Columns of each band.
    shares : mapping of str to array of shape (n_channels,)
        Variance of each band by itself; together below 1. A band that is left out drives nothing.
    """
    centred = course - course.mean(axis=0)
    n_channels = len(next(iter(shares.values())))
    weights = np.zeros((course.shape[1], n_channels))
    for name, share in shares.items():
        drawn = rng.standard_normal((bands[name].stop - bands[name].start, n_channels))
        spread = (centred[:, bands[name]] @ drawn).std(axis=0)
        weights[bands[name]] = drawn * np.sqrt(share) / spread
    signal = centred @ weights
    unique = {}
    for name, columns in bands.items():
        others = np.delete(centred, np.arange(columns.start, columns.stop), axis=1)
        mine = centred[:, columns] @ weights[columns]
        unique[name] = (mine - others @ np.linalg.lstsq(others, mine, rcond=None)[0]).var(axis=0)
    return Planted(weights, np.sqrt(np.maximum(1 - signal.var(axis=0), 0.05)), signal.var(axis=0), unique)


def ar_noise(
    n_volumes: int, n_channels: int, rng: np.random.Generator, *, smooth: Callable[[np.ndarray], np.ndarray] | None = None
) -> np.ndarray:  # fmt: skip
    """Return noise of unit variance, shape (n_volumes, n_channels), autocorrelated in time.

    ``smooth`` maps white noise (n_volumes, n_channels) to spatially smooth noise.
    """
    white = rng.standard_normal((n_volumes + 20, n_channels))
    white = white if smooth is None else smooth(white)
    noise = lfilter([np.sqrt(1 - _RHO**2)], [1, -_RHO], white, axis=0)[20:]
    return noise / noise.std()


def drift(n_volumes: int, n_channels: int, rng: np.random.Generator, *, amount: float = 0.5) -> np.ndarray:
    """Return slow drift (three cosines, the slowest half a period a run), shape (n_volumes, n_channels)."""
    place = (np.arange(n_volumes) + 0.5) / n_volumes
    basis = np.stack([np.cos(np.pi * k * place) / k for k in (1, 2, 3)], axis=1)
    return amount * basis @ rng.standard_normal((3, n_channels))


def _smooth(n: int, bands: Sequence[BandOf], step: float, rng: np.random.Generator) -> np.ndarray:
    parts = []
    for band in bands:
        keep = np.exp(-step / band.seconds)
        white = rng.standard_normal((n + 100, band.n_columns))
        parts.append(lfilter([np.sqrt(1 - keep**2)], [1, -keep], white, axis=0)[100:])
    return _linked(parts, bands)


def _linked(parts: list[np.ndarray], bands: Sequence[BandOf]) -> np.ndarray:
    names = [band.name for band in bands]
    for k, band in enumerate(bands):
        if band.follows is not None:
            leader = parts[names.index(band.follows)][:, : band.n_columns]
            parts[k] = 0.5 * leader + np.sqrt(0.75) * parts[k]
    return np.concatenate(parts, axis=1)


def _standardised(values: np.ndarray) -> np.ndarray:
    return (values - values.mean(axis=0)) / values.std(axis=0)
