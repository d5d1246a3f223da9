"""The adaptive decoder: decisions before feedback, the static twin, many sessions at once, drift, refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.base import clone

from braindec.decoders._bci_compare import adapt_over_folds
from braindec.decoders._bci_head import HeadLearner, Transitions
from braindec.decoders._bci_q_network import PRESETS, Memory, QNetwork, td_step
from braindec.decoders.adaptive_q import AdaptiveQ
from braindec.errors import BraindecError
from braindec.evaluate.splits import split_by
from braindec.loaders.synthetic_imagery import synthetic_imagery
from braindec.signal.prepare import prepare
from braindec.signal.windows import make_windows
from braindec.stats.permutation import sign_flip_test
from braindec.types import Windows

torch.set_num_threads(1)


def loud(n=60, seed=0, swap=False):
    """Channel 0 is louder in class "left"; with ``swap`` channel 1 is far louder in both."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat(["left", "right"], n // 2))
    X = rng.normal(size=(n, 4, 100))
    X[y == "left", 0] *= 2.0
    X[y == "right", 1] *= 2.0
    if swap:
        X[:, 1] *= 8.0
    trials = {"trial_type": y, "run": np.repeat(list("123"), n // 3), "onset": np.tile(np.arange(n // 3) * 3.0, 3)}
    return Windows.from_arrays(X.astype("float32"), trials, sfreq=50.0), y


@pytest.fixture(scope="module")
def trained():
    windows, y = loud()
    return AdaptiveQ(epochs=15, n_filters=1).fit(windows, y)


def test_it_learns_from_rewards_alone_and_the_same_seed_gives_the_same_weights(trained):
    windows, y = loud(seed=1)
    assert trained.score(windows, y) > 0.85
    assert trained.history_["reward"][-3:].mean() > trained.history_["reward"][:3].mean()
    again = clone(trained).fit(*loud())
    np.testing.assert_array_equal(again.decision(windows), trained.decision(windows))
    assert [r.step for r in trained.fit_records_] == ["CSP filters", "AdaptiveQ(tiny)"]


def test_decisions_come_before_their_feedback(trained):
    windows, y = loud(seed=2)
    told: list[int] = []

    def feedback(row, predicted):
        assert told == list(range(row))  # one after the other, none twice
        told.append(row)
        return 1.0 if predicted == y[row] else -1.0

    stream = trained.copy().adapt_stream(windows, feedback)
    assert told == list(range(len(windows)))
    cut = 25  # feedback from here on is turned around: what was decided until then, and here, cannot change
    lies = y.copy()
    lies[cut:] = np.where(y[cut:] == "left", "right", "left")
    other = trained.copy().adapt_stream(windows, lies)
    np.testing.assert_array_equal(other.values[: cut + 1], stream.values[: cut + 1])
    assert not np.array_equal(other.values[cut + 1 :], stream.values[cut + 1 :])
    np.testing.assert_allclose(stream.values[0], trained.decision(windows[:1])[0], rtol=1e-5)


def test_the_static_twin_does_not_move(trained):
    windows, y = loud(seed=3)
    before = trained.decision(windows)
    adapted = trained.copy()
    adapted.adapt_stream(windows, y)
    np.testing.assert_array_equal(trained.decision(windows), before)
    assert not np.array_equal(adapted.decision(windows), before)
    adapted.predict(windows)
    np.testing.assert_array_equal(adapted.decision(windows), adapted.decision(windows))


def test_many_sessions_at_once_are_those_of_one_after_the_other(trained):
    windows, y = loud(seed=4, swap=True)
    rng = np.random.default_rng(0)
    labels = np.stack([y, rng.permutation(y), rng.permutation(y)])
    found = trained.null_streams(windows, labels)
    for row, expected in zip(found, labels, strict=True):
        np.testing.assert_array_equal(row, trained.copy().adapt_stream(windows, expected).predicted)


@pytest.mark.parametrize("adapt", ["head", "all"])
def test_feedback_makes_up_for_a_channel_that_got_louder(adapt):
    decoder = AdaptiveQ(epochs=15, n_filters=1, adapt=adapt).fit(*loud())
    windows, y = loud(seed=5, swap=True)
    static = decoder.score(windows, y)
    right = decoder.copy().adapt_stream(windows, y).predicted == y
    assert static < 0.7 and right[30:].mean() > static + 0.15


def test_one_step_of_the_last_layer_by_hand():
    rng = np.random.default_rng(0)
    old = Transitions(rng.normal(size=(3, 2)), np.array([0, 1, 1]), np.array([1.0, -1.0, 1.0]))
    weights, bias = rng.normal(size=(2, 2)), np.zeros(2)
    learner = HeadLearner(weights, bias, old, lr=0.1, steps=1, batch_size=4, memory=10, old_share=0.0, rng=rng)
    x = np.array([0.5, -1.0])
    np.testing.assert_allclose(learner.values(x)[0], x @ weights)
    learner.learn(x, np.array([1]), np.array([1.0]))
    error = np.clip(x @ weights[:, 1] - 1.0, -1, 1)
    gradient = np.zeros((3, 2))
    gradient[:, 1] = error * np.array([0.5, -1.0, 1.0])
    expected = np.vstack([weights, bias]) - 0.1 * gradient / (np.abs(gradient) + 1e-8)  # the first step of Adam
    np.testing.assert_allclose(learner.weights[0], expected, atol=1e-6)


def test_targets_of_one_step_episodes_are_rewards_and_of_chains_use_the_target_network():
    torch.manual_seed(0)
    network = QNetwork(n_components=2, n_times=30, n_actions=2, sfreq=20.0, **PRESETS["tiny"])
    state, following = torch.randn(2, 30), torch.randn(2, 30)
    for discount, after in ((0.0, None), (0.9, following), (0.9, None)):
        twin = QNetwork(n_components=2, n_times=30, n_actions=2, sfreq=20.0, **PRESETS["tiny"])
        twin.load_state_dict(network.state_dict())
        memory = Memory(5)
        memory.add(state, 1, 0.5, after)
        wanted = 0.5 + (discount * float(network(following[None]).detach().max()) if after is not None else 0.0)
        loss = td_step(twin, network, torch.optim.SGD(twin.parameters(), lr=0.0), [(memory, [0])], discount=discount)
        gap = float(network(state[None])[0, 1].detach()) - wanted
        assert loss == pytest.approx(0.5 * gap**2 if abs(gap) < 1 else abs(gap) - 0.5, rel=1e-5)
    memory = Memory(2)
    for k in range(3):
        memory.add(state, k, 1.0)
    assert memory.actions == [1, 2] and len(memory) == 2


def test_the_recurrent_preset_learns():
    windows, y = loud(seed=1)
    assert AdaptiveQ("base", epochs=15, n_filters=1).fit(*loud()).score(windows, y) > 0.8


def test_scores_over_folds(trained):
    windows, y = loud(n=60)
    scores, adaptive, static, records = adapt_over_folds(
        clone(trained), windows, y, split_by(windows, "run", n_folds=None)[:1],
        statistics={"metrics": ["accuracy"], "n_permutations": 19, "n_bootstrap": 100},
    )  # fmt: skip
    assert scores["row"].tolist() == ["decoded", "static_twin"]
    assert scores["value"].tolist() == [adaptive.mean(), static.mean()] and len(adaptive) == 20
    assert (scores["p"] == 0.05).all() and len(records) == 1
    several = adapt_over_folds(clone(trained).set_params(epochs=2), windows, y, split_by(windows, "run"),
                               statistics={"metrics": ["accuracy"], "n_permutations": 19, "n_bootstrap": 100})[0]  # fmt: skip
    assert several["p"].isna().all() and several["note"].str.contains("no p").all()


def test_refusals(trained):
    windows, y = loud()
    fresh = trained.copy()
    with pytest.raises(BraindecError, match="decided on first, and rewarded afterwards"):
        fresh.partial_fit(windows[:1], 1.0)
    fresh.act(windows[:1])
    with pytest.raises(BraindecError, match="waiting: the decision on"):
        fresh.partial_fit(windows[1:2], 1.0)
    with pytest.raises(BraindecError, match="from -1 to 1"):
        fresh.partial_fit(windows[:1], 3.0)
    fresh.partial_fit(windows[:1], 1.0)
    with pytest.raises(BraindecError, match="feedback without a decision"):
        fresh.partial_fit(windows[:1], 1.0)  # twice
    with pytest.raises(BraindecError, match="one window at a time"):
        fresh.act(windows[:2])
    with pytest.raises(BraindecError, match="told nothing yet"):
        fresh.null_streams(windows, y[None])
    with pytest.raises(BraindecError, match="one label for each window"):
        trained.copy().adapt_stream(windows, y[:-1])
    with pytest.raises(BraindecError, match="at least two classes"):
        AdaptiveQ().fit(windows, np.repeat("left", len(y)))
    with pytest.raises(BraindecError, match="did you mean 'tiny'"):
        AdaptiveQ("tinny").fit(windows, y)


def sessions(subject, drift):
    recordings = synthetic_imagery(subject, drift=drift, n_runs=2).recordings
    windows = make_windows(prepare(recordings, [{"filter": {"low": 7.0, "high": 30.0}}]), tmin=0.5, tmax=3.5)
    return windows, windows.trials["trial_type"].to_numpy(), (windows.trials["session"] == "01").to_numpy()


@pytest.mark.slow
def test_adapting_beats_the_static_twin_where_the_session_drifts_and_loses_little_where_not():
    gains = {1.5: [], 0.0: []}
    for drift, values in gains.items():
        for subject in range(1, 9):
            windows, y, train = sessions(f"{subject:02d}", drift)
            decoder = AdaptiveQ(epochs=15, seed=subject).fit(windows[train], y[train])
            held, truth = windows[~train], y[~train]
            static = (decoder.predict(held) == truth).mean()
            values.append((decoder.adapt_stream(held, truth).predicted == truth).mean() - static)
    assert np.mean(gains[1.5]) > 0.05 and sign_flip_test(np.array(gains[1.5])) <= 0.05
    assert np.mean(gains[0.0]) > -0.05


@pytest.mark.slow
def test_p_values_of_adapting_hold_their_level():
    """Labels that have nothing to do with the signal, held-out run of balanced classes: p <= 0.05 in about 5 %."""
    hits, n = np.zeros(2), 120
    for seed in range(n):
        rng = np.random.default_rng([seed, 8])
        y = np.concatenate([rng.permutation(np.repeat(["a", "b"], 10)) for _ in range(2)])
        X = rng.normal(size=(40, 3, 30)).astype("float32")
        windows = Windows.from_arrays(X, {"trial_type": y, "run": np.repeat(list("12"), 20)}, sfreq=30.0)
        decoder = AdaptiveQ(epochs=2, n_filters=1, adapt_steps=2, adapt_lr=0.02, seed=seed)
        found = adapt_over_folds(decoder, windows, y, split_by(windows, "run")[:1], seed=seed,
                                 statistics={"metrics": ["accuracy"], "n_permutations": 39, "n_bootstrap": 100})[0]  # fmt: skip
        hits += (found["p"] <= 0.05).to_numpy()
    assert (hits / n <= 0.1).all(), hits
    assert hits.sum() >= 1
