"""Tests of integration: paired differences over blocks of film, an intersection-union test, electrodes by Simes, FDR.

A difference of correlations is a sum over events; events near one another are alike, so that blocks of film of half a
minute are the units. Their variance is widened twice: folds train on one another's test events (Nadeau & Bengio 2003: 1 +
folds x held-out over training events), and neighbouring blocks may still go together (measured over all electrodes, bins
and comparisons). The test is a one-sided t with blocks - 1 degrees of freedom. Integration means *all* comparisons hold, so
p of a bin is the largest of them (intersection-union: its level is that of one test, with nothing to correct). Bins of an
electrode are combined by Simes, event types too, and electrodes are corrected by the false discovery rate.

Source: Nadeau & Bengio 2003 (Machine Learning 52:239); Berger 1982 (Technometrics 24:295) for intersection-union;
Simes 1986 (Biometrika 73:751), valid under positive dependence; Benjamini & Hochberg 1995, Benjamini & Yekutieli 2001.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

from braindec.align._integration_fit import BlockSums, Models
from braindec.errors import BraindecError
from braindec.stats.bootstrap import interval_of
from braindec.stats.fdr import fdr_bh, fdr_by

__all__ = [
    "CORRECTIONS",
    "Tested",
    "correct",
    "differences",
    "effects",
    "neighbour_correlation",
    "simes",
    "t_test",
    "tested_bins",
]

CORRECTIONS = {"bh": fdr_bh, "by": fdr_by}


@dataclass(frozen=True, eq=False)
class Tested:
    """Tests of all electrodes and bins of one subject and event type; arrays (n_electrodes, n_bins), NaN where unusable.

    Parameters
    ----------
    p : array
        Intersection-union, of the best multimodal model (corrected for how many there are).
    best : array of int
        Which multimodal model that is.
    p_each : mapping of str to array
        The largest p of each comparison (best model).
    difference : mapping of str to array
        The least difference of r of each comparison (best model).
    widening : float
        Factor of the variance for folds and neighbours.
    neighbours : float
        Correlation of neighbouring blocks.
    """

    p: np.ndarray
    best: np.ndarray
    p_each: Mapping[str, np.ndarray]
    difference: Mapping[str, np.ndarray]
    widening: float
    neighbours: float


def differences(found: BlockSums, models: Models, name: str) -> dict[tuple[str, str], np.ndarray]:
    """Block sums of a multimodal model minus those of each rival, (comparison, rival) -> (n_blocks, n_targets)."""
    own, out = found.sums[name], {}
    for comparison, rivals in models.rivals(name).items():
        for rival in rivals or ("",):
            out[comparison, rival] = own - found.sums[rival] if rival else own
    return out


def neighbour_correlation(found: BlockSums, parts: list[np.ndarray]) -> float:
    """Correlation of neighbouring blocks of one film over all targets and comparisons, at least 0.

    Taking out the mean makes independent blocks go apart by one over their number; that is added back.
    """
    near = np.flatnonzero(np.diff(found.film) == 0)
    above = below = 0.0
    for part in parts:
        left = _centred(part[:, found.usable], found.counts)
        above += float((left[near] * left[near + 1]).sum())
        below += float((left**2).sum())
    n = len(found.counts)
    rho = above / below * n / max(len(near), 1) + 1 / n if below > 0 else 0.0
    return float(np.clip(rho, 0.0, 0.5))


def tested_bins(found: BlockSums, models: Models, n_electrodes: int) -> Tested:
    """Test every electrode and bin."""
    all_parts = {name: differences(found, models, name) for name in models.multimodal}
    rho = neighbour_correlation(found, [part for parts in all_parts.values() for part in parts.values()])
    widening = (1 + len(found.folds) * found.share) * (1 + 2 * rho)
    shape = (n_electrodes, -1)
    whole, p_each, least = [], [], []
    for name in models.multimodal:
        p_own: dict[str, np.ndarray] = {}
        d_own: dict[str, np.ndarray] = {}
        for (comparison, _), part in all_parts[name].items():
            d, p = t_test(part, found.counts, widening, found.usable)
            p_own[comparison] = np.maximum(p_own.get(comparison, p), p)
            d_own[comparison] = np.minimum(d_own.get(comparison, d), d)
        whole.append(np.max(list(p_own.values()), axis=0))
        p_each.append(p_own)
        least.append(d_own)
    stacked = np.where(np.isfinite(whole), whole, np.inf)
    best = stacked.argmin(axis=0)
    pick = best[None, :]
    p = np.minimum(np.take_along_axis(np.array(whole), pick, 0)[0] * len(whole), 1.0)
    names = dict.fromkeys(k for own in p_each for k in own)

    def of_best(tables: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        nothing = np.full(len(best), np.nan)
        return {
            k: np.take_along_axis(np.array([t.get(k, nothing) for t in tables]), pick, 0)[0].reshape(shape)
            for k in names
        }

    return Tested(p.reshape(shape), best.reshape(shape), of_best(p_each), of_best(least), float(widening), rho)


def t_test(part: np.ndarray, counts: np.ndarray, widening: float, usable: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Mean difference and one-sided p of block sums, (n_targets,) each; NaN for targets that are not usable."""
    d = part.sum(axis=0) / counts.sum()
    n = len(counts)
    left = _centred(part, counts)
    error = np.sqrt(widening * n / (n - 1) * (left**2).sum(axis=0)) / counts.sum()
    t = np.divide(d, error, out=np.zeros_like(d), where=error > 0)
    p = stats.t.sf(t, n - 1)
    if usable is not None:
        d, p = np.where(usable, d, np.nan), np.where(usable, p, np.nan)
    return d, p


def simes(p: np.ndarray, axis: int = -1) -> np.ndarray:
    """Combine p-values along an axis: the least of n p_(k) / k; NaN is no test, all NaN gives NaN."""
    p = np.moveaxis(np.asarray(p, dtype=float), axis, -1)
    known = np.isfinite(p)
    n = known.sum(axis=-1, keepdims=True)
    ordered = np.sort(np.where(known, p, np.inf), axis=-1)
    scaled = ordered * n / np.arange(1, p.shape[-1] + 1)
    return np.where(n[..., 0] > 0, np.minimum(scaled.min(axis=-1), 1.0), np.nan)


def effects(
    found: BlockSums, tested: Tested, models: Models, n_electrodes: int, *, pairs: Mapping[str, tuple[str, str]], n_bootstrap: int,
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:  # fmt: skip
    """r of each model and differences at bins that were chosen without the fold that is scored.

    For each electrode and fold, the bin and multimodal model are those with the largest least-t over the comparisons in all
    other folds; what the fold adds is read there. Intervals resample blocks of film, paired, and are widened as the test is.

    Parameters
    ----------
    pairs : mapping of str to (str, str)
        Differences of two models that are reported too.

    Returns
    -------
    dict of str to array of shape (n_electrodes,)
        ``r_<model>``, ``d_<comparison>`` with ``_low``, ``_high`` (against the best rival of the other folds), ``d_<pair>`` with
        ``p_<pair>``.
    """
    n_blocks, n_bins = len(found.counts), len(found.usable) // n_electrodes
    parts = {name: differences(found, models, name) for name in models.multimodal}
    kept: dict[str, np.ndarray] = {}

    def put(name: str, rows: np.ndarray, values: np.ndarray) -> None:
        kept.setdefault(name, np.zeros((n_blocks, n_electrodes)))[rows] = values

    names = [k for k in found.sums]
    at = np.arange(n_electrodes)
    for fold in np.unique(found.fold):
        held, others = np.flatnonzero(found.fold == fold), np.flatnonzero(found.fold != fold)
        t = np.stack([_least_t({k: v[others] for k, v in own.items()}, found.counts[others]) for own in parts.values()])
        t = np.where(found.usable, t, -np.inf).reshape(len(parts), n_electrodes, n_bins)
        place = t.transpose(1, 0, 2).reshape(n_electrodes, -1).argmax(axis=1)
        which, column = place // n_bins, at * n_bins + place % n_bins
        for name in names:
            put(f"r_{name}", held, found.sums[name][np.ix_(held, column)])
        for label, (one, two) in pairs.items():
            put(f"d_{label}", held, (found.sums[one] - found.sums[two])[np.ix_(held, column)])
        for k, (name, own) in enumerate(parts.items()):
            mine = which == k
            if not mine.any():
                continue
            here = column[mine]
            cells = np.ix_(held, np.flatnonzero(mine))
            kept.setdefault("r_best_multimodal", np.zeros((n_blocks, n_electrodes)))[cells] = found.sums[name][np.ix_(held, here)]  # fmt: skip
            for comparison in models.rivals(name):
                rivals = [v for (c, _), v in own.items() if c == comparison]
                weakest = np.argmin([v[np.ix_(others, here)].sum(axis=0) for v in rivals], axis=0)
                values = np.stack([v[np.ix_(held, here)] for v in rivals])
                chosen = np.take_along_axis(values, weakest[None, None, :], 0)[0]
                kept.setdefault(f"d_{comparison}", np.zeros((n_blocks, n_electrodes)))[cells] = chosen
    known = found.usable.reshape(n_electrodes, n_bins).any(axis=1)
    out = {k: np.where(known, v.sum(axis=0) / found.counts.sum(), np.nan) for k, v in kept.items()}
    ends = [k for k in kept if k.startswith("d_")]
    weights = rng.multinomial(n_blocks, np.full(n_blocks, 1 / n_blocks), size=n_bootstrap).astype(float)
    size = weights @ found.counts
    for name in ends:
        draws = weights @ kept[name] / size[:, None]
        middle = draws.mean(axis=0)
        wide = out[name] + np.sqrt(tested.widening) * (draws - middle)
        low, high = np.array([interval_of(c, n_units=n_blocks) if np.isfinite(c).all() else (np.nan, np.nan) for c in wide.T]).T  # fmt: skip
        out |= {f"{name}_low": low, f"{name}_high": high}
    for label in pairs:
        out[f"p_{label}"] = t_test(kept[f"d_{label}"], found.counts, tested.widening, known)[1]
    return out


def _least_t(parts: Mapping[tuple[str, str], np.ndarray], counts: np.ndarray) -> np.ndarray:
    """Smallest t over comparisons, (n_targets,)."""
    found = []
    for part in parts.values():
        error = np.sqrt((_centred(part, counts) ** 2).sum(axis=0))
        found.append(np.divide(part.sum(axis=0), error, out=np.zeros(part.shape[1]), where=error > 0))
    return np.min(found, axis=0)


def _centred(part: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Block sums without what the mean over events would give them."""
    return part - counts[:, None] * (part.sum(axis=0) / counts.sum())


def correct(p: np.ndarray, correction: str) -> np.ndarray:
    """p-values corrected over electrodes by "bh" or "by"."""
    if correction not in CORRECTIONS:
        raise BraindecError(f"correction={correction!r} is unknown", allowed=", ".join(CORRECTIONS))
    return CORRECTIONS[correction](p)
