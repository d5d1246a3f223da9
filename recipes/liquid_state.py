"""A liquid-state machine that an astrocyte steers towards the edge of chaos, and what its read-out gains by that.

A recurrent network of spiking neurons is driven by noisy spike patterns whose classes no count of spikes tells apart. Its
weights change without labels; then they are fixed, and a linear read-out of spike counts names the class of held-out trials.
Beside it stand the same read-out of the input alone, of the liquid before plasticity, without the astrocyte, and without
synapses among its neurons, and how near each is to the edge: its branching parameter under steady input.
"""

from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field, PositiveInt

from braindec.config import RecipeConfig, Section
from braindec.decoders.classifier import Classifier
from braindec.evaluate.audit import audit
from braindec.evaluate.crossval import cross_validate
from braindec.evaluate.results import classification_result, group_scores
from braindec.evaluate.splits import split_by
from braindec.networks._liquid_panels import branching_rows, liquid_answers, liquid_panels
from braindec.networks.liquid import Liquid
from braindec.networks.spike_patterns import jittered_patterns, rate_coded
from braindec.stats.bootstrap import bootstrap_interval
from braindec.stats.permutation import sign_flip_test
from braindec.types import Result, Windows

CITATIONS = [
    {"key": "maass2002", "text": "Maass, Natschläger & Markram (2002). Real-time computing without stable states: a new framework for neural "
     "computation based on perturbations. Neural Computation 14, 2531-2560.", "doi": "10.1162/089976602760407955"},
    {"key": "ivanov2021", "text": "Ivanov & Michmizos (2021). Increasing liquid state machine performance with edge-of-chaos dynamics organized by "
     "astrocyte-modulated plasticity. Advances in Neural Information Processing Systems 34."},
    {"key": "wilting2018", "text": "Wilting & Priesemann (2018). Inferring collective dynamical states from widely unobserved systems. Nature "
     "Communications 9, 2325.", "doi": "10.1038/s41467-018-04725-4"},
]  # fmt: skip


class Task(Section):
    name: Literal["patterns", "digits"] = "patterns"
    n_classes: int = Field(4, ge=2)
    n_trials: int = Field(240, ge=40)
    n_channels: PositiveInt = 100
    spikes_each: PositiveInt = 4
    duration: float = Field(0.3, gt=0)
    jitter: float = Field(0.02, ge=0)
    lost: float = Field(0.1, ge=0, lt=1)
    noise_rate: float = Field(2.0, ge=0)
    gap: float = Field(0.2, ge=0)


class LiquidOptions(Section):
    shape: tuple[PositiveInt, PositiveInt, PositiveInt] = (10, 8, 5)
    weight: float = Field(2e-3, gt=0)
    input_weight: float = Field(1e-3, gt=0)
    weight_max: float = Field(3e-3, gt=0)
    tau_m: float = Field(64e-3, gt=0)
    learning: float = Field(40.0, gt=0)
    gain: float = Field(0.05, ge=0)
    a_plus: float = Field(0.15, ge=0)
    baseline: float = Field(0.15, ge=0)


class Steering(Section):
    n_trials: PositiveInt = 120
    stages: PositiveInt = 6
    weak: float = Field(0.25, gt=0, le=1)
    probe_rate: float = Field(15.0, gt=0)
    probe_seconds: float = Field(20.0, gt=2)


class ReadOut(Section):
    n_bins: PositiveInt = 1
    input_bins: PositiveInt = 12
    n_folds: int = Field(5, ge=2)
    n_permutations: PositiveInt = 200
    n_bootstrap: PositiveInt = 1000


class Config(RecipeConfig):
    n_liquids: PositiveInt = 3
    task: Task = Task()
    liquid: LiquidOptions = LiquidOptions()
    steering: Steering = Steering()
    read_out: ReadOut = ReadOut()


def units(config):
    return [{"liquid": str(k + 1)} for k in range(config.n_liquids)]


def inputs(config, unit):
    return []


def trials_of(config, seed):
    """Trials to steer by, and other trials to read out."""
    task, n = config.task, config.steering.n_trials + config.task.n_trials
    if task.name == "digits":
        from sklearn.datasets import load_digits

        chosen = np.random.default_rng(seed).permutation(1797)[:n]
        found = load_digits()
        trials = rate_coded(found.data[chosen], found.target[chosen], duration=task.duration, seed=seed)
    else:
        options = task.model_dump(exclude={"name", "n_trials", "n_classes", "gap"})
        trials = jittered_patterns(task.n_classes, n, **options, seed=seed)
    return trials[: config.steering.n_trials], trials[config.steering.n_trials :]


def windows_of(counts, trials, gap):
    """Spike counts as windows: neurons are channels, bins are samples."""
    onset = gap + np.arange(len(trials)) * (trials.duration + gap)
    table = {"trial_type": trials.labels.astype(str), "onset": onset, "duration": trials.duration, "run": "1"}
    return Windows.from_arrays(counts.astype(np.float32), table, sfreq=counts.shape[2] / trials.duration, unit="spikes", modality="spikes")  # fmt: skip


def read(config, counts, trials, seed, *, controls=()):
    """Cross-validate a linear read-out; contiguous blocks of trials are held out."""
    windows = windows_of(counts, trials, config.task.gap)
    y = windows.trials["trial_type"].to_numpy()
    splits = split_by(windows, "time", n_folds=config.read_out.n_folds, gap=trials.duration)
    model = Classifier("lda", features="samples", scaler="standard", clamp=None)
    options = {
        "n_permutations": config.read_out.n_permutations,
        "n_bootstrap": config.read_out.n_bootstrap,
        "seed": seed,
    }
    return cross_validate(model, windows, y, splits, metrics=("balanced_accuracy",), controls=controls, **options), windows, y, splits  # fmt: skip


def right(cv):
    """Whether each trial was named rightly, in order of trials."""
    table = cv.predictions.sort_values("window_id", kind="stable")
    return (table["true"].astype(str) == table["predicted"].astype(str)).to_numpy(dtype=float)


def lead_rows(best, others, seed):
    """How many more trials the steered liquid names rightly than each other read-out, trial by trial."""
    rows = []
    for name, cv in others.items():
        lead = right(best) - right(cv)
        low, high = bootstrap_interval(lead, rng=seed)[:2]
        p = sign_flip_test(lead, two_sided=True, rng=seed) if lead.any() else 1.0
        rows.append({"metric": "balanced_accuracy_difference", "version": 1, "row": f"over_{name}", "value": lead.mean(), "chance": 0.0,
                     "low": low, "high": high, "p": p, "n": len(lead), "note": "trial by trial; two-sided p by flipping signs"})  # fmt: skip
    return rows


def run(config, unit, work):
    seed = work.seed + int(unit["liquid"]) - 1
    steering, trials = trials_of(config, seed)
    liquid = Liquid(steering.n_channels, **config.liquid.model_dump(), seed=seed)
    stream, _, seconds = steering.stream(gap=config.task.gap)
    probe = {
        "stages": config.steering.stages,
        "probe_rate": config.steering.probe_rate,
        "probe_seconds": config.steering.probe_seconds,
    }
    steered = liquid.steer(stream, seconds, **probe)
    weak = replace(liquid, weight=config.steering.weak * liquid.weight).steer(stream, seconds, **probe)
    held = replace(liquid, plasticity="pair").steer(stream, seconds, **probe)
    off = {pair: np.zeros_like(w) for pair, w in steered.start.items()}
    kinds = {"before_steering": steered.start, "without_astrocyte": held.weights, "no_recurrence": off}
    gap, bins = config.task.gap, config.read_out.n_bins
    best, windows, y, splits = read(config, liquid.states(trials, weights=steered.weights, gap=gap, n_bins=bins), trials, work.seed, controls=("label_shuffle",))  # fmt: skip
    others = {k: read(config, liquid.states(trials, weights=w, gap=gap, n_bins=bins), trials, work.seed)[0] for k, w in kinds.items()}  # fmt: skip
    others["input_counts"] = read(config, trials.counts(bins), trials, work.seed)[0]
    others["input_times"] = read(config, trials.counts(config.read_out.input_bins), trials, work.seed)[0]
    card = audit(windows, splits, y=y, records=best.records)
    overview = {"task": config.task.name, "neurons of the liquid": liquid.n, "synapses within it": sum(map(len, off.values())),
                "trials": len(trials), "classes": len(best.classes), "input channels": trials.n_channels,
                "steered for": f"{seconds:.0f} s of other trials, no labels"}  # fmt: skip
    result = classification_result(best, card, windows, y, overview=overview)
    found = {"steered": steered.branching[-1], "steered_from_weak": weak.branching[-1], "before_steering": steered.branching[0],
             "without_astrocyte": held.branching[-1]}  # fmt: skip
    leads = lead_rows(best, others, work.seed)
    rows = [cv.scores[cv.scores["row"] == "decoded"].assign(row=name) for name, cv in others.items()]
    scores = pd.concat([result.scores, *rows, pd.DataFrame([*leads, *branching_rows(found)])], ignore_index=True)
    panels, arrays = liquid_panels(
        liquid, {"astrocyte": steered, "weak at first": weak, "without astrocyte": held}, trials, gap
    )
    kept = [p for p in result.made_by["panels"] if p["draw"] in ("confusion", "null_histogram")]
    made_by = {**result.made_by, "panels": [*panels, *kept], "answers": liquid_answers(leads, found), "notes": [NOTE]}
    return Result(scores, {**result.arrays, **arrays}, made_by)


NOTE = (
    "Every read-out sees the same trials in the same folds. One counts the input's spikes over the whole trial, as the read-out of the "
    "liquid does; one counts them in time bins, which is what a liquid has to beat to be of use. The branching parameter is that of the whole "
    "liquid under steady input of its own to each neuron, per 4 ms; where activity bursts its slopes do not fall exponentially and it is left out."
)


def summary(config, results):
    return group_scores(results, seed=config.seed)
