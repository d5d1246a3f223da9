"""
From a spiking network to a decoded scalp
=========================================

A small simulated cortex sees stimuli of two classes. What do its spikes, an electrode in it and the scalp say about the class,
and is the answer right?
"""

import numpy as np

from braindec.decoders.classifier import Classifier
from braindec.evaluate.crossval import cross_validate
from braindec.evaluate.splits import split_by
from braindec.networks.ground_truth import ground_truth
from braindec.signal.windows import make_windows
from braindec.viz.raster import raster

# %%
# One column of neurons a class, a relay that answers both alike, a bystander. Everything follows from the seed.
world = ground_truth(signal=1.0, n_trials=60, n_classes=2, n_runs=3, n_excitatory=60, n_inhibitory=15, seed=0)
print(world.spikes, world.seeg, world.eeg, sep="\n")

# %%
# The same decoder and the same statistics for both kinds of electrode; whole blocks of trials are held out.
for recording in (world.seeg, world.eeg):
    windows = make_windows([recording], tmin=0.0, tmax=0.3)
    y = windows.trials["trial_type"].to_numpy()
    found = cross_validate(Classifier(bin_width=0.05), windows, y, split_by(windows, "block"), n_permutations=99)
    rows = found.scores[["metric", "row", "value", "chance", "low", "high", "p"]]
    print(recording.info["modality"], rows.round(3).to_string(index=False), sep="\n")

# %%
# With nothing planted, nothing may be found.
silent = ground_truth(signal=0.0, n_trials=60, n_classes=2, n_runs=3, n_excitatory=60, n_inhibitory=15, seed=0)
windows = make_windows([silent.seeg], tmin=0.0, tmax=0.3)
y = windows.trials["trial_type"].to_numpy()
null = cross_validate(
    Classifier(bin_width=0.05), windows, y, split_by(windows, "block"), n_permutations=99, controls=()
)
print(null.scores[["metric", "row", "value", "p"]].round(3).to_string(index=False))

# %%
# The network in the first stimuli.
early = world.spikes.times < 3
units = world.spikes.units
group = np.where(units["region"] == "sensory", "column " + (units["column"] + 1).astype(str), units["region"])
events = {k: part["onset"][part["onset"] < 3].tolist() for k, part in world.spikes.events.groupby("trial_type")}
raster(world.spikes.times[early], world.spikes.unit[early], groups=group.tolist(), events=events)
