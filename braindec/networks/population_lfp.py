"""Local field potentials of a network of point neurons, from its spikes alone.

Each spike adds a unitary potential at every contact, which falls off with the distance ``r`` of the neuron and arrives
later the farther it is (inhibitory neurons add most, because their synapses sit on cell bodies)::

    u(t, r) = A exp(-r / space) exp(-(t - delay - r / velocity)^2 / (2 width^2))

Source: Telenczuk, Telenczuk & Destexhe 2020, A kernel-based method to calculate local field potentials from networks of
spiking neurons (Journal of Neuroscience Methods 344:108871): velocity 0.2 m/s, space constant 0.2 mm, width 2.1 ms
(inhibitory) and 3.15 ms (excitatory), delay 10.4 ms.
Differs from the reference in: the amplitudes of the four depths are given here to two digits; they are parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real

import numpy as np

from braindec.errors import BraindecError, did_you_mean
from braindec.types import Spikes

__all__ = ["DEPTHS", "FieldKernel", "population_lfp", "population_lfp_direct"]

# Amplitude in V of one excitatory and one inhibitory spike at distance 0, by depth of the contact in the cortex.
DEPTHS: Mapping[str, tuple[float, float]] = {
    "deep": (-0.16e-6, -2.0e-6), "soma": (0.48e-6, 3.0e-6), "superficial": (0.24e-6, -1.2e-6), "surface": (-0.08e-6, 0.3e-6),
}  # fmt: skip
_FINE = 1e-4  # s; grid on which shifted spikes are collected
_REACH = 6.0  # widths


@dataclass(frozen=True)
class FieldKernel:
    """The unitary potential.

    Parameters
    ----------
    excitatory, inhibitory : float
        Amplitude in V at distance 0.
    width_excitatory, width_inhibitory : float
        Standard deviation in s.
    velocity : float
        m/s.
    space : float
        Space constant in m; infinity for no fall.
    delay : float
        s.
    """

    excitatory: float = DEPTHS["soma"][0]
    inhibitory: float = DEPTHS["soma"][1]
    width_excitatory: float = 3.15e-3
    width_inhibitory: float = 2.1e-3
    velocity: float = 0.2
    space: float = 0.2e-3
    delay: float = 10.4e-3

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not isinstance(value, Real):
                raise BraindecError(f"{name} of a field kernel is a number", found=repr(value))
        for name in ("width_excitatory", "width_inhibitory", "velocity", "space"):
            if not getattr(self, name) > 0:
                raise BraindecError(f"{name} of a field kernel must be above 0", found=str(getattr(self, name)))
        if not np.isfinite([self.width_excitatory, self.width_inhibitory]).all():
            raise BraindecError("widths of a field kernel must be finite", found=str(self))
        if not (self.delay >= 0 and np.isfinite([self.excitatory, self.inhibitory, self.delay]).all()):
            raise BraindecError("a field kernel needs finite amplitudes and a delay of at least 0 s", found=str(self))

    @classmethod
    def at(cls, depth: str) -> FieldKernel:
        """Return the kernel of a depth: "deep", "soma", "superficial" or "surface"."""
        if depth not in DEPTHS:
            raise BraindecError(f"there is no depth {depth!r}{did_you_mean(depth, DEPTHS)}", allowed=", ".join(DEPTHS))
        return cls(*DEPTHS[depth])


def population_lfp(
    spikes: Spikes, *, positions: np.ndarray, excitatory: np.ndarray, contacts: np.ndarray, sfreq: float,
    kernel: FieldKernel | None = None,
) -> np.ndarray:  # fmt: skip
    """Return the local field potential at contacts.

    Shifted spikes are collected on a fine grid (each shared between its two neighbours) and smoothed by the two kernels.

    Parameters
    ----------
    spikes : Spikes
    positions : array of shape (n_units, 3)
        m.
    excitatory : array of bool, shape (n_units,)
        Whether a unit is excitatory; else it is inhibitory.
    contacts : array of shape (n_contacts, 3)
        m.
    sfreq : float
        Hz, at most 1,000; samples stand at ``spikes.start + k / sfreq``. Nothing is filtered before: a tenth of the
        amplitude is left at 160 Hz, so rates below some 300 Hz fold the fastest part back.
    kernel : FieldKernel, optional
        That of the cell-body layer by default.

    Returns
    -------
    array of shape (n_contacts, n_times)
        V.

    Raises
    ------
    BraindecError
        If shapes do not fit, places are not finite, or the rate is too high for the grid.
    """
    kernel = _kernel(kernel)
    positions, excitatory, contacts = _checked(spikes, positions, excitatory, contacts, sfreq)
    step = 1 / (sfreq * max(1, round(1 / (sfreq * _FINE))))
    every = round(1 / (sfreq * step))
    n_times = int(np.floor((spikes.stop - spikes.start) * sfreq * (1 + 1e-12)))
    widths = (kernel.width_excitatory, kernel.width_inhibitory)
    before = int(np.ceil(_REACH * max(widths) / step))
    n_fine = n_times * every + 2 * before
    taps = [np.exp(-((np.arange(-before, before + 1) * step) ** 2) / (2 * w**2)) for w in widths]
    found = np.empty((len(contacts), n_times))
    amplitudes = np.where(excitatory, kernel.excitatory, kernel.inhibitory)
    for i, contact in enumerate(contacts):
        distance = np.linalg.norm(positions - contact, axis=1)
        weight = amplitudes * np.exp(-distance / kernel.space)
        at = (spikes.times - spikes.start + (kernel.delay + distance / kernel.velocity)[spikes.unit]) / step + before
        total = np.zeros(n_fine + len(taps[0]) - 1)
        for tap, mine in zip(taps, (excitatory, ~excitatory), strict=True):
            kept = mine[spikes.unit] & (at < n_fine - 1)
            if kept.any():
                total += _smoothed(at[kept], weight[spikes.unit[kept]], n_fine, tap)
        found[i] = total[2 * before : 2 * before + n_times * every : every]
    return found


def population_lfp_direct(
    spikes: Spikes, *, positions: np.ndarray, excitatory: np.ndarray, contacts: np.ndarray, sfreq: float,
    kernel: FieldKernel | None = None,
) -> np.ndarray:  # fmt: skip
    """The same by its definition: every spike's potential at every sample."""
    kernel = _kernel(kernel)
    positions, excitatory, contacts = _checked(spikes, positions, excitatory, contacts, sfreq)
    times = spikes.start + np.arange(int(np.floor((spikes.stop - spikes.start) * sfreq * (1 + 1e-12)))) / sfreq
    width = np.where(excitatory, kernel.width_excitatory, kernel.width_inhibitory)[spikes.unit]
    amplitude = np.where(excitatory, kernel.excitatory, kernel.inhibitory)[spikes.unit]
    found = np.empty((len(contacts), len(times)))
    for i, contact in enumerate(contacts):
        distance = np.linalg.norm(positions - contact, axis=1)[spikes.unit]
        peak = spikes.times + kernel.delay + distance / kernel.velocity
        bump = np.exp(-((times[:, None] - peak) ** 2) / (2 * width**2))
        found[i] = bump @ (amplitude * np.exp(-distance / kernel.space))
    return found


def _kernel(kernel: FieldKernel | None) -> FieldKernel:
    if kernel is not None and not isinstance(kernel, FieldKernel):
        raise BraindecError("the kernel of a field is a FieldKernel", found=repr(kernel), fix="FieldKernel.at('soma')")
    return kernel or FieldKernel()


def _smoothed(at: np.ndarray, weight: np.ndarray, n: int, tap: np.ndarray) -> np.ndarray:
    from scipy.signal import oaconvolve

    low = np.floor(at).astype(np.int64)
    share = at - low
    train = np.bincount(low, weight * (1 - share), minlength=n) + np.bincount(low + 1, weight * share, minlength=n)
    return oaconvolve(train[:n], tap)


def _checked(
    spikes: Spikes, positions: np.ndarray, excitatory: np.ndarray, contacts: np.ndarray, sfreq: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if not isinstance(spikes, Spikes):
        raise BraindecError("a field is that of Spikes", found=type(spikes).__name__)
    try:
        positions, contacts = np.asarray(positions, dtype=float), np.atleast_2d(np.asarray(contacts, dtype=float))
    except (TypeError, ValueError) as error:
        raise BraindecError("places of units and contacts must be numbers: x, y, z in m") from error
    excitatory = np.asarray(excitatory)
    if positions.shape != (spikes.n_units, 3) or contacts.ndim != 2 or contacts.shape[1] != 3:
        raise BraindecError(
            "a field needs a place (x, y, z in m) for each unit and each contact",
            found=f"positions {positions.shape}, contacts {contacts.shape}",
            allowed=f"({spikes.n_units}, 3) and (n_contacts, 3)",
        )
    if excitatory.dtype != bool or excitatory.shape != (spikes.n_units,):
        raise BraindecError("excitatory says of each unit True or False", found=f"{excitatory.dtype} of shape {excitatory.shape}",
                            allowed=f"bool of shape ({spikes.n_units},)")  # fmt: skip
    if not (np.isfinite(positions).all() and np.isfinite(contacts).all()):
        raise BraindecError("places of units and contacts must be finite", fix="give x, y, z in m for each of them")
    if not isinstance(sfreq, Real) or not 0 < sfreq <= 1000:
        raise BraindecError("a field is sampled at up to 1,000 Hz", found=f"{sfreq} Hz")
    return positions, excitatory, contacts
