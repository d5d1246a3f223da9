"""Images from fMRI: single-trial responses to image embeddings, one subject alone or a new subject beside known ones.

With mode cross a shared model is trained on all other subjects and adapted to the new one with growing shares of its trials,
beside a model from scratch and ridge on the same trials; with mode single each subject stands alone. Test images are in no subject's training trials. Control rows: shuffled
pairs, noise input, time only, untrained. Without data it makes and runs a synthetic twin.
"""

from typing import Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import Field, NonNegativeInt, PositiveInt

from braindec import registry
from braindec.config import RecipeConfig, Section, options_of
from braindec.decoders.cross_subject import CrossSubjectDecoder, calibration_curve
from braindec.errors import BraindecError
from braindec.evaluate.audit import audit
from braindec.evaluate.controls.noise_input import noise_windows
from braindec.evaluate.controls.time_only import time_features
from braindec.evaluate.official import official_split
from braindec.evaluate.results import group_scores, retrieval_panels, retrieval_result
from braindec.evaluate.retrieval import evaluate_retrieval
from braindec.evaluate.splits import content_split
from braindec.loaders.cohort import overview, source_of, subject_units
from braindec.loaders.features import load_features
from braindec.loaders.twin import make_twin, open_twin, twin_folder
from braindec.types import Features, Split, Windows

SECONDS = {"nsd": 4.0}  # a trial, in data sets where that is a public fact

CITATIONS = [
    {"key": "scotti2024", "text": "Scotti et al. (2024). MindEye2: Shared-subject models enable fMRI-to-image with 1 hour of data. ICML."},
    {"key": "wang2024", "text": "Wang et al. (2024). MindBridge: A cross-subject brain decoding framework. CVPR."},
    {"key": "phipson2010", "text": "Phipson & Smyth (2010). Permutation p-values should never be zero. Statistical Applications in "
     "Genetics and Molecular Biology 9, 39.", "doi": "10.2202/1544-6115.1585"},
]  # fmt: skip


class Synthetic(Section):
    twin: str = "nsd"
    n_subjects: int = 4
    n_sessions: int = 5
    seed: int = 0


class Content(Section):
    column: str | None = "part"
    by: str = "stimulus_id"
    test: float = Field(0.15, gt=0, lt=1)


class Training(Section):
    epochs: PositiveInt | None = None
    lr: Annotated[float, Field(gt=0)] | None = None
    n_batches: PositiveInt | None = None

    def options(self):
        return self.model_dump(exclude_none=True)


class Adapt(Training):
    how: Literal["reset", "finetune"] = "reset"


class Config(RecipeConfig):
    synthetic: Synthetic = Synthetic()
    features: str | None = None
    mode: Literal["cross", "single"] = "cross"
    new_subject: str | list[str] | None = None
    split: Content = Content()
    decoder: Annotated[dict, options_of(CrossSubjectDecoder)] = {}
    adapt: Adapt = Adapt()
    scratch: Training = Training()
    baseline: Annotated[dict, options_of("decoders", needs="embed")] = {"name": "ridge"}
    controls: list[Literal["label_shuffle", "noise_input", "time_only", "untrained"]] = []
    shares: list[Annotated[float, Field(gt=0, le=1)]] = [0.1, 0.3, 1.0]
    n_draws: PositiveInt = 3
    seconds_per_trial: Annotated[float, Field(gt=0)] | None = None
    topk: list[PositiveInt] = Field([1, 5], min_length=1)
    n_permutations: NonNegativeInt = 1000
    n_bootstrap: PositiveInt = 2000


def data_of(config):
    """The responses that are named, or those of the synthetic twin."""
    if config.data.dataset or config.data.root:
        return config.data
    options = config.synthetic.model_dump(exclude={"twin"})
    if config.synthetic.twin != "nsd":
        del options["n_sessions"]
    twin = make_twin(config.synthetic.twin, twin_folder(config.synthetic.twin, **options), **options)
    return config.data.model_copy(update=twin.data)


def features_path(config):
    if config.features:
        return config.features
    try:
        return open_twin(data_of(config).root or "").features_path
    except BraindecError:
        raise BraindecError(
            "which features? Embeddings of the images are needed", fix="features=FILE (see load_features)"
        ) from None


def units(config):
    named = [config.new_subject] if isinstance(config.new_subject, str) else config.new_subject
    return subject_units(data_of(config), config.select.subjects or named)


def inputs(config, unit):
    source = source_of(data_of(config))
    subjects = source.subjects() if config.mode == "cross" else [unit["subject"]]
    return [*dict.fromkeys(f for s in subjects for f in source.files(s)), features_path(config)]


def load(config, unit):
    """Responses and split of the new subject, and the training responses of the others."""
    source, new = source_of(data_of(config)), unit["subject"]
    subjects = source.subjects() if config.mode == "cross" else [new]
    if len(subjects) < 2 and config.mode == "cross":
        raise BraindecError("mode: cross needs two subjects or more", found=f"{len(subjects)}", fix="mode=single")
    windows = {s: source.windows(s) for s in subjects}
    if any(w is None or w.n_times != 1 for w in windows.values()):
        raise BraindecError(f"{source.name} has no single-trial responses", found="continuous runs, or windows of several samples",
                            fix="estimate them first: braindec run single_trial_betas")  # fmt: skip
    splits = {s: split_of(config, w) for s, w in windows.items()}
    shown = set(windows[new].trials["stimulus_id"].iloc[splits[new].test])
    others = {s: w[splits[s].train] for s, w in windows.items() if s != new}
    others = {s: w[~w.trials["stimulus_id"].isin(shown).to_numpy()] for s, w in others.items()}
    return source, windows[new], splits[new], others


def split_of(config, windows):
    wanted = config.split
    if (
        wanted.column in windows.trials and (windows.trials[wanted.column] == "test").any()
    ):  # else no answers to it are public
        return official_split(windows, wanted.column, validation_by=wanted.by, validation=0.0, seed=config.seed)
    return content_split(windows, wanted.by, test=wanted.test, validation=0.0, seed=config.seed)


def candidates_of(windows, features, split):
    """The declared candidates: every image that stands in the test part, once."""
    return features[features.rows_of(pd.unique(windows.trials["stimulus_id"].iloc[split.test]))]


def audited(config, windows, split, others, candidates, records=()):
    """Audit the trials of all subjects as one design: the others' trials train, the new subject's are split."""
    trials = pd.concat([windows.trials, *(w.trials for w in others.values())], ignore_index=True)
    train = np.concatenate([split.train, np.arange(len(windows), len(trials))])
    joint = Split(train, split.validation, split.test, by=split.by, ids=trials["window_id"].to_numpy(), name=split.name)
    return audit(trials, [joint], claim=config.split.by, records=[(joint, list(records))], candidates=candidates)


def design(config, unit):
    """Audit the design before anything is fitted: ``braindec audit fmri_image_retrieval``."""
    _, windows, split, others = load(config, unit)
    candidates = candidates_of(windows, load_features(features_path(config)), split)
    return audited(config, windows, split, others, candidates)


def run(config, unit, work):
    source, windows, split, others = load(config, unit)
    features = load_features(features_path(config))
    candidates = candidates_of(windows, features, split)
    test, new = windows[split.test], unit["subject"]
    statistics = {"topk": config.topk, "n_permutations": config.n_permutations, "n_bootstrap": config.n_bootstrap,
                  "seed": work.seed, "keys": unit}  # fmt: skip

    def scored(decoder, seen=test, **options):
        return evaluate_retrieval(decoder.embed(seen), decoder.project(candidates), true_ids=seen.trials["stimulus_id"],
                                  **{**statistics, **options})  # fmt: skip

    scratch = CrossSubjectDecoder(**config.decoder, seed=work.seed, folder=str(work.folder / "training"))
    base = scratch.fit(others, features) if others else None

    def fitted(windows, features, **changes):
        if base is None:
            return CrossSubjectDecoder(**{**scratch.get_params(), **changes}).fit({new: windows}, features)
        return base.adapt(windows, features, subject=new, **{**config.adapt.options(), **changes})

    train = windows[split.train]
    decoder = fitted(train, features)
    decoder.save(work.folder / "model")
    found = scored(decoder)
    items, means = decoder.embed_items(test)
    averaged = {**statistics, "row": "trials averaged", "true_ids": items}
    tables = [found.scores, scored(decoder, direction="image_to_brain").scores]
    tables.append(evaluate_retrieval(means, decoder.project(candidates), **averaged).scores)
    tables.append(scored(ridge_of(config).fit(train, features), row="ridge baseline").scores)
    if base is not None:
        alone = CrossSubjectDecoder(**{**scratch.get_params(), **config.scratch.options()})
        tables.append(scored(alone.fit({new: train}, features), row="from scratch").scores)
    for name in config.controls:
        tables.append(control(name, config, windows, split, features, fitted, scored, work).scores)

    card = audited(config, windows, split, others, candidates, decoder.fit_records_)
    arrays = {f"training/{k}": np.asarray(v) for k, v in decoder.history_.items()}
    panels = retrieval_panels(found, arrays)
    if base is not None:
        panels.insert(0, calibration_panel(config, base, train, features, test, candidates, arrays, source))
        arrays |= {f"base/{k}": np.asarray(v) for k, v in base.history_.items()}
        panels.append(training_panel("base", base, "Training on the other subjects"))
    panels.append(training_panel("training", decoder, "Training on this subject"))
    notes = [*found.notes, f"{'Adapted' if base else 'Trained'} with {len(train)} trials"
             + (f" after training on {len(others)} other subject{'s' if len(others) > 1 else ''}." if base else ".")]  # fmt: skip
    return retrieval_result(pd.concat(tables, ignore_index=True), card, arrays, panels,
                            overview=facts_of(windows, source), notes=notes)  # fmt: skip


def control(name, config, windows, split, features, fitted, scored, work):
    """Fit and score what each control row leaves in."""
    train, test = windows[split.train], windows[split.test]
    if name == "label_shuffle":
        mixed = features.items.assign(stimulus_id=work.rng(name).permutation(features.ids))
        return scored(fitted(train, Features(features.values, mixed, features.units)), row=name)
    if name == "noise_input":
        noise = noise_windows(windows, seed=work.seed)
        return scored(fitted(noise[split.train], features), noise[split.test], row=name)
    if name == "time_only":
        times = time_features(windows)[0].astype("float32")[:, :, None]  # (window, feature, 1)
        blind = Windows.from_arrays(times, windows.trials, sfreq=windows.sfreq)
        ridge = registry.get("decoders", "ridge")(scaler="standard")
        return scored(ridge.fit(blind[split.train], features), blind[split.test], row=name)
    return scored(fitted(train, features, epochs=0), test, row=name)  # untrained


def ridge_of(config):
    options = dict(config.baseline)
    return registry.get("decoders", options.pop("name"))(**options)


def calibration_panel(config, base, train, features, test, candidates, arrays, source):
    """Score against the amount of the new subject's data, as arrays and a panel."""
    seconds = config.seconds_per_trial or SECONDS.get(source.card.name if source.card else "")
    adapt = config.adapt.options()
    curve = calibration_curve(
        base, train, features, test=test, candidates=candidates, shares=config.shares, seeds=range(config.n_draws),
        how=adapt.pop("how"), ridge=ridge_of(config), seconds_per_trial=seconds, adapt_options={**adapt, "folder": None},
        scratch_options={**config.scratch.options(), "folder": None},
    )  # fmt: skip
    found = curve.arrays()
    conditions = [str(c) for c in found.pop("conditions")]
    arrays |= {f"calibration/{k}": v for k, v in found.items()}
    args = {k: f"@calibration/{k}" for k in found}
    return {"draw": "calibration_curve", "title": "How much data a new subject needs",
            "caption": f"Top-1 of {curve.n_test} test images, their trials averaged, among {curve.n_candidates} named candidates. "
            "Bands: 95 % over draws of the calibration trials (and first weights), same test images. All conditions see the same trials.",
            "args": {**args, "conditions": conditions, "unit": curve.unit, "chance": curve.chance, "n_seeds": config.n_draws,
                     "n_candidates": curve.n_candidates}}  # fmt: skip


def facts_of(windows, source):
    """Facts of the data; betas have one value a trial, so there is no window in time to tell of."""
    facts = overview(windows, "part", source)
    hidden = {"classes", "windows", *(("sampling frequency (Hz)", "window (s)") if windows.n_times == 1 else ())}
    parts = ", ".join(f"{n:,} to {part}" for part, n in sorted(facts["classes"].items(), reverse=True))
    return {
        "trials": f"{len(windows):,} ({parts})" if parts else len(windows),
        **{k: v for k, v in facts.items() if k not in hidden},
    }


def training_panel(prefix, decoder, title):
    return {"draw": "training_curves", "title": title, "caption": "No test trial and no test image is seen.",
            "args": {"history": {k: f"@{prefix}/{k}" for k in decoder.history_}}}  # fmt: skip


def summary(config, results):
    return group_scores(results, shared_stimuli=True, seed=config.seed)
