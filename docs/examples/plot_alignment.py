"""
Which layer drives a brain
==========================

A tiny language model, made-up stories, and a brain whose language regions follow units of one layer: does an alignment find the
layer, and does it go beyond what an untrained network gives?
"""

from braindec.align.alignment import align_units
from braindec.llm.extract import extract
from braindec.llm.tiny import tiny_model, untrained
from braindec.loaders.language_stimuli import make_stories
from braindec.loaders.synthetic_language import language_brain
from braindec.viz.layer_alignment import layer_alignment

# %%
# Twelve stories of four sentences. The model has never seen them; the same network with fresh weights is its control.
stories = make_stories(12, seed=0)
texts, ids = stories["text"].tolist(), stories["stimulus_id"].tolist()
model = tiny_model("gpt2", n_layers=3, n_units=32, texts=make_stories(12, seed=1)["text"].tolist(), steps=30)
units, *fresh = (
    extract(m, texts, sites=["mlp_out"], ids=ids) for m in (model, untrained(model, 0), untrained(model, 1))
)
print(units.units.groupby("layer").size())

# %%
# One subject who reads every sentence twice. Voxels of IFG, AntTemp and PostTemp follow units of layer 1, A1 follows length and
# place, V1 holds noise that drifts in time.
(brain,), truth = language_brain(
    units, driving_layer=1, n_subjects=1, n_repetitions=2, n_voxels=16, snr=1.0, stimuli=stories, seed=0
)

# %%
# Whole stories are held out; layers and penalties are chosen inside the training stories. Every score stands beside what
# position, length and pace reach, untrained networks, random units and surrogates (only 39 here: the smallest p is 0.025).
found = align_units({"tiny": units}, brain, untrained=fresh, scores=("encoding",), n_surrogates=39, n_random_sets=5)
print(found.calls[["region", "metric", "call"]].to_string(index=False))
own = found.table[(found.table["row"] == "decoded") & (found.table["metric"] == "pearson")]
print(own[["region", "layer", "value", "low", "high", "p"]].round(3).to_string(index=False))

# %%
# Held-out correlation of each layer; the band is what untrained networks reach.
regions = list(found.regions)
curves = {
    name: found.profiles.pivot(index="region", columns="layer", values=name).loc[regions].to_numpy()
    for name in ("value", "low", "high", "untrained_low", "untrained_high")
}
layer_alignment(curves.pop("value"), layers=["0", "1", "2"], regions=regions, label="held-out r", **curves)
