"""Tests of integration: paired differences over blocks of film, an intersection-union test, false discoveries.

A difference of correlations is a sum over events; events near one another are alike, so that blocks of film of half a
minute are the units. Their variance is widened twice: folds train on one another's test events (Nadeau & Bengio 2003: 1 +
folds x held-out over training events), and neighbouring blocks may still go together (measured over all electrodes, bins
and comparisons). The test is a one-sided t with blocks - 1 degrees of freedom. Integration means that *all* comparisons
hold, so p is the largest of them (intersection-union: its level is that of one test, with nothing to correct).

Each electrode is tested once for an event type: in each fold the bin (and multimodal model) is the one that was ahead of all
rivals in the inner folds of the training rows, so that choosing it costs nothing and makes nothing larger.

Source: Nadeau & Bengio 2003 (Machine Learning 52:239); Berger 1982 (Technometrics 24:295) for intersection-union; Simes
1986 (Biometrika 73:751); Benjamini & Hochberg 1995 (JRSS B 57:289); Benjamini & Yekutieli 2001 (Ann Stat 29:1165).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import stats

from braindec.align._integration_fit import BlockSums, Models
from braindec.errors import BraindecError
from braindec.stats.bootstrap import interval_of
from braindec.stats.fdr import fdr_bh, fdr_by

__all__ = ["CORRECTIONS", "bin_tests", "chosen_bins", "correct", "simes", "site_tests", "t_test", "widening_of"]

CORRECTIONS = {"bh": fdr_bh, "by": fdr_by}
_MOST = 0.5  # correlation of neighbouring blocks that is still a matter of widening


def correct(p: np.ndarray, correction: str) -> np.ndarray:
    """p-values corrected over electrodes by "bh" or "by"."""
    if correction not in CORRECTIONS:
        raise BraindecError(f"correction={correction!r} is unknown", allowed=", ".join(CORRECTIONS))
    return CORRECTIONS[correction](p)


def simes(p: np.ndarray, axis: int = -1) -> np.ndarray:
    """Combine p-values along an axis: the least of n p_(k) / k; NaN is no test, all NaN gives NaN."""
    p = np.moveaxis(np.asarray(p, dtype=float), axis, -1)
    n = np.isfinite(p).sum(axis=-1)
    ordered = np.sort(np.where(np.isfinite(p), p, 2.0), axis=-1)  # what is no test comes last; in all at most 1
    place = np.arange(1, p.shape[-1] + 1)
    scaled = np.where(place <= n[..., None], ordered * n[..., None] / place, 1.0)
    return np.where(n > 0, np.minimum(scaled.min(axis=-1), 1.0), np.nan)


def widening_of(found: BlockSums, models: Models) -> tuple[float, float]:
    """Factor of the variance of a difference, and the correlation of neighbouring blocks that it holds.

    Taking out the mean makes independent blocks go apart by one over their number; that is added back.
    """
    near = np.flatnonzero(np.diff(found.film) == 0)
    above = below = 0.0
    for name in models.multimodal:
        for rivals in models.rivals(name).values():
            for rival in rivals or (None,):
                left = _centred(_difference(found, name, rival)[:, found.usable], found.counts)
                above += float((left[near] * left[near + 1]).sum())
                below += float((left**2).sum())
    n = len(found.counts)
    rho = above / below * n / max(len(near), 1) + 1 / n if below > 0 else 0.0
    rho = float(np.clip(rho, 0.0, _MOST))
    return (1 + len(found.folds) * found.share) * (1 + 2 * rho), rho


def t_test(part: np.ndarray, counts: np.ndarray, widening: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean difference and one-sided p of block sums (n_blocks, n_targets), (n_targets,) each."""
    d, n = part.sum(axis=0) / counts.sum(), len(counts)
    error = np.sqrt(widening * n / (n - 1) * (_centred(part, counts) ** 2).sum(axis=0)) / counts.sum()
    t = np.divide(d, error, out=np.zeros_like(d), where=error > 0)
    return d, stats.t.sf(t, n - 1)


def bin_tests(found: BlockSums, models: Models, widening: float) -> np.ndarray:
    """Intersection-union p of each electrode and bin, (n_targets,), for pictures; NaN where unusable.

    The best of several multimodal models counts, corrected for their number.
    """
    best = np.full(len(found.usable), np.inf)
    for name in models.multimodal:
        own = np.zeros(len(found.usable))
        for rivals in models.rivals(name).values():
            for rival in rivals or (None,):
                own = np.maximum(own, t_test(_difference(found, name, rival), found.counts, widening)[1])
        best = np.minimum(best, own * len(models.multimodal))
    return np.where(found.usable, np.minimum(best, 1.0), np.nan)


def chosen_bins(found: BlockSums, models: Models, n_electrodes: int) -> tuple[np.ndarray, np.ndarray]:
    """The multimodal model and bin of each electrode in each fold, from training rows only: (n_folds, n_electrodes) each.

    It is the one whose R2 in the inner folds is furthest ahead of its best rival, and of nothing at all.
    """
    ahead = []
    for name in models.multimodal:
        rivals = [found.inner[r] for own in models.rivals(name).values() for r in own]
        margin = found.inner[name] - np.maximum(np.max(rivals, axis=0), 0.0)
        ahead.append(np.where(found.usable, margin, -np.inf).reshape(len(margin), n_electrodes, -1))
    stacked = np.stack(ahead, axis=2)  # (fold, electrode, model, bin)
    best = stacked.reshape(*stacked.shape[:2], -1).argmax(axis=2)
    return best // stacked.shape[3], best % stacked.shape[3]


def site_tests(
    found: BlockSums, models: Models, n_electrodes: int, *, widening: float, n_bootstrap: int = 0, rng: np.random.Generator | None = None,
    pairs: Mapping[str, tuple[str, str]] | None = None,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Test each electrode in the bins that were chosen in training rows.

    Returns
    -------
    dict of str to array of shape (n_electrodes,)
        ``p``; ``r_<model>``, ``r_best`` (the multimodal model that was chosen); ``d_<comparison>``
        against the rival that comes nearest, with ``_low`` and ``_high`` if there are resamples; the same for pairs, with
        ``<pair>_p``; ``bin``, ``model`` (numbers, the most frequent over folds). NaN where an electrode has no usable bin.
    """
    pairs = pairs or {}
    model, place = chosen_bins(found, models, n_electrodes)
    n_bins = len(found.usable) // n_electrodes
    column = (np.arange(n_electrodes) * n_bins + place)[found.fold]  # (n_blocks, n_electrodes)
    known = found.usable.reshape(n_electrodes, n_bins).any(axis=1)
    read = {name: np.take_along_axis(values, column, axis=1) for name, values in found.sums.items()}
    which = model[found.fold]
    best = np.take_along_axis(np.stack([read[m] for m in models.multimodal]), which[None], axis=0)[0]
    kept = {"r_best": best, **{f"r_{k}": v for k, v in read.items()}}
    p = np.zeros(n_electrodes)
    for comparison in dict.fromkeys(c for m in models.multimodal for c in models.rivals(m)):
        every = [models.rivals(m).get(comparison, ()) for m in models.multimodal]
        nearest = np.full(n_electrodes, np.inf)
        for rank in range(max(1, *(len(own) for own in every))):
            rivals = [read[own[min(rank, len(own) - 1)]] if own else np.zeros_like(best) for own in every]
            part = best - np.take_along_axis(np.stack(rivals), which[None], axis=0)[0]
            d, own_p = t_test(part, found.counts, widening)
            p = np.maximum(p, own_p)
            kept[f"d_{comparison}"] = np.where(d < nearest, part, kept.get(f"d_{comparison}", part))
            nearest = np.minimum(nearest, d)
    kept |= {f"d_{label}": read[one] - read[two] for label, (one, two) in pairs.items()}
    out = {k: v.sum(axis=0) / found.counts.sum() for k, v in kept.items()} | {"p": p}
    out |= {f"{label}_p": t_test(kept[f"d_{label}"], found.counts, widening)[1] for label in pairs}
    for name in [k for k in kept if k.startswith("d_") and n_bootstrap]:
        low, high = _intervals(kept[name], found.counts, widening, n_bootstrap, rng)
        out |= {f"{name}_low": low, f"{name}_high": high}
    out |= {"bin": _most_frequent(place), "model": _most_frequent(model)}
    return {k: np.where(known, v, np.nan) for k, v in out.items()}


def _intervals(part: np.ndarray, counts: np.ndarray, widening: float, n: int, rng: np.random.Generator | None) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """95 % intervals of mean differences by resampling blocks, widened as the test is, (n_targets,) each."""
    n_blocks = len(counts)
    weights = np.random.default_rng(rng).multinomial(n_blocks, np.full(n_blocks, 1 / n_blocks), size=n).astype(float)
    draws = weights @ part / (weights @ counts)[:, None]
    wide = part.sum(axis=0) / counts.sum() + np.sqrt(widening) * (draws - draws.mean(axis=0))
    ends = np.array([interval_of(column, n_units=n_blocks) for column in wide.T])
    return ends[:, 0], ends[:, 1]


def _most_frequent(values: np.ndarray) -> np.ndarray:
    """The most frequent number of each column (n_folds, n), the middle one of equals."""
    out = []
    for column in values.T:
        names, count = np.unique(column, return_counts=True)
        top = names[count == count.max()]
        out.append(top[len(top) // 2])
    return np.array(out, dtype=float)


def _difference(found: BlockSums, name: str, rival: str | None) -> np.ndarray:
    return found.sums[name] - found.sums[rival] if rival else found.sums[name]


def _centred(part: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Block sums without what the mean over events would give them."""
    return part - counts[:, None] * (part.sum(axis=0) / counts.sum())
