"""NWB files made here with pynwb, and one real file."""

from __future__ import annotations

import builtins
import pickle
from datetime import UTC, datetime

import numpy as np
import pytest

from braindec.errors import BraindecError, MissingExtraError, UnreadableError
from braindec.loaders.readers import nwb as reader
from braindec.types import Recording, Spikes

pynwb = pytest.importorskip("pynwb")


def new_file(**more):
    about = {"session_description": "test", "identifier": "x", "session_start_time": datetime(2020, 1, 1, tzinfo=UTC)}
    return pynwb.NWBFile(**about, **more)


def write(file, path):
    with pynwb.NWBHDF5IO(str(path), "w") as io:
        io.write(file)
    return path


def with_trials(file):
    file.add_trial_column("side", "which side")
    for start, side in ((1.0, "left"), (2.0, "right")):
        file.add_trial(start_time=start, stop_time=start + 0.5, side=side)
    return file


@pytest.fixture
def electrical(tmp_path):
    """Three electrodes in micrometres, 100 Hz, stored as integers with a conversion to V, starting at 0.5 s."""
    file = with_trials(
        new_file(subject=pynwb.file.Subject(subject_id="rat7", species="Rattus norvegicus", age="P90D", sex="U"))
    )
    device = file.create_device("probe")
    group = file.create_electrode_group("shank", description="d", location="CA1", device=device)
    for i in range(3):
        file.add_electrode(x=100.0 * i, y=-50.0, z=2000.0, location=f"layer{i}", group=group)
    stored = np.random.default_rng(0).integers(-1000, 1000, (500, 3)).astype(np.int16)
    series = pynwb.ecephys.ElectricalSeries(
        name="lfp",
        data=stored,
        electrodes=file.create_electrode_table_region([0, 1, 2], "all"),
        rate=100.0,
        starting_time=0.5,
        conversion=1e-6,
        channel_conversion=[1.0, 2.0, 0.5],
    )
    file.add_acquisition(series)
    return write(file, tmp_path / "e.nwb"), stored


def test_electrical_series(electrical):
    path, stored = electrical
    (found,) = reader.load(path)
    assert (
        isinstance(found, Recording)
        and found.sfreq == 100.0
        and found.info["modality"] == "ieeg"
        and found.info["subject"] == "rat7"
    )
    np.testing.assert_allclose(found.load(), stored.T * 1e-6 * np.array([[1.0], [2.0], [0.5]]), rtol=1e-6)
    np.testing.assert_allclose(found.positions, [[0, -5e-5, 2e-3], [1e-4, -5e-5, 2e-3], [2e-4, -5e-5, 2e-3]])
    assert list(found.channels["region"]) == ["layer0", "layer1", "layer2"] and set(found.channels["unit"]) == {"V"}
    np.testing.assert_allclose(found.events["onset"], [0.5, 1.5])  # from the first sample, which is at 0.5 s
    assert list(found.events["side"]) == ["left", "right"]
    again = pickle.loads(pickle.dumps(found))
    np.testing.assert_array_equal(again.signal.read(np.array([2, 0]), 10, 20), found.load()[[2, 0], 10:20])


def test_units_are_spikes(tmp_path):
    file = with_trials(new_file())
    file.add_unit_column("quality", "q")
    rng = np.random.default_rng(1)
    trains = [np.sort(rng.uniform(0, 10, n)) for n in (50, 30)]
    for train, quality in zip(trains, ("good", "mua"), strict=True):
        file.add_unit(spike_times=train, quality=quality, obs_intervals=[[0.0, 10.0]])
    file.add_acquisition(pynwb.TimeSeries(name="speed", data=np.arange(100.0), unit="m/s", rate=10.0))
    path = write(file, tmp_path / "u.nwb")
    (found,) = reader.load(path)
    assert isinstance(found, Spikes) and (found.start, found.stop) == (0.0, 10.0)
    for i, train in enumerate(trains):
        np.testing.assert_allclose(found.times[found.unit == i], train)
    assert list(found.units["quality"]) == ["good", "mua"] and len(found.events) == 2
    (series,) = reader.load(path, what="series")
    assert series.ch_names == ["speed"] and series.n_times == 100
    (counted,) = reader.load(path, bin_width=1.0)
    assert counted.load().sum() == 80


def stack(tmp_path, times, n=4):
    file = with_trials(new_file())
    values = np.random.default_rng(2).normal(size=(n, len(times)))
    for i in range(n):
        file.add_acquisition(pynwb.TimeSeries(name=f"neuron_{i:02d}", data=values[i], unit="none", timestamps=times))
    return write(file, tmp_path / "s.nwb"), values


def test_one_series_a_neuron_is_stacked(tmp_path):
    path, values = stack(tmp_path, np.arange(100) / 10 + 0.2)
    (found,) = reader.load(path)
    assert found.sfreq == pytest.approx(10.0) and found.info["warnings"] == []
    np.testing.assert_allclose(found.load(), values, rtol=1e-6)
    np.testing.assert_allclose(found.events["onset"], [0.8, 1.8])


def test_gaps_are_marked_split_or_refused(tmp_path):
    times = np.arange(100) / 10
    times[15:] += 7.0
    path, values = stack(tmp_path, times)
    (marked,) = reader.load(path)
    assert "1 gaps" in marked.info["warnings"][0] and marked.n_times == 100
    gap = marked.events[marked.events["trial_type"] == "gap"]
    assert list(gap["onset"]) == pytest.approx([1.5]) and list(gap["seconds_lost"]) == pytest.approx([7.1])
    onset = marked.events.loc[marked.events["side"] == "left", "onset"].iloc[0]
    assert onset == pytest.approx(1.0)
    parts = reader.load(path, gaps="split")
    assert [p.n_times for p in parts] == [15, 85] and [len(p.events) for p in parts] == [
        1,
        0,
    ]  # the second trial fell into the gap
    np.testing.assert_allclose(parts[1].load(), values[:, 15:], rtol=1e-6)
    with pytest.raises(BraindecError, match="gaps: split"):
        reader.load(path, gaps="refuse")


def test_irregular_times_are_refused(tmp_path):
    path, _ = stack(tmp_path, np.cumsum(np.random.default_rng(0).exponential(1, 100)))
    with pytest.raises(BraindecError, match="not sampled regularly"):
        reader.load(path)
    times = np.arange(100) / 10
    times[50] = 0
    path, _ = stack(tmp_path, times)
    with pytest.raises(BraindecError, match="do not rise"):
        reader.load(path)


def test_several_series_must_be_named(tmp_path):
    file = new_file()
    for name in ("left", "right"):
        file.add_acquisition(
            pynwb.TimeSeries(name=name, data=np.random.default_rng(0).normal(size=(50, 3)), unit="V", rate=10.0)
        )
    path = write(file, tmp_path / "two.nwb")
    with pytest.raises(BraindecError, match="several series"):
        reader.load(path)
    assert reader.load(path, series="left")[0].n_channels == 3
    with pytest.raises(BraindecError, match="did you mean 'right'"):
        reader.load(path, series="rigt")
    with pytest.raises(BraindecError, match="no sorted units"):
        reader.load(path, what="units")


def test_damaged_files(tmp_path, electrical):
    (tmp_path / "cut.nwb").write_bytes(electrical[0].read_bytes()[:5000])
    (tmp_path / "text.nwb").write_text("not a file of NWB")
    (tmp_path / "empty.nwb").write_bytes(b"")
    for name in ("cut", "text", "empty"):
        with pytest.raises(UnreadableError):
            reader.load(tmp_path / f"{name}.nwb")


def test_without_the_extra_it_says_how_to_install_it(electrical, monkeypatch):
    real = builtins.__import__
    monkeypatch.setattr(
        builtins,
        "__import__",
        lambda name, *a, **k: (_ for _ in ()).throw(ImportError(name)) if name == "pynwb" else real(name, *a, **k),
    )
    with pytest.raises(MissingExtraError, match=r"braindec\[nwb\]"):
        reader.load(electrical[0])


def test_real_file_with_one_series_a_neuron(shared):
    (found,) = reader.load(shared("calcium_celegans_nwb"))
    assert (found.n_channels, found.n_times) == (62, 2244) and "7 gaps" in found.info["warnings"][0]
    parts = reader.load(shared("calcium_celegans_nwb"), gaps="split")
    assert sum(p.n_times for p in parts) == 2244 and len(parts) == 8
    np.testing.assert_array_equal(np.hstack([p.load() for p in parts]), found.load())


def test_intervals_of_observation_are_the_support(tmp_path):
    from datetime import UTC, datetime

    pynwb = pytest.importorskip("pynwb")
    for name, second in (("same", [[0.0, 1.0], [2.0, 3.0]]), ("other", [[0.0, 3.0]])):
        nwb = pynwb.NWBFile("made", name, datetime(2020, 1, 1, tzinfo=UTC))
        nwb.add_unit(spike_times=[0.1, 2.5], obs_intervals=[[0.0, 1.0], [2.0, 3.0]])
        nwb.add_unit(spike_times=[0.2, 2.2], obs_intervals=second)
        with pynwb.NWBHDF5IO(str(tmp_path / f"{name}.nwb"), "w") as io:
            io.write(nwb)
    from braindec.loaders import load

    found = load(tmp_path / "same.nwb")
    assert found.support.tolist() == [[0, 1], [2, 3]] and found.duration == 2
    found = load(tmp_path / "other.nwb")
    assert found.duration == 3 and any("different intervals" in t for t in found.info["warnings"])
