"""Evaluation of an encoder: planted bands, definitions of every score, controls that catch leaks, counted oddities."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from braindec.align import evaluate_encoding as module
from braindec.align._encoding_setup import null_penalties
from braindec.align.evaluate_encoding import evaluate_encoding, select_targets
from braindec.align.voxelwise import VoxelwiseEncoder
from braindec.errors import BraindecError
from braindec.evaluate.splits import split_by
from braindec.stats.ceilings import noise_ceiling
from braindec.types import FitRecord, Result, Split

ALPHAS = np.logspace(-1, 4, 6)


def encoder(**changes):
    return VoxelwiseEncoder(**{"alphas": ALPHAS, "n_draws": 8, "inner_folds": 3, **changes})


def quick(data, model=None, **how):
    how = {"n_surrogates": 0, "unique": False, "controls": (), "runs": data.runs, **how}
    return evaluate_encoding(model or encoder(model="ridge"), data.bands, data.Y, data.splits, **how)


def test_planted_bands_are_recovered(simulate):
    share = np.zeros((2, 60))
    share[0, :20], share[1, 20:40], share[:, 40:50] = 0.8, 0.8, 0.5  # ten targets have nothing
    data = simulate(n_targets=60, share=share, delays=(1, 2))
    found = evaluate_encoding(encoder(delays=(1, 2)), data.bands, data.Y, data.splits, runs=data.runs, n_surrogates=60,
                              test_bands=("a",), controls=())  # fmt: skip
    truth = share / (share.sum(axis=0) + 1)
    for k, band in enumerate("ab"):
        assert np.corrcoef(found.unique_r2[band], truth[k])[0, 1] > 0.8
        assert np.corrcoef(found.split_r2[band], truth[k])[0, 1] > 0.8
    np.testing.assert_allclose(found.split_r2["a"] + found.split_r2["b"], found.r2, atol=1e-4)
    assert (found.p[:50] < 0.05).all() and (found.q[:50] < 0.05).all() and (found.p_max[:50] < 0.05).all()
    assert (found.p[50:] > 0.02).mean() > 0.7 and (found.p_max[50:] > 0.05).all()
    assert (found.p_unique["a"][:20] < 0.05).all() and np.median(found.p_unique["a"][20:40]) > 0.1


def test_scores_are_their_definitions(simulate):
    data = simulate(n_targets=5)
    found = quick(data, encoder(dtype="float64"), unique=True, controls=("one_penalty",))
    r, r2, less, plain = [], [], [], []
    for split in data.splits:
        how = {"runs": data.runs, "rows": split.train}
        y = data.Y[split.test]

        def score(model, bands, y=y, how=how, split=split, rows=split.test):
            P = clone(model).fit(bands, data.Y, **how).predict(bands, runs=data.runs, rows=rows)
            r = [np.corrcoef(a, b)[0, 1] for a, b in zip(y.T, P.T, strict=True)]
            known = data.Y[split.train].mean(axis=0)  # the baseline is the training mean
            return np.array(r), 1 - ((y - P) ** 2).sum(axis=0) / ((y - known) ** 2).sum(axis=0)

        model = encoder(dtype="float64")
        a, b = score(model, data.bands)
        r.append(a)
        r2.append(b)
        less.append(b - score(model, {"b": data.bands["b"]})[1])
        plain.append(score(model.set_params(model="ridge"), data.bands)[0])
    np.testing.assert_allclose(found.r, np.mean(r, axis=0), atol=1e-9)
    np.testing.assert_allclose(found.r2, np.mean(r2, axis=0), atol=1e-6)
    np.testing.assert_allclose(found.unique_r2["a"], np.mean(less, axis=0), atol=1e-6)
    np.testing.assert_allclose(sum(found.split_r2.values()), found.r2, atol=1e-6)
    np.testing.assert_allclose(found.controls["one_penalty"], np.mean(plain, axis=0), atol=1e-9)


def test_the_table_is_a_result(simulate, tmp_path):
    data = simulate(n_targets=12)
    found = evaluate_encoding(encoder(), data.bands, data.Y, data.splits, runs=data.runs, n_surrogates=20, test_bands=("b",),
                              regions=["V1"] * 6 + ["V2"] * 4 + ["", None], keys={"subject": "01"})  # fmt: skip
    result = Result.open(Result(found.scores, found.arrays(), {"notes": list(found.notes)}).save(tmp_path))
    table = result.scores
    assert list(table.columns[:4]) == ["subject", "metric", "version", "row"]
    assert set(table["row"]) == {"decoded", "refit_null", "one_penalty", "time_only"}
    assert set(table["metric"]) == {"pearson", "r2", "unique_r2", "split_r2"} and set(table["region"]) == {
        "all channels",
        "V1",
        "V2",
    }
    decoded = table[(table["row"] == "decoded") & (table["metric"] == "pearson")].set_index("region")
    np.testing.assert_allclose(decoded.loc["V2", "value"], found.r[6:10].mean(), rtol=1e-6)
    assert decoded["n_targets"].to_dict() == {"all channels": 12, "V1": 6, "V2": 4} and (decoded["n"] == data.n).all()
    assert (decoded["low"] < decoded["value"]).all() and (decoded["value"] < decoded["high"]).all()
    assert np.allclose(decoded["p"], 1 / 21) and (decoded["chance"] == 0).all()
    unique = table[table["metric"] == "unique_r2"]
    assert unique.loc[unique["band"] == "b", "p"].notna().all() and unique.loc[unique["band"] == "a", "p"].isna().all()
    null = table[table["row"] == "refit_null"].set_index("region")
    np.testing.assert_allclose(null.loc["V1", "value"], result.arrays["null/V1"].mean(), rtol=1e-6)
    assert abs(null["value"]).max() < 0.1
    assert result.arrays["p"].shape == (12,) and result.arrays["null/max"].shape == (20,)
    assert [s.name for s, _ in found.records] == [s.name for s in data.splits]
    for split, records in found.records:
        assert all(set(r.ids) == set(data.ids[split.train]) for r in records)


def test_blocks_of_targets_change_nothing(simulate, monkeypatch):
    data = simulate(n_targets=11)
    how = {"n_surrogates": 10, "regions": {"x": [0, 7, 10]}, "unique": True, "controls": ("time_only",)}
    whole = quick(data, **how)
    monkeypatch.setattr(module, "_BLOCK", 4 * data.n)
    parts = quick(data, **how)
    for name, values in whole.arrays().items():
        np.testing.assert_allclose(parts.arrays()[name], values, atol=1e-5, err_msg=name)
    pd.testing.assert_frame_equal(whole.scores, parts.scores, atol=1e-4)
    assert whole.edge == parts.edge


def test_same_seed_same_bytes(simulate):
    data = simulate(n_targets=4)
    a, b, c = (quick(data, n_surrogates=8, seed=s) for s in (1, 1, 2))
    assert a.null.tobytes() == b.null.tobytes() and not np.array_equal(a.null, c.null)


def test_ceilings_of_repeats_normalise_to_one(simulate):
    """A model that knows everything reaches the ceiling: features are the signal itself, stimuli repeat in each run."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(60, 4))
    data = simulate(n_runs=8, n_targets=20)
    data.bands = {"a": np.tile(features, (8, 1))}
    W = rng.normal(size=(4, 20)) / 2
    data.Y = data.bands["a"] @ W + rng.normal(size=(480, 20)) * np.linspace(0.5, 2, 20)
    found = quick(data, repeats=np.tile(np.arange(60), 8))
    truth = (W**2).sum(axis=0) / ((W**2).sum(axis=0) + np.linspace(0.5, 2, 20) ** 2)
    np.testing.assert_allclose(found.ceiling, truth, atol=0.12)
    assert 0.9 < np.nanmedian(found.normalized) < 1.1
    assert "pearson_normalized" in set(found.scores["metric"])
    given = quick(data, ceiling=noise_ceiling(data.Y, np.tile(np.arange(60), 8)))
    np.testing.assert_allclose(given.normalized, found.normalized, atol=1e-6)


def test_targets_that_cannot_be_scored_are_counted(simulate):
    data = simulate(n_targets=6)
    data.Y[:, 0], data.Y[3, 1] = 1.0, np.nan
    data.Y[data.runs == "run 4", 2] = 0.0  # constant in one held-out run
    found = quick(data, n_surrogates=9, regions={"bad": [0, 1], "mixed": [0, 3]})
    assert found.skipped.tolist() == [True, True, True, False, False, False]
    assert np.isnan(found.p[:3]).all() and np.isfinite(found.p[3:]).all() and np.isnan(found.r[:3]).all()
    assert any("3 of 6 targets are constant or not finite" in note for note in found.notes)
    assert "bad" not in set(found.scores["region"])
    mixed = found.scores[(found.scores["region"] == "mixed") & (found.scores["metric"] == "r2")]
    assert mixed["n_targets"].tolist() == [1]
    Result(found.scores)


def test_nothing_at_all_can_be_scored(simulate):
    data = simulate(n_targets=2)
    data.Y[:] = 1.0
    found = quick(data, n_surrogates=5)
    assert np.isnan(found.r).all() and not len(found.scores[found.scores["row"] == "decoded"])
    Result(found.scores, found.arrays())


def test_neighbourhood_in_time_catches_a_leaking_split(simulate, smooth_noise):
    rng = np.random.default_rng(0)
    data = simulate(n_runs=1, per_run=240, n_targets=10)
    data.bands, data.Y = {"a": smooth_noise(rng, 240, 4, 3.0)}, smooth_noise(rng, 240, 10, 3.0)
    leaking = [Split(np.flatnonzero(np.arange(240) // 4 % 5 != k), np.arange(0), np.flatnonzero(np.arange(240) // 4 % 5 == k),
                     by="x", ids=data.ids) for k in range(5)]  # fmt: skip
    honest = split_by(data.trials, "time", n_folds=5, gap=30.0)
    scores = {}
    for name, splits in (("leaking", leaking), ("honest", honest)):
        data.splits = splits
        scores[name] = quick(data, controls=("oasm",)).controls["oasm"].mean()
    assert scores["leaking"] > 0.5 and abs(scores["honest"]) < 0.1
    data.splits = split_by(simulate().trials, "run")
    other = simulate(n_targets=3)
    apart = quick(other, controls=("oasm",))  # nothing is shared between runs
    assert not apart.controls and any("No run stands on both sides" in note for note in apart.notes)


def test_time_only_sees_drift(simulate):
    data = simulate(n_targets=3, share=np.zeros((2, 3)), noise=0.3)
    data.Y[:, 0] += np.tile(np.linspace(-1, 1, 60), 6)
    found = quick(data, controls=("time_only",))
    assert found.controls["time_only"][0] > 0.7 and np.abs(found.controls["time_only"][1:]).max() < 0.3


def test_notes_tell_what_a_reader_must_know(simulate):
    data = simulate(n_targets=4)
    stimuli = np.where(np.arange(data.n) % 2, "", np.tile(np.arange(60), 6).astype(str))
    found = quick(data, encoder(model="ridge", alphas=[1e-9, 1e9]), stimuli=stimuli)
    text = "\n".join(found.notes)
    assert "180 of 180 test stimuli (summed over 6 folds) also occur in training" in text
    assert "penalties (targets x folds) are the lowest of the grid" in text
    assert found.edge["lowest"] + found.edge["highest"] == found.edge["of"] == 24
    apart = quick(data, stimuli=np.arange(data.n))
    assert any(note.startswith("No stimulus of a test part occurs") for note in apart.notes)
    data.splits = split_by(data.trials, "time", n_folds=4)
    near = quick(data, encoder(model="ridge", delays=(1, 2, 3)))
    assert any("within 3 rows, the longest delay" in note for note in near.notes)
    assert any("the smallest possible is 0.1000" in note for note in quick(data, n_surrogates=9).notes)


def test_trials(simulate):
    rng = np.random.default_rng(0)
    stimuli = np.concatenate([rng.permutation(50) for _ in range(2)])
    features = rng.normal(size=(50, 6))
    Y = features[stimuli] @ rng.normal(size=(6, 8)) * np.array([1] * 4 + [0] * 4) + rng.normal(size=(100, 8))
    trials = pd.DataFrame({"stimulus_id": stimuli, "run": np.repeat([1, 2], 50)})
    splits = split_by(trials, "stimulus_id", n_folds=5)
    found = evaluate_encoding(encoder(model="ridge"), {"image": features[stimuli]}, Y, splits, design="trials", stimuli=stimuli,
                              runs=trials["run"], repeats=stimuli, n_surrogates=60, controls=())  # fmt: skip
    assert (found.p[:4] < 0.05).all() and (found.p[4:] > 0.02).all() and (found.ceiling[:4] > 0.5).all()
    assert "permutations of the stimuli" in found.scores.loc[found.scores["row"] == "refit_null", "note"].iloc[0]
    np.testing.assert_allclose(found.unique_r2["image"], found.r2)  # nothing is left without the only band


def test_regions_that_do_not_fit(simulate):
    data = simulate(n_targets=4)
    for regions, message in (
        (["a"], "one label for each target"),
        ({"a": [9]}, "does not fit"),
        ({"all channels": [0]}, "cannot be called"),
    ):
        with pytest.raises(BraindecError, match=message):
            quick(data, regions=regions)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"design": "blocks"}, "design of the evaluation"),
        ({"penalties": "none"}, "penalties of the evaluation"),
        ({"controls": ("time",)}, "did you mean 'time_only'"),
        ({"test_bands": ("c",)}, "no band 'c'"),
        ({"runs": ["a"]}, "runs need one label"),
        ({"stimuli": ["a"]}, "stimuli need one label"),
        ({"ceiling": np.zeros(3)}, "ceiling does not fit"),
        ({"n_surrogates": -1}, "n_surrogates"),
    ],
)
def test_refusals(simulate, how, message):
    with pytest.raises(BraindecError, match=message):
        quick(simulate(n_targets=4), **how)


def test_splits_of_other_rows_and_runs_of_one_row(simulate):
    data = simulate(n_targets=2)
    data.splits = simulate(per_run=50).splits
    with pytest.raises(BraindecError, match="made for other rows"):
        quick(data)
    data = simulate(n_targets=2)
    data.runs = np.r_[["alone"], data.runs[1:]]
    with pytest.raises(BraindecError, match="a run of 1 row has no phase"):
        quick(data, n_surrogates=3)


def test_targets_are_chosen_by_responses_or_training_scores_only(simulate):
    data = simulate(n_runs=3, n_targets=8)
    ceiling = noise_ceiling(data.Y, np.tile(np.arange(60), 3))
    np.testing.assert_array_equal(select_targets(ceiling, 0.1), np.nan_to_num(ceiling.share, nan=-1) > 0.1)
    score = np.array([0.1, 0.5, np.nan, 0.3, 0, 0, 0, 0])
    train_only = FitRecord.of("x", data.ids[data.splits[0].train])
    chosen = select_targets(score, 0.2, fitted_on=train_only, splits=data.splits[:1])
    assert chosen.tolist() == [False, True, False, True] + [False] * 4
    with pytest.raises(BraindecError, match="saw 60 test rows of run-run 1"):
        select_targets(score, 0.2, fitted_on=train_only, splits=data.splits)
    with pytest.raises(BraindecError, match="whose rows are known"):
        select_targets(score, 0.2)
    with pytest.raises(BraindecError, match="whose rows are known"):
        select_targets(score, 0.2, fitted_on=FitRecord.of("x", None), splits=data.splits)


def test_penalties_of_surrogates_are_chosen_where_that_is_affordable_and_the_notes_say_so(simulate):
    data = simulate(n_targets=3)
    assert any("penalties chosen again each time" in note for note in quick(data, n_surrogates=3).notes)
    assert any(
        "penalties kept from the real features" in note for note in quick(data, n_surrogates=3, penalties="fixed").notes
    )
    large = {"a": np.zeros((2000, 400)), "b": np.zeros((2000, 600))}
    assert null_penalties(encoder(), large, 40_000, n_fits=1000) == "fixed"
    assert null_penalties(encoder(model="ridge"), large, 10, n_fits=5) == "chosen"
