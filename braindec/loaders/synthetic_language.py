"""Brains that follow units of a language model, with known truth: fMRI responses to sentences, and sEEG with tagged channels.

``language_brain``: regions of three kinds. Each voxel of a *language* region follows one unit of the layer that drives it;
an *auditory* region follows the length and the place of a sentence; a *control* region holds nothing but autocorrelated noise.
``tagged_seeg``: channels that follow the rates of words, phrases and sentences.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.signal import lfilter

from braindec.errors import BraindecError, did_you_mean
from braindec.loaders._tagged_seeg import TaggedTruth, tagged_recordings, tagged_seeg, tagged_windows
from braindec.loaders.betas import windows_of
from braindec.stats.asked import number, seed_of, whole
from braindec.types import Features, Windows
from braindec.types.signals import ArraySignal

__all__ = ["LanguageTruth", "TaggedTruth", "language_brain", "tagged_recordings", "tagged_seeg", "tagged_windows"]

REGIONS = {"IFG": "language", "AntTemp": "language", "PostTemp": "language", "A1": "length", "V1": "noise"}
KINDS = ("language", "length", "noise")
# approximate centres in MNI, mm, of regions that have one; others lie on a line
_CENTRES = {"IFG": (-50, 18, 16), "IFGorb": (-45, 30, -6), "MFG": (-42, 6, 48), "AntTemp": (-55, -2, -18), "PostTemp": (-56, -42, 6),
            "AngG": (-44, -62, 26), "A1": (-46, -22, 8), "V1": (-6, -90, 0)}  # fmt: skip
_SIDE = 0.003  # m: edge of a voxel


@dataclass(frozen=True)
class LanguageTruth:
    """What was planted in :func:`language_brain`.

    Attributes
    ----------
    units : DataFrame
        The units table of the features with columns driving (bool), drives (region, "n/a" for others) and alike (largest
        absolute correlation with any other unit over the stimuli: how well it can be told from others at all).
    voxels : DataFrame
        One row a subject and voxel: subject, name, region, kind, unit (row of the units table, -1 for none), weight (signed), snr
        (standard deviation of everything that the stimulus drives over that of the noise, in one trial), driven (variance that the
        unit explains, of what the stimulus explains), ceiling (correlation of a perfect prediction with the mean over repetitions).
    driving_layer : mapping
        Region -> layer.
    """

    units: pd.DataFrame
    voxels: pd.DataFrame
    driving_layer: Mapping[str, int]

    @property
    def driving(self) -> np.ndarray:
        """Which units drive a region, shape (n_units,), bool."""
        return self.units["driving"].to_numpy(dtype=bool)


def language_brain(
    features: Features,
    *,
    driving_layer: int | Mapping[str, int],
    n_driving_units: int = 6,
    site: str | None = None,
    n_subjects: int = 4,
    regions: Mapping[str, str] | None = None,
    n_voxels: int = 24,
    snr: float = 1.0,
    n_repetitions: int = 2,
    n_runs: int = 4,
    nuisance: float = 0.3,
    autocorrelation: float = 0.6,
    stimuli: pd.DataFrame | None = None,
    seed: int = 0,
) -> tuple[list[Windows], LanguageTruth]:
    """Return fMRI responses (one value a voxel and trial) of made-up subjects who read the stimuli of ``features``.

    Parameters
    ----------
    features : Features
        Units of a language model (units table with the column ``layer``) over sentences.
    driving_layer : int or mapping of region to int
        The layer whose units drive the language regions.
    n_driving_units : int
        Units a region; regions have units of their own as far as these suffice. Drawn from the half of the layer's
        units that least resemble another unit, so that they can be told from others.
    site : str, optional
        Take units of this site only.
    n_subjects : int
    regions : mapping of str to {"language", "length", "noise"}, optional
        REGIONS by default.
    n_voxels : int
        Voxels a region.
    snr : float
        Standard deviation of what follows the unit over that of the noise in one trial, over voxels 0.6 to 1.4 times that. At
        the default (with 4 subjects, 2 repetitions, 96 sentences) driving units are told from other units with an area under the
        curve above 0.95 by their largest absolute correlation with a voxel.
    n_repetitions : int
        How often everything is read; passages come in another order each time, their sentences in the same.
    n_runs : int
        Runs that each repetition is divided into.
    nuisance : float
        Standard deviation of a response to length and place, relative to that of the response to the unit, in language regions.
    autocorrelation : float
        Of the noise from one trial to the next within a run (0.3 more, up to 0.95, in noise regions).
    stimuli : DataFrame, optional
        stimulus_id, text (or sentence, or n_words), and, if known, concept_id or text_id (the passage) and topic. The items of the
        features by default.
    seed : int

    Returns
    -------
    list of Windows of shape (n_repetitions * n_stimuli, n_voxels of all regions, 1)
        One a subject, as the readers of betas give them; ``trials`` has subject, session, run, stimulus_id, concept_id (the
        passage), topic, repetition, onset (the trial's place in the session), sentence, n_words, position (in the passage).
    LanguageTruth

    Raises
    ------
    BraindecError
        If the features name no layer, the layer is not there, stimuli are missing, or have no text and no length.
    """
    if not isinstance(features, Features):
        raise BraindecError(
            "a synthetic brain is driven by Features", found=type(features).__name__, fix="braindec.llm.extract"
        )
    if regions is not None and not isinstance(regions, Mapping):
        raise BraindecError(
            "regions are named", found=repr(regions)[:60], allowed='a mapping such as {"IFG": "language"}'
        )
    regions = dict(REGIONS if regions is None else regions)
    _check_regions(regions)
    for name, value in (("n_subjects", n_subjects), ("n_voxels", n_voxels), ("n_repetitions", n_repetitions), ("n_runs", n_runs),
                        ("n_driving_units", n_driving_units)):  # fmt: skip
        whole(value, name, least=1)
    for name, value in (("snr", snr), ("nuisance", nuisance)):
        number(value, name, least=0.0)
    if number(autocorrelation, "autocorrelation", least=0.0, most=1.0) == 1:
        raise BraindecError("autocorrelation=1 does not work", allowed="from 0 to below 1")
    seed_of(seed)
    told = [r for r, kind in regions.items() if kind == "language"]
    if isinstance(driving_layer, Mapping) and set(driving_layer) != set(told):
        raise BraindecError("driving_layer names one layer for each language region, and no other", found=", ".join(map(str, driving_layer)) or "none",
                            allowed=", ".join(told))  # fmt: skip
    table = _stimuli(features, stimuli)
    values = features.load().astype(np.float64)
    if (bad := ~np.isfinite(values)).any():
        raise BraindecError("the features hold values that are not finite", found=f"{int(bad.sum())} values in {int(bad.any(axis=0).sum())} of {values.shape[1]} units")  # fmt: skip
    layers = {r: driving_layer[r] if isinstance(driving_layer, Mapping) else driving_layer
              for r, kind in regions.items() if kind == "language"}  # fmt: skip
    rng = np.random.default_rng([seed, 91])
    chosen, units = _choose(features, values, layers, n_driving_units, site, rng)
    scaled = _standard(values)
    length = _standard(np.column_stack([table["n_words"], table["position"]]).astype(float))
    windows, truths = [], []
    for s in range(n_subjects):
        subject = f"{s + 1:02d}"
        own = np.random.default_rng([seed, 92, s])
        voxels, mean = _voxels(subject, regions, chosen, scaled, length, n_voxels, snr, nuisance, own)
        trials, runs = _trials(table, subject, n_repetitions, n_runs, own)
        noise = _noise(runs, voxels, autocorrelation, own)
        responses = mean[trials.pop("_row").to_numpy()] + noise
        signal = ArraySignal(np.ascontiguousarray(responses.T, dtype=np.float32))
        info = {
            "dataset": "synthetic-language",
            "subject": subject,
            "task": "reading",
            "modality": "fmri",
            "space": "MNI152NLin2009cAsym",
        }
        windows.append(windows_of([signal], trials, _places(regions, n_voxels), info))
        explained = voxels["snr"] ** 2 * n_repetitions
        truths.append(voxels.assign(ceiling=np.sqrt(explained / (explained + 1.0))))
    return windows, LanguageTruth(units, pd.concat(truths, ignore_index=True), layers)


def _check_regions(regions: Mapping[str, str]) -> None:
    for name, kind in regions.items():
        if kind not in KINDS:
            raise BraindecError(
                f"the region {name} has no kind {kind!r}{did_you_mean(str(kind), KINDS)}", allowed=", ".join(KINDS)
            )
    if not regions:
        raise BraindecError("a brain needs a region", found="none")


def _stimuli(features: Features, stimuli: pd.DataFrame | None) -> pd.DataFrame:
    """One row a stimulus in the order of the features, with n_words, position in its passage, concept_id, topic and sentence."""
    table = features.items if stimuli is None else stimuli
    if not isinstance(table, pd.DataFrame):
        raise BraindecError(
            "stimuli are a table", found=type(table).__name__, allowed="a DataFrame with stimulus_id and text"
        )
    if "stimulus_id" not in table:
        raise BraindecError("stimuli need a column stimulus_id", found=", ".join(map(str, table.columns)))
    table = table.assign(stimulus_id=table["stimulus_id"].astype(str))
    place = pd.Index(table["stimulus_id"]).get_indexer(features.ids) if table["stimulus_id"].is_unique else None
    if place is None or (place < 0).any():
        raise BraindecError(
            "each stimulus of the features needs one row in stimuli",
            found="a stimulus_id stands twice" if place is None else f"no row for {features.ids[place < 0][0]!r}",
        )
    table = table.iloc[place].reset_index(drop=True)
    said = next((table[c] for c in ("text", "sentence") if c in table), None)
    if said is None and "n_words" not in table:
        raise BraindecError(
            "the length of the stimuli is not known", found=f"columns {', '.join(map(str, table.columns))}",
            fix="give stimuli=: a table with stimulus_id and text (or n_words)",
        )  # fmt: skip
    length = said if "n_words" not in table else pd.to_numeric(table["n_words"], errors="coerce")
    if length is not None and length.isna().any():
        raise BraindecError(
            "some stimuli have no text or no number of words", found=f"{int(length.isna().sum())} of {len(table)}"
        )
    passage = next((table[c] for c in ("concept_id", "text_id", "topic") if c in table), table["stimulus_id"])
    out = pd.DataFrame({
        "stimulus_id": table["stimulus_id"], "concept_id": passage.astype(str), "topic": table.get("topic", passage).astype(str),
        "sentence": "n/a" if said is None else said.astype(str),
        "n_words": table["n_words"].astype(int) if "n_words" in table else said.str.split().str.len(),
    })  # fmt: skip
    return out.assign(position=out.groupby("concept_id", sort=False).cumcount())


def _choose(
    features: Features, values: np.ndarray, layers: Mapping[str, int], n: int, site: str | None, rng: np.random.Generator
) -> tuple[dict[str, np.ndarray], pd.DataFrame]:  # fmt: skip
    """The driving units of each region (rows of the units table), and that table with what is known of them."""
    units = features.units.reset_index(drop=True)
    if "layer" not in units:
        raise BraindecError("the units have no layer", found=f"columns {', '.join(map(str, units.columns))}")
    spread = values.std(axis=0)
    alive = spread > 1e-8 * max(1.0, float(np.abs(values).max()))
    scaled = _standard(values)
    alike = _largest_correlation(scaled, alive)
    chosen: dict[str, np.ndarray] = {}
    taken: dict[int, list[int]] = {}
    for region, layer in layers.items():
        inside = alive & (units["layer"] == layer).to_numpy()
        inside &= (units["site"] == site).to_numpy() if site is not None and "site" in units else True
        rows = np.flatnonzero(inside)
        if not len(rows):
            there = (units["layer"] == layer).any() and (site is None or site in set(units.get("site", [site])))
            raise BraindecError(
                f"no unit of layer {layer} varies over the stimuli"
                if there
                else f"no layer {layer}"
                + (f" with the site {site!r}" if site is not None else "")
                + " can drive the brain: the features have none",
                found=f"layers {sorted(units['layer'].unique().tolist())}, sites {sorted(set(units.get('site', [])))}",
            )
        rows = rows[np.argsort(alike[rows], kind="stable")][: max(n, len(rows) // 2)]
        free = np.setdiff1d(rows, taken.get(layer, []))
        pool = rng.permutation(free if len(free) >= n else rows)
        chosen[region] = np.sort(pool[:n])
        taken.setdefault(layer, []).extend(chosen[region].tolist())
    drives = np.full(len(units), "n/a", dtype=object)
    for region, rows in chosen.items():
        for row in rows:
            drives[row] = region if drives[row] == "n/a" else f"{drives[row]}, {region}"
    return chosen, units.assign(driving=drives != "n/a", drives=drives, alike=alike)


def _largest_correlation(scaled: np.ndarray, alive: np.ndarray, block: int = 2048) -> np.ndarray:
    """Largest absolute correlation of each unit with another, NaN where it does not vary."""
    out = np.full(scaled.shape[1], np.nan)
    rows = np.flatnonzero(alive)
    for start in range(0, len(rows), block):
        part = np.abs(scaled[:, rows[start : start + block]].T @ scaled[:, rows]) / len(scaled)
        part[np.arange(len(part)), start + np.arange(len(part))] = 0
        out[rows[start : start + block]] = part.max(axis=1)
    return out


def _voxels(
    subject: str, regions: Mapping[str, str], chosen: Mapping[str, np.ndarray], scaled: np.ndarray, length: np.ndarray, n_voxels: int,
    snr: float, nuisance: float, rng: np.random.Generator,
) -> tuple[pd.DataFrame, np.ndarray]:  # fmt: skip
    """The voxels of a subject, and their mean response to each stimulus (n_stimuli, n_voxels) in units of the noise."""
    rows, columns = [], []
    for region, kind in regions.items():
        for v in range(n_voxels):
            unit, weight = -1, 0.0
            course = np.zeros(len(scaled))
            strength = snr * rng.uniform(0.6, 1.4)
            aside = length @ rng.normal(size=length.shape[1])
            aside = aside / (aside.std() or 1.0)
            if kind == "language":
                unit = int(chosen[region][v % len(chosen[region])])
                weight = strength * rng.choice([-1.0, 1.0])
                course = weight * scaled[:, unit] + nuisance * strength * aside
            elif kind == "length":
                course = strength * aside
            driven = weight**2 / course.var() if unit >= 0 and course.var() > 0 else 0.0
            rows.append((subject, f"{region}-{v:03d}", region, kind, unit, weight, course.std(), driven))
            columns.append(course)
    names = ["subject", "name", "region", "kind", "unit", "weight", "snr", "driven"]
    return pd.DataFrame(rows, columns=names), np.column_stack(columns)


def _trials(
    table: pd.DataFrame, subject: str, n_repetitions: int, n_runs: int, rng: np.random.Generator
) -> tuple[pd.DataFrame, np.ndarray]:
    """Every passage in one run, in random order, its sentences in theirs; the run of each trial."""
    groups = [part.index.to_numpy() for _, part in table.groupby("concept_id", sort=False)]
    if len(groups) < n_runs:
        raise BraindecError(
            f"{n_runs} runs need as many passages",
            found=f"{len(groups)}",
            fix="more passages (synthetic.n_stories of a recipe), or fewer n_runs",
        )
    order, runs, repetition = [], [], []
    for k in range(n_repetitions):
        for run, part in enumerate(np.array_split(rng.permutation(len(groups)), n_runs)):
            rows = np.concatenate([groups[g] for g in part])
            order.append(rows)
            runs += [k * n_runs + run + 1] * len(rows)
            repetition += [k] * len(rows)
    rows, numbers = np.concatenate(order), np.array(runs)
    trials = table.iloc[rows].reset_index(drop=True)
    labels = np.array([f"{n:02d}" for n in numbers], dtype=object)
    trials = trials.assign(subject=subject, session="01", run=labels, repetition=repetition, _row=rows,
                           onset=np.arange(len(rows), dtype=float), duration=1.0)  # fmt: skip
    return trials, numbers


def _noise(runs: np.ndarray, voxels: pd.DataFrame, rho: float, rng: np.random.Generator) -> np.ndarray:
    """Noise of unit variance (n_trials, n_voxels): autocorrelated within runs, in part shared within a region."""
    out = np.empty((len(runs), len(voxels)))
    for kind, share in (("language", 0.3), ("length", 0.3), ("noise", 0.5)):
        for region in voxels["region"][voxels["kind"] == kind].unique():
            columns = np.flatnonzero((voxels["region"] == region).to_numpy())
            here = min(rho + 0.3, 0.95) if kind == "noise" and rho else rho
            for run in np.unique(runs):
                rows = np.flatnonzero(runs == run)
                white = np.sqrt(1 - share) * rng.standard_normal((len(rows), len(columns)))
                white += np.sqrt(share) * rng.standard_normal((len(rows), 1))
                white[1:] *= np.sqrt(1 - here**2)  # the first trial has the variance that the others approach
                out[np.ix_(rows, columns)] = lfilter([1.0], [1.0, -here], white, axis=0)
    return out


def _places(regions: Mapping[str, str], n_voxels: int) -> pd.DataFrame:
    """The channel table: voxels of each region in a cube about its centre; indices are those of one grid."""
    side = int(np.ceil(n_voxels ** (1 / 3)))
    rows: list[tuple[Any, ...]] = []
    for k, region in enumerate(regions):
        centre = np.array(_CENTRES.get(region, (40.0, -80.0 + 20 * k, 0.0))) / 1000
        corner = np.round((centre + 0.12) / _SIDE).astype(int) - side // 2
        for v in range(n_voxels):
            ijk = corner + np.array(np.unravel_index(v, (side, side, side)))
            rows.append((f"{region}-{v:03d}", "voxel", "a.u.", *ijk.tolist(), *(ijk * _SIDE - 0.12), region))
    return pd.DataFrame(rows, columns=["name", "type", "unit", "i", "j", "k", "x", "y", "z", "region"])


def _standard(values: np.ndarray) -> np.ndarray:
    """Columns with mean 0 and variance 1; constant ones become 0."""
    centred = values - values.mean(axis=0)
    spread = centred.std(axis=0)
    return np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 0)
