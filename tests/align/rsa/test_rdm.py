"""Dissimilarity matrices: the type, the measures against definitions written out, published numbers and a second tool."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest

from braindec import registry
from braindec.align.rsa.noise import noise_from_repeats
from braindec.align.rsa.rdm import RDMs, cells_to_square, compute_rdm, pair_places, square_to_cells
from braindec.errors import BraindecError
from braindec.types import Features

RNG = np.random.default_rng(0)


def repeats(n: int = 7, p: int = 11, n_runs: int = 3, seed: int = 0, truth: np.ndarray | None = None):
    rng = np.random.default_rng(seed)
    condition, run = np.tile(np.arange(n), n_runs), np.repeat(np.arange(n_runs), n)
    base = np.zeros((n, p)) if truth is None else truth
    return base[condition] + rng.standard_normal((n * n_runs, p)), condition, run


# --- the type


def test_cells_are_the_upper_triangle_row_by_row_and_squares_are_symmetric():
    rdms = RDMs(np.arange(1.0, 13).reshape(2, 6), list("abcd"))
    square = rdms.square()
    assert square[0].tolist() == [[0, 1, 2, 3], [1, 0, 4, 5], [2, 4, 0, 6], [3, 5, 6, 0]]
    assert np.array_equal(square_to_cells(square), rdms.values)
    assert np.array_equal(RDMs.from_square(square, list("abcd")).values, rdms.values)
    assert (len(rdms), rdms.n_conditions, rdms.n_pairs) == (2, 4, 6)


def test_subset_takes_conditions_in_the_order_asked():
    square = RNG.random((3, 8, 8))
    square = square + square.swapaxes(1, 2)
    rdms = RDMs.from_square(square * (1 - np.eye(8)), list("abcdefgh"))
    order = [5, 0, 7, 2]
    part = rdms.subset([rdms.conditions[i] for i in order])
    assert np.allclose(part.square(), rdms.square()[:, order][:, :, order])
    assert list(part.conditions) == ["f", "a", "h", "c"]
    full = rdms.subset(list("hgfedcba"))
    assert np.array_equal(full.aligned_to(rdms).values, rdms.values)
    assert rdms.subset(rdms.conditions) is rdms


def test_places_of_pairs_count_through_the_triangle():
    n = 9
    rows, columns = np.triu_indices(n, 1)
    assert np.array_equal(pair_places(np.arange(n), n), np.arange(len(rows)))
    order = RNG.permutation(n)
    numbers = np.zeros((n, n), dtype=int)
    numbers[rows, columns] = numbers[columns, rows] = np.arange(len(rows))
    assert np.array_equal(pair_places(order, n), numbers[order][:, order][rows, columns])


def test_saved_matrices_come_back_memory_mapped(tmp_path):
    values = RNG.random((3, 10))
    values[1, 4] = np.nan
    table = pd.DataFrame({"subject": ["01", "02", "03"], "time": [0.1, 0.2, 0.3]})
    opened = RDMs(values, list("abcde"), table, "correlation", {"n_units": 12}).save(tmp_path / "x.h5")
    assert np.array_equal(opened.values, values, equal_nan=True) and not opened.values.flags.owndata
    assert opened.table.equals(table) and opened.measure == "correlation" and opened.info == {"n_units": 12}
    assert opened.missing.sum() == 1
    assert list(opened.where(subject=["01", "03"]).table.time) == [0.1, 0.3]
    with pytest.raises(BraindecError, match="does not hold dissimilarity"):
        RDMs.open(Features.from_array(np.ones((2, 2)), "ab").save(tmp_path / "f.h5").values.path)


def test_concat_reorders_and_keeps_tables():
    one = RDMs(np.array([[1.0, 2, 3]]), list("abc"), pd.DataFrame({"subject": ["1"]}), "correlation")
    other = RDMs(np.array([[3.0, 2, 1]]), list("cba"), pd.DataFrame({"subject": ["2"]}), "correlation")
    both = RDMs.concat([one, other])
    assert np.array_equal(both.values, [[1, 2, 3], [1, 2, 3]]) and list(both.table.subject) == ["1", "2"]
    with pytest.raises(BraindecError, match="different measures"):
        RDMs.concat([one, RDMs(np.ones((1, 3)), list("abc"), measure="poisson")])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RDMs(np.ones((1, 4)), list("abc")), "differ in number"),
        (lambda: RDMs(np.ones((1, 3)), ["a", "b", "a"]), "stands twice"),
        (lambda: RDMs(np.ones((1, 3)), list("abc"), pd.DataFrame({"x": [1, 2]})), "table differ"),
        (lambda: RDMs(np.ones((1, 3)), list("abc")).subset(["a", "d"]), "not in the matrices"),
        (lambda: RDMs(np.ones((1, 3)), list("abc")).aligned_to(RDMs(np.ones((1, 3)), list("abd"))), "same conditions"),
        (lambda: RDMs(np.ones((1, 3)), list("abc")).where(subject="1"), "no column"),
        (lambda: RDMs.from_square(RNG.random((3, 3)), list("abc")), "symmetric"),
        (lambda: RDMs.concat([]), "empty"),
    ],
)
def test_what_does_not_fit_is_one_clear_error(make, message):
    with pytest.raises(BraindecError, match=message):
        make()


# --- measures: definitions


def test_measures_equal_their_definitions():
    X = RNG.standard_normal((9, 40)) + 3
    pairs = [(i, j) for i in range(9) for j in range(i + 1, 9)]
    root = RNG.standard_normal((40, 40))
    precision = root @ root.T + np.eye(40)
    counts = RNG.poisson(3.0, (9, 40)).astype(float)
    rate = (counts + 0.1) / 1.1
    truth = {
        "correlation": [1 - np.corrcoef(X[i], X[j])[0, 1] for i, j in pairs],
        "squared_euclidean": [np.mean((X[i] - X[j]) ** 2) for i, j in pairs],
        "mahalanobis": [(X[i] - X[j]) @ precision @ (X[i] - X[j]) / 40 for i, j in pairs],
        "poisson": [np.mean((rate[i] - rate[j]) * np.log(rate[i] / rate[j])) for i, j in pairs],
    }
    for measure, cells in truth.items():
        values = counts if measure == "poisson" else X
        rdm = compute_rdm(values, measure=measure, noise=precision if measure == "mahalanobis" else None)
        assert np.allclose(rdm.values[0], cells, rtol=1e-12, atol=1e-12), measure
        assert rdm.measure == measure and rdm.info["n_units"] == 40
    diagonal = compute_rdm(X, measure="mahalanobis", noise=np.diag(precision))
    assert np.allclose(diagonal.values, compute_rdm(X, measure="mahalanobis", noise=np.diag(np.diag(precision))).values)


@pytest.mark.parametrize("with_noise", [False, True])
def test_crossnobis_is_the_mean_over_left_out_runs(with_noise):
    X, condition, run = repeats(n=6, p=15, n_runs=4)
    root = RNG.standard_normal((15, 15))
    precision = root @ root.T + np.eye(15) if with_noise else np.eye(15)
    rdm = compute_rdm(
        X, measure="crossnobis", conditions=condition, runs=run, noise=precision if with_noise else None
    ).square()[0]
    mean = {(r, c): X[(run == r) & (condition == c)].mean(axis=0) for r in range(4) for c in range(6)}
    for i in range(6):
        for j in range(i):
            folds = []
            for r in range(4):
                train = np.mean([mean[s, i] - mean[s, j] for s in range(4) if s != r], axis=0)
                folds.append(train @ precision @ (mean[r, i] - mean[r, j]) / 15)
            assert rdm[i, j] == pytest.approx(np.mean(folds), abs=1e-12)


def test_poisson_crossvalidated_is_the_mean_over_left_out_runs_and_unbiased():
    counts = np.random.default_rng(2).poisson(4.0, (3, 6, 12)).astype(float)
    rate = (counts + 0.1) / 1.1
    condition, run = np.tile(np.arange(6), 3), np.repeat(np.arange(3), 6)
    rdm = compute_rdm(
        counts.reshape(18, 12), measure="poisson_crossvalidated", conditions=condition, runs=run
    ).square()[0]
    train = [np.delete(rate, r, axis=0).mean(axis=0) for r in range(3)]
    for i, j in [(0, 1), (2, 5)]:
        folds = [np.mean((train[r][i] - train[r][j]) * np.log(rate[r, i] / rate[r, j])) for r in range(3)]
        assert rdm[i, j] == pytest.approx(np.mean(folds), abs=1e-12)
    many = np.random.default_rng(3).poisson(4.0, (18, 4000)).astype(float)
    one = compute_rdm(many, measure="poisson_crossvalidated", conditions=condition, runs=run).values
    plain = compute_rdm(many, measure="poisson", conditions=condition).values
    assert np.abs(one).mean() < 0.03 < 0.1 < plain.mean()


def test_crossnobis_uses_the_runs_that_hold_both_conditions_of_a_pair():
    X, condition, run = repeats(n=5, p=8, n_runs=4, seed=3)
    kept = ~((condition == 2) & (run == 1)) & ~((condition == 4) & (run == 0))
    X, condition, run = X[kept], condition[kept], run[kept]
    rdm = compute_rdm(X, measure="crossnobis", conditions=condition, runs=run)
    square = dict(zip(rdm.conditions, range(5), strict=True))
    for i in range(5):
        for j in range(i):
            shared = [r for r in range(4) if {i, j} <= set(condition[run == r])]
            delta = [X[(run == r) & (condition == i)][0] - X[(run == r) & (condition == j)][0] for r in shared]
            folds = [a @ b / 8 for k, a in enumerate(delta) for m, b in enumerate(delta) if k != m]
            assert rdm.square()[0][square[str(i)], square[str(j)]] == pytest.approx(np.mean(folds), abs=1e-12)
    few = (run < 2) | (condition != 3)
    few &= ~((condition == 3) & (run == 0))
    with pytest.raises(BraindecError, match="two runs that hold both"):
        compute_rdm(X[few], measure="crossnobis", conditions=condition[few], runs=run[few])
    with pytest.raises(BraindecError, match="every condition in every run"):
        compute_rdm(np.abs(X), measure="poisson_crossvalidated", conditions=condition, runs=run)


def test_crossnobis_is_unbiased_and_squared_distances_are_not():
    truth = np.zeros((4, 20))
    truth[1], truth[2, :5] = 0.5, 2.0
    exact = compute_rdm(truth, measure="squared_euclidean").values[0]
    found = {"crossnobis": [], "squared_euclidean": []}
    for seed in range(300):
        X, condition, run = repeats(n=4, p=20, n_runs=3, seed=seed, truth=truth)
        for measure, cells in found.items():
            runs = run if measure == "crossnobis" else None
            cells.append(compute_rdm(X, measure=measure, conditions=condition, runs=runs).values[0])
    error = {m: np.mean(c, axis=0) - exact for m, c in found.items()}
    scatter = np.std(found["crossnobis"], axis=0) / np.sqrt(300)
    assert (np.abs(error["crossnobis"]) < 4 * scatter).all()
    assert (error["squared_euclidean"] > 0.5).all()  # noise of the mean of 3 runs: 2 / 3 a unit


def test_rows_of_a_condition_are_averaged_in_any_order():
    X, condition, run = repeats(n=6, p=9, n_runs=3)
    order = RNG.permutation(len(X))
    means = np.stack([X[condition == c].mean(axis=0) for c in range(6)])
    plain = compute_rdm(means)
    mixed = compute_rdm(X[order], conditions=condition[order]).aligned_to(plain)
    assert np.allclose(plain.values, mixed.values, atol=1e-12)
    cross = compute_rdm(X, measure="crossnobis", conditions=condition, runs=run)
    shuffled = compute_rdm(X[order], measure="crossnobis", conditions=condition[order], runs=run[order])
    assert np.allclose(cross.values, shuffled.aligned_to(cross).values, atol=1e-12)


def test_blocks_of_units_and_features_on_disk_give_the_same(tmp_path, monkeypatch):
    X = (RNG.standard_normal((12, 700)) + 50).astype(np.float32)
    whole = {m: compute_rdm(np.abs(X), measure=m).values for m in ("correlation", "squared_euclidean", "poisson")}
    monkeypatch.setattr("braindec.align.rsa._patterns._BLOCK", 12 * 100)
    features = Features.from_array(np.abs(X), [f"s{i}" for i in range(12)]).save(tmp_path / "f.h5")
    for measure, cells in whole.items():
        rdm = compute_rdm(features, measure=measure)
        assert np.allclose(rdm.values, cells, rtol=1e-9, atol=1e-12)
        assert list(rdm.conditions) == list(features.ids)


@pytest.mark.parametrize("name", registry.names("align.rsa.rdms"))
def test_each_measure_is_symmetric_in_the_order_of_conditions_and_reads_like_its_name(name):
    measure = registry.get("align.rsa.rdms", name)
    assert measure.name == name and measure.version and measure.describe and measure.unit
    X, condition, run = repeats(n=5, p=12, n_runs=2)
    X = np.abs(X)
    runs = run if measure.runs else None
    one = compute_rdm(X, measure=name, conditions=condition, runs=runs)
    back = compute_rdm(X[::-1], measure=measure, conditions=condition[::-1], runs=None if runs is None else runs[::-1])
    assert np.allclose(one.values, back.aligned_to(one).values, atol=1e-10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"measure": "corelation"}, "did you mean 'correlation'"),
        ({"measure": "crossnobis"}, "needs the run of each row"),
        ({"measure": "crossnobis", "runs": ["1"] * 6}, "at least 2 runs"),
        ({"measure": "poisson"}, "not negative"),
        ({"conditions": ["a"] * 6}, "at least 2 conditions"),
        ({"conditions": ["a", "b"]}, "one condition"),
        ({"measure": "mahalanobis", "noise": np.eye(3)}, "does not fit"),
        ({"measure": "mahalanobis", "noise": -np.eye(5)}, "positive definite"),
        ({"measure": "mahalanobis", "noise": np.zeros(5)}, "positive"),
        ({"measure": "correlation", "noise": np.eye(5)}, "takes no noise"),
    ],
)
def test_what_a_measure_cannot_do_is_one_clear_error(arguments, message):
    with pytest.raises(BraindecError, match=message):
        compute_rdm(np.random.default_rng(1).standard_normal((6, 5)), **arguments)


def test_patterns_without_variance_or_with_gaps_are_named():
    X = RNG.standard_normal((4, 30))
    X[2] = 0.1  # not exactly representable: rounding must not pass for variance
    with pytest.raises(BraindecError, match="condition 'c'"):
        compute_rdm(X, conditions=list("abcd"))
    assert np.isfinite(compute_rdm(X, measure="squared_euclidean").values).all()
    X[1, 7] = np.nan
    with pytest.raises(BraindecError, match="row 1, unit 7"):
        compute_rdm(X)


# --- published numbers, and a second tool


def test_parity_with_published_matrices(shared):
    known = np.load(shared("rsa_rdm.npz", kind="parity"))
    repeated = {"conditions": known["cond"], "runs": known["run"]}
    noise = known["prec_shrinkage_diag"]
    cases = {
        "rdm_euclidean": compute_rdm(known["X"], measure="squared_euclidean"),
        "rdm_correlation": compute_rdm(known["X"]),
        "rdm_poisson": compute_rdm(known["Xpois"], measure="poisson"),
        "rdm_crossnobis_identity": compute_rdm(known["Xrep"], measure="crossnobis", **repeated),
        "rdm_crossnobis_shrinkdiag": compute_rdm(known["Xrep"], measure="crossnobis", noise=noise, **repeated),
        "rdm_mahalanobis_shrinkdiag": compute_rdm(known["Xrep"], measure="mahalanobis", noise=noise, **repeated),
    }
    for key, rdm in cases.items():
        assert np.abs(rdm.values[0] - known[key]).max() <= 1e-10, key


def test_a_second_tool_agrees_on_other_data():
    toolbox = pytest.importorskip("rsatoolbox")
    X, condition, run = repeats(n=7, p=11, n_runs=3, seed=5)
    counts = np.random.default_rng(6).poisson(4.0, X.shape).astype(float)
    noise = noise_from_repeats(X, condition).precision
    for ours, theirs, values, precision in [
        ("crossnobis", "crossnobis", X, noise), ("crossnobis", "crossnobis", X, None),
        ("mahalanobis", "mahalanobis", X, noise), ("poisson", "poisson", counts, None),
    ]:  # fmt: skip
        data = toolbox.data.Dataset(values, obs_descriptors={"condition": condition, "run": run})
        folds = {"cv_descriptor": "run"} if ours == "crossnobis" else {}
        want = toolbox.rdm.calc_rdm(data, method=theirs, descriptor="condition", noise=precision, **folds)
        got = compute_rdm(values, measure=ours, conditions=condition, runs=run, noise=precision)
        assert np.abs(got.values[0] - want.get_vectors()[0]).max() < 1e-10, (ours, precision is None)


@pytest.mark.slow
def test_a_thousand_conditions_of_twenty_thousand_units_take_a_second():
    X = np.random.default_rng(0).standard_normal((1000, 20_000), dtype=np.float32)
    began = time.process_time()
    compute_rdm(X)
    assert time.process_time() - began < 2.0  # 0.6 s on an idle core


def test_squares_of_many_matrices_keep_leading_axes():
    cells = RNG.random((2, 3, 10))
    assert cells_to_square(cells).shape == (2, 3, 5, 5)
    with pytest.raises(BraindecError, match="upper triangle"):
        cells_to_square(RNG.random((2, 4)))
