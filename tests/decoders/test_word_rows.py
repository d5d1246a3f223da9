"""Rows of word decoding: scores and their test, few labels, stretches without labels, the published split, the audit."""

import math

import numpy as np
import pandas as pd
import pytest

from braindec.decoders._channel_selection import ChannelSelection
from braindec.decoders._word_rows import (
    audit_with_unlabelled,
    channel_auc,
    difference_row,
    few_labels,
    paper_split,
    region_rows,
    stretches,
    word_row,
)
from braindec.decoders.high_gamma import power_windows
from braindec.errors import BraindecError
from braindec.evaluate.audit import audit
from braindec.evaluate.splits import split_by
from braindec.loaders.synthetic_word_reading import synthetic_word_reading
from braindec.signal.regions import region_groups
from braindec.signal.windows import make_windows
from braindec.types import FitRecord, Recording


def recording(n_times=4000, task="speech", run="01", seed=0):
    data = np.random.default_rng(seed).normal(size=(3, n_times)).astype("float32")
    channels = pd.DataFrame({"name": ["A1", "A2", "A3"], "type": "seeg"})
    onset = np.arange(2.0, n_times / 100 - 2, 1.5)
    events = pd.DataFrame({"onset": onset, "duration": 0.5, "text": np.resize(["ba", "do", "ki"], len(onset))})
    return Recording(
        data, 100.0, channels, events, {"subject": "01", "session": "01", "task": task, "run": run, "modality": "ieeg"}
    )


def test_a_row_against_a_hand_computation():
    y = np.array(["a", "a", "a", "b", "b", "c"])
    predicted = np.array(["a", "a", "b", "b", "x", "c"])
    row = word_row(
        predicted, y, np.zeros(6), row="decoded", n_permutations=99, n_bootstrap=200, note="so", keys={"subject": "01"}
    )
    assert row["value"] == pytest.approx(4 / 6) and row["chance"] == pytest.approx(3 / 6) and row["n"] == 6
    assert row["low"] <= row["value"] <= row["high"] and row["subject"] == "01" and row["note"].startswith("so; p:")
    assert np.isnan(word_row(predicted, y, np.zeros(6), row="decoded", n_permutations=0)["p"])


def test_its_p_is_that_of_all_orders():
    y, predicted = np.array(list("aabb")), np.array(list("aabb"))
    p = word_row(predicted, y, np.zeros(4), row="decoded", n_permutations=4000)["p"]
    assert p == pytest.approx(1 / 6, abs=0.02), "one of the six orders is the true one"
    assert word_row(predicted, y, np.array([0, 0, 1, 1]), row="decoded", n_permutations=50)["p"] == 1, (
        "one word a run: nothing can be exchanged"
    )


@pytest.mark.slow
def test_the_false_positive_rate_of_a_row():
    rng, hits = np.random.default_rng(0), []
    y, runs = np.tile(np.arange(12), 15), np.repeat(np.arange(3), 60)
    for k in range(600):
        share = rng.dirichlet(np.full(12, 0.5), size=3)[runs]  # a decoder that prefers some words, others in each run
        predicted = (share.cumsum(1) > rng.uniform(size=(180, 1))).argmax(1)
        hits.append(
            word_row(predicted, y, runs, row="decoded", n_permutations=99, n_bootstrap=100, seed=k)["p"] <= 0.05
        )
    assert 0.03 <= np.mean(hits) <= 0.07


def test_few_labels_of_each_word():
    y = np.array(list("aaaaaaaaaabbbbbbbbbbbbbbb"))
    rows = np.arange(25)
    some = few_labels(y, rows, 0.2, seed=1)
    assert [(y[some] == c).sum() for c in "ab"] == [2, 2] and np.array_equal(some, np.sort(some))
    assert len(few_labels(y, rows, 0.01)) == 2 and np.array_equal(few_labels(y, rows, 1.0), rows)
    assert not np.array_equal(few_labels(y, rows, 0.2, seed=2), some)
    with pytest.raises(BraindecError, match="share of the labels"):
        few_labels(y, rows, 0.0)


def test_stretches_tile_a_recording():
    windows = stretches([recording(1000), recording(1050, run="02", seed=1)], 1.0, step=0.5, tmin=-0.2)
    assert windows.shape == (19 + 20, 3, 100) and windows.tmin == -0.2
    assert (
        windows.trials["onset"][1] == pytest.approx(0.7) and windows.trials["run"].tolist() == ["01"] * 19 + ["02"] * 20
    )
    np.testing.assert_array_equal(windows.load([1])[0], windows.recordings[0].load()[:, 50:150])
    with pytest.raises(BraindecError, match="shorter than a window"):
        stretches([recording(50)], 1.0)


def words():
    return make_windows(
        [recording(task="reading", run=r, seed=int(r)) for r in ("01", "02")], tmin=0.0, tmax=1.0, column="text"
    )


def test_the_published_split_is_flagged_and_runs_are_not():
    windows = words()
    y = windows.trials["text"].to_numpy()
    split = paper_split(windows, y)
    assert abs(len(split.train) - 0.8 * len(y)) <= 3 and abs(len(split.test) - len(split.validation)) <= 3
    found = audit(windows, [split], y=y, checks=["time_adjacency"])
    assert found.level in ("warn", "fail")
    assert audit(windows, split_by(windows, "run")[-1:], y=y, checks=["time_adjacency"]).level == "pass"


def test_stretches_over_test_windows_are_found_by_the_audit():
    windows = words()
    y, split = windows.trials["text"].to_numpy(), split_by(words(), "run")[-1]
    own = [FitRecord.of("decoder", windows.ids[split.train])]
    elsewhere = stretches([recording()], 1.0)
    record = FitRecord.of("before", np.concatenate([elsewhere.ids, windows.ids[split.train]]))
    clean = audit_with_unlabelled(windows, windows, split, y, [*own, record], elsewhere)
    assert not [f for f in clean.findings if f.check in ("fit_scope", "time_adjacency") and f.level in ("warn", "fail")]
    over = stretches([windows.recordings[1]], 1.0)
    leak = audit_with_unlabelled(windows, windows, split, y, [*own, FitRecord.of("before", over.ids)], over)
    assert leak.level in ("warn", "fail") and any(
        f.check == "time_adjacency" and f.level in ("warn", "fail") for f in leak.findings
    )
    tested = audit_with_unlabelled(
        windows, windows, split, y, [*own, FitRecord.of("before", [*elsewhere.ids, *windows.ids])], elsewhere
    )
    assert any(f.check == "fit_scope" and f.level == "fail" for f in tested.findings)


def test_planted_regions_are_found_and_others_are_not():
    made = synthetic_word_reading(n_subjects=1, n_words=6, n_runs=3, n_repetitions=5, n_speech_runs=0, high_gamma=2.0)
    windows = make_windows(made.reading["01"], tmin=0.0, tmax=1.2, column="text")
    y, split = windows.trials["text"].to_numpy(), split_by(windows, "run")[-1]
    power = power_windows(windows)
    table = region_rows(
        power, y, split, region_groups(windows), n_permutations=99, n_bootstrap=200, seed=0, keys={"subject": "01"}
    )
    found = table.set_index("region")
    assert set(found.index) == {"vSMC", "STG", "visual", "IFG", "insula"} and (found["row"] == "decoded").all()
    assert found.loc[["vSMC", "STG"], "p"].max() <= 0.02 and found.loc[["vSMC", "STG"], "value"].min() > 0.5
    assert found.loc[["visual", "IFG", "insula"], "value"].max() < 0.4
    with pytest.raises(BraindecError, match="no region has 40 channels"):
        region_rows(
            power, y, split, region_groups(windows), n_permutations=0, n_bootstrap=100, seed=0, keys={}, least=40
        )


def test_scores_of_channels_against_those_that_carry_words():
    scores = pd.Series([0.9, 0.8, 0.5, 0.7], index=["A1-A2", "A2-A3", "B1-B2", "B2-B3"])
    chosen = ChannelSelection(["A1-A2"], scores, FitRecord.of("x", ["1"], purpose="selection"))
    row = channel_auc(chosen, ["A2", "B3"], keys={"subject": "01"})
    assert row["value"] == 1.0 and row["low"] <= 1 and row["metric"] == "auc_planted"
    assert channel_auc(chosen, ["A1", "B1"], keys={})["value"] == pytest.approx(0.5)
    with pytest.raises(BraindecError, match="with words and without"):
        channel_auc(chosen, ["C1"], keys={})


def test_two_decoders_on_the_same_windows():
    first, second = np.zeros(40, bool), np.zeros(40, bool)
    first[:20], second[12:22] = True, True
    row = difference_row(first, second, row="x", n_bootstrap=500)
    assert (
        row["value"] == pytest.approx(0.25)
        and row["metric"] == "accuracy_difference"
        and row["low"] < 0.25 < row["high"]
    )
    assert row["p"] == pytest.approx(2 * sum(math.comb(14, k) for k in range(3)) / 2**14), (
        "12 won and 2 lost: both tails"
    )
    same = difference_row(first, first, row="x")
    assert same["p"] == 1 and same["low"] == same["value"] == same["high"] == 0
