"""The null by refitting: the same as fitting again one by one, and p-values that hold their level where naive ones do not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.base import clone

from braindec.align.evaluate_encoding import evaluate_encoding
from braindec.align.refit_null import NullFold, phase_surrogates, refit_scores, stimulus_surrogates
from braindec.align.voxelwise import VoxelwiseEncoder
from braindec.types import Split

ALPHAS = np.logspace(-1, 4, 6)


def encoder(**changes):
    return VoxelwiseEncoder(**{"alphas": ALPHAS, "n_draws": 4, "dtype": "float64", "inner_folds": 3, **changes})


def draws_of(fitted, n_bands):
    return np.ones((1, n_bands)) if fitted.model == "ridge" or n_bands == 1 else np.asarray(fitted.fit_.gammas)


@pytest.mark.parametrize("scoring", ["r2", "r"])
@pytest.mark.parametrize("widths", [(4, 3), (120, 60)], ids=["few columns", "more columns than rows"])
def test_it_is_a_plain_refit(simulate, widths, scoring):
    """All surrogates together give what the encoder gives when it is fitted on each of them: ridge, with delays."""
    data = simulate(n_runs=5, per_run=30, widths=widths, n_targets=7)
    train, test = np.flatnonzero(data.runs != "run 4"), np.flatnonzero(data.runs == "run 4")
    plain = encoder(model="ridge", delays=(0, 1), scoring=scoring)
    fitted = clone(plain).fit(data.bands, data.Y, runs=data.runs, rows=train)
    fold = NullFold(train, test, fitted.folds_, ALPHAS, np.ones((1, 2)))
    made = [*phase_surrogates(4, data.n, data.runs, seed=0), lambda bands: dict(bands)]
    found = refit_scores(data.bands, data.Y, [fold], made, weights=fitted.band_weights(data.bands), delays=(0, 1),
                         runs=data.runs, scoring=scoring, dtype="float64")  # fmt: skip
    truth = [clone(plain).fit(b, data.Y, runs=data.runs, rows=train).score(b, data.Y, runs=data.runs, rows=test)
             for b in (make(data.bands) for make in made)]  # fmt: skip
    np.testing.assert_allclose(found, truth, atol=1e-6)


@pytest.mark.parametrize("widths", [(4, 3), (90, 60)])
def test_banded_with_the_weights_of_each_target(simulate, widths):
    """With the real features' penalties and weights the real features give back the encoder's own score."""
    data = simulate(n_runs=5, per_run=30, widths=widths, n_targets=7)
    train, test = np.flatnonzero(data.runs != "run 4"), np.flatnonzero(data.runs == "run 4")
    fitted = encoder().fit(data.bands, data.Y, runs=data.runs, rows=train)
    fold = NullFold(
        train,
        test,
        fitted.folds_,
        ALPHAS,
        draws_of(fitted, 2),
        np.asarray(fitted.fit_.alpha),
        np.asarray(fitted.fit_.gamma),
    )
    found = refit_scores(data.bands, data.Y, [fold], [lambda bands: dict(bands)], weights=fitted.band_weights(data.bands),
                         delays=(0,), runs=data.runs, dtype="float64")  # fmt: skip
    np.testing.assert_allclose(found[0], fitted.score(data.bands, data.Y, runs=data.runs, rows=test), atol=1e-6)


def test_surrogates_keep_the_bands_that_do_not_vary(simulate):
    data = simulate(n_targets=2)
    for make in (phase_surrogates(1, data.n, data.runs, seed=0, vary=["a"])[0],
                 stimulus_surrogates(1, np.arange(data.n), None, seed=0, vary=["a"])[0]):  # fmt: skip
        made = make(data.bands)
        assert made["b"] is data.bands["b"] and not np.allclose(made["a"], data.bands["a"])
        np.testing.assert_array_equal(make(data.bands)["a"], made["a"])  # the same each time: blocks of targets agree


def contiguous(n, n_folds, buffer):
    """Contiguous blocks with a buffer on both sides."""
    out = []
    for test in np.array_split(np.arange(n), n_folds):
        train = np.setdiff1d(np.arange(n), np.arange(test[0] - buffer, test[-1] + buffer + 1))
        out.append(Split(train, train[:0], test, by="time", ids=np.arange(n).astype(str)))
    return out


def rates(simulated, n, **how):
    """Rates of false positives at 5 %: by refitting, family-wise by the maximum, and of the naive one-sided p of r."""
    refit, family, naive, mean = [], [], [], []
    for seed in range(n):
        bands, Y, splits, more = simulated(np.random.default_rng(seed))
        found = evaluate_encoding(
            encoder(model="ridge" if len(bands) == 1 else "banded", buffer=10, **more.pop("encoder", {})), bands, Y, splits,
            n_surrogates=39, unique=False, controls=(), seed=seed, **more, **how,
        )  # fmt: skip
        refit.append(np.mean(found.p <= 0.05))
        family.append(found.p_max.min() <= 0.05)
        naive.append(np.mean(norm.sf(np.arctanh(found.r) * np.sqrt(len(Y) - 3)) <= 0.05))
        mean.append(found.r.mean())
    print(
        f"refit {np.mean(refit):.3f}, largest {np.mean(family):.3f}, naive {np.mean(naive):.3f}, mean r {np.mean(mean):.3f}"
    )
    return np.mean(refit), np.mean(family), np.mean(naive), np.mean(mean)


@pytest.mark.slow
@pytest.mark.parametrize("penalties", ["chosen", "fixed"])
def test_p_values_hold_their_level_on_smooth_noise(smooth_noise, penalties):
    """Independent smooth series, contiguous folds with a buffer: naive p-values are far off, refitting is not."""

    def simulated(rng):
        return {"a": smooth_noise(rng, 300, 6, 4.0)}, smooth_noise(rng, 300, 4, 4.0), contiguous(300, 4, 15), {}

    refit, family, naive, mean = rates(simulated, 200, penalties=penalties)
    assert 0.03 <= refit <= 0.07, refit
    assert family <= 0.07, family
    assert naive > 0.2  # so the test above could fail
    assert abs(mean) < 0.03


@pytest.mark.slow
@pytest.mark.parametrize("penalties", ["chosen", "fixed"])
def test_p_values_hold_their_level_with_bands_delays_and_runs(smooth_noise, penalties):
    runs = np.repeat(np.arange(4), 60)

    def simulated(rng):
        series = [
            {"a": smooth_noise(rng, 60, 2, 2.0), "b": smooth_noise(rng, 60, 2, 3.0), "Y": smooth_noise(rng, 60, 4, 3.0)}
            for _ in range(4)
        ]
        bands = {k: np.concatenate([s[k] for s in series]) for k in "ab"}
        splits = [Split(np.flatnonzero(runs != k), np.arange(0), np.flatnonzero(runs == k), by="run",
                        ids=np.arange(240).astype(str)) for k in range(4)]  # fmt: skip
        more = {"runs": runs, "encoder": {"delays": (1, 2), "n_draws": 3, "alphas": ALPHAS[::2]}}
        return bands, np.concatenate([s["Y"] for s in series]), splits, more

    refit, family, naive, _ = rates(simulated, 200, penalties=penalties)
    assert 0.03 <= refit <= 0.07, refit
    assert family <= 0.07, family
    assert naive > 0.2


@pytest.mark.slow
@pytest.mark.parametrize("penalties", ["chosen", "fixed"])
def test_p_values_hold_their_level_on_trials(penalties):
    """Stimuli shown three times each, responses that share noise within a stimulus: rows are not independent."""

    def simulated(rng):
        stimuli = np.concatenate([rng.permutation(40) for _ in range(3)])
        features = rng.normal(size=(40, 5))[stimuli]
        Y = rng.normal(size=(40, 4))[stimuli] + 0.5 * rng.normal(size=(120, 4))
        fold = np.arange(40) % 4
        splits = [Split(np.flatnonzero(fold[stimuli] != k), np.arange(0), np.flatnonzero(fold[stimuli] == k), by="stimulus_id",
                        ids=np.arange(120).astype(str)) for k in range(4)]  # fmt: skip
        return {"a": features}, Y, splits, {"stimuli": stimuli, "design": "trials"}

    refit, family, naive, _ = rates(simulated, 200, penalties=penalties)
    assert 0.03 <= refit <= 0.07, refit
    assert family <= 0.07, family
    assert naive > 0.12


@pytest.mark.slow
@pytest.mark.parametrize("model", ["ridge", "banded"])
def test_the_p_value_of_one_band_holds_its_level_beside_another_that_drives_the_responses(smooth_noise, model):
    """The tested band correlates with the band that does it all, and adds nothing."""
    runs, hits, whole = np.repeat(np.arange(4), 60), [], []
    splits = [Split(np.flatnonzero(runs != k), np.arange(0), np.flatnonzero(runs == k), by="run",
                    ids=np.arange(240).astype(str)) for k in range(4)]  # fmt: skip
    for seed in range(120):
        rng = np.random.default_rng(seed)
        cause = smooth_noise(rng, 240, 3)
        bands = {"cause": cause, "tested": 0.8 * cause[:, :2] + 0.6 * smooth_noise(rng, 240, 2)}
        Y = 2 * cause @ rng.normal(size=(3, 4)) / np.sqrt(3) + smooth_noise(rng, 240, 4)
        found = evaluate_encoding(encoder(model=model, alphas=ALPHAS[::2]), bands, Y, splits, runs=runs, n_surrogates=39, unique=False,
                                  controls=(), test_bands=("tested",), seed=seed)  # fmt: skip
        hits.append(np.mean(found.p_unique["tested"] <= 0.05))
        whole.append(np.mean(found.p <= 0.05))
    assert np.mean(whole) > 0.8  # the model as a whole is far above its null
    assert 0.02 <= np.mean(hits) <= 0.07, np.mean(hits)


def test_penalties_of_a_single_band_are_chosen_again_unless_said_otherwise(simulate, monkeypatch):
    """Kept penalties make the p-value of a band too small when bands correlate: "auto" keeps them for all bands only."""
    from braindec.align import evaluate_encoding as module

    seen = []

    def spy(bands, Y, folds, *rest, **how):
        seen.append(folds[0].alpha is None)
        return refit_scores(bands, Y, folds, *rest, **how)

    monkeypatch.setattr(module, "refit_scores", spy)
    monkeypatch.setattr(module, "null_penalties", lambda *a, **k: "fixed")
    data = simulate(n_targets=3, n_runs=4)
    how = {"runs": data.runs, "n_surrogates": 2, "unique": False, "controls": (), "test_bands": ("a",)}
    plain = evaluate_encoding(encoder(), data.bands, data.Y, data.splits, **how)
    assert seen == [False, True] and not any("too small" in n for n in plain.notes)
    kept = evaluate_encoding(encoder(), data.bands, data.Y, data.splits, penalties="fixed", **how)
    assert seen[2:] == [False, False] and any("too small" in n for n in kept.notes)
