"""What voxels prefer, in words: encoding weights are projected onto embeddings of natural images and captioned (BrainSCUBA).

Voxels that a linear model of image embeddings predicts (on training stimuli) get a caption. Captions are then tried on stimuli
that were never used: those that are like a voxel's caption should drive it more. Control row: models of shuffled pairs.
Reference: weights that are captioned without being projected; where these score as much, the projection added nothing. By
default subjects look at drawn scenes and the truth is known.
"""

from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field, NonNegativeInt, PositiveInt
from tqdm import tqdm

from braindec.config import RecipeConfig, Section, options_of
from braindec.decoders._voxel_words import caption_validity, named_rows, over_shuffles, predictable, said_more
from braindec.decoders.voxel_captions import VoxelCaptioner, project_weights
from braindec.errors import BraindecError
from braindec.evaluate.audit import audit
from braindec.evaluate.official import official_or_content_split
from braindec.evaluate.results import group_scores, retrieval_result
from braindec.loaders.cohort import Epochs, Events, Steps, event_windows, overview, source_of, subject_units, units_of
from braindec.loaders.features import load_features
from braindec.loaders.scenes import COLOURS
from braindec.loaders.synthetic_scenes import scene_cohort
from braindec.types import Features

CITATIONS = [
    {"key": "luo2024", "text": "Luo, Henderson, Tarr & Wehbe (2024). BrainSCUBA: Fine-grained natural language captions of visual cortex selectivity. ICLR."},
    {"key": "phipson2010", "text": "Phipson & Smyth (2010). Permutation p-values should never be zero. Statistical Applications in "
     "Genetics and Molecular Biology 9, 39.", "doi": "10.2202/1544-6115.1585"},
]  # fmt: skip


class Synthetic(Section):
    n_subjects: PositiveInt = 2
    n_train: PositiveInt = 960
    n_test: PositiveInt = 96
    n_voxels: PositiveInt = 300
    noise: float = Field(0.7, ge=0)
    seed: int = 0


class Content(Section):
    column: str | None = "part"
    by: str = "stimulus_id"
    test: float = Field(0.2, gt=0, lt=1)


class Config(RecipeConfig):
    synthetic: Synthetic = Synthetic()
    features: str | None = None
    bank: str | None = None
    caption: str = "caption"
    signal: Steps = []
    events: Events = Events()
    epochs: Epochs = Epochs()
    split: Content = Content()
    decoder: Annotated[dict, options_of(VoxelCaptioner)] = {}
    regions: str = "region"
    q: float = Field(0.05, gt=0, lt=1)
    n_shown: PositiveInt = 14
    n_shuffles: int = Field(20, ge=5)
    n_permutations: NonNegativeInt = 1000
    n_bootstrap: PositiveInt = 1000


def cohort_of(config):
    """The drawn scenes and their viewers when no recordings are named, else None."""
    if config.data.dataset or config.data.root:
        return None
    options = config.synthetic.model_dump()
    return scene_cohort("fmri", size=16, signal={"n_voxels": options.pop("n_voxels")}, **options)


def units(config):
    cohort = cohort_of(config)
    if cohort is None:
        return subject_units(config.data, config.select.subjects)
    return units_of(cohort.subjects, config.select.subjects)


def inputs(config, unit):
    files = [] if cohort_of(config) else source_of(config.data).files(unit["subject"])
    return [*files, *(f for f in (config.features, config.bank) if f)]


def load(config, unit, cache=None):
    """Trials, embeddings of the stimuli with captions, the bank, and what the pages says of the data."""
    cohort = cohort_of(config)
    if cohort is not None:
        windows, features = cohort.windows(unit["subject"]), cohort.features
        part = features.items["part"].to_numpy()
        return windows, features, features[np.flatnonzero(part == "train")], None
    if config.features is None:
        raise BraindecError(
            "which embeddings? Those of the images are needed, with captions", fix="features=FILE (see load_features)"
        )
    source = source_of(config.data)
    windows = source.windows(unit["subject"])
    if windows is None or config.epochs.tmax is not None:
        windows, _ = event_windows(
            source, unit["subject"], events=config.events, epochs=config.epochs, steps=config.signal, cache=cache
        )
    features = load_features(config.features)
    return windows, features, load_features(config.bank) if config.bank else None, source


def split_of(config, windows):
    wanted = config.split
    return official_or_content_split(windows, wanted.column, by=wanted.by, test=wanted.test, seed=config.seed)


def design(config, unit):
    """Audit the design before anything is fitted."""
    windows, *_ = load(config, unit)
    return audit(windows, [split_of(config, windows)], claim="stimulus_id")


def run(config, unit, work):
    windows, features, bank, source = load(config, unit, work.cache)
    split = split_of(config, windows)
    train, test = windows[split.train], windows[split.test]
    shown = train.trials["stimulus_id"].unique()
    own = features[features.rows_of(shown)]
    bank = own if bank is None else bank
    texts = caption_table(features, windows, config.caption)
    bank_texts = caption_list(bank, config.caption)
    decoder = VoxelCaptioner(**{"seed": work.seed, **config.decoder}).fit(train, own, bank=bank, captions=bank_texts)
    decoder.save(work.folder / "model")
    rng, shuffles = work.rng("label_shuffle"), []
    hopeful = np.flatnonzero(decoder.r_ > 0)  # others will not be captioned: their weights are not held in memory
    for _ in tqdm(range(config.n_shuffles), desc="shuffled pairs", disable=None):
        mixed = Features(own.values, own.items.assign(stimulus_id=rng.permutation(own.ids)), own.units)
        found = VoxelCaptioner(**{"seed": work.seed, **config.decoder}).fit(
            train, mixed, bank=bank, captions=bank_texts
        )
        shuffles.append((found.r_, found.weights_[hopeful]))
    kept = np.intersect1d(predictable(decoder.r_, np.array([r for r, _ in shuffles]), q=config.q), hopeful)
    if not len(kept):
        raise BraindecError("no voxel is predicted by the embeddings, so there is nothing to caption", found=f"{len(decoder.r_)} voxels, "
                            f"largest held-out r {decoder.r_.max():.3f}", fix="more trials, other embeddings, or a larger q")  # fmt: skip
    table = decoder.captions(kept)
    responses = np.concatenate([b.mean(axis=2) for _, b in decoder.reader_.blocks(test)])[:, kept]
    groups = region_groups(table, config.regions)
    planted = planted_words(windows, features, kept)

    def scored(captions, row, n_permutations=config.n_permutations):
        options = {"row": row, "keys": unit, "n_permutations": n_permutations, "seed": work.seed}
        valid = caption_validity(
            captions, test, responses, texts, bank=bank_texts, groups=groups, n_bootstrap=config.n_bootstrap, **options
        )
        return pd.concat([valid, named_rows(captions, planted, **options)], ignore_index=True)

    def shuffled(weights):
        aims = project_weights(weights[np.searchsorted(hopeful, kept)], decoder.bank_, sharpness=decoder.sharpness)
        return scored(decoder.captioner_.captions(unit_rows(aims)), "label_shuffle", n_permutations=0)

    tables = [scored(table["caption"].to_numpy(), "decoded"),
              scored(decoder.captioner_.captions(unit_rows(decoder.weights_[kept])), "not_projected"),
              over_shuffles([shuffled(weights) for _, weights in shuffles], "label_shuffle")]  # fmt: skip
    scores = pd.concat(tables, ignore_index=True)
    scores = scores.sort_values("metric", key=lambda m: m != "caption_r", kind="stable", ignore_index=True)
    card = audit(windows, [split], records=[(split, decoder.fit_records_)], claim="stimulus_id")
    facts = overview(windows, "part" if "part" in windows.trials else config.split.by, source)
    facts = {
        k: v for k, v in facts.items() if windows.n_times > 1 or k not in ("sampling frequency (Hz)", "window (s)")
    }
    facts |= {
        "voxels with a caption": f"{len(kept)} of {len(decoder.r_)} (held-out r above that of shuffled pairs, on training stimuli, q {config.q:g})"
    }
    arrays, panels = panels_of(config, table, groups, bank_texts, planted)
    result = retrieval_result(scores, card, arrays, panels, overview=facts)
    result.made_by["answers"] = said(scores)
    return result


def caption_list(features, name):
    if name not in features.items:
        raise BraindecError(f"the embeddings have no column {name!r} of captions", found=f"columns {', '.join(map(str, features.items.columns))}",
                            fix="add the captions to the table of the features, or caption=COLUMN")  # fmt: skip
    return list(features.items[name])


def caption_table(features, windows, name):
    """stimulus_id -> caption, of all stimuli that are shown."""
    shown = windows.trials["stimulus_id"].astype(str).unique()
    return dict(zip(shown, np.array(caption_list(features, name), dtype=object)[features.rows_of(shown)], strict=True))


def region_groups(table, name):
    groups = {"all": np.arange(len(table))}
    if name in table:
        regions = table[name].astype(str).to_numpy()
        groups |= {
            r: np.flatnonzero(regions == r) for r in pd.unique(regions) if r != "n/a" and (regions == r).sum() >= 8
        }
    return groups


def unit_rows(values):
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)


def planted_words(windows, features, kept):
    """Region -> (voxels among ``kept``, the word of each, how many words there could be), for drawn scenes."""
    truth = windows.info.get("truth")
    if truth is None:
        return {}
    items, out = features.items, {}
    region = np.asarray(truth["region"])[kept]
    tuning = np.sort(truth["shape_tuning"][kept], axis=1)
    clear = (region == "LOC") & (tuning[:, -1] - tuning[:, -2] > 0.3 * np.ptp(tuning, axis=1))
    shapes = [c.removeprefix("shape ") for c in features.units["name"] if c.startswith("shape ")]
    voxels = np.flatnonzero(clear)
    out["LOC"] = (voxels, [shapes[k] for k in truth["shape_tuning"][kept[voxels]].argmax(axis=1)], len(shapes))
    colours = sorted(items["colour"].unique())
    away = np.abs((np.asarray(truth["hue"])[kept, None] - np.array([COLOURS[c] for c in colours]) + 0.5) % 1 - 0.5)
    near = np.sort(away, axis=1)
    voxels = np.flatnonzero((region == "V4") & (near[:, 0] < 0.5 * near[:, 1]))
    out["V4"] = (voxels, [colours[k] for k in away[voxels].argmin(axis=1)], len(colours))
    return out


def panels_of(config, table, groups, bank_texts, planted):
    arrays, panels = {}, []
    word = {int(v): w for voxels, words, _ in planted.values() for v, w in zip(voxels, words, strict=True)}
    regions = [g for g in groups if g != "all"] or ["all"]
    each = max(1, config.n_shown // len(regions))
    rows = [v for g in regions for v in groups[g][np.argsort(-table["r"].to_numpy()[groups[g]], kind="stable")[:each]]]
    columns = [[str(table[c].iloc[v]) for v in rows] for c in ("region", "name") if c in table]
    names = [c for c in ("region", "name") if c in table]
    columns += [[f"{table['r'].iloc[v]:.2f}" for v in rows], [table["caption"].iloc[v] for v in rows]]
    names += ["held-out r", "caption"]
    if word:
        columns.append([word.get(int(v), "-") for v in rows])
        names.append("planted")
    arrays["captions/cells"] = np.array(columns, dtype=object)
    panels.append({"draw": "text_table", "title": "What the best predicted voxels of each region prefer",
                   "caption": "Chosen by how well they are predicted on training stimuli, not by what is said of them.",
                   "args": {"cells": "@captions/cells", "columns": names}})  # fmt: skip
    if len(groups) > 2:
        some = {g: v for g, v in groups.items() if g != "all"}
        words, shares = said_more(table["caption"], some, bank_texts)
        arrays["captions/words"] = np.round(shares, 3)
        panels.append({"draw": "alignment_matrix", "title": "Words that regions say more or less often than the bank", "caption": "Share of the "
                       "region's captions with the word, less the share of the bank's.",
                       "args": {"values": "@captions/words", "models": list(some), "regions": words, "label": "share above the bank's"}})  # fmt: skip
    return arrays, panels


def said(scores):
    """How often captions name what was planted, in words that subjects can share."""
    mine = scores[(scores["metric"] == "planted_named") & (scores["row"] == "decoded")]
    words = {True: "at least 90 % of the voxels of", False: "fewer than 90 % of the voxels of"}
    return [{"about": "Captions name what was planted", "says": f"in {words[bool(one['value'] >= 0.9)]}", "item": one["region"]}
            for _, one in mine.iterrows()]  # fmt: skip


def summary(config, results):
    return group_scores(results, shared_stimuli=True, seed=config.seed)
