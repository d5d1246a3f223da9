"""Would it work live? Runs played in order, decided as they come, by decoders that saw earlier data only.

Causal filters (tested by impulse), windows that end at the decision, latency, information rate, drift over runs; a decoder
trained once against one that is trained again or learns on; beside them what filters without phase shift would have given,
which is not possible live. Continuous targets (series): blocked cross-validation against targets turned around in time,
then the end of the run played by a decoder of its beginning. Without data: a made-up speller that drifts over sessions.
"""

from typing import Annotated, Literal

import pandas as pd
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from braindec.cache import Cache, default_folder
from braindec.config import RecipeConfig, Section, checked, options_of
from braindec.decoders._make import make_decoder
from braindec.decoders._series_decoding import decode_continuous, group_targets, series_card
from braindec.evaluate.audit import audit
from braindec.evaluate.results import Statistics, classification_result, group_scores
from braindec.loaders.cohort import (
    Channels,
    Epochs,
    Events,
    load_recordings,
    overview,
    source_of,
    subject_units,
    units_of,
)
from braindec.loaders.synthetic_force import force_recording
from braindec.online.adaptive_lda import AdaptiveLDA
from braindec.online.pipeline import check_live_steps
from braindec.online.replay import replay, replay_windows, split_in_time
from braindec.online.replay_report import (
    NOT_LIVE,
    WAYS,
    decoded_rows,
    drift_rows,
    rate_rows,
    replay_panels,
    said_of,
    selection_panel,
    series_replay_audit,
    series_replay_parts,
    zero_phase_windows,
)
from braindec.online.selections import selections_of
from braindec.online.series import live_series, replay_series
from braindec.online.simulated_speller import speller_recordings
from braindec.types import Result

CITATIONS = [
    {"key": "carrara2024", "text": "Carrara & Papadopoulo (2024). Pseudo-online framework for BCI evaluation: a MOABB perspective. Journal of "
     "Neural Engineering 21, 016003.", "doi": "10.1088/1741-2552/ad171a"},
    {"key": "wolpaw1998", "text": "Wolpaw, Ramoser, McFarland & Pfurtscheller (1998). EEG-based communication: improved accuracy by response "
     "verification. IEEE Transactions on Rehabilitation Engineering 6, 326-333.", "doi": "10.1109/86.712231"},
    {"key": "vidaurre2011", "text": "Vidaurre, Kawanabe, von Buenau, Blankertz & Mueller (2011). Toward unsupervised adaptation of LDA for "
     "brain-computer interfaces. IEEE Transactions on Biomedical Engineering 58, 587-597.", "doi": "10.1109/TBME.2010.2093133"},
]  # fmt: skip

LiveSteps = Annotated[list, checked(check_live_steps)]
_BEFORE = 0.2  # s before events that the audit sees


class Simulated(Section):
    n_subjects: PositiveInt = 1
    n_sessions: int = Field(4, ge=2)
    n_runs: PositiveInt = 3
    n_selections: PositiveInt = 4
    strength: NonNegativeFloat = 1.0
    drift: NonNegativeFloat = 1.0


class Play(Section):
    by: Literal["run", "session"] = "session"
    n_train: PositiveInt = 1
    chunk: PositiveFloat = 0.1
    every: PositiveFloat | None = None
    feedback: NonNegativeFloat = 0.5
    lost: float = Field(0.0, ge=0, lt=1)
    on_gap: Literal["hold", "skip"] = "hold"


class Series(Section):
    targets: list[str] = Field(min_length=1)
    types: list[str] | None = None
    threshold: dict[str, float] = {}
    delays: list[int] = [0]
    n_folds: int = Field(5, ge=2)
    gap: NonNegativeFloat = 1.0
    block: PositiveFloat = 10.0
    train: float = Field(0.6, ge=0.1, le=0.9)
    chunk: PositiveFloat = 0.05


class Config(RecipeConfig):
    simulated: Simulated = Simulated()
    signal: LiveSteps = []
    channels: Channels = "same"
    events: Events = Events()
    epochs: Epochs = Epochs()
    play: Play = Play()
    learn: list[Literal["run", "session", "labels", "reward"]] = ["run", "labels"]
    target: str | None = None
    zero_phase: bool = True
    classifier: Annotated[dict, options_of("decoders", needs="decision")] = {"name": "classifier"}
    adaptive: Annotated[dict, options_of(AdaptiveLDA)] = {}
    statistics: Statistics = Statistics()
    series: Series | None = None


def is_simulated(config):
    return not (config.data.dataset or config.data.root)


def units(config):
    if is_simulated(config):
        return units_of([f"{k + 1:02d}" for k in range(config.simulated.n_subjects)], config.select.subjects)
    return subject_units(config.data, config.select.subjects)


def inputs(config, unit):
    return [] if is_simulated(config) else source_of(config.data).files(unit["subject"])


def recordings_of(config, unit, cache):
    """All runs in order of time; nothing is filtered yet."""
    subject, size = unit["subject"], config.simulated
    if not is_simulated(config):
        source = source_of(config.data)
        if config.series is not None:
            return source.recordings(subject), source
        return load_recordings(source, subject, [], cache=cache, channels=config.channels), source
    if config.series is not None:
        return [force_recording(subject, duration=90.0, gain=size.strength, seed=config.seed)[0]], None
    return speller_recordings(subject, seed=config.seed, **size.model_dump(exclude={"n_subjects"})), None


def cut_of(config):
    events, epochs = config.events, config.epochs
    return {"tmin": epochs.tmin, "tmax": epochs.tmax, "column": events.column, "select": events.classes, "rename": events.rename or None}  # fmt: skip


def design(config, unit):
    """Audit the design before anything is fitted."""
    recordings, _ = recordings_of(config, unit, Cache(default_folder()))
    if config.series is not None:
        return series_card(
            live_series(recordings, config.series.targets, steps=config.signal, types=config.series.types)[0],
            config.series,
        )
    windows = replay_windows(recordings, steps=config.signal, every=config.play.every, before=_BEFORE, **cut_of(config))
    split = split_in_time(windows, recordings, by=config.play.by, n_train=config.play.n_train)
    return audit(windows, [split], y=windows.trials[config.events.column].to_numpy(), claim="live")


def run(config, unit, work):
    return run_series(config, unit, work) if config.series is not None else run_events(config, unit, work)


def run_events(config, unit, work):
    recordings, source = recordings_of(config, unit, work.cache)
    decoder = make_decoder(config.classifier, seed=work.seed, folder=str(work.folder / "training"))
    play = {**config.play.model_dump(), **cut_of(config), "steps": config.signal, "before": _BEFORE, "seed": work.seed}
    static = replay(recordings, decoder, **play)
    ways = {}
    for learn in config.learn:
        learner = (
            AdaptiveLDA(**config.adaptive) if learn == "labels" and not hasattr(decoder, "partial_fit") else decoder
        )
        ways[WAYS[learn]] = replay(recordings, learner, learn=learn, **play)
    twin = zero_phase_windows(recordings, config.signal, static.windows, **cut_of(config)) if config.zero_phase and config.play.every is None else None  # fmt: skip
    column, metric = config.events.column, config.statistics.metrics[0]
    cv, scores, apart = decoded_rows(static, ways, decoder, column=column, statistics=config.statistics.model_dump(), zero_phase=twin,
                                     seed=work.seed, keys=unit)  # fmt: skip
    more, said = drift_rows(static, ways, metric, seed=work.seed, keys=unit)
    tables = [
        scores,
        more,
        rate_rows(static, n_permutations=config.statistics.n_permutations, seed=work.seed, keys=unit),
    ]
    y = static.windows.trials[column].to_numpy()
    card = audit(static.wide, static.splits, y=y, records=static.records, claim="live")
    base = classification_result(cv, card, static.windows, y, overview=overview(static.windows, column, source))
    arrays, panels = replay_panels(static, ways, metric, last=float(static.windows.times[-1]))
    if config.target is not None:
        selected = selections_of(static, decoder, target=config.target, column=column)
        tables.insert(1, selected.scores.assign(**unit))
        found, panel = selection_panel(selected)
        arrays, panels = {**arrays, **found}, [panels[0], panel, panels[1]]
    twin_rows = scores[(scores["row"] == NOT_LIVE) & (scores["metric"] == metric)]
    answers = [*said_of(static, apart=apart, zero_phase=twin_rows, metric=metric), *said]
    made_by = {**base.made_by, "panels": [*panels, *base.made_by["panels"]], "answers": answers}
    return Result(pd.concat(tables, ignore_index=True), {**base.arrays, **arrays}, made_by)


def run_series(config, unit, work):
    recordings, source = recordings_of(config, unit, work.cache)
    how = config.series
    data, pipeline = live_series(
        recordings, how.targets, steps=config.signal, types=how.types, card=source.card if source else None
    )
    base = decode_continuous(data, how, config.statistics, seed=work.seed, keys=unit)
    last = recordings[-1]
    played = replay_series(last, how.targets, steps=config.signal, delays=how.delays, types=how.types, train=how.train, gap=how.gap, chunk=how.chunk)  # fmt: skip
    rows, arrays, panels, said = series_replay_parts(played, last.duration)
    card = series_replay_audit(last, pipeline, played, how, base.made_by["audit"])
    told = base.made_by["answers"]
    made_by = {**base.made_by, "audit": card, "panels": [*panels, *base.made_by["panels"]], "answers": [f"Cross-validated in blocks: {told[0]}", *said, *told[1:]]}  # fmt: skip
    return Result(pd.concat([base.scores, rows.assign(**unit)], ignore_index=True), {**base.arrays, **arrays}, made_by)


def summary(config, results):
    if config.series is not None:
        return group_targets(results, config.series.targets, seed=config.seed)
    return group_scores(results, seed=config.seed)
