"""What a single-trial model learns from training runs: a response for each voxel, noise regressors, ridge fractions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from braindec.signal.glm._runs import Block, Run, batches
from braindec.signal.glm.crossval import Conditions, explained
from braindec.signal.glm.denoise import noise_components
from braindec.signal.glm.estimators import Spectrum
from braindec.signal.glm.fractional_ridge import fractional_betas
from braindec.signal.glm.hrf_library import Responses

__all__ = ["Chosen", "choose_fractions", "choose_responses", "components_of", "groups_of", "score_numbers"]


@dataclass
class Chosen:
    """Of the responses, voxel by voxel; all arrays of shape (n_voxels,).

    Parameters
    ----------
    index : array of int
        Member of the library with the best cross-validated R2; where none predicts a held-out run, the member that is
        chosen most often elsewhere.
    r2, onoff_r2 : array
        Cross-validated R2 with the chosen response (conditions), and of ON-OFF with the default response.
    onoff : array
        Weight of the ON-OFF model over training runs (type A).
    intensity : array
        Mean over training runs.
    unusable : array of bool
        Not usable in one training run or more.
    """

    index: np.ndarray
    r2: np.ndarray
    onoff_r2: np.ndarray
    onoff: np.ndarray
    intensity: np.ndarray
    unusable: np.ndarray


def choose_responses(
    runs: Sequence[Run], responses: Responses, conditions: Conditions, *, percent: bool, batch: int
) -> Chosen:
    """Choose a response for each voxel by leave-one-run-out; R2 is NaN for a single run."""
    n_voxels = runs[0].recording.n_channels
    scores = np.full((len(responses), n_voxels), np.nan)
    onoff_r2, onoff, intensity = (np.full(n_voxels, np.nan) for _ in range(3))
    unusable = np.zeros(n_voxels, dtype=bool)
    columns = [conditions.columns(k) for k in range(len(runs))]
    for voxels, blocks in _blocks(runs, percent, batch, "responses"):
        unusable[voxels] = np.logical_or.reduce([b.unusable for b in blocks])
        intensity[voxels] = np.mean([b.mean for b in blocks], axis=0)
        power = np.sum([(b.data**2).sum(axis=0) for b in blocks], axis=0)
        power = np.where(unusable[voxels] | (power <= 0), np.nan, power)
        for h in range(len(responses)):
            made = [run.designs(responses)[h] @ c for run, c in zip(runs, columns, strict=True)]
            grams = np.stack([m.T @ m for m in made])
            moments = np.stack([m.T @ b.data for m, b in zip(made, blocks, strict=True)])
            if h == responses.default:
                total = grams[:, :1, :1].sum()
                onoff[voxels] = np.where(np.isfinite(power), moments[:, 0].sum(axis=0) / total, np.nan)
            if len(runs) > 1:
                energy = _energy(runs, responses, h)
                scores[h, voxels] = explained(grams, moments, energy=energy) / power
                if h == responses.default:
                    onoff_r2[voxels] = explained(grams[:, :1, :1], moments[:, :1], energy=energy) / power
    index = np.full(n_voxels, responses.default)
    best = np.full(n_voxels, np.nan)
    there = np.isfinite(scores).all(axis=0)
    if there.any():
        index[there] = np.argmax(scores[:, there], axis=0)
        best[there] = scores[:, there].max(axis=0)
        driven = there & (np.nan_to_num(best, nan=-1.0) > 0)
        usual = int(np.bincount(index[driven]).argmax()) if driven.any() else responses.default
        index[~driven] = usual
    return Chosen(index, best, onoff_r2, onoff, intensity, unusable)


def components_of(run: Run, pool: np.ndarray, n: int, *, percent: bool, batch: int) -> np.ndarray:
    """Return the noise components of one run, orthonormal, shape (n_times, at most n)."""
    cross = np.zeros((run.recording.n_times,) * 2)
    for voxels in batches(len(pool), batch):
        if pool[voxels].any():
            data = run.read(voxels, percent=percent).data[:, pool[voxels]]
            size = np.linalg.norm(data, axis=0)
            data = data[:, size > 0] / size[size > 0]
            cross += data @ data.T
    return noise_components(cross, n)


def score_numbers(
    runs: Sequence[Run], responses: Responses, index: np.ndarray, conditions: Conditions, components: Sequence[np.ndarray],
    counted: np.ndarray, *, percent: bool, batch: int,
) -> np.ndarray:  # fmt: skip
    """Return the cross-validated R2 with 0, 1, ... noise components, shape (n_numbers, n_voxels); NaN where not counted."""
    n_max = min(c.shape[1] for c in components)
    scores = np.full((n_max + 1, len(index)), np.nan)
    columns = [conditions.columns(k) for k in range(len(runs))]
    for voxels, blocks in _blocks(runs, percent, batch, "noise regressors"):
        power = np.sum([(b.data**2).sum(axis=0) for b in blocks], axis=0)
        for h, mine in groups_of(index[voxels], counted[voxels]):
            made = [run.designs(responses)[h] @ c for run, c in zip(runs, columns, strict=True)]
            grams = np.stack([m.T @ m for m in made])
            moments = np.stack([m.T @ b.data[:, mine] for m, b in zip(made, blocks, strict=True)])
            clean_grams, clean_moments = grams.copy(), moments.copy()
            energy = _energy(runs, responses, h)
            for n in range(n_max + 1):
                if n:
                    for k, (m, b, c) in enumerate(zip(made, blocks, components, strict=True)):
                        shadow, course = m.T @ c[:, n - 1], c[:, n - 1] @ b.data[:, mine]
                        clean_grams[k] -= np.outer(shadow, shadow)
                        clean_moments[k] -= np.outer(shadow, course)
                found = explained(clean_grams, clean_moments, energy=energy, target_grams=grams, target_moments=moments)
                scores[n, np.flatnonzero(mine) + voxels.start] = found / power[mine]
    return scores


def choose_fractions(
    runs: Sequence[Run], index: np.ndarray, conditions: Conditions, spectra: Callable[[int, int], Spectrum],
    fractions: np.ndarray, usable: np.ndarray, *, percent: bool, batch: int,
) -> np.ndarray:  # fmt: skip
    """Choose a ridge fraction for each voxel: shrunk betas of the other runs against least squares of the held-out run.

    Returns
    -------
    array of shape (n_voxels,)
        1 where a voxel is not usable.
    """
    chosen = np.ones(len(index))
    shown = [(code[:, None] == np.arange(conditions.n_conditions)).astype(float) for code in conditions.codes]
    counts = np.stack([z.sum(axis=0) for z in shown])
    for voxels, blocks in _blocks(runs, percent, batch, "fractions"):
        for h, mine in groups_of(index[voxels], usable[voxels]):
            betas = [fractional_betas(spectra(k, h), b.data[:, mine], fractions) for k, b in enumerate(blocks)]
            whole = [fractional_betas(spectra(k, h), b.data[:, mine], np.ones(1))[0] for k, b in enumerate(blocks)]
            total: Any = 0.0  # (fraction, condition, voxel)
            for z, b in zip(shown, betas, strict=True):
                total = total + z.T @ b
            error = np.zeros((len(fractions), int(mine.sum())))
            for k, z in enumerate(shown):
                others = counts.sum(axis=0) - counts[k]
                kept = (counts[k] > 0) & (others > 0)
                mean = (total[:, kept] - z[:, kept].T @ betas[k]) / others[kept][:, None]
                own = z[:, kept].any(axis=1)
                place = z[own][:, kept].argmax(axis=1)
                error += ((mean[:, place] - whole[k][own]) ** 2).sum(axis=1)
            chosen[np.flatnonzero(mine) + voxels.start] = fractions[np.argmin(error, axis=0)]
    return chosen


def groups_of(index: np.ndarray, kept: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (response, mask of its voxels) of the kept voxels."""
    for h in np.unique(index[kept]):
        yield int(h), kept & (index == h)


def _blocks(runs: Sequence[Run], percent: bool, batch: int, what: str) -> Iterator[tuple[slice, list[Block]]]:
    n_voxels = runs[0].recording.n_channels
    n = -(-n_voxels // batch)
    for voxels in tqdm(batches(n_voxels, batch), total=n, desc=what, unit="batch", disable=None, leave=False):
        yield voxels, [run.read(voxels, percent=percent) for run in runs]


def _energy(runs: Sequence[Run], responses: Responses, h: int) -> float:
    """Mean energy of the column of one trial: as a penalty it shrinks a condition seen once by half."""
    return float(np.mean([(run.designs(responses)[h] ** 2).sum(axis=0).mean() for run in runs]))
