"""Power spectra from an autoregressive model by Burg's method: smooth spectra of short pieces of signal.

``x_t + a_1 x_{t-1} + ... + a_p x_{t-p} = e_t``; the coefficients minimise the sum of the squared forward and backward
prediction errors, one order after the other, and the model is always stable.

Source: Burg 1975 (PhD thesis, Stanford), chapter 2; Kay & Marple 1981 (Proc IEEE 69:1380), equations 2.70 to 2.79, for the
recursion and the spectrum.
"""

from __future__ import annotations

import numpy as np

from braindec.errors import BraindecError

__all__ = ["burg", "burg_psd"]


def burg(x: np.ndarray, order: int) -> tuple[np.ndarray, np.ndarray]:
    """Fit an autoregressive model to each row.

    Parameters
    ----------
    x : array of shape (..., n_times)
        Not centred here.
    order : int
        Number of coefficients p.

    Returns
    -------
    coefficients : array of shape (..., p)
        a_1 to a_p.
    variance : array of shape (...,)
        Of the innovations e.

    Raises
    ------
    BraindecError
        If there are not more samples than twice the order, or a row is constant zero.
    """
    x = np.asarray(x, dtype=np.float64)
    n = x.shape[-1]
    if isinstance(order, bool) or not isinstance(order, (int, np.integer)) or not 1 <= order <= (n - 1) // 2:
        raise BraindecError(
            f"an autoregressive model of order {order!r} does not fit pieces of {n} samples",
            allowed=f"a whole number from 1 to {(n - 1) // 2}", fix="a smaller order, or longer windows",
        )  # fmt: skip
    shape = x.shape[:-1]
    forward = x.reshape(-1, n).copy()
    variance = np.mean(forward**2, axis=1)
    if variance.size and not variance.min() > 0:
        raise BraindecError(f"{int((variance <= 0).sum())} of {len(variance)} pieces of signal are zero throughout",
                            fix="leave flat channels out")  # fmt: skip
    backward = forward.copy()
    a = np.zeros((len(forward), order + 1))
    a[:, 0] = 1.0
    for k in range(1, order + 1):
        f, b = forward[:, 1:], backward[:, :-1]
        energy = np.einsum("ij,ij->i", f, f) + np.einsum("ij,ij->i", b, b)
        reflection = -2 * np.einsum("ij,ij->i", f, b) / np.maximum(energy, 1e-300)
        forward, backward = f + reflection[:, None] * b, b + reflection[:, None] * f
        a[:, 1 : k + 1] += reflection[:, None] * a[:, k - 1 :: -1][:, :k]
        variance = variance * (1 - reflection**2)
    return a[:, 1:].reshape(*shape, order), variance.reshape(shape)


def burg_psd(
    X: np.ndarray, sfreq: float, freqs: np.ndarray, *, order: int = 16, segment: float | None = None, overlap: float = 0.5
) -> np.ndarray:  # fmt: skip
    """Return the one-sided power spectral density of each row.

    Parameters
    ----------
    X : array of shape (..., n_times)
        Each piece is centred.
    sfreq : float
        Hz.
    freqs : array of shape (n_freqs,)
        Hz, from 0 to half the sampling frequency.
    order : int
        Of the model.
    segment : float, optional
        Length of sliding pieces in s whose spectra are averaged; the whole row by default.
    overlap : float
        Share of a piece that the next one shares with it.

    Returns
    -------
    array of shape (..., n_freqs)
        Unit of X squared per Hz.

    Raises
    ------
    BraindecError
        If a frequency is beyond half the sampling frequency, or pieces are too short for the order.
    """
    freqs = np.asarray(freqs, dtype=float)
    if not freqs.size or not (freqs.min() >= 0 and freqs.max() <= sfreq / 2):
        raise BraindecError(
            "a spectrum is defined up to half the sampling frequency",
            found=f"{freqs.min() if freqs.size else 'no frequency'} to {freqs.max() if freqs.size else ''} Hz",
            allowed=f"0 to {sfreq / 2:g} Hz", fix="leave the high frequencies out, or use data sampled faster",
        )  # fmt: skip
    if not 0 <= overlap < 1:
        raise BraindecError("overlap is a share of a piece", found=repr(overlap), allowed="0 to below 1")
    n_times = X.shape[-1]
    length = n_times if segment is None else round(segment * sfreq)
    if not 0 < length <= n_times:
        raise BraindecError(
            "pieces do not fit into the windows", found=f"pieces of {segment} s, windows of {n_times / sfreq:.3g} s"
        )
    step = max(1, round(length * (1 - overlap)))
    phase = np.exp(-2j * np.pi * np.outer(np.arange(1, order + 1), freqs) / sfreq)  # (order, freq)
    total = np.zeros((*X.shape[:-1], len(freqs)))
    starts = range(0, n_times - length + 1, step)
    for first in starts:
        piece = np.asarray(X[..., first : first + length], dtype=np.float64)
        a, variance = burg(piece - piece.mean(axis=-1, keepdims=True), order)
        total += 2 * variance[..., None] / (sfreq * np.abs(1 + a @ phase) ** 2)
    return total / len(starts)
