"""The neuron test that HFTP publishes, for comparison only: it calls most units of untrained networks syntactic.

Stage 1: mean over groups, magnitude of the Fourier coefficient nearest the rate, against random orders of the time points.
Stage 2: for what passed, the difference of mean magnitudes between sentences and their shuffled control (0 for all others),
z-scored over the whole matrix of layers and neurons; z > 2 is selected. Differences of phrases are the largest over phrase
rates and 0.

Source: LilTiger/HFTP (NeurIPS 2025), as its published code does it.
Differs from the reference in: all units share the same random orders, so that the null is one matrix product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from braindec.errors import BraindecError

__all__ = ["WHY_NOT", "HFTP", "hftp", "order_test"]

WHY_NOT = (
    "compat='hftp' repeats a published procedure that does not hold its level: at a nominal 5 % it flags 60 % (1 Hz) and 37 % "
    "(2 Hz) of the units of an untrained network, because the same sentences are used again in each shuffle and its null "
    "(random orders of time points) destroys the word regularities that it should keep. Its second stage is no test: z-scores over "
    "a matrix of mostly zeros always select a few per cent. 2 Hz is the Nyquist frequency of 4 words a second and the second "
    "harmonic of 1 Hz. Use control= (a matched control in other sentences) instead."
)
_BLOCK = 2_000_000


@dataclass(frozen=True)
class HFTP:
    """Arrays of shape (unit,).

    Parameters
    ----------
    sentence_passed, phrase_passed : array of bool
        Stage 1.
    sentence_p, phrase_p : array of float
        Of stage 1 (the smallest over phrase rates); NaN where masks were given.
    sentence_difference, phrase_difference : array of float
        0 where stage 1 was not passed.
    sentence_z, phrase_z : array of float
    sentence_only, phrase_only, shared : array of bool
        What the procedure selects.
    """

    sentence_passed: np.ndarray
    phrase_passed: np.ndarray
    sentence_p: np.ndarray
    phrase_p: np.ndarray
    sentence_difference: np.ndarray
    phrase_difference: np.ndarray
    sentence_z: np.ndarray
    phrase_z: np.ndarray
    sentence_only: np.ndarray
    phrase_only: np.ndarray
    shared: np.ndarray


def order_test(
    series: np.ndarray, bin_: int, *, n_permutations: int = 1000, rng: np.random.Generator | int = 0
) -> np.ndarray:
    """Return p of the magnitude at one bin against random orders of the time points, shape (unit,).

    Parameters
    ----------
    series : array of shape (time, unit)
    bin_ : int
    n_permutations : int
    rng : Generator or int
    """
    series = np.asarray(series, dtype=np.float64)
    n_times, n_units = series.shape
    rng = np.random.default_rng(rng)
    wave = np.exp(-2j * np.pi * bin_ * np.arange(n_times) / n_times)
    orders = np.stack([np.arange(n_times), *(rng.permutation(n_times) for _ in range(n_permutations))])
    table = wave[orders]  # permuting the table is permuting the samples
    p = np.empty(n_units)
    step = max(1, _BLOCK // len(table))
    for start in range(0, n_units, step):
        own = series[:, start : start + step]
        size = (table.real @ own) ** 2 + (table.imag @ own) ** 2
        p[start : start + step] = (size[1:] >= size[0] * (1 - 1e-9)).mean(axis=0)
    return p


def hftp(
    sentences: np.ndarray, control: np.ndarray, *, sfreq: float, sentence: float = 1.0, phrases: Sequence[float] = (2.0,),
    n_permutations: int = 1000, rng: np.random.Generator | int = 0, passed: tuple[np.ndarray, np.ndarray] | None = None,
) -> HFTP:  # fmt: skip
    """Run both stages.

    Parameters
    ----------
    sentences, control : array of shape (group, time, unit)
        Means of shuffles of the sentence order, and those of sentences with shuffled words.
    sfreq : float
        Units of text a second, Hz.
    sentence : float
        Hz.
    phrases : sequence of float
        Hz.
    n_permutations : int
    rng : Generator or int
    passed : pair of array of bool (unit,), optional
        Outcome of stage 1 (sentence, phrase), where it is known.

    Raises
    ------
    BraindecError
        If shapes differ.
    """
    a, b = np.asarray(sentences, dtype=np.float64), np.asarray(control, dtype=np.float64)
    if a.ndim != 3 or a.shape[1:] != b.shape[1:]:
        raise BraindecError("sentences and control must be (group, time, unit) alike", found=f"{a.shape} and {b.shape}")
    rng = np.random.default_rng(rng)
    grid = np.fft.rfftfreq(a.shape[1], 1 / sfreq)
    bins = [int(np.abs(grid - f).argmin()) for f in (sentence, *phrases)]
    if passed is None:
        p = np.stack([order_test(a.mean(axis=0), k, n_permutations=n_permutations, rng=rng) for k in bins])
        ps, pp = p[0], p[1:].min(axis=0)
        passed = ps < 0.05, pp < 0.05
    else:
        ps = pp = np.full(a.shape[2], np.nan)
        passed = np.asarray(passed[0], dtype=bool), np.asarray(passed[1], dtype=bool)
    sizes = [np.abs(np.fft.rfft(x, axis=1)[:, bins]).mean(axis=0) for x in (a, b)]  # (rate, unit)
    difference = sizes[0] - sizes[1]
    one = np.where(passed[0], difference[0], 0.0)
    two = np.where(passed[1], np.maximum(difference[1:].max(axis=0), 0.0), 0.0)
    z = [(d - d.mean()) / d.std() if d.std() > 0 else np.zeros_like(d) for d in (one, two)]
    s, t = z[0] > 2, z[1] > 2
    return HFTP(passed[0], passed[1], ps, pp, one, two, z[0], z[1], s & ~t, t & ~s, s & t)
