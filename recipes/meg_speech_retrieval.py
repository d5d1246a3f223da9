"""Speech from MEG or EEG: windows of listeners to the segments of sound that they heard, held-out sentences retrieved by name.

One network (clip_conv) for all subjects, with a layer of its own for each, meets features of the sound by contrast (Défossez et al. 2023). Blocks of
sentences are split by a hash of their content, so that no subject's training part holds a test sentence. Beside it: the same network
by regression, without subject layers, ridge, controls, and how many minutes a new subject needs. Without data it makes and runs a twin of MEG-MASC.
"""

import inspect
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from braindec import registry
from braindec.cache import Cache, default_folder
from braindec.config import RecipeConfig, Section, checked, options_of
from braindec.decoders._sequence_calibration import sequence_calibration
from braindec.decoders._sequence_page import (
    answers_of,
    calibration_panel,
    facts_of,
    minutes_answer,
    notes_of,
    subjects_panel,
)
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
from braindec.signal.recording_clock import check_clocks, clock_fact
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

    @model_validator(mode="after")
    def _in_order(self):
        if not self.tmin <= 0 < self.tmax:
            raise ValueError(f"a window goes from tmin <= 0 to tmax > 0, not from {self.tmin:g} to {self.tmax:g} s")
        if self.shift >= self.tmax - self.tmin:
            raise ValueError(f"shift={self.shift:g} s leaves nothing of a window of {self.tmax - self.tmin:g} s")
        return self


class Clock(Section):
    limit_ppm: PositiveFloat = Field(200.0, le=1e5)
    limit_jitter: PositiveFloat = 0.005


class Content(Section):
    test: float = Field(0.2, gt=0, lt=1)
    validation: float = Field(0.1, gt=0, lt=1)
    seed: int = 12

    @model_validator(mode="after")
    def _leaves_training(self):
        if self.test + self.validation >= 1:
            raise ValueError(
                f"test and validation together are {self.test + self.validation:g}: nothing is left to train on"
            )
        return self


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
    parameters = inspect.signature(make).parameters
    if "sound" not in parameters:
        usable = [
            n
            for n in registry.names("loaders.stimuli")
            if "sound" in inspect.signature(registry.get("loaders.stimuli", n)).parameters
        ]
        raise BraindecError(
            f"{make.__name__} makes features of {next(iter(parameters))}, not of sounds", allowed=", ".join(usable)
        )
    allowed = [n for n in parameters if n not in ("sound", "sfreq", "blocks")]
    strange = [n for n in given if n not in allowed]
    if strange:
        raise BraindecError(
            f"{make.__name__} has no option {strange[0]!r}{did_you_mean(strange[0], allowed)}",
            allowed=", ".join(allowed),
        )
    missing = [n for n in allowed if parameters[n].default is inspect.Parameter.empty and n not in given]
    if missing:
        raise BraindecError(f"{make.__name__} needs the option {missing[0]}", allowed=", ".join(allowed))


def check_target(options):
    """Refuse options that the encoder of the sound does not take."""
    given = {"preset": "tiny", **options}
    dim = given.pop("dim", 1)
    if not isinstance(dim, int) or isinstance(dim, bool) or dim < 1:
        raise BraindecError("dim must be a whole number of at least 1", found=repr(dim))
    registry.get("encoders", "deep_mel").settings(given.pop("preset"), **given)


class Config(RecipeConfig):
    synthetic: Synthetic = Synthetic()
    sounds: Path | None = None
    signal: Steps = []
    features: Annotated[dict, checked(check_features)] = {"name": "log_mel", "n_mels": 40}
    windows: Cut = Cut()
    clock: Clock = Clock()
    split: Content = Content()
    decoder: Annotated[dict, options_of(SequenceContrastiveDecoder)] = {}
    regression: Annotated[dict, options_of(SequenceContrastiveDecoder)] = {}
    ridge: Annotated[dict, options_of(SequenceRidge)] = {}
    baselines: list[Literal["regression", "no_subject_layers", "deep_mel", "ridge"]] = []
    deep_mel: Annotated[dict[str, Any], checked(check_target)] = {"dim": 32, "preset": "tiny"}
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
    subjects, new = subjects_of(config), config.calibration.new_subject  # an unknown one is said before anything runs
    if new is not None and new not in subjects:
        raise BraindecError(f"calibration.new_subject: there is no subject {new!r}{did_you_mean(new, subjects)}",
                            allowed=", ".join(subjects))  # fmt: skip
    return [{"cohort": "all subjects"}]


def inputs(config, unit):
    source = source_of(data_of(config))
    return [
        *dict.fromkeys(f for s in subjects_of(config) for f in source.files(s)),
        *sounds_of(config, source).values(),
    ]


def load(config, cache):
    """The source; windows of each subject (training by stride, test at words) by part; what the sounds were like; how clocks drift."""
    source, cut = source_of(data_of(config)), config.windows.model_dump()
    stride = cut.pop("stride")
    opened = [load_recordings(source, s, config.signal, cache=cache, channels="common") for s in subjects_of(config)]
    clocks = check_clocks([r for own in opened for r in own], **config.clock.model_dump())
    words = [speech_windows(r, anchor="word", **cut) for r in opened]
    strides = [speech_windows(r, anchor="stride", stride=stride, **cut) for r in opened]
    both = shared_content([*words, *strides])
    words, strides = both[: len(words)], both[len(words) :]
    heard = sorted({a for w in both for a in w.trials["audio"]})
    segments = segments_for(both, series_of(config, source, heard, block_spans(both), both[0].sfreq))
    parts = {"train": [], "validation": [], "test": []}
    for stride_windows, word_windows in zip(strides, words, strict=True):
        by_stride, by_word = (
            content_split(w, "content_id", **config.split.model_dump()) for w in (stride_windows, word_windows)
        )
        parts["train"].append(stride_windows[by_stride.train])
        parts["validation"].append(stride_windows[by_stride.validation])
        parts["test"].append(word_windows[by_word.test])
    return source, parts, segments, clock_fact(clocks, limit_ppm=config.clock.limit_ppm)


def sounds_of(config, source):
    """Sound files by the name that events give them: those of the reader, or of the folder that was named."""
    if config.sounds is None:
        return source.audio()
    if not config.sounds.is_dir():
        raise BraindecError(f"sounds: there is no folder {config.sounds}", fix="name the folder that holds the sounds")
    return {
        p.relative_to(config.sounds).as_posix(): p for p in sorted(config.sounds.rglob("*")) if p.is_file() and p.suffix
    }


def series_of(config, source, names, spans, sfreq):
    """Features of each sound, cut at the blocks first, so that no context reaches from one part into another."""
    options, files = dict(config.features), sounds_of(config, source)
    missing = [n for n in names if n not in files]
    if missing:
        raise BraindecError(
            f"the sound {missing[0]!r} is not among the data",
            found=f"{len(missing)} of {len(names)} are missing",
            allowed=", ".join(list(files)[:8]) or "no file",
        )
    make = registry.get("loaders.stimuli", options.pop("name"))
    return {n: make(files[n], sfreq=sfreq, blocks=spans[n], **options) for n in names}


def candidates_of(parts, segments):
    """The declared candidates: every different segment that some subject heard in the test part, once."""
    heard = pd.concat([w.trials for w in parts["test"]], ignore_index=True)
    return segments[segments.rows_of(heard["stimulus_id"].unique())]


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
    _, parts, segments, _ = load(config, Cache(default_folder()))
    return audited(parts, candidates_of(parts, segments))


def run(config, unit, work):
    source, parts, segments, drift = load(config, work.cache)
    candidates = candidates_of(parts, segments)
    ranks = [k for k in config.topk if k < len(candidates)]
    if not ranks:
        raise BraindecError(f"topk: {min(config.topk)} of {len(candidates)} candidate segments is no test", found=f"{len(candidates)} test segments",
                            allowed=f"1 to {len(candidates) - 1}", fix="smaller topk, or more test sentences (split.test)")  # fmt: skip
    statistics = {"topk": config.topk, "n_permutations": config.n_permutations, "n_bootstrap": config.n_bootstrap, "seed": work.seed}  # fmt: skip

    def fitted(given=parts, **changes):
        settings = {**config.decoder, "seed": work.seed, "folder": str(work.folder / "training"), **changes}
        return SequenceContrastiveDecoder(**settings).fit(given["train"], segments, validation=given["validation"])

    def scored(decoder, row, test=parts["test"]):
        trials = pd.concat([w.trials for w in test], ignore_index=True)
        similarity = decoder.similarity(test, candidates)
        return evaluate_segments(similarity, candidates, trials=trials, scale=decoder.scale_, row=row, **statistics)

    decoder = fitted()
    decoder.save(work.folder / "model")
    found = {"decoded": scored(decoder, "decoded")}
    for name in config.baselines:
        more = {"deep_mel": {"target_options": config.deep_mel}, "regression": config.regression}.get(name, {})
        other = (SequenceRidge(**config.ridge).fit(parts["train"], segments, validation=parts["validation"]) if name == "ridge"
                 else fitted(**BASELINES[name], **more))  # fmt: skip
        found[name] = scored(other, name)
    for name in config.controls:
        given = control(name, parts, work.seed)
        found[name] = scored(fitted(given, **control_options(name, config)), name, given["test"])

    card = audited(parts, candidates, decoder.fit_records_)
    arrays = {f"training/{k}": np.asarray(v) for k, v in decoder.history_.items()}
    tables = [f.scores[f.scores["subject"] == "pooled"] if "subject" in f.scores else f.scores for f in found.values()]
    metric = f"top{ranks[0]}"
    against = {"metric": metric, "seed": work.seed}
    differences = [paired_difference(found["decoded"], found[n], row=f"over_{n}", **against) for n in config.baselines]
    panels, answers = [subjects_panel(found, metric, arrays, controls=config.controls)], []
    if config.calibration.n_draws and len(parts["train"]) > 2:
        panel, answer = calibration(config, parts, segments, candidates, work, arrays)
        panels, answers = [*panels, panel], [answer]
    panels.append({"draw": "training_curves", "title": "Training", "caption": "Early stopping on validation sentences, which are in neither the "
                   "training nor the test part of any subject.", "args": {"history": {k: f"@training/{k}" for k in decoder.history_}}})  # fmt: skip
    scores = pd.concat([*tables, pd.DataFrame(differences)], ignore_index=True).drop(columns="subject", errors="ignore")
    facts, notes = facts_of(source.name, parts, segments, candidates), notes_of(found["decoded"], parts)
    facts["drift of recordings against sounds"] = drift
    result = retrieval_result(scores, card, arrays, panels, overview=facts, notes=notes)
    result.made_by["answers"] = [*answers_of(differences, found["decoded"], metric), *answers]
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


def control_options(name, config):
    """How the decoder of a control differs: untrained, or without places of sensors."""
    free = {**(config.decoder.get("encoder_options") or {}), "positions": None}
    return {"untrained": {"epochs": 0}, "time_only": {"encoder_options": free}}.get(name, {})


def calibration(config, parts, segments, candidates, work, arrays):
    """Panel and sentence: score of a subject that was left out against the minutes of its data."""
    options, names = config.calibration, [str(w.trials["subject"].iloc[0]) for w in parts["train"]]
    if options.new_subject is not None and options.new_subject not in names:
        raise BraindecError(f"calibration.new_subject: there is no {options.new_subject!r}", allowed=", ".join(names))
    new = names.index(options.new_subject or names[-1])
    others = {p: [w for k, w in enumerate(own) if k != new] for p, own in parts.items()}
    base = SequenceContrastiveDecoder(**{**config.decoder, "seed": work.seed, "folder": str(work.folder / "training")})
    base.fit(others["train"], segments, validation=others["validation"])
    curve = sequence_calibration(base, parts["train"][new], segments, test=parts["test"][new], candidates=candidates, minutes=options.minutes,
                                 seeds=range(options.n_draws), steps=options.steps, adapt_options={"lr": options.lr})  # fmt: skip
    return calibration_panel(curve, names[new], arrays, n_draws=options.n_draws), minutes_answer(curve, names[new])
