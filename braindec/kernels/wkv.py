"""WKV: the weighted average of past values, with exponentially fading weights, of RWKV and SpikeGPT.

For each channel with decay ``d = exp(w)`` and a bonus ``u`` for the present token::

    y_t = (sum_{i<t} exp(-(t-1-i) d + k_i) v_i + exp(u + k_t) v_t) / (the same sums without v)

It is a recurrence over time of a numerator and a denominator. Both are kept with a common exponent (the largest so far), so
that no key, however large, overflows; the reverse scan of the gradient keeps one in the same way. Cost O(time), memory of
the backward pass three numbers a step.

Source: Peng et al. 2023, RWKV: Reinventing RNNs for the Transformer Era, section 3.1.2; Zhu et al. 2023, SpikeGPT.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numba import cuda, float32, float64, njit

from braindec.errors import BraindecError
from braindec.kernels._backend import choose
from braindec.kernels._threads import run_parts, split_rows

__all__ = ["wkv", "wkv_gradient", "wkv_gradient_numpy", "wkv_numpy"]

_LEAST = 20_000  # elements below which a thread costs more than it brings
_LOWEST = -1e38  # exponent of an empty sum; finite in float32


def wkv_numpy(w: np.ndarray, u: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return ``y`` from its definition, sums written out; arguments as in :func:`wkv`."""
    decay = np.exp(w)
    y = np.empty_like(v)
    for t in range(k.shape[1]):
        exponent = -(t - 1 - np.arange(t))[:, None] * decay + k[:, :t]
        exponent = np.concatenate([exponent, (u + k[:, t])[:, None]], axis=1)
        weight = np.exp(exponent - exponent.max(axis=1, keepdims=True))
        y[:, t] = (weight * v[:, : t + 1]).sum(axis=1) / weight.sum(axis=1)
    return y


def wkv(w: np.ndarray, u: np.ndarray, k: np.ndarray, v: np.ndarray, *, backend: str | None = None) -> np.ndarray:
    """Return the weighted averages.

    Parameters
    ----------
    w, u : array of shape (n_channels,)
        Logarithm of the decay a step, and bonus of the present token.
    k, v : array of shape (n_batch, n_times, n_channels)
        Keys and values, float32 or float64.
    backend : {"numpy", "numba", "cuda"}, optional
        Numba on the processor by default.

    Returns
    -------
    array of shape (n_batch, n_times, n_channels)

    Raises
    ------
    BraindecError
        If shapes do not fit, or numbers are whole or not finite.
    """
    w, u, k, v = _checked(w, u, k, v)
    name = choose(backend, kernel="wkv")
    if name == "numpy":
        return wkv_numpy(w, u, k, v)
    y = np.empty_like(v)
    if name == "cuda":
        n = k.shape[0] * k.shape[2]
        out = cuda.to_device(y)
        _cuda_forward[(n + 63) // 64, 64](*(cuda.to_device(a) for a in (w, u, k, v)), out)
        return out.copy_to_host()
    _in_threads(lambda a, b: _forward(w, u, k, v, y, a, b), k)
    return y


def wkv_gradient_numpy(
    w: np.ndarray, u: np.ndarray, k: np.ndarray, v: np.ndarray, gy: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the gradients of ``(wkv * gy).sum()`` by ``w, u, k, v`` from the quotient rule, sums written out."""
    decay = np.exp(w)
    gw, gu, gk, gv = np.zeros_like(w), np.zeros_like(u), np.zeros_like(k), np.zeros_like(v)
    for t in range(k.shape[1]):
        age = np.append(t - 1 - np.arange(t), 0)[:, None]
        bonus = np.append(np.zeros(t), 1)[:, None]
        exponent = -age * decay + bonus * u + k[:, : t + 1]
        share = np.exp(exponent - exponent.max(axis=1, keepdims=True))
        share /= share.sum(axis=1, keepdims=True)
        y = (share * v[:, : t + 1]).sum(axis=1, keepdims=True)
        by_exponent = gy[:, t : t + 1] * share * (v[:, : t + 1] - y)
        gv[:, : t + 1] += gy[:, t : t + 1] * share
        gk[:, : t + 1] += by_exponent
        gu += (by_exponent * bonus).sum(axis=(0, 1))
        gw -= (by_exponent * age * decay).sum(axis=(0, 1))
    return gw, gu, gk, gv


def wkv_gradient(
    w: np.ndarray, u: np.ndarray, k: np.ndarray, v: np.ndarray, gy: np.ndarray, *, backend: str | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the gradients of ``(wkv * gy).sum()`` by ``w, u, k, v``; arguments as in :func:`wkv`."""
    w, u, k, v, gy = _checked(w, u, k, v, gy)
    name = choose(backend, has=("numpy", "numba"), kernel="wkv_gradient")
    if name == "numpy":
        return wkv_gradient_numpy(w, u, k, v, gy)
    gk, gv = np.empty_like(k), np.empty_like(v)
    gw, gu = np.empty((k.shape[0], len(w)), k.dtype), np.empty((k.shape[0], len(w)), k.dtype)
    _in_threads(lambda a, b: _backward(w, u, k, v, gy, gw, gu, gk, gv, a, b), k)
    return gw.sum(axis=0), gu.sum(axis=0), gk, gv


def _in_threads(run: Callable[[int, int], None], k: np.ndarray) -> None:
    """Call ``run(first, last)`` over sequences, which do not depend on one another."""
    run_parts(run, split_rows(np.full(len(k), float(k[0].size) if len(k) else 0.0), least=_LEAST))


def _checked(*given: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return w, u, k, v (and a gradient of the shape of v) as contiguous arrays of the type of the keys."""
    shapes = [np.shape(a) for a in given]
    if len(shapes[2]) != 3 or any(s != shapes[2] for s in shapes[3:]) or any(s != shapes[2][2:] for s in shapes[:2]):
        raise BraindecError(
            "wkv needs keys and values of (batch, time, channel) and one decay and bonus a channel",
            found=", ".join(f"{name} {shape}" for name, shape in zip(("w", "u", "k", "v", "gradient"), shapes)),
        )
    kind = np.asarray(given[2]).dtype
    if kind not in (np.float32, np.float64):
        raise BraindecError("keys of wkv have a wrong type", found=str(kind), allowed="float32, float64")
    arrays = tuple(np.ascontiguousarray(a, dtype=kind) for a in given)
    for name, a in zip(("decays", "bonuses", "keys", "values", "gradients"), arrays):
        if not np.isfinite(a.sum()) and not np.isfinite(a).all():  # the sum is quick, and may itself overflow
            raise BraindecError(
                f"{name} of wkv hold NaN or infinite values", fix="a lower learning rate, where it is trained"
            )
    return arrays


def _step(a, b, o, d, u, k, v):  # type: ignore[no-untyped-def]
    """One token: sums ``a e^o``, ``b e^o`` -> output and the sums after it."""
    top = o if o > u + k else u + k  # max() of two numbers does not compile for CUDA
    past, now = math.exp(o - top), math.exp(u + k - top)
    y = (past * a + now * v) / (past * b + now)
    top = o - d if o - d > k else k
    past, now = math.exp(o - d - top), math.exp(k - top)
    return y, past * a + now * v, past * b + now, top


_step_cpu = njit(inline="always")(_step)
_step_gpu = cuda.jit(device=True)(_step)


@njit(cache=True, nogil=True)
def _forward(w, u, k, v, y, first, last):  # type: ignore[no-untyped-def]
    n_times, n = k.shape[1], k.shape[2]
    d = np.exp(w)
    for row in range(first, last):
        a, b, o = np.zeros(n, k.dtype), np.zeros(n, k.dtype), np.full(n, _LOWEST, k.dtype)
        for t in range(n_times):
            for c in range(n):
                y[row, t, c], a[c], b[c], o[c] = _step_cpu(a[c], b[c], o[c], d[c], u[c], k[row, t, c], v[row, t, c])


@cuda.jit
def _cuda_forward(w, u, k, v, y):  # type: ignore[no-untyped-def]
    thread = cuda.grid(1)
    if thread < k.shape[0] * k.shape[2]:
        row, c = thread // k.shape[2], thread % k.shape[2]
        a = b = 0.0 * w[c]
        o = a + _LOWEST
        d = math.exp(w[c])
        for t in range(k.shape[1]):
            y[row, t, c], a, b, o = _step_gpu(a, b, o, d, u[c], k[row, t, c], v[row, t, c])


PTX_SIGNATURES = {
    _cuda_forward: [(f[::1], f[::1], f[:, :, ::1], f[:, :, ::1], f[:, :, ::1]) for f in (float64, float32)]
}


@njit(cache=True, nogil=True)
def _backward_row(w, u, k, v, gy, gw, gu, gk, gv, row):  # type: ignore[no-untyped-def]
    n_times, n = k.shape[1], k.shape[2]
    sums = np.empty((3, n_times, n), k.dtype)  # numerator, denominator and exponent before each token
    y = np.empty((n_times, n), k.dtype)
    d = np.exp(w)
    a, b, o = np.zeros(n, k.dtype), np.zeros(n, k.dtype), np.full(n, _LOWEST, k.dtype)
    for t in range(n_times):
        sums[0, t], sums[1, t], sums[2, t] = a, b, o
        for c in range(n):
            y[t, c], a[c], b[c], o[c] = _step_cpu(a[c], b[c], o[c], d[c], u[c], k[row, t, c], v[row, t, c])
    ga, gb, r = (
        np.zeros(n, k.dtype),
        np.zeros(n, k.dtype),
        np.full(n, -_LOWEST, k.dtype),
    )  # gradients by the sums, times e^-r
    gw[row], gu[row] = 0, 0
    for t in range(n_times - 1, -1, -1):
        for c in range(n):
            key, value, g = k[row, t, c], v[row, t, c], gy[row, t, c]
            top = max(sums[2, t, c], u[c] + key)
            now = math.exp(u[c] + key - top)
            numerator = g / (math.exp(sums[2, t, c] - top) * sums[1, t, c] + now)
            denominator = -numerator * y[t, c]
            present = now * (numerator * value + denominator)
            later = math.exp(key - r[c])
            gv[row, t, c] = now * numerator + later * ga[c]
            gk[row, t, c] = present + later * (ga[c] * value + gb[c])
            gu[row, c] += present
            fade = math.exp(sums[2, t, c] - d[c] - r[c])
            gw[row, c] -= d[c] * fade * (ga[c] * sums[0, t, c] + gb[c] * sums[1, t, c])
            low = min(top, r[c] + d[c])
            old, new = math.exp(low - r[c] - d[c]), math.exp(low - top)
            ga[c] = old * ga[c] + new * numerator
            gb[c] = old * gb[c] + new * denominator
            r[c] = low


@njit(cache=True, nogil=True)
def _backward(w, u, k, v, gy, gw, gu, gk, gv, first, last):  # type: ignore[no-untyped-def]
    for row in range(first, last):
        _backward_row(w, u, k, v, gy, gw, gu, gk, gv, row)
