"""Do layers and regions tell tagged conditions apart alike? Dissimilarities of spectra, with a null and honest selection.

Items are conditions, each in two blocks of different trials. A unit or channel has a spectrum of evoked power for each item,
every bin relative to its mean power over all trials (which takes 1/f out), and cosine distances between items; a layer has the
mean over its units, a region that over its channels. Similarity is Spearman's rho over pairs of items, each pair once. Channels
may be chosen, but then on one half of the trials and scored on the other, both ways round; the null permutes the condition of
the channels' trials and repeats everything, the choice included.

What it can show is that both tell the same conditions apart. With three conditions there is little more to agree on: a layer
of an untrained network on the same text belongs beside it.

Source: Kriegeskorte, Mur & Bandettini 2008 (Front Syst Neurosci 2:4) for RSA; Kriegeskorte et al. 2009 (Nat Neurosci 12:535)
for selection on other data. The mean of the best 100 of N channels on the data that chose them is 0.3 to 0.6 for noise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from braindec.align._tag_trials import Trials, trials_of
from braindec.errors import BraindecError
from braindec.stats.fdr import fdr_bh
from braindec.stats.permutation import permutation_p
from braindec.stats.tagging import Design
from braindec.stats.tagging.spectrum import apply_table, fourier_table

__all__ = ["SpectraSimilarity", "spectra_similarity"]

_BLOCKS = 2
_UNITS = 4096  # at a time


@dataclass
class SpectraSimilarity:
    """Similarity of every layer to every region.

    Parameters
    ----------
    table : DataFrame
        layer, region, value (Spearman's rho), chance (mean of the null), low and high (95 %, bootstrap over channels),
        ceiling (rho between a region's dissimilarities in one half of its trials and in the other), p, q, p_max (over
        layers and regions), n (channels that were scored).
    null : array of shape (permutation, layer x region)
    frequencies : array
        Hz.
    notes : list of str
    """

    table: pd.DataFrame
    null: np.ndarray
    frequencies: np.ndarray
    notes: list[str] = field(default_factory=list)

    def matrix(self) -> np.ndarray:
        """Return the values as (layer, region)."""
        return self.table["value"].to_numpy().reshape(self.table["layer"].nunique(), -1)


def spectra_similarity(
    units: Any, channels: Any, *, design: Design, conditions: Mapping[str, str], band: tuple[float, float] = (0.5, 2.0),
    layer: str | Sequence[Any] = "layer", region: str | Sequence[Any] = "region", select: int | None = None,
    sfreq: tuple[float | None, float | None] = (None, None), n_permutations: int = 500, n_bootstrap: int = 1000, seed: int = 0,
) -> SpectraSimilarity:  # fmt: skip
    """Compare units and channels by how the spectra of conditions differ.

    Parameters
    ----------
    units, channels : Features, Windows, or mapping of condition to array (trial, time, unit)
    design : Design
        The same for both: its onset is dropped, its duration is what remains.
    conditions : mapping of str to str
        Condition of the units -> condition of the channels; at least two.
    band : (low, high)
        Hz; all Fourier bins of the trial in it are compared.
    layer, region : str or sequence
        Column of the units (channels), or one label for each.
    select : int, optional
        Score so many channels of a region only, those most similar on the other half of the trials.
    sfreq : (float, float)
        Of units and channels, where the data do not know it.
    n_permutations, n_bootstrap, seed : int

    Raises
    ------
    BraindecError
        If there are fewer than two conditions, fewer than 4 trials of one, or no common bins in the band.
    """
    if len(conditions) < 2:
        raise BraindecError("a comparison of spectra needs at least 2 conditions", found=", ".join(conditions))
    left = [_trials(units, name, sfreq[0] or design.unit_rate) for name in conditions]
    right = [_trials(channels, name, sfreq[1]) for name in conditions.values()]
    grid = _grid(design, band, left[0].sfreq, right[0].sfreq)
    layers = _labels(left[0].units, layer, "units")
    regions = _labels(right[0].units, region, "channels")
    models, layer_names = _layer_rdms([_coefficients(t, design, grid) for t in left], layers)
    c = [_coefficients(t, design, grid) for t in right]
    few = min(len(x) for x in c)
    if few < 2 * _BLOCKS:
        raise BraindecError(
            "two halves of two blocks need 4 trials of each condition", found=f"{few} trials of one condition"
        )
    rng = np.random.default_rng([seed, 411])
    every, labels = _whitened(np.concatenate(c)), np.repeat(np.arange(len(c)), [len(x) for x in c])
    part = _parts(labels, rng)
    varies = np.isfinite(every).all(axis=(0, 1))
    region_names = sorted(set(regions.tolist()))
    members = [np.flatnonzero((regions == r) & varies) for r in region_names]
    if empty := [str(r) for r, own in zip(region_names, members, strict=True) if not len(own)]:
        raise BraindecError(
            f"no channel of the region {empty[0]} varies", found=f"{len(empty)} such regions", fix="leave them out"
        )
    observed, used = _scores(every, labels, part, models, members, select)
    null = np.empty((n_permutations, observed.size))
    for k in range(n_permutations):
        null[k] = _scores(every, _shuffled(labels, part, rng), part, models, members, select)[0].reshape(-1)
    p = np.atleast_1d(permutation_p(observed.reshape(-1), null))
    scaled, mine = ((v - null.mean(axis=0)) / np.maximum(null.std(axis=0), 1e-12) for v in (null, observed.reshape(-1)))
    p_max = permutation_p(mine, np.repeat(scaled.max(axis=1)[:, None], mine.size, axis=1))
    halves = _halves(every, labels, part)
    rows = []
    for i, layer_name in enumerate(layer_names):
        for j, (name, own) in enumerate(zip(region_names, members, strict=True)):
            draws = _bootstrap(models[i], used[i][j], n_bootstrap, rng)
            k = i * len(members) + j
            rows.append({"layer": layer_name, "region": name, "value": observed[i, j], "chance": null[:, k].mean(),
                         "low": np.quantile(draws, 0.025), "high": np.quantile(draws, 0.975), "ceiling": _agreement(halves, own),
                         "p": p[k], "q": np.nan, "p_max": p_max[k], "n": len(own) if select is None else min(select, len(own))})  # fmt: skip
    table = pd.DataFrame(rows)
    table["q"] = fdr_bh(table["p"].to_numpy())
    notes = [
        f"Spectra of {len(conditions)} conditions in {_BLOCKS} blocks each, {len(grid)} bins from {grid[0]:g} to {grid[-1]:g} Hz; the null permutes "
        f"the conditions of the channels' trials {n_permutations:,} times."
    ]  # fmt: skip
    if not varies.all():
        notes.append(f"{int((~varies).sum())} of {len(varies)} channels do not vary and are left out.")
    if select is not None:
        notes.append(
            f"The {select} most similar channels of a region were chosen on one half of the trials and scored on the other, both ways."
        )
    return SpectraSimilarity(table, null, grid, notes)


def _trials(signal: Any, condition: str, sfreq: float | None) -> Trials:
    if isinstance(signal, Mapping):
        if condition not in signal:
            raise BraindecError(f"there is no condition {condition!r}", allowed=", ".join(map(str, signal)))
        made = trials_of(signal[condition], None, condition=None, by=None, blocks=None)[0]
    else:
        made = trials_of(signal, None, condition=condition, by=None, blocks=None)[0]
    made.sfreq = made.sfreq or sfreq
    if made.sfreq is None:
        raise BraindecError(
            "the sampling frequency of the channels is not known", fix="give sfreq=(units, channels) in Hz"
        )
    return made


def _grid(design: Design, band: tuple[float, float], left: float | None, right: float | None) -> np.ndarray:
    length = design.duration - design.onset
    top = min(band[1], *(s / 2 for s in (left, right) if s))
    grid = np.arange(1, int(np.floor(top * length + 1e-9)) + 1) / length
    grid = grid[grid >= band[0] - 1e-9]
    if len(grid) < 3:
        raise BraindecError(
            f"fewer than 3 Fourier bins lie between {band[0]:g} and {top:g} Hz", found=f"trials of {length:g} s, bins {1 / length:.4g} Hz apart",
            fix="longer trials, or a wider band",
        )  # fmt: skip
    return grid


def _labels(units: pd.DataFrame, given: str | Sequence[Any], what: str) -> np.ndarray:
    if isinstance(given, str):
        if given not in units:
            raise BraindecError(
                f"the {what} have no column {given!r}",
                allowed=", ".join(map(str, units)),
                fix="give one label for each",
            )
        return units[given].to_numpy()
    labels = np.asarray(given)
    if len(labels) != len(units):
        raise BraindecError(f"labels and {what} differ in number", found=f"{len(labels)} and {len(units)}")
    return labels


def _coefficients(trials: Trials, design: Design, grid: np.ndarray) -> np.ndarray:
    sfreq = float(trials.sfreq)  # type: ignore[arg-type]
    first, n = round(design.onset * sfreq), round((design.duration - design.onset) * sfreq)
    if trials.values.shape[1] < first + n:
        raise BraindecError(
            "trials are shorter than the design says", found=f"{trials.values.shape[1] / sfreq:g} s", allowed=f"{design.duration:g} s"
        )  # fmt: skip
    return apply_table(
        fourier_table(n, sfreq, grid, detrend="linear"),
        trials.values[:, first : first + n].astype(np.float64, copy=False),
    )


def _whitened(c: np.ndarray) -> np.ndarray:
    """Coefficients (trial, bin, unit) relative to the root mean power of their bin over all trials of all conditions."""
    level = np.sqrt((np.abs(c) ** 2).mean(axis=0))
    with np.errstate(invalid="ignore"):
        return c / np.where(level > 0, level, np.nan)


def _layer_rdms(c: list[np.ndarray], layers: np.ndarray) -> tuple[np.ndarray, list[Any]]:
    """Ranks of the mean dissimilarities of each layer, standardised, shape (layer, pair); and the layers."""
    names = sorted(set(layers.tolist()))
    rdms = []
    for name in names:
        own = np.flatnonzero(layers == name)
        total, n = 0.0, 0
        for start in range(0, len(own), _UNITS):
            chunk = own[start : start + _UNITS]
            white = _whitened(np.concatenate([x[:, :, chunk] for x in c]))
            parts = np.split(white, np.cumsum([len(x) for x in c])[:-1])
            d = _distances(np.stack([np.abs(half.mean(axis=0)) ** 2 for x in parts for half in (x[0::2], x[1::2])]))
            known = np.isfinite(d).all(axis=0)
            total, n = total + d[:, known].sum(axis=1), n + int(known.sum())
        if not n:
            raise BraindecError(f"no unit of layer {name} responds in all conditions", found=f"{len(own)} units")
        rdms.append(total / n)
    return _standard_ranks(np.stack(rdms, axis=1)).T, names


def _distances(items: np.ndarray) -> np.ndarray:
    """Cosine distances between items (item, bin, unit), shape (pair, unit)."""
    size = np.linalg.norm(items, axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        unit = items / size
    i, j = np.triu_indices(len(items), 1)
    return 1 - np.einsum("pbu,pbu->pu", unit[i], unit[j])


def _standard_ranks(d: np.ndarray) -> np.ndarray:
    """Ranks down the columns (pair, unit), mean 0 and length 1."""
    ranks = rankdata(d, axis=0)
    ranks -= ranks.mean(axis=0)
    length = np.sqrt((ranks**2).sum(axis=0))
    return ranks / np.where(length > 0, length, np.nan)


def _parts(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each trial's half and block as one number 0 to 3, equally many of each in every condition."""
    part = np.empty(len(labels), dtype=int)
    for value in np.unique(labels):
        own = rng.permutation(np.flatnonzero(labels == value))
        part[own] = np.arange(len(own)) % (2 * _BLOCKS)
    return part


def _shuffled(labels: np.ndarray, part: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Conditions exchanged within each half and block, so that every item keeps its number of trials."""
    out = labels.copy()
    for value in np.unique(part):
        own = np.flatnonzero(part == value)
        out[own] = labels[rng.permutation(own)]
    return out


def _items(c: np.ndarray, item: np.ndarray, n_items: int) -> np.ndarray:
    """Distances (pair, channel) between items; trials of item -1 are left out."""
    inside = item >= 0
    weights = np.zeros((n_items, len(c)))
    weights[item[inside], np.flatnonzero(inside)] = 1.0
    weights /= weights.sum(axis=1, keepdims=True)
    mean = (weights @ c.reshape(len(c), -1)).reshape(n_items, *c.shape[1:])
    return _distances(mean.real**2 + mean.imag**2)


def _halves(c: np.ndarray, labels: np.ndarray, part: np.ndarray) -> list[np.ndarray]:
    """Distances (pair, channel) in each half of the trials, with two blocks of a condition in each."""
    n_items, item = (labels.max() + 1) * _BLOCKS, labels * _BLOCKS + part % _BLOCKS
    return [_items(c, np.where(part // _BLOCKS == half, item, -1), n_items) for half in (0, 1)]


def _scores(
    c: np.ndarray,
    labels: np.ndarray,
    part: np.ndarray,
    models: np.ndarray,
    members: list[np.ndarray],
    select: int | None,
) -> tuple[np.ndarray, list[list[np.ndarray]]]:
    """Similarity (layer, region), and the distances (pair, channel) of the channels that were scored, by layer and region."""
    value = np.empty((len(models), len(members)))
    if select is None:
        d = _items(c, labels * _BLOCKS + part % _BLOCKS, (labels.max() + 1) * _BLOCKS)
        for j, own in enumerate(members):
            value[:, j] = models @ _standard_ranks(d[:, own].mean(axis=1, keepdims=True))[:, 0]
        return value, [[d[:, own] for own in members] for _ in models]
    halves = _halves(c, labels, part)
    single = [models @ _standard_ranks(h) for h in halves]  # (layer, channel)
    used: list[list[np.ndarray]] = []
    for i in range(len(models)):
        used.append([])
        for j, own in enumerate(members):
            parts = []
            for choose, score in ((0, 1), (1, 0)):
                best = own[np.argsort(-single[choose][i, own], kind="stable")[:select]]
                parts.append(halves[score][:, best])
            rho = [models[i] @ _standard_ranks(d.mean(axis=1, keepdims=True))[:, 0] for d in parts]
            value[i, j] = np.mean(rho)
            used[-1].append(np.concatenate(parts, axis=1))
    return value, used


def _bootstrap(model: np.ndarray, d: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Similarities with channels (columns of ``d``) drawn with replacement."""
    weights = rng.multinomial(d.shape[1], np.full(d.shape[1], 1 / d.shape[1]), size=n) / d.shape[1]
    return model @ _standard_ranks(d @ weights.T)


def _agreement(halves: list[np.ndarray], own: np.ndarray) -> float:
    a, b = (_standard_ranks(h[:, own].mean(axis=1, keepdims=True))[:, 0] for h in halves)
    return float(a @ b)
