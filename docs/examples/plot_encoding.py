"""
What drives each voxel
======================

Two bands of features, responses of known origin, whole runs held out: what each band adds, and p-values by refitting on
surrogate features.
"""

import numpy as np
import pandas as pd

from braindec.align.evaluate_encoding import evaluate_encoding
from braindec.align.voxelwise import VoxelwiseEncoder
from braindec.evaluate.splits import split_by
from braindec.signal.delays import delayed
from braindec.viz.roi_bars import roi_bars

# %%
# Six runs of a hundred volumes. Voxels 0 to 19 follow the band "sound" two volumes late, voxels 20 to 39 follow "words",
# the last twenty follow nothing.
rng = np.random.default_rng(0)
runs = np.repeat(np.arange(6), 100)
bands = {"sound": rng.standard_normal((600, 6)), "words": rng.standard_normal((600, 10))}
late = {name: delayed(values, (2,), runs=runs) for name, values in bands.items()}
Y = rng.standard_normal((600, 60))
Y[:, :20] += late["sound"] @ rng.standard_normal((6, 20)) * 0.4
Y[:, 20:40] += late["words"] @ rng.standard_normal((10, 20)) * 0.3

# %%
# Delays stay inside runs; penalties are chosen for each voxel and band inside the training runs.
rows = pd.DataFrame({"run": runs, "onset": np.tile(np.arange(100) * 2.0, 6)})
splits = split_by(rows, "run")
encoder = VoxelwiseEncoder(delays=(1, 2, 3), n_draws=10)
regions = {"sound voxels": np.arange(20), "word voxels": np.arange(20, 40), "others": np.arange(40, 60)}
found = evaluate_encoding(encoder, bands, Y, splits, runs=runs.astype(str), regions=regions, n_surrogates=50)
decoded = found.scores[(found.scores["row"] == "decoded") & (found.scores["metric"] == "pearson")]
print(decoded[["region", "value", "low", "high", "p"]].to_string(index=False))

# %%
# What each band adds in each region: the R2 that is lost without it.
roi_bars(
    [[found.unique_r2[b][m].mean() for m in regions.values()] for b in bands],
    list(regions),
    series=list(bands),
    label="unique R²",
)
