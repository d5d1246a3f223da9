"""Selection by r-squared: the planted channel and frequency, selection outside that lies and inside that does not, runs."""

from __future__ import annotations

import numpy as np
import pytest

from braindec.decoders.r2_selected import R2Selected
from braindec.errors import BraindecError
from braindec.evaluate.crossval import cross_validate
from braindec.evaluate.splits import split_by
from braindec.signal.signed_r2 import best_r2
from braindec.stats.discriminant import TotalScatter, discriminant
from braindec.types import Windows

SFREQ = 100.0


def planted(n=60, channel=2, frequency=11.0, seed=0, runs=3, spoiled=()):
    """A rhythm of one channel is stronger in class "b"; in spoiled runs the labels are wrong."""
    rng = np.random.default_rng(seed)
    y = np.concatenate([rng.permutation(np.repeat(["a", "b"], n // runs // 2)) for _ in range(runs)])
    run = np.repeat([f"{i + 1}" for i in range(runs)], n // runs)
    time = np.arange(200) / SFREQ
    X = rng.normal(size=(n, 5, 200))
    amplitude = np.where(y == "b", 1.2, 0.4)
    X[:, channel] += amplitude[:, None] * np.sin(2 * np.pi * frequency * time + rng.uniform(0, 6.28, (n, 1)))
    for name in spoiled:
        y[run == name] = np.where(y[run == name] == "a", "b", "a")
    return Windows.from_arrays(X.astype("float32"), {"trial_type": y, "run": run}, sfreq=SFREQ), y


def test_the_planted_channel_and_frequency_are_chosen():
    windows, y = planted()
    decoder = R2Selected(n_features=3, order=20).fit(windows, y)
    assert decoder.selected()[0][:2] == ("ch002", 11.0) and decoder.selected()[0][2] > 0.5
    best = decoder.selected()[0]
    assert decoder.r2_[2, list(decoder.freqs_).index(best[1])] == pytest.approx(best[2]) == decoder.r2_.max()
    assert [r.purpose for r in decoder.fit_records_] == ["selection", "fit"]


def test_selection_outside_the_folds_lies_and_inside_does_not():
    """Noise, 80 windows, 2000 log powers: chosen on all windows, 10 features reach 0.83; chosen inside each fold, chance."""
    outside, inside = [], []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        y = np.concatenate([rng.permutation(np.repeat([0, 1], 8)) for _ in range(5)])
        X = rng.normal(size=(80, 80, 100)).astype("float32")
        windows = Windows.from_arrays(X, {"trial_type": y, "run": np.repeat(list("12345"), 16)}, sfreq=SFREQ)
        decoder = R2Selected(n_features=10, order=16, band=(8.0, 32.0))
        power = decoder.powers(windows).reshape(80, -1)
        assert power.shape[1] == 2000
        chosen = power[:, np.argsort(-best_r2(power, y, 2))[:10]]
        hits = []
        for split in split_by(windows, "run"):
            scatter = TotalScatter(chosen[split.train])
            rule = discriminant(scatter, y[split.train][None], 2)
            hits.append(
                (scatter.rotate(chosen[split.test]) @ rule.weights[0] + rule.bias[0]).argmax(1) == y[split.test]
            )
            fitted = R2Selected(n_features=10, order=16, band=(8.0, 32.0)).fit(windows[split.train], y[split.train])
            inside.append(fitted.score(windows[split.test], y[split.test]))
        outside.append(np.concatenate(hits).mean())
    assert np.mean(outside) > 0.75  # 0.83 where the features are independent
    assert abs(np.mean(inside) - 0.5) < 0.06


def test_the_best_set_of_runs_leaves_out_a_spoiled_one():
    windows, y = planted(n=96, runs=4, spoiled=("3",))
    decoder = R2Selected(n_features=2, order=16, runs="best").fit(windows, y)
    assert "3" not in decoder.runs_ and len(decoder.runs_) >= 2
    assert [r.purpose for r in decoder.fit_records_] == ["selection", "selection", "fit"]
    assert len(decoder.fit_records_[0].ids) == 96  # all training runs were looked at to choose
    assert len(decoder.fit_records_[-1].ids) == 24 * len(decoder.runs_)
    clean, labels = planted(n=96, runs=4, seed=5)
    a, b = (R2Selected(n_features=2, order=16, runs=r).fit(windows, y).score(clean, labels) for r in ("best", "all"))
    assert a >= b and a > 0.8
    assert R2Selected(n_features=2, order=16, runs="best").fit(*planted(n=96, runs=4)).runs_ == list(
        "1234"
    )  # ties: more runs


def test_choosing_runs_is_part_of_what_permutations_repeat():
    rng = np.random.default_rng(0)
    y = np.concatenate([rng.permutation(np.repeat(["a", "b"], 5)) for _ in range(4)])
    X = rng.normal(size=(40, 4, 100)).astype("float32")
    windows = Windows.from_arrays(X, {"trial_type": y, "run": np.repeat(list("1234"), 10)}, sfreq=SFREQ)
    found = cross_validate(R2Selected(n_features=2, order=8, runs="best"), windows, y, split_by(windows, "run"),
                           metrics=["balanced_accuracy"], controls=[], n_permutations=19)  # fmt: skip
    assert found.scores["p"].iloc[0] > 0.04


def test_refusals():
    windows, y = planted()
    one = windows[windows.trials["run"] == "1"]
    with pytest.raises(BraindecError, match="2 to 8 training runs"):
        R2Selected(runs="best").fit(one, one.trials["trial_type"].to_numpy())
    with pytest.raises(BraindecError, match="order 150"):
        R2Selected(order=150).fit(windows, y)
