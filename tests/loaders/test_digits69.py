"""Handwritten digits: voxel order, visual areas, pictures the right way up."""

import numpy as np
import pytest

from braindec.errors import BraindecError
from braindec.loaders.readers import digits69


def test_columns_are_voxels_in_matlab_order(shared):
    windows = digits69.load(shared("fmri_digits69_images"))
    assert windows.shape == (100, 3092, 1)
    z = windows.load()[:, :, 0]
    z = (z - z.mean(axis=0)) / z.std(axis=0)
    place = {tuple(p): n for n, p in enumerate(windows.channels[["i", "j", "k"]].to_numpy())}
    for step in ((1, 0, 0), (0, 1, 0), (0, 0, 1)):
        pairs = [(n, place[m]) for p, n in place.items() if (m := tuple(np.add(p, step))) in place]
        a, b = np.array(pairs).T
        assert (z[:, a] * z[:, b]).mean() > 0.3  # neighbours: .07 along the first axis in the other order


def test_areas_and_blocks(shared):
    windows = digits69.load(shared("fmri_digits69_images"))
    assert set(windows.channels["region"]) == {"V1", "V2", "V3", "n/a"}
    counts = windows.trials.groupby(["block", "trial_type"]).size()
    assert len(counts) == 20 and (counts == 5).all()


def test_sixes_have_their_ink_below_and_nines_above(shared):
    ids, pictures = digits69.pictures(shared("fmri_digits69_images"))
    windows = digits69.load(shared("fmri_digits69_images"))
    assert ids == list(windows.trials["stimulus_id"]) and pictures.shape == (100, 28, 28, 3)
    ink = pictures[..., 0] > 100
    below = ink[:, 14:].sum(axis=(1, 2)) / ink.sum(axis=(1, 2))
    six = (windows.trials["trial_type"] == "six").to_numpy()
    assert below[six].mean() > 0.55 > 0.5 > below[~six].mean()


def test_another_file_is_refused(tmp_path):
    with pytest.raises(BraindecError, match=r"no file"):
        digits69.load(tmp_path)
    (tmp_path / "69digits.mat").write_bytes(b"nothing")
    with pytest.raises(BraindecError, match="cannot be read"):
        digits69.load(tmp_path)
