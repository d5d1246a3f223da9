"""Common spatial patterns: spatial filters whose variance differs most between kinds of windows.

``C_a w = lambda (C_a + C_b) w``: lambda is the share of a component's variance that falls to the first kind. Channels
that are combinations of others (average reference, interpolated, doubled) are taken out first: the filters are sought
inside the space that the training windows span. For more than two kinds each is set against the mean of the others.

Source: Ramoser, Mueller-Gerking & Pfurtscheller 2000 (IEEE Trans Rehabil Eng 8:441), equations 1 to 6; Blankertz et al.
2008 (IEEE Signal Processing Magazine 25:41) for filters from both ends and log-variances; Dornhege et al. 2004 (IEEE TBME
51:993) for one against the rest; Haufe et al. 2014 (NeuroImage 87:96), equation 6, for patterns; Ledoit & Wolf 2004
(J Multivariate Analysis 88:365) and Bartz & Mueller 2014 (NIPS 27) for shrinkage where samples depend on one another.
Differs from the references in: shrinkage is estimated from how covariances of whole windows scatter, since samples of one
window are far from independent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.linalg import eigh

from braindec.errors import BraindecError

RANK_TOLERANCE = 1e-9  # of the largest eigenvalue; what float32 leaves of a direction that was taken out is below 1e-12

__all__ = [
    "CSPFilters",
    "RANK_TOLERANCE",
    "class_covariances",
    "covariances",
    "csp_filters",
    "log_power",
    "signal_space",
]


class CSPFilters(NamedTuple):
    """Spatial filters of one or several problems.

    filters : (n_filters, n_channels), each with unit variance over the mean of both sides of its problem
    patterns : (n_channels, n_filters), what a unit of the component looks like at the channels
    share : (n_filters,), share of the component's variance that falls to ``target`` (0.5 is no difference)
    target : (n_filters,), number of the class that the problem is about
    """

    filters: np.ndarray
    patterns: np.ndarray
    share: np.ndarray
    target: np.ndarray


def covariances(X: np.ndarray, *, normalise: bool = True, block: int = 64) -> np.ndarray:
    """Return the covariance of the channels of each window.

    Parameters
    ----------
    X : array of shape (n_windows, n_channels, n_times)
        Each channel is centred over the window.
    normalise : bool
        Divide by the trace, so that no loud window rules.
    block : int
        Windows handled at once.

    Returns
    -------
    array of shape (n_windows, n_channels, n_channels), float64

    Raises
    ------
    BraindecError
        If a window is constant in all channels, or has one sample only.
    """
    if X.shape[2] < 2:
        raise BraindecError("a covariance needs two samples or more", found=f"windows of {X.shape[2]} sample")
    out = np.empty((len(X), X.shape[1], X.shape[1]))
    for first in range(0, len(X), block):
        part = X[first : first + block].astype(np.float64)
        part -= part.mean(axis=2, keepdims=True)
        out[first : first + block] = part @ part.swapaxes(1, 2) / X.shape[2]
    trace = np.trace(out, axis1=1, axis2=2)
    if len(out) and not trace.min() > 0:
        raise BraindecError(
            f"{int((trace <= 0).sum())} of {len(out)} windows are constant in all channels",
            fix="leave these windows out, or check where the signal was cut",
        )
    return out / trace[:, None, None] if normalise else out


def signal_space(mean: np.ndarray, *, tolerance: float = RANK_TOLERANCE) -> np.ndarray:
    """Return an orthonormal basis of the directions that a covariance (n_channels, n_channels) has, (n_channels, rank).

    Without a deficit it is the identity, so that nothing is turned for nothing.

    Raises
    ------
    BraindecError
        If nothing varies.
    """
    values, vectors = np.linalg.eigh(mean)
    if not values[-1] > 0:
        raise BraindecError(
            "no channel varies: there is no covariance to work on", found=f"{len(mean)} constant channels"
        )
    kept = values > tolerance * values[-1]
    return np.eye(len(mean)) if kept.all() else vectors[:, kept][:, ::-1]


def class_covariances(
    covs: np.ndarray, codes: np.ndarray, n_classes: int, *, shrinkage: float | str = "auto"
) -> np.ndarray:
    """Return the mean covariance of each class, shrunk towards a multiple of the identity.

    Parameters
    ----------
    covs : array of shape (n_windows, n, n)
    codes : array of int, shape (n_windows,)
    n_classes : int
    shrinkage : float or "auto"
        Weight of the identity, 0 to 1. "auto": expected squared error of the mean (from the scatter of the windows'
        covariances) over the squared distance from the target, the formula of Ledoit & Wolf with windows as samples.

    Raises
    ------
    BraindecError
        If a class has fewer than two windows.
    """
    counts = np.bincount(codes, minlength=n_classes)
    if counts.min() < 2:
        raise BraindecError(
            "spatial filters need two windows or more of each class", found=f"counts {counts.tolist()}",
            fix="use fewer folds, or join rare classes",
        )  # fmt: skip
    size = covs.shape[1]
    flat = covs.reshape(len(covs), -1)
    energy = np.einsum("ij,ij->i", flat, flat)
    out = np.empty((n_classes, size, size))
    for k in range(n_classes):
        mine = codes == k
        mean = flat[mine].mean(axis=0)
        squared = float(mean @ mean)
        target = float(np.trace(mean.reshape(size, size))) / size
        amount = float(shrinkage) if shrinkage != "auto" else 0.0
        if shrinkage == "auto" and size > 1:
            error = max(float(energy[mine].sum()) - counts[k] * squared, 0.0) / (counts[k] * (counts[k] - 1))
            distance = squared - size * target**2
            amount = float(np.clip(error / distance, 0.0, 1.0)) if distance > 1e-12 * squared else 1.0
        out[k] = (1 - amount) * mean.reshape(size, size)
        out[k][np.diag_indices(size)] += amount * target
    return out


def csp_filters(means: np.ndarray, *, n_filters: int = 3, space: np.ndarray | None = None) -> CSPFilters:
    """Return the filters of two classes, or of each class against the rest.

    Parameters
    ----------
    means : array of shape (n_classes, rank, rank)
        Covariance of each class (inside ``space`` when it is given), of full rank.
    n_filters : int
        Filters from each end of a problem; two classes have one problem, more have one each.
    space : array of shape (n_channels, rank), optional
        Of :func:`signal_space`; filters are then given for the channels.

    Raises
    ------
    BraindecError
        If there are more filters than directions, or a sum of covariances cannot be inverted.
    """
    n_classes, rank = means.shape[:2]
    if 2 * n_filters > rank:
        raise BraindecError(
            f"{n_filters} filters from each end need {2 * n_filters} independent channels", found=f"{rank} channels that are",
            fix=f"n_filters of at most {rank // 2}" if rank > 1 else "give it more channels",
        )  # fmt: skip
    filters, patterns, share, target = [], [], [], []
    for k in range(n_classes) if n_classes > 2 else (1,):
        others = [j for j in range(n_classes) if j != k]
        own, rest = means[k], means[others].mean(axis=0)
        both = own + rest
        try:
            values, vectors = eigh(own, both)
        except np.linalg.LinAlgError as error:
            raise BraindecError(
                "the covariances of the classes cannot be inverted", found=f"{rank} channels",
                fix='shrinkage="auto", more windows, or fewer channels',
            ) from error  # fmt: skip
        chosen = np.concatenate([np.arange(rank - 1, rank - 1 - n_filters, -1), np.arange(n_filters)])
        w = vectors[:, chosen] * np.sqrt(2)  # eigh gives w' (own + rest) w = 1; the mean of both is half of it
        p = both / 2 @ w
        filters.append(w.T)
        patterns.append(p)
        share.append(values[chosen])
        target.append(np.full(2 * n_filters, k))
    W, P = np.concatenate(filters), np.concatenate(patterns, axis=1)
    if space is not None:
        W, P = W @ space.T, space @ P
    return CSPFilters(W, P, np.concatenate(share), np.concatenate(target))


def log_power(covs: np.ndarray, filters: np.ndarray) -> np.ndarray:
    """Return the log variance of each component in each window, shape (n_windows, n_filters)."""
    power = (np.matmul(filters, covs) * filters).sum(axis=2)
    return np.log(np.maximum(power, 1e-12 * max(float(np.abs(power).max(initial=0.0)), 1e-300)))


def flat_channels(X: np.ndarray, names: Sequence[str]) -> list[str]:
    """Return the names of channels that are constant in all windows."""
    return [n for n, spread in zip(names, np.ptp(X, axis=(0, 2)), strict=True) if spread == 0]
