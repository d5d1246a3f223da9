"""VoxelwiseEncoder: training rows only, runs apart, planted weights, storage, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone

from braindec.align._columns import inner_folds
from braindec.align.voxelwise import VoxelwiseEncoder
from braindec.errors import BraindecError
from braindec.types.split import hash_ids

ALPHAS = np.logspace(-1, 4, 6)


def encoder(**changes):
    return VoxelwiseEncoder(**{"alphas": ALPHAS, "n_draws": 6, "dtype": "float64", "inner_folds": 3, **changes})


@pytest.mark.parametrize("model", ["ridge", "banded"])
def test_it_predicts_held_out_runs_and_bands_add_up(simulate, model):
    data = simulate(delays=(1, 2), noise=0.5)
    train, test = np.flatnonzero(data.runs != "run 5"), np.flatnonzero(data.runs == "run 5")
    fitted = encoder(delays=(1, 2), model=model).fit(data.bands, data.Y, runs=data.runs, rows=train)
    r = fitted.score(data.bands, data.Y, runs=data.runs, rows=test)
    truth = np.sqrt(data.share.sum(axis=0) / (data.share.sum(axis=0) + 0.25))  # of a perfect model
    assert np.mean(r - truth) > -0.08 and np.corrcoef(r, truth)[0, 1] > 0.8
    parts = fitted.predict_bands(data.bands, runs=data.runs, rows=test)
    whole = fitted.predict(data.bands, runs=data.runs, rows=test)
    np.testing.assert_allclose(sum(parts.values()) + fitted.intercept_, whole, atol=1e-9)
    np.testing.assert_allclose([np.corrcoef(a, b)[0, 1] for a, b in zip(whole.T, data.Y[test].T, strict=True)], r)


def test_nothing_outside_the_training_rows_is_looked_at(simulate):
    data = simulate()
    train = np.flatnonzero(data.runs != "run 2")
    other = {k: v.copy() for k, v in data.bands.items()}
    Y = data.Y.copy()
    held = data.runs == "run 2"
    Y[held] += 100
    other["a"][held] *= -5
    a = encoder().fit(data.bands, data.Y, runs=data.runs, rows=train, ids=data.ids)
    b = encoder().fit(other, Y, runs=data.runs, rows=train, ids=data.ids)
    assert a.coef_.tobytes() == b.coef_.tobytes() and a.intercept_.tobytes() == b.intercept_.tobytes()
    assert a.fitted_on_.hash == hash_ids(data.ids[train]) == a.fit_records_[0].hash
    assert [r.step for r in a.fit_records_] == ["Scaler", "VoxelwiseEncoder"]


def test_features_of_one_run_never_reach_another(simulate):
    data = simulate(delays=(1, 4))
    fitted = encoder(delays=(1, 2, 4)).fit(data.bands, data.Y, runs=data.runs)
    before = fitted.predict(data.bands, runs=data.runs)
    data.bands["a"][data.runs == "run 1"] += 1000
    after = fitted.predict(data.bands, runs=data.runs)
    changed = (before != after).any(axis=1)
    assert changed[data.runs == "run 1"].any() and not changed[data.runs != "run 1"].any()


def test_a_hole_in_the_training_rows_does_not_join_what_was_apart(simulate):
    """Delays are made on whole runs: rows after the hole keep the features from inside it as their past."""
    data = simulate(n_runs=1, per_run=200, delays=(0, 3), noise=0.05)
    train = np.r_[0:80, 120:200]
    fitted = encoder(delays=(0, 3), buffer=3).fit(data.bands, data.Y, runs=data.runs, rows=train)
    r = fitted.score(data.bands, data.Y, runs=data.runs, rows=np.arange(120, 123))
    assert np.nanmedian(r) > 0.9


def test_banded_finds_the_band_that_matters():
    rng = np.random.default_rng(0)
    n = 200
    bands = {"good": rng.normal(size=(n, 3)), "noise": rng.normal(size=(n, 150))}
    Y = bands["good"] @ rng.normal(size=(3, 12)) + 1.5 * rng.normal(size=(n, 12))
    rows, test = np.arange(120), np.arange(120, n)
    scores = {m: encoder(model=m, n_draws=12).fit(bands, Y, rows=rows).score(bands, Y, rows=test).mean()
              for m in ("banded", "ridge")}  # fmt: skip
    assert scores["banded"] > scores["ridge"] + 0.05


def test_large_and_small_units_are_the_same_to_it(simulate):
    """Features are scaled by the training rows: metres or millimetres, same predictions."""
    data = simulate()
    other = {"a": 1e6 * data.bands["a"] + 5e3, "b": data.bands["b"]}
    a = encoder().fit(data.bands, data.Y, runs=data.runs).predict(data.bands, runs=data.runs)
    b = encoder().fit(other, data.Y, runs=data.runs).predict(other, runs=data.runs)
    np.testing.assert_allclose(a, b, atol=1e-6)


def test_targets_that_cannot_be_scored_are_nan_and_counted(simulate):
    data = simulate(n_targets=6)
    data.Y[:, 1], data.Y[7, 4] = 3.0, np.nan
    fitted = encoder().fit(data.bands, data.Y, runs=data.runs)
    assert fitted.fit_.skipped.tolist() == [False, True, False, False, True, False]
    r = fitted.score(data.bands, data.Y, runs=data.runs)
    assert np.isnan(r[[1, 4]]).all() and np.isfinite(r[[0, 2, 3, 5]]).all()


def test_constant_columns_count_as_zero_and_are_told(simulate):
    data = simulate()
    data.bands["a"][:, 2] = 4.0
    fitted = encoder().fit(data.bands, data.Y, runs=data.runs)
    assert np.abs(fitted.coef_[2]).max() == 0 and "1 of 5 columns of band 'a'" in fitted.notes_[0]


class Columns:
    """Responses that are no array: they can be read by blocks of columns only, as a large file should be."""

    def __init__(self, values):
        self.values, self.shape, self.dtype, self.ndim = values, values.shape, values.dtype, 2

    def __getitem__(self, key):
        rows, columns = key
        assert rows == slice(None) and isinstance(columns, slice)
        return self.values[:, columns]

    def __array__(self, *_, **__):
        raise AssertionError("read whole")


def test_responses_are_read_by_blocks_of_columns(simulate):
    data = simulate(n_targets=40)
    train = np.flatnonzero(data.runs != "run 0")
    fits = [
        encoder(n_targets_batch=8).fit(data.bands, Y, runs=data.runs, rows=train) for Y in (Columns(data.Y), data.Y)
    ]
    np.testing.assert_array_equal(fits[0].coef_, fits[1].coef_)
    scores = [fits[0].score(data.bands, Y, runs=data.runs) for Y in (Columns(data.Y), data.Y)]
    np.testing.assert_array_equal(*scores)


def test_clone_and_seed(simulate):
    data = simulate()
    first = encoder(delays=(1, 2), n_draws=4, seed=3)
    second = clone(first)
    assert str(second.get_params()) == str(first.get_params())
    a, b = (e.fit(data.bands, data.Y, runs=data.runs).coef_ for e in (first, second))
    assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("model", ["ridge", "banded"])
def test_saved_and_loaded(simulate, tmp_path, model):
    data = simulate()
    data.Y[:, 0] = 0.0
    fitted = encoder(delays=(0, 1), model=model).fit(data.bands, data.Y, runs=data.runs, ids=data.ids)
    found = VoxelwiseEncoder.load(fitted.save(tmp_path / "encoder"))
    np.testing.assert_array_equal(found.predict(data.bands, runs=data.runs), fitted.predict(data.bands, runs=data.runs))
    assert found.fitted_on_.hash == fitted.fitted_on_.hash and found.delays == [0, 1]
    assert (found.gamma_ is None) == (model == "ridge")
    np.testing.assert_array_equal(found.alpha_, fitted.fit_.alpha)
    again = VoxelwiseEncoder.load(found.save(tmp_path / "again"))  # what was loaded can be saved
    np.testing.assert_array_equal(again.coef_, fitted.coef_)
    (tmp_path / "encoder" / "encoder.safetensors").write_bytes(b"broken")
    with pytest.raises(BraindecError, match="damaged"):
        VoxelwiseEncoder.load(tmp_path / "encoder")
    with pytest.raises(BraindecError, match="no saved encoder"):
        VoxelwiseEncoder.load(tmp_path)


def test_inner_folds_hold_out_groups_then_runs_then_blocks():
    runs = np.repeat([1, 2, 3, 4], 10)
    for train, test in inner_folds(40, 5, runs=runs, groups=None):
        assert not set(runs[train]) & set(runs[test])
    groups = np.tile(np.arange(8), 5)
    found = inner_folds(40, 3, runs=runs, groups=groups)
    assert len(found) == 3 and all(not set(groups[a]) & set(groups[b]) for a, b in found)
    for train, test in inner_folds(40, 4, runs=np.repeat([1, 2], 20), groups=None, buffer=2):
        assert np.ptp(test) == len(test) - 1
        own = train[(train < 20) == (test[0] < 20)]
        assert not len(own) or np.abs(own[:, None] - test[None]).min() > 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b, y: ({"a": b["a"][:-1], "b": b["b"]}, y), "rows of band 'a' do not fit"),
        (lambda b, y: (b, y[:-5]), "rows of band 'a' do not fit"),
        (lambda b, y: ({}, y), "at least one band"),
        (lambda b, y: (b, y[:, 0]), "matrix of"),
        (lambda b, y: ({"a": b["a"][:, 0]}, y), "band 'a' is not a matrix"),
    ],
)
def test_shapes_that_do_not_fit(simulate, change, message):
    data = simulate()
    bands, Y = change(data.bands, data.Y)
    with pytest.raises(BraindecError, match=message):
        encoder().fit(bands, Y)


def test_a_feature_that_is_not_finite_is_named(simulate):
    data = simulate()
    data.bands["b"][17, 3] = np.nan
    with pytest.raises(BraindecError, match=r"(?s)band 'b'.*column 3, row 17"):
        encoder().fit(data.bands, data.Y)


def test_options_and_bands_that_are_unknown(simulate):
    data = simulate()
    for option in ({"model": "lasso"}, {"scoring": "mse"}, {"dtype": "int8"}, {"inner_folds": 1}, {"buffer": -1}):
        with pytest.raises(BraindecError):
            encoder(**option).fit(data.bands, data.Y)
    with pytest.raises(BraindecError, match="not fitted"):
        encoder().predict(data.bands)
    fitted = encoder().fit(data.bands, data.Y)
    with pytest.raises(BraindecError, match="did you mean 'aa'"):
        fitted.predict({"aa": data.bands["a"], "b": data.bands["b"]})
    with pytest.raises(BraindecError, match="another number of columns"):
        fitted.predict({"a": data.bands["b"], "b": data.bands["a"]})
    with pytest.raises(BraindecError, match="was not fitted"):
        fitted.predict({**data.bands, "c": data.bands["a"]})
    with pytest.raises(BraindecError, match="runs need one label"):
        encoder().fit(data.bands, data.Y, runs=data.runs[:-1])


def test_features_far_outside_the_training_range_do_not_blow_up(simulate):
    data = simulate(n_targets=4)
    bands = {k: v.copy() for k, v in data.bands.items()}
    split = data.splits[0]
    name = next(iter(bands))
    bands[name][:, 0] = 0.0
    bands[name][split.train[0], 0] = 1e-3  # hardly moves in training
    near = encoder().fit(bands, data.Y, runs=data.runs, rows=split.train)
    far = {k: v.copy() for k, v in bands.items()}
    far[name][split.test[3], 0] = 1.0
    held = near.predict(far, runs=data.runs, rows=split.test)
    far[name][split.test[3], 0] = 1.5e-3  # the edge of what is held: the training range, half as wide again
    assert np.array_equal(near.predict(far, runs=data.runs, rows=split.test), held)
    far[name][split.test[3], 0] = 1e-3
    assert not np.array_equal(near.predict(far, runs=data.runs, rows=split.test), held)
