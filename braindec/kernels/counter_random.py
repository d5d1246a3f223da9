"""Random numbers without state: a hash of (seed, step, neuron), the same on every backend and for any number of threads.

``mix64`` is the finaliser of SplitMix64: it turns a counter into 64 well-mixed bits and makes the keys of a step.
``hash32`` mixes the number of a neuron with the two 32-bit halves of such a key: three rounds of multiply and
xor-shift, in 32-bit integers throughout, which compilers turn into vector instructions.

Source: Steele, Lea & Flood 2014 (SplitMix64, OOPSLA); Mulvey, "Hash functions" 2016 and Wellons 2018 (rounds of
multiply-xorshift on 32 bits). Each operation is wrapped to its width, since Numba widens products of uint32 to uint64.
"""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = [
    "hash32",
    "key_of",
    "mix64",
    "poisson_thresholds",
    "step_key",
    "step_key_numpy",
    "uniform64",
    "uniforms_numpy",
]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_M1, _M2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_S32, _LOW = np.uint64(32), np.uint64(0xFFFFFFFF)
_A, _B = np.uint32(0x9E3779B1), np.uint32(0x7FEB352D)
_C, _D = np.uint32(0x846CA68B), np.uint32(0xC2B2AE35)
_T16, _T15 = np.uint32(16), np.uint32(15)
_TO_UNIT = 2.0**-53


@njit(inline="always")
def mix64(value):
    """Return 64 well-mixed bits of a 64-bit integer."""
    z = np.uint64(value) + _GOLDEN
    z = (z ^ (z >> _S30)) * _M1
    z = (z ^ (z >> _S27)) * _M2
    return z ^ (z >> _S31)


@njit(inline="always")
def uniform64(key, counter):
    """Return a number in [0, 1) with 53 random bits."""
    bits = mix64(np.uint64(key) + _GOLDEN * np.uint64(counter))
    return np.float64(np.int64(bits >> _S11)) * _TO_UNIT


@njit(inline="always")
def hash32(index, low, high):
    """Return 32 well-mixed bits of the number of a neuron and the two halves of a key."""
    x = np.uint32(np.uint32(index) * _A)
    x = np.uint32(x + low)
    x = np.uint32(x ^ np.uint32(x >> _T16))
    x = np.uint32(x * _B)
    x = np.uint32(x ^ np.uint32(x >> _T15))
    x = np.uint32(x + high)
    x = np.uint32(x * _C)
    x = np.uint32(x ^ np.uint32(x >> _T16))
    x = np.uint32(x * _D)
    return np.uint32(x ^ np.uint32(x >> _T15))


def key_of(*parts: int) -> int:
    """Return a 63-bit key of some integers (seed, what it is for, ...), each of which changes all bits."""
    mask, found = 0xFFFFFFFFFFFFFFFF, 0
    for part in parts:
        z = (found + (int(part) & mask) + 0x9E3779B97F4A7C15) & mask
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        found = z ^ (z >> 31)
    return found >> 1


def step_key_numpy(key: int, step: int) -> tuple[np.uint32, np.uint32]:
    """Return the two halves of the key of a step: what the compiled loop uses."""
    mask = 0xFFFFFFFFFFFFFFFF
    z = (key + 0x9E3779B97F4A7C15 * (step + 1)) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    z ^= z >> 31
    return np.uint32(z & 0xFFFFFFFF), np.uint32(z >> 32)


@njit(inline="always")
def step_key(key, step):
    """Return the key of a step as 64 bits; its halves go to :func:`hash32`."""
    return mix64(np.uint64(key) + _GOLDEN * np.uint64(step))


def uniforms_numpy(n: int, key: int, step: int) -> np.ndarray:
    """Definition: the 32 random bits of neurons 0 to ``n - 1`` in one step, uint32."""
    low, high = step_key_numpy(key, step)
    x = np.arange(n, dtype=np.uint32) * _A + low
    x = (x ^ (x >> _T16)) * _B
    x = (x ^ (x >> _T15)) + high
    x = x * _C
    x = (x ^ (x >> _T16)) * _D
    return x ^ (x >> _T15)


def poisson_thresholds(mean: float) -> np.ndarray:
    """Return uint32 thresholds: a Poisson number is how many of them lie below the random bits.

    What lies beyond the last has a probability below 2 ** -32; a mean of 0 gives no threshold.
    """
    from scipy.stats import poisson

    if mean <= 0:
        return np.zeros(0, dtype=np.uint32)
    cdf = poisson.cdf(np.arange(int(poisson.isf(2.0**-33, mean)) + 1), mean)
    return np.clip(np.round(cdf * 2.0**32) - 1, 0, 2.0**32 - 1).astype(np.uint32)
