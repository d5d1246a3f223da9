"""Voxels that see drawn scenes: five regions, each tuned to one attribute, with noise that voxels and trials share.

One number a trial and voxel (a beta): ``gain * tuning + noise``, tuning standardised over the pictures. V1: a Gaussian
receptive field on local contrast and, with a random sign and half the weight, on luminance. V4: hue. LOC: shape, and less
so turn and size. MT (films): direction of motion, stronger for faster motion. control: nothing.
The noise of a voxel is its own (.6 of the variance), common to its region and to the brain (.2), and a slow drift over the
trials of a run (.2).
"""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from braindec.errors import BraindecError
from braindec.loaders._scene_trials import subject_number
from braindec.signal.coloured_noise import coloured
from braindec.types import Pictures, Recording, Windows
from braindec.types.signals import StackedSignal

TRIAL_S = 4.0  # s from trial to trial
_SHARES = {"V1": 0.34, "V4": 0.15, "LOC": 0.23, "MT": 0.14, "control": 0.14}
_LEVEL = {"V1": 5.2, "V4": 4.8, "LOC": 6.2, "MT": 5.8, "control": 5.2}  # noise sd in units of the signal's, at noise=1
_PARTS = {"own": 0.6, "shared": 0.2, "drift": 0.2}  # of the noise's variance


def regions_of(n_voxels: int, film: bool) -> np.ndarray:
    """Names of the regions of the voxels, in order."""
    shares = {k: s for k, s in _SHARES.items() if film or k != "MT"}
    edges = np.round(np.cumsum(list(shares.values())) / sum(shares.values()) * n_voxels).astype(int)
    return np.array(list(shares), dtype=object)[np.searchsorted(edges, np.arange(n_voxels), side="right")]


def make_voxels(pictures: Pictures, *, n_voxels: int, noise: float, seed: int, subject: str) -> dict[str, Any]:
    """Draw one subject's voxels and compute what each would say to each picture without noise.

    Returns
    -------
    dict
        ``region`` (voxel,); ``response`` (picture, voxel), sd ``gain`` over pictures; ``gain``, ``noise_sd`` and
        ``noise_ceiling`` (voxel,), the correlation of one trial with the noiseless response; ``rf_x``, ``rf_y``, ``rf_size``
        (-1 to 1, NaN outside V1), ``hue`` (0 to 1, NaN outside V4), ``direction`` (degrees, NaN outside MT),
        ``shape_tuning`` (voxel, shape), NaN outside LOC.
    """
    region = regions_of(n_voxels, pictures.is_film)
    rng = np.random.default_rng([seed, 81, subject_number(subject)])
    tuned = {"V1": _retinotopic, "V4": _hue, "LOC": _shape, "MT": _direction}
    truth: dict[str, Any] = {"region": region}
    response = np.zeros((len(pictures), n_voxels))
    for name, tune in tuned.items():
        mine = np.flatnonzero(region == name)
        if len(mine):
            values, told = tune(pictures, len(mine), rng)
            spread = values.std(axis=0)
            response[:, mine] = (values - values.mean(axis=0)) / np.where(spread > 1e-12, spread, 1.0)
            for key, numbers in told.items():
                truth.setdefault(key, np.full((n_voxels, *numbers.shape[1:]), np.nan))[mine] = numbers
    gain = rng.uniform(0.6, 1.4, n_voxels) * (response.std(axis=0) > 0)
    sd = noise * np.array([_LEVEL[r] for r in region]) * rng.uniform(0.75, 1.25, n_voxels)
    power = np.where(gain > 0, gain**2, 0.0)
    ceiling = np.sqrt(np.divide(power, power + sd**2, out=np.zeros(n_voxels), where=power > 0))
    return {**truth, "response": response * gain, "gain": gain, "noise_sd": sd, "noise_ceiling": ceiling}


def respond(
    pictures: Pictures, trials: pd.DataFrame, *, n_voxels: int, noise: float, seed: int, subject: str
) -> Windows:
    """Return the betas of the trials as windows of one sample, one recording a run."""
    if (
        not isinstance(n_voxels, (int, np.integer))
        or not isinstance(noise, Real)
        or n_voxels < 8
        or not 0 <= noise < np.inf
    ):
        raise BraindecError("voxels that see scenes need sensible numbers", found=f"n_voxels={n_voxels}, noise={noise}",
                            allowed="a whole number n_voxels >= 8, noise >= 0")  # fmt: skip
    truth = make_voxels(pictures, n_voxels=n_voxels, noise=noise, seed=seed, subject=subject)
    loadings = _loadings(truth["region"], np.random.default_rng([seed, 83, subject_number(subject)]))
    names = [f"{r}-{i:04d}" for i, r in enumerate(truth["region"])]
    channels = pd.DataFrame({"name": names, "type": "voxel", "unit": "a.u.", "region": truth["region"]})
    recordings, index, tables = [], [], []
    for number, (run, table) in enumerate(trials.groupby("run", sort=True)):
        rng = np.random.default_rng([seed, 82, subject_number(subject), int(run)])
        betas = truth["response"][table["row"]] + truth["noise_sd"] * _noise(truth["region"], loadings, len(table), rng)
        info = {"dataset": "drawn scenes, fmri", "subject": subject, "session": "01", "run": run, "modality": "fmri"}
        recordings.append(
            Recording(StackedSignal(betas.astype(np.float32)[:, :, None]), 1 / TRIAL_S, channels, info=info)
        )
        index.append(np.column_stack([np.full(len(table), number), np.arange(len(table))]))
        tables.append(table.assign(onset=TRIAL_S * np.arange(len(table)), duration=1.0))
    table = pd.concat(tables, ignore_index=True).drop(columns="row")
    return Windows(tuple(recordings), np.concatenate(index), 1, table, info={"truth": truth})


def _loadings(region: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """How strongly each voxel takes part in what the brain, its region and slow drifts do, (source, voxel) each."""
    n = len(region)
    local = np.empty((2, n))
    for name in dict.fromkeys(region):
        local[:, region == name] = _directions(rng, 2, int((region == name).sum()))
    return {"brain": _directions(rng, 2, n), "local": local, "slow": _directions(rng, 3, n)}


def _noise(region: np.ndarray, loadings: dict[str, np.ndarray], n: int, rng: np.random.Generator) -> np.ndarray:
    """Noise of unit variance, (trial, voxel)."""
    own = rng.standard_normal((n, len(region)))
    brain = rng.standard_normal((n, 2)) @ loadings["brain"]
    local = np.empty_like(own)
    for name in dict.fromkeys(region):
        mine = region == name
        local[:, mine] = rng.standard_normal((n, 2)) @ loadings["local"][:, mine]
    length = max(n, 4)
    slow = coloured(rng, (3, length), 1.0, exponent=2.0, corner=0.5 / length)[:, :n].T @ loadings["slow"]
    shared = (brain + local) / np.sqrt(2)
    return np.sqrt(_PARTS["own"]) * own + np.sqrt(_PARTS["shared"]) * shared + np.sqrt(_PARTS["drift"]) * slow


def _directions(rng: np.random.Generator, n: int, n_voxels: int) -> np.ndarray:
    """Weights (source, voxel) that give each voxel unit variance, positive on the whole for the first source."""
    weights = rng.standard_normal((n, n_voxels))
    weights[0] += 1
    return weights / np.linalg.norm(weights, axis=0)


def contrast_maps(pictures: Pictures) -> tuple[np.ndarray, np.ndarray]:
    """Local contrast and luminance, (picture, height, width) each, of films averaged over frames.

    Contrast is the distance of a pixel's colour from the picture's most common colour (the median of each channel).
    """
    contrast, luminance = [], []
    for start in range(0, len(pictures), 256):
        values = pictures.load(slice(start, start + 256))
        frames = values if pictures.is_film else values[:, None]
        ground = np.median(frames, axis=(2, 3), keepdims=True)
        contrast.append(np.sqrt(((frames - ground) ** 2).mean(axis=-1)).mean(axis=1))
        luminance.append((frames @ np.array([0.3, 0.59, 0.11], np.float32)).mean(axis=1))
    return np.concatenate(contrast), np.concatenate(luminance)


def _retinotopic(pictures: Pictures, n: int, rng: np.random.Generator) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    x, y = rng.uniform(-0.75, 0.75, (2, n))
    size = rng.uniform(0.14, 0.3, n)
    height, width = pictures.size
    px, py = (2 * (np.arange(width) + 0.5) / width - 1), (2 * (np.arange(height) + 0.5) / height - 1)
    gauss = [np.exp(-((p[:, None] - c) ** 2) / (2 * size**2)) for p, c in ((py, y), (px, x))]
    field = np.einsum("iv,jv->ijv", *gauss).reshape(height * width, n)
    field /= field.sum(axis=0)
    contrast, luminance = (m.reshape(len(pictures), -1) @ field for m in contrast_maps(pictures))
    contrast, luminance = ((m - m.mean(axis=0)) / (m.std(axis=0) + 1e-12) for m in (contrast, luminance))
    weight = 0.5 * rng.choice([-1.0, 1.0], n)
    return contrast + weight * luminance, {"rf_x": x, "rf_y": y, "rf_size": size, "luminance_weight": weight}


def _hue(pictures: Pictures, n: int, rng: np.random.Generator) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    best = rng.uniform(0, 1, n)
    hue = pictures.items["hue"].to_numpy()[:, None]
    return np.exp(2.5 * (np.cos(2 * np.pi * (hue - best)) - 1)), {"hue": best}


def _shape(pictures: Pictures, n: int, rng: np.random.Generator) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    items, names = pictures.items, pictures.info["levels"]["shape"]
    tuning = rng.standard_normal((n, len(names)))
    which = items["shape"].map({s: i for i, s in enumerate(names)}).to_numpy()
    rest = np.stack([_standard(items["angle"]), _standard(items["radius"])], axis=1)
    return tuning.T[which] + rest @ (0.35 * rng.standard_normal((2, n))), {"shape_tuning": tuning}


def _direction(pictures: Pictures, n: int, rng: np.random.Generator) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    best = rng.uniform(0, 360, n)
    items = pictures.items
    turn = np.deg2rad(items["direction"].to_numpy()[:, None] - best)
    speed = items["speed"].to_numpy()[:, None] / max(pictures.info["speed"][1], 1e-12)
    return (0.4 + 0.6 * speed) * np.exp(1.5 * (np.cos(turn) - 1)), {"direction": best}


def _standard(values: pd.Series) -> np.ndarray:
    numbers = values.to_numpy(dtype=float)
    return (numbers - numbers.mean()) / (numbers.std() + 1e-12)
