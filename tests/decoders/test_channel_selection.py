"""Choice of channels: what it finds, what it saw, what it refuses."""

import numpy as np
import pytest

from braindec.decoders._channel_selection import ChannelSelection, channels_for, pick, select_channels
from braindec.errors import BraindecError
from braindec.evaluate.splits import split_by
from braindec.types import Windows

SFREQ = 400.0


def windows(n=90, n_runs=3, slow=1.5, high=1.0, seed=0):
    """Six channels: the second carries the class slowly, the fifth in high gamma."""
    rng = np.random.default_rng(seed)
    y = np.tile(["a", "b", "c"], n // 3)
    t = np.arange(160) / SFREQ
    X = rng.normal(size=(n, 6, 160)).astype("float32")
    for k, word in enumerate("abc"):
        X[y == word, 1, 40 * k : 40 * k + 60] += slow
        burst = np.sin(2 * np.pi * 100 * t + rng.uniform(0, 6, (sum(y == word), 1)))
        X[y == word, 4] += high * burst * ((t > 0.1 * k) & (t < 0.1 * k + 0.15))
    return Windows.from_arrays(X, {"run": np.repeat([str(k) for k in range(n_runs)], n // n_runs)}, sfreq=SFREQ), y


@pytest.mark.parametrize("method", ["decodability", "weights"])
def test_channels_that_carry_the_class_are_found(method):
    data, y = windows()
    found = select_channels(data, y, n_channels=2, method=method)
    assert found.names == ["ch001", "ch004"] and found.scores.index.tolist() == data.ch_names
    assert found.scores.drop(found.names).max() < found.scores[found.names].min()
    assert found(data).ch_names == ["ch001", "ch004"]
    np.testing.assert_array_equal(found(data).load(), data.load()[:, [1, 4]])


def test_without_information_scores_lie_at_one_half():
    scores = np.concatenate([select_channels(*windows(slow=0, high=0, seed=s)).scores for s in range(6)])
    assert abs(scores.mean() - 0.5) < 0.03 and scores.max() < 0.75


def test_it_records_what_it_saw():
    data, y = windows()
    rows = np.arange(60)
    found = select_channels(data[rows], y[rows], n_channels=3)
    assert found.fitted_on_.purpose == "selection" and set(found.fitted_on_.ids) == set(data.ids[:60])
    split = split_by(data, "run")[-1]
    found.check(split)
    with pytest.raises(BraindecError, match="chosen with 30 of 30 windows"):
        select_channels(data, y).check(split)
    with pytest.raises(BraindecError, match="chosen with 5 of 30 windows") as error:
        select_channels(data[:65], y[:65]).check(split)
    assert "training windows of each fold" in str(error.value)
    found.refuse_seen(data.ids[:60], but=data.ids[:60])


def test_values_of_other_windows_have_no_say():
    data, y = windows()
    changed = data.load().copy()
    changed[60:] *= 9
    other = Windows.from_arrays(changed, data.trials.drop(columns="window_id"), sfreq=SFREQ)
    a, b = (select_channels(w[:60], y[:60]) for w in (data, other))
    assert a.names == b.names and np.array_equal(a.scores, b.scores)


def test_one_run_is_cut_in_time_and_low_sampling_leaves_high_gamma_out():
    data, y = windows(n_runs=1)
    assert select_channels(data, y, n_channels=1).names[0] in ("ch001", "ch004")
    slow = Windows.from_arrays(data.load()[:, :, ::2], data.trials.drop(columns="window_id"), sfreq=SFREQ / 2)
    assert select_channels(slow, y, n_channels=1).names == ["ch001"]


def test_what_decoders_ask_for():
    data, y = windows()
    assert channels_for(data, y, None, None, 0) is None
    named = channels_for(data, y, ["ch002"], None, 0)
    assert isinstance(named, ChannelSelection) and not len(named.fitted_on_.ids), "nobody knows who chose a plain list"
    assert channels_for(data, y, named, None, 0) is named
    with pytest.raises(BraindecError, match="exclude each other"):
        channels_for(data, y, named, 3, 0)
    with pytest.raises(BraindecError, match="no channel 'ch009'"):
        pick(data, ["ch009"])


def test_refusals():
    data, y = windows()
    with pytest.raises(BraindecError, match="did you mean 'weights'"):
        select_channels(data, y, method="weight")
    with pytest.raises(BraindecError, match="n_channels"):
        select_channels(data, y, n_channels=0)
    with pytest.raises(BraindecError, match="two classes"):
        select_channels(data, np.full(90, "a"))
    with pytest.raises(BraindecError, match="two classes"):
        select_channels(data, y[:10])
