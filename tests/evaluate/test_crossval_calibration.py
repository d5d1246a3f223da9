"""Null simulations of the cross-validated p-value, and the coverage of its intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.signal import lfilter

from braindec.decoders.classifier import Classifier
from braindec.evaluate import crossval
from braindec.evaluate._exchange import Exchange
from braindec.evaluate.crossval import cross_validate
from braindec.evaluate.splits import split_by
from braindec.types import Windows

DECODER = Classifier(bin_width=0.25)


def runs_of(rng, *, runs=4, per=16, share=0.5, block=0, drift=0.0, effect=0.0, spread=0.0):
    """Runs of trials: classes in random order (or blocks), drift over trials, an effect that varies by run."""
    if block:
        codes = np.concatenate([np.repeat(rng.permutation(np.arange(per // block) % 2), block) for _ in range(runs)])
    else:
        codes = np.concatenate([rng.permutation((np.arange(per) < share * per).astype(int)) for _ in range(runs)])
    X = rng.normal(size=(runs * per, 3, 8))
    if drift:
        slow = lfilter([1], [1, -drift], rng.normal(size=(runs, per + 50, 3)), axis=1)[:, 50:]
        X += 2 * slow.reshape(-1, 3, 1)
    size = effect + spread * rng.normal(size=runs)
    X[:, 0, 2:5] += (np.repeat(size, per) * codes)[:, None]
    trials = {"run": np.repeat(np.arange(runs), per), "onset": np.tile(2.0 * np.arange(per), runs), "trial_type": codes}
    return Windows.from_arrays(X.astype("float32"), pd.DataFrame(trials), sfreq=8.0), codes


def false_positive_rate(n, by="run", **design):
    hits = 0
    for seed in range(n):
        windows, codes = runs_of(np.random.default_rng(seed), **design)
        splits = split_by(windows, by) if by == "run" else split_by(windows, "time", n_folds=4)
        cv = cross_validate(
            DECODER,
            windows,
            codes,
            splits,
            metrics=("auc",),
            controls=(),
            n_permutations=39,
            n_bootstrap=100,
            seed=seed,
        )
        hits += cv.scores["p"][0] <= 0.05
    return hits / n


@pytest.mark.slow
@pytest.mark.parametrize(
    "design",
    [
        {"runs": 3, "share": 0.25, "per": 20},
        {"runs": 3, "drift": 0.95, "block": 4, "per": 48},
        {"drift": 0.9, "runs": 1, "per": 64, "by": "time"},
    ],
    ids=["rare class", "blocks in drift", "one run with drift in time blocks"],
)
def test_the_p_value_holds_its_level(design):
    assert 0.03 <= false_positive_rate(400, **design) <= 0.07


@pytest.mark.slow
def test_single_rows_of_a_blocked_design_must_not_be_exchanged(monkeypatch):
    """The test above has teeth: exchanging rows where labels come in blocks finds what is not there."""

    def by_row(windows, codes, splits):
        runs = np.unique(windows.trials["run"], return_inverse=True)[1]
        return Exchange(np.arange(len(codes)), runs, runs, "rows", "run")

    monkeypatch.setattr(crossval, "exchange_of", by_row)
    assert false_positive_rate(100, drift=0.95, block=4, per=48) > 0.12


@pytest.mark.slow
@pytest.mark.parametrize(
    ("design", "least"),
    [
        ({"runs": 10, "per": 16}, 0.92),
        ({"runs": 16, "per": 20, "spread": 0.4}, 0.92),
        ({"runs": 6, "per": 24, "spread": 0.3}, 0.90),
        ({"runs": 4, "per": 40}, 0.92),
    ],
    ids=["ten runs", "runs that differ", "six runs that differ", "four runs, by trial"],
)
def test_the_interval_covers_the_score_of_the_procedure(design, least):
    """The expected score of the procedure, over data sets, lies inside about as often as it says."""
    ends, values = [], []
    for seed in range(100):
        windows, codes = runs_of(np.random.default_rng(seed), effect=0.8, **design)
        splits = split_by(windows, "run")
        options = {"metrics": ("auc",), "controls": (), "n_permutations": 0, "n_bootstrap": 200, "seed": seed}
        cv = cross_validate(DECODER, windows, codes, splits, **options)
        ends.append(cv.scores[["low", "high"]].to_numpy()[0])
        values.append(cv.scores["value"][0])
    low, high = np.array(ends).T
    assert least <= np.mean((low <= np.mean(values)) & (np.mean(values) <= high)) <= 1.0
