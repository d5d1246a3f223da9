"""Sites of integration: planted ones are found, side by side is no integration, tests hold their level, bad input is named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from braindec.align._integration_data import Bins, blocks_of, film_folds, film_times, responses_of, subjects_of
from braindec.align._integration_fit import JOINED, BlockSums, Models, band_weights, score_models
from braindec.align._integration_table import correct_sites, region_table
from braindec.align._integration_test import bin_tests, chosen_bins, simes, site_tests, t_test, widening_of
from braindec.align.integration_sites import integration_sites
from braindec.errors import BraindecError
from braindec.loaders.synthetic_movie import made_up_movie, movie_models, movie_recordings
from braindec.signal.coloured_noise import coloured
from braindec.stats.fdr import fdr_bh, fdr_by
from braindec.types import Features, Recording

PLAN = {"multimodal": 4, "linear": 4, "vision": 2, "language": 2, "none": 4}
QUICK = {"tmin": -0.2, "tmax": 1.0, "bin_step": 0.2, "inner_folds": 3, "alphas": np.logspace(0.5, 3.5, 5)}


def simulate(seed, *, duration=600.0, snr=0.6, plan=PLAN, n_subjects=1):
    film = made_up_movie(duration=duration, seed=seed)
    recordings, truth = movie_recordings(
        film, n_subjects=n_subjects, snr=snr, seed=seed, plan=plan, n_shafts=2, sfreq=20.0
    )
    return film, movie_models(film, seed=seed), recordings, truth


def analyse(models, recordings, **options):
    options = {**QUICK, "types": ("word",), "n_bootstrap": 200, **options}
    return integration_sites(recordings, models.features, **{"roles": models.roles, "random": models.random, **options})


@pytest.fixture(scope="module")
def made():
    return simulate(0)


@pytest.fixture(scope="module")
def found(made):
    return analyse(made[1], made[2], controlled=made[1].controlled, types=("word", "cut"))


# ----- what is planted


def test_planted_sites_are_found_and_nothing_else(made, found):
    table = found.table.merge(made[3].sites[["subject", "name", "type"]], on=["subject", "name"])
    assert table.loc[table["is_site"], "type"].eq("multimodal").all()
    assert table.loc[table["type"] == "multimodal", "is_site"].mean() >= 0.75
    assert (table["untrained_q"] > 0.05).all()
    sites = table[table["is_site"]]
    for comparison in ("vision", "language", JOINED, "random", "low_level"):
        low, mean, high = (sites[f"d_{comparison}{end}"] for end in ("_low", "", "_high"))
        assert (low > 0).all() and (low < mean).all() and (mean < high).all()
    lags = made[3].sites.set_index("name")["lag"]
    assert all(abs(row.best_time - lags[row.name]) <= 0.3 for row in sites.itertuples())
    assert (sites["controlled_p"] < 0.05).all() and (sites["d_controlled"] > 0).all()
    assert (
        set(sites["agreement"]) <= {"word", "cut", "both", "together"}
        and (table.loc[~table["is_site"], "agreement"] == "").all()
    )


def test_tables_and_arrays_fit_together(found):
    n = len(found.table)
    assert len(found.times) == 7 and list(found.r) == ["word", "cut"] and list(found.p) == ["word", "cut"]
    assert all(v.shape == (n, 7) for own in found.r.values() for v in own.values())
    assert found.regions["n"].sum() == n and found.regions["sites"].sum() == found.table["is_site"].sum() == len(
        found.sites
    )
    assert found.table["mapped"].all() and set(found.trials) == {"01/word", "01/cut"} and len(found.splits) == 10
    assert np.allclose(found.table["q"], fdr_bh(found.table["p"].to_numpy()))
    together = simes(found.table[["p_word", "p_cut"]].to_numpy())
    assert np.allclose(found.table["p"], together)
    for split, records in found.records:
        assert np.isin(records[0].ids, split.ids[split.train]).all()


def test_the_twin_in_place_of_the_model_integrates_nothing(made):
    _, models, recordings, _ = made
    roles = {**{k: v for k, v in models.roles.items() if k != "multimodal"}, "multimodal_random": "multimodal"}
    assert not analyse(models, recordings, roles=roles, random={}).table["is_site"].any()


def test_the_same_seed_gives_the_same_table_and_windows_give_what_recordings_give(made):
    _, models, recordings, _ = made
    roles = {k: v for k, v in models.roles.items() if k not in ("vision_b", "language_b")}
    options = {"roles": roles, "random": {"multimodal": "multimodal_random"}, "tmin": 0.2, "tmax": 0.4}
    one = analyse(models, recordings, **options)
    two = analyse(models, recordings, **options)
    pd.testing.assert_frame_equal(one.table, two.table)
    windows = subjects_of(recordings[0], Bins(0.2, 0.4, 0.2, 0.2), "trial_type", ["word"])["01"]
    pd.testing.assert_frame_equal(one.table, analyse(models, windows, **options).table)


def test_low_level_features_do_not_make_a_site():
    """An electrode that follows luminance, sound and word rate: a multimodal model that reads these has no lead left."""
    _, models, recordings, _ = simulate(3, plan={"low_level": 4, "none": 2}, snr=2.0)
    low = models.features["low_level"]
    both = models.features["multimodal"]
    told = np.concatenate([both.load(), 3 * low.of(both.ids)], axis=1)
    features = {**models.features, "multimodal": Features.from_array(told, both.ids)}
    blind = {k: v for k, v in models.roles.items() if v != "nuisance"}
    own = integration_sites(recordings, features, roles=blind, random=models.random, types=("word",), **QUICK)
    assert own.table["is_site"][:4].mean() > 0.5  # without them as a band, the model is ahead
    kept = integration_sites(recordings, features, roles=models.roles, random=models.random, types=("word",), **QUICK)
    assert not kept.table["is_site"].any()


# ----- parts against closed forms


def test_folds_are_stretches_of_film_with_a_gap():
    rng = np.random.default_rng(0)
    at = np.concatenate([np.sort(rng.uniform(0, 300, 200)), np.sort(rng.uniform(0, 200, 150))])
    at[50] = at[51]  # a moment that was shown twice
    film = np.repeat([0, 1], [200, 150])
    folds = film_folds(at, film, 5, gap=8.0)
    assert np.array_equal(np.sort(np.concatenate([test for _, test in folds])), np.arange(350))
    for train, test in folds:
        assert np.array_equal(test, np.arange(test[0], test[-1] + 1))
        for f in (0, 1):
            a, b = at[train[film[train] == f]], at[test[film[test] == f]]
            assert not len(a) or not len(b) or np.abs(a[:, None] - b).min() >= 8.0
        assert (50 in test) == (51 in test)
    blocks = blocks_of(at, film, folds, 30.0)
    assert np.array_equal(np.unique(blocks), np.arange(blocks.max() + 1))
    for b in range(blocks.max() + 1):
        rows = np.flatnonzero(blocks == b)
        assert np.ptp(at[rows]) <= 60 and len(set(film[rows])) == 1
        assert sum(np.isin(rows, test).all() for _, test in folds) == 1
    with pytest.raises(BraindecError, match="gap of 200 s"):
        film_folds(at[:200], film[:200], 2, gap=200.0)


def test_scores_equal_ridge_written_out():
    rng = np.random.default_rng(1)
    n, alpha = 300, 40.0
    at = np.sort(rng.uniform(0, 600, n))
    X = {k: rng.standard_normal((n, 3)) for k in ("v", "l", "m", "r", "low")}
    Y = (X["m"] @ rng.standard_normal((3, 4)) + 2 * X["low"][:, :1] + rng.standard_normal((n, 4))).astype(np.float32)
    models = Models(("v",), ("l",), ("m",), ("low",), {"m": "r"})
    options = {
        "at": at,
        "film": np.zeros(n, int),
        "position": True,
        "n_folds": 4,
        "inner_folds": 3,
        "gap": 5.0,
        "block": 30.0,
    }
    scored = score_models(X, Y, models, alphas=[alpha], **options)
    low = np.column_stack([np.ones(n), X["low"], at - at.mean(), (at - at.mean()) ** 2 / 1e4])
    for name in ("v", "m", "r"):
        total = np.zeros(4)
        for train, test in film_folds(at, np.zeros(n, int), 4, gap=5.0):

            def left(values, train=train):
                return values - low @ np.linalg.lstsq(low[train], values[train], rcond=None)[0]

            x, y = left(X[name]), left(Y.astype(float))
            x = (x - x[train].mean(axis=0)) / x[train].std(axis=0)
            w = np.linalg.solve(
                x[train].T @ x[train] + alpha * np.eye(3), x[train].T @ (y[train] - y[train].mean(axis=0))
            )
            total += len(test) * np.array([np.corrcoef(x[test] @ w[:, j], y[test, j])[0, 1] for j in range(4)])
        assert np.allclose(scored.r(name), total / n, atol=2e-4)
    assert (scored.r("m") > 0.4).all() and scored.counts.sum() == n and scored.usable.all()
    assert (np.abs(scored.r(JOINED)) < 0.3).all() and (scored.r("low_level") > 0.3).all()
    flat = Y.copy()
    flat[:, 1] = 2.0
    assert score_models(X, flat, models, alphas=[alpha], **options).usable.tolist() == [True, False, True, True]


def test_responses_are_means_of_bins(made):
    bins = Bins(-0.4, 0.8, 0.2, 0.1)
    windows = subjects_of(made[2][0], bins, "trial_type", ["cut"])["01"]
    rows = np.array([3, 10, 11])
    found = responses_of(windows, rows, bins)
    whole = windows.load(rows).astype(float)
    times = windows.times
    for k, centre in enumerate(bins.centres):
        inside = (times > centre - 0.1 - 1e-9) & (times < centre + 0.1 - 1e-9)
        naive = whole[:, :, inside].mean(axis=2)
        scale = (found[:, :, k] / naive).ravel()
        assert (
            np.corrcoef(found[:, :, k].ravel(), (naive * np.median(found[:, :, k] / naive, axis=0)).ravel())[0, 1]
            > 0.9999
        )
        assert np.isfinite(scale).all()
    assert len(Bins().centres) == 161 and Bins().span == (-2.1, 2.1)  # as published: 161 bins of 200 ms every 25 ms


def test_simes_and_t_equal_their_definitions():
    rng = np.random.default_rng(2)
    p = rng.uniform(size=(5, 9))
    p[0, 3], p[1] = np.nan, np.nan
    for i, own in enumerate(p):
        own = np.sort(own[np.isfinite(own)])
        expected = min((len(own) * own / np.arange(1, len(own) + 1)).min(), 1.0) if len(own) else np.nan
        assert simes(p)[i] == pytest.approx(expected, nan_ok=True)
    values = rng.standard_normal((20, 3)) + 0.8
    d, own = t_test(values * 7, np.full(20, 7), 1.0)
    assert np.allclose(d, values.mean(axis=0)) and np.allclose(
        own, stats.ttest_1samp(values, 0, alternative="greater").pvalue
    )
    assert (t_test(values * 7, np.full(20, 7), 2.0)[1] > own).all()


def test_the_joined_model_can_be_any_unimodal_one():
    weights = band_weights(2, 3)
    assert np.allclose(weights.sum(axis=1), 1) and weights.shape[1] == 5
    for unit in np.eye(5):
        assert (weights == unit).all(axis=1).any()


def block_sums(rng, *, autocorrelated=0.0, lead=0.0):
    n_blocks, n_targets = 40, 200
    noise = rng.standard_normal((n_blocks, n_targets))
    for b in range(1, n_blocks):
        noise[b] += autocorrelated * noise[b - 1]
    sums = {k: 0.1 * rng.standard_normal((n_blocks, n_targets)) for k in ("v", "l", "r", JOINED, "low_level")}
    sums["m"] = noise + lead
    inner = {k: rng.standard_normal((4, n_targets)) for k in ("v", "l", "m", "r", JOINED)}
    return BlockSums(
        sums,
        np.ones(n_blocks),
        np.repeat(np.arange(4), 10),
        np.zeros(n_blocks, int),
        1 / 3,
        inner,
        np.ones(n_targets, bool),
        [0] * 4,
    )


MODELS = Models(("v",), ("l",), ("m",), (), {"m": "r"})


def test_variances_are_widened_for_folds_and_neighbours():
    rng = np.random.default_rng(3)
    wide, rho = widening_of(block_sums(rng), MODELS)
    assert rho < 0.05 and wide == pytest.approx((1 + 4 / 3) * (1 + 2 * rho))
    wide, rho = widening_of(block_sums(rng, autocorrelated=0.6), MODELS)
    assert 0.3 < rho <= 0.5 and wide > 3.5


def test_bins_are_chosen_by_inner_folds_and_read_outside_of_them():
    rng = np.random.default_rng(4)
    found = block_sums(rng, lead=3.0)
    found.inner["m"][:] = -5.0
    for fold, place in enumerate((7, 7, 3, 7)):
        found.inner["m"][fold, [20 + place, 60 + place]] = 9.0  # 10 electrodes of 20 bins
    model, place = chosen_bins(found, MODELS, 10)
    assert (model == 0).all() and place[:, 1].tolist() == [7, 7, 3, 7] and place[:, 3].tolist() == [7, 7, 3, 7]
    out = site_tests(found, MODELS, 10, widening=1.0, n_bootstrap=50, rng=rng)
    rows = found.fold
    expected = np.mean([found.sums["m"][b, 20 + (3 if rows[b] == 2 else 7)] for b in range(40)])
    assert out["r_m"][1] == pytest.approx(expected) and out["bin"][1] == 7 and (out["p"] < 1e-6).all()
    # intersection-union: one rival that is not beaten is enough
    found.sums["l"][:] = found.sums["m"] + 0.1
    assert (site_tests(found, MODELS, 10, widening=1.0)["p"] > 0.5).all()
    assert (bin_tests(found, MODELS, 1.0) > 0.5).all()


def test_several_multimodal_models_are_chosen_between_in_training_rows():
    rng = np.random.default_rng(5)
    found = block_sums(rng, lead=1.0)
    found.sums["m2"], found.inner["m2"] = found.sums["m"] + 5.0, found.inner["m"] + 50.0
    models = Models(("v",), ("l",), ("m", "m2"), (), {"m": "r"})
    out = site_tests(found, models, 10, widening=1.0)
    assert (out["model"] == 1).all() and np.allclose(out["r_best"], out["r_m2"]) and (out["d_random"] > 3).all()


def test_electrodes_of_several_subjects_are_corrected_together():
    p = np.array([0.001, 0.02, 0.03, 0.5, np.nan])
    table = pd.DataFrame({"p": p, "p_word": p, "p_cut": [0.001, 0.9, 0.9, 0.9, np.nan], "region": list("aabbb")})
    made = correct_sites(table)
    assert np.allclose(made["q"], fdr_bh(p), equal_nan=True) and made["agreement"].tolist() == [
        "both",
        "word",
        "word",
        "",
        "",
    ]
    assert np.allclose(correct_sites(table, correction="by")["q"], fdr_by(p), equal_nan=True)
    assert region_table(made)["sites"].tolist() == [2, 1]
    with pytest.raises(BraindecError, match="correction='bf'"):
        correct_sites(table, correction="bf")


# ----- bad input


def test_wrong_roles_names_and_options_are_named(made):
    _, models, recordings, _ = made
    without = {k: v for k, v in models.roles.items() if v != "language"}
    for options, message in (
        ({"roles": {**models.roles, "vision_a": "visual"}}, "the role 'visual'"),
        ({"roles": {**models.roles, "vision_c": "vision"}}, "no features 'vision_c'"),
        ({"roles": without, "random": {}}, "no features have the role 'language'"),
        ({"random": {"multimodal": "vision_a"}}, "twins have none"),
        ({"random": {"with_language": "multimodal_random"}}, "twin of a model that has a role"),
        ({"controlled": ("with_language", "simclr")}, "no features 'simclr'"),
        ({"columns": {"vision": "frame"}}, "no column 'frame'"),
        ({"gap": 0.5}, "overlap with those of training events"),
        ({"types": ("word", "cuts")}, "no event is a 'cuts'.*cut"),
        ({"types": "word"}, "list of event types"),
        ({"type_column": "kind"}, "no column 'kind'"),
        ({"time_column": "film_time"}, "s in the film"),
        ({"combine": "both"}, "combine='both'"),
        ({"correction": "fdr"}, "correction='fdr'"),
        ({"alpha": 0.0}, "rate of false discoveries"),
        ({"bin_width": 0.0}, "width and a step"),
        ({"block": 200.0}, "blocks of film are too few"),
    ):
        with pytest.raises(BraindecError, match=message):
            analyse(models, recordings, **{**options, **({"tmin": 0.2, "tmax": 0.2} if "block" in options else {})})
    with pytest.raises(BraindecError, match="recordings or windows"):
        analyse(models, [1.0])
    with pytest.raises(BraindecError, match="none"):
        analyse(models, [])


def small(models, recordings, **options):
    """Few electrodes, two bins: the input is what is looked at."""
    kept = [r.select(r.ch_names[:3]) for r in recordings]
    return analyse(models, kept, **{"tmin": 0.2, "tmax": 0.4, "random": {}, **options})


def test_events_without_features_are_refused_or_left_out(made):
    _, models, recordings, _ = made
    vision = models.features["vision_a"]
    lacking = replace(models, features={**models.features, "vision_a": vision[np.arange(300, 1200)]})
    with pytest.raises(BraindecError, match="events have no features of 'vision_a'") as error:
        small(lacking, recordings)
    assert "missing='drop'" in str(error.value)
    found = small(lacking, recordings, missing="drop")
    assert any("have no features and are left out" in n for n in found.notes)
    assert len(found.trials["01/word"]) < len(recordings[0].events.query("trial_type == 'word'"))
    broken = vision.load()
    broken[5, 0] = np.nan
    odd = {**models.features, "vision_a": Features.from_array(broken, vision.ids)}
    with pytest.raises(BraindecError, match="'vision_a' are not finite"):
        small(replace(models, features=odd), recordings)


def test_too_few_events_are_left_out_or_refused(made):
    _, models, recordings, _ = made
    found = small(models, recordings, types=("word", "cut"), min_events=400)
    assert list(found.r) == ["word"] and any("fewer than the 400" in n for n in found.notes)
    with pytest.raises(BraindecError, match="too few events"):
        small(models, recordings, min_events=5000)


def test_events_beyond_the_recording_are_said(made):
    _, models, recordings, _ = made
    first = recordings[0]
    late = first.events.assign(onset=first.events["onset"] + 200.0)
    found = small(models, [replace(first, events=late)])
    assert any("lie outside the recording" in n for n in found.notes)
    gone = first.events.assign(onset=first.events["onset"] + 5000.0)
    with pytest.raises(BraindecError, match="no window"):
        small(models, [replace(first, events=gone)])


def test_electrodes_without_places_are_analysed_and_said(made):
    _, models, recordings, _ = made
    first = recordings[0]
    channels = first.channels.copy()
    channels.loc[0, ["x", "y", "z"]] = np.nan
    channels.loc[1, "x"] = 0.3
    found = small(models, [Recording(first.signal, first.sfreq, channels, first.events, first.info)])
    assert found.table["mapped"].tolist() == [False, False, True] and found.table["p"].notna().all()
    assert any("1 of 3 electrodes have no position" in n for n in found.notes)
    assert any("outside the head" in n for n in found.notes)
    nowhere = small(models, [replace(first, info={**first.info, "space": None})])
    assert any("unknown space" in n for n in nowhere.notes)


def test_flat_bad_and_broken_electrodes(made):
    _, models, recordings, _ = made
    first = recordings[0]
    data = first.signal.read(np.arange(3), 0, first.n_times).copy()
    data[0] = 1e-5
    channels = first.channels.head(3).assign(status=["good", "bad", "good"])
    options = {"tmin": 0.2, "tmax": 0.4, "random": {}}
    found = analyse(models, Recording(data, first.sfreq, channels, first.events, first.info), **options)
    assert len(found.table) == 2 and np.isnan(found.table["p"][0]) and np.isfinite(found.table["p"][1])
    assert not found.table["is_site"][0] and any("constant response" in n for n in found.notes)
    data[2, 500:600] = np.nan
    with pytest.raises(BraindecError, match="not finite"):
        analyse(models, Recording(data, first.sfreq, channels, first.events, first.info), **options)


# ----- calibration


def events_of(film, models, every=2):
    """Every second word of a film and the features of each, for tests without recordings."""
    events = film.events()
    events = events[events["trial_type"] == "word"].iloc[::every].reset_index(drop=True)
    column = {
        k: "frame_id" if k.startswith("vision") else "text_id" if k.startswith("language") else "stimulus_id"
        for k in models.features
    }
    return events, {k: f.of(events[column[k]]).astype(float) for k, f in models.features.items()}


def slow_responses(rng, at, n_electrodes, duration, *, exponent=1.0, corner=0.1):
    """Autocorrelated responses at 6 delays after each event, (event, electrode x delay), that follow nothing."""
    noise = coloured(rng, (n_electrodes, round(duration * 10)), 10.0, exponent=exponent, corner=corner)
    rows = np.clip(np.round((at[:, None] + np.arange(-0.25, 1.01, 0.25)) * 10).astype(int), 0, noise.shape[1] - 1)
    return noise[:, rows].transpose(1, 0, 2)


OPTIONS = {
    "position": True,
    "n_folds": 5,
    "inner_folds": 3,
    "gap": 8.0,
    "block": 30.0,
    "alphas": np.logspace(0.5, 3.5, 5),
}


@pytest.mark.slow
def test_each_comparison_holds_its_level_where_nothing_is_predicted():
    """Responses of 1/f noise, some drifting over minutes: 7 % at most of each comparison, and hardly ever all of them."""
    rates, all_of_them, called, covered, n_electrodes = {}, [], 0, [], 60
    for seed in range(8):
        film = made_up_movie(duration=600.0, seed=100 + seed)
        models = movie_models(film, n_units=8, seed=seed)
        events, X = events_of(film, models)
        at, rng = events["movie_time"].to_numpy(), np.random.default_rng([seed, 9])
        exponent, corner = ((1.0, 0.1), (1.5, 0.02))[seed % 2]
        Y = (
            slow_responses(rng, at, n_electrodes, 600, exponent=exponent, corner=corner)
            .reshape(len(at), -1)
            .astype(np.float32)
        )
        roles = Models(
            ("vision_a",), ("language_a",), ("multimodal",), ("low_level",), {"multimodal": "multimodal_random"}
        )
        scored = score_models(X, Y, roles, at=at, film=np.zeros(len(at), int), **OPTIONS)
        widening, _ = widening_of(scored, roles)
        place = chosen_bins(scored, roles, n_electrodes)[1]
        column = (np.arange(n_electrodes) * 6 + place)[scored.fold]
        for comparison, rivals in roles.rivals("multimodal").items():
            part = scored.sums["multimodal"] - (scored.sums[rivals[0]] if rivals else 0.0)
            rates.setdefault(comparison, []).append(
                t_test(np.take_along_axis(part, column, 1), scored.counts, widening)[1] <= 0.05
            )
        out = site_tests(scored, roles, n_electrodes, widening=widening, n_bootstrap=200, rng=rng)
        all_of_them.append(out["p"] <= 0.05)
        called += int((fdr_bh(out["p"]) <= 0.05).any())
        covered.append((out[f"d_{JOINED}_low"] <= 0) & (out[f"d_{JOINED}_high"] >= 0))
    assert {k: float(np.mean(v)) for k, v in rates.items() if np.mean(v) > 0.07} == {}
    assert max(np.mean(v) for v in rates.values()) > 0.02  # it is a test, not a refusal
    assert np.mean(all_of_them) < 0.02 and called <= 1 and np.mean(covered) > 0.93


@pytest.mark.slow
def test_two_equally_good_readings_side_by_side_are_no_integration():
    """The worst case of the intersection: only the joined model keeps up, exactly as good as the multimodal one."""
    rejected, lead, others = [], [], []
    for seed in range(8):
        film = made_up_movie(duration=600.0, seed=200 + seed)
        events, X = events_of(film, movie_models(film, n_units=8, seed=seed))
        at, rng = events["movie_time"].to_numpy(), np.random.default_rng([seed, 10])
        latents = {"frame_id": film.vision[film.at(at)], "text_id": np.stack([film.text[t] for t in events["text_id"]])}

        def reading(column, latents=latents, events=events, rng=rng):
            names, rows = np.unique(events[column], return_inverse=True)
            return latents[column] + rng.standard_normal((len(names), 6))[rows]

        X = {"v": reading("frame_id"), "l": reading("text_id"), "m": np.column_stack([reading("frame_id"), reading("text_id")]),
             "r": rng.standard_normal((len(at), 12)), "low": X["low_level"]}  # fmt: skip
        Y = slow_responses(rng, at, 60, 600)[:, :, :1]
        strength = (0.5, 1.5)[seed % 2]
        for values in latents.values():
            Y[:, :, 0] += strength * values @ rng.standard_normal((6, 60)) / np.sqrt(6)
        roles = Models(("v",), ("l",), ("m",), ("low",), {"m": "r"})
        scored = score_models(X, Y[:, :, 0].astype(np.float32), roles, at=at, film=np.zeros(len(at), int), **OPTIONS)
        out = site_tests(scored, roles, 60, widening=widening_of(scored, roles)[0])
        rejected.append(out["p"] <= 0.05)
        lead.append(out[f"d_{JOINED}"].mean())
        others.append(min(out[f"d_{k}"].mean() for k in ("vision", "language", "random", "low_level")))
    assert min(others) > 0.03 and abs(np.mean(lead)) < 0.02  # all but one comparison hold
    assert 0.001 < np.mean(rejected) < 0.07


@pytest.mark.slow
def test_false_discoveries_and_power_over_simulated_films():
    """20 films: at most 5 % of what is called is not planted, and 80 % of what is planted is called."""
    false, power, linear, untrained = [], [], 0, 0
    for seed in range(20):
        _, models, recordings, truth = simulate(300 + seed)
        roles = {k: v for k, v in models.roles.items() if k not in ("vision_b", "language_b")}
        table = analyse(
            models, recordings, roles=roles, random={"multimodal": "multimodal_random"}, n_bootstrap=0
        ).table
        called, planted = table["is_site"].to_numpy(), truth.planted("01", table["name"])
        false.append((called & ~planted).sum() / max(called.sum(), 1))
        power.append(called[planted].mean())
        linear += int(called[truth.sites["type"].eq("linear").to_numpy()].sum())
        untrained += int((table["untrained_q"] <= 0.05).sum())
    assert np.mean(false) <= 0.05 and np.mean(power) >= 0.8
    assert linear <= 2 and untrained == 0  # of 80 electrodes that follow both side by side, and of 320


def test_a_column_of_films_that_is_not_there_is_named():
    trials = pd.DataFrame({"movie_time": [0.0, 1.0], "clip": ["a", "b"]})
    with pytest.raises(BraindecError, match="no column 'clips'.*did you mean 'clip'"):
        film_times(trials, "movie_time", "clips")
    assert film_times(trials, "movie_time", "clip")[1].tolist() == [0, 1]
    for one in ("film", None):  # the usual column may be missing
        assert film_times(trials, "movie_time", one)[1].tolist() == [0, 0]
