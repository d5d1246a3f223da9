"""Speech from MEG or EEG: windows of listeners to the segments of sound that they heard, held-out sentences retrieved by name.

One clip_conv for all subjects, with a layer of its own for each, meets features of the sound by contrast (Défossez et al. 2023). Blocks of
sentences are split by a hash of their content, so that no subject's training part holds a test sentence. Beside it: the same network
by regression, without subject layers, ridge, controls, and how many minutes a new subject needs. Without data it makes and runs a twin of MEG-MASC.
"""

import inspect
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field, NonNegativeInt, PositiveInt

from braindec import registry
from braindec.cache import Cache, default_folder
from braindec.config import RecipeConfig, Section, checked, options_of
from braindec.decoders._sequence_calibration import sequence_calibration
from braindec.decoders.sequence_contrastive import SequenceContrastiveDecoder
from braindec.decoders.sequence_ridge import SequenceRidge
from braindec.errors import BraindecError, did_you_mean
from braindec.evaluate.audit import audit
from braindec.evaluate.controls.noise_input import noise_windows
from braindec.evaluate.results import retrieval_result
from braindec.evaluate.segment_retrieval import evaluate_segments, exchanged_stimuli, paired_difference, place_windows
from braindec.evaluate.splits import content_split
from braindec.loaders.cohort import Steps, load_recordings, source_of, units_of
from braindec.loaders.twin import make_twin, twin_folder
from braindec.signal.speech_windows import block_spans, segments_for, shared_content, speech_windows
from braindec.types import Split

CITATIONS = [
    {"key": "defossez2023", "text": "Défossez et al. (2023). Decoding speech perception from non-invasive brain recordings. "
     "Nature Machine Intelligence 5, 1097-1107.", "doi": "10.1038/s42256-023-00714-5"},
    {"key": "crosse2016", "text": "Crosse et al. (2016). The multivariate temporal response function (mTRF) toolbox. Frontiers in Human "
     "Neuroscience 10, 604.", "doi": "10.3389/fnhum.2016.00604"},
    {"key": "phipson2010", "text": "Phipson & Smyth (2010). Permutation p-values should never be zero. Statistical Applications in "
     "Genetics and Molecular Biology 9, 39.", "doi": "10.2202/1544-6115.1585"},
]  # fmt: skip

BASELINES = {
    "regression": {"loss": "regression"},
    "no_subject_layers": {"subject_layers": False},
    "deep_mel": {"target_encoder": "deep_mel"},
}


class Synthetic(Section):
    twin: str = "meg_masc"
    n_subjects: PositiveInt = 8
    n_sentences: PositiveInt = 60
    snr: float = Field(0.01, ge=0)
    seed: int = 0


class Cut(Section):
    tmin: float = -0.5
    tmax: float = 2.5
    stride: float = Field(0.5, gt=0)
    shift: float = Field(0.15, ge=0)
    baseline: float | None = 0.5
    min_block: float = Field(6.0, ge=0)
    blocks: Literal["merged", "sentence"] = "merged"


class Content(Section):
    test: float = Field(0.2, gt=0, lt=1)
    validation: float = Field(0.1, gt=0, lt=1)
    seed: int = 12


class Calibration(Section):
    new_subject: str | None = None
    minutes: list[Annotated[float, Field(gt=0)]] = [0.5, 1.0, 2.0]
    n_draws: NonNegativeInt = 2
    steps: PositiveInt = 40
    lr: Annotated[float, Field(gt=0)] = 3e-3


def check_features(options):
    """Refuse features that do not exist, and options that they do not take."""
    given = dict(options)
    make = registry.get("loaders.stimuli", given.pop("name", "log_mel"))
    allowed = [n for n in inspect.signature(make).parameters if n not in ("sound", "sfreq", "blocks")]
    strange = [n for n in given if n not in allowed]
    if strange:
        raise BraindecError(
            f"{make.__name__} has no option {strange[0]!r}{did_you_mean(strange[0], allowed)}",
            allowed=", ".join(allowed),
        )


class Config(RecipeConfig):
    synthetic: Synthetic = Synthetic()
    signal: Steps = []
    features: Annotated[dict, checked(check_features)] = {"name": "log_mel", "n_mels": 40}
    windows: Cut = Cut()
    split: Content = Content()
    decoder: Annotated[dict, options_of(SequenceContrastiveDecoder)] = {}
    ridge: Annotated[dict, options_of(SequenceRidge)] = {}
    baselines: list[Literal["regression", "no_subject_layers", "deep_mel", "ridge"]] = []
    deep_mel: dict[str, Any] = {"dim": 32, "preset": "tiny"}
    controls: list[Literal["label_shuffle", "noise_input", "time_only", "untrained"]] = []
    calibration: Calibration = Calibration()
    topk: list[PositiveInt] = Field([10, 1, 5], min_length=1)
    n_permutations: NonNegativeInt = 1000
    n_bootstrap: PositiveInt = 2000


def data_of(config):
    """The recordings that are named, or those of the synthetic twin."""
    if config.data.dataset or config.data.root:
        return config.data
    options = config.synthetic.model_dump(exclude={"twin"})
    twin = make_twin(config.synthetic.twin, twin_folder(config.synthetic.twin, **options), **options)
    return config.data.model_copy(update=twin.data)


def subjects_of(config):
    return [u["subject"] for u in units_of(source_of(data_of(config)).subjects(), config.select.subjects)]


def units(config):
    subjects_of(config)  # an unknown one is said before anything runs
    return [{"cohort": "all subjects"}]


def inputs(config, unit):
    source = source_of(data_of(config))
    return [*dict.fromkeys(f for s in subjects_of(config) for f in source.files(s)), *source.audio().values()]


def load(config, cache):
    """Windows of each subject (training by stride, test at words), what the sounds were like, and the split of each subject."""
    source, cut = source_of(data_of(config)), config.windows.model_dump()
    stride = cut.pop("stride")
    recordings = [
        load_recordings(source, s, config.signal, cache=cache, channels="common") for s in subjects_of(config)
    ]
    words = [speech_windows(r, anchor="word", **cut) for r in recordings]
    strides = [speech_windows(r, anchor="stride", stride=stride, **cut) for r in recordings]
    both = shared_content([*words, *strides])
    words, strides = both[: len(words)], both[len(words) :]
    heard = sorted({a for w in both for a in w.trials["audio"]})
    segments = segments_for(both, series_of(config, source, heard, block_spans(both), both[0].sfreq))
    options = config.split.model_dump()
    splits = [
        (content_split(s, "content_id", **options), content_split(w, "content_id", **options))
        for s, w in zip(strides, words, strict=True)
    ]
    parts = {
        "train": [s[a.train] for s, (a, _) in zip(strides, splits, strict=True)],
        "validation": [s[a.validation] for s, (a, _) in zip(strides, splits, strict=True)],
        "test": [w[b.test] for w, (_, b) in zip(words, splits, strict=True)],
    }  # fmt: skip
    return source, parts, segments


def series_of(config, source, names, spans, sfreq):
    """Features of each sound, cut at the blocks first, so that no context reaches from one part into another."""
    options, files = dict(config.features), source.audio()
    missing = [n for n in names if n not in files]
    if missing:
        raise BraindecError(
            f"the sound {missing[0]!r} is not among the data", found=f"{len(missing)} of {len(names)} are missing"
        )
    make = registry.get("loaders.stimuli", options.pop("name"))
    return {n: make(files[n], sfreq=sfreq, blocks=spans[n], **options) for n in names}


def candidates_of(parts, segments):
    """The declared candidates: every different segment that some subject heard in the test part, once."""
    heard = pd.concat([w.trials for w in parts["test"]], ignore_index=True)
    items = heard.drop_duplicates("stimulus_id")
    found = segments[segments.rows_of(items["stimulus_id"])]
    return found


def audited(parts, candidates, records=()):
    """Audit the windows of all subjects as one design."""
    rows = {name: pd.concat([w.trials for w in own], ignore_index=True) for name, own in parts.items()}
    trials = pd.concat(list(rows.values()), ignore_index=True)
    ends = np.cumsum([len(t) for t in rows.values()])
    numbers = np.split(np.arange(len(trials)), ends[:-1])
    split = Split(*numbers, by="content_id", ids=trials["window_id"].to_numpy(), name="hash of content_id")
    return audit(trials, [split], claim="content_id", records=[(split, list(records))], candidates=candidates.mean())


def design(config, unit):
    """Audit the design before anything is fitted: ``braindec audit meg_speech_retrieval``."""
    _, parts, segments = load(config, Cache(default_folder()))
    return audited(parts, candidates_of(parts, segments))


def run(config, unit, work):
    source, parts, segments = load(config, work.cache)
    candidates = candidates_of(parts, segments)
    statistics = {
        "topk": config.topk,
        "n_permutations": config.n_permutations,
        "n_bootstrap": config.n_bootstrap,
        "seed": work.seed,
    }

    def fitted(given=parts, **changes):
        decoder = SequenceContrastiveDecoder(
            **{**config.decoder, "seed": work.seed, "folder": str(work.folder / "training"), **changes}
        )
        return decoder.fit(given["train"], segments, validation=given["validation"])

    def scored(decoder, row, test=parts["test"]):
        trials = pd.concat([w.trials for w in test], ignore_index=True)
        return evaluate_segments(
            decoder.similarity(test, candidates), candidates, trials=trials, scale=decoder.scale_, row=row, **statistics
        )

    decoder = fitted()
    decoder.save(work.folder / "model")
    found = {"decoded": scored(decoder, "decoded")}
    for name in config.baselines:
        more = {"target_options": config.deep_mel} if name == "deep_mel" else {}
        other = (SequenceRidge(**config.ridge).fit(parts["train"], segments, validation=parts["validation"]) if name == "ridge"
                 else fitted(**BASELINES[name], **more))  # fmt: skip
        found[name] = scored(other, name)
    for name in config.controls:
        given = control(name, parts, work.seed)
        found[name] = scored(fitted(given, **control_options(name)), name, given["test"])

    card = audited(parts, candidates, decoder.fit_records_)
    arrays = {f"training/{k}": np.asarray(v) for k, v in decoder.history_.items()}
    tables = [f.scores[f.scores["subject"] == "pooled"] if "subject" in f.scores else f.scores for f in found.values()]
    metric = f"top{next(k for k in config.topk if k < len(candidates))}"
    differences = [
        paired_difference(found["decoded"], found[n], metric=metric, row=f"over_{n}", seed=work.seed)
        for n in config.baselines
    ]
    panels = score_panels(found, metric, arrays)
    if config.calibration.n_draws and len(parts["train"]) > 2:
        panels.append(calibration_panel(config, parts, segments, candidates, work, arrays))
    panels.append({"draw": "training_curves", "title": "Training", "caption": "Early stopping on validation sentences, which are in neither the "
                   "training nor the test part of any subject.", "args": {"history": {k: f"@training/{k}" for k in decoder.history_}}})  # fmt: skip
    scores = pd.concat([*tables, pd.DataFrame(differences)], ignore_index=True).drop(columns="subject", errors="ignore")
    result = retrieval_result(
        scores,
        card,
        arrays,
        panels,
        overview=facts_of(source, parts, segments, candidates),
        notes=notes_of(found, parts),
    )
    result.made_by["answers"] = answers_of(differences, found["decoded"], metric)
    return result


def control(name, parts, seed):
    """What each control leaves in: the windows of each part."""
    if name == "label_shuffle":
        mixed = {p: exchanged_stimuli(parts[p], seed=seed) for p in ("train", "validation")}
        return {**mixed, "test": parts["test"]}
    if name == "noise_input":
        return {
            p: [noise_windows(w, like=like, seed=seed) for w, like in zip(own, parts["train"], strict=True)]
            for p, own in parts.items()
        }
    if name == "time_only":
        return {p: [place_windows(w) for w in own] for p, own in parts.items()}
    return parts


def control_options(name):
    return {"untrained": {"epochs": 0}, "time_only": {"encoder_options": {"positions": None}}}.get(name, {})


def score_panels(found, metric, arrays):
    """Top-k of each subject beside the baselines and controls."""
    first = found["decoded"]
    names = list(dict.fromkeys(first.queries["subject"]))
    values = {
        row: [f.credit[f"segment/{metric}"][(f.queries["subject"] == s).to_numpy()].mean() for s in names]
        for row, f in found.items()
    }
    table = first.scores[
        (first.scores["metric"] == metric) & (first.scores["level"] == "segment") & (first.scores["row"] == "decoded")
    ]
    for row, own in values.items():
        arrays[f"subjects/{row}"] = np.array(own)
    args = {"units": names, "values": "@subjects/decoded", "chance": float(table["chance"].iloc[0]), "metric": f"{metric} of segments",
            "controls": {row: f"@subjects/{row}" for row in values if row != "decoded"}}  # fmt: skip
    if "subject" in table:
        own = table.set_index("subject").loc[names]
        arrays["subjects/low"], arrays["subjects/high"] = (
            own["low"].to_numpy(dtype=float),
            own["high"].to_numpy(dtype=float),
        )
        args |= {"low": "@subjects/low", "high": "@subjects/high"}
    return [{"draw": "subject_scores", "title": "Each subject", "args": args, "caption": f"One model for all; {len(first.candidate_ids)} candidate segments. "
             "Intervals over test contents. Light marks: baselines and controls."}]  # fmt: skip


def calibration_panel(config, parts, segments, candidates, work, arrays):
    """Score of a subject that was left out against the minutes of its data, as arrays and a panel."""
    options, names = config.calibration, [str(w.trials["subject"].iloc[0]) for w in parts["train"]]
    new = names.index(options.new_subject) if options.new_subject is not None else len(names) - 1
    others = {p: [w for k, w in enumerate(own) if k != new] for p, own in parts.items()}
    base = SequenceContrastiveDecoder(**{**config.decoder, "seed": work.seed, "folder": str(work.folder / "training")})
    base.fit(others["train"], segments, validation=others["validation"])
    curve = sequence_calibration(base, parts["train"][new], segments, test=parts["test"][new], candidates=candidates, minutes=options.minutes,
                                 seeds=range(options.n_draws), steps=options.steps, adapt_options={"lr": options.lr})  # fmt: skip
    found = curve.arrays()
    conditions = [str(c) for c in found.pop("conditions")]
    arrays |= {f"calibration/{k}": v for k, v in found.items()}
    return {"draw": "calibration_curve", "title": f"How many minutes a new subject needs (subject {names[new]})",
            "caption": f"Top-10 of {curve.n_test} test windows among {curve.n_candidates} segments. Adapted: the other subjects' model with a layer of its own, "
            "all else kept; zero-shot: the mean of the others' layers, channels scaled by the same windows. Bands: 95 % over draws of the minutes (and first weights).",
            "args": {**{k: f"@calibration/{k}" for k in found}, "conditions": conditions, "unit": curve.unit, "chance": curve.chance,
                     "n_seeds": options.n_draws, "n_candidates": curve.n_candidates, "metric": "top-10 of segments"}}  # fmt: skip


def facts_of(source, parts, segments, candidates):
    count = {p: sum(len(w) for w in own) for p, own in parts.items()}
    contents = {p: len({c for w in own for c in w.trials["content_id"]}) for p, own in parts.items()}
    first = parts["train"][0]
    sensors = sorted({w.n_channels for w in parts["train"]})
    warnings = [d for p in ("train", "test") for w in parts[p] for d in w.info.get("dropped", [])]
    return {
        "data": source.name, "subjects": len(parts["train"]), "channels": ", ".join(map(str, sensors)), "sampling frequency (Hz)": first.sfreq,
        "windows": f"{count['train']:,} training (by stride), {count['validation']:,} validation, {count['test']:,} test (at words)",
        "contents (blocks of sentences)": f"{contents['train']} training, {contents['validation']} validation, {contents['test']} test",
        "window (s)": f"{first.tmin:g} to {first.tmin + first.n_times / first.sfreq:g} of the recording, {first.info.get('shift', 0):g} behind the sound",
        "features": f"{segments.shape[1]} ({segments.units[0]}, ...)", "candidates": len(candidates), "warnings": list(dict.fromkeys(warnings)),
    }  # fmt: skip


def notes_of(found, parts):
    said = list(found["decoded"].notes)
    repeated = [r for w in parts["train"] for r in w.info.get("repeated", [])]
    if repeated:
        said.append(f"Sentences are heard in several recordings by {len(repeated)} subjects; all presentations of a sentence are on one side of the "
                    "split, in every subject.")  # fmt: skip
    said.append("Chance of a word is what the same rankings would score if each window's word were that of a random test window: frequent words are "
                "found more often. Intervals resample contents and subjects; p exchanges whole contents, the same for all subjects.")  # fmt: skip
    return said


def answers_of(differences, decoded, metric):
    """What the baselines are beaten by, in sentences that claim no more than the test shows."""
    words = {"over_regression": "the same network by regression", "over_no_subject_layers": "one network without subject layers",
             "over_ridge": "ridge", "over_deep_mel": "the learned representation of the sound"}  # fmt: skip
    top = decoded.scores.iloc[0]
    said = [
        f"{metric.replace('top', 'Top-')} of segments is {top['value']:.2f}, {top['value'] / top['chance']:.1f} times chance ({top['chance']:.3f})."
    ]
    for d in differences:
        clear = d["p"] <= 0.05 and (d["low"] > 0 or d["high"] < 0)
        call = (
            f"{'gains' if d['value'] > 0 else 'loses'} {abs(d['value']):.2f}"
            if clear
            else f"differs by {d['value']:+.2f}, which the test does not show,"
        )
        said.append(f"Contrast {call} in {metric.replace('top', 'top-')} against {words[d['row']]} (95 % {d['low']:.2f} to {d['high']:.2f}, "
                    f"p = {d['p']:.2g} over {d['n']} subjects, one training each).")  # fmt: skip
    return said
