"""Spike times in and out of files; the unit of time is never guessed."""

from __future__ import annotations

import h5py
import numpy as np
import pandas as pd
import pytest

from braindec.errors import BraindecError, UnreadableError
from braindec.loaders.readers import spikes as reader
from braindec.types import Recording, Spikes


@pytest.fixture
def made():
    rng = np.random.default_rng(0)
    units = pd.DataFrame({"name": ["a", "b", "c"], "region": ["V1", "V1", "V2"], "depth": [0.1, 0.2, 0.3]})
    return Spikes(np.sort(rng.uniform(1, 9, 200)), rng.integers(0, 3, 200), units, 0.5, 9.5)


def same(found, made):
    np.testing.assert_allclose(found.times, made.times)
    np.testing.assert_array_equal(found.unit, made.unit)
    assert list(found.units["name"]) == list(made.units["name"]) and (found.start, found.stop) == (
        made.start,
        made.stop,
    )


def test_saved_spikes_come_back(made, tmp_path):
    reader.save_spikes(made, tmp_path / "s.npz")
    (found,) = reader.load(tmp_path / "s.npz")
    same(found, made)
    assert list(found.units["region"]) == ["V1", "V1", "V2"] and list(found.units["depth"]) == [0.1, 0.2, 0.3]
    assert found.info["warnings"] == [] and found.info["modality"] == "spikes"


def test_hdf5_with_times_and_unit(made, tmp_path):
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["times"], file["unit"], file["time_unit"] = made.times * 1000, made.unit, "ms"
        file["unit_names"] = ["a", "b", "c"]
        file["start"], file["stop"] = 500.0, 9500.0
    same(reader.load(tmp_path / "s.h5")[0], made)


def test_one_array_a_unit(made, tmp_path):
    np.savez(tmp_path / "s.npz", **{f"times/{n}": made.times[made.unit == i] for i, n in enumerate("abc")})
    (found,) = reader.load(tmp_path / "s.npz", time_unit="s", start=0.5, stop=9.5)
    same(found, made)


def test_names_as_units(made, tmp_path):
    np.savez(tmp_path / "s.npz", times=made.times, unit=np.array(["a", "b", "c"])[made.unit])
    same(reader.load(tmp_path / "s.npz", time_unit="s", start=0.5, stop=9.5)[0], made)


def test_the_unit_of_time_is_asked_for(made, tmp_path):
    np.savez(tmp_path / "s.npz", times=made.times, unit=made.unit)
    with pytest.raises(BraindecError, match="never guessed"):
        reader.load(tmp_path / "s.npz")
    with pytest.raises(BraindecError, match="did you mean 'ms'"):
        reader.load(tmp_path / "s.npz", time_unit="msec")
    reader.save_spikes(made, tmp_path / "t.npz")
    with pytest.raises(BraindecError, match="are in s, the option time_unit says ms"):
        reader.load(tmp_path / "t.npz", time_unit="ms")


def test_an_end_that_is_not_said_is_said_to_be_guessed(made, tmp_path):
    np.savez(tmp_path / "s.npz", times=made.times, unit=made.unit)
    (found,) = reader.load(tmp_path / "s.npz", time_unit="s")
    assert found.stop == made.times[-1] and len(found.info["warnings"]) == 2


def test_unsorted_times_are_sorted_with_their_units(made, tmp_path):
    order = np.random.default_rng(1).permutation(200)
    np.savez(tmp_path / "s.npz", times=made.times[order], unit=made.unit[order], unit_names=np.array(["a", "b", "c"]))
    same(reader.load(tmp_path / "s.npz", time_unit="s", start=0.5, stop=9.5)[0], made)


def test_counts_in_bins(made, tmp_path):
    reader.save_spikes(made, tmp_path / "s.npz")
    (found,) = reader.load(tmp_path / "s.npz", bin_width=0.5)
    assert isinstance(found, Recording) and found.sfreq == 2.0
    edges = np.arange(0.5, 9.51, 0.5)
    expected = [np.histogram(made.times[made.unit == u], edges)[0] for u in range(3)]
    np.testing.assert_array_equal(found.load(), expected)


def test_events_beside_the_file(made, tmp_path):
    reader.save_spikes(made, tmp_path / "s.npz")
    (tmp_path / "events.tsv").write_text("onset\tduration\ttrial_type\n2\t1\tgo\n")
    assert list(reader.load(tmp_path / "s.npz", events="events.tsv")[0].events["trial_type"]) == ["go"]
    with pytest.raises(BraindecError, match="stay inside"):
        reader.load(tmp_path / "s.npz", events="../events.tsv")


def test_subjects_by_pattern(made, tmp_path):
    for s in ("01", "02"):
        reader.save_spikes(made, tmp_path / f"sub-{s}_spikes.npz")
    options = {"pattern": "sub-{subject}_spikes.npz"}
    assert reader.subjects(tmp_path, **options) == ["01", "02"]
    (found,) = reader.load(tmp_path, "02", **options)
    assert found.info["subject"] == "02" and reader.files(tmp_path, "02", **options) == [tmp_path / "sub-02_spikes.npz"]


@pytest.mark.parametrize(
    "arrays, said",
    [
        ({"times": np.arange(5.0), "unit": np.zeros(4, int)}, "5 and 4"),
        ({"times": np.arange(5.0)}, "no array 'unit'"),
        ({"tims": np.arange(5.0), "unit": np.zeros(5, int)}, "did you mean 'tims'"),
        ({"times": np.array([0.0, np.nan]), "unit": np.zeros(2, int)}, "not finite"),
        ({"times": np.arange(2.0), "unit": np.array([0.5, 1.0])}, "whole numbers"),
        ({"times": np.arange(2.0), "unit": np.array([0, 7]), "unit_names": np.array(["a"])}, "unknown unit"),
    ],
)
def test_files_that_do_not_fit(arrays, said, tmp_path):
    np.savez(tmp_path / "s.npz", **arrays)
    with pytest.raises(BraindecError, match=said):
        reader.load(tmp_path / "s.npz", time_unit="s")


def test_damaged_and_pickled_files(made, tmp_path):
    reader.save_spikes(made, tmp_path / "s.npz")
    (tmp_path / "s.npz").write_bytes((tmp_path / "s.npz").read_bytes()[:300])
    np.savez(tmp_path / "p.npz", times=np.array([[1.0], [1.0, 2.0]], dtype=object), unit=np.zeros(2, int))
    (tmp_path / "e.npz").write_bytes(b"")
    for name in ("s.npz", "p.npz", "e.npz"):
        with pytest.raises(UnreadableError):
            reader.load(tmp_path / name, time_unit="s")


def test_matlab_file(shared):
    (found,) = reader.load(
        shared("spikes") / "08_spikes-1.mat", times="SpikesHigh", unit=None, time_unit="s", stop=30.0
    )
    assert len(found.times) == 969 and found.n_units == 1
