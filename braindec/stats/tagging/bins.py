"""Which Fourier bin a tag falls on, which trial lengths would fit, and what it means when rates are harmonics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import lcm

import numpy as np

from braindec.errors import BraindecError

__all__ = ["Bins", "check_rates", "fitting_lengths", "harmonic_notes"]

_OFF = 1e-3  # of a bin: farther from its bin than that, a tag leaks into its neighbours
_LONGEST = 100_000_000  # samples


@dataclass(frozen=True)
class Bins:
    """Tags of a trial of ``n_times`` samples.

    Parameters
    ----------
    names : tuple of str
    frequencies : array of shape (n_rates,)
        Hz.
    index : array of int, shape (n_rates,)
        Fourier bin of each: ``frequency * n_times / sfreq``.
    nyquist : array of bool, shape (n_rates,)
        At half the sampling frequency, where the coefficient is a real number.
    sfreq : float
        Hz.
    n_times : int
    """

    names: tuple[str, ...]
    frequencies: np.ndarray
    index: np.ndarray
    nyquist: np.ndarray
    sfreq: float
    n_times: int

    @property
    def notes(self) -> list[str]:
        """What the reader must know about these rates."""
        said = harmonic_notes(dict(zip(self.names, self.frequencies, strict=True)))
        for name, frequency, real in zip(self.names, self.frequencies, self.nyquist, strict=True):
            if real:
                said.append(
                    f"{name} ({frequency:g} Hz) lies at the Nyquist frequency: its coefficient is a real number with 1 degree of "
                    "freedom, and a response that passes through zero at the samples is invisible there."
                )
        return said


def check_rates(rates: Mapping[str, float], sfreq: float, n_times: int) -> Bins:
    """Return the bins of ``rates`` (name -> Hz) in trials of ``n_times`` samples at ``sfreq`` Hz.

    Raises
    ------
    BraindecError
        If a rate is not positive, above the Nyquist frequency, or off-bin; the message has the lengths that fit.
    """
    if not rates:
        raise BraindecError("there are no tagged rates", fix='name them: rates={"sentence": 1.0}')
    if not sfreq > 0 or n_times < 2:
        raise BraindecError(
            "tagging needs a sampling frequency and at least 2 samples a trial", found=f"{sfreq} Hz, {n_times} samples"
        )
    values = np.array([float(v) for v in rates.values()])
    wrong = {n: v for n, v in zip(rates, values, strict=True) if not (np.isfinite(v) and v > 0)}
    if wrong:
        raise BraindecError("tagged rates are frequencies above 0 Hz", found=str(wrong))
    places = values * n_times / sfreq
    index = np.rint(places).astype(int)
    above = {n: v for n, v, p in zip(rates, values, places, strict=True) if p > n_times / 2 + _OFF}
    if above:
        name, rate = next(iter(above.items()))
        raise BraindecError(
            f"the rate {name} = {rate:g} Hz is above the Nyquist frequency: it cannot be seen at {sfreq:g} Hz",
            found=", ".join(f"{n} {v:g} Hz" for n, v in above.items()),
            allowed=f"rates up to {sfreq / 2:g} Hz",
            fix=f"sample at more than {2 * max(above.values()):g} Hz, or leave the rate out (units of a text have one sample a "
            "word: the word rate itself is never observable)",
        )
    off = np.abs(places - index) > _OFF
    if off.any() or (index < 1).any():
        _refuse_off_bin(rates, values, places, off | (index < 1), sfreq, n_times)
    return Bins(tuple(rates), values, index, 2 * index == n_times, float(sfreq), int(n_times))


def fitting_lengths(rates: Mapping[str, float], sfreq: float, *, near: int | None = None) -> tuple[int, list[int]]:
    """Return the shortest trial on which all rates are on-bin, in samples, and the multiples of it around ``near``.

    Parameters
    ----------
    rates : mapping of str to float
        Hz.
    sfreq : float
        Hz.
    near : int, optional
        Samples; the multiples just below and above it are returned (the shortest alone by default).
    """
    step = 1
    for rate in rates.values():
        step = lcm(step, Fraction(float(rate) / float(sfreq)).limit_denominator(1_000_000).denominator)
        if step > _LONGEST:
            return step, []
    if near is None:
        return step, [step]
    below = near // step * step
    return step, [n for n in (below, below + step) if n > 0]


def _refuse_off_bin(
    rates: Mapping[str, float], values: np.ndarray, places: np.ndarray, off: np.ndarray, sfreq: float, n_times: int
) -> None:
    step, lengths = fitting_lengths(rates, sfreq, near=n_times)
    told = ", ".join(
        f"{name} {v:g} Hz at bin {p:.4g}" for name, v, p, o in zip(rates, values, places, off, strict=True) if o
    )
    if step > max(20 * n_times, 100_000):
        single = [f"{n}: {fitting_lengths({n: v}, sfreq)[0]:,}" for n, v in rates.items()]
        allowed = f"no short length fits all rates; multiples of (samples) {'; '.join(single)}"
    else:
        allowed = f"multiples of {step:,} samples ({step / sfreq:.6g} s), such as " + " or ".join(
            f"{n:,} samples ({n / sfreq:.6g} s)" for n in lengths
        )
    raise BraindecError(
        f"tags fall between Fourier bins in trials of {n_times:,} samples ({n_times / sfreq:.6g} s at {sfreq:g} Hz)",
        found=told,
        allowed=allowed,
        fix="cut trials to a length that fits (crop=True does), and give rates in full precision (4 / 9, not 0.444)",
    )


def harmonic_notes(rates: Mapping[str, float]) -> list[str]:
    """Return one sentence for each pair of rates of which one is a whole multiple of the other.

    The fastest level (the unit that everything is made of) is left out: it is a multiple of all others by design.
    """
    ordered = sorted(rates.items(), key=lambda item: item[1])
    said = []
    for i, (slow, low) in enumerate(ordered):
        for fast, high in ordered[i + 1 :]:
            ratio = high / low
            if fast in ("word", "unit", "character", "syllable") or abs(ratio - round(ratio)) > 1e-6 or ratio < 1.5:
                continue
            said.append(
                f"{fast} ({high:g} Hz) is harmonic {round(ratio)} of {slow} ({low:g} Hz): a response to the {slow} that is not a pure "
                f"sine has power there too, so a peak at {high:g} Hz does not by itself show a response to the {fast}. Compare with "
                f"a control that has the {fast} but not the {slow}, read the joint test over harmonics, or choose lengths without a "
                "whole ratio (2 and 3 units)."
            )
    return said
