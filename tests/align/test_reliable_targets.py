"""Scores that must not profit from their own test rows: reliable targets, normalised means, baselines and pieces."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.align._encoding_folds import held_out_units
from braindec.align._encoding_setup import ceiling_rows
from braindec.align.evaluate_encoding import evaluate_encoding
from braindec.align.voxelwise import VoxelwiseEncoder
from braindec.errors import BraindecError
from braindec.evaluate.splits import split_by
from braindec.stats.ceilings import noise_ceiling
from braindec.types import Split


def splits_of(fold):
    ids = np.arange(len(fold)).astype(str)
    return [Split(np.flatnonzero(fold != k), np.arange(0), np.flatnonzero(fold == k), by="run", ids=ids) for k in np.unique(fold)]  # fmt: skip


def value(found, metric, region, row="decoded"):
    table = found.scores
    return float(table.loc[(table.metric == metric) & (table.region == region) & (table.row == row), "value"].iloc[0])


def noise(seed, n_targets=1500, n_runs=10, n_stimuli=20):
    rng = np.random.default_rng(seed)
    stimuli = np.concatenate([rng.permutation(n_stimuli) for _ in range(n_runs)])
    features = rng.normal(size=(n_stimuli, 8))[stimuli]
    return (
        features,
        rng.normal(size=(len(stimuli), n_targets)),
        np.repeat(np.arange(n_runs), n_stimuli),
        stimuli.astype(str),
    )


def test_noise_that_repeats_by_chance_is_not_called_reliable_and_well_predicted():
    """All runs show the same stimuli: a ceiling of all rows picks targets whose noise agrees between training and test."""
    features, Y, runs, stimuli = noise(0)
    model = VoxelwiseEncoder(alphas=[10.0, 100.0], inner_folds=2)
    how = {"runs": runs, "n_surrogates": 0, "unique": False, "controls": (), "design": "trials", "stimuli": stimuli}
    found = evaluate_encoding(model, {"f": features}, Y, splits_of(runs), repeats=stimuli, reliable=0.05, **how)
    circular = noise_ceiling(Y, stimuli).share > 0.05
    assert circular.sum() > 50 and found.r[circular].mean() > 0.06  # so the test below could fail
    assert abs(value(found, "pearson", "reliable")) < 0.025
    assert abs(value(found, "pearson_normalized", "all channels")) < 0.1
    assert any("20 of" not in n and "stand in training, too" in n for n in found.notes)
    given = evaluate_encoding(model, {"f": features}, Y, splits_of(runs), ceiling=noise_ceiling(Y, stimuli), **how)
    assert value(given, "pearson_normalized", "all channels") > 0.2  # what a ceiling of the test rows would say


def test_reliable_targets_and_their_null_are_those_of_each_fold(monkeypatch):
    """Against plain sums over folds; blocks of targets give the same, and penalties of the null are the real ones."""
    from braindec.align import evaluate_encoding as module

    features, Y, runs, stimuli = noise(1, n_targets=40, n_runs=4)
    Y = Y + 0.8 * (features @ np.random.default_rng(2).normal(size=(8, 40))) / 3
    splits = splits_of(runs)
    model = VoxelwiseEncoder(model="ridge", alphas=[10.0], inner_folds=2, dtype="float64")
    how = {"runs": runs, "unique": False, "controls": (), "design": "trials", "stimuli": stimuli, "repeats": stimuli,
           "reliable": 0.3, "n_surrogates": 5, "penalties": "fixed"}  # fmt: skip
    found = evaluate_encoding(model, {"f": features}, Y, splits, **how)
    r, chosen = [], []
    for split in splits:
        fitted = VoxelwiseEncoder(**model.get_params()).fit(
            {"f": features}, Y, runs=runs, groups=stimuli, rows=split.train
        )
        r.append(fitted.score({"f": features}, Y, runs=runs, rows=split.test))
        chosen.append(noise_ceiling(Y[split.train], stimuli[split.train]).share > 0.3)
    r, chosen = np.array(r), np.array(chosen)
    assert 0 < chosen.mean() < 1 and (chosen.any(axis=0) != chosen.all(axis=0)).any()
    assert value(found, "pearson", "reliable") == pytest.approx(r[chosen].mean(), abs=1e-6)
    np.testing.assert_array_equal(found.regions["reliable"], 2 * chosen.sum(axis=0) >= 4)
    assert found.null.shape == (5, 2) and np.isfinite(found.null).all()
    assert value(found, "pearson", "reliable", "refit_null") == pytest.approx(found.null[:, 1].mean())
    monkeypatch.setattr(module, "_BLOCK", 7 * len(Y))
    again = evaluate_encoding(model, {"f": features}, Y, splits, **how)
    np.testing.assert_allclose(again.null, found.null, atol=1e-9)
    np.testing.assert_allclose(again.scores["value"], found.scores["value"], atol=1e-9)


def test_repeats_that_no_split_divides_are_used_and_a_region_without_targets_is_left_out():
    features, Y, runs, stimuli = noise(3, n_targets=5, n_runs=3)
    split = splits_of(stimuli.astype(int) % 2)[0]
    assert len(ceiling_rows(split, stimuli)) == len(stimuli)  # whole stimuli on one side
    assert ceiling_rows(splits_of(runs)[0], stimuli).tolist() == splits_of(runs)[0].train.tolist()
    how = {"runs": runs, "n_surrogates": 3, "unique": False, "controls": (), "repeats": stimuli}
    model = VoxelwiseEncoder(alphas=[10.0], inner_folds=2)
    found = evaluate_encoding(model, {"f": features}, Y, splits_of(runs), reliable=0.99, **how)
    assert list(found.regions) == ["all channels"] and found.null.shape == (3, 1)
    assert set(found.scores["region"]) == {"all channels"}
    with pytest.raises(BraindecError, match="cannot be called 'reliable'"):
        evaluate_encoding(model, {"f": features}, Y, splits_of(runs), reliable=0.1, regions={"reliable": [0]}, **how)


def test_r2_is_against_the_training_mean_with_delays_too(simulate):
    """Delayed columns begin with zeros, so that the intercept is not the training mean."""
    data = simulate(n_targets=4, per_run=12, n_runs=4, delays=(2, 4))
    bands = {k: v + 5.0 * (np.arange(len(v)) % 12 > 5)[:, None] for k, v in data.bands.items()}
    Y = data.Y + bands["a"][:, :1]
    model = VoxelwiseEncoder(delays=(2, 4), model="ridge", alphas=[1.0], inner_folds=3, dtype="float64")
    found = evaluate_encoding(model, bands, Y, data.splits, runs=data.runs, n_surrogates=0, controls=())
    truth = []
    for split in data.splits:
        P = VoxelwiseEncoder(**model.get_params()).fit(bands, Y, runs=data.runs, rows=split.train)
        left = Y[split.test] - P.predict(bands, runs=data.runs, rows=split.test)
        truth.append(1 - (left**2).sum(axis=0) / ((Y[split.test] - Y[split.train].mean(axis=0)) ** 2).sum(axis=0))
    np.testing.assert_allclose(found.r2, np.mean(truth, axis=0), atol=1e-6)
    np.testing.assert_allclose(sum(found.split_r2.values()), found.r2, atol=1e-6)


def test_pieces_of_an_interval_hold_whole_stimuli_or_enough_rows():
    rng = np.random.default_rng(0)
    stimuli = np.concatenate([rng.permutation(60) for _ in range(3)]).astype(str)
    runs = np.repeat(np.arange(9), 20)
    fold = stimuli.astype(int) % 5
    for split, pieces in zip(splits_of(fold), held_out_units(splits_of(fold), runs, stimuli), strict=True):
        np.testing.assert_array_equal(np.sort(np.concatenate(pieces)), split.test)
        assert len(pieces) == 3 and not set(stimuli[pieces[0]]) & set(stimuli[pieces[1]])
    for pieces in held_out_units(splits_of(fold), runs):  # four rows of a run each
        assert min(map(len, pieces)) >= 10
    by_run = held_out_units(splits_of(runs), runs, stimuli)
    assert [len(p) for p in by_run] == [1] * 9 and len(by_run[0][0]) == 20


def interval_covers(seed, weights):
    rng = np.random.default_rng(seed)
    stimuli = np.concatenate([rng.permutation(60) for _ in range(3)])
    features = rng.normal(size=(60, 6))
    Y = (0.3 * features @ weights + rng.normal(size=(60, 5)))[stimuli] + rng.normal(size=(180, 5))
    import pandas as pd

    trials = pd.DataFrame(
        {"stimulus_id": stimuli.astype(str), "run": np.repeat(np.arange(6), 30), "onset": np.arange(180.0)}
    )
    found = evaluate_encoding(VoxelwiseEncoder(inner_folds=3, model="ridge"), {"f": features[stimuli]}, Y,
                              split_by(trials, "stimulus_id", n_folds=5, seed=seed), runs=trials["run"].to_numpy(),
                              stimuli=stimuli.astype(str), n_surrogates=0, controls=(), design="trials", unique=False)  # fmt: skip
    row = found.scores.iloc[0]
    return row["value"], row["low"], row["high"]


@pytest.mark.slow
def test_intervals_of_trials_are_over_stimuli():
    """What features miss of a stimulus comes back in its repetitions: intervals over runs as if they were independent held 0.77 of the time."""
    weights = np.random.default_rng(7).normal(size=(6, 5))
    value, low, high = np.array([interval_covers(seed, weights) for seed in range(120)]).T
    assert np.mean((low <= value.mean()) & (value.mean() <= high)) > 0.9


def test_intervals_hold_where_nothing_is_there():
    """Each two folds agree by chance in both their scores: intervals as if folds were independent held 0.83 of the time."""
    runs, held = np.repeat(np.arange(8), 20), []
    model = VoxelwiseEncoder(model="ridge", alphas=[30.0], inner_folds=2, dtype="float64")
    for seed in range(80):
        rng = np.random.default_rng(seed)
        found = evaluate_encoding(model, {"a": rng.normal(size=(160, 3))}, rng.normal(size=(160, 3)), splits_of(runs), runs=runs,
                                  n_surrogates=0, unique=False, controls=())  # fmt: skip
        row = found.scores.iloc[0]
        held.append(row["low"] <= -0.01 <= row["high"])  # the expected score is a little below 0
    assert np.mean(held) > 0.9


def test_delays_among_the_columns_and_scales_of_divided_runs_are_told(simulate):
    class Standardised(np.ndarray):
        standardise = "run"

    data = simulate(n_runs=2, per_run=40, n_targets=3)
    fold = np.tile(np.repeat([0, 1], 20), 2)  # halves of each run
    how = {"runs": data.runs, "n_surrogates": 0, "unique": False, "controls": ()}
    model = VoxelwiseEncoder(model="ridge", alphas=[1.0], inner_folds=2)
    plain = evaluate_encoding(model, data.bands, data.Y, splits_of(fold), **how).notes
    assert not any("the longest delay" in n or "variance 1" in n for n in plain)
    told = evaluate_encoding(model, data.bands, data.Y.view(Standardised), splits_of(fold), reach=3, **how).notes
    assert any("12 training rows" in n and "within 3 rows, the longest delay" in n for n in told)
    assert any("2 runs stand on both sides" in n for n in told)
    whole = evaluate_encoding(model, data.bands, data.Y.view(Standardised), data.splits, **how).notes
    assert not any("variance 1" in n for n in whole)
