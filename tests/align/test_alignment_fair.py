"""Scores stand beside nulls and controls made in the same way; folds of one passage, drift and repetitions do not mislead."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from braindec.align._alignment_splits import hold_out
from braindec.align.alignment import align_units
from braindec.errors import BraindecError
from braindec.types import Features


def units(X, ids, n_layers=1):
    k = X.shape[1] // n_layers
    table = pd.DataFrame({"layer": np.repeat(np.arange(n_layers), k), "site": "resid_post", "index": np.tile(np.arange(k), n_layers)})  # fmt: skip
    return Features(X.astype(np.float32), pd.DataFrame({"stimulus_id": ids}), table)


def responses(Y, ids, **columns):
    return Features(Y.astype(np.float32), pd.DataFrame({"stimulus_id": ids, **columns}), pd.DataFrame({"name": np.arange(Y.shape[1]).astype(str)}))  # fmt: skip


def names(n):
    return [f"s{k}" for k in range(n)]


def test_a_fold_of_one_passage_has_pairs_to_compare():
    rng = np.random.default_rng(0)
    X, ids = rng.normal(size=(60, 45)), names(60)
    Y = X[:, :15] @ rng.normal(size=(15, 14)) + 0.1 * rng.normal(size=(60, 14))
    found = align_units({"m": units(X, ids, 3)}, responses(Y, ids, passage=np.repeat(list("abcde"), 12)),
                        scores=("rsa", "cka"), n_surrogates=0, n_random_sets=0)  # fmt: skip
    for metric in ("rsa", "cka"):
        whole = found.value(metric=metric, row="layer", layer="0 resid_post", region="all channels")
        row = found.rows(metric=metric, row="decoded").iloc[0]
        assert whole > 0.4 and row["value"] > 0.4
        assert len(found.choices["m", metric].place) == 2  # five passages: folds of two and of three
        assert found.value(metric=f"{metric}_partial", row="decoded") > 0.4
        assert row["high"] - row["low"] > 0.01 and "t interval over 2" in row["note"]


def test_repetitions_on_both_sides_of_a_split_are_refused():
    rng = np.random.default_rng(1)
    ids, run = np.tile(names(30), 4), np.repeat(list("abcd"), 30)
    Y = np.tile(rng.normal(size=(30, 5)), (4, 1)) + 0.5 * rng.normal(
        size=(120, 5)
    )  # reliable, and unrelated to the units
    X = rng.normal(size=(30, 100))
    options = {"scores": ("encoding",), "n_surrogates": 0, "n_random_sets": 0, "average": False, "ceiling": None}
    with pytest.raises(BraindecError, match="repetitions of one stimulus stand on both sides"):
        align_units({"m": units(X, names(30))}, responses(Y, ids, run=run), split="run", **options)
    forced = align_units(
        {"m": units(X, names(30))}, responses(Y, ids, run=run), split="run", allow_leaky=True, **options
    )
    assert forced.table["leaky"].all() and forced.value(metric="pearson", row="decoded") > 0.5
    clean = align_units(
        {"m": units(X, names(30))}, responses(Y, ids, run=run), split="stimulus_id", ordered=False, **options
    )
    assert abs(clean.value(metric="pearson", row="decoded")) < 0.25 and not clean.table["leaky"].any()


def test_items_in_order_without_groups_are_not_exchanged():
    rng = np.random.default_rng(2)
    n = 80
    X, Y = (np.cumsum(rng.normal(size=(n, k)), axis=0) for k in (12, 12))  # both drift
    options = {"scores": ("encoding", "rsa"), "n_surrogates": 19, "n_random_sets": 0}
    found = align_units({"m": units(X, names(n))}, responses(Y, names(n), onset=4.0 * np.arange(n)), **options)
    assert found.held.unnamed
    assert "phase-randomised" in found.rows(metric="pearson", row="decoded")["note"].iloc[0]
    row = found.rows(metric="rsa", row="decoded").iloc[0]
    assert np.isnan(row["p"]) and row["value"] > 0.2  # geometry of drift: similar, and nothing to compare it with
    assert any(note.startswith("P-values (rsa): items stand in order") for note in found.notes)
    free = align_units({"m": units(X, names(n))}, responses(Y, names(n), onset=4.0 * np.arange(n)), ordered=False, **options)  # fmt: skip
    assert not free.held.unnamed and np.isfinite(free.rows(metric="rsa", row="decoded")["p"].iloc[0])
    assert not hold_out(pd.DataFrame({"stimulus_id": names(n), "passage": np.repeat(np.arange(20), 4), "onset": np.arange(n)})).unnamed  # fmt: skip


def test_scores_have_a_null_and_targets_of_their_own_kind():
    rng = np.random.default_rng(3)
    X, Y = rng.normal(size=(40, 80)), rng.normal(size=(40, 12))
    found = align_units({"m": units(X, names(40), 4)}, responses(Y, names(40)), n_surrogates=29, n_random_sets=9)
    for metric in ("pearson", "rsa", "cka"):
        choice = found.choices["m", metric]
        row = found.rows(metric=metric, row="decoded").iloc[0]
        assert row["p_max"] == pytest.approx((1 + (choice.null[:, 0] >= row["value"]).sum()) / 30) == row["p"]
    choice = found.choices["m", "pearson"]
    assert len(set(choice.place[:, 0])) > 1
    assert found.targets["r"].mean() == pytest.approx(choice.value[0], abs=1e-5)
    assert set(found.targets["layer"]) == {"chosen on training folds"}


@pytest.mark.slow
def test_targets_and_random_units_hold_their_level_after_the_choice_of_a_layer():
    targets, random = [], []
    for seed in range(60):
        rng = np.random.default_rng([9, seed])
        X, Y = rng.normal(size=(40, 96)), rng.normal(size=(40, 3))
        found = align_units({"m": units(X, names(40), 8)}, responses(Y, names(40)), scores=("encoding", "cka"), n_surrogates=19,
                            n_random_sets=19, seed=seed)  # fmt: skip
        targets += found.targets["p"].tolist()
        random.append(found.rows(metric="cka", row="random_units")["p"].iloc[0])
    assert np.mean(targets) > 0.42 and np.mean(np.array(targets) <= 0.05) < 0.11  # one layer for all folds: 0.27, 0.14
    assert (
        0.35 < np.mean(random) < 0.65 and np.mean(np.array(random) <= 0.05) < 0.17
    )  # sets scored over all items: above 0.4


@pytest.mark.parametrize(("share", "tested"), [(0.5, True), (0.97, False)])
def test_what_units_add_is_not_tested_on_responses_that_drift(share, tested):
    rng = np.random.default_rng(5)
    n = 160

    def slow(k):
        series, noise = np.zeros((n, k)), rng.normal(size=(n, k))
        for t in range(1, n):
            series[t] = share * series[t - 1] + noise[t]
        return series

    found = align_units({"m": units(slow(10), names(n))}, responses(slow(8), names(n), onset=2.0 * np.arange(n)),
                        scores=("encoding",), n_surrogates=19, n_random_sets=0)  # fmt: skip
    row = found.rows(metric="unique_r2", row="decoded").iloc[0]
    assert np.isfinite(row["p"]) == tested and ("drift" in row["note"]) != tested
