"""Hidden Markov models: state probabilities given the past or all of a sequence, its likelihood, and the most likely path.

Several sequences stand one after the other; ``offsets`` says where each begins. Each starts anew.

The numpy definition works with logarithms throughout. The compiled versions scale each bin to sum to one, after taking
its largest log-likelihood away, which cannot underflow while every transition has a probability above 1e-100; where
some transitions are impossible they work with logarithms too.

Source: Rabiner 1989 (Proc IEEE 77:257), equations 19-37 and 90-97; the scaling is that of section V.A.
"""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple

import numpy as np
from numba import boolean, cuda, float64, int32, int64, njit

from braindec.errors import BraindecError
from braindec.kernels._backend import choose

__all__ = ["Smoothed", "forward_backward", "forward_backward_numpy", "viterbi", "viterbi_numpy"]

_TINY = 1e-100
_THREADS = 64


class Smoothed(NamedTuple):
    """What is known of the states.

    ``filtered`` (n_bins, n_states): probabilities given this bin and those before it in its sequence.
    ``posterior`` (n_bins, n_states): given the whole sequence.
    ``pairs`` (n_sequences, n_states, n_states): expected number of transitions from state to state.
    ``log_likelihood`` (n_sequences,): of each sequence, natural logarithm.
    ``bin_log_likelihood`` (n_bins,): of each bin given those before it.
    """

    filtered: np.ndarray
    posterior: np.ndarray
    pairs: np.ndarray
    log_likelihood: np.ndarray
    bin_log_likelihood: np.ndarray


def forward_backward(
    log_likelihood: Any, transition: Any, start: Any = None, *, offsets: Any = None, backend: str | None = None
) -> Smoothed:
    """Return probabilities of hidden states.

    Parameters
    ----------
    log_likelihood : array of shape (n_bins, n_states)
        Log-likelihood of each bin in each state (natural logarithm; -inf where it is impossible).
    transition : array of shape (n_states, n_states)
        Row: from, column: to; rows add to 1.
    start : array of shape (n_states,), optional
        Probabilities in the first bin of a sequence; equal by default.
    offsets : array of int, shape (n_sequences + 1,), optional
        Sequence ``i`` has the bins ``offsets[i]`` to ``offsets[i + 1]``; one sequence by default.
    backend : {"numba", "numpy", "cuda"}, optional

    Raises
    ------
    BraindecError
        If shapes do not fit, probabilities do not add to 1, or a sequence is impossible in every state.
    """
    name = choose(backend, has=("numpy", "numba", "cuda"), kernel="forward_backward")
    values, a, first, where = _checked(log_likelihood, transition, start, offsets)
    top = values.max(axis=1)  # taken away, so that sums over long sequences lose no digits
    shifted = values - np.where(np.isfinite(top), top, 0.0)[:, None]
    found = {"numpy": forward_backward_numpy, "numba": _on_cpu, "cuda": _on_cuda}[name](shifted, a, first, where)
    bad = np.flatnonzero(~np.isfinite(found.log_likelihood))
    if len(bad):
        raise BraindecError(
            "a sequence is impossible in every state of the model", found=f"sequence {bad[0]} ({len(bad)} in all)"
        )
    return found._replace(
        log_likelihood=found.log_likelihood + np.add.reduceat(top, where[:-1]),
        bin_log_likelihood=found.bin_log_likelihood + top,
    )


def viterbi(
    log_likelihood: Any, transition: Any, start: Any = None, *, offsets: Any = None, backend: str | None = None
) -> np.ndarray:
    """Return the most likely path of states, int64 (n_bins,); of paths that are as likely the lower states.

    Parameters are those of :func:`forward_backward`.

    Raises
    ------
    BraindecError
        As there, also where every path of a sequence is impossible.
    """
    name = choose(backend, has=("numpy", "numba", "cuda"), kernel="viterbi")
    checked = _checked(log_likelihood, transition, start, offsets)
    path = {"numpy": viterbi_numpy, "numba": _path_on_cpu, "cuda": _path_on_cuda}[name](*checked)
    values, a, first, where = checked
    begins, steps = where[:-1], np.delete(np.arange(1, len(path)), where[1:-1] - 1)
    possible = np.isfinite(values[np.arange(len(path)), path])
    possible[begins] &= first[path[begins]] > 0
    possible[steps] &= a[path[steps - 1], path[steps]] > 0
    if not possible.all():
        bad = int(np.searchsorted(where, np.argmin(possible), side="right")) - 1
        raise BraindecError("a sequence is impossible in every state of the model", found=f"sequence {bad}")
    return path


def forward_backward_numpy(
    log_likelihood: np.ndarray, transition: np.ndarray, start: np.ndarray, offsets: np.ndarray
) -> Smoothed:
    """Return what :func:`forward_backward` does, from the definitions, by logarithms."""
    log_a, log_start = _log(transition), _log(start)
    n_bins, n_states = log_likelihood.shape
    filtered, posterior = np.zeros((n_bins, n_states)), np.zeros((n_bins, n_states))
    n = len(offsets) - 1
    pairs, total, by_bin = np.zeros((n, n_states, n_states)), np.zeros(n), np.zeros(n_bins)
    for s, (begin, end) in enumerate(itertools.pairwise(offsets)):
        here = log_likelihood[begin:end]
        ahead, back = np.empty_like(here), np.zeros_like(here)
        size = by_bin[begin:end]
        for t in range(len(here)):
            ahead[t] = here[t] + (log_start if t == 0 else np.logaddexp.reduce(ahead[t - 1][:, None] + log_a, axis=0))
            size[t] = np.logaddexp.reduce(ahead[t])
            if size[t] == -np.inf:
                break
            ahead[t] -= size[t]
        total[s] = size.sum()
        if total[s] == -np.inf:
            continue
        for t in range(len(here) - 2, -1, -1):
            back[t] = np.logaddexp.reduce(log_a + here[t + 1] + back[t + 1], axis=1) - size[t + 1]
        filtered[begin:end], posterior[begin:end] = np.exp(ahead), np.exp(ahead + back)
        step = ahead[:-1, :, None] + log_a + (here[1:] + back[1:] - size[1:, None])[:, None, :]
        pairs[s] = np.exp(step).sum(axis=0)
    return Smoothed(filtered, posterior, pairs, total, by_bin)


def viterbi_numpy(
    log_likelihood: np.ndarray, transition: np.ndarray, start: np.ndarray, offsets: np.ndarray
) -> np.ndarray:
    """Return what :func:`viterbi` does, from the definition."""
    log_a, path = _log(transition), np.zeros(len(log_likelihood), dtype=np.int64)
    for begin, end in itertools.pairwise(offsets):
        best = _log(start) + log_likelihood[begin]
        came = np.zeros((end - begin, len(start)), dtype=np.int64)
        for t in range(begin + 1, end):
            ways = best[:, None] + log_a
            came[t - begin] = ways.argmax(axis=0)
            best = ways.max(axis=0) + log_likelihood[t]
        path[end - 1] = best.argmax()
        for t in range(end - 2, begin - 1, -1):
            path[t] = came[t + 1 - begin, path[t + 1]]
    return path


def _log(values: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.log(values)


def _checked(log_likelihood: Any, transition: Any, start: Any, offsets: Any) -> tuple[np.ndarray, ...]:
    """Check and return contiguous arrays of float64 and int64."""
    for what, given in (("log-likelihoods", log_likelihood), ("transition", transition), ("start", start)):
        if given is not None and np.asarray(given).dtype.kind not in "biuf":
            raise BraindecError(f"{what} must be numbers", found=str(np.asarray(given).dtype))
    values = np.ascontiguousarray(log_likelihood, dtype=np.float64)
    if values.ndim != 2 or not values.size or np.isnan(values).any() or (values == np.inf).any():
        raise BraindecError(
            "log-likelihoods are (n_bins, n_states), each a number or -inf", found=f"shape {values.shape}"
        )
    n = values.shape[1]
    a = np.ascontiguousarray(transition, dtype=np.float64)
    first = np.full(n, 1 / n) if start is None else np.ascontiguousarray(start, dtype=np.float64)
    if a.shape != (n, n) or first.shape != (n,):
        raise BraindecError(
            "transition is (n_states, n_states) and start (n_states,)", found=f"{a.shape} and {first.shape}",
            allowed=f"{n} states",
        )  # fmt: skip
    for what, p in (("a row of transition", a), ("start", first[None])):
        if not (p >= 0).all() or (np.abs(p.sum(axis=1) - 1) > 1e-6).any():
            raise BraindecError(f"{what} holds no probabilities", found=str(p[0].tolist()), allowed="0 or more, sum 1")
    where = np.array([0, len(values)]) if offsets is None else np.asarray(offsets)
    if where.dtype.kind not in "iu":
        raise BraindecError("offsets are whole numbers", found=str(where.dtype))
    where = np.ascontiguousarray(where, dtype=np.int64)
    if where.ndim != 1 or len(where) < 2 or where[0] != 0 or where[-1] != len(values) or (np.diff(where) < 1).any():
        raise BraindecError(
            "offsets rise from 0 to the number of bins, no sequence is empty", found=str(where[:8].tolist()),
            allowed=f"0 to {len(values)}",
        )  # fmt: skip
    return values, a, first, where


def _scaled(values, a, start, begin, end, filtered, posterior, pairs, by_bin):  # type: ignore[no-untyped-def]
    """One sequence, each bin scaled to sum to one; ``pairs`` (n_states, n_states) is filled, the log-likelihood returned."""
    n = values.shape[1]
    total = 0.0
    for t in range(begin, end):
        size = 0.0
        for k in range(n):
            p = start[k]
            if t > begin:
                p = 0.0
                for j in range(n):
                    p += filtered[t - 1, j] * a[j, k]
            posterior[t, k] = math.exp(values[t, k])
            filtered[t, k] = p * posterior[t, k]
            size += filtered[t, k]
        if size == 0.0:
            return -math.inf
        for k in range(n):
            filtered[t, k] /= size
            posterior[t, k] /= size
        by_bin[t] = math.log(size)
        total += by_bin[t]
    for j in range(n):
        for k in range(n):
            pairs[j, k] = 0.0
    # Backwards ``posterior`` holds p(this bin and later | state) / p(this bin and later | earlier), until it is multiplied
    # by what the bin before predicts.
    for t in range(end - 2, begin - 1, -1):
        for j in range(n):
            ratio = 0.0
            for k in range(n):
                both = a[j, k] * posterior[t + 1, k]
                ratio += both
                pairs[j, k] += filtered[t, j] * both
            posterior[t, j] *= ratio
        for k in range(n):
            p = 0.0
            for j in range(n):
                p += filtered[t, j] * a[j, k]
            posterior[t + 1, k] *= p
    for k in range(n):
        posterior[begin, k] *= start[k]
    return total


def _by_logarithms(values, log_a, log_start, begin, end, ahead, posterior, pairs, by_bin):  # type: ignore[no-untyped-def]
    """One sequence by logarithms; what :func:`_scaled` does where transitions may be impossible."""
    n = values.shape[1]
    total = 0.0
    for t in range(begin, end):
        most = -math.inf
        for k in range(n):
            p = log_start[k]
            if t > begin:
                top = -math.inf
                for j in range(n):
                    way = ahead[t - 1, j] + log_a[j, k]
                    top = way if way > top else top
                p = -math.inf
                if top > -math.inf:
                    size = 0.0
                    for j in range(n):
                        size += math.exp(ahead[t - 1, j] + log_a[j, k] - top)
                    p = top + math.log(size)
            ahead[t, k] = p + values[t, k]
            most = ahead[t, k] if ahead[t, k] > most else most
        if most == -math.inf:
            return -math.inf
        size = 0.0
        for k in range(n):
            size += math.exp(ahead[t, k] - most)
        by_bin[t] = most + math.log(size)
        total += by_bin[t]
        for k in range(n):
            ahead[t, k] -= by_bin[t]
    for j in range(n):
        for k in range(n):
            pairs[j, k] = 0.0
        posterior[end - 1, j] = 0.0
    for t in range(end - 2, begin - 1, -1):
        for j in range(n):
            top = -math.inf
            for k in range(n):
                way = log_a[j, k] + values[t + 1, k] + posterior[t + 1, k]
                top = way if way > top else top
            posterior[t, j] = -math.inf
            if top > -math.inf:
                size = 0.0
                for k in range(n):
                    step = log_a[j, k] + values[t + 1, k] + posterior[t + 1, k]
                    size += math.exp(step - top)
                    pairs[j, k] += math.exp(ahead[t, j] + step - by_bin[t + 1])
                posterior[t, j] = top + math.log(size) - by_bin[t + 1]
    for t in range(begin, end):
        for k in range(n):
            posterior[t, k] = math.exp(ahead[t, k] + posterior[t, k])
            ahead[t, k] = math.exp(ahead[t, k])
    return total


def _path(values, log_a, log_start, begin, end, best, came, path):  # type: ignore[no-untyped-def]
    """Most likely path of one sequence; ``best`` (2, n_states) and ``came`` (n_bins, n_states) are room to work in."""
    n = values.shape[1]
    for k in range(n):
        best[begin % 2, k] = log_start[k] + values[begin, k]
    for t in range(begin + 1, end):
        now, last = t % 2, (t - 1) % 2
        for k in range(n):
            top, which = best[last, 0] + log_a[0, k], 0
            for j in range(1, n):
                way = best[last, j] + log_a[j, k]
                if way > top:
                    top, which = way, j
            came[t, k] = which
            best[now, k] = top + values[t, k]
    state = 0
    for k in range(1, n):
        if best[(end - 1) % 2, k] > best[(end - 1) % 2, state]:
            state = k
    path[end - 1] = state
    for t in range(end - 1, begin, -1):
        state = came[t, state]
        path[t - 1] = state


_scaled_cpu, _logarithms_cpu, _path_cpu = (njit(cache=True, nogil=True)(f) for f in (_scaled, _by_logarithms, _path))
_scaled_gpu, _logarithms_gpu, _path_gpu = (cuda.jit(device=True)(f) for f in (_scaled, _by_logarithms, _path))


@cuda.jit
def _smooth_kernel(values, a, start, offsets, scaled, filtered, posterior, pairs, total, by_bin):  # type: ignore[no-untyped-def]
    s = cuda.grid(1)
    if s < len(offsets) - 1:
        if scaled:
            total[s] = _scaled_gpu(values, a, start, offsets[s], offsets[s + 1], filtered, posterior, pairs[s], by_bin)
        else:
            total[s] = _logarithms_gpu(
                values, a, start, offsets[s], offsets[s + 1], filtered, posterior, pairs[s], by_bin
            )


@cuda.jit
def _path_kernel(values, log_a, log_start, offsets, best, came, path):  # type: ignore[no-untyped-def]
    s = cuda.grid(1)
    if s < len(offsets) - 1:
        _path_gpu(values, log_a, log_start, offsets[s], offsets[s + 1], best[s], came, path)


def _room(values: np.ndarray, n_sequences: int) -> Smoothed:
    n_bins, n = values.shape
    return Smoothed(
        np.empty((n_bins, n)), np.empty((n_bins, n)), np.empty((n_sequences, n, n)), np.empty(n_sequences), np.empty(n_bins)
    )  # fmt: skip


def _on_cpu(values: np.ndarray, a: np.ndarray, start: np.ndarray, offsets: np.ndarray) -> Smoothed:
    out = _room(values, len(offsets) - 1)
    scaled = min(a.min(), start.min()) > _TINY
    one = _scaled_cpu if scaled else _logarithms_cpu
    p = (a, start) if scaled else (_log(a), _log(start))
    for s in range(len(offsets) - 1):
        out.log_likelihood[s] = one(
            values, *p, offsets[s], offsets[s + 1], out.filtered, out.posterior, out.pairs[s], out.bin_log_likelihood
        )
    return out


def _path_on_cpu(values: np.ndarray, a: np.ndarray, start: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    best, came = np.empty((2, values.shape[1])), np.empty(values.shape, dtype=np.int32)
    path = np.empty(len(values), dtype=np.int64)
    for begin, end in itertools.pairwise(offsets):
        _path_cpu(values, _log(a), _log(start), begin, end, best, came, path)
    return path


def _on_cuda(values: np.ndarray, a: np.ndarray, start: np.ndarray, offsets: np.ndarray) -> Smoothed:
    scaled = bool(min(a.min(), start.min()) > _TINY)
    p = (a, start) if scaled else (_log(a), _log(start))
    n_sequences = len(offsets) - 1
    there = [cuda.to_device(v) for v in (values, *p, offsets)]
    out = [cuda.to_device(v) for v in _room(values, n_sequences)]
    threads = min(_THREADS, n_sequences)
    _smooth_kernel[-(-n_sequences // threads), threads](*there, scaled, *out)
    return Smoothed(*(v.copy_to_host() for v in out))


def _path_on_cuda(values: np.ndarray, a: np.ndarray, start: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    n_sequences = len(offsets) - 1
    there = [cuda.to_device(v) for v in (values, _log(a), _log(start), offsets)]
    best = cuda.device_array((n_sequences, 2, values.shape[1]))
    came, path = cuda.device_array(values.shape, dtype=np.int32), cuda.device_array(len(values), dtype=np.int64)
    threads = min(_THREADS, n_sequences)
    _path_kernel[-(-n_sequences // threads), threads](*there, best, came, path)
    return path.copy_to_host()


_ROW, _TABLE, _CUBE = float64[::1], float64[:, ::1], float64[:, :, ::1]
PTX_SIGNATURES = {
    _smooth_kernel: (_TABLE, _TABLE, _ROW, int64[::1], boolean, _TABLE, _TABLE, _CUBE, _ROW, _ROW),
    _path_kernel: (_TABLE, _TABLE, _ROW, int64[::1], _CUBE, int32[:, ::1], int64[::1]),
}
