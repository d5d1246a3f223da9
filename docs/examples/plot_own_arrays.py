"""
Your own arrays
===============

Windows that you already have, a linear classifier, whole runs held out, and a score that does not stand alone.
"""

import numpy as np

from braindec import Windows, audit
from braindec.decoders.classifier import Classifier
from braindec.evaluate.crossval import cross_validate
from braindec.evaluate.splits import split_by
from braindec.viz.confusion import confusion

# %%
# Six runs of forty windows, 16 channels, 0.6 s at 100 Hz. Targets differ on two channels after 0.3 s.
rng = np.random.default_rng(0)
X = rng.standard_normal((240, 16, 60)).astype("float32")
y = rng.permutation(np.repeat(["standard", "target"], 120))
run = np.repeat(np.arange(1, 7), 40)
onset = np.tile(np.arange(40) * 1.5, 6)
X[y == "target", 3:5, 30:45] += 0.4

windows = Windows.from_arrays(X, {"trial_type": y, "run": run, "onset": onset}, sfreq=100.0, modality="eeg")

# %%
# Is the design sound? Nothing has been fitted yet.
splits = split_by(windows, "run")
print(audit(windows, splits, y=y))

# %%
# One decoder a fold; the p-value repeats everything on permuted labels.
scores = cross_validate(Classifier(), windows, y, splits, n_permutations=100, n_bootstrap=200)
print(scores.scores[["metric", "row", "value", "chance", "low", "high", "p", "n"]].to_string())

# %%
confusion(scores.confusion, scores.classes)
