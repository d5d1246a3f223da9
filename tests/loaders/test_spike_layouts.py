"""Spikes in cells, in segments, in bins and in text files: what comes out is what was put in; nothing is guessed."""

from __future__ import annotations

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st

from braindec.errors import BraindecError, UnreadableError
from braindec.loaders import load
from braindec.loaders.readers import arrays, spike_bins, spike_text, spikes
from braindec.types import Recording, Spikes, Windows


def cell(parts):
    out = np.empty((1, len(parts)), dtype=object)
    for i, part in enumerate(parts):
        out[0, i] = np.asarray(part, dtype=float).reshape(-1, 1)
    return out


# --- reader spikes


def test_matlab_cells_hold_one_unit_each(tmp_path):
    scipy.io.savemat(tmp_path / "s.mat", {"trains": cell([[30.0, 10.0], [], [20.0]])})
    (found,) = spikes.load(tmp_path / "s.mat", times="trains", time_unit="ms", stop=100.0)
    assert found.times.tolist() == [0.01, 0.02, 0.03] and found.unit.tolist() == [0, 2, 0] and found.stop == 0.1
    assert any("1 of 3 units have no spike (unit001)" in t for t in found.info["warnings"])


def test_matlab_cells_of_version_7_3(tmp_path):
    with h5py.File(tmp_path / "s.mat", "w") as file:
        refs = [
            file.create_dataset(f"#refs#/{k}", data=np.array(v)).ref for k, v in (("a", [[0.3, 0.1]]), ("b", [[0.2]]))
        ]
        file.create_dataset("trains", data=np.array([[r] for r in refs], dtype=h5py.ref_dtype))
    (found,) = spikes.load(tmp_path / "s.mat", times="trains", time_unit="s", stop=1.0)
    assert found.n_units == 2 and found.train(0).tolist() == [0.1, 0.3] and found.train(1).tolist() == [0.2]


def test_a_cell_of_text_is_refused(tmp_path):
    parts = cell([[1.0], [2.0]])
    parts[0, 1] = "text"
    scipy.io.savemat(tmp_path / "s.mat", {"trains": parts})
    with pytest.raises(BraindecError, match="cell 2 of trains does not hold numbers"):
        spikes.load(tmp_path / "s.mat", times="trains", time_unit="s")


def test_segments_are_laid_one_after_another(tmp_path):
    scipy.io.savemat(tmp_path / "s.mat", {"Low": [[0.1, 29.9]], "High": [[0.2, 0.3]]})
    options = {"time_unit": "s", "stop": 30.0, "segments": {"low": "Low", "high": "High"}}
    (found,) = spikes.load(tmp_path / "s.mat", **options)
    assert found.support.tolist() == [[0, 30], [31, 61]] and found.duration == 60
    assert found.times.tolist() == pytest.approx([0.1, 29.9, 31.2, 31.3])
    assert found.events["trial_type"].tolist() == ["low", "high"] and found.events["duration"].tolist() == [30, 30]
    for change, said in (
        ({"stop": 20.0}, "outside its stretch"), ({"pause": 0.0}, "pause"), ({"segments": {"low": "Lo"}}, "did you mean|no array 'Lo'"),
        ({"time_unit": None}, "never guessed"), ({"time_unit": "minutes"}, "unknown time_unit"), ({"time_unit": "samples"}, "need their rate"),
    ):  # fmt: skip
        with pytest.raises(BraindecError, match=said):
            spikes.load(tmp_path / "s.mat", **{**options, **change})
    (samples,) = spikes.load(tmp_path / "s.mat", **{**options, "time_unit": "samples", "sfreq": 0.5, "stop": 30.0})
    assert samples.support[0].tolist() == [0, 60]


def test_support_of_the_file(tmp_path):
    np.savez(
        tmp_path / "s.npz",
        times=[100.0, 900.0],
        unit=[0, 0],
        time_unit="ms",
        stop=1000.0,
        support=[[0, 300], [800, 1000]],
    )
    (found,) = spikes.load(tmp_path / "s.npz")
    np.testing.assert_allclose(found.support, [[0, 0.3], [0.8, 1.0]])
    np.savez(
        tmp_path / "t.npz", times=[100.0, 500.0], unit=[0, 0], time_unit="ms", stop=1000.0, seen=[[0, 300], [800, 1000]]
    )
    with pytest.raises(BraindecError, match="1 spikes lie in gaps"):
        spikes.load(tmp_path / "t.npz", support="seen")
    with pytest.raises(BraindecError, match="no array 'sen'"):
        spikes.load(tmp_path / "t.npz", support="sen")


def test_support_survives_saving(tmp_path):
    made = Spikes.from_trains([[0.1, 0.9]], start=0.0, stop=1.0, support=[[0.0, 0.3], [0.8, 1.0]])
    spikes.save_spikes(made, tmp_path / "s.npz")
    assert load(tmp_path / "s.npz").support.tolist() == made.support.tolist()


@pytest.mark.parametrize(("option", "n"), [("keep", 3), ("drop", 2)])
def test_doubled_spikes_of_a_file(tmp_path, option, n):
    np.savez(tmp_path / "s.npz", times=[0.1, 0.1, 0.4], unit=[0, 0, 0], time_unit="s", stop=1.0)
    (found,) = spikes.load(tmp_path / "s.npz", duplicates=option)
    assert len(found.times) == n and any("1 spikes are doubled" in t for t in found.info["warnings"])
    with pytest.raises(BraindecError, match="doubled"):
        spikes.load(tmp_path / "s.npz", duplicates="refuse")
    with pytest.raises(BraindecError, match="is unknown"):
        spikes.load(tmp_path / "s.npz", duplicates="some")


def test_milliseconds_called_seconds_are_told(tmp_path):
    times = np.cumsum(3.0 + np.random.default_rng(0).exponential(100.0, 200))
    np.savez(tmp_path / "s.npz", times=times, unit=np.zeros(200, int))
    (found,) = spikes.load(tmp_path / "s.npz", time_unit="s")
    assert any("divide them by 1000" in t for t in found.info["warnings"])


def test_one_array_a_unit_is_found_without_naming_the_reader(tmp_path):
    np.savez(tmp_path / "s.npz", **{"times/a": [0.1], "times/b": [0.2], "time_unit": "s", "stop": 1.0})
    assert load(tmp_path / "s.npz").units["name"].tolist() == ["a", "b"]


# --- reader spike_bins


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 12), st.integers(0, 10_000))
def test_counts_come_back(n_trials, n_units, n_bins, seed):
    import tempfile
    from pathlib import Path

    counts = np.random.default_rng(seed).integers(0, 4, (n_trials, n_units, n_bins))
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "c.npy", counts)
        (found,) = spike_bins.load(Path(folder) / "c.npy", bins="", width=0.01, pause=0.5)
    assert found.without_duplicates().times.shape == found.times.shape  # several spikes of a bin are spread over it
    for trial, (start, stop) in enumerate(found.support):
        part = found.restrict([[start, stop]]).counts(0.01).signal.read()
        np.testing.assert_array_equal(part, counts[trial])
    assert np.allclose(np.diff(found.support[:, 0]), n_bins * 0.01 + 0.5)


def test_times_of_bins_place_the_event(tmp_path):
    train = np.zeros((2, 20), dtype=np.uint8)
    train[0, 10] = train[1, 0] = 1
    scipy.io.savemat(
        tmp_path / "s.mat",
        {"train": train, "t": np.arange(-10, 10, dtype=np.int16)[None], "direction": np.array([[0], [1]])},
    )
    options = {
        "bins": "train",
        "times": "t",
        "time_unit": "ms",
        "labels": "direction",
        "names": {0: "left", 1: "right"},
    }
    (found,) = spike_bins.load(tmp_path / "s.mat", **options)
    assert found.events["onset"].tolist() == pytest.approx([0.01, 1.03]) and found.events["trial_type"].tolist() == [
        "left",
        "right",
    ]
    assert (found.times - found.events["onset"].to_numpy()).tolist() == pytest.approx([0.0005, -0.0095])
    assert "does not say when its 2 trials were" in found.info["warnings"][0]
    for change, said in (
        ({"time_unit": None}, "never guessed"), ({"times": None, "time_unit": None}, "how wide a bin is"), ({"width": 0.002}, "contradict"),
        ({"names": {0: "left"}}, "'1' of direction has no name"), ({"labels": "t"}, "does not fit the windows"), ({"bins": "trains"}, "did you mean"),
        ({"axes": "unit_trial"}, "do not fit"), ({"pause": -1.0}, "pause"), ({"unit_names": ["a", "b"]}, "2 names for 1 units"), ({"coding": "x"}, "is unknown"),
    ):  # fmt: skip
        with pytest.raises(BraindecError, match=said):
            spike_bins.load(tmp_path / "s.mat", **{**options, **change})


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([[0, 0.5]], "whole numbers"), ([[0, np.nan]], "not finite"), ([[0, -1]], "negative"), ([["a", "b"]], "hold numbers"),
    ],
)  # fmt: skip
def test_bins_that_are_no_counts(tmp_path, values, said):
    np.save(tmp_path / "c.npy", np.array(values))
    with pytest.raises(BraindecError, match=said):
        spike_bins.load(tmp_path / "c.npy", bins="", width=0.001)


def test_numbers_of_units_in_a_table(tmp_path):
    table = pd.DataFrame({"sound": [7, 9], "role": ["train", "test"], "0": [0, 2], "1": [3, 0], "2": [3, 1]})
    table.to_csv(tmp_path / "s.csv", index=False)
    (found,) = spike_bins.load(tmp_path / "s.csv", width=0.001, coding="unit_number", labels="sound", columns=["role"])
    assert found.units["name"].tolist() == ["unit001", "unit002", "unit003"]
    assert [len(found.train(u)) for u in range(3)] == [1, 1, 2]  # the label is no spike
    assert found.events[["trial_type", "role"]].to_numpy().tolist() == [["7", "train"], ["9", "test"]]
    with pytest.raises(BraindecError, match="did you mean"):
        spike_bins.load(tmp_path / "s.csv", width=0.001, coding="unit_number", labels="sounds")
    with pytest.raises(BraindecError, match="no axis of units"):
        spike_bins.load(tmp_path / "s.csv", width=0.001, coding="unit_number", axes="unit_bin")
    table.drop(columns=["0", "1", "2"]).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(BraindecError, match="no columns of bins"):
        spike_bins.load(tmp_path / "t.csv", width=0.001)
    (tmp_path / "e.csv").write_text("")
    with pytest.raises(UnreadableError, match="empty"):
        spike_bins.load(tmp_path / "e.csv", width=0.001)


def test_counts_in_other_bins(tmp_path):
    np.save(tmp_path / "c.npy", np.ones((2, 3, 10), int))
    (found,) = spike_bins.load(tmp_path / "c.npy", bins="", width=0.01, bin_width=0.05, axes="unit_trial_bin")
    assert isinstance(found, Recording) and found.signal.read().sum() == 60 and found.n_channels == 2


# --- reader spike_text


def texts(folder, trains, name="x_{run}_u{unit}.txt"):
    for (run, unit), train in trains.items():
        (folder / name.format(run=run, unit=unit)).write_text("\n".join(map(str, train)) + "\n")


def test_text_files_of_trials(tmp_path):
    texts(
        tmp_path,
        {("A", 1): [150, 450], ("A", 10): [310], ("A", 2): [], ("B", 1): [20], ("B", 2): [330], ("B", 10): [700]},
    )
    options = {"pattern": "x_{run}_u{unit}.txt", "time_unit": "samples", "sfreq": 100.0, "every": 3.0, "length": 2.5, "onset": 1.0,
               "trial_type": "run"}  # fmt: skip
    first, second = spike_text.load(tmp_path, **options)
    assert first.units["name"].tolist() == ["unit1", "unit2", "unit10"] and first.times.tolist() == [1.5, 3.1, 4.5]
    assert first.support.tolist() == [[0, 2.5], [3, 5.5]] and first.events["onset"].tolist() == [1, 4]
    assert set(second.events["trial_type"]) == {"B"} and len(second.events) == 3
    assert any("2 trials of 3 s" in t for t in first.info["warnings"])
    (both,) = spike_text.load(tmp_path, **options, join=10.0)
    assert both.n_units == 3 and both.events["part"].tolist() == ["A"] * 2 + ["B"] * 3 and both.support[2, 0] == 15.5
    assert both.train("unit10").tolist() == pytest.approx([3.1, 22.5])
    assert (
        spike_text.subjects(tmp_path, **options) == [tmp_path.name] and len(spike_text.files(tmp_path, **options)) == 6
    )
    assert [s.info["run"] for s in spike_text.load(tmp_path, **options, run=["B"])] == ["B"]
    for change, said in (
        ({"time_unit": None}, "never guessed"), ({"sfreq": None}, "need their rate"), ({"length": 1.0}, "lie between the trials"),
        ({"length": 4.0}, "0 < length <= every"), ({"trial_type": "runs"}, "names no part"), ({"run": ["C"]}, "no run 'C'"),
        ({"pattern": "x_{run}.txt"}, "does not name units"), ({"pattern": "y_{run}_u{unit}.txt"}, "no file"),
    ):  # fmt: skip
        with pytest.raises(BraindecError, match=said):
            spike_text.load(tmp_path, **{**options, **change})


def test_text_files_that_are_no_numbers_or_lack_a_unit(tmp_path):
    texts(tmp_path, {("A", 1): [1.0], ("A", 2): [2.0], ("B", 1): [1.0]})
    with pytest.raises(BraindecError, match="different units"):
        spike_text.load(tmp_path, pattern="x_{run}_u{unit}.txt", time_unit="s")
    texts(tmp_path, {("B", 2): ["nan"]})
    with pytest.raises(BraindecError, match="not finite"):
        spike_text.load(tmp_path, pattern="x_{run}_u{unit}.txt", time_unit="s")
    texts(tmp_path, {("B", 2): ["time", 3.0]})
    with pytest.raises(UnreadableError, match="not a list of spike times"):
        spike_text.load(tmp_path, pattern="x_{run}_u{unit}.txt", time_unit="s")


# --- reader arrays: a field beside spikes, and channels beside a signal


def test_windows_of_one_channel(tmp_path):
    field = np.random.default_rng(0).normal(size=(5, 30))
    scipy.io.savemat(tmp_path / "s.mat", {"y": field})
    found = arrays.load(tmp_path / "s.mat", X="s.mat:y", orientation="window_time", sfreq=1000.0)
    assert isinstance(found, Windows) and found.shape == (5, 1, 30)
    np.testing.assert_allclose(found.load()[:, 0], field, rtol=1e-6)
    turned = arrays.load(tmp_path / "s.mat", X="s.mat:y", orientation="time_window", sfreq=1000.0)
    np.testing.assert_allclose(turned.load()[:, 0], field.T, rtol=1e-6)


def test_extra_channels_and_a_rate_for_each_subject(tmp_path):
    for name in ("a", "b"):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["traces"], file["speed"] = np.ones((20, 3)), np.arange(20.0)
    options = {"signal": "{subject}.h5:traces", "orientation": "time_channel", "ch_type": "unit", "sfreq": {"a": 2.0, "b": 4.0},
               "extra": {"speed": "{subject}.h5:speed"}}  # fmt: skip
    for name, rate in (("a", 2.0), ("b", 4.0)):
        (found,) = arrays.load(tmp_path, name, **options)
        assert found.sfreq == rate and found.channels["type"].tolist() == ["unit"] * 3 + ["misc"]
        assert found.signal.read()[3].tolist() == list(range(20))
    assert arrays.subjects(tmp_path, **options) == ["a", "b"] and len(arrays.files(tmp_path, "a", **options)) == 1
    for change, said in (
        ({"sfreq": {"a": 2.0}}, "names no subject 'b'"), ({"extra": {"ch000": "{subject}.h5:speed"}}, "stands for a channel"),
        ({"extra": {"speed": "{subject}.h5:traces"}}, "does not fit"), ({"extra": {"speed": "{subject}.h5:sped"}}, "did you mean"),
    ):  # fmt: skip
        with pytest.raises(BraindecError, match=said):
            arrays.load(tmp_path, "b", **{**options, **change})


# --- the recordings at hand


def test_the_three_case_studies(shared):
    folder = shared("spikes")
    (light,) = spikes.load(
        folder / "08_spikes-1.mat", time_unit="s", stop=30.0, segments={"low": "SpikesLow", "high": "SpikesHigh"}
    )
    rates = [len(light.restrict([i]).times) / 30 for i in light.support]
    assert rates == pytest.approx([25.0, 32.3], abs=0.01)
    (movement,) = spike_bins.load(
        folder / "10_spikes-1.mat",
        bins="train",
        times="t",
        time_unit="ms",
        labels="direction",
        names={0: "left", 1: "right"},
    )
    assert movement.events["trial_type"].value_counts().to_dict() == {
        "left": 25,
        "right": 25,
    } and movement.support.shape == (50, 2)
    (neuron,) = spike_bins.load(folder / "spikes-LFP-1.mat", bins="n", times="t", time_unit="s")
    field = arrays.load(folder / "spikes-LFP-1.mat", X="spikes-LFP-1.mat:y", orientation="window_time", sfreq=1000.0)
    assert len(neuron.events) == len(field) == 100 and field.n_times == 1000 and neuron.duration == pytest.approx(100.0)
    truth = scipy.io.loadmat(folder / "spikes-LFP-1.mat")["n"]
    assert [len(neuron.restrict([i]).times) for i in neuron.support[:5]] == truth[:5].sum(axis=1).tolist()


@pytest.mark.parametrize(
    ("times", "options", "said"),
    [
        ([-0.5, 0.1], {}, "outside the observed stretch"),
        ([0.1, 2.0], {"stop": 1.0}, "outside the observed stretch"),
        ([0.1, np.nan], {}, "not finite"),
        ([0.1, 0.2], {"start": 1.0, "stop": 1.0}, "start < stop"),
        ([100.0, 900.0], {"stop": 1.0}, "milliseconds must be divided by 1000"),
    ],
)
def test_times_that_cannot_be(tmp_path, times, options, said):
    np.savez(tmp_path / "s.npz", times=times, unit=np.zeros(2, int))
    with pytest.raises(BraindecError, match=said):
        spikes.load(tmp_path / "s.npz", time_unit="s", **options)


def test_times_in_any_order_are_sorted(tmp_path):
    np.savez(tmp_path / "s.npz", times=[0.9, 0.1, 0.5], unit=[0, 1, 0])
    (found,) = spikes.load(tmp_path / "s.npz", time_unit="s", stop=1.0)
    assert found.times.tolist() == [0.1, 0.5, 0.9] and found.unit.tolist() == [1, 0, 0]


@pytest.mark.parametrize(("options", "said"), [
    ({"stop": "x"}, "stop='x'"), ({"bin_width": "a"}, "width above 0"), ({"segments": "times"}, "segments name the array"),
    ({"segments": {"a": "times"}, "stop": "x"}, "stop='x'"),
])  # fmt: skip
def test_options_of_another_kind_are_told(tmp_path, options, said):
    np.savez(tmp_path / "a.npz", times=np.array([0.1, 0.2]), unit=np.array([0, 1]), time_unit="s", start=0.0, stop=1.0)
    with pytest.raises(BraindecError, match=said):
        load(tmp_path / "a.npz", reader="spikes", **options)


def test_arrays_that_hold_no_times_or_units_are_told(tmp_path):
    np.savez(tmp_path / "a.npz", times=np.array(["a", "b"]), unit=np.array([0, 1]), time_unit="s", stop=1.0)
    with pytest.raises(BraindecError, match="must hold numbers"):
        load(tmp_path / "a.npz", reader="spikes")
    np.savez(
        tmp_path / "b.npz",
        times=np.array([0.1, 0.2]),
        unit=np.array([2**32, 1]),
        unit_names=np.array(["a", "b"]),
        time_unit="s",
        stop=1.0,
    )
    with pytest.raises(BraindecError, match="unknown unit"):  # not unit 0
        load(tmp_path / "b.npz", reader="spikes")


@pytest.mark.parametrize(
    "options",
    [
        {"width": "a"},
        {"width": 0.01, "onset": float("nan")},
        {"width": 0.01, "onset": 5.0},
        {"width": 0.01, "pause": "x"},
    ],
)
def test_bins_with_options_of_another_kind_are_told(tmp_path, options):
    np.save(tmp_path / "bins.npy", np.eye(4, 50, dtype=int))
    with pytest.raises(BraindecError):
        load(tmp_path / "bins.npy", reader="spike_bins", **options)
