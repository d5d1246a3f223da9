"""Universal neurons: does a unit have a partner in models that were trained from other seeds?

Reads "texts" and "seeds", a list of models with the same tokenizer. For each other model, ``universal`` averages the largest
Pearson correlation of a unit with any unit of that model over the same tokens; ``universal_baseline`` is the same with
the other model's units rotated by a random orthogonal matrix within each layer and site (what is left when units have
no preferred axes), ``universal_excess`` their difference, ``universal_selected`` whether the excess is above
``threshold`` (0.5), ``universal_layer`` and ``universal_index`` the partner in the first of the models. A constant unit has NaN.
Options: ``threshold``, ``n_rotations`` (1), ``same_site`` (True: partners of the same site only).
Source: Gurnee et al. 2024 (Universal neurons in GPT2 language models, section 3).
Differs from the reference in: covariances of one pair of layers at a time in float64, so memory does not grow with depth;
the rotation is orthogonal (drawn from the Haar measure; random signs and cosine transforms above 1,024 units), where the
reference normalises rows of a Gaussian matrix, which changes the correlations between units as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.fft import dct

from braindec.errors import BraindecError
from braindec.llm.score import Probe, UnitScore
from braindec.llm.scores._labelled import option
from braindec.llm.scores._tokens import TokenSample, sample_model, token_sample

__all__ = ["universal", "Block", "Partners", "as_block", "best_partners", "rotate_columns"]

_HAAR = 1024
_TOKENS = 4096  # tokens at a time in float64


class Partners(NamedTuple):
    """For each unit of a block: the largest correlation, where it is, and the largest with rotated partners."""

    best: np.ndarray
    layer: np.ndarray
    index: np.ndarray
    baseline: np.ndarray


def rotate_columns(matrix: np.ndarray, seed: Sequence[int]) -> np.ndarray:
    """Return ``matrix @ Q`` (m, n) for a random orthogonal Q (n, n) that ``seed`` determines."""
    n = matrix.shape[1]
    rng = np.random.default_rng(seed)
    if n <= _HAAR:
        q, r = np.linalg.qr(rng.standard_normal((n, n)))
        return matrix @ (q * np.sign(np.diag(r)))
    for _ in range(3):
        matrix = dct(matrix[:, rng.permutation(n)] * rng.choice((-1.0, 1.0), n), axis=1, norm="ortho")
    return matrix


class Block(NamedTuple):
    """One layer of another model: values (token, unit), mean, deviation (NaN where constant) and the deviation of the units
    of each rotation (rotation, unit)."""

    values: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray
    turned: np.ndarray
    seeds: tuple[tuple[int, ...], ...]


def as_block(values: np.ndarray, *, seed: tuple[int, ...] = (0,), n_rotations: int = 1) -> Block:
    """Measure what correlations with the units of ``values`` (token, unit), plain and rotated, will need."""
    mean, deviation, within = _spread(values, covariance=n_rotations > 0)
    seeds = tuple((*seed, k) for k in range(n_rotations))
    turned = [np.sqrt(np.maximum(_turned_variance(within, s), 0.0)) for s in seeds]
    return Block(values, mean, deviation, np.reshape(turned, (n_rotations, values.shape[1])), seeds)


def best_partners(values: np.ndarray, others: Mapping[int, Block]) -> Partners:
    """Return the partner of each unit among the units of several layers of another model.

    Parameters
    ----------
    values : array of shape (token, unit)
        One layer of one model.
    others : mapping of layer to Block
        The other model, over the same tokens.

    Raises
    ------
    BraindecError
        If tokens differ in number.
    """
    n = values.shape[1]
    mean, deviation, _ = _spread(values, covariance=False)
    best, layer, index = np.full(n, -np.inf), np.full(n, -1), np.full(n, -1)
    baseline = np.full((len(next(iter(others.values())).turned), n), -np.inf)
    for number, other in others.items():
        if len(other.values) != len(values):
            raise BraindecError("partners need the same tokens", found=f"{len(values)} and {len(other.values)} of them")
        cross = _cross(values, mean, other)
        correlation = _divided(cross, deviation, other.deviation)
        at = correlation.argmax(axis=1)
        found = correlation[np.arange(n), at]
        better = found > best
        best[better], layer[better], index[better] = found[better], number, at[better]
        for k, (seed, spread) in enumerate(zip(other.seeds, other.turned, strict=True)):
            rotated = _divided(rotate_columns(cross, seed), deviation, spread)
            baseline[k] = np.maximum(baseline[k], rotated.max(axis=1))
    best[np.isinf(best)], baseline[np.isinf(baseline)] = np.nan, np.nan
    return Partners(best, layer, index, baseline.mean(axis=0) if len(baseline) else np.full(n, np.nan))


def _divided(cross: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return correlations, -inf where a unit is constant."""
    with np.errstate(invalid="ignore", divide="ignore"):
        found = cross / (a[:, None] * b)
    return np.where(np.isfinite(found), found, -np.inf)


def _chunks(values: np.ndarray, mean: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(values), _TOKENS):
        yield values[start : start + _TOKENS] - mean


def _spread(values: np.ndarray, *, covariance: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return means, deviations (NaN where constant) and, when asked, covariances of the units."""
    mean = values.mean(axis=0, dtype=float)
    n = values.shape[1]
    square, within = np.zeros(n), np.zeros((n, n) if covariance else (0, 0))
    for x in _chunks(values, mean):
        square += np.square(x).sum(axis=0)
        if covariance:
            within += x.T @ x
    deviation = np.sqrt(square / len(values))
    deviation[np.ptp(values, axis=0) == 0] = np.nan
    return mean, deviation, within / len(values)


def _cross(values: np.ndarray, mean: np.ndarray, other: Block) -> np.ndarray:
    cross = np.zeros((values.shape[1], other.values.shape[1]))
    for x, y in zip(_chunks(values, mean), _chunks(other.values, other.mean), strict=True):
        cross += x.T @ y
    return cross / len(values)


def _turned_variance(within: np.ndarray, seed: Sequence[int]) -> np.ndarray:
    """Return the diagonal of Q' C Q."""
    half = rotate_columns(within, seed)  # C Q
    return np.diag(rotate_columns(np.ascontiguousarray(half.T), seed)).copy()  # (C Q)' Q = Q' C Q


def _partners(
    sample: TokenSample, other: TokenSample, *, n_rotations: int, same_site: bool, seed: int
) -> list[Partners]:
    """Return the partners of each block of ``sample`` in the other model."""
    blocks = {
        (layer, site): as_block(values, seed=(seed, layer, k), n_rotations=n_rotations)
        for k, (layer, site, values) in enumerate(other.blocks())
    }
    found = []
    for _, site, values in sample.blocks():
        sites = [site] if same_site else sorted({s for _, s in blocks})
        each = [
            best_partners(values, {layer: b for (layer, s), b in blocks.items() if s == wanted}) for wanted in sites
        ]
        pick = np.nan_to_num(np.stack([e.best for e in each]), nan=-np.inf).argmax(axis=0)
        merged = [np.choose(pick, [getattr(e, name) for e in each]) for name in ("best", "layer", "index")]
        found.append(Partners(*merged, np.stack([e.baseline for e in each]).max(axis=0)))
    return found


def _table(probe: Probe) -> pd.DataFrame:
    options = option(probe, "universal", {"threshold": 0.5, "n_rotations": 1, "same_site": True})
    models = probe.need("seeds")
    models = list(models) if isinstance(models, (list, tuple)) else [models]
    if wrong := [m for m in models if not hasattr(m, "tokenizer") or not hasattr(m, "architecture")]:
        raise BraindecError("the stimuli 'seeds' are models of other seeds", found=repr(wrong[0])[:60],
                            allowed="a list of LanguageModel", fix="[load_model(folder), ...]")  # fmt: skip
    if not models:
        raise BraindecError("universal units need at least one model of another seed", found="an empty list")
    sample = token_sample(probe)
    every: list[list[Partners]] = []
    for number, lm in enumerate(models):
        if lm.tokenizer.get_vocab() != probe.model.tokenizer.get_vocab():
            raise BraindecError(f"{lm.name} has another tokenizer than {probe.model.name}",
                                fix="compare models that see the same tokens")  # fmt: skip
        other = sample_model(
            lm, sample.tokens, sites=sorted({s for _, s in sample.values}), batch_size=probe.batch_size
        )
        every.append(_partners(sample, other, n_rotations=options["n_rotations"], same_site=options["same_site"],
                               seed=1000 * probe.seed + number))  # fmt: skip
    tables = []
    for k, (layer, site, values) in enumerate(sample.blocks()):
        best = np.mean([m[k].best for m in every], axis=0)
        baseline = np.mean([m[k].baseline for m in every], axis=0)
        with np.errstate(invalid="ignore"):
            chosen = best - baseline > options["threshold"]
        tables.append(pd.DataFrame({
            "model": sample.model, "layer": layer, "site": site, "index": np.arange(values.shape[1]), "universal": best,
            "universal_baseline": baseline, "universal_excess": best - baseline, "universal_selected": chosen,
            "universal_layer": every[0][k].layer, "universal_index": every[0][k].index,
        }))  # fmt: skip
    return pd.concat(tables, ignore_index=True)


universal = UnitScore(
    name="universal", version="1", level="unit", needs=("texts", "seeds"), function=_table,
    describe="largest correlation with a unit of models from other seeds", source="Gurnee et al. 2024",
)  # fmt: skip
