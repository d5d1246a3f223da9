"""Live streams: what is sent comes in, losses and markers are placed, and decisions equal those of a replay."""

from __future__ import annotations

import threading
import time
import uuid

import numpy as np
import pandas as pd
import pytest

from braindec.decoders.classifier import Classifier
from braindec.errors import BraindecError
from braindec.online.live import LiveDecoder
from braindec.online.pipeline import Pipeline
from braindec.online.replay import replay_windows
from braindec.online.stream import Chunk, PlayerSource
from braindec.types import ArraySignal, Recording

lsl = pytest.importorskip("mne_lsl.lsl")
SFREQ, NAMES = 100.0, ["Fz", "Cz", "Pz"]
STEPS = [{"filter": {"low": 1.0, "high": 20.0, "causal": True}}]


@pytest.fixture(scope="module")
def network() -> None:
    """Skip when no stream of this machine can be found on it."""
    name = f"braindec-{uuid.uuid4().hex[:8]}"
    outlet = lsl.StreamOutlet(lsl.StreamInfo(name, "test", 1, 10.0, "float64", name))
    found = lsl.resolve_streams(timeout=4.0, name=name)
    del outlet
    if not found:
        pytest.skip("no local stream can be resolved here (multicast is blocked)")


class Sender:
    """A stream of samples and one of markers, with time stamps that we choose."""

    def __init__(self, n_channels: int = 3) -> None:
        self.name = f"braindec-{uuid.uuid4().hex[:8]}"
        info = lsl.StreamInfo(self.name, "EEG", n_channels, SFREQ, "float64", self.name)
        info.set_channel_names(NAMES[:n_channels])
        self.samples = lsl.StreamOutlet(info)
        self.markers = lsl.StreamOutlet(lsl.StreamInfo(f"{self.name}-m", "Markers", 1, 0.0, "string", f"{self.name}-m"))
        self.begin = lsl.local_clock()

    def send(self, data: np.ndarray, first: int) -> None:
        last = self.begin + (first + data.shape[1] - 1) / SFREQ
        self.samples.push_chunk(np.ascontiguousarray(data.T), timestamp=last)

    def mark(self, onset: float, word: str) -> None:
        self.markers.push_sample([word], timestamp=self.begin + onset)


def recording() -> Recording:
    rng = np.random.default_rng(0)
    onset = np.arange(0.5, 9.0, 0.75)
    labels = np.array(["a", "b"])[rng.integers(2, size=len(onset))]
    labels[:2] = ["a", "b"]
    data = 1e-5 * rng.standard_normal((3, 1000))
    for t, label in zip(onset, labels, strict=True):
        data[0 if label == "a" else 1, round(t * SFREQ) + 10 : round(t * SFREQ) + 30] += 2e-5
    events = pd.DataFrame({"onset": onset, "duration": 0.0, "trial_type": labels})
    return Recording(ArraySignal(data), SFREQ, pd.DataFrame({"name": NAMES, "type": "eeg"}), events)


def test_the_same_decoder_decides_the_same_on_a_replay_and_on_a_live_stream(network):
    from braindec.online.lsl import LSLSink, LSLSource

    run = recording()
    windows = replay_windows([run], steps=STEPS, tmin=0.0, tmax=0.4)
    fitted = Classifier().fit(windows, windows.trials["trial_type"].to_numpy())
    decoder = LiveDecoder(fitted, Pipeline(STEPS), tmin=0.0, tmax=0.4)
    decoder.open(run.sfreq, run.channels)
    played = [d for chunk in PlayerSource(run) for d in decoder.push(chunk)]

    sender = Sender()
    source = LSLSource(name=sender.name, markers=f"{sender.name}-m", idle=0.6, timeout=5.0)
    sink = LSLSink(fitted.classes_, name=f"{sender.name}-d")
    listener = lsl.StreamInlet(lsl.resolve_streams(timeout=5.0, name=f"{sender.name}-d")[0])
    listener.open_stream(timeout=5.0)

    def send() -> None:
        data, told = run.load(), 0
        onset = run.events["onset"].to_numpy()
        for first in range(0, run.n_times, 25):
            while told < len(onset) and onset[told] < (first + 25) / SFREQ:
                sender.mark(onset[told], "flash")
                told += 1
            sender.send(data[:, first : first + 25], first)
            time.sleep(0.005)

    thread = threading.Thread(target=send)
    thread.start()
    decoder.open(source.sfreq, source.channels)
    live = []
    for chunk in source:
        for decision in decoder.push(chunk):
            live.append(decision)
            sink.send(decision)
    thread.join()
    assert source.n_lost == 0 and list(source.channels["name"]) == NAMES and abs(source.correction) < 0.5
    assert [d.start for d in live] == [d.start for d in played] and len(live) == len(run.events)
    assert np.array_equal([d.scores for d in live], [d.scores for d in played])
    assert [d.predicted for d in live] == [d.predicted for d in played]
    assert all(d.about == {"trial_type": "flash"} for d in live)
    time.sleep(0.1)
    heard, _ = listener.pull_chunk(timeout=1.0)
    assert np.allclose(heard[:, 1:], [d.scores for d in live])
    assert [fitted.classes_[int(k)] for k in heard[:, 0]] == [d.predicted for d in live]
    source.close()


def test_lost_samples_are_counted_where_they_were(network):
    from braindec.online.lsl import LSLSource

    sender = Sender(1)
    source = LSLSource(name=sender.name, idle=0.4, timeout=5.0)
    data = np.arange(300.0)[None]

    def send() -> None:
        for first in range(0, 300, 20):
            if first not in (100, 120):
                sender.send(data[:, first : first + 20], first)
            time.sleep(0.01)

    thread = threading.Thread(target=send)
    thread.start()
    chunks: list[Chunk] = list(source)
    thread.join()
    source.close()
    assert source.n_lost == 40
    for chunk in chunks:  # each value is its own sample number
        assert np.array_equal(chunk.data[0], np.arange(chunk.first, chunk.stop))
    assert chunks[-1].stop == 300


def test_streams_that_are_not_there_are_named(network):
    from braindec.online.lsl import LSLSource

    with pytest.raises(BraindecError, match="no live stream is name 'nobody'"):
        LSLSource(name="nobody", timeout=0.5)
