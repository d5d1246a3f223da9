"""Units of models against responses with known truth: the score, its controls, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from braindec.align._alignment_encoding import encode, fold_rows
from braindec.align._alignment_null import make_surrogates
from braindec.align._alignment_splits import hold_out
from braindec.align.alignment import align_units
from braindec.errors import BraindecError
from braindec.ridge import fit_ridge
from braindec.types import Features, Windows

REGIONS = np.repeat(["language", "position", "noise"], 12)


def items(n_groups=40, per=4, **more):
    """A table of items in passages."""
    n = n_groups * per
    return pd.DataFrame(
        {
            "stimulus_id": [f"s{i}" for i in range(n)],
            "passage": np.repeat([f"p{k:02d}" for k in range(n_groups)], per),
            **more,
        }
    )


def model(table, *, seed=0, n_layers=3, p=16, shared=0.5, extra=None):
    """Units that items of a passage share in part; ``extra`` (n, q) is added to every layer as further units."""
    rng = np.random.default_rng(seed)
    codes = pd.factorize(table["passage"])[0]
    parts, units = [], []
    for layer in range(n_layers):
        own = (
            np.sqrt(1 - shared) * rng.normal(size=(len(table), p))
            + np.sqrt(shared) * rng.normal(size=(codes.max() + 1, p))[codes]
        )
        own = own if extra is None else np.concatenate([own, extra], axis=1)
        parts.append(own)
        units.append(pd.DataFrame({"model": "m", "layer": layer, "site": "resid_post", "index": range(own.shape[1])}))
    return Features(np.concatenate(parts, axis=1).astype(np.float32), table, pd.concat(units, ignore_index=True))


def brain(table, features, *, layer=1, snr=1.2, seed=1, passage_noise=0.4, position=0.0):
    """Twelve channels follow one layer, twelve the place in the passage, twelve nothing."""
    rng = np.random.default_rng(seed)
    codes = pd.factorize(table["passage"])[0]
    n, X = len(table), features.load()[:, (features.units["layer"] == layer).to_numpy()]
    signal = X @ rng.normal(size=(X.shape[1], 12))
    place = table.groupby("passage").cumcount().to_numpy(dtype=float)[:, None] * np.ones((1, 12))
    noise = (
        np.sqrt(1 - passage_noise) * rng.normal(size=(n, 36))
        + np.sqrt(passage_noise) * rng.normal(size=(codes.max() + 1, 36))[codes]
    )
    Y = noise
    Y[:, :12] += snr * signal / signal.std(axis=0)
    Y[:, 12:24] += position * (place - place.mean(axis=0)) / place.std(axis=0)
    return Features(Y.astype(np.float32), table, pd.DataFrame({"region": REGIONS}))


@pytest.fixture(scope="module")
def found():
    table = items()
    features = model(table)
    return align_units({"m": features}, brain(table, features, position=1.5), untrained=[model(table, seed=50 + s) for s in range(5)],
                       n_surrogates=60)  # fmt: skip


def test_planted_layer_is_found_by_every_score(found):
    for metric in ("pearson", "rsa", "cka"):
        row = found.rows(metric=metric, row="decoded", region="language").iloc[0]
        assert row["p"] <= 0.05 and row["p_max"] <= 0.05 and row["low"] > 0
        choice = found.choices["m", metric]
        assert (choice.place[:, list(found.regions).index("language")] == 1).all()
        best = found.rows(metric=metric, row="best_layer", region="language").iloc[0]
        assert best["layer"].startswith("1 ") and best["p"] <= 0.05
        noise = found.rows(metric=metric, row="decoded", region="noise").iloc[0]
        assert noise["q"] > 0.02 and abs(noise["value"]) < 0.1


def test_every_control_stands_beside_every_score(found):
    wanted = {
        "decoded",
        "layer",
        "best_layer",
        "refit_null",
        "nuisance",
        "random_units",
        "untrained_mean",
        *(f"untrained_{k}" for k in range(1, 6)),
    }
    for metric, neighbours in (("pearson", "oasm"), ("rsa", "neighbourhood"), ("cka", "neighbourhood")):
        for region in found.regions:
            rows = found.table[(found.table["metric"] == metric) & (found.table["region"] == region)]
            assert wanted | {neighbours} <= set(rows["row"])
            assert (rows["row"] == "layer").sum() == 3
    assert {"unique_r2", "rsa_partial", "cka_partial"} <= set(found.table["metric"])
    language = found.rows(metric="pearson", region="language", model="m").set_index("row")["value"]
    assert language["untrained_mean"] < 0.1 < language["decoded"]
    assert found.rows(row="random_units", region="language", metric="pearson")["p"].iloc[0] <= 1 / 21 + 1e-9
    assert not found.table["leaky"].any()
    assert found.value(metric="unique_r2", row="decoded", region="language") > 0.1


def test_responses_that_follow_position_are_not_called_language():
    table = items()
    place = table.groupby("passage").cumcount().to_numpy(dtype=float)
    length = np.random.default_rng(4).integers(4, 12, len(table)).astype(float)
    table["text"] = [" ".join(["word"] * int(k)) for k in length]
    told = np.stack([place, length], axis=1)  # every network knows place and length, trained or not
    features = model(table, extra=told)
    rng = np.random.default_rng(2)
    Y = (told - told.mean(0)) / told.std(0) @ rng.normal(size=(2, 20)) + rng.normal(size=(len(table), 20))
    found = align_units({"m": features}, Features(Y.astype(np.float32), table), scores=("encoding",), n_surrogates=100,
                        untrained=[model(table, seed=60 + s, extra=told) for s in range(5)])  # fmt: skip
    row = found.rows(row="decoded", metric="pearson").iloc[0]
    assert row["value"] > 0.3 and row["p"] < 0.05
    assert found.value(row="nuisance", metric="pearson") > row["value"] - 0.05
    assert abs(found.value(row="decoded", metric="unique_r2")) < 0.03
    assert found.calls["call"].iloc[0] in ("nuisance", "untrained")
    assert "not called language" in found.calls["words"].iloc[0]


def test_shuffled_split_is_refused_and_marked_when_forced():
    table = items()
    features = model(table)
    data = brain(table, features, passage_noise=0.9)
    for split in ("shuffled", hold_out(table, split="shuffled", ordered=False, groups=np.arange(len(table))).splits):
        with pytest.raises(BraindecError, match="neighbouring items") as error:
            align_units({"m": features}, data, split=split, n_surrogates=0)
        assert "allow_leaky" in str(error.value) and 'split="passage"' in str(error.value)
    found = align_units(
        {"m": features}, data, split="shuffled", scores=("encoding",), n_surrogates=20, allow_leaky=True
    )
    assert found.table["leaky"].all() and found.table["note"].str.startswith("LEAKY").all()
    assert found.value(row="oasm", region="noise") > 0.3  # no content, and yet
    assert {f.check: f.level for f in found.findings}["oasm"] == "fail"
    assert {f.check: f.level for f in found.findings}["shuffled_split"] == "fail"
    assert set(found.calls["call"]) == {"leaky"}
    honest = align_units({"m": features}, data, scores=("encoding",), n_surrogates=0)
    assert honest.value(row="oasm", region="noise") < 0.1


def test_several_columns_that_could_group_are_asked_about():
    table = items()
    table["story"] = np.repeat(["a", "b", "c", "d"], 40)
    with pytest.raises(BraindecError, match="Several columns") as error:
        hold_out(table)
    assert 'split="passage"' in str(error.value) and 'split="story"' in str(error.value)
    assert hold_out(table, split="story").by == "story"
    table["concept_id"] = table["passage"]  # another name for the same groups is no question
    assert hold_out(table.drop(columns="story")).by == "concept_id"


def test_folds_hold_out_whole_neighbouring_passages_with_a_border():
    held = hold_out(items())
    for split in held.splits:
        assert not set(held.groups[split.test]) & set(held.groups[split.train])
        assert (np.diff(split.test) == 1).all()
        assert np.abs(split.train[:, None] - split.test[None]).min() > 6
    assert hold_out(items(), split="time").by == "time"
    lone = pd.DataFrame({"stimulus_id": [f"s{k}" for k in range(30)]})
    assert hold_out(lone).by == "stimulus_id" and not hold_out(lone).ordered


def test_encoding_equals_the_ridge_engine():
    rng = np.random.default_rng(3)
    table = items(20, 4)
    X, Y = rng.normal(size=(80, 12)), rng.normal(size=(80, 7)).astype(np.float32)
    Y[:, :3] += (X[:, :3] * 0.7).astype(np.float32)
    held = hold_out(table, buffer=0)
    folds = fold_rows(held)
    alpha = np.array([0.3])
    ours = encode(X, Y, folds, np.ones((1, 7), dtype=bool), None, alphas=alpha)
    scores = []
    for fold in folds:
        own = X[fold.train]
        scaled = (X - own.mean(0)) / own.std(0)
        gram = np.linalg.eigvalsh(np.cov(scaled[fold.train].T, ddof=0) * len(own)).mean()
        fit = fit_ridge(scaled[fold.train], Y[fold.train], alphas=[alpha[0] * gram], dtype="float64")
        predicted = fit.predict(scaled[fold.test])
        scores.append([np.corrcoef(a, b)[0, 1] for a, b in zip(predicted.T, Y[fold.test].T, strict=True)])
    np.testing.assert_allclose(ours.targets, np.mean(scores, axis=0), atol=2e-5)


def test_surrogate_of_a_fit_is_the_fit_of_a_surrogate():
    rng = np.random.default_rng(5)
    table = items(20, 4)
    X, Y = rng.normal(size=(80, 6)), rng.normal(size=(80, 3)).astype(np.float32)
    held = hold_out(table)
    folds, masks = fold_rows(held), np.ones((1, 3), dtype=bool)
    made = make_surrogates(80, 5, groups=held.groups, runs=None, kind="items", seed=0)
    alphas = np.array([1.0])
    together = encode(X, Y, folds, masks, made, alphas=alphas)
    for s in range(1, 6):
        alone = encode(X, Y[made.orders[s]], folds, masks, None, alphas=alphas)
        np.testing.assert_allclose(together.test[:, s], alone.test[:, 0], atol=1e-5)
    assert all(len(set(held.groups[made.orders[s]][k : k + 4])) == 1 for s in range(6) for k in range(0, 80, 4))


def test_groups_change_places_with_groups_of_their_size():
    labels = np.array(["a"] * 3 + ["b"] * 4 + ["c"] * 3 + ["d"] * 4 + ["e"] * 3 + ["f"] * 4 + ["g"] * 3 + ["h"] * 4)
    labels = np.concatenate([labels, np.char.add(labels, "2"), np.char.add(labels, "3")])
    made = make_surrogates(len(labels), 10, groups=labels, runs=None, kind="items", seed=1)
    assert made.kind == "groups"
    for order in made.orders:
        assert sorted(order) == list(range(len(labels)))
        moved = labels[order]
        for name in np.unique(labels):
            assert len(set(moved[labels == name])) == 1
    few = make_surrogates(90, 10, groups=np.repeat(["a", "b", "c"], 30), runs=None, kind="items", seed=1)
    assert few.kind == "phases"


def test_repetitions_are_averaged_and_give_a_ceiling():
    table = items(30, 4)
    features = model(table)
    rng = np.random.default_rng(0)
    clean = brain(table, features, passage_noise=0.0, snr=1.0).load()[:, :12]
    truth = features.load()[:, 16:32] @ np.random.default_rng(1).normal(size=(16, 12))
    truth /= truth.std(axis=0)
    assert clean.shape == truth.shape
    twice = pd.concat([table.assign(run="1"), table.assign(run="2")], ignore_index=True)
    values = np.concatenate([truth, truth]) + rng.normal(size=(240, 12))
    windows = Windows.from_arrays(
        values[:, :, None].astype(np.float32), twice.assign(onset=np.arange(240.0)), sfreq=1.0
    )
    found = align_units({"m": features}, windows, scores=("encoding",), n_surrogates=20)
    ceiling = found.value(row="ceiling", metric="pearson")
    assert abs(ceiling - np.sqrt(2 / 3)) < 0.05
    raw, normalised = found.value(row="decoded", metric="pearson"), found.value(row="normalised")
    assert abs(normalised - raw / ceiling) < 0.03 and found.ceiling.kind == "repeats"
    assert any("averaged: 120 items" in n for n in found.notes)


def test_nothing_is_clamped():
    table = items()
    features = model(table)
    data = brain(table, features, snr=3.0)
    found = align_units(
        {"m": features}, data, scores=("encoding",), n_surrogates=0, ceiling=np.full(36, 0.06), regions=None
    )
    assert found.value(row="normalised", region="language") > 1.5


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"scores": ("encodng",)}, "no score"),
        ({"comparator": "corr_cov"}, "cannot use the comparator"),
        ({"split": "passages"}, "no column"),
        ({"untrained": {"other": []}}, "unknown model"),
        ({"ceiling": np.ones(3)}, "ceiling does not fit"),
        ({"n_surrogates": -1}, "whole number"),
    ],
)
def test_bad_input(change, words):
    table = items(12, 4)
    features = model(table, n_layers=1)
    with pytest.raises(BraindecError, match=words):
        align_units({"m": features}, brain(table, features, layer=0), **{"n_surrogates": 0, **change})


def test_missing_items_and_other_layers_are_named():
    table = items(12, 4)
    features = model(table, n_layers=2)
    data = brain(table, features)
    with pytest.raises(BraindecError, match="have no features"):
        align_units({"m": features[:40]}, data, n_surrogates=0)
    with pytest.raises(BraindecError, match="other layers"):
        align_units({"m": features}, data, untrained=[model(table, n_layers=1)], scores=("encoding",), n_surrogates=0)
