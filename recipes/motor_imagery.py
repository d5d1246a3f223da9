"""Motor imagery: which movement was imagined, by several decoders on the same held-out runs or session.

Windows of EEG after the cue, whole runs or a whole session held out; spatial filters, features and training runs are chosen
inside each fold. Decoders are compared on the same windows; one that learns from feedback during use is set against its own
weights after training. Without data, a made-up cohort of nine subjects in two sessions that differ is trained on the first
session and tested on the second.
"""

from typing import Annotated

from pydantic import AfterValidator, Field, NonNegativeFloat, PositiveInt, model_validator

from braindec.cache import Cache, default_folder
from braindec.config import RecipeConfig, Section, options_of
from braindec.decoders._bci_compare import compare_decoders
from braindec.decoders._bci_panels import imagery_panels, summary_of
from braindec.decoders._spike_decoding import fixed_split
from braindec.errors import BraindecError
from braindec.evaluate.audit import audit
from braindec.evaluate.results import SplitBy, Statistics
from braindec.evaluate.splits import split_by
from braindec.loaders.cohort import (
    Channels,
    Epochs,
    Events,
    Steps,
    event_windows,
    load_recordings,
    overview,
    source_of,
    subject_units,
    units_of,
)
from braindec.loaders.synthetic_imagery import CLASSES, synthetic_imagery
from braindec.signal.filter_bank import band_windows
from braindec.signal.prepare import prepare
from braindec.signal.windows import make_windows
from braindec.types import Result

CITATIONS = [
    {"key": "blankertz2008", "text": "Blankertz, Tomioka, Lemm, Kawanabe & Mueller (2008). Optimizing spatial filters for robust EEG "
     "single-trial analysis. IEEE Signal Processing Magazine 25(1), 41-56.", "doi": "10.1109/MSP.2008.4408441"},
    {"key": "barachant2012", "text": "Barachant, Bonnet, Congedo & Jutten (2012). Multiclass brain-computer interface classification "
     "by Riemannian geometry. IEEE TBME 59, 920-928.", "doi": "10.1109/TBME.2011.2172210"},
    {"key": "ang2012", "text": "Ang, Chin, Wang, Guan & Zhang (2012). Filter bank common spatial pattern algorithm on BCI competition IV "
     "datasets 2a and 2b. Frontiers in Neuroscience 6, 39.", "doi": "10.3389/fnins.2012.00039"},
    {"key": "tangermann2012", "text": "Tangermann et al. (2012). Review of the BCI Competition IV. Frontiers in Neuroscience 6, 55.",
     "doi": "10.3389/fnins.2012.00055"},
]  # fmt: skip


class Simulated(Section):
    n_subjects: PositiveInt = 9
    classes: list[str] = list(CLASSES)
    n_sessions: PositiveInt = 2
    n_runs: PositiveInt = 3
    n_trials: PositiveInt = 24
    depth: float = Field(0.55, ge=0, le=1)
    drift: NonNegativeFloat = 1.0


class Held(SplitBy):
    held_out: list[str] | None = None


class Band(Section):
    low: float = Field(7.0, gt=0)
    high: float = Field(30.0, gt=0)

    @model_validator(mode="after")
    def _in_order(self):
        if self.high <= self.low:
            raise ValueError(f"high={self.high:g} Hz is not above low={self.low:g} Hz")
        return self


def _first_is_plain(decoders):
    if not decoders:
        raise ValueError("name one decoder or more")
    if decoders[0].get("name") == "adaptive_q":
        raise ValueError("the first decoder is what others are compared with: put one before adaptive_q")
    return decoders


Decoder = Annotated[dict, options_of("decoders", needs="decision")]


class Config(RecipeConfig):
    simulated: Simulated = Simulated()
    signal: Steps = []
    band: Band | None = Band()
    margin: NonNegativeFloat = 0.5
    channels: Channels = "same"
    events: Events = Events()
    epochs: Epochs = Epochs(tmin=0.5, tmax=3.5)
    split: Held = Held()
    decoders: Annotated[list[Decoder], AfterValidator(_first_is_plain)] = [{"name": "csp"}]
    statistics: Statistics = Statistics()


def is_simulated(config):
    return not (config.data.dataset or config.data.root)


def units(config):
    if is_simulated(config):
        return units_of([f"{i + 1:02d}" for i in range(config.simulated.n_subjects)], config.select.subjects)
    return subject_units(config.data, config.select.subjects)


def inputs(config, unit):
    return [] if is_simulated(config) else source_of(config.data).files(unit["subject"])


def windows_of(config, unit, cache):
    """Windows in the band, windows of all frequencies with a margin around them, the latter from before the cue; and the source."""
    span, events = config.epochs, config.events
    source, recordings = None, None
    if is_simulated(config):
        settings = config.simulated.model_dump(exclude={"n_subjects"})
        recordings = synthetic_imagery(unit["subject"], **settings, seed=config.seed).recordings
        recordings = prepare(recordings, config.signal, cache=None)
    else:
        source = source_of(config.data)
    if source is not None and source.windows(unit["subject"]) is not None:
        _, broad = event_windows(source, unit["subject"], events=events, epochs=span, steps=config.signal)
        narrow = band_windows(broad, (config.band.low, config.band.high)) if config.band else broad
        return narrow.crop(span.tmin, span.tmax), broad, broad, source
    if recordings is None:
        recordings = load_recordings(source, unit["subject"], config.signal, cache=cache, channels=config.channels)
    if span.tmax is None:
        raise BraindecError("epochs.tmax is missing", fix="say how long the windows are, e.g. epochs.tmax=3.5 (s)")
    filtered = prepare(recordings, [{"filter": config.band.model_dump()}] if config.band else [], cache=cache)
    how = {"tmin": min(span.tmin - config.margin, -0.2), "tmax": span.tmax + config.margin, "column": events.column,
           "select": events.classes, "rename": events.rename or None}  # fmt: skip
    wide, broad = make_windows(filtered, **how), make_windows(recordings, **how)
    return (
        wide.crop(span.tmin, span.tmax),
        broad.crop(span.tmin - config.margin, span.tmax + config.margin),
        wide,
        source,
    )


def splits_of(config, windows):
    if config.split.held_out:
        return [fixed_split(windows, config.split.by, config.split.held_out)]
    return split_by(windows, config.split.by, n_folds=config.split.n_folds, gap=config.split.gap)


def design(config, unit):
    """Audit the design before anything is fitted: ``braindec audit motor_imagery --cohort ...``."""
    narrow, _, wide, _ = windows_of(config, unit, Cache(default_folder()))
    return audit(wide, splits_of(config, narrow), y=narrow.trials[config.events.column].to_numpy())


def run(config, unit, work):
    narrow, broad, wide, source = windows_of(config, unit, work.cache)
    y = narrow.trials[config.events.column].to_numpy()
    splits = splits_of(config, narrow)
    found = compare_decoders(config.decoders, narrow, broad, y, splits, statistics=config.statistics.model_dump(),
                             span=(config.epochs.tmin, config.epochs.tmax), seed=work.seed, keys=unit,
                             folder=str(work.folder / "training"))  # fmt: skip
    card = audit(wide, splits, y=y, records=found.records)
    arrays, panels, answers, notes = imagery_panels(
        found, narrow, broad, y, span=(config.epochs.tmin, config.epochs.tmax)
    )
    facts = overview(narrow, config.events.column, source)
    told = {k: facts.pop(k) for k in ("warnings", "citations")}
    made_by = {"overview": facts, "audit": card.to_dict(), "panels": panels, "notes": notes, "answers": answers, **told}
    return Result(found.scores, arrays, made_by)


def summary(config, results):
    return summary_of(results, seed=config.seed)
