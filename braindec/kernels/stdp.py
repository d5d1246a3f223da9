"""What a plasticity rule makes of the weights of synapses whose spikes are given: many synapses, ragged trains.

A rule has traces of both sides and scalar bodies (``braindec.networks.plasticity_rule``). The numpy version is the
definition: step by step, every trace is multiplied by ``exp(-dt / tau)``, then presynaptic spikes are dealt with, then
postsynaptic ones; each spike runs its body, the weight is clipped to [w_min, w_max], and then the spike's own traces are
stepped. The compiled versions go from spike to spike and decay traces over the whole gap at once, which differs by
rounding only. On CUDA one thread walks one synapse with the same scalar code.

``on_period`` runs at steps n, 2n, 3n ... (n = period / dt), before the spikes of the step, with traces decayed to it.

Source: the definition of trace-based plasticity, Morrison, Diesmann & Gerstner 2008, Biological Cybernetics 98, section 4.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import cuda, njit

from braindec.errors import BraindecError
from braindec.kernels._backend import choose
from braindec.kernels._trains import check_positive, check_trains

__all__ = ["PTX_SIGNATURES", "WeightTrace", "apply_to_trains", "apply_to_trains_numpy"]

MAX_TRACES = 4  # a side; what the compiled versions carry in registers
THREADS = 64  # a block on CUDA


class WeightTrace(NamedTuple):
    """Weights after each spike.

    Parameters
    ----------
    final : array of shape (n_synapses,)
    weights : array of shape (n_spikes of both sides,)
        After each spike, in order of time, synapse after synapse.
    steps : array of int64, shape (n_spikes of both sides,)
        Time step of that spike.
    offsets : array of int64, shape (n_synapses + 1,)
    """

    final: np.ndarray
    weights: np.ndarray
    steps: np.ndarray
    offsets: np.ndarray


class _Job(NamedTuple):
    """Everything a walk needs, checked: spikes as steps, the rule as numbers."""

    pre: np.ndarray
    pre_offsets: np.ndarray
    post: np.ndarray
    post_offsets: np.ndarray
    w0: np.ndarray
    modulator: np.ndarray
    numbers: tuple[float, ...]
    x: tuple[tuple[float, ...], ...]  # decay a step, what a spike adds, whether it sets: of the presynaptic traces
    y: tuple[tuple[float, ...], ...]
    low: float
    high: float
    period: int
    last: int


def apply_to_trains(
    rule: Any,
    pre_times: Any,
    post_times: Any,
    w0: Any,
    *,
    dt: float = 1e-4,
    stop: float | None = None,
    modulator: Any = None,
    backend: str | None = None,
) -> WeightTrace:
    """Return the weights that a rule makes of spike trains.

    Parameters
    ----------
    rule : PlasticityRule
        With ``on_pre``, ``on_post`` or ``on_period``.
    pre_times, post_times : array of shape (n_spikes,), or (flat, offsets)
        Spike times in s of the two neurons of one synapse, or of every synapse as ragged trains; rounded to steps of ``dt``.
    w0 : float or array of shape (n_synapses,)
        Weights at the start, within the rule's bounds.
    dt : float
        Step, s.
    stop : float, optional
        Until when ``on_period`` runs, s; without it the last spike.
    modulator : array of shape (n_steps,) or float, optional
        What the bodies see as ``m`` at each step, 1 without it; the last value holds on.
    backend : {"numba", "numpy", "cuda"}, optional

    Raises
    ------
    BraindecError
        If trains are unsorted, not finite or before time 0, their numbers or weights do not fit, ``dt`` is larger than a time
        constant, or the rule has more than :data:`MAX_TRACES` traces on a side.
    """
    job = _job(rule, pre_times, post_times, w0, dt=dt, stop=stop, modulator=modulator)
    chosen = choose(backend, kernel="apply_to_trains")
    if chosen == "numpy":
        return _run_numpy(rule, job)
    n = len(job.w0)
    offsets = job.pre_offsets + job.post_offsets
    final, weights, steps = job.w0.copy(), np.zeros(offsets[-1]), np.zeros(offsets[-1], dtype=np.int64)
    bodies = (rule.on_pre or _keep, rule.on_post or _keep, rule.on_period or _keep)
    fixed = (job.modulator, job.numbers, *job.x, *job.y, job.low, job.high, job.period, job.last)
    trains = (job.pre, job.pre_offsets, job.post, job.post_offsets)
    if chosen == "numba":
        _numba_run(*bodies)(*trains, final, weights, steps, *fixed)
    else:
        _cuda_run(*bodies)[-(-n // THREADS), THREADS](*trains, final, weights, steps, *fixed)
    return WeightTrace(final, weights, steps, offsets)


def apply_to_trains_numpy(rule: Any, pre_times: Any, post_times: Any, w0: Any, **options: Any) -> WeightTrace:
    """The definition: :func:`apply_to_trains` step by step."""
    return apply_to_trains(rule, pre_times, post_times, w0, **{**options, "backend": "numpy"})


def _run_numpy(rule: Any, job: _Job) -> WeightTrace:
    offsets = job.pre_offsets + job.post_offsets
    final, weights, steps = job.w0.copy(), np.zeros(offsets[-1]), np.zeros(offsets[-1], dtype=np.int64)
    for s in range(len(final)):
        pre = job.pre[job.pre_offsets[s] : job.pre_offsets[s + 1]].tolist()
        post = job.post[job.post_offsets[s] : job.post_offsets[s + 1]].tolist()
        n_x, n_y = len(rule.pre_traces), len(rule.post_traces)
        x, y = np.zeros(n_x), np.zeros(n_y)
        decay_x, decay_y = np.exp(-np.array(job.x[0][:n_x])), np.exp(-np.array(job.y[0][:n_y]))
        w, at = float(final[s]), int(offsets[s])
        for step in range(max([job.last, *pre, *post]) + 1):
            if step:
                x, y = x * decay_x, y * decay_y
            m = float(job.modulator[min(step, len(job.modulator) - 1)])
            seen = (tuple(x.tolist()), tuple(y.tolist()), m, job.numbers)
            if rule.on_period and step and step <= job.last and step % job.period == 0:
                w = min(max(rule.on_period(w, *seen), job.low), job.high)
            for spikes, body, trace, settings in ((pre, rule.on_pre, x, job.x), (post, rule.on_post, y, job.y)):
                while spikes and spikes[0] == step:
                    spikes.pop(0)
                    if body is not None:
                        w = min(max(body(w, tuple(x.tolist()), tuple(y.tolist()), m, job.numbers), job.low), job.high)
                    for i in range(len(trace)):
                        trace[i] = settings[1][i] + (0.0 if settings[2][i] else trace[i])
                    weights[at], steps[at], at = w, step, at + 1
        final[s] = w
    return WeightTrace(final, weights, steps, offsets)


def _keep(w: Any, x: Any, y: Any, m: Any, p: Any) -> Any:
    return w


def _make_walk(jit: Callable[..., Any], on_pre: Any, on_post: Any, on_period: Any) -> Any:
    """Return the scalar code that walks one synapse, compiled by ``jit``."""
    pre_body, post_body, period_body = jit(on_pre), jit(on_post), jit(on_period)

    # comparisons instead of min and max, which the compiler for CUDA does not take for two numbers
    @jit
    def clipped(w, low, high):  # type: ignore[no-untyped-def]
        return low if w < low else high if w > high else w

    @jit
    def faded(x, gap, rate):  # type: ignore[no-untyped-def]
        # a trace that is not there has rate 0: no exponential is taken for it
        return (
            x[0] * math.exp(-gap * rate[0]) if rate[0] > 0 else x[0],
            x[1] * math.exp(-gap * rate[1]) if rate[1] > 0 else x[1],
            x[2] * math.exp(-gap * rate[2]) if rate[2] > 0 else x[2],
            x[3] * math.exp(-gap * rate[3]) if rate[3] > 0 else x[3],
        )

    @jit
    def stepped(x, add, sets):  # type: ignore[no-untyped-def]
        return (
            x[0] * (1.0 - sets[0]) + add[0],
            x[1] * (1.0 - sets[1]) + add[1],
            x[2] * (1.0 - sets[2]) + add[2],
            x[3] * (1.0 - sets[3]) + add[3],
        )

    @jit
    def walk(pre, i, pre_end, post, j, post_end, w, weights, steps, at, modulator, p,
             x_rate, x_add, x_set, y_rate, y_add, y_set, low, high, period, last):  # type: ignore[no-untyped-def]  # fmt: skip
        none = last + 1
        if i < pre_end and pre[pre_end - 1] >= none:
            none = pre[pre_end - 1] + 1
        if j < post_end and post[post_end - 1] >= none:
            none = post[post_end - 1] + 1
        x = (0.0, 0.0, 0.0, 0.0)
        y = (0.0, 0.0, 0.0, 0.0)
        before = 0
        due = period if 0 < period <= last else none
        while True:
            next_pre = pre[i] if i < pre_end else none
            next_post = post[j] if j < post_end else none
            step = next_pre if next_pre < next_post else next_post
            step = due if due < step else step
            if step == none:
                return w
            if step > before:
                x = faded(x, step - before, x_rate)
                y = faded(y, step - before, y_rate)
                before = step
            m = modulator[step if step < len(modulator) else len(modulator) - 1]
            if due == step:
                w = clipped(period_body(w, x, y, m, p), low, high)
                due = step + period if step + period <= last else none
            elif next_pre == step:
                w = clipped(pre_body(w, x, y, m, p), low, high)
                x = stepped(x, x_add, x_set)
                weights[at] = w
                steps[at] = step
                at += 1
                i += 1
            else:
                w = clipped(post_body(w, x, y, m, p), low, high)
                y = stepped(y, y_add, y_set)
                weights[at] = w
                steps[at] = step
                at += 1
                j += 1

    return walk


@cache
def _numba_run(on_pre: Any, on_post: Any, on_period: Any) -> Any:
    walk = _make_walk(njit, on_pre, on_post, on_period)

    @njit(nogil=True)
    def run(pre, pre_offsets, post, post_offsets, final, weights, steps, modulator, p,
            x_rate, x_add, x_set, y_rate, y_add, y_set, low, high, period, last):  # type: ignore[no-untyped-def]  # fmt: skip
        for s in range(len(final)):
            final[s] = walk(pre, pre_offsets[s], pre_offsets[s + 1], post, post_offsets[s], post_offsets[s + 1], final[s],
                            weights, steps, pre_offsets[s] + post_offsets[s], modulator, p,
                            x_rate, x_add, x_set, y_rate, y_add, y_set, low, high, period, last)  # fmt: skip

    return run


def _cuda_function(on_pre: Any, on_post: Any, on_period: Any) -> Any:
    """Return the Python function of the CUDA kernel: one thread, one synapse."""
    walk = _make_walk(cuda.jit(device=True), on_pre, on_post, on_period)

    def run(pre, pre_offsets, post, post_offsets, final, weights, steps, modulator, p,
            x_rate, x_add, x_set, y_rate, y_add, y_set, low, high, period, last):  # type: ignore[no-untyped-def]  # fmt: skip
        s = cuda.grid(1)
        if s < len(final):
            final[s] = walk(pre, pre_offsets[s], pre_offsets[s + 1], post, post_offsets[s], post_offsets[s + 1], final[s],
                            weights, steps, pre_offsets[s] + post_offsets[s], modulator, p,
                            x_rate, x_add, x_set, y_rate, y_add, y_set, low, high, period, last)  # fmt: skip

    return run


@cache
def _cuda_run(on_pre: Any, on_post: Any, on_period: Any) -> Any:
    return cuda.jit(_cuda_function(on_pre, on_post, on_period))


def PTX_SIGNATURES() -> dict[Any, Any]:
    """Return the CUDA kernels of two rules and the types of their arguments."""
    from numba import float64, int64, types

    from braindec import registry

    four, steps, reals = types.UniTuple(float64, MAX_TRACES), int64[::1], float64[::1]
    found = {}
    for name in ("weight_dependent_stdp", "homeostatic"):  # a power; a body of periods
        rule = registry.get("networks.plasticity", name)
        kernel = _cuda_run(rule.on_pre or _keep, rule.on_post or _keep, rule.on_period or _keep)
        found[kernel] = (steps, steps, steps, steps, reals, reals, steps, reals, types.UniTuple(float64, len(rule.numbers)),
                         four, four, four, four, four, four, float64, float64, int64, int64)  # fmt: skip
    return found


def _job(rule: Any, pre_times: Any, post_times: Any, w0: Any, *, dt: float, stop: Any, modulator: Any) -> _Job:
    dt = check_positive(dt, "dt")
    if isinstance(rule, str):
        raise BraindecError(
            f"a rule is needed, not its name {rule!r}", fix=f'registry.get("networks.plasticity", "{rule}")'
        )
    rule.check_step(dt)
    if stop is not None and not 0 <= stop < np.inf:
        raise BraindecError("stop is a time from 0 s on", found=f"{stop}")
    if rule.on_pre is None and rule.on_post is None and rule.on_period is None:
        raise BraindecError(
            f"the plasticity rule {rule.name!r} does not change weights",
            fix="short-term plasticity is followed by transmit_factors(rule, pre_times)",
        )
    pre, pre_offsets = _steps(pre_times, dt, "presynaptic")
    post, post_offsets = _steps(post_times, dt, "postsynaptic")
    n = len(pre_offsets) - 1
    if len(post_offsets) - 1 != n:
        raise BraindecError(
            "every synapse needs a presynaptic and a postsynaptic train", found=f"{n} and {len(post_offsets) - 1}"
        )
    low, high = float(rule.params.get("w_min", 0.0)), float(rule.params.get("w_max", np.inf))
    if np.asarray(w0).dtype.kind not in "biuf":
        raise BraindecError("weights at the start are numbers", found=str(np.asarray(w0).dtype))
    weights = np.array(np.broadcast_to(np.asarray(w0, dtype=np.float64), (n,)) if np.ndim(w0) == 0 else w0, dtype=float)
    if weights.shape != (n,) or not np.isfinite(weights).all() or (weights < low).any() or (weights > high).any():
        raise BraindecError(
            "weights at the start do not fit", found=f"shape {weights.shape}, {weights.min():g} to {weights.max():g}" if weights.size else "none",
            allowed=f"{n} weights within [{low:g}, {high:g}], the bounds w_min and w_max of {rule.name}",
        )  # fmt: skip
    m = np.atleast_1d(np.asarray(1.0 if modulator is None else modulator, dtype=np.float64))
    if m.ndim != 1 or not len(m) or not np.isfinite(m).all():
        raise BraindecError("the modulator needs one finite value a step", found=f"shape {m.shape}")
    period, last = 0, 0
    if rule.on_period is not None:
        period = max(1, round(check_positive(rule.params.get("period"), "the period of the rule") / dt))
        ends = [int(t.max()) for t in (pre, post) if len(t)]
        last = round(float(stop) / dt) if stop is not None else max(ends, default=0)
    return _Job(pre, pre_offsets, post, post_offsets, weights, m, rule.numbers, _settings(rule, rule.pre_traces, dt),
                _settings(rule, rule.post_traces, dt), low, high, period, last)  # fmt: skip


def _steps(times: Any, dt: float, what: str) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(times, tuple):
        flat, offsets = check_trains(*times)
    else:
        flat = np.asarray(times, dtype=np.float64)
        flat, offsets = check_trains(flat, np.array([0, flat.size]))
    if len(flat) and flat.min() < 0:
        raise BraindecError(f"a {what} spike lies before time 0", found=f"{flat.min():g} s")
    return np.rint(flat / dt).astype(np.int64), offsets


def _settings(rule: Any, traces: Any, dt: float) -> tuple[tuple[float, ...], ...]:
    """Decay a step, what a spike adds and whether it sets, each of :data:`MAX_TRACES` numbers."""
    if len(traces) > MAX_TRACES:
        raise BraindecError(
            f"{rule.name} has {len(traces)} traces on one side", allowed=f"at most {MAX_TRACES} are compiled"
        )
    rest = (0.0,) * (MAX_TRACES - len(traces))
    return (
        tuple(dt / float(rule.params[t.tau]) for t in traces) + rest,
        tuple(rule.number(t.add) for t in traces) + rest,
        tuple(float(t.nearest) for t in traces) + rest,
    )
