"""Goodness of fit of point-process models by time rescaling, exact in discrete bins.

If the model is right, the integrated rate between spikes is exponential with mean 1. Bins hide where in them a spike
was; it is drawn from the distribution that the model gives it, which makes the rescaled intervals exactly exponential
where the usual formula is biased (Haslinger et al. 2010). With a Poisson model the spikes of a bin are uniform in the bin's
integrated rate; with a Bernoulli model the one spike is where a truncated exponential puts it.

Source: Brown et al. 2002 (Neural Comput 14:325); Haslinger, Pipa & Brown 2010 (Neural Comput 22:2477), equations 3.1-3.3.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from braindec.errors import BraindecError

__all__ = ["rescale", "rescaling_table"]

_FEW = 5  # intervals


def rescale(counts: Any, mean: Any, *, family: str = "poisson", rng: np.random.Generator | int = 0) -> np.ndarray:
    """Return rescaled intervals between the spikes of one unit: exponential with mean 1 where the model holds.

    Parameters
    ----------
    counts : array of shape (n_bins,)
    mean : array of shape (n_bins,)
        Expected counts (Poisson) or probabilities of a spike (Bernoulli).
    family : {"poisson", "bernoulli"}
    rng : Generator or int

    Returns
    -------
    array of shape (n_spikes,)
        The first from the beginning on; what follows the last spike is left out.
    """
    y, mean = np.asarray(counts, dtype=float), np.asarray(mean, dtype=float)
    if not np.isfinite(y).all() or (y < 0).any() or (y != np.round(y)).any():
        raise BraindecError("rescaling needs counts: whole numbers from 0 on", found=f"shape {y.shape}")
    if y.ndim != 1 or y.shape != mean.shape or not np.isfinite(mean).all() or (mean < 0).any():
        raise BraindecError(
            "rescaling needs counts and expected counts (0 or more) of the same bins",
            found=f"{y.shape} and {mean.shape}",
        )
    if (y[mean == 0] > 0).any():
        raise BraindecError(
            "there are spikes where the model allows none",
            found=f"{int(y[mean == 0].sum())} spikes in bins with an expected count of 0",
        )
    rng = np.random.default_rng(rng)
    if family == "poisson":
        rate = mean
    elif family == "bernoulli":
        if (mean >= 1).any() or y.max(initial=0) > 1:
            raise BraindecError("a Bernoulli model has probabilities below 1 and at most one spike a bin")
        rate = -np.log1p(-mean)
    else:
        raise BraindecError(f"there is no family {family!r}", allowed="poisson, bernoulli")
    after = np.cumsum(rate)
    where = np.repeat(np.arange(len(y)), y.astype(int))
    u = rng.random(len(where))
    if family == "poisson":
        return np.diff(np.sort(after[where] - u * rate[where]), prepend=0.0)
    # a bin with a spike can have no other: the next interval begins at its end
    inside = -np.log1p(u * np.expm1(-rate[where]))
    return after[where] - rate[where] + inside - np.append(0.0, after[where[:-1]])


def rescaling_table(counts: Any, mean: Any, *, family: str = "poisson", seed: int = 0) -> pd.DataFrame:
    """Test the fit of each unit.

    Parameters
    ----------
    counts, mean : array of shape (n_units, n_bins)
    family : {"poisson", "bernoulli"}
    seed : int

    Returns
    -------
    DataFrame
        unit, n (intervals), ks (largest distance of their distribution from the exponential), p (Kolmogorov-Smirnov,
        exact for n), correlation (of successive intervals after a normal transform) and its p_correlation. NaN below 5
        intervals.

    Notes
    -----
    p is exact for a model that is known. One that was fitted to the same bins follows their noise: p is too large (0.5 % of
    right models have p <= 0.05). One that was fitted to other bins has its own error too: p is too small unless there were
    many more of them (right models of a constant rate have p <= 0.05 in 13 % of cases with as many spikes to fit as to test,
    in 7 % with ten times as many).
    """
    rows, counts, mean = [], np.atleast_2d(counts), np.atleast_2d(mean)
    if counts.shape != mean.shape:
        raise BraindecError("counts and expected counts differ in shape", found=f"{counts.shape} and {mean.shape}")
    for unit, (y, m) in enumerate(zip(counts, mean, strict=True)):
        z = rescale(y, m, family=family, rng=np.random.default_rng([seed, unit]))
        if len(z) < _FEW:
            rows.append((unit, len(z), *[np.nan] * 4))
            continue
        test = stats.kstest(z, "expon", method="auto")
        g = stats.norm.isf(np.clip(np.exp(-z), 1e-12, 1 - 1e-12))
        r, p = stats.pearsonr(g[:-1], g[1:])
        rows.append((unit, len(z), float(test.statistic), float(test.pvalue), float(r), float(p)))
    return pd.DataFrame(rows, columns=["unit", "n", "ks", "p", "correlation", "p_correlation"])
