"""Rows, pictures and sentences of the recipe that localizes, lesions and aligns the language units of a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from braindec.align.unit_sets import UnitSets
from braindec.llm.controls import matched_random_units
from braindec.llm.lesion import Lesion
from braindec.llm.scores.localizer import Localization, groups_of, selected_by
from braindec.stats.bootstrap import bootstrap_interval
from braindec.stats.contrast import split_half, welch_t
from braindec.stats.cross_fit import CrossFit, cross_fit, effect_interval, reliability_test
from braindec.stats.fdr import fdr_bh
from braindec.stats.permutation import permutation_p

_PASSAGE = 4  # texts
NAMES = {
    "surprisal_rise": "surprisal of new sentences (bits a word)",
    "class_errors_rise": "errors about the class of the next word",
}

__all__ = [
    "answers",
    "brain_rows",
    "brain_texts",
    "effect_rows",
    "lesion_rows",
    "network_panels",
    "responsive",
    "truth_rows",
]


def brain_texts(texts: Sequence[str], *, seed: int = 0) -> pd.DataFrame:
    """Make reading material between sentences and word lists: passages of 4 texts in each of which a share of words is moved.

    Language units then differ between texts by how much of each is in order, as language regions do. The share is drawn by
    itself, so that it says nothing about place or length.

    Returns
    -------
    DataFrame
        stimulus_id, text, concept_id (the passage), scrambled (share of words that were moved).
    """
    rng = np.random.default_rng([seed, 7])
    rows = []
    for k, text in enumerate(texts):
        words, share = text.split(), float(rng.choice([0.0, 0.33, 0.67, 1.0]))
        words = words[: int(rng.integers(len(words) // 2 + 1, len(words) + 1))]
        moved = rng.choice(len(words), round(share * len(words)), replace=False)
        mixed = list(words)
        for place, source in zip(moved, rng.permutation(moved), strict=True):
            mixed[place] = words[source]
        rows.append((f"text-{k:03d}", " ".join(mixed), f"passage-{k // _PASSAGE:02d}", share))
    return pd.DataFrame(rows, columns=["stimulus_id", "text", "concept_id", "scrambled"])


def effect_rows(
    found: Localization, fresh: Sequence[Localization], *, absolute: bool, percent: float, gate: float | None, n_permutations: int,
    n_sets: int, seed: int,
) -> tuple[list[dict[str, Any]], dict[str, Any]]:  # fmt: skip
    """Held-out effect and reliability, with untrained networks and random units beside them.

    Returns
    -------
    rows : list of dict
    null : dict
        ``cross`` (CrossFit), ``reliability`` (its null), ``untrained`` effects.
    """

    def choose(t: np.ndarray, df: np.ndarray) -> np.ndarray:
        from scipy import stats

        q = fdr_bh(2 * stats.t.sf(np.abs(t), df)) if gate is not None else np.zeros(len(t))
        return selected_by(t, q, percent=percent, k=None, gate=gate).rows

    a, b = _conditions(found)
    cross = cross_fit(a, b, choose, absolute=absolute, n_permutations=n_permutations, rng=seed)
    low, high = effect_interval(a, b, cross.selections, absolute=absolute, rng=seed)
    others = np.array([cross_fit(*_conditions(f), choose, absolute=absolute).effect for f in fresh])
    random = _random_effects(found, cross, a, b, absolute, n_sets, seed)
    n = len(found.stimuli)
    rows = [{"metric": "held_out_effect", "row": "decoded", "value": cross.effect, "chance": 0.0, "low": low, "high": high, "p": cross.p, "n": n,
             "note": f"Cohen's d of sentences against non-words, mean over units chosen on the other half of the stimuli ({len(cross.selections[0])} and "
             f"{len(cross.selections[1])} units); p: labels permuted through choice and evaluation"},
            {"metric": "held_out_effect", "row": "same_stimuli", "value": cross.circular, "chance": 0.0, "n": n,
             "note": "each half evaluated by its own choice: what choosing adds is in it"}]  # fmt: skip
    rows += _spread(
        "held_out_effect",
        "random_units",
        random,
        f"{len(random)} sets of as many units of the same layers, evaluated alike",
        n,
    )
    rows += _spread("held_out_effect", "untrained_network", others, _seeds(fresh), n)
    rows += _spread(
        "held_out_effect",
        "label_shuffle",
        np.asarray(cross.null),
        "labels of the stimuli permuted (0 where no unit passes the gate): mean and central 95 %",
        n,
    )
    reliability, p, null = reliability_test(
        a, b, absolute=absolute, groups=groups_of(found.units), n_permutations=n_permutations, rng=seed
    )
    between = np.array([f.reliability.within for f in fresh])
    low, high = _other_halves(a, b, absolute, groups_of(found.units), seed)
    rows.append({"metric": "split_half_r", "row": "decoded", "value": reliability.within, "chance": 0.0, "low": low, "high": high, "p": p, "n": n,
                 "note": "correlation over units of t in odd and in even stimuli, layers centred; interval: range of 95 % of other halves; p: labels "
                 "permuted"})  # fmt: skip
    rows += _spread("split_half_r", "untrained_network", between, _seeds(fresh), n)
    return [{"version": "1", **r} for r in rows], {"cross": cross, "reliability": null, "untrained": others}


def lesion_rows(lesions: Mapping[str, Lesion], found: Localization, *, seed: int) -> list[dict[str, Any]]:
    """What taking the chosen units away changes, against as many random ones."""
    rows: list[dict[str, Any]] = []
    for metric, one in lesions.items():
        random, (low, high) = one.random_changes, one.interval(rng=seed)
        rows.append({"metric": metric, "row": "decoded", "value": one.change, "chance": float(random.mean()), "low": low, "high": high, "p": one.p(),
                     "n": len(one.intact), "note": f"rise without the {len(found.selection)} chosen units (intact {one.intact.mean():.3g}, without "
                     f"{one.lesioned.mean():.3g}); chance: random sets; p: against {len(random)} of them; interval: texts drawn again"})  # fmt: skip
        rows += _spread(
            metric, "random_units", random, f"{len(random)} sets of as many units of the same layers", len(one.intact)
        )
    return [{"version": "1", **r} for r in rows]


def responsive(found: Localization) -> np.ndarray:
    """Which units respond more to sentences, selected or not: q at most 0.05 and t above 0."""
    return (np.nan_to_num(found.welch.q(), nan=1.0) <= 0.05) & (np.nan_to_num(found.welch.t) > 0)


def brain_rows(brains: Sequence[tuple[UnitSets, UnitSets]] | None) -> list[dict[str, Any]]:
    """Held-out correlation of the chosen units with each region, mean over subjects, against random and unselective units."""
    if not brains:
        return []
    rows: list[dict[str, Any]] = []
    for region, own, random, silent, null in _by_region(brains):
        interval = bootstrap_interval(own, rng=0) if len(own) > 1 else (np.nan, np.nan)
        base = {"metric": "brain_r", "version": "1", "region": region, "n": len(own)}
        rows.append({**base, "row": "decoded", "value": own.mean(), "chance": float(random.mean()), "low": interval[0], "high": interval[1],
                     "p": float(permutation_p(own.mean(), random)), "note": f"mean of {len(own)} subjects and their channels, whole passages held out; "
                     f"chance: random units; p: against {len(random)} sets of them"})  # fmt: skip
        notes = (f"{len(random)} sets of as many units of the same layers, drawn from all units, language units among them",
                 f"{len(silent)} sets of as many units of the same layers that do not respond more to sentences")  # fmt: skip
        for row, values, note in zip(("random_units", "unselective_units"), (random, silent), notes, strict=True):
            rows += [{**base, **r} for r in _spread("brain_r", row, values, note, len(own))]
        if len(null):
            rows.append({**base, "row": "refit_null", **{str(k): float(v) for k, v in null.mean().items()}, "chance": 0.0,
                         "note": "fitted again on surrogate responses, mean over subjects"})  # fmt: skip
    return rows


def _by_region(
    brains: Sequence[tuple[UnitSets, UnitSets]],
) -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray, pd.DataFrame]]:
    """For each region: the chosen units in each subject; means over subjects of random and of unselective sets; rows of surrogates."""
    name = next(iter(brains[0][0].random))
    tables, others = (
        pd.concat([b[i].table.assign(subject=k) for k, b in enumerate(brains)], ignore_index=True) for i in (0, 1)
    )
    for k, region in enumerate(dict.fromkeys(tables["region"])):
        if region == "all channels":  # a mean over regions that were made to differ says nothing
            continue
        mine, silent = (
            tables[tables["region"] == region],
            others[(others["region"] == region) & (others["row"] == "decoded")],
        )
        yield (
            str(region), mine.loc[mine["row"] == "decoded", "value"].to_numpy(dtype=float),
            np.mean([b[0].random[name][:, k] for b in brains], axis=0),  # the same sets in every subject
            silent.groupby("set")["value"].mean().to_numpy(dtype=float), mine.loc[mine["row"] == "refit_null", ["value", "low", "high"]],
        )  # fmt: skip


def truth_rows(found: Localization, truth: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """How well the planted units are told from those that nothing was planted in."""
    if truth is None:
        return []
    from scipy.stats import rankdata

    own, blank = _planted(found, truth, "language"), ~_planted(found, truth, "selective")
    if not own.any() or not blank.any():
        return []
    t = np.nan_to_num(found.welch.t, nan=0.0)
    ranks = rankdata(np.concatenate([t[own], t[blank]]))
    n, m = int(own.sum()), int(blank.sum())
    auc = float((ranks[:n].mean() - (n + 1) / 2) / m)
    spread = auc * (1 - auc) + (n - 1) * (auc / (2 - auc) - auc**2) + (m - 1) * (2 * auc**2 / (1 + auc) - auc**2)
    error = 1.96 * np.sqrt(max(spread, 0.0) / (n * m))  # Hanley & McNeil 1982
    return [{"metric": "planted_auc", "version": "1", "row": "decoded", "value": auc, "chance": 0.5, "low": auc - error, "high": min(1.0, auc + error), "n": n + m,
             "note": f"{n} planted language units against {m} units with nothing planted, by t"}]  # fmt: skip


def answers(rows: Sequence[Mapping[str, Any]]) -> list[Any]:
    """What the rows answer: is the lesion worse than that of random units, and which regions are predicted better than by those?"""
    said: list[Any] = []
    effect = {r["row"]: r["value"] for r in rows if r["metric"] == "held_out_effect"}
    beside = {"untrained_network": "in untrained networks", "random_units": "of as many random units"}
    parts = [f"{effect[row]:.2f} {words}" for row, words in beside.items() if row in effect]
    if "decoded" in effect and parts:
        said.append(
            f"Effect on held-out stimuli {effect['decoded']:.2f} of the chosen units, {', '.join(parts)}.".replace(
                "-", "−"
            ).replace("held−out", "held-out")
        )
    for row in rows:
        if row["row"] != "decoded":
            continue
        if row["metric"] in NAMES:
            said.append(f"Without the chosen units {NAMES[row['metric']]} rise by {row['value']:.2f}, without as many random units by {row['chance']:.2f} "
                        f"(p = {row['p']:.2g}{'' if row['p'] <= 0.05 else ': not shown to be more'}).".replace(" rise ", " rises " if row["metric"] == "surprisal_rise" else " rise ").replace("-0.00", "0.00"))  # fmt: skip
        elif row["metric"] == "brain_r":
            better = row["p"] <= 0.05
            said.append({"about": "Predicting the brain", "item": str(row["region"]),
                         "says": "better than as many random units in" if better else "not better than random units in"})  # fmt: skip
    return sorted(said, key=lambda one: isinstance(one, str) or one["says"].startswith("not"))


def network_panels(
    found: Localization, fresh: Sequence[Localization], null: Mapping[str, Any], lesions: Mapping[str, Lesion],
    brains: Sequence[tuple[UnitSets, UnitSets]] | None, truth: Mapping[str, Any] | None,
) -> tuple[list[dict[str, Any]], dict[str, np.ndarray], list[str]]:  # fmt: skip
    """Pictures with their arrays, and what a reader must be told."""
    chosen = found.selection.mask(len(found.units))
    arrays: dict[str, np.ndarray] = {
        "units/t": found.welch.t, "units/q": found.welch.q(), "units/effect": found.welch.effect, "units/selected": chosen,
        "units/layer": found.units["layer"].to_numpy(dtype=int), "units/index": found.units["index"].to_numpy(dtype=int),
        "units/site": found.units["site"].to_numpy(dtype=object), "units/halves": np.stack([found.reliability.odd, found.reliability.even]),
        "null/held_out_effect": null["cross"].null, "null/split_half_r": null["reliability"],
    }  # fmt: skip
    panels = [{"draw": "layer_units", "title": "Sentences against non-words, unit by unit", "args": {"values": "@units/t", "layers": "@units/layer",
               "selected": "@units/selected", "halves": "@units/halves", "label": "Welch's t"},
               "caption": f"Left: t of every unit; orange: selected ({found.selection.note}). Middle: their share of each layer. Right: t in the two halves of the "
               f"stimuli, r = {found.reliability.r:.2f} (layers centred: {found.reliability.within:.2f})."}]  # fmt: skip
    for metric, one in lesions.items():
        arrays[f"lesion/{metric}"] = one.random_changes
        panels.append({"draw": "null_histogram", "title": "Without the chosen units" if metric == "surprisal_rise" else "The planted behaviour",
                       "args": {"observed": one.change, "null": f"@lesion/{metric}", "p": one.p(), "label": f"rise in {NAMES.get(metric, metric)}",
                                "kind": "as many random units"},
                       "caption": f"Grey: {len(one.random)} sets with as many units of each layer, taken away in the same way. Intact {one.intact.mean():.3g}, "
                       f"without the chosen units {one.lesioned.mean():.3g}."})  # fmt: skip
    if brains:
        panels.append(_brain_bars(brains, arrays))
    return panels, arrays, _notes(found, fresh, null, lesions, brains, truth)


def _brain_bars(brains: Sequence[tuple[UnitSets, UnitSets]], arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    parts = list(_by_region(brains))
    sets = [[own, random, silent] for _, own, random, silent, _ in parts]
    arrays["brain/values"] = np.array([[v.mean() for v in one] for one in sets]).T  # (series, region)
    for end, q in (("low", 0.025), ("high", 0.975)):
        arrays[f"brain/{end}"] = np.array([[np.nan, *(np.quantile(v, q) for v in one[1:])] for one in sets]).T
    points = np.full((3, len(brains), len(parts)), np.nan)
    points[0] = np.stack([one[0] for one in sets], axis=1)
    arrays["brain/points"] = points
    return {"draw": "roi_bars", "title": "Predicting the brain", "args": {"values": "@brain/values", "points": "@brain/points", "low": "@brain/low",
            "high": "@brain/high", "names": [p[0] for p in parts], "series": ["selected units", "random units", "unselective units"], "label": "held-out r"},
            "caption": "Mean over channels; dots: subjects. Random units are drawn from all units of the same layers, language units among them; unselective "
            "units do not respond more to sentences. Lines: the range of 95 % of the sets. Whole passages are held out."}  # fmt: skip


def _notes(
    found: Localization, fresh: Sequence[Localization], null: Mapping[str, Any], lesions: Mapping[str, Lesion],
    brains: Sequence[tuple[UnitSets, UnitSets]] | None, truth: Mapping[str, Any] | None,
) -> list[str]:  # fmt: skip
    cross: CrossFit = null["cross"]
    notes = [*found.notes, f"Selection: {found.selection.note}."]
    if np.isfinite(cross.overlap):
        notes.append(
            f"Units chosen on one half of the stimuli are evaluated on the other; the two choices share {cross.overlap:.0%} (by chance {cross.overlap_chance:.0%})."
        )
    else:
        notes.append("No unit passes the gate in half of the stimuli: the held-out effect is that of none, 0.")
    notes.append(f"Units that respond more to sentences (q <= 0.05 over all units): {_share(found):.1%}"
                 + (f"; in untrained networks {', '.join(f'{_share(f):.1%}' for f in fresh)}." if fresh else "."))  # fmt: skip
    if fresh:
        notes.append("Untrained networks may respond to which words and letters occur, which differ between sentences and non-words; a language network is "
                     "what the model has beyond them.")  # fmt: skip
    if not len(found.selection):
        notes.append("No unit passes the gate: nothing was taken away, and nothing is compared with a brain.")
    elif lesions:
        notes.append("Sentences that lesions are measured on had no part in choosing the units.")
    if truth is not None:
        planted = _planted(found, truth, "selective")
        rows = found.selection.rows
        hit = int(planted[rows].sum()) if len(rows) else 0
        notes.append(f"Truth: {int(_planted(found, truth, 'language').sum())} language units were planted (signal-to-noise ratio {truth['snr']:g}), and "
                     f"{int(planted.sum())} units in all that respond more to sentences; {hit} of the {len(rows)} selected are among them.")  # fmt: skip
    if brains:
        notes += [f"The brain is made up: voxels of language regions follow planted units of layer 2 while {len(brains)} subjects read texts between sentences "
                  "and word lists; A1 follows length and place, V1 holds noise.",
                  *dict.fromkeys(n for b, _ in brains for n in b.notes)]  # fmt: skip
    elif truth is None:
        notes.append(
            "For a model of yours no brain is made up: compare its units with recordings by the recipe llm_brain_encoding."
        )
    return notes


def _planted(found: Localization, truth: Mapping[str, Any], kind: str) -> np.ndarray:
    keys = ["layer", "site", "index"]
    return found.units[keys].merge(truth[kind][keys], how="left", indicator=True)["_merge"].eq("both").to_numpy()


def _random_effects(
    found: Localization, cross: CrossFit, a: np.ndarray, b: np.ndarray, absolute: bool, n_sets: int, seed: int
) -> np.ndarray:  # fmt: skip
    """Held-out effects of random sets with the layers of the choice of each half."""
    if not all(map(len, cross.selections)):
        return np.zeros(0)
    effects = [np.nan_to_num(welch_t(a[h::2], b[h::2], absolute=absolute).effect) for h in (0, 1)]
    draws = [
        matched_random_units(found.units, rows, n_sets=n_sets, rng=[seed, k]) for k, rows in enumerate(cross.selections)
    ]
    return np.array([(effects[1][one].mean() + effects[0][two].mean()) / 2 for one, two in zip(*draws, strict=True)])


def _other_halves(
    a: np.ndarray, b: np.ndarray, absolute: bool, groups: np.ndarray, seed: int, n: int = 60
) -> tuple[float, float]:
    """Range of 95 % of the reliability over random halves of the stimuli."""
    rng = np.random.default_rng([seed, 3])
    drawn = [
        split_half(rng.permutation(a), rng.permutation(b), absolute=absolute, groups=groups).within for _ in range(n)
    ]
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def _conditions(found: Localization) -> tuple[np.ndarray, np.ndarray]:
    """Activations of both conditions, (text, unit) each, the first one first."""
    names, values = found.stimuli["condition"].to_numpy(), found.features.load()
    return values[names == found.conditions[0]], values[names == found.conditions[1]]


def _share(found: Localization) -> float:
    return float(responsive(found).mean())


def _seeds(fresh: Sequence[Localization]) -> str:
    return f"mean and range of {len(fresh)} networks of the same architecture with fresh weights"


def _spread(metric: str, row: str, values: np.ndarray, note: str, n: int) -> list[dict[str, Any]]:
    """One row of the mean of several values with the range of most of them; none without values."""
    values = values[np.isfinite(values)]
    if not len(values):
        return []
    low, high = np.quantile(values, [0.025, 0.975])
    return [
        {
            "metric": metric,
            "row": row,
            "value": float(values.mean()),
            "chance": 0.0,
            "low": float(low),
            "high": float(high),
            "n": n,
            "note": note,
        }
    ]
