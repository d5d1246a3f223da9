"""The scan of leaky integrate-and-fire neurons over time, forward and backward, for training with surrogate gradients.

One step, with drive ``x``, potential ``v`` and spike ``s`` of the step before::

    within the step (delay=False)              one step later (delay=True)
    u = decay v + x                            p = decay v + x
    s = 1 where u >= threshold, else 0         u = p - amount s      ("soft", s of the step before)
    v = u - amount s          ("soft")         u = p where s = 0, v_reset where s = 1     ("hard")
    v = v_reset where s = 1   ("hard")         s = 1 where u >= threshold, else 0
    v = u                     ("none")         v = u

The backward scan is the chain rule through the same recurrence with the derivative of the step replaced by a surrogate;
``detach`` leaves out the path through the reset's spike. Columns are independent: the forward scan has the same bits for
any number of threads, and sums over the batch are added up in an order that does not depend on it either.

Source: Neftci, Mostafa & Zenke 2019 (IEEE Signal Processing Magazine 36:51), equations 3-6 and Box 2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from braindec.errors import BraindecError, did_you_mean
from braindec.kernels import _backend
from braindec.kernels._lif_loops import derivative_rows, scan_backward, scan_forward
from braindec.kernels._threads import in_parts

__all__ = [
    "Gradients", "LIFRule", "Scan", "SurrogateSlope", "lif_scan", "lif_scan_backward", "lif_scan_backward_numpy", "lif_scan_numpy",
]  # fmt: skip

RESETS = {"none": 0, "soft": 1, "hard": 2}
_TILE = 4096  # columns that are scanned together: their state stays in the second cache, rows are read in long runs
_WORTH_THREADS = (
    5_000_000  # neuron-steps below which a second thread costs more than it brings (torch keeps its own spinning)
)


@dataclass(frozen=True)
class LIFRule:
    """Constants of the scan.

    Parameters
    ----------
    decay, threshold, amount : array of shape (n_neurons,)
        Factor of the potential in one step, threshold, and what a soft reset subtracts.
    v_reset : float
        Where a hard reset puts the potential.
    reset : {"soft", "hard", "none"}
    delay : bool
        Whether a spike resets one step later.
    """

    decay: np.ndarray
    threshold: np.ndarray
    amount: np.ndarray
    v_reset: float = 0.0
    reset: str = "soft"
    delay: bool = False

    def __post_init__(self) -> None:
        if self.reset not in RESETS:
            raise BraindecError(
                f"there is no reset {self.reset!r}{did_you_mean(self.reset, RESETS)}", allowed=", ".join(RESETS)
            )

    @property
    def delayed(self) -> bool:
        """Whether there is a reset, and it comes one step later."""
        return self.delay and self.reset != "none"

    @property
    def charge_is_state(self) -> bool:
        """Whether the potential that meets the threshold is also the one that goes into the next step."""
        return self.delay or self.reset == "none"


class Scan(NamedTuple):
    """Result of the forward scan: all of shape (time, batch, neuron), ``last`` of (batch, neuron).

    ``charged`` is the potential that meets the threshold (u), ``potential`` the one carried on (v), None if not kept.
    """

    spikes: np.ndarray
    charged: np.ndarray
    potential: np.ndarray | None
    last: np.ndarray


class SurrogateSlope(NamedTuple):
    """Derivative that stands in for that of the step: ``body(x, k, one, exp)``, as in ``networks.surrogate``, and k."""

    body: Callable[..., Any]
    k: float

    def at(self, x: np.ndarray) -> np.ndarray:
        """Return the derivative at ``x``, in its type."""
        one = x.dtype.type(1)
        return self.body(x, one * x.dtype.type(self.k), one, np.exp)


class Gradients(NamedTuple):
    """Gradients of drive (time, batch, neuron), first state (batch, neuron) and constants (neuron,)."""

    x: np.ndarray
    v0: np.ndarray
    s0: np.ndarray
    decay: np.ndarray
    threshold: np.ndarray
    amount: np.ndarray


def lif_scan_numpy(x: np.ndarray, v0: np.ndarray, s0: np.ndarray, rule: LIFRule) -> Scan:
    """The definition, one step after the other; arguments as in :func:`lif_scan`."""
    spikes, charged, potential = np.empty_like(x), np.empty_like(x), np.empty_like(x)
    v, s = v0, s0
    for t, drive in enumerate(x):
        u = rule.decay * v + drive
        if rule.delayed:
            u = u - rule.amount * s if rule.reset == "soft" else np.where(s > 0, rule.v_reset, u)
        s = (u >= rule.threshold).astype(x.dtype)
        v = u
        if not rule.delay and rule.reset == "soft":
            v = u - rule.amount * s
        elif not rule.delay and rule.reset == "hard":
            v = np.where(s > 0, rule.v_reset, u).astype(x.dtype)
        spikes[t], charged[t], potential[t] = s, u, v
    return Scan(spikes, charged, potential, v)


def lif_scan_backward_numpy(
    scan: Scan, x: np.ndarray, v0: np.ndarray, s0: np.ndarray, surrogate: SurrogateSlope, rule: LIFRule, *,
    spikes: np.ndarray | None = None, potential: np.ndarray | None = None, last: np.ndarray | None = None,
    detach: bool = False,
) -> Gradients:  # fmt: skip
    """The definition of :func:`lif_scan_backward`: the chain rule step by step, every term written out."""
    zero = np.zeros_like(v0)
    out, through = np.zeros_like(x), 0.0 if detach else 1.0
    to_v, to_s = (zero if last is None else last), zero  # gradients of the state that step t hands on
    d_decay, d_threshold, d_amount = (np.zeros(x.shape[2]) for _ in range(3))
    before, slope = _potential_before(scan, v0, rule), surrogate.at(scan.charged - rule.threshold)
    for t in range(len(x) - 1, -1, -1):
        u, s = scan.charged[t], scan.spikes[t]
        old_s = scan.spikes[t - 1] if t else s0
        g_v = to_v + (potential[t] if potential is not None else 0)
        g_s = to_s + (spikes[t] if spikes is not None else 0)
        g_u, to_s = g_v, zero
        if not rule.delay and rule.reset == "soft":
            g_s = g_s - through * rule.amount * g_v
            d_amount -= (s * g_v).sum(axis=0)
        elif not rule.delay and rule.reset == "hard":
            g_s = g_s + through * (rule.v_reset - u) * g_v
            g_u = (1 - s) * g_v
        g_u = g_u + g_s * slope[t]
        d_threshold -= (g_s * slope[t]).sum(axis=0)
        if rule.delayed and rule.reset == "soft":
            to_s = -through * rule.amount * g_u
            d_amount -= (old_s * g_u).sum(axis=0)
        elif rule.delayed:
            to_s = through * (rule.v_reset - (rule.decay * before[t] + x[t])) * g_u
            g_u = (1 - old_s) * g_u
        out[t] = g_u
        d_decay += (g_u * before[t]).sum(axis=0)
        to_v = rule.decay * g_u
    return Gradients(out, to_v, to_s, d_decay, d_threshold, d_amount)


def _potential_before(scan: Scan, v0: np.ndarray, rule: LIFRule) -> np.ndarray:
    """Potential at the beginning of each step."""
    after = scan.charged
    if not rule.delay and rule.reset == "soft":
        after = scan.charged - rule.amount * scan.spikes
    elif not rule.delay and rule.reset == "hard":
        after = np.where(scan.spikes > 0, rule.v_reset, scan.charged)
    return np.concatenate([v0[None], after[:-1]])


def lif_scan(
    x: np.ndarray, v0: np.ndarray, s0: np.ndarray, rule: LIFRule, *, keep_potential: bool = False,
    threads: int | None = None, backend: str | None = None,
) -> Scan:  # fmt: skip
    """Scan neurons over time.

    Parameters
    ----------
    x : array of shape (time, batch, neuron), float32 or float64, C-contiguous
        Drive.
    v0, s0 : array of shape (batch, neuron)
        Potential and spikes of the step before; the spikes matter with ``rule.delay`` only.
    rule : LIFRule
        Its arrays in the type of ``x``.
    keep_potential : bool
        Whether the potential of every step is wanted; otherwise ``potential`` may be None.
    threads : int, optional
        Numba's number of threads by default (``NUMBA_NUM_THREADS``); one for small inputs.
    backend : {"numpy", "numba"}, optional

    Raises
    ------
    BraindecError
        If shapes or types do not fit together.
    """
    _check(x, (v0, s0), rule)
    if _backend.choose(backend, has=("numpy", "numba"), kernel="lif_scan") == "numpy":
        return lif_scan_numpy(x, v0, s0, rule)
    x = _own(x)  # outputs take its layout
    spikes, charged, last = np.empty_like(x), np.empty_like(x), np.empty_like(x[0])
    nothing = np.empty((0, 0), x.dtype)
    separate = keep_potential and not rule.charge_is_state
    potential = np.empty_like(x) if separate else None
    kept = nothing if potential is None else _flat(potential)[0]
    arrays = (*_flat(x, spikes, charged), kept, _own(v0).reshape(-1), _own(s0).reshape(-1), last.reshape(-1))
    codes = _codes(rule, x)

    def part(first: int, stop: int) -> None:
        scan_forward(*arrays, *codes, first, stop, _rows(x))

    _run(part, x, threads)
    if keep_potential and potential is None:
        potential = charged
    return Scan(spikes, charged, potential, last)


def lif_scan_backward(
    scan: Scan, x: np.ndarray, v0: np.ndarray, s0: np.ndarray, surrogate: SurrogateSlope, rule: LIFRule, *,
    spikes: np.ndarray | None = None, potential: np.ndarray | None = None, last: np.ndarray | None = None,
    detach: bool = False, constants: bool = True, threads: int | None = None, backend: str | None = None,
) -> Gradients:  # fmt: skip
    """Scan backward over time.

    Parameters
    ----------
    scan : Scan
        What :func:`lif_scan` gave (``spikes`` and ``charged`` are used).
    x, v0, s0, rule
        What it was given.
    surrogate : SurrogateSlope
        Its derivative is taken at ``scan.charged - rule.threshold``.
    spikes, potential : array of shape (time, batch, neuron), optional
        Gradients of the loss in spikes and potentials; none means zero.
    last : array of shape (batch, neuron), optional
        Gradient in the last potential.
    detach : bool
        Whether the gradient leaves out the path through the spike that resets.
    constants : bool
        Whether the gradients of decay, threshold and amount are wanted (zeros otherwise).
    threads, backend
        As in :func:`lif_scan`.

    Raises
    ------
    BraindecError
        If shapes or types do not fit together.
    """
    given = {"spikes": spikes, "potential": potential, "last": last}
    _check(x, (v0, s0), rule)
    for name, a in {"spikes of the scan": scan.spikes, "charged": scan.charged, **given}.items():
        expected = x.shape[1:] if name == "last" else x.shape
        if a is not None and (a.shape != expected or a.dtype != x.dtype):
            raise BraindecError(f"{name} of a LIF scan do not fit its drive", found=f"shape {a.shape}, {a.dtype}",
                                allowed=f"{expected}, {x.dtype}")  # fmt: skip
    if _backend.choose(backend, has=("numpy", "numba"), kernel="lif_scan_backward") == "numpy":
        return lif_scan_backward_numpy(scan, x, v0, s0, surrogate, rule, **given, detach=detach)
    nothing = np.empty((0, 0), x.dtype)
    x = _own(x)
    out, g_v, g_s = np.empty_like(x), np.zeros_like(x[0]), np.zeros_like(x[0])
    if last is not None:
        g_v[...] = last
    n_tiles = -(-x.shape[1] // _rows(x))
    sums = np.zeros((n_tiles if constants else 0, 3, x.shape[2]))
    wanted = [nothing if a is None else _flat(a)[0] for a in (spikes, potential)]
    arrays = (*_flat(x, scan.spikes, scan.charged), *wanted, _own(v0).reshape(-1), _own(s0).reshape(-1), *_flat(out),
              g_v.reshape(-1), g_s.reshape(-1), sums)  # fmt: skip
    codes = _codes(rule, x)
    loop, derivative = scan_backward(x.dtype.name), derivative_rows(surrogate.body, x.dtype.name)
    k = x.dtype.type(surrogate.k)

    def part(first: int, stop: int) -> None:
        loop(*arrays, *codes, detach, first, stop, _rows(x), k, x.dtype.type(1), derivative)

    _run(part, x, threads)
    totals = sums.sum(axis=0) if constants else np.zeros((3, x.shape[2]))
    return Gradients(out, g_v, g_s, *totals)


def _rows(x: np.ndarray) -> int:
    """Rows of the batch that one tile holds."""
    return max(1, _TILE // x.shape[2])


def _run(part: Callable[[int, int], None], x: np.ndarray, threads: int | None) -> None:
    from numba import get_num_threads

    wanted = threads or (get_num_threads() if x.size >= _WORTH_THREADS else 1)
    in_parts(part, -(-x.shape[1] // _rows(x)), threads=wanted)


def _flat(*arrays: np.ndarray) -> tuple[np.ndarray, ...]:
    """Arrays of (time, batch, neuron) as (time, batch * neuron)."""
    return tuple(_own(a).reshape(len(a), -1) for a in arrays)


def _own(array: np.ndarray) -> np.ndarray:
    """Contiguous and writeable, as the compiled loops take it."""
    return np.require(array, requirements=["C", "W"])


def _codes(rule: LIFRule, x: np.ndarray) -> tuple[Any, ...]:
    return (
        *map(_own, (rule.decay, rule.threshold, rule.amount)),
        x.dtype.type(rule.v_reset),
        RESETS[rule.reset],
        rule.delay,
    )


def _check(x: np.ndarray, states: tuple[np.ndarray, ...], rule: LIFRule) -> None:
    if x.ndim != 3 or 0 in x.shape or x.dtype not in (np.float32, np.float64):
        raise BraindecError(
            "the drive of a LIF scan has a wrong shape or type", found=f"shape {x.shape}, {x.dtype}",
            allowed="(time, batch, neuron), none empty, float32 or float64",
        )  # fmt: skip
    constants = (rule.decay, rule.threshold, rule.amount)
    wrong = [a for a in states if a.shape != x.shape[1:]] + [a for a in constants if a.shape != x.shape[2:]]
    wrong += [a for a in (*states, *constants) if a.dtype != x.dtype]
    if wrong:
        raise BraindecError(
            "state and constants of a LIF scan do not fit its drive",
            found=f"shape {wrong[0].shape}, {wrong[0].dtype} beside a drive of {x.shape}, {x.dtype}",
            allowed=f"state {x.shape[1:]}, constants {x.shape[2:]}, all {x.dtype}",
        )  # fmt: skip
