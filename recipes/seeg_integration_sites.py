"""Sites where vision meets language: intracranial electrodes that a multimodal model predicts better than anything unimodal.

While a film is seen and heard, responses to words (with the frame on screen) and to scene cuts (with the sentence heard) are
predicted from models of vision, of language, both joined, and both at once, each beside its randomly initialised twin and
low-level features; contiguous folds in film time. Without data: a made-up film, models and electrodes with planted sites.
"""

from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from braindec.align._integration_page import group_sites, sites_result
from braindec.align.integration_sites import integration_sites
from braindec.config import RecipeConfig, Section
from braindec.errors import BraindecError
from braindec.evaluate.audit import audit
from braindec.loaders.cohort import Channels, Steps, load_recordings, source_of, subject_units, units_of
from braindec.loaders.features import load_features
from braindec.loaders.synthetic_movie import made_up_movie, movie_models, movie_recordings

ROLE_NAMES = {
    "vision": "models of vision",
    "language": "models of language",
    "multimodal": "multimodal models",
    "nuisance": "low-level features",
}

CITATIONS = [
    {"key": "subramaniam2024", "text": "Subramaniam, Conwell, Wang, Kreiman, Katz, Cases & Barbu (2024). Revealing vision-language integration in the "
     "brain with multimodal networks. ICML (arXiv 2406.14481)."},
    {"key": "nadeau2003", "text": "Nadeau & Bengio (2003). Inference for the generalization error. Machine Learning 52, 239-281.",
     "doi": "10.1023/A:1024068626366"},
    {"key": "berger1982", "text": "Berger (1982). Multiparameter hypothesis testing and acceptance sampling. Technometrics 24, 295-300.",
     "doi": "10.1080/00401706.1982.10487790"},
]  # fmt: skip


class Simulated(Section):
    n_subjects: PositiveInt = 3
    duration: float = Field(900.0, ge=120)
    snr: float = Field(0.3, ge=0)


class Model(Section):
    path: str
    role: Literal["vision", "language", "multimodal", "nuisance"] | None = None
    column: str | None = None
    twin: str | None = None


class Events(Section):
    column: str = "trial_type"
    types: list[str] = Field(["word", "cut"], min_length=1)
    time: str = "movie_time"
    film: str | None = "film"
    missing: Literal["raise", "drop"] = "raise"
    least: PositiveInt = 100


class Bins(Section):
    tmin: float = -2.0
    tmax: float = 2.0
    width: PositiveFloat = 0.2
    step: PositiveFloat = 0.025

    @model_validator(mode="after")
    def _in_order(self):
        if self.tmax - self.tmin < self.width - 1e-9:
            raise ValueError(f"tmin={self.tmin:g} to tmax={self.tmax:g} s holds no bin of {self.width:g} s")
        return self


class Folds(Section):
    n: int = Field(5, ge=2)
    inner: int = Field(4, ge=2)
    gap: PositiveFloat | None = None
    block: PositiveFloat = 30.0


class Statistics(Section):
    combine: Literal["any", "all"] = "any"
    correction: Literal["bh", "by"] = "bh"
    alpha: float = Field(0.05, gt=0, lt=1)
    n_bootstrap: int = Field(1000, ge=100)


class Compute(Section):
    backend: Literal["numpy", "torch"] = "numpy"
    device: str = "cpu"


class Config(RecipeConfig):
    simulated: Simulated = Simulated()
    signal: Steps = []
    channels: Channels = "same"
    models: dict[str, Model] = {}
    controlled: list[str] | None = Field(None, min_length=2, max_length=2)
    events: Events = Events()
    bins: Bins = Bins()
    folds: Folds = Folds()
    statistics: Statistics = Statistics()
    compute: Compute = Compute()


def is_simulated(config):
    return not (config.data.dataset or config.data.root)


def units(config):
    if not is_simulated(config):
        check_models(config)
        return subject_units(config.data, config.select.subjects)
    return units_of([f"{k + 1:02d}" for k in range(config.simulated.n_subjects)], config.select.subjects)


def check_models(config):
    """Refuse to begin without models, or with one whose file is not there."""
    if not config.models:
        raise BraindecError("which models? Features of frames, words and both are needed",
                            fix="models: {name: {path: FILE, role: vision}, ...}; roles vision, language, multimodal, nuisance; twin: name")  # fmt: skip
    lost = [f"{name} ({m.path})" for name, m in config.models.items() if not Path(m.path).exists()]
    if lost:
        raise BraindecError(f"features of {lost[0]} are not there", found=f"{len(lost)} of {len(config.models)} models have no file", fix="check the path")  # fmt: skip


def inputs(config, unit):
    if is_simulated(config):
        return []
    return [*source_of(config.data).files(unit["subject"]), *(m.path for m in config.models.values())]


def data_of(config, unit, cache):
    """Recordings, features, what they are (roles, twins, controlled pair, event columns), what was planted, the data card."""
    if is_simulated(config):
        how = config.simulated
        film = made_up_movie(duration=how.duration, seed=config.seed)
        models = movie_models(film, seed=config.seed)
        made, truth = movie_recordings(film, n_subjects=how.n_subjects, snr=how.snr, seed=config.seed)
        kept = [r for r in made if r.info["subject"] == unit["subject"]]
        return (
            kept,
            models.features,
            {"roles": models.roles, "random": models.random, "controlled": models.controlled},
            truth.sites,
            None,
        )
    source, named = source_of(config.data), config.models
    recordings = load_recordings(source, unit["subject"], config.signal, cache=cache, channels=config.channels)
    features = {k: load_features(m.path) for k, m in named.items()}
    what = {"roles": {k: m.role for k, m in named.items() if m.role}, "random": {k: m.twin for k, m in named.items() if m.twin},
            "controlled": tuple(config.controlled) if config.controlled else None,
            "columns": {k: m.column for k, m in named.items() if m.column}}  # fmt: skip
    recordings = [replace(r, info={**r.info, "subject": unit["subject"]}) for r in recordings]
    return recordings, features, what, None, source.card


def run(config, unit, work):
    recordings, features, what, planted, card = data_of(config, unit, work.cache)
    events, bins, folds, statistics = config.events, config.bins, config.folds, config.statistics
    found = integration_sites(
        recordings, features, **what, types=events.types, type_column=events.column, time_column=events.time, film_column=events.film,
        missing=events.missing, min_events=events.least, tmin=bins.tmin, tmax=bins.tmax, bin_width=bins.width, bin_step=bins.step,
        n_folds=folds.n, inner_folds=folds.inner, gap=folds.gap, block=folds.block, combine=statistics.combine,
        correction=statistics.correction, alpha=statistics.alpha, n_bootstrap=statistics.n_bootstrap, backend=config.compute.backend, device=config.compute.device, seed=work.seed,
    )  # fmt: skip
    first = next(iter(found.trials))  # subject/type: folds of other types are made in the same way
    own = [(s, r) for s, r in found.records if f", {first.split('/')[1]}, " in s.name]
    checked = audit(found.trials[first], [s for s, _ in own], records=own)
    overview = {"electrodes": len(found.table), "events": {k.split("/")[1]: len(t) for k, t in found.trials.items()},
                "film (s)": round(float(found.trials[first][events.time].max())), "bins": f"{len(found.times)} of {bins.width:g} s, {bins.tmin:g} to {bins.tmax:g} s",
                **{ROLE_NAMES[role]: ", ".join(k for k, v in what["roles"].items() if v == role) for role in dict.fromkeys(what["roles"].values())},
                "sampling frequency (Hz)": recordings[0].sfreq}  # fmt: skip
    cited = [{"key": card.name, "text": card.citation, "doi": card.doi or ""}] if card else []
    return sites_result(found, keys=unit, overview=overview, audit=checked.to_dict(), planted=planted, citations=cited)


def summary(config, results):
    return group_sites(results, correction=config.statistics.correction, alpha=config.statistics.alpha)
