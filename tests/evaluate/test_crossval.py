"""Cross-validation: truth against scikit-learn, statistics, notes, determinism, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.metrics import roc_auc_score

from braindec.decoders.classifier import Classifier
from braindec.errors import BraindecError
from braindec.evaluate._exchange import exchange_of
from braindec.evaluate.crossval import cross_validate
from braindec.evaluate.splits import split_by
from braindec.types import Split, Windows


def cohort(runs=6, per=20, effect=1.0, seed=0, n_classes=2, **columns):
    """Runs of trials in random order; class 1 raises channel 0 from 0.25 to 0.5 s."""
    rng = np.random.default_rng(seed)
    codes = np.concatenate([rng.permutation(np.arange(per) % n_classes) for _ in range(runs)])
    X = rng.normal(size=(runs * per, 3, 8)).astype("float32")
    X[:, 0, 2:4] += effect * (codes[:, None] - (n_classes - 1) / 2)
    y = np.array(["left", "right", "up"])[codes]
    trials = {
        "run": np.repeat(np.arange(runs), per),
        "onset": np.tile(2.0 * np.arange(per), runs),
        "trial_type": y,
        **columns,
    }
    return Windows.from_arrays(X, pd.DataFrame(trials), sfreq=8.0), y


def decoded(cv, metric):
    return cv.scores[(cv.scores["row"] == "decoded") & (cv.scores["metric"] == metric)].iloc[0]


DECODER = Classifier(bin_width=0.25)


def test_scores_equal_a_loop_written_out():
    windows, y = cohort()
    splits = split_by(windows, "run")
    cv = cross_validate(DECODER, windows, y, splits, metrics=("accuracy", "auc"), n_permutations=0, controls=())
    right, values, pairs = [], [], []
    for split in splits:
        fold = Classifier(bin_width=0.25).fit(windows[split.train], y[split.train])
        right += list(fold.predict(windows[split.test]) == y[split.test])
        values.append(roc_auc_score(y[split.test] == "right", fold.decision_function(windows[split.test])))
        pairs.append(np.prod(np.unique(y[split.test], return_counts=True)[1]))
    assert decoded(cv, "accuracy")["value"] == pytest.approx(np.mean(right))
    assert decoded(cv, "auc")["value"] == pytest.approx(np.average(values, weights=pairs))
    assert cv.confusion.sum() == len(y)
    assert np.trace(cv.confusion) / len(y) == pytest.approx(np.mean(right))


def test_the_tables_hold_what_the_contract_says():
    windows, y = cohort()
    cv = cross_validate(
        DECODER, windows, y, split_by(windows, "run"), n_permutations=30, keys={"subject": "07", "session": "a"}
    )
    assert list(cv.scores) == [
        "subject",
        "session",
        "metric",
        "version",
        "row",
        "value",
        "chance",
        "low",
        "high",
        "p",
        "n",
        "note",
    ]
    assert set(cv.scores["row"]) == {"decoded", "label_shuffle", "noise_input", "time_only"}
    assert list(cv.predictions) == ["window_id", "fold", "true", "predicted", "score_left", "score_right"]
    assert sorted(cv.predictions["window_id"]) == sorted(windows.ids)
    assert list(cv.classes) == ["left", "right"]
    found = decoded(cv, "auc")
    assert found["low"] < found["value"] < found["high"]
    assert found["p"] == pytest.approx(1 / 31)
    assert found["n"] == 120
    for row in ("label_shuffle", "noise_input", "time_only"):
        control = cv.scores[(cv.scores["row"] == row) & (cv.scores["metric"] == "auc")].iloc[0]
        assert control["low"] <= 0.5 <= control["high"], row
        assert np.isnan(control["p"]) == (row == "label_shuffle")
        assert row == "label_shuffle" or control["p"] > 0.05, row
    arrays = cv.arrays()
    assert arrays["null/auc"].shape == (30,)
    assert arrays["predictions/scores"].shape == (120, 2)


def test_each_fold_is_fitted_on_its_training_rows_alone():
    windows, y = cohort()
    cv = cross_validate(DECODER, windows, y, split_by(windows, "run"), n_permutations=0, controls=())
    for split, records in cv.records:
        assert records
        for record in records:
            assert set(record.ids) == set(windows.ids[split.train])
    assert not hasattr(DECODER, "classes_")  # clones are fitted, never the decoder itself


def test_same_seed_same_numbers():
    windows, y = cohort()
    splits = split_by(windows, "run")
    a, b = (cross_validate(DECODER, windows, y, splits, n_permutations=10, seed=3) for _ in range(2))
    pd.testing.assert_frame_equal(a.scores, b.scores)
    other = cross_validate(DECODER, windows, y, splits, n_permutations=10, seed=4)
    assert not np.array_equal(a.null["auc"], other.null["auc"])
    assert decoded(a, "auc")["value"] == decoded(other, "auc")["value"]


class Plain(BaseEstimator):
    """A decoder without null_decisions: nearest class mean of the whole window."""

    def fit(self, windows, y):
        X = windows.load().reshape(len(windows), -1)
        self.classes_ = np.unique(y)
        self.means_ = np.stack([X[y == c].mean(axis=0) for c in self.classes_])
        return self

    def decision(self, windows):
        X = windows.load().reshape(len(windows), -1)
        return -((X[:, None] - self.means_) ** 2).sum(axis=2)


def test_any_decoder_with_fit_and_decision_will_do():
    windows, y = cohort(effect=2.0)
    cv = cross_validate(Plain(), windows, y, split_by(windows, "run"), n_permutations=20, controls=("label_shuffle",))
    assert decoded(cv, "auc")["value"] > 0.8
    assert decoded(cv, "auc")["p"] == pytest.approx(1 / 21)
    assert abs(cv.null["auc"].mean() - 0.5) < 0.05


class Cached(Classifier):
    """The same classifier with its shortcut taken away."""

    null_decisions = property()


def test_the_shortcut_gives_the_null_of_plain_refits():
    windows, y = cohort(n_classes=3)
    splits = split_by(windows, "run")
    options = {"n_permutations": 8, "controls": (), "metrics": ("balanced_accuracy", "auc", "log_loss")}
    fast = cross_validate(DECODER, windows, y, splits, **options)
    slow = cross_validate(Cached(bin_width=0.25), windows, y, splits, **options)
    for name in options["metrics"]:
        np.testing.assert_allclose(fast.null[name], slow.null[name], atol=1e-9)
    assert decoded(fast, "log_loss")["p"] == pytest.approx(1 / 9)  # lower is better


def test_labels_are_permuted_within_runs():
    windows, y = cohort()
    codes = np.unique(y, return_inverse=True)[1]
    splits = split_by(windows, "run")
    exchange = exchange_of(windows, codes, splits)
    drawn = exchange.draw(codes, splits, n=20, rng=np.random.default_rng(0))
    runs = windows.trials["run"].to_numpy()
    for r in np.unique(runs):
        assert (drawn[:, runs == r].sum(axis=1) == codes[runs == r].sum()).all()
    assert "within each run" in exchange.how
    assert len(np.unique(drawn, axis=0)) == 20


def test_labels_in_blocks_are_permuted_as_blocks():
    rng = np.random.default_rng(1)
    windows, _ = cohort(runs=4, per=24)
    codes = np.concatenate([np.repeat(rng.permutation([0, 0, 1, 2]), 6) for _ in range(4)])
    splits = split_by(windows, "run")
    exchange = exchange_of(windows, codes, splits)
    assert "blocks of about 6 rows" in exchange.how
    for labels in exchange.draw(codes, splits, n=10, rng=rng):
        assert (labels.reshape(16, 6) == labels.reshape(16, 6)[:, :1]).all()


def test_labels_of_stimuli_are_permuted_between_stimuli():
    windows, _ = cohort()
    stimulus = np.random.default_rng(2).permutation(np.arange(120) % 12)
    windows = windows.with_trials(stimulus_id=stimulus.astype(str))
    codes = (stimulus % 3 == 0).astype(int)
    splits = split_by(windows, "stimulus_id", n_folds=4)
    exchange = exchange_of(windows, codes, splits)
    assert "between values of stimulus_id" in exchange.how
    for labels in exchange.draw(codes, splits, n=10, rng=np.random.default_rng(0)):
        assert all(len(set(labels[stimulus == s])) == 1 for s in range(12))


def test_runs_of_one_class_are_permuted_as_runs():
    windows, _ = cohort(runs=8, per=10)
    codes = np.repeat(np.arange(8) % 2, 10)
    splits = split_by(windows, "run")
    exchange = exchange_of(windows, codes, splits)
    assert "whole runs" in exchange.how
    assert exchange.arrangements(codes) == pytest.approx(np.log(70))
    cv = cross_validate(
        DECODER, windows, codes, splits, metrics=("balanced_accuracy",), n_permutations=100, controls=()
    )
    assert "only 70 different label orders" in cv.scores["note"][0]


def test_rows_sorted_by_class_without_times_are_said_to_be_so():
    windows, _ = cohort(runs=4, per=20)
    codes = np.repeat([0, 1], 40)
    table = pd.DataFrame({"part": np.tile(np.arange(4), 20)})
    windows = Windows.from_arrays(windows.load(), table, sfreq=8.0)
    cv = cross_validate(DECODER, windows, codes, split_by(windows, "part"), n_permutations=20, controls=("time_only",))
    assert "sorted by class" in cv.scores["note"][0]
    blind = cv.scores[cv.scores["row"] == "time_only"]
    assert blind["value"].isna().all()
    assert blind["note"].str.contains("not run").all()


def test_the_time_only_row_finds_a_design_that_gives_the_class_away():
    windows, _ = cohort(runs=5, per=24)
    place = np.tile(np.arange(24), 5)
    codes = (place // 6) % 2  # the same order of blocks in every run
    cv = cross_validate(DECODER, windows, codes, split_by(windows, "run"), metrics=("auc",), n_permutations=20)
    rows = cv.scores.set_index("row")
    assert rows.loc["time_only", "value"] > 0.9
    assert rows.loc["noise_input", "value"] < 0.75


def test_the_time_only_row_finds_durations():
    rng = np.random.default_rng(3)
    windows, y = cohort()
    windows = windows.with_trials(duration=np.where(y == "left", 0.3, 0.5) + 0.05 * rng.normal(size=120))
    cv = cross_validate(
        DECODER, windows, y, split_by(windows, "run"), metrics=("auc",), n_permutations=0, controls=("time_only",)
    )
    row = cv.scores[cv.scores["row"] == "time_only"].iloc[0]
    assert row["value"] > 0.95
    assert "duration" in row["note"]


def test_noise_windows_have_the_scale_of_each_channel_and_depend_on_names_only():
    from braindec.evaluate.controls.noise_input import noise_windows

    windows, _ = cohort(runs=20)
    loud = Windows.from_arrays(windows.load() * np.array([[1e-6], [1.0], [50.0]], "float32"), windows.trials, sfreq=8.0)
    noise = noise_windows(loud, seed=1)
    np.testing.assert_allclose(noise.load().std(axis=(0, 2)), loud.load()[::2].std(axis=(0, 2)), rtol=0.15)
    np.testing.assert_array_equal(noise.load([5, 3]), noise.load()[[5, 3]])
    part = noise_windows(loud[10:20], seed=1).load()
    ratio = part / noise[10:20].load()  # the same noise, scaled by another sample of windows
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[:1, :, :1], ratio.shape), rtol=1e-4)
    assert not np.allclose(noise.load([0]), noise_windows(loud, seed=2).load([0]))
    lag = noise.load()
    assert abs(np.corrcoef(lag[:, 1, :-1].ravel(), lag[:, 1, 1:].ravel())[0, 1]) < 0.08


def test_folds_of_one_class_form_no_pairs_and_the_note_says_so():
    windows, y = cohort(runs=4)
    first = np.flatnonzero((windows.trials["run"] != 0).to_numpy() | (y == "left"))
    windows, y = windows[first], y[first]
    cv = cross_validate(DECODER, windows, y, split_by(windows, "run"), n_permutations=5, controls=())
    assert "1 of 4 folds hold one class" in decoded(cv, "auc")["note"]
    assert np.isfinite(decoded(cv, "auc")["value"])


def test_auc_without_any_pair_is_refused():
    windows, _ = cohort(runs=4, per=10)
    codes = np.repeat(np.arange(4) % 2, 10)
    with pytest.raises(BraindecError, match="auc is not defined"):
        cross_validate(DECODER, windows, codes, split_by(windows, "run"), n_permutations=0, controls=())


def test_few_rows_and_no_permutations_are_noted():
    windows, y = cohort(runs=3, per=6)
    cv = cross_validate(
        DECODER,
        windows,
        y,
        split_by(windows, "run"),
        metrics=("accuracy",),
        n_permutations=0,
        controls=("label_shuffle",),
    )
    note = cv.scores["note"][0]
    assert "few test rows: 9 of left" in note
    assert "no permutations" in note
    assert "independent guesses reach 0.722" in note  # 13 of 18
    assert cv.scores["p"].isna().all()


def bad(**changes):
    windows, y = cohort(runs=3, per=8)
    splits = split_by(windows, "run")
    given = {"decoder": DECODER, "windows": windows, "y": y, "splits": splits, "n_permutations": 5} | changes
    return cross_validate(given.pop("decoder"), given.pop("windows"), given.pop("y"), given.pop("splits"), **given)


def test_bad_input_is_told():
    windows, y = cohort(runs=3, per=8)
    holes = y.astype(object)
    holes[2] = None
    lacking = Split(np.flatnonzero(y == "left")[:5], [], np.arange(20, 24), by="part", ids=windows.ids, name="part 1")
    broken = windows.load().copy()
    broken[4, 2, 1] = np.inf
    for changes, message in [
        ({"y": np.full(24, "left")}, "one class only"),
        ({"y": holes}, "missing"),
        ({"y": y[:5]}, "one label for each window"),
        ({"y": np.arange(24)}, "look like numbers or names"),
        ({"splits": []}, "at least one split"),
        ({"splits": [lacking]}, "has no window of class right"),
        ({"splits": split_by(cohort(runs=4)[0], "run")}, "other windows"),
        ({"windows": Windows.from_arrays(broken, windows.trials, sfreq=8.0)}, "not finite"),
        ({"metrics": ("balanced_acuracy",)}, "did you mean 'balanced_accuracy'"),
        ({"metrics": ("r2",)}, "compares numbers"),
        ({"metrics": ()}, "at least one metric"),
        ({"controls": ("label_shufle",)}, "did you mean 'label_shuffle'"),
        ({"n_permutations": -1}, "n_permutations >= 0"),
    ]:
        with pytest.raises(BraindecError, match=message):
            bad(**changes)
