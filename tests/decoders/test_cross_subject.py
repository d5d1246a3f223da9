"""CrossSubjectDecoder: learns from several subjects, adapts to a new one with little data, makes up responses, saved whole."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from sklearn.base import clone

from braindec.decoders._batches import Batches
from braindec.decoders._calibration import nested_rows, top1
from braindec.decoders._reading import WindowReader
from braindec.decoders._subject_training import SubjectBatches
from braindec.decoders.cross_subject import CrossSubjectDecoder, calibration_curve
from braindec.errors import BraindecError
from braindec.types import Features, Windows

torch.set_num_threads(1)
QUICK = {"epochs": 12, "encoder_options": {"width": 32}}


def study(*, n_subjects=3, n_train=120, n_test=30, k=6, dim=24, noise=0.5, own=0.5, seed=0, sizes=(40, 34, 46, 30)):
    """Latents drive each subject's voxels and, beside what no brain carries, the features of the images."""
    rng = np.random.default_rng(seed)
    n_items = n_subjects * n_train + n_test
    latents = rng.normal(size=(n_items, k))
    values = latents @ rng.normal(size=(k, dim)) / np.sqrt(k) + own * rng.normal(size=(n_items, dim))
    ids = np.array([f"s{i:04d}" for i in range(n_items)], dtype=object)
    parts, clean = {}, {}
    for s in range(n_subjects):
        name, n_voxels = f"{s + 1:02d}", sizes[s % len(sizes)]
        weights = rng.normal(size=(k, n_voxels)) / np.sqrt(k)
        rows = np.r_[n_test + s * n_train + np.arange(n_train), np.repeat(np.arange(n_test), 2)]
        X = latents[rows] @ weights + noise * rng.normal(size=(len(rows), n_voxels))
        trials = {"stimulus_id": ids[rows], "subject": name, "part": ["train"] * n_train + ["test"] * 2 * n_test,
                  "session": np.where(np.arange(len(rows)) % 2, "1", "2"), "window_id": [f"{name}@{i}" for i in range(len(rows))]}  # fmt: skip
        channels = pd.DataFrame({"name": [f"v{i}" for i in range(n_voxels)], "type": "voxel", "unit": "%",
                                 **dict(zip("xyz", 0.05 * rng.uniform(-1, 1, (3, n_voxels)), strict=True))})  # fmt: skip
        parts[name] = Windows.from_arrays(
            (3 + 2 * X)[:, :, None].astype(np.float32), trials, sfreq=1.0, channels=channels
        )
        clean[name] = latents @ weights
    return parts, Features.from_array(values.astype(np.float32), list(ids)), clean


def part(windows, name):
    return windows[(windows.trials["part"] == name).to_numpy()]


def split(parts):
    return {s: part(w, "train") for s, w in parts.items()}, {s: part(w, "test") for s, w in parts.items()}


def shown(test, features):
    return features[features.rows_of(np.unique(test.trials["stimulus_id"]))]


@pytest.fixture(scope="module", params=["mindeye2", "mindbridge"])
def fitted(request):
    parts, features, clean = study()
    train, test = split(parts)
    new = train.pop("03")
    decoder = CrossSubjectDecoder(encoder=request.param, **QUICK).fit(train, features)
    return decoder, train, new, test, features, clean


def test_it_learns_from_subjects_with_other_voxels(fitted):
    decoder, _, _, test, features, _ = fitted
    candidates = shown(test["01"], features)
    for name in ("01", "02"):
        assert decoder.score(test[name], candidates) > 0.25  # 30 candidates: chance 0.033
        assert decoder.score(test[name], candidates, average=True) > 0.35
    items, means = decoder.embed_items(test["02"])
    embedded, ids = decoder.embed(test["02"]), test["02"].trials["stimulus_id"].to_numpy()
    np.testing.assert_allclose(means[3], embedded[ids == items[3]].mean(axis=0), rtol=1e-5, atol=1e-6)
    hits = decoder.retrieve(test["01"], candidates, n=1)["correct"].mean()
    assert hits == pytest.approx(decoder.score(test["01"], candidates))
    untrained = clone(decoder).set_params(epochs=0).fit(fitted[1], features)
    assert untrained.score(test["01"], candidates) < 0.12


def test_pairs_that_do_not_belong_together_teach_nothing(fitted):
    decoder, train, _, test, features, _ = fitted
    mixed = Features(
        features.values, features.items.assign(stimulus_id=np.random.default_rng(1).permutation(features.ids))
    )
    shuffled = clone(decoder).fit(train, mixed)
    assert shuffled.score(test["01"], shown(test["01"], mixed)) < 0.12


@pytest.mark.parametrize("how", ["reset", "finetune"])
def test_a_new_subject_is_adapted_and_the_shared_part_kept(fitted, how):
    decoder, _, new, test, features, _ = fitted
    before = {k: v.clone() for k, v in decoder.encoder_.state_dict().items()}
    adapted = decoder.adapt(new, features, how=how, epochs=12, n_batches=5)
    after = decoder.encoder_.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before) and decoder.subjects_ == ["01", "02"]
    assert adapted.subjects_ == ["01", "02", "03"] and adapted.epochs == 12
    assert adapted.score(test["03"], shown(test["03"], features)) > 0.25
    made = adapted.encoder_.state_dict()
    kept = all(torch.equal(before[k], made[k]) for k in before)
    assert kept == (how == "reset")
    if how == "reset":
        np.testing.assert_allclose(adapted.embed(test["01"]), decoder.embed(test["01"]), atol=1e-5)
    assert all(p.requires_grad for p in adapted.encoder_.parameters())


def test_same_seed_same_numbers(fitted):
    decoder, train, new, test, features, _ = fitted
    again = clone(decoder).fit(train, features)
    np.testing.assert_array_equal(again.embed(test["01"]), decoder.embed(test["01"]))
    first, second = (decoder.adapt(new, features, epochs=2).embed(test["03"]) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(decoder.adapt(new, features, epochs=2, seed=1).embed(test["03"]), first)


def test_saved_and_loaded_it_gives_the_same_numbers(fitted, tmp_path):
    decoder, _, new, test, features, _ = fitted
    adapted = decoder.adapt(new, features, epochs=2)
    adapted.save(tmp_path / "model")
    again = CrossSubjectDecoder.load(tmp_path / "model")
    assert {p.suffix for p in (tmp_path / "model").rglob("*") if p.is_file()} == {".json", ".safetensors"}
    for name in ("01", "03"):
        np.testing.assert_array_equal(again.embed(test[name]), adapted.embed(test[name]))
    assert again.get_params() == adapted.get_params() and again.subjects_ == adapted.subjects_
    assert [r.hash for r in again.fit_records_] == [r.hash for r in adapted.fit_records_]
    np.testing.assert_array_equal(again.history_["train_loss"], adapted.history_["train_loss"])
    about = tmp_path / "model" / "decoder.json"
    about.write_text(json.dumps({**json.loads(about.read_text()), "decoder": "Other"}))
    with pytest.raises(BraindecError, match="does not hold a CrossSubjectDecoder"):
        CrossSubjectDecoder.load(tmp_path / "model")


def test_interrupted_training_goes_on(fitted, tmp_path, monkeypatch):
    decoder, train, _, test, features, _ = fitted
    expected = clone(decoder).set_params(epochs=4).fit(train, features)
    original, calls = SubjectBatches._pair, [0]

    def interrupted(self, generator):
        calls[0] += 1
        if calls[0] == 12:
            raise KeyboardInterrupt
        return original(self, generator)

    monkeypatch.setattr(SubjectBatches, "_pair", interrupted)
    with pytest.raises(KeyboardInterrupt):
        clone(decoder).set_params(epochs=4, folder=str(tmp_path)).fit(train, features)
    resumed = clone(decoder).set_params(epochs=4, folder=str(tmp_path)).fit(train, features)
    np.testing.assert_array_equal(resumed.embed(test["01"]), expected.embed(test["01"]))


def test_records_name_the_rows_that_were_seen(fitted):
    decoder, train, new, test, features, _ = fitted
    adapted = decoder.adapt(new, features, epochs=1)
    everything = {i for w in train.values() for i in w.ids}
    records = {r.step: set(r.ids) for r in decoder.fit_records_}
    assert records["Targets"] == records[f"{decoder.encoder}: fit"] == everything
    added = adapted.fit_records_[len(decoder.fit_records_) :]
    assert [set(r.ids) for r in added] == [set(new.ids)] * 2 and not any(
        set(r.ids) & set(test["03"].ids) for r in added
    )


def test_voxels_are_standardised_by_training_trials_only(fitted):
    decoder, train, _, test, _, _ = fitted
    X = train["02"].load()[:, :, 0].astype(float)
    seen = decoder.readers_["02"].read(test["02"])[:, :, 0]
    np.testing.assert_allclose(seen, (test["02"].load()[:, :, 0] - X.mean(0)) / X.std(0), atol=1e-4)


def test_each_session_may_have_its_own_numbers():
    parts, features, _ = study(n_subjects=2)
    data = parts["01"].load() + 100 * (parts["01"].trials["session"] == "2").to_numpy(dtype=np.float32)[:, None, None]
    moved = {**parts, "01": Windows.from_arrays(data, parts["01"].trials, sfreq=1.0, channels=parts["01"].channels)}
    kept = [
        CrossSubjectDecoder(**QUICK, scale_by="session").fit(split(p)[0], features).embed(split(p)[1]["01"])
        for p in (parts, moved)
    ]
    np.testing.assert_allclose(kept[0], kept[1], atol=2e-2)


def test_early_stopping_sees_other_stimuli_than_training():
    parts, features, _ = study()
    train, test = split(parts)
    decoder = CrossSubjectDecoder(**QUICK, patience=3, validation_share=0.2).fit(train, features)
    records = {r.step: r for r in decoder.fit_records_}
    held = records["early stopping"]
    by_id = pd.concat([w.trials for w in parts.values()]).set_index("window_id")["stimulus_id"]
    assert held.purpose == "selection" and not set(by_id[held.ids]) & set(by_id[records["Targets"].ids])
    assert 0.1 < len(held.ids) / 360 < 0.3 and not {i for w in test.values() for i in w.ids} & set(held.ids)
    assert "validation_loss" in decoder.history_ and len(decoder.history_["epoch"]) <= 12
    given = {"02": train["02"][:20]}
    other = CrossSubjectDecoder(**QUICK, patience=3).fit({**train, "02": train["02"][20:]}, features, validation=given)
    assert set(other.fit_records_[-1].ids) == set(given["02"].ids)
    with pytest.raises(BraindecError, match="'09' that is not trained"):
        CrossSubjectDecoder(**QUICK, patience=3).fit(train, features, validation={"09": train["02"]})


def test_made_up_responses_are_those_of_the_other_subject():
    """A response of b to what a saw correlates with b's true one, voxel by voxel over images, and images are told apart."""
    parts, features, clean = study(n_train=200)
    train, test = split(parts)
    decoder = CrossSubjectDecoder(encoder="mindbridge", epochs=40, encoder_options={"width": 64, "n_pools": 46}).fit(
        train, features
    )
    made = decoder.synthesize(test["01"], to="02")[:, :, 0]
    truth = clean["02"][features.rows_of(test["01"].trials["stimulus_id"])]
    r = [stats.pearsonr(made[:, v], truth[:, v])[0] for v in range(34)]
    rng = np.random.default_rng(0)
    null = [np.mean([stats.pearsonr(made[:, v], truth[rows, v])[0] for v in range(34)])
            for rows in (np.repeat(rng.permutation(30), 2) * 2 for _ in range(50))]  # fmt: skip
    assert np.mean(r) > 0.35 and np.mean(r) > max(null) + 0.1
    back = decoder.synthesize(test["02"], to="02", space="pooled")
    assert back.shape == (60, 46) and decoder.synthesize(test["02"], to="01").shape == (60, 40, 1)
    seen = decoder.readers_["02"].read(test["02"])[:, :, 0]
    assert (
        np.mean(
            [
                stats.pearsonr(*pair)[0]
                for pair in zip(decoder.synthesize(test["02"], to="02")[:, :, 0].T, seen.T, strict=True)
            ]
        )
        > 0.4
    )


def test_source_trials_lead_the_cycle_into_the_new_subject():
    parts, features, _ = study()
    train, test = split(parts)
    new = train.pop("03")
    decoder = CrossSubjectDecoder(encoder="mindbridge", **QUICK).fit(train, features)
    alone, led = decoder.adapt(new, features, epochs=3), decoder.adapt(new, features, epochs=3, source=train)
    assert not np.array_equal(alone.embed(test["03"]), led.embed(test["03"]))
    np.testing.assert_allclose(led.embed(test["01"]), decoder.embed(test["01"]), atol=1e-5)
    assert set(led.fit_records_[-1].ids) == set(new.ids) | {i for w in train.values() for i in w.ids}


def test_ordered_pooling_takes_the_positions_of_the_voxels():
    parts, features, _ = study(n_subjects=2)
    train, test = split(parts)
    options = {"width": 16, "n_pools": 8, "pooling": "ordered"}
    decoder = CrossSubjectDecoder(encoder="mindbridge", epochs=2, encoder_options=options).fit(train, features)
    order = decoder.encoder_.order_1.numpy()
    assert sorted(order) == list(range(34)) and not np.array_equal(order, np.arange(34))
    stored = np.random.default_rng(0).permutation(34)  # the order in which voxels are stored does not matter
    moved = {s: w if s == "01" else Windows.from_arrays(w.load()[:, stored], w.trials, sfreq=1.0, channels=w.channels.iloc[stored])
             for s, w in train.items()}  # fmt: skip
    other = CrossSubjectDecoder(encoder="mindbridge", epochs=2, encoder_options=options).fit(moved, features)
    test_moved = Windows.from_arrays(
        test["02"].load()[:, stored], test["02"].trials, sfreq=1.0, channels=test["02"].channels.iloc[stored]
    )
    np.testing.assert_allclose(other.embed(test_moved), decoder.embed(test["02"]), atol=1e-4)


def test_batches_hold_subjects_in_equal_parts_and_pairs_vary():
    parts, features, _ = study(n_train=50)
    train, _ = split(parts)
    train["02"] = train["02"][:20]
    made = {}
    for number, (name, windows) in enumerate(train.items()):
        reader = WindowReader("standard").fit(windows)
        codes = features.rows_of(windows.trials["stimulus_id"])
        made[number] = Batches(windows, reader, features.load(), codes)
        assert name == f"{number + 1:02d}"
    batches = SubjectBatches(made, 46, batch_size=12)
    seen, pairs = {0: [], 1: [], 2: []}, set()
    for epoch in range(6):
        for batch in batches(torch.Generator().manual_seed(epoch)):
            assert batch["x"].shape == (36, 46, 1) and torch.bincount(batch["subject"]).tolist() == [12, 12, 12]
            assert (batch["x"][batch["subject"] == 1, 34:] == 0).all()
            torch.testing.assert_close(batch["y"], torch.from_numpy(features.load())[batch["ids"]])
            pairs.add(tuple(batch["pair"].tolist()))
            for s in seen:
                seen[s] += batch["ids"][batch["subject"] == s].tolist()
    assert pairs == {(a, b) for a in range(3) for b in range(3) if a != b}
    assert batches.n_batches == 4 and set(seen[1]) == set(made[1].codes)
    one = list(SubjectBatches({2: made[2]}, 46, batch_size=12, n_batches=4)(torch.Generator().manual_seed(0)))
    assert len({i for b in one for i in b["ids"].tolist()}) == 48 and "pair" not in one[0]
    into = SubjectBatches(made, 46, batch_size=5, into=1)
    assert {b["pair"][1].item() for b in into(torch.Generator().manual_seed(0))} == {1} and into.n_batches == 4


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ["mindeye2", "mindbridge"])
def test_reset_tuning_with_a_tenth_of_the_data_beats_training_from_scratch(encoder):
    """Other studies, subjects, trials and first weights with each seed; the same trials, settings and steps for both."""
    values = []
    for seed in range(10):
        parts, features, _ = study(
            n_subjects=4, n_train=300, n_test=40, k=8, dim=96, noise=0.6, own=1.2, sizes=(70, 60, 80, 64), seed=seed
        )
        train, test = split(parts)
        new = train.pop("04")
        tenth = new[nested_rows(new, [0.1], seed=seed)[0]]
        options = {"encoder_options": {"width": 64}, "seed": seed}
        base = CrossSubjectDecoder(encoder=encoder, epochs=20, **options).fit(train, features)
        adapted = base.adapt(tenth, features, epochs=60)
        scratch = CrossSubjectDecoder(encoder=encoder, epochs=60, **options).fit(tenth, features)
        assert len(tenth) == 30
        values.append([top1(d, test["04"], shown(test["04"], features), average=True) for d in (adapted, scratch)])
    adapted, scratch = np.array(values).T
    assert stats.ttest_rel(adapted, scratch, alternative="greater").pvalue < 0.01
    assert (adapted > scratch).sum() >= 8 and adapted.mean() > 0.3 and scratch.mean() > 0.1  # chance 0.025


def test_calibration_curve_compares_the_same_trials(fitted):
    decoder, _, new, test, features, _ = fitted
    curve = calibration_curve(decoder, new, features, test=test["03"], candidates=shown(test["03"], features), shares=(1.0, 0.2),
                              seeds=(0, 1), seconds_per_trial=4.0, adapt_options={"epochs": 3}, scratch_options={"epochs": 3})  # fmt: skip
    table = curve.scores
    assert (
        len(table) == 12
        and table.groupby("condition", sort=False)["n_trials"].unique().map(list).tolist() == [[24, 120]] * 3
    )
    assert table["value"].between(0, 1).all() and curve.chance == pytest.approx(1 / 30) and curve.n_test == 30
    summary = curve.summary()
    assert (
        (summary["low"] <= summary["value"]).all()
        and (summary["value"] <= summary["high"]).all()
        and (summary["n"] == 2).all()
    )
    arrays = curve.arrays()
    assert arrays["value"].shape == (3, 2) and arrays["amount"].tolist() == [1.6, 8.0] and curve.unit == "minutes"
    by_hand = decoder.adapt(new[nested_rows(new, [0.2], seed=1)[0]], features, epochs=3, seed=1)
    row = table.query("condition == 'adapted' and share == 0.2 and seed == 1")
    assert row["value"].item() == pytest.approx(top1(by_hand, test["03"], shown(test["03"], features), average=True))
    small, large = nested_rows(new, [0.1, 0.5], seed=3)
    assert (
        set(small) < set(large) and len(large) == 60 and not np.array_equal(small, nested_rows(new, [0.1], seed=4)[0])
    )
    for wrong, word in (({"shares": [0.0]}, "between 0 and 1"), ({"conditions": ["adpted"]}, "did you mean 'adapted'")):
        with pytest.raises(BraindecError, match=word):
            calibration_curve(decoder, new, features, test=test["03"], candidates=features, **wrong)


def test_windows_may_be_given_as_a_list_or_joined(fitted):
    decoder, train, _, test, features, _ = fitted
    listed = clone(decoder).fit(list(train.values()), features)
    np.testing.assert_array_equal(listed.embed(test["01"]), decoder.embed(test["01"]))
    same = study(n_subjects=2, sizes=(20,))[0]
    assert CrossSubjectDecoder(epochs=0).fit(Windows.concat(list(same.values())), features).subjects_ == ["01", "02"]


def test_what_cannot_be_done_is_said_plainly(fitted):
    decoder, train, new, test, features, _ = fitted
    with pytest.raises(BraindecError, match="subject '01'.*other channels") as error:
        decoder.embed(test["02"], subject="01")
    assert "34 voxels" in str(error.value) and "40 voxels" in str(error.value)
    with pytest.raises(BraindecError, match="does not know subject '03'"):
        decoder.embed(test["03"])
    with pytest.raises(BraindecError, match="knows subject '01' already"):
        decoder.adapt(train["01"], features)
    with pytest.raises(BraindecError, match="no way 'rest' to adapt.*did you mean 'reset'"):
        decoder.adapt(new, features, how="rest")
    with pytest.raises(BraindecError, match="cannot change 'epoch'"):
        decoder.adapt(new, features, epoch=3)
    with pytest.raises(BraindecError, match="no column 'stimulus_id'"):
        clone(decoder).fit({s: w.with_trials(w.trials.drop(columns="stimulus_id")) for s, w in train.items()}, features)
    with pytest.raises(BraindecError, match="have no features"):
        clone(decoder).fit(train, features[:50])
    with pytest.raises(BraindecError, match="have no features"):
        decoder.adapt(new, features[:50])
    with pytest.raises(BraindecError, match="0 windows"):
        clone(decoder).fit({**train, "04": new[:0]}, features)
    with pytest.raises(BraindecError, match="stands twice"):
        clone(decoder).fit([train["01"], train["01"]], features)
    with pytest.raises(BraindecError, match="not fitted"):
        clone(decoder).embed(test["01"])
    if decoder.encoder == "mindeye2":
        with pytest.raises(BraindecError, match="no way back"):
            decoder.synthesize(test["01"], to="02")
    for wrong, word in (({"encoder": "nice"}, "no parts of its own"), ({"batch_size": 1}, "batch_size"), ({"cycle": -1.0}, "weights"),
                        ({"preset": "tinny"}, "tiny"), ({"loss": "softklip"}, "softclip"), ({"schedule": "x"}, "onecycle")):  # fmt: skip
        with pytest.raises(BraindecError, match=word):
            CrossSubjectDecoder(**wrong).check()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_cuda_it_is_trained_adapted_and_saved_too(tmp_path):
    parts, features, _ = study()
    train, test = split(parts)
    new = train.pop("03")
    decoder = CrossSubjectDecoder(encoder="mindbridge", device="cuda", patience=5, **QUICK).fit(train, features)
    adapted = decoder.adapt(new, features, source=train, patience=None)
    adapted.save(tmp_path)
    np.testing.assert_allclose(
        CrossSubjectDecoder.load(tmp_path).embed(test["03"]), adapted.embed(test["03"]), atol=1e-4
    )
    assert adapted.synthesize(test["01"], to="03").shape == (60, 46, 1)
