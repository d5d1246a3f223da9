"""Vendor formats through neo: objects and files that neo wrote, and a Blackrock file made byte by byte."""

from __future__ import annotations

import struct
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from braindec.errors import BraindecError, MissingExtraError, UnreadableError
from braindec.loaders import load
from braindec.loaders.readers import neo as reader
from braindec.types import Recording

neo = pytest.importorskip("neo")
pq = pytest.importorskip("quantities")


@pytest.fixture
def segment():
    made = neo.Segment()
    made.spiketrains.append(
        neo.SpikeTrain([100, 350, 200] * pq.ms, t_start=0 * pq.s, t_stop=1 * pq.s, name="a", channel=3)
    )
    made.spiketrains.append(neo.SpikeTrain([0.5] * pq.s, t_stop=1 * pq.s, name="b", channel=4))
    field = np.random.default_rng(0).normal(size=(1000, 2))
    made.analogsignals.append(
        neo.AnalogSignal(field * pq.uV, sampling_rate=1 * pq.kHz, t_start=200 * pq.ms, name="lfp")
    )
    made.events.append(neo.Event([0.3, 0.6] * pq.s, labels=["x", "y"]))
    made.epochs.append(neo.Epoch([400] * pq.ms, durations=[50] * pq.ms, labels=["z"]))
    return made


def test_quantities_become_seconds(segment):
    found = reader.to_spikes(segment, {"path": "f"})
    assert found.train("a").tolist() == pytest.approx([0.1, 0.2, 0.35]) and found.train("b").tolist() == [0.5]
    assert found.units["channel"].tolist() == [3, 4] and (found.start, found.stop) == (0.0, 1.0)
    assert found.events[["onset", "duration", "trial_type"]].to_numpy().tolist() == [
        [0.3, 0, "x"],
        [0.4, 0.05, "z"],
        [0.6, 0, "y"],
    ]


def test_signals_become_si(segment):
    found = reader.to_recording(segment, {"path": "f"})
    assert (
        found.sfreq == 1000
        and found.channels["unit"].tolist() == ["V", "V"]
        and found.channels["type"].tolist() == ["seeg", "seeg"]
    )
    np.testing.assert_allclose(found.signal.read(), segment.analogsignals[0].magnitude.T * 1e-6, rtol=1e-5)
    assert found.events["onset"].tolist() == pytest.approx([0.1, 0.2, 0.4])  # from the first sample


def test_currents_and_plain_numbers_keep_their_unit(segment):
    segment.analogsignals[:] = [neo.AnalogSignal(np.ones((5, 1)) * pq.pA, sampling_rate=1 * pq.Hz, name="i"),
                                neo.AnalogSignal(np.ones((5, 1)) * pq.dimensionless, sampling_rate=1 * pq.Hz, name="n")]  # fmt: skip
    found = reader.to_recording(segment, {})
    assert found.channels["unit"].tolist() == ["A", "n/a"] and found.signal.read()[0, 0] == pytest.approx(1e-12)
    assert found.info["modality"] == "misc"


def test_several_rates_must_be_chosen_from(segment):
    segment.analogsignals.append(neo.AnalogSignal(np.ones((10, 1)) * pq.mV, sampling_rate=10 * pq.Hz, name="slow"))
    with pytest.raises(BraindecError, match="several rates"):
        reader.to_recording(segment, {})
    assert reader.to_recording(segment, {}, stream="slow").sfreq == 10
    with pytest.raises(BraindecError, match="did you mean 'slow'"):
        reader.to_recording(segment, {}, stream="slo")


def test_times_without_a_unit_are_refused():
    train = SimpleNamespace(times=np.array([1.0]), annotations={}, name="p", t_start=0.0, t_stop=1.0)
    plain = SimpleNamespace(spiketrains=[train], analogsignals=[], events=[], epochs=[])
    with pytest.raises(BraindecError, match="not one of time"):
        reader.to_spikes(plain, {"path": "f"})


def test_different_times_of_observation_are_told(segment):
    segment.spiketrains.append(neo.SpikeTrain([1.5] * pq.s, t_stop=2 * pq.s, name="a"))
    found = reader.to_spikes(segment, {"path": "f"})
    assert found.stop == 2 and any("different times" in t for t in found.info["warnings"])
    assert found.units["name"].is_unique and any("share names" in t for t in found.info["warnings"])


def test_a_file_that_neo_wrote(segment, tmp_path):
    block = neo.Block()
    block.segments += [segment, segment]
    neo.io.NeoMatlabIO(str(tmp_path / "s.mat")).write_block(block)
    first, second = load(tmp_path / "s.mat", reader="neo", format="NeoMatlab")
    assert first.train("a").tolist() == pytest.approx([0.1, 0.2, 0.35]) and second.info["run"] == "segment001"
    signal, _ = load(tmp_path / "s.mat", reader="neo", what="signals")
    assert isinstance(signal, Recording) and signal.channels["unit"].tolist() == ["V", "V"]
    assert load(tmp_path / "s.mat", reader="neo", bin_width=0.1)[0].signal.read().sum() == 4


def blackrock(path, times, channels, units, rate=30_000):
    """A NEV 2.3 file: header, one NEUEVWAV a channel, one packet a spike (time, channel, unit, 48 samples)."""
    chosen = sorted(set(channels))
    more = b"".join(
        (b"NEUEVWAV" + struct.pack("<HBBHHhhBBHH", c, 1, c, 1000, 0, 0, 0, 2, 2, 48, 0)).ljust(32, b"\0")[:32]
        for c in chosen
    )
    head = b"NEURALEV" + bytes([2, 3]) + struct.pack("<HIIII", 1, 336 + len(more), 104, rate, rate)
    head += (
        struct.pack("<8H", 2020, 1, 1, 1, 0, 0, 0, 0)
        + b"made by hand".ljust(32, b"\0")
        + bytes(256)
        + struct.pack("<I", len(chosen))
    )
    body = b"".join(
        struct.pack("<IHBB", t, c, u, 0) + bytes(96) for t, c, u in zip(times, channels, units, strict=True)
    )
    path.write_bytes(head + more + body)


def test_a_vendors_file_is_found_by_its_ending(tmp_path):
    blackrock(tmp_path / "s.nev", [3000, 6000, 9000, 12_000], [1, 1, 2, 2], [1, 1, 1, 2])
    found = load(tmp_path / "s.nev")
    assert found.times.tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4]) and found.unit.tolist() == [0, 0, 1, 2]
    assert found.units["channel_id"].tolist() == [1, 2, 2] and found.units["unit_id"].tolist() == [1, 1, 2]
    with pytest.raises(BraindecError, match="no sampled signals"):
        load(tmp_path / "s.nev", reader="neo", what="signals")
    (tmp_path / "s.nev").write_bytes((tmp_path / "s.nev").read_bytes()[:200])
    with pytest.raises(UnreadableError, match="tried neo"):
        load(tmp_path / "s.nev")


@pytest.mark.parametrize(
    ("name", "text", "options", "error", "said"),
    [
        ("s.pkl", "x", {}, UnreadableError, "pickles run code"),
        ("s.txt", "1.0", {"format": "AsciiSpikeTrain"}, UnreadableError, "neo would assume seconds"),
        ("s.nwb", "x", {}, UnreadableError, "reader 'nwb'"),
        ("s.abc", "x", {}, UnreadableError, "tried neo"),
        ("s.plx", "", {}, UnreadableError, "empty"),
        ("s.plx", "damaged", {}, UnreadableError, "tried neo, PlexonIO"),
        ("s.plx", "x", {"format": "Plexn"}, BraindecError, "did you mean 'Plexon'"),
        ("s.plx", "x", {"what": "units"}, BraindecError, "is unknown"),
        ("s.res.1", "1", {"format": "KlustaKwik"}, BraindecError, "do not say their sampling rate"),
    ],
)
def test_what_is_refused(tmp_path, name, text, options, error, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(error, match=said):
        load(tmp_path / name, reader="neo", **options)


def test_without_neo(tmp_path, monkeypatch):
    blackrock(tmp_path / "s.nev", [3000], [1], [1])
    monkeypatch.setitem(sys.modules, "neo", None)
    with pytest.raises(MissingExtraError, match="neo"):
        load(tmp_path / "s.nev")
