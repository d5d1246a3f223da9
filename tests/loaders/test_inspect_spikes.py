"""A first look at a folder of spike files: the right reader, a cohort that fits."""

from __future__ import annotations

import numpy as np

from braindec.loaders._first_guess import first_guess
from braindec.loaders.inspect import inspect


def write(folder, names):
    rng = np.random.default_rng(0)
    for name in names:
        times = np.sort(rng.uniform(0, 60, 400))
        np.savez(folder / name, times=times, unit=rng.integers(0, 3, 400), time_unit="s", start=0.0, stop=60.0)


def test_a_folder_of_spike_files_is_spikes(tmp_path):
    write(tmp_path, ["rec_1.npz", "rec_2.npz"])
    found = inspect(tmp_path)
    assert found.reader == "spikes" and len(found.table) == 2 and set(found.table["modality"]) == {"spikes"}
    text = first_guess(found)
    assert "recipe: spike_statistics" in text and "rec_{run}.npz" in text


def test_a_folder_with_other_arrays_too_is_arrays(tmp_path):
    write(tmp_path, ["rec_1.npz"])
    np.savez(tmp_path / "signal.npz", X=np.zeros((10, 4, 50), dtype=np.float32))
    assert inspect(tmp_path).reader == "arrays"
