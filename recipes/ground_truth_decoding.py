"""Decode a simulated recording of which everything is known.

A sheet of simulated cortex, with one column a class, is driven by stimuli; its spikes become fields at the contacts of a
shaft and potentials on the scalp, with noise. The same decoder reads each kind of recording at several strengths of the
planted signal. Whatever it finds at strength 0 would be a fault of the decoder or of the statistics; channels that carry the
class are known, so that a map of class differences can be marked right or wrong.
"""

from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from braindec.config import RecipeConfig, Section, options_of
from braindec.decoders._make import make_decoder
from braindec.errors import BraindecError
from braindec.evaluate.audit import audit
from braindec.evaluate.crossval import cross_validate
from braindec.evaluate.results import Statistics, class_difference
from braindec.evaluate.splits import split_by
from braindec.networks.ground_truth import REGIONS, ground_truth
from braindec.signal.spike_windows import spike_windows
from braindec.signal.windows import make_windows
from braindec.stats.auc import auc
from braindec.types import Result

CITATIONS = [
    {"key": "telenczuk2020", "text": "Telenczuk, Telenczuk & Destexhe (2020). A kernel-based method to calculate local field potentials from networks of "
     "spiking neurons. Journal of Neuroscience Methods 344, 108871.", "doi": "10.1016/j.jneumeth.2020.108871"},
    {"key": "vogels2005", "text": "Vogels & Abbott (2005). Signal propagation and logic gating in networks of integrate-and-fire neurons. "
     "Journal of Neuroscience 25, 10786-10795.", "doi": "10.1523/JNEUROSCI.3508-05.2005"},
    {"key": "hagen2022", "text": "Hagen, Magnusson, Ness, Halnes, Babu, Linssen, Morrison & Einevoll (2022). Brain signal predictions from multi-scale networks "
     "using a linearized framework. PLOS Computational Biology 18, e1010353.", "doi": "10.1371/journal.pcbi.1010353"},
]  # fmt: skip
RECORDINGS = ("spikes", "seeg", "eeg")


class Simulation(Section):
    n_trials: PositiveInt = 160
    n_classes: int = Field(4, ge=2, le=12)
    duration: PositiveFloat = 0.3
    interval: NonNegativeFloat = 0.3
    n_runs: int = Field(5, ge=2)
    n_excitatory: PositiveInt = 120
    n_inhibitory: PositiveInt = 30
    sfreq: float = Field(250.0, gt=0, le=1000)
    seeg_noise: NonNegativeFloat = 40e-6
    eeg_noise: NonNegativeFloat = 4e-6


class Config(RecipeConfig):
    recordings: list[str] = list(RECORDINGS)
    signals: list[NonNegativeFloat] = Field([0.0, 0.25, 0.5, 1.0], min_length=1)
    simulation: Simulation = Simulation()
    n_units: PositiveInt = 36
    bin_width: PositiveFloat = 0.05
    classifier: Annotated[dict, options_of("decoders", needs="decision")] = {"name": "classifier", "bin_width": 0.05}
    statistics: Statistics = Statistics(controls=["label_shuffle", "time_only"])


def units(config):
    for name in config.recordings:
        if name not in RECORDINGS:
            raise BraindecError(f"there is no recording {name!r}", allowed=", ".join(RECORDINGS))
    return [{"recording": name} for name in config.recordings]


def inputs(config, unit):
    return []


def windows_of(config, recording, world):
    """Windows from onset to the end of the stimulus; of spikes, as many neurons of each region as fit."""
    span = {"tmin": 0.0, "tmax": config.simulation.duration}
    if recording != "spikes":
        return make_windows([getattr(world, recording)], **span)
    table = world.spikes.units
    rng = np.random.default_rng(config.seed)
    share = [np.flatnonzero(table["region"] == r) for r in REGIONS]
    n = [config.n_units - 2 * (config.n_units // 4), config.n_units // 4, config.n_units // 4]
    rows = np.concatenate([np.sort(rng.choice(r, min(k, len(r)), replace=False)) for r, k in zip(share, n)])
    spikes = world.spikes.select(rows)
    return spike_windows(spikes, width=config.bin_width, scale="sqrt", **span)


def design(config, unit):
    """Audit the design before anything is fitted."""
    world = ground_truth(signal=config.signals[-1], **config.simulation.model_dump(), seed=config.seed)
    windows = windows_of(config, unit["recording"], world)
    return audit(windows, split_by(windows, "block"), y=windows.trials["trial_type"].to_numpy())


def run(config, unit, work):
    recording, tables, arrays, found = unit["recording"], [], {}, {}
    strongest = max(config.signals)
    for signal in sorted(config.signals, reverse=True):
        world = ground_truth(signal=signal, **config.simulation.model_dump(), seed=work.seed)
        windows = windows_of(config, recording, world)
        y = windows.trials["trial_type"].to_numpy()
        splits = split_by(windows, "block")
        decoder = make_decoder(config.classifier, seed=work.seed, folder=str(work.folder / f"training-{signal:g}"))
        scores = cross_validate(
            decoder, windows, y, splits, **config.statistics.model_dump(), seed=work.seed, keys=unit
        )
        tables.append(scores.scores.assign(strength=f"strength {signal:g}"))
        row = scores.scores[scores.scores["row"] == "decoded"].iloc[0]
        found[signal] = row
        if signal == strongest:
            card, last, last_y, cv = audit(windows, splits, y=y, records=scores.records), windows, y, scores
            shown = world
    truth = last.channels["region"].to_numpy() == "sensory" if "region" in last.channels else None
    difference, panel = class_difference(last, last_y)
    arrays |= difference
    table = pd.concat(tables, ignore_index=True)
    if truth is not None and truth.any() and not truth.all():
        area = auc(difference["difference/f"].mean(axis=1), truth)
        table = pd.concat([table, pd.DataFrame([{
            **unit, "metric": "auc_planted", "version": "1", "row": "decoded", **area._asdict(), "chance": 0.5, "n": len(truth), "strength": f"strength {strongest:g}",
            "note": "channels by how much the classes differ in them, against the column that they are in",
        }])], ignore_index=True)  # fmt: skip
    panels, more = panels_of(config, recording, found, shown, cv)
    arrays |= more
    panels += [panel] if panel is not None else []
    overview = {"channels": last.n_channels, "trials": len(last_y), "classes": len(shown.classes), "neurons simulated": shown.spikes.n_units,
                "synapses": "local, 1.5 ms", "strengths": ", ".join(f"{s:g}" for s in sorted(config.signals))}  # fmt: skip
    notes = ["Strength 1 adds 200 Hz of Poisson input to each neuron of the class's column; at 0 the stimulus does nothing.",
             "The relay answers every class alike, the bystander none: their channels carry nothing about the class."]  # fmt: skip
    made_by = {
        "overview": overview,
        "panels": panels,
        "notes": notes,
        "answers": [sentence(recording, found)],
        "audit": card.to_dict(),
        "citations": [],
    }
    return Result(table, arrays, made_by)


def sentence(recording, found):
    """What the strengths say together."""
    weakest, strongest = found[min(found)], found[max(found)]
    told = f"Accuracy {strongest['value']:.2f} at strength {max(found):g} (chance {strongest['chance']:.2f})"
    if min(found) > 0:
        return told + "."
    quiet = "as it must be" if weakest["p"] > 0.05 else "which one run in twenty gives by chance; more would be a fault"
    return told + f"; with nothing planted {weakest['value']:.2f}, p = {weakest['p']:.2g}, {quiet}."


def panels_of(config, recording, found, world, cv):
    """Accuracy by strength, the network's spikes, a stretch of the recording, the confusion at full strength."""
    signals = np.array(sorted(found))
    columns = {name: np.array([found[s][name] for s in signals]) for name in ("value", "low", "high")}
    stop = min(6.0, world.spikes.stop)
    early = world.spikes.times < stop
    units = world.spikes.units
    group = np.where(units["region"] == "sensory", "column " + (units["column"] + 1).astype(str), units["region"])
    arrays = {"signal": signals, "accuracy": columns["value"][None], "interval/low": columns["low"][None], "interval/high": columns["high"][None],
              "raster/times": world.spikes.times[early], "raster/unit": world.spikes.unit[early], "confusion": np.asarray(cv.confusion)}  # fmt: skip
    panels = [
        {"draw": "rate_curve", "title": "Accuracy by the strength of what was planted", "caption": f"Balanced accuracy with its 95 % interval; chance is "
         f"{found[signals[0]]['chance']:.2f}.", "args": {"times": "@signal", "values": "@accuracy", "low": "@interval/low", "high": "@interval/high",
                                                      "labels": [recording], "xlabel": "strength of the signal", "ylabel": "balanced accuracy", "unit": "", "reference": float(found[signals[0]]["chance"])}},
        {"draw": "raster", "title": "The network", "caption": f"The first {stop:g} s at full strength; upright lines are stimuli.",
         "args": {"times": "@raster/times", "unit": "@raster/unit", "groups": group.tolist(),
                  "events": {k: part["onset"][part["onset"] < stop].tolist() for k, part in world.spikes.events.groupby("trial_type")}}},
        {"draw": "confusion", "title": "Confusion at full strength", "caption": "Held-out trials, all folds together.",
         "args": {"matrix": "@confusion", "labels": [str(c) for c in cv.classes]}},
    ]  # fmt: skip
    return panels, arrays
