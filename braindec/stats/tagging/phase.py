"""Is the response to a tag the same in all trials? Tests of complex coefficients of independent trials against 0.

All take coefficients ``c`` of shape (trial, ...). Where ``nyquist`` is true the coefficient is a real number, and the
tests become Student's t (squared) and the sign test.

Trials must be independent. They assume nothing on the spectrum of the noise, since only one bin is looked at. They do
not ask why a response is locked: whatever stands at the same place of each trial (word classes, position, onset) is
found. Only a matched control tells these apart (:mod:`braindec.stats.tagging.compare`).

Source: Victor & Mast 1991 (Electroencephalogr Clin Neurophysiol 78:378), T2circ; Hotelling 1931 (Ann Math Stat 2:360);
Mardia & Jupp 2000 (Directional Statistics, 6.3.1) and Zar 1999 for the Rayleigh test.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from scipy.stats import binom, f

from braindec.errors import BraindecError

__all__ = ["hotelling", "itpc", "rayleigh", "sign_flip", "signs", "t2circ"]

_EXACT = 12  # up to this many trials all sign flips are tried


def _real(nyquist: np.ndarray | bool, c: np.ndarray) -> np.ndarray:
    """``nyquist`` (rate,) or a bool, brought to the shape of ``c[0]``, (rate, unit) or (rate,)."""
    mask = np.asarray(nyquist, dtype=bool)
    mask = mask.reshape(mask.shape + (1,) * (c.ndim - 1 - mask.ndim))
    return np.broadcast_to(mask, c.shape[1:])


def _enough(c: np.ndarray, n: int, what: str) -> np.ndarray:
    c = np.asarray(c)
    if c.ndim < 1 or len(c) < n:
        raise BraindecError(f"{what} needs at least {n} trials", found=f"{len(c)} trials")
    return c


def t2circ(c: np.ndarray, nyquist: np.ndarray | bool = False) -> tuple[np.ndarray, np.ndarray]:
    """T2circ: the mean against circular noise, as F(2, 2 n - 2); F(1, n - 1) at Nyquist.

    Parameters
    ----------
    c : complex array of shape (trial, ...)
    nyquist : array of bool, shape (rate,), or bool
        Where the coefficient is real.

    Returns
    -------
    statistic : array of shape (...)
        F. NaN where all trials are alike (a unit that does not vary).
    p : array of shape (...)
    """
    c = _enough(c, 2, "T2circ")
    n, real = len(c), _real(nyquist, c)
    mean = c.mean(axis=0)
    within = (np.abs(c - mean) ** 2).sum(axis=0)
    statistic = _ratio(n * (n - 1) * np.abs(mean) ** 2, within, np.abs(c).max(axis=0))
    return statistic, f.sf(statistic, np.where(real, 1, 2), np.where(real, n - 1, 2 * n - 2))


def hotelling(c: np.ndarray, nyquist: np.ndarray | bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Hotelling's T2 on real and imaginary part: as :func:`t2circ` for noise of any shape, with fewer degrees.

    Returns
    -------
    statistic : array of shape (...)
        F(2, n - 2); F(1, n - 1) at Nyquist.
    p : array of shape (...)
    """
    c = _enough(c, 4, "Hotelling's T2")
    n, real = len(c), _real(nyquist, c)
    mean = c.mean(axis=0)
    d = c - mean
    rr, ii, ri = ((a * b).sum(axis=0) for a, b in ((d.real, d.real), (d.imag, d.imag), (d.real, d.imag)))
    top = mean.real**2 * ii + mean.imag**2 * rr - 2 * mean.real * mean.imag * ri
    size = np.abs(c).max(axis=0)
    both = _ratio(n * (n - 1) * top, rr * ii - ri**2, size**2) * (n - 2) / (2 * (n - 1))
    alone = _ratio(n * (n - 1) * mean.real**2, rr, size)
    statistic = np.where(real, alone, both)
    return statistic, f.sf(statistic, np.where(real, 1, 2), np.where(real, n - 1, n - 2))


def _ratio(top: np.ndarray, bottom: np.ndarray, size: np.ndarray) -> np.ndarray:
    """``top / bottom``, NaN where the bottom is 0 up to rounding of numbers of this ``size``."""
    known = bottom > (1e-12 * size) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(known, top / np.where(known, bottom, 1.0), np.nan)


def itpc(c: np.ndarray) -> np.ndarray:
    """Return inter-trial phase coherence, 0 to 1, shape (...); NaN where a coefficient is 0."""
    c = np.asarray(c)
    size = np.abs(c)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.abs((c / size).mean(axis=0))


def rayleigh(c: np.ndarray, nyquist: np.ndarray | bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Rayleigh test of the phases; at Nyquist, where phases are 0 or pi, the two-sided sign test (exact).

    Returns
    -------
    statistic : array of shape (...)
        Inter-trial phase coherence.
    p : array of shape (...)
        Zar's approximation, good to 1e-3 from 5 trials on.
    """
    c = _enough(c, 5, "the Rayleigh test")
    n, real = len(c), _real(nyquist, c)
    coherence = itpc(c)
    resultant = n * coherence
    circular = np.exp(
        np.sqrt(1 + 4 * n + 4 * np.maximum(n**2 - resultant**2, 0.0)) - (1 + 2 * n)
    )  # Zar 1999, equation 27.4
    fewer = np.minimum((c.real > 0).sum(axis=0), (c.real < 0).sum(axis=0))
    sign = np.minimum(1.0, 2 * binom.cdf(fewer, n, 0.5))
    return coherence, np.where(np.isnan(coherence), np.nan, np.where(real, sign, np.minimum(circular, 1.0)))


def signs(n_trials: int, n_permutations: int, rng: np.random.Generator) -> tuple[np.ndarray, bool]:
    """Return sign flips (permutation, trial) of which the first changes nothing, and whether they are all there are."""
    if n_trials <= _EXACT and 2 ** (n_trials - 1) <= max(n_permutations, 2**9):
        rest = np.array(list(product((1.0, -1.0), repeat=n_trials - 1))).reshape(-1, n_trials - 1)
        return np.column_stack([np.ones(len(rest)), rest]), True
    flips = rng.choice((1.0, -1.0), size=(n_permutations + 1, n_trials))
    flips[0] = 1.0
    return flips, False


def sign_flip(
    c: np.ndarray, *, n_permutations: int = 1000, rng: np.random.Generator | int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Turn random trials by half a cycle: exact for noise that is symmetric about 0, whatever its shape.

    Parameters
    ----------
    c : complex array of shape (trial, rate, unit)
    n_permutations : int
        Random flips, where there are too many to try them all.
    rng : Generator or int

    Returns
    -------
    null : array of shape (permutation, rate, unit)
        |sum of flipped trials|^2 over the sum of |trial|^2; the first row is the observed one.
    p : array of shape (rate, unit)
        NaN for units that are 0.
    """
    c = _enough(c, 5, "the sign-flip test")
    flips, _ = signs(len(c), n_permutations, np.random.default_rng(rng))
    null = share_of_power(flips, c)
    return null, np.where(np.isnan(null[0]), np.nan, (null >= null[0] * (1 - 1e-9)).mean(axis=0))


def share_of_power(weights: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Return ``|weights @ c|^2 / sum |c|^2`` over trials, shape (permutation, rate, unit); NaN for units that are 0."""
    flat = np.ascontiguousarray(c.reshape(len(c), -1), dtype=np.complex128)
    moved = weights @ flat.view(np.float64)
    moved *= moved
    value = moved[:, 0::2] + moved[:, 1::2]
    total = (np.abs(flat) ** 2).sum(axis=0)
    value /= np.where(total > 0, total, np.nan)
    return value.reshape(len(weights), *c.shape[1:])
