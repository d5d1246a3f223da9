"""Five ways to be fooled, each measured on pure noise or known truth, and each caught.

The effects are those of the research notes: block design 62 % where the truth is 10 %; selecting features on all data 83 %
where it is 50 %; the best of 40 epochs on test rows +6 points; raw products and duplicated candidates; averaging.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from braindec.errors import BraindecError
from braindec.evaluate.audit import audit
from braindec.evaluate.retrieval import evaluate_retrieval
from braindec.evaluate.splits import split_by
from braindec.types import FitRecord, Recording, Split, Windows


def ridge_accuracy(X, y, splits, penalty=1.0) -> float:
    """Accuracy of ridge classification over folds; features scaled on training rows."""
    hits = []
    for s in splits:
        mean, scale = X[s.train].mean(axis=0), X[s.train].std(axis=0)
        a, b = (X[s.train] - mean) / scale, (X[s.test] - mean) / scale
        hot = np.eye(y.max() + 1)[y[s.train]]
        weights = np.linalg.solve(a.T @ a + penalty * len(a) * np.eye(a.shape[1]), a.T @ (hot - hot.mean(axis=0)))
        hits.append((b @ weights + hot.mean(axis=0)).argmax(axis=1) == y[s.test])
    return float(np.mean(np.concatenate(hits)))


def random_folds(windows, n_folds=5) -> list[Split]:
    order = np.random.default_rng(0).permutation(len(windows))
    return [
        Split(np.setdiff1d(order, order[k::n_folds]), [], order[k::n_folds], "random", windows.ids)
        for k in range(n_folds)
    ]


def pure_noise(seed, labels, *, n_channels=32, step=2.0, sfreq=50.0) -> Windows:
    """One recording of 1/f noise that knows nothing of the labels; windows of 1 s."""
    rng = np.random.default_rng(seed)
    n_times = int((len(labels) * step + 2) * sfreq)
    f = np.fft.rfftfreq(n_times)
    spectrum = rng.normal(size=(n_channels, len(f))) + 1j * rng.normal(size=(n_channels, len(f)))
    spectrum[:, 1:] /= f[1:] ** 0.75
    data = np.fft.irfft(spectrum, n_times, axis=1)
    onset = np.arange(len(labels)) * step
    names = [f"E{i}" for i in range(n_channels)]
    recording = Recording(
        data.astype("f4"), sfreq, pd.DataFrame({"name": names, "type": "eeg"}), info={"subject": "01", "run": "1"}
    )
    block = np.cumsum(np.r_[False, labels[1:] != labels[:-1]])
    trials = pd.DataFrame({"onset": onset, "duration": 1.0, "trial_type": labels, "block": block.astype(str)})
    return Windows((recording,), np.c_[np.zeros(len(labels), int), (onset * sfreq).astype(int)], int(sfreq), trials)


def test_block_design_of_pure_noise():
    rng = np.random.default_rng(0)
    blocks = np.repeat(np.concatenate([rng.permutation(10) for _ in range(2)]), 20)  # 10 classes, 2 blocks of 20 each
    names = np.array([f"class {i}" for i in blocks])
    windows = pure_noise(1, names)
    X = windows.load().mean(axis=2)
    shuffled, by_block = random_folds(windows), split_by(windows, "block", n_folds=10)
    inflated, honest = ridge_accuracy(X, blocks, shuffled), ridge_accuracy(X, blocks, by_block)
    assert inflated > 0.45 and honest < 0.2  # chance is 0.1
    with pytest.raises(BraindecError, match="neighbouring windows"):
        split_by(windows, "random", n_folds=5)
    found = audit(windows, shuffled)
    assert {f.check for f in found.at("fail")} >= {"block_design"}
    assert {f.check for f in found.at("warn", "fail")} >= {"block_design", "time_adjacency"}
    assert found.of("block_design")[0].evidence["neighbour_agreement"] > 0.9
    assert not [f for f in audit(windows, by_block).at("warn", "fail") if f.check == "block_design"]
    # the same noise with trials in random order carries nothing, however it is split, and is not accused of a block design
    mixed = rng.permutation(blocks)
    randomised = pure_noise(1, np.array([f"class {i}" for i in mixed]))
    assert ridge_accuracy(X, mixed, random_folds(randomised)) < 0.17
    assert {f.level for f in audit(randomised, random_folds(randomised)).of("block_design")} == {"pass"}


def test_features_selected_on_all_rows():
    inflated, honest = [], []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        X, y = rng.normal(size=(80, 2000)), np.repeat([0, 1], 40)
        windows = Windows.from_arrays(
            X[:, :, None], {"trial_type": y, "run": np.tile(np.repeat(list("12345"), 8), 2)}, sfreq=1.0
        )
        splits = split_by(windows, "run")

        def best(rows, X=X, y=y):
            difference = X[rows][y[rows] == 1].mean(axis=0) - X[rows][y[rows] == 0].mean(axis=0)
            return np.argsort(-np.abs(difference))[:10]

        everywhere = best(np.arange(80))
        inflated.append(ridge_accuracy(X[:, everywhere], y, splits))
        honest.append(np.mean([ridge_accuracy(X[:, best(s.train)], y, [s]) for s in splits]))
        if seed == 0:
            leak = [(s, [FitRecord.of("SelectBest", windows.ids)]) for s in splits]
            clean = [(s, [FitRecord.of("SelectBest", windows.ids[s.train])]) for s in splits]
            found = audit(windows, splits, records=leak, checks=["fit_scope"])
            assert found.level == "fail" and "SelectBest was fitted on 16 test rows" in found.findings[0].message
            assert audit(windows, splits, records=clean, checks=["fit_scope"]).level == "pass"
    assert np.mean(inflated) > 0.75
    assert abs(np.mean(honest) - 0.5) < 0.06


def test_best_epoch_chosen_on_test_rows():
    gains = []
    for seed in range(200):  # 40 epochs whose true accuracy is 25 % all along, tested on 200 items
        epochs = np.random.default_rng(seed).binomial(200, 0.25, size=40) / 200
        gains.append(epochs.max() - 0.25)
    assert 0.05 < np.mean(gains) < 0.075
    trials = pd.DataFrame({"stimulus_id": [f"s{i}" for i in range(1000)], "onset": np.arange(1000.0) * 2})
    split = split_by(trials, "stimulus_id", n_folds=5, validation=0.1)[0]
    ids = split.ids
    on_test = FitRecord.of("EarlyStopping", ids[split.test], purpose="selection")
    on_validation = FitRecord.of("EarlyStopping", ids[split.validation], purpose="selection")
    fitted = FitRecord.of("NICE", ids[split.train])
    found = audit(trials, split, records=[fitted, on_test])
    assert [f.check for f in found.at("fail")] == ["test_selection"]
    assert "EarlyStopping chose on 200 test rows" in found.of("test_selection")[0].message
    assert audit(trials, split, records=[fitted, on_validation]).level == "pass"


def top1(found) -> float:
    return float(found.scores.value[(found.scores.metric == "top1") & (found.scores.row == "decoded")].iloc[0])


def test_raw_products_and_duplicated_candidates():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(100, 32)) * rng.uniform(0.5, 2.0, size=(100, 1))  # prototypes of unequal length
    true = np.repeat(np.arange(100), 8)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    predicted = unit[true] + rng.normal(size=(800, 32)) * 0.25
    names = np.array([f"s{i}" for i in range(100)])
    arguments = {"true_ids": names[true], "n_permutations": 0, "repetitions": ()}
    cosine = top1(evaluate_retrieval(predicted, vectors, candidate_ids=names, **arguments))
    raw = evaluate_retrieval(predicted, vectors, candidate_ids=names, similarity="dot", **arguments)
    assert top1(raw) < cosine - 0.02 and "raw product" in raw.scores.note.iloc[0]
    # each candidate three times: scored by index, two of three right answers count as wrong
    tripled, three_names = np.repeat(vectors, 3, axis=0), np.repeat(names, 3)
    score = (predicted @ (tripled / np.linalg.norm(tripled, axis=1, keepdims=True)).T) + rng.normal(
        size=(800, 300)
    ) * 1e-9
    by_index = np.mean(score.argmax(axis=1) == 3 * true)
    by_name = evaluate_retrieval(predicted, tripled, candidate_ids=three_names, **arguments)
    assert by_index < 0.5 * cosine
    assert top1(by_name) == cosine and by_name.scores.n_candidates.iloc[0] == 100
    trials = pd.DataFrame({"stimulus_id": names[true]})
    split = split_by(trials, "stimulus_id", n_folds=5)
    found = audit(trials, split, candidates=tripled, candidate_ids=three_names)
    assert [f.check for f in found.at("warn", "fail")] == ["duplicate_candidates"]


def test_averaging_repetitions():
    """One single-trial signal-to-noise ratio; the number of averaged trials alone decides the headline."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(200, 64))
    true = np.repeat(np.arange(200), 80)
    predicted = vectors[true] + rng.normal(size=(len(true), 64)) * 5.5
    found = evaluate_retrieval(
        predicted, vectors, true_ids=true, candidate_ids=range(200), repetitions=(1, 4, 20, 80), n_permutations=0
    )
    curve = found.curve.set_index("k")
    assert curve.top1[1] < 0.15 and 0.3 < curve.top1[4] < 0.6 and curve.top1[20] > 0.95 and curve.top1[80] > 0.99
    assert np.all((curve.low <= curve.top1) & (curve.top1 <= curve.high)) and np.all(np.diff(curve.top1) > 0)
    single = found.scores[found.scores.metric == "top1"].iloc[0]
    assert single.value == pytest.approx(curve.top1[1]) and single.n == 16000 and single.n_items == 200
