"""Latents of a population: what its activity says on held-out time, in this session and in others, and its assemblies.

Embeddings trained by contrast over time and over labels stand beside linear latents; all are fitted and read on different
stretches of time. Affinities of pairs of units over windows of time are taken apart into non-negative factors, and each
factor into communities. By default everything is simulated: a ring in two sessions with other neurons, and assemblies
that change with a hidden state.
"""

from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from braindec.config import RecipeConfig, Section, options_of
from braindec.decoders._latent_page import latent_panels, latent_said, sessions_of
from braindec.decoders._latent_scores import (
    LatentData,
    audited,
    consistency_row,
    fit_latents,
    goodness_rows,
    read_rows,
    turned,
)
from braindec.decoders.latents import ContrastiveLatents
from braindec.decoders.linear_latents import LinearLatents
from braindec.loaders.cohort import source_of, subject_units
from braindec.spikes import assemblies_report
from braindec.spikes.planted_latents import planted_assemblies, planted_latents
from braindec.types import Result, Spikes

CITATIONS = [
    {"key": "oord2018", "text": "van den Oord, Li & Vinyals (2018). Representation learning with contrastive predictive coding. arXiv:1807.03748.",
     "doi": "10.48550/arXiv.1807.03748"},
    {"key": "hyvarinen2016", "text": "Hyvärinen & Morioka (2016). Unsupervised feature extraction by time-contrastive learning and nonlinear ICA. NeurIPS 29.",
     "doi": "10.48550/arXiv.1605.06336"},
    {"key": "khosla2020", "text": "Khosla, Teterwak, Wang, Sarna, Tian, Isola, Maschinot, Liu & Krishnan (2020). Supervised contrastive learning. NeurIPS 33.",
     "doi": "10.48550/arXiv.2004.11362"},
    {"key": "dufumier2021", "text": "Dufumier et al. (2021). Contrastive learning with continuous proxy meta-data for 3D MRI classification. MICCAI.",
     "doi": "10.1007/978-3-030-87196-3_6"},
    {"key": "traag2019", "text": "Traag, Waltman & van Eck (2019). From Louvain to Leiden: guaranteeing well-connected communities. Scientific Reports 9, 5233.",
     "doi": "10.1038/s41598-019-41695-z"},
    {"key": "harris2021", "text": "Harris (2021). Nonsense correlations in neuroscience. bioRxiv 2020.11.29.402719.", "doi": "10.1101/2020.11.29.402719"},
]  # fmt: skip

NAMES = {"time": "time-contrastive", "label": "label-contrastive", "time_label": "time and labels"}
LINEAR = {"pca": "PCA", "counts": "all units", "lagged": "slow directions", "targeted": "targeted directions"}


class Planted(Section):
    shape: Literal["ring", "plane", "lorenz"] = "ring"
    n_sessions: PositiveInt = 2
    n_units: int = Field(40, ge=3)
    seconds: float = Field(240.0, ge=60)
    rate: PositiveFloat = 20.0
    speed: PositiveFloat = 1.0
    shuffled: bool = False
    common: float = Field(0.7, ge=0, le=1)


class Label(Section):
    channels: list[str] = []
    column: str | None = None
    circular: bool = False


class Communities(Section):
    window: PositiveFloat = 10.0
    width: PositiveFloat = 0.05
    kind: Literal["correlation", "covariance", "coincidence", "spike_tiling"] = "correlation"
    sign: Literal["positive", "negative", "absolute"] = "positive"
    ranks: list[PositiveInt] = Field([1, 2, 3, 4], min_length=1)
    n_seeds: PositiveInt = 20
    n_nulls: NonNegativeInt = 99


class Statistics(Section):
    n_folds: int = Field(3, ge=2)
    gap: NonNegativeFloat = 1.5
    n_shifts: NonNegativeInt = 199
    n_bootstrap: NonNegativeInt = 1000
    bins: int = Field(24, ge=4)
    controls: bool = True


class Config(RecipeConfig):
    planted: Planted = Planted()
    pool: Literal["sessions", "subjects"] = "sessions"
    width: PositiveFloat = 0.05
    seconds: PositiveFloat | None = 1200.0
    label: Label = Label()
    methods: list[Literal["time", "label", "time_label"]] = Field(["time", "label"], min_length=1)
    baselines: list[Literal["pca", "counts", "lagged", "targeted"]] = ["pca", "counts"]
    model: Annotated[dict[str, Any], options_of(ContrastiveLatents)] = {"root": True}
    read_out: list[Literal["linear", "neighbours"]] = Field(["linear", "neighbours"], min_length=1)
    communities: Communities | None = Communities()
    statistics: Statistics = Statistics()


def is_planted(config):
    return not (config.data.dataset or config.data.root)


def units(config):
    if is_planted(config):
        return [{"subject": "planted"}]
    found = subject_units(config.data, config.select.subjects)
    return found if config.pool == "sessions" else [{"subject": "+".join(u["subject"] for u in found)}]


def inputs(config, unit):
    return (
        [] if is_planted(config) else [f for s in unit["subject"].split("+") for f in source_of(config.data).files(s)]
    )


def load(config, unit, work):
    """Sessions with labels, recordings for the affinities, notes, and the truth where it is known."""
    if is_planted(config):
        p = config.planted
        made = planted_latents(width=config.width, rng=work.rng("planted"), **p.model_dump(exclude={"common"}))
        signals = [s.counts(config.width).signal.read().astype(float) for s in made.spikes]
        shown = made.angle if made.angle is not None else [v[:, 0] for v in made.place]
        names = [f"session {s + 1}" for s in range(p.n_sessions)]
        ring = p.shape == "ring"
        data = LatentData(signals, made.place, shown, 1 / config.width, names, "angle (rad)" if ring else "place", ring)
        truth = planted_assemblies(common=p.common, rng=work.rng("assemblies")) if config.communities else None
        return data, truth.spikes if truth else [], [], truth
    source, several, names = source_of(config.data), [], []
    for subject in unit["subject"].split("+"):
        loaded = source.load(subject)
        loaded = list(loaded) if isinstance(loaded, (list, tuple)) else [loaded]
        several += loaded
        names += [subject if config.pool == "subjects" else f"session {k + 1}" for k in range(len(loaded))]
    data, notes = sessions_of(
        several, width=config.width, names=names, seconds=config.seconds, **config.label.model_dump()
    )
    same = [r for r in several if names_of(r) == names_of(several[0])]
    if len(same) < len(several):
        notes.append("Affinities are those of the first session: the others have other units.")
    return data, [signals_only(r, config.label.channels) for r in same], notes, None


def names_of(recording):
    return recording.units["name"].tolist() if isinstance(recording, Spikes) else recording.ch_names


def signals_only(recording, labels):
    if isinstance(recording, Spikes):
        return recording
    channels = recording.channels
    return recording.select(
        channels=channels["name"][(channels["type"] != "misc") & ~channels["name"].isin(labels)].tolist()
    )


def gap_of(config, data):
    """Samples between training and held-out time, no fewer than a window and its positives reach over; the window."""
    m = ContrastiveLatents(**config.model)
    window = m.before + 1 + m.after
    return max(round(config.statistics.gap * data.sfreq), window + m.lag), window


def run(config, unit, work):
    data, recordings, notes, truth = load(config, unit, work)
    how, reach = config.statistics, ContrastiveLatents(**config.model)
    gap, window = gap_of(config, data)
    common = {"before": reach.before, "after": reach.after, "root": reach.root}
    methods = config.methods if data.labels else ["time"]
    if len(methods) < len(config.methods):
        notes.append("There are no labels: only contrast over time is fitted, and nothing is read out.")
    models = {NAMES[m]: (m, ContrastiveLatents(**{"seed": work.seed, **config.model, "method": m})) for m in methods}
    linear = {LINEAR[m]: (m, LinearLatents(method=m, dim=reach.dim, **common)) for m in config.baselines if data.labels}
    fits = {k: fit_latents(m, data, n_folds=how.n_folds, gap=gap, name=k) for k, (_, m) in {**models, **linear}.items()}
    metrics = ["balanced_accuracy"] if data.classes else ["r2", "pearson"]
    options = {
        "how": config.read_out,
        "gap": gap,
        "n_shifts": how.n_shifts,
        "n_bootstrap": how.n_bootstrap,
        "seed": work.seed,
    }
    rows, read, score = [], {}, None
    if data.labels:
        for name in fits:
            row = "decoded" if name in models else name
            found, predictions, first = read_rows(fits[name], data, model=name, row=row, metrics=metrics, **options)
            rows += [r if name in models else {**r, "model": None} for r in found]
            if score is None:
                read, score = predictions, first[config.read_out[0]]
        if len(data.signals) > 1:
            for name in fits:
                row = consistency_row(fits[name], data, model=name, row="decoded" if name in models else name, bins=how.bins, gap=gap,
                                      n_shifts=how.n_shifts, seed=work.seed)  # fmt: skip
                rows += [] if row is None else [row if name in models else {**row, "model": None}]
        rows.sort(key=lambda r: [*metrics, "consistency"].index(r["metric"]))
        if how.controls:
            rows += controls(config, data, models, metrics[-1], options, gap, work)
    for name in models:
        rows += goodness_rows(fits[name], data, model=name, n_shifts=min(how.n_shifts, 99) or 1)
    panels, arrays = latent_panels(
        data,
        {k: fits[k] for k in [*models, *list(linear)[:1]]},
        rows,
        read,
        score,
        n_shown=4 if len(data.signals) > 1 else 3,
    )
    answers = latent_said(rows, data)
    overview = {"sessions": len(data.signals), "units": ", ".join(str(len(s)) for s in data.signals), "samples": ", ".join(str(s.shape[1]) for s in data.signals),
                "sampling": f"{data.sfreq:.4g} a second", "labels": data.label if data.labels else "none"}  # fmt: skip
    if config.communities is not None:
        c = config.communities.model_dump()
        found = assemblies_report.fit_assemblies(
            recordings if len(recordings) > 1 else recordings[0], seed=work.seed, truth=truth, **c
        )
        rows += assemblies_report.assembly_rows(found, rng=work.rng("communities"))
        more, extra = assemblies_report.assembly_panels(found)
        panels, arrays, answers = panels + more, {**arrays, **extra}, answers + assemblies_report.said(found)
        notes.append(
            "The affinity of two units is the "
            + c["kind"].replace("_", " ")
            + f" of their activity in windows of {c['window']:g} s, its {c['sign']} part."
        )
    card = audited(data, n_folds=how.n_folds, gap=gap, reach=window, fits=list(fits.values()))
    made_by = {"overview": overview, "audit": card.to_dict(), "panels": panels, "answers": answers, "notes": notes}
    return Result(pd.DataFrame(rows), arrays, {k: v for k, v in made_by.items() if v})


def controls(config, data, models, metric, options, gap, work):
    """The same steps on labels turned around in time, and on samples in random order."""
    n_folds, rows = config.statistics.n_folds, []
    options = {**options, "how": ["linear"], "metrics": [metric]}
    name, (_, model) = next(((k, v) for k, v in models.items() if v[0] != "time"), next(iter(models.items())))
    other = data.replaced(labels=turned(data.labels, gap, work.rng("turned")))
    fits = fit_latents(model, other, n_folds=n_folds, gap=gap, name="turned labels")
    rows += read_rows(
        fits,
        other,
        model=name,
        row="label_shuffle",
        note="embedding and read-out fitted to labels turned around",
        **options,
    )[0]
    name, (_, model) = next(iter(models.items()))
    rng = work.rng("order")
    other = data.replaced(signals=[s[:, rng.permutation(s.shape[1])] for s in data.signals])
    fits = fit_latents(model, other, n_folds=n_folds, gap=gap, name="random order")
    note = "samples in random order: the same patterns, no course in time"
    return rows + read_rows(fits, other, model=name, row="noise_input", note=note, **options)[0]


def summary(config, results):
    """Mean over subjects of each score that all of them have."""
    if len(results) < 2:
        return None
    table = pd.concat([r.scores for r in results], ignore_index=True)
    keys = [c for c in ("metric", "version", "model", "read_out", "row") if c in table]
    means = (
        table[table["row"] == "decoded"]
        .groupby(keys, dropna=False, sort=False)["value"]
        .agg(["mean", "size"])
        .reset_index()
    )
    return Result(means.rename(columns={"mean": "value", "size": "n"}).assign(chance=np.nan, note="mean over subjects"))
