"""Replay: decisions equal offline decoding of the same causal signals, use nothing later, and know what was lost."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from braindec.decoders.classifier import Classifier
from braindec.errors import BraindecError
from braindec.online.adaptive_lda import AdaptiveLDA
from braindec.online.foresight import assert_no_foresight
from braindec.online.live import LiveDecoder
from braindec.online.pipeline import Pipeline
from braindec.online.replay import replay, replay_windows, split_in_time, with_ticks
from braindec.online.simulated_speller import speller_recordings
from braindec.online.stream import Chunk, Marker, PlayerSource
from braindec.signal.prepare import prepare
from braindec.signal.windows import make_windows
from braindec.types import ArraySignal, Recording

STEPS = [{"filter": {"low": 0.5, "high": 20.0, "causal": True}}, {"decimate": {"sfreq": 64.0}}]
CUT = {"steps": STEPS, "tmin": 0.0, "tmax": 0.6}


@pytest.fixture(scope="module")
def runs() -> list[Recording]:
    return speller_recordings("01", n_sessions=2, n_runs=2, n_selections=2, n_items=4, n_repeats=4, strength=2.0)


@pytest.fixture(scope="module")
def static(runs):
    return replay(runs, Classifier(), n_train=2, **CUT)


def test_decisions_equal_offline_decoding(runs, static):
    made = prepare(runs, STEPS[:1])  # scipy on whole runs, float32
    live = [Pipeline(STEPS).run(r) for r in runs]
    windows = make_windows(live, tmin=0.0, tmax=0.6)
    y, home = windows.trials["trial_type"].to_numpy(), windows.index[:, 0]
    offline = Classifier().fit(windows[home < 2], y[home < 2])
    assert np.abs(offline.decision(windows[home >= 2]) - static.scores).max() < 1e-9
    assert (static.decided["predicted"].to_numpy() == offline.predict(windows[home >= 2])).all()
    assert (static.decided["window_id"].to_numpy() == windows.ids[home >= 2]).all()
    assert len(static.decisions) == (home >= 2).sum() and static.decided["correct"].mean() > 0.75
    # the live filter at the full rate is the offline causal step
    full = Pipeline(STEPS[:1]).run(runs[0]).load()
    assert np.abs(full - made[0].load()).max() < 1e-6 * np.abs(full).max()


@pytest.mark.parametrize("chunk", [0.01, 0.037, 1.3, 100.0])
def test_chunks_change_when_a_decision_comes_but_not_what_it_is(runs, static, chunk):
    other = replay(runs, Classifier(), n_train=2, chunk=chunk, **CUT)
    assert np.abs(other.scores - static.scores).max() < 1e-9
    table = other.decided
    assert (table["arrived_s"] >= table["last_s"] - 1e-9).all() and (table["compute_s"] > 0).all()
    assert (table["arrived_s"] - table["last_s"]).max() <= chunk + 1 / 64
    assert np.allclose(table["last_s"], np.round(table["onset"] * 64) / 64 + 37 / 64)  # 38 samples from the onset on


def test_nothing_that_comes_later_reaches_a_decision(runs, static):
    pipeline = Pipeline(STEPS)
    windows = replay_windows(runs[:2], **CUT)
    fitted = Classifier().fit(windows, windows.trials["trial_type"].to_numpy())

    def live(recording: Recording) -> tuple[np.ndarray, np.ndarray]:
        decoder = LiveDecoder(fitted, pipeline, tmin=0.0, tmax=0.6).open(recording.sfreq, recording.channels)
        made = [d for chunk in PlayerSource(recording) for d in decoder.push(chunk)]
        return np.array([d.last for d in made]), np.array([d.scores for d in made])

    assert assert_no_foresight(live, runs[2]) > 20

    def offline(recording: Recording, steps: list, tmax: float) -> tuple[np.ndarray, np.ndarray]:
        cut = make_windows(prepare([recording], steps), tmin=0.0, tmax=tmax)
        decided = (cut.index[:, 1] + 0.6 * cut.sfreq) / cut.sfreq
        return decided, cut.load().mean(axis=2)

    causal = [{"filter": {"low": 0.5, "high": 20.0, "causal": True}}]
    assert assert_no_foresight(lambda r: offline(r, causal, 0.6), runs[2]) > 20
    for steps, tmax in (([{"filter": {"low": 0.5, "high": 20.0}}], 0.6), ([*causal, "zscore"], 0.6), (causal, 0.8)):
        with pytest.raises(BraindecError, match="came after them"):
            assert_no_foresight(lambda r, s=steps, t=tmax: offline(r, s, t), runs[2])

    def baseline(recording: Recording) -> tuple[np.ndarray, np.ndarray]:
        cut = make_windows(prepare([recording], causal), tmin=0.0, tmax=1.0)
        data = cut.load()
        decided = (cut.index[:, 1] + 0.6 * cut.sfreq) / cut.sfreq
        used = data[:, :, : round(0.6 * cut.sfreq)] - data[:, :, round(0.7 * cut.sfreq) :].mean(axis=2, keepdims=True)
        return decided, used.mean(axis=2)

    with pytest.raises(BraindecError, match="came after them"):
        assert_no_foresight(baseline, runs[2])


def test_labels_of_played_runs_do_not_reach_a_static_decoder(runs, static):
    swapped = [
        r if i < 2 else r.with_events(r.events.assign(trial_type=r.events["trial_type"].to_numpy()[::-1]))
        for i, r in enumerate(runs)
    ]
    other = replay(swapped, Classifier(), n_train=2, **CUT)
    assert np.array_equal(other.scores, static.scores) and (other.decisions["true"] != static.decisions["true"]).any()


def test_each_decoder_saw_earlier_runs_only(runs):
    for learn, sizes in (("run", [2, 3]), ("session", [2, 2]), ("labels", [2, 2])):
        found = replay(runs, AdaptiveLDA() if learn == "labels" else Classifier(), n_train=2, learn=learn, **CUT)
        home = found.windows.index[:, 0]
        assert [len(np.unique(home[s.train])) for s in found.splits] == sizes
        assert all(home[s.train].max() < home[s.test].min() for s in found.splits)
        for split, seen in found.records:
            assert seen and all(set(r.ids) <= set(found.windows.ids[split.train]) for r in seen)
    assert replay(runs, Classifier(), by="session", **CUT).splits[0].name == runs[2].label


class Memory(AdaptiveLDA):
    """Counts what it was taught, and when it decided."""

    log: list

    def fit(self, windows, y):
        Memory.log = []
        return super().fit(windows, y)

    def decision(self, windows):
        if len(windows) == 1:
            Memory.log.append(("decided", float(windows.trials["onset"].iloc[0])))
        return super().decision(windows)

    def partial_fit(self, windows, y):
        Memory.log.append(("told", float(windows.trials["onset"].iloc[0])))
        return super().partial_fit(windows, y)


@pytest.mark.parametrize("delay", [0.0, 1.0])
def test_feedback_comes_after_its_decision_and_not_before_its_time(runs, delay):
    found = replay(runs[:3], Memory(), n_train=2, learn="labels", feedback=delay, chunk=0.05, **CUT)
    arrived = dict(zip(found.decisions["onset"], found.decisions["arrived_s"], strict=True))
    told_at, upcoming = {}, np.inf
    for what, onset in reversed(Memory.log):  # what is told is learned right before the decision that follows
        if what == "decided":
            upcoming = arrived[onset]
        else:
            told_at[onset] = upcoming
    assert len(told_at) == len(found.decisions)
    late = np.array([told_at[o] - arrived[o] for o in told_at])
    assert late.min() >= delay - 1e-9 and np.median(late) < delay + 0.5 and np.isfinite(late).mean() > 0.8


class Bandit(Classifier):
    """Learns from rewards only."""

    def observe(self, window, reward):
        self.rewards_ = [*getattr(self, "rewards_", []), reward]
        Bandit.last = self


def test_rewards_say_right_or_wrong_and_nothing_else(runs):
    found = replay(runs, Bandit(), n_train=2, learn="reward", **CUT)
    assert np.array_equal(np.array(Bandit.last.rewards_) > 0, found.decided["correct"].to_numpy(dtype=bool))
    with pytest.raises(BraindecError, match="cannot learn from labels"):
        replay(runs, Bandit(), n_train=2, learn="labels", **CUT)
    with pytest.raises(BraindecError, match="it learns from labels"):
        replay(runs, AdaptiveLDA(), n_train=2, learn="reward", **CUT)


@pytest.mark.slow
def test_a_q_learner_is_told_of_its_decisions(runs):
    q = pytest.importorskip("braindec.decoders.adaptive_q").AdaptiveQ
    found = replay(runs[:3], q(epochs=1), n_train=2, learn="reward", chunk=0.02, **CUT)
    assert len(found.decided) == len(found.decisions)


def test_lost_chunks_are_held_counted_or_skipped(runs, static):
    held = replay(runs, Classifier(), n_train=2, lost=0.03, seed=1, **CUT)
    table = held.decided.set_index("window_id")
    hurt, whole = table.index[table["lost"] > 0], table.index[table["lost"] == 0]
    assert 5 < len(hurt) < len(table) and len(whole)
    assert table["correct"].mean() > 0.6
    skipped = replay(runs, Classifier(), n_train=2, lost=0.03, on_gap="skip", seed=1, **CUT)
    left = skipped.decisions[skipped.decisions["predicted"].isna()]
    decided = skipped.decided["window_id"]
    assert set(left["window_id"]) >= set(hurt) and not set(decided) & set(hurt) and left["correct"].isna().all()
    again = replay(runs, Classifier(), n_train=2, lost=0.03, seed=1, **CUT)
    assert np.array_equal(again.scores, held.scores) and not np.array_equal(held.scores, static.scores)


def test_gaps_hold_the_last_sample():
    n, sfreq = 100, 50.0
    channels = pd.DataFrame({"name": ["a"], "type": "eeg"})
    data = np.arange(n, dtype=float)[None]

    class Mean:
        classes_ = np.array(["x", "y"])

        def decision(self, windows):
            return (
                np.stack([windows.load()[0, 0], np.zeros(windows.n_times)])[:, :2].T[:1] * 0 + windows.load()[0, 0, :2]
            )

    live = LiveDecoder(Mean(), Pipeline(), tmin=0.0, tmax=0.2).open(sfreq, channels)
    out = live.push(Chunk(data[:, :30], 0, (Marker(0.4, {}),)))
    out += live.push(Chunk(data[:, 40:50], 40, (Marker(0.6, {}), Marker(-1.0, {}))))
    assert [d.lost for d in out] == [0, 10] and live.missed == [Marker(-1.0, {})]
    assert out[1].scores.tolist() == [29.0, 29.0] and out[1].arrived == 1.0 and out[0].last == pytest.approx(0.58)
    with pytest.raises(BraindecError, match="twice or out of order"):
        live.push(Chunk(data[:, 45:50], 45))
    with pytest.raises(BraindecError, match="silent"):
        live.push(Chunk(data[:, :5], 50 + 61 * 50))


def test_moments_are_decided_at_a_fixed_rate():
    rng = np.random.default_rng(0)
    runs = []
    for _ in range(3):
        events = pd.DataFrame({"onset": np.arange(2.0, 38.0, 6.0), "duration": 3.0, "trial_type": "move"})
        power = np.ones(800)
        for onset in events["onset"]:
            power[round(onset * 20) : round((onset + 3) * 20)] = 4.0
        signal = rng.standard_normal((2, 800)) * power
        runs.append(Recording(ArraySignal(signal), 20.0, pd.DataFrame({"name": ["a", "b"], "type": "eeg"}), events))
    for k, r in enumerate(runs):
        r.info["run"] = f"{k + 1}"
    steps = [{"band_power": {"bands": {"all": [2.0, 8.0]}, "width": 0.5}}]
    found = replay(runs, Classifier(), steps=steps, tmin=-0.5, tmax=0.0, every=0.25, n_train=2)
    table = found.decided
    assert set(table["true"]) == {"move", "rest"} and len(table) == len(found.decisions) > 140
    assert np.allclose(np.diff(table["onset"]), 0.25) and (table["last_s"] < table["onset"]).all()
    assert table["correct"].mean() > 0.8
    ticks = with_ticks(runs[0], 1.0)
    assert ticks.events.loc[[0, 2, 4, 5], "trial_type"].tolist() == ["rest", "move", "move", "rest"]
    with pytest.raises(BraindecError, match="only use what has come"):
        replay(runs, Classifier(), steps=steps, tmin=0.0, tmax=0.5, every=0.25)
    short = [r.with_events(r.events.assign(duration=0.0)) for r in runs]
    with pytest.raises(BraindecError, match="no event lasts"):
        replay(short, Classifier(), steps=steps, tmin=-0.5, tmax=0.0, every=0.25)


def test_what_cannot_be_played_is_refused(runs):
    with pytest.raises(BraindecError, match="one to play"):
        replay(runs, Classifier(), n_train=4, **CUT)
    with pytest.raises(BraindecError, match="learn='runs'"):
        replay(runs, Classifier(), learn="runs", **CUT)
    with pytest.raises(BraindecError, match="not in order of time"):
        replay([runs[0], runs[2], runs[1]], Classifier(), by="session", **CUT)
    one = [runs[0].with_events(runs[0].events.assign(trial_type="target")), *runs[1:]]
    with pytest.raises(BraindecError, match="do not train"):
        replay(one, Classifier(), **CUT)
    with pytest.raises(BraindecError, match="have not come yet"):
        replay(runs, Classifier(), steps=[{"filter": {"low": 1.0}}], tmin=0.0, tmax=0.6)
    with pytest.raises(BraindecError, match="holds no sample"):
        replay(runs, Classifier(), chunk=0.001, **CUT)
    with pytest.raises(BraindecError, match="share of chunks"):
        replay(runs, Classifier(), lost=1.0, **CUT)


def test_split_and_wide_windows(runs):
    found = replay(runs, Classifier(), n_train=2, before=0.2, **CUT)
    assert found.wide.tmin == pytest.approx(-0.203125) and found.windows.tmin == 0.0
    assert np.array_equal(found.wide.ids, found.windows.ids)
    k = found.windows.n_times
    assert np.array_equal(found.wide.load([3])[:, :, -k:], found.windows.load([3]))
    split = split_in_time(found.windows, runs, n_train=2)
    assert np.array_equal(split.train, found.splits[0].train)
    assert np.array_equal(split.test, np.concatenate([s.test for s in found.splits]))
