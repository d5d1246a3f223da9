"""Context Maintenance and Retrieval: lag-conditional response probabilities in closed form, for any grid of parameters.

A list of items with orthonormal features is studied once. Temporal context drifts, ``c_i = rho c_{i-1} + beta_enc f_i``
with ``rho`` such that its length stays 1, and item i is bound to the context before it. At recall an item is cued in its
own context: the context it retrieves is ``c_in = (1 - gamma_ft) f_i + gamma_ft c_{i-1}`` (scaled to length 1), the
context becomes ``rho c + beta_rec c_in``, items are active by how much of it they are bound to, and one is chosen with
probability ``activation ** sharpness`` over the sum.

Source: Howard & Kahana 2002 (J Math Psychol 46:269, equations 6-10: drift, retrieved context, its length); Polyn,
Norman & Kahana 2009 (Psychol Rev 116:129, equations 1-5: pre-experimental and new associations); Morton & Polyn 2016
(J Mem Lang 86:119) for the choice rule; Ji-An, Zhou, Benna & Mattar 2024 (NeurIPS) for comparing it with attention.
Differs from the reference in: the transition that follows a cue is computed exactly and averaged over cues; nothing is
simulated, so there is no Monte Carlo error and no chain of recalls in which context wanders off.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from braindec.errors import BraindecError

__all__ = ["BETA_ENC", "BETA_REC", "GAMMA_FT", "CMRGrid", "cmr_grid"]

BETA_ENC = np.linspace(0.05, 1.0, 20)
BETA_REC = np.linspace(0.0, 1.0, 21)
GAMMA_FT = np.linspace(0.0, 1.0, 11)


class CMRGrid(NamedTuple):
    """Lag-CRP curves: ``crp`` (beta_enc, beta_rec, gamma_ft, lag), each summing to 1, and the values of the axes."""

    crp: np.ndarray
    beta_enc: np.ndarray
    beta_rec: np.ndarray
    gamma_ft: np.ndarray
    lags: np.ndarray


def cmr_grid(
    beta_enc: np.ndarray = BETA_ENC,
    beta_rec: np.ndarray = BETA_REC,
    gamma_ft: np.ndarray = GAMMA_FT,
    *,
    n_lags: int = 5,
    n_items: int = 20,
    sharpness: float = 4.0,
) -> CMRGrid:
    """Return the lag-CRP of every combination of parameters.

    Parameters
    ----------
    beta_enc, beta_rec : array of shape (n,)
        Drift of context at study and at recall, 0 to 1 (at study above 0).
    gamma_ft : array of shape (n,)
        Share of new associations in what an item retrieves, 0 to 1.
    n_lags : int
        Lags from -n_lags to n_lags.
    n_items : int
        Length of the list; cues are the items that have all these lags.
    sharpness : float
        Exponent of the choice rule.

    Raises
    ------
    BraindecError
        If a parameter is outside its range or the list is too short.
    """
    axes = [np.atleast_1d(np.asarray(a, dtype=float)) for a in (beta_enc, beta_rec, gamma_ft)]
    for name, axis, low in zip(("beta_enc", "beta_rec", "gamma_ft"), axes, (np.nextafter(0, 1), 0, 0), strict=True):
        if axis.ndim != 1 or not len(axis) or not (axis.min() >= low and axis.max() <= 1):
            raise BraindecError(f"{name} lies between 0 and 1", found=f"{axis.min():g} to {axis.max():g}")
    if n_items < 2 * n_lags + 1:
        raise BraindecError(f"lags up to {n_lags} need a list of {2 * n_lags + 1} items", found=f"{n_items}")
    cues = np.arange(n_lags, n_items - n_lags)
    lags = np.arange(-n_lags, n_lags + 1)
    crp = np.empty((*map(len, axes), len(lags)))
    for i, beta in enumerate(axes[0]):
        crp[i] = _one_drift(float(beta), axes[1], axes[2], cues, lags, n_items, sharpness)
    return CMRGrid(crp, *axes, lags)


def _one_drift(
    beta_enc: float,
    beta_rec: np.ndarray,
    gamma: np.ndarray,
    cues: np.ndarray,
    lags: np.ndarray,
    n: int,
    sharpness: float,
) -> np.ndarray:
    """Return the curves (beta_rec, gamma_ft, lag) of one ``beta_enc``.

    Everything needed is an inner product with the contexts before the items, which are known in closed form: context
    loses a factor ``rho = sqrt(1 - beta_enc^2)`` an item, the feature of item s enters at ``beta_enc``.
    """
    rho = np.sqrt(1 - beta_enc**2)
    items = np.arange(n)
    bound = np.power(rho, np.abs(items[:, None] - items[None, :]))  # (item, item): context before i . context before j
    later = items[None, :] - 1 - items[:, None]
    own = np.where(later >= 0, beta_enc * np.power(rho, np.maximum(later, 0)), 0.0)  # f_s . context before j
    length = np.sqrt((1 - gamma) ** 2 + gamma**2)  # f_s is orthogonal to the context before s
    retrieved = ((1 - gamma[:, None, None]) * own[cues] + gamma[:, None, None] * bound[cues]) / length[:, None, None]
    inner = gamma / length  # c . c_in
    b = beta_rec[:, None]
    keep = np.sqrt(1 + b**2 * (inner**2 - 1)) - b * inner  # (beta_rec, gamma)
    activation = keep[..., None, None] * bound[cues] + b[..., None, None] * retrieved  # (beta_rec, gamma, cue, item)
    chosen = np.power(np.maximum(activation, 0.0), sharpness)
    chosen /= chosen.sum(axis=-1, keepdims=True)
    curves = chosen[..., np.arange(len(cues))[:, None], cues[:, None] + lags[None, :]].mean(axis=-2)
    return curves / curves.sum(axis=-1, keepdims=True)
