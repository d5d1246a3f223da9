"""What regions prefer: samples at several scales of guidance, judged by an independent model; rows and pictures for a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from braindec.decoders._pictures import targets_of
from braindec.decoders._response_encoder import Independence, ResponseEncoder, check_independent
from braindec.decoders.guided import GuidedDecoder
from braindec.diffusion.silhouette import silhouettes
from braindec.errors import BraindecError
from braindec.ridge import fit_ridge
from braindec.stats.bootstrap import bootstrap_interval
from braindec.stats.permutation import permutation_p, sign_flip_test
from braindec.types import Pictures, Windows

__all__ = [
    "Preference",
    "attribute_of",
    "held_out",
    "planted_patches",
    "prefer_regions",
    "preference_panels",
    "preference_rows",
]

_HUES = {"red": 0.0, "green": 0.36, "blue": 0.62, "yellow": 0.155}
_EDGE, _NEAR = 0.25, 0.12  # of receptive fields (picture from -1 to 1); of hues
_SHOWN = 9
_SHUFFLES = 8


@dataclass(frozen=True, eq=False)
class Preference:
    """Samples of one region at all scales, and what was said of them.

    Parameters
    ----------
    region, wrong : str
        The region, and the one whose samples are the control.
    made : array of shape (n_scales, n, height, width, channel)
        Samples, the first without guidance; the noise of a column is the same at every scale.
    other : array of shape (n_scales, n, height, width, channel)
        Samples guided to ``wrong``, from the same noise.
    best : array of shape (n_best, height, width, channel)
        Training pictures that the guide likes best.
    judged, judged_other, guided : array of shape (n_scales, n)
        The judge's activation of ``made`` and ``other``; the guide's of ``made``.
    judged_best : array of shape (n_best,)
    judged_shuffled : array of shape (n,)
        The judge's activation of samples at the largest scale, steered by guides that learned responses to other pictures.
    shuffle : array of int, shape (n,)
        Which of these guides steered each sample.
    """

    region: str
    wrong: str
    made: np.ndarray
    other: np.ndarray
    best: np.ndarray
    judged: np.ndarray
    judged_other: np.ndarray
    guided: np.ndarray
    judged_best: np.ndarray
    judged_shuffled: np.ndarray
    shuffle: np.ndarray


def planted_patches(windows: Windows) -> tuple[Windows, dict[str, tuple[str, str]]]:
    """Name patches of a made-up brain that sees drawn scenes by what they prefer.

    Voxels of V4 whose best hue is red or blue, and voxels of V1 whose receptive field lies left or right; all others are in
    no patch, the region that carries nothing stays.

    Returns
    -------
    windows
        With the patches in the column ``region`` of the channels.
    truth : dict of patch to (attribute, value)
        ("colour", "red"), ("side", "left"), ...
    """
    truth = dict(windows.info).get("truth", {})
    if not {"region", "hue", "rf_x"} <= set(truth):
        raise BraindecError("nothing is known of what these voxels prefer", found=f"info['truth'] has {sorted(truth)}",
                            fix="use braindec.loaders.synthetic_scenes.scene_fmri, or name regions in the channels' table")  # fmt: skip
    area = np.asarray(truth["region"], dtype=object)
    out = np.where(area == "control", "control", "n/a").astype(object)
    for name in ("red", "blue"):
        out[(area == "V4") & (np.abs((np.nan_to_num(truth["hue"], nan=9) - _HUES[name] + 0.5) % 1 - 0.5) < _NEAR)] = (
            f"V4 {name}"
        )
    x = np.nan_to_num(truth["rf_x"])
    out[(area == "V1") & (x < -_EDGE)], out[(area == "V1") & (x > _EDGE)] = "V1 left", "V1 right"
    recordings = tuple(replace(r, channels=r.channels.assign(region=out)) for r in windows.recordings)
    planted = {f"V4 {c}": ("colour", c) for c in ("red", "blue")} | {f"V1 {s}": ("side", s) for s in ("left", "right")}
    return replace(windows, recordings=recordings), planted


def attribute_of(pictures: np.ndarray, attribute: str, value: str, reader: Any) -> np.ndarray:
    """Return whether pictures show a planted attribute, (n,): 1 or 0 for colours, place for sides (0 the middle, 1 the edge).

    Parameters
    ----------
    pictures : array of shape (n, height, width, channel)
    attribute, value : str
        "colour" and its name, or "side" and "left" or "right".
    reader : AttributeReader
        Reads colours.
    """
    if attribute == "colour":
        return (reader.read(pictures, "colour") == value).astype(float)
    figure = silhouettes(pictures)[..., 0]
    column = 2 * (np.arange(figure.shape[2]) + 0.5) / figure.shape[2] - 1
    middle = (figure.sum(axis=1) * column).sum(axis=1) / np.maximum(figure.sum(axis=(1, 2)), 1)
    return -middle if value == "left" else middle


def prefer_regions(
    decoder: GuidedDecoder, judge: ResponseEncoder, regions: Sequence[str] | None, *, scales: Sequence[float], n: int, n_best: int,
    windows: Windows, pictures: Pictures, seed: int,
) -> tuple[list[Preference], Independence, list[str]]:  # fmt: skip
    """Sample for each region at each scale, and ask the judge.

    Parameters
    ----------
    decoder : GuidedDecoder
        Fitted.
    judge : ResponseEncoder
        Independent of the decoder's encoder.
    regions : sequence of str or None
        None takes every region that guide and judge predict.
    scales : sequence of float
        0 is added.
    n, n_best : int
        Samples, and training pictures, a region.
    windows, pictures
        That the decoder was fitted on: for the best training pictures, and for guides that learned from shuffled responses.
    seed : int

    Returns
    -------
    found, independence, notes

    Raises
    ------
    BraindecError
        If no region can be used, or the judge is not independent.
    """
    independence = check_independent(decoder.encoder_, judge)
    names, notes = _usable(decoder.encoder_, judge, regions)
    steps = sorted({0.0, *map(float, scales)})
    noise = [f"sample-{i}" for i in range(n)]
    plain = decoder.prior(noise, seed=seed)
    made = {
        r: np.stack([plain, *(decoder.prefer(r, names=noise, scale=s, seed=seed) for s in steps if s > 0)])
        for r in names
    }
    values, codes = targets_of(windows, pictures)
    wrong = _least_alike(decoder.encoder_, values, names)
    weights = _shuffled_guides(decoder.encoder_, windows, values, codes, names, np.random.default_rng([seed, 9]))
    shuffle = np.arange(n) % _SHUFFLES
    found = []
    for r in names:
        best = values[np.argsort(-decoder.encoder_.activation(values, r), kind="stable")[:n_best]]
        other = made[wrong[r]]
        blind = decoder.follow(
            _linear(decoder.encoder_), names=noise, targets=weights[r][shuffle], scale=steps[-1], seed=seed
        )

        def said(values: np.ndarray, model: ResponseEncoder, region: str = r) -> np.ndarray:
            return np.stack([model.activation(v, region) for v in values])

        found.append(Preference(
            r, wrong[r], made[r], other, best, said(made[r], judge), said(other, judge), said(made[r], decoder.encoder_), judge.activation(best, r),
            judge.activation(blind, r), shuffle,
        ))  # fmt: skip
    return found, independence, notes


def preference_rows(
    found: Sequence[Preference], scales: Sequence[float], *, planted: Mapping[str, tuple[str, str]] | None, reader: Any,
    accuracy: Mapping[str, Mapping[str, Mapping[str, float]]], n_permutations: int, seed: int,
) -> list[dict[str, Any]]:  # fmt: skip
    """Rows of the score table: rise of the judge's activation, its trend over scales, planted attributes, and the models."""
    steps = sorted({0.0, *map(float, scales)})
    rows: list[dict[str, Any]] = []
    options = {"n_permutations": n_permutations, "rng": seed}
    for one in found:
        r = one.region
        plain = one.judged[0]
        unit = "SD of the judge's activation over its training pictures"
        for k, scale in enumerate(steps[1:], start=1):
            last = k == len(steps) - 1
            row = "decoded" if last else f"scale {scale:g}"
            note = f"guided at scale {scale:g} minus unguided from the same noise, {unit}; p: signs of the differences flipped"
            rows.append(_paired("activation_rise", r, row, one.judged[k] - plain, note, options))
        rows.append(
            _paired(
                "activation_rise",
                r,
                "wrong_region",
                one.judged_other[-1] - plain,
                f"guided to {one.wrong} instead, same noise and scale",
                options,
            )
        )
        rows.append(_mean("activation_rise", r, "best_training_pictures", one.judged_best - plain.mean(),
                          f"the {len(one.best)} training pictures that the guide likes best, minus the mean unguided sample", seed))  # fmt: skip
        rows.append(
            _mean(
                "activation_rise",
                r,
                "guide_itself",
                one.guided[-1] - one.guided[0],
                "the guide's own prediction: circular, no evidence",
                seed,
            )
        )
        rows.append(_blind(r, one, seed))
        trend = np.array([_spearman(steps, one.judged[:, i]) for i in range(one.judged.shape[1])])
        rows.append(
            _paired(
                "activation_trend",
                r,
                "decoded",
                trend,
                f"rank correlation of scale and judged activation over {len(steps)} scales, mean over samples",
                options,
            )
        )
        if planted and r in planted:
            rows += _planted_rows(one, planted[r], reader, options)
        for row, values in accuracy.items():
            said = f"predicted and measured activation over held-out stimuli ({'guide' if row == 'decoded' else row})"
            rows.append({"metric": "encoding_r", "region": r, "row": row, "chance": 0.0, "note": said, **values[r]})
    return [{"version": "1", **row} for row in rows]


def preference_panels(
    found: Sequence[Preference], scales: Sequence[float], *, seed: int
) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """Panels and arrays of the page: the curve, and for each region a grid of samples from best to worst."""
    steps = sorted({0.0, *map(float, scales)})
    bounds = np.array([[bootstrap_interval(v, rng=seed)[:2] for v in one.judged] for one in found])
    arrays = {
        "scales": np.array(steps), "judged": np.stack([one.judged.mean(axis=1) for one in found]), "low": bounds[..., 0], "high": bounds[..., 1],
        "guide": np.stack([one.guided.mean(axis=1) for one in found]), "wrong": np.stack([one.judged_other.mean(axis=1) for one in found]),
        "baseline": np.array([one.judged_best.mean() for one in found]),
    }  # fmt: skip
    panels = [{
        "draw": "guidance_curve", "title": "Predicted activation against the scale of guidance",
        "caption": "Mean over samples, 95 % interval, in standard deviations of the activation over training pictures. Only the independent judge "
        "(blue) is evidence; the guide (dotted) was followed, so it must rise.",
        "args": {"scales": "@scales", "judged": "@judged", "names": [one.region for one in found], "low": "@low", "high": "@high", "guide": "@guide",
                 "wrong": "@wrong", "baseline": "@baseline"},
    }]  # fmt: skip
    for k, one in enumerate(found):
        rise = one.judged[-1] - one.judged[0]
        order = np.argsort(-rise, kind="stable")
        third = min(_SHOWN // 3, max(1, len(order) // 3))
        middle = len(order) // 2 - third // 2
        chosen = np.concatenate([order[:third], order[middle : middle + third], order[-third:]])
        heads = ["best"] * third + ["median"] * third + ["worst"] * third
        picked = np.concatenate(
            [one.made[:, chosen], one.other[-1:, chosen], one.best[None, np.arange(len(chosen)) % len(one.best)]]
        )
        arrays |= {f"grid/{k}": np.round(255 * picked).astype(np.uint8), f"rise/{k}": rise[chosen]}
        names = ["unguided", *(f"scale {s:g}" for s in steps[1:]), f"to {one.wrong}", "training"]
        panels.append({
            "draw": "picture_grid", "title": f"What {one.region} prefers",
            "caption": f"A column is one noise; samples by how much the judge's activation rose (above the columns, SD): best, median and worst. "
            f"Below them samples guided to {one.wrong}, and the training pictures that the guide likes best (in order, not by column).",
            "args": {"pictures": f"@grid/{k}", "names": names, "labels": heads, "scores": f"@rise/{k}"},
        })  # fmt: skip
    return panels, arrays


def _planted_rows(
    one: Preference, planted: tuple[str, str], reader: Any, options: Mapping[str, Any]
) -> list[dict[str, Any]]:
    attribute, value = planted
    plain, guided, other = (
        attribute_of(v, attribute, value, reader) for v in (one.made[0], one.made[-1], one.other[-1])
    )
    what = (
        f"share of samples that are {value}"
        if attribute == "colour"
        else f"how far {value} the object stands (1 is the edge)"
    )
    said = f"{what}: {guided.mean():.2f} guided, {plain.mean():.2f} unguided; the difference from the same noise"
    return [
        _paired("planted_attribute", one.region, "decoded", guided - plain, said, options),
        _paired(
            "planted_attribute", one.region, "wrong_region", other - plain, f"guided to {one.wrong} instead", options
        ),
    ]


def _paired(
    metric: str, region: str, row: str, differences: np.ndarray, note: str, options: Mapping[str, Any]
) -> dict[str, Any]:
    values = np.asarray(differences, dtype=float)
    p = sign_flip_test(values, two_sided=False, **options)
    return {**_mean(metric, region, row, values, note, options["rng"]), "p": p}


def _blind(region: str, one: Preference, seed: int) -> dict[str, Any]:
    """Rise with guides that learned from shuffled responses; samples of one guide are no independent cases."""
    rise = (one.judged_shuffled - one.judged[0]).astype(float)
    means = np.array([rise[one.shuffle == k].mean() for k in np.unique(one.shuffle)])
    low, high = bootstrap_interval(rise, rng=seed, clusters=one.shuffle)[:2]
    note = f"{len(means)} guides fitted on responses to other pictures, the same scale in their own standard deviations; p: signs of their means flipped"
    return {"metric": "activation_rise", "region": region, "row": "shuffled_brain", "value": float(rise.mean()), "chance": 0.0, "low": low, "high": high,
            "p": sign_flip_test(means), "n": len(rise), "note": note}  # fmt: skip


def _mean(metric: str, region: str, row: str, values: np.ndarray, note: str, seed: int) -> dict[str, Any]:
    values = np.asarray(values, dtype=float)
    low, high = bootstrap_interval(values, rng=seed)[:2]
    return {"metric": metric, "region": region, "row": row, "value": float(values.mean()), "chance": 0.0, "low": low, "high": high, "n": len(values),
            "note": note}  # fmt: skip


def held_out(model: ResponseEncoder, windows: Windows, pictures: Pictures, regions: Sequence[str], *, n_permutations: int,
             seed: int) -> dict[str, dict[str, float]]:  # fmt: skip
    """Correlation of predicted and measured activation of regions over held-out stimuli: value, low, high, p and n of each."""
    shown = windows.trials["stimulus_id"].astype(str).to_numpy()
    items, codes = np.unique(shown, return_inverse=True)
    responses = model.responses(windows)
    mean = np.stack([responses[codes == k].mean(axis=0) for k in range(len(items))])
    values = pictures.of(items)
    rng = np.random.default_rng([seed, 5])
    orders = [rng.permutation(len(items)) for _ in range(n_permutations)]
    out = {}
    for region in regions:
        measured, said = mean[:, model.regions_[region]].mean(axis=1), model.activation(values, region)
        r = float(np.corrcoef(measured, said)[0, 1])
        null = np.array([np.corrcoef(measured[o], said)[0, 1] for o in orders])
        low, high = bootstrap_interval(np.stack([measured, said], axis=1), _pearson, rng=seed)[:2]
        out[region] = {"value": r, "low": low, "high": high, "p": float(permutation_p(r, null)), "n": len(items)}
    return out


def _usable(
    guide: ResponseEncoder, judge: ResponseEncoder, regions: Sequence[str] | None
) -> tuple[list[str], list[str]]:
    """Regions that guide and judge both predict; why others are left out."""
    wanted = list(regions) if regions is not None else [r for r in guide.regions_ if r != "all"]
    wanted = wanted or ["all"]
    notes, names = [], []
    for region in wanted:
        missing = []
        for who, model in (("guide", guide), ("judge", judge)):
            try:
                model.objective(region)
            except BraindecError as error:
                if region not in model.regions_ and regions is not None and who == "guide":
                    raise
                missing.append(f"{who}: {error.asked}" if hasattr(error, "asked") else f"{who}: {error}")
        if missing:
            notes.append(f"Region {region} is left out ({missing[0]}).")
        else:
            names.append(region)
    if not names:
        raise BraindecError("there is no region that guide and judge both predict", found="; ".join(notes),
                            fix="more training data, other features, a lower min_r, or other regions")  # fmt: skip
    return names, notes


def _shuffled_guides(
    guide: ResponseEncoder,
    windows: Windows,
    values: np.ndarray,
    codes: np.ndarray,
    names: Sequence[str],
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Weights of features (shuffle, unit) of guides whose responses came from other pictures, in their own standard deviations."""
    X, responses = guide.model_.describe(values), guide.responses(windows)
    counts = np.bincount(codes, minlength=len(values))[:, None]
    mean = np.zeros((len(values), responses.shape[1]))
    np.add.at(mean, codes, responses)
    mean /= np.maximum(counts, 1)
    orders = [rng.permutation(len(values)) for _ in range(_SHUFFLES)]
    out = {}
    for name in names:
        activation = mean[:, guide.regions_[name]].mean(axis=1)
        fitted = fit_ridge(X, np.stack([activation[o] for o in orders], axis=1))
        weights = np.nan_to_num(fitted.coef)  # (unit, shuffle)
        spread = (X @ weights).std(axis=0)
        out[name] = (weights / np.where(spread > 1e-12, spread, np.inf)).T.astype(np.float32)
    return out


def _linear(guide: ResponseEncoder) -> Any:
    def objective(images: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        return (guide.model_.features(images) * weights).sum(dim=1)

    return objective


def _least_alike(guide: ResponseEncoder, pictures: np.ndarray, names: Sequence[str]) -> dict[str, str]:
    """For each region the one whose predicted activation goes least with its own over training pictures."""
    if len(names) == 1:
        return {names[0]: names[0]}
    r = np.abs(np.corrcoef(np.stack([guide.activation(pictures, n) for n in names])))
    np.fill_diagonal(r, np.inf)
    return {name: names[int(r[i].argmin())] for i, name in enumerate(names)}


def _pearson(pairs: np.ndarray) -> float:
    return float(np.corrcoef(pairs.T)[0, 1])


def _spearman(x: Sequence[float], y: np.ndarray) -> float:
    from scipy.stats import spearmanr

    if np.ptp(y) == 0:
        return 0.0
    return float(spearmanr(x, y).statistic)
