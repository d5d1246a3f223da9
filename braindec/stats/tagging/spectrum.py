"""Fourier coefficients at chosen frequencies by one matrix product, power, signal-to-noise against neighbouring bins.

A coefficient is the mean over time of ``x * exp(-2 pi i f t)``: a sine of amplitude A has magnitude A / 2 (A at the
Nyquist frequency). The constant, or a straight line, is projected out of the table of cosines and sines, so that no copy
of the data is detrended.

Neighbouring bins stand for the noise at the tag. They are taken in pairs, one below and one above, so that a slope
cancels; what is left of a 1/f spectrum (its curve) is taken out by the slope of log power on log frequency among them.
The ratio of tag power to their mean then follows F(2, 2 K), and F(1, 2 K) at the Nyquist frequency, where the
coefficient is real; there, the spectrum is even about the tag, and the bins below it alone are used.

Source: Norcia et al. 2015 (J Vis 15:4) for signal-to-noise by neighbouring bins; Brillinger 1981 (Time Series, ch. 5) for
the distribution of periodogram ordinates.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import chi2, f

from braindec.errors import BraindecError
from braindec.stats.tagging.bins import Bins

__all__ = ["coefficients", "neighbour_test", "neighbours", "power", "snr", "spectrum", "white_test"]

_FEWEST = 4  # neighbouring bins
_SLOPE = 8  # neighbouring bins that it takes to estimate a slope


def coefficients(
    x: np.ndarray, sfreq: float, frequencies: Sequence[float] | np.ndarray, *, detrend: str = "constant"
) -> np.ndarray:
    """Return complex Fourier coefficients, shape (trial, frequency, unit).

    Parameters
    ----------
    x : array of shape (trial, time, unit)
    sfreq : float
        Hz.
    frequencies : array of shape (n_frequencies,)
        Hz; need not be on-bin.
    detrend : {"constant", "linear", "none"}
        Taken out of each trial.

    Raises
    ------
    BraindecError
        If ``x`` is not three-dimensional or ``detrend`` is unknown.
    """
    x = np.asarray(x)
    if x.ndim != 3:
        raise BraindecError("coefficients need an array of (trial, time, unit)", found=f"shape {x.shape}")
    table = fourier_table(x.shape[1], sfreq, frequencies, detrend=detrend)
    return apply_table(table, x)


def fourier_table(
    n_times: int, sfreq: float, frequencies: Sequence[float] | np.ndarray, *, detrend: str = "constant"
) -> np.ndarray:
    """Return rows of cosines, then of minus sines, over ``n_times``, the trend projected out; (2 frequency, time)."""
    angle = 2 * np.pi * np.outer(np.asarray(frequencies, dtype=float), np.arange(n_times)) / sfreq
    table = np.concatenate([np.cos(angle), -np.sin(angle)]) / n_times
    if detrend == "none":
        return table
    if detrend not in ("constant", "linear"):
        raise BraindecError(f"detrend {detrend!r} is unknown", allowed="constant, linear, none")
    trend = np.ones((n_times, 1))
    if detrend == "linear":
        trend = np.column_stack([trend, np.linspace(-1.0, 1.0, n_times)])
    basis = np.linalg.qr(trend)[0]
    return table - (table @ basis) @ basis.T


def apply_table(table: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return ``table`` (2 frequency, time) applied to ``x`` (..., time, unit) as complex (..., frequency, unit)."""
    real = np.matmul(table, x.astype(np.float64, copy=False))
    half = len(table) // 2
    return real[..., :half, :] + 1j * real[..., half:, :]


def power(c: np.ndarray) -> np.ndarray:
    """Return the power of the mean response (evoked power): |mean over trials|^2, shape (frequency, unit)."""
    return np.abs(np.asarray(c).mean(axis=0)) ** 2


def neighbours(bins: Bins, *, n: int = 6, skip: int = 0, others: Sequence[int] = ()) -> list[np.ndarray]:
    """Return the neighbouring bins of each tag: up to ``n`` a side, in pairs, without other tags, 0 and Nyquist.

    Parameters
    ----------
    bins : Bins
    n : int
        Bins a side.
    skip : int
        Nearest bins a side that are left out.
    others : sequence of int
        More bins to leave out, such as harmonics.
    """
    taken = {0, *bins.index.tolist(), *(int(o) for o in others)}
    top = (bins.n_times - 1) // 2  # the last bin below the Nyquist frequency
    found = []
    for tag, real in zip(bins.index.tolist(), bins.nyquist, strict=True):
        own: list[int] = []
        for distance in range(1 + skip, tag):
            low, high = tag - distance, tag + distance
            if real and low not in taken:
                own.append(low)
            elif not real and high <= top and not {low, high} & taken:
                own += [low, high]
            if len(own) >= 2 * n:
                break
        found.append(np.array(sorted(own), dtype=int))
    return found


def _flat(noise: np.ndarray, own: np.ndarray, tag: int, real: bool) -> np.ndarray:
    """Powers (bin, unit) brought to the level at the tag by their own slope of log power on log frequency."""
    if real or len(own) < _SLOPE:
        return noise
    x = np.log(own / tag)
    centred = x - x.mean()
    slope = centred @ np.log(np.maximum(noise, np.finfo(float).tiny)) / (centred @ centred)  # (unit,)
    return noise * np.exp(-x[:, None] * slope)


def snr(tagged: np.ndarray, noise: Sequence[np.ndarray], bins: Bins, places: Sequence[np.ndarray]) -> np.ndarray:
    """Return power at each tag over the mean power of its neighbours; NaN with fewer than 4 neighbours.

    Parameters
    ----------
    tagged : array of shape (rate, unit)
        Evoked power at the tags.
    noise : list of array of shape (n_neighbours, unit)
        Evoked power at the neighbours of each tag.
    bins : Bins
    places : list of array of int
        The neighbours, of :func:`neighbours`.
    """
    out = np.full(np.shape(tagged), np.nan)
    for r, own in enumerate(places):
        if len(own) >= _FEWEST:
            level = _flat(noise[r], own, int(bins.index[r]), bool(bins.nyquist[r])).mean(axis=0)
            with np.errstate(divide="ignore", invalid="ignore"):
                out[r] = np.where(level > 0, tagged[r] / level, np.nan)
    return out


def neighbour_test(ratio: np.ndarray, bins: Bins, places: Sequence[np.ndarray]) -> np.ndarray:
    """Return p of each signal-to-noise ratio (rate, unit): F(2, 2 K), or F(1, 2 K) at Nyquist, K neighbours.

    Raises
    ------
    BraindecError
        If a tag has fewer than 4 neighbouring bins.
    """
    few = [f"{n} has {len(own)}" for n, own in zip(bins.names, places, strict=True) if len(own) < _FEWEST]
    if few:
        raise BraindecError(
            f"a test against neighbouring bins needs at least {_FEWEST} of them", found=", ".join(few),
            fix="use longer trials (bins are sfreq / n_times apart), several trials (test='t2circ') or a control",
        )  # fmt: skip
    rows = [
        f.sf(ratio[r], 1 if real else 2, 2 * len(places[r])) for r, real in enumerate(bins.nyquist)
    ]  # NaN stays NaN
    return np.array(rows)


def white_test(tagged: np.ndarray, variance: np.ndarray, bins: Bins) -> tuple[np.ndarray, np.ndarray]:
    """Test against white noise: chi-squared with 2 degrees of freedom, 1 at Nyquist (the coefficient is real).

    It is the limit of permuting time points, and assumes what that assumes: samples without any order. Coloured noise and
    anything that is locked to the position in a sentence break it.

    Parameters
    ----------
    tagged : array of shape (rate, unit)
        Power of the mean series at the tags.
    variance : array of shape (unit,)
        Variance over time of the mean series (divided by n).
    bins : Bins

    Returns
    -------
    statistic : array of shape (rate, unit)
        Chi-squared.
    p : array of shape (rate, unit)
    """
    expected = np.asarray(variance)[None] / (bins.n_times - 1)  # mean power of a coefficient of permuted samples
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(expected > 0, tagged / expected, np.nan)
    degrees = np.where(bins.nyquist, 1, 2)[:, None]
    statistic = ratio * degrees
    return statistic, chi2.sf(statistic, degrees)


def spectrum(x: np.ndarray, sfreq: float) -> tuple[np.ndarray, np.ndarray]:
    """Return frequencies in Hz, without 0, and the evoked power at them, shape (bin, unit)."""
    mean = np.asarray(x, dtype=np.float64).mean(axis=0)
    mean = mean - mean.mean(axis=0)
    values = np.abs(np.fft.rfft(mean, axis=0) / len(mean)) ** 2
    return np.fft.rfftfreq(len(mean), 1 / sfreq)[1:], values[1:]
