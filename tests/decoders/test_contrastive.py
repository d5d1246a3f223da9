"""ContrastiveDecoder: finds a planted signal, chance without one, honest about rows, resumable, saved whole."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn

from braindec.decoders._batches import Batches, content_part
from braindec.decoders._reading import WindowReader
from braindec.decoders.contrastive import ContrastiveDecoder
from braindec.errors import BraindecError
from braindec.types import Features, Windows

QUICK = {"epochs": 25, "batch_size": 32, "patience": 8, "encoder_options": {"n_filters": 8}}


def planted(
    *, strength=1.5, n_concepts=40, n_images=6, n_chans=8, n_times=40, dim=6, seed=0, subjects=1, repetitions=1
):
    rng = np.random.default_rng(seed)
    n = n_concepts * n_images
    F = np.repeat(rng.normal(size=(n_concepts, dim)), n_images, axis=0) + 0.7 * rng.normal(size=(n, dim))
    maps, times = rng.normal(size=(dim, n_chans)), np.arange(n_times)
    courses = np.exp(-0.5 * ((times - rng.uniform(8, n_times - 8, size=(dim, 1))) / 3) ** 2)
    row = np.tile(np.arange(n), repetitions)
    X = strength * np.einsum("nd,dc,dt->nct", F, maps, courses)[row] + 1.5 * rng.normal(
        size=(len(row), n_chans, n_times)
    )
    trials = {"stimulus_id": [f"s{i}" for i in row], "concept_id": [f"c{i // n_images}" for i in row],
              "subject": [f"{i % subjects + 1:02d}" for i in range(len(row))]}  # fmt: skip
    windows = Windows.from_arrays((1e-6 * X).astype(np.float32), trials, sfreq=100.0, unit="V", modality="eeg")
    return windows, Features.from_array(F.astype(np.float32), [f"s{i}" for i in range(n)])


def parts(windows, features, n_test=8):
    concept = np.array([int(c[1:]) for c in windows.trials["concept_id"]])
    first = concept.max() + 1 - n_test
    train, test = windows[concept < first], windows[concept >= first]
    return train, test, features[features.rows_of(np.unique(test.trials["stimulus_id"]))]


def test_planted_signal_is_retrieved_and_shuffled_pairs_are_not():
    windows, features = planted()
    train, test, candidates = parts(windows, features)
    decoder = ContrastiveDecoder(**QUICK).fit(train, features)
    assert decoder.score(test, candidates) >= 0.2  # 48 candidates: chance 0.021
    assert ContrastiveDecoder(**{**QUICK, "epochs": 0}).fit(train, features).score(test, candidates) < 0.1
    hits = []
    for seed in range(3):
        mixed = Features(
            features.values, features.items.assign(stimulus_id=np.random.default_rng(seed).permutation(features.ids))
        )
        shuffled = ContrastiveDecoder(**QUICK, seed=seed).fit(train, mixed)
        hits.append(shuffled.score(test, mixed[mixed.rows_of(candidates.ids)]))
    assert np.mean(hits) < 0.075  # standard error 0.012


@pytest.mark.parametrize(
    "changes",
    [{"loss": "siglip"}, {"loss": "one_way_sequence"}, {"loss": "multi_positive", "queue": 100}, {"encoder": "atm"},
     {"encoder": "ridge", "encoder_options": None}, {"encoder": "eegnet", "encoder_options": None, "epochs": 50, "lr": 1e-2}],
    ids=lambda c: "-".join(map(str, c.values())),
)  # fmt: skip
def test_other_losses_and_encoders_learn_too(changes):
    windows, features = planted(strength=2.5)
    train, test, candidates = parts(windows, features)
    assert (
        ContrastiveDecoder(**{**QUICK, **changes}).fit(train, features).score(test, candidates) >= 0.1
    )  # chance 0.021


def test_records_say_what_was_seen():
    windows, features = planted(n_concepts=20)
    decoder = ContrastiveDecoder(**{**QUICK, "epochs": 2}).fit(windows, features)
    records = {r.step: r for r in decoder.fit_records_}
    assert list(records) == ["RobustScaler", "Targets", "nice", "early stopping"]
    held = records.pop("early stopping")
    assert held.purpose == "selection" and all(r.purpose == "fit" for r in records.values())
    by_id = windows.trials.set_index("window_id")["concept_id"]
    assert not set(by_id[held.ids]) & set(by_id[records["nice"].ids])  # other concepts
    assert set(held.ids) | set(records["nice"].ids) == set(windows.ids) and by_id[held.ids].nunique() == 2
    given = ContrastiveDecoder(**{**QUICK, "epochs": 2}).fit(windows[:60], features, validation=windows[60:90])
    assert set(given.fit_records_[-1].ids) == set(windows.ids[60:90]) and set(given.fit_records_[2].ids) == set(
        windows.ids[:60]
    )
    alone = ContrastiveDecoder(**{**QUICK, "epochs": 2, "patience": None}).fit(windows, features)
    assert [r.purpose for r in alone.fit_records_] == ["fit"] * 3 and set(alone.fit_records_[2].ids) == set(windows.ids)


def test_same_seed_same_numbers_from_memory_or_from_disk():
    windows, features = planted(n_concepts=15)
    options = {**QUICK, "epochs": 3}
    first = ContrastiveDecoder(**options).fit(windows, features).embed(windows)
    np.testing.assert_array_equal(
        ContrastiveDecoder(**options, ram_limit=0.0).fit(windows, features).embed(windows), first
    )
    assert not np.array_equal(ContrastiveDecoder(**options, seed=1).fit(windows, features).embed(windows), first)


def test_interrupted_fit_goes_on(tmp_path, monkeypatch):
    windows, features = planted(n_concepts=15)
    options = {**QUICK, "epochs": 5, "queue": 50, "loss": "multi_positive"}
    expected = ContrastiveDecoder(**options).fit(windows, features)
    original, calls = Batches.batch, [0]

    def interrupted(self, units):
        calls[0] += 1
        if calls[0] == 9:
            raise KeyboardInterrupt
        return original(self, units)

    monkeypatch.setattr(Batches, "batch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ContrastiveDecoder(**options, folder=str(tmp_path)).fit(windows, features)
    resumed = ContrastiveDecoder(**options, folder=str(tmp_path)).fit(windows, features)
    np.testing.assert_array_equal(resumed.embed(windows), expected.embed(windows))
    for name, column in expected.history_.items():
        np.testing.assert_array_equal(resumed.history_[name], column)
    other = Windows.from_arrays(windows.load() * 2 + 1e-6, windows.trials, sfreq=100.0)  # other data, same names
    ContrastiveDecoder(**options, folder=str(tmp_path), scaler=None).fit(other, features)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("encoder", ["nice", "atm"])
def test_saved_and_loaded(encoder, tmp_path):
    windows, features = planted(n_concepts=12, subjects=2)
    decoder = ContrastiveDecoder(**{**QUICK, "encoder": encoder, "epochs": 2, "scale_by": "subject"}).fit(
        windows, features
    )
    other = ContrastiveDecoder.load(decoder.save(tmp_path))
    np.testing.assert_array_equal(other.embed(windows), decoder.embed(windows))
    assert other.get_params() == decoder.get_params() and other.subjects_ == decoder.subjects_
    np.testing.assert_array_equal(other.history_["train_loss"], decoder.history_["train_loss"])
    assert torch.equal(other.loss_.log_scale, decoder.loss_.log_scale)


def test_own_module_is_an_encoder(tmp_path):
    windows, features = planted(strength=2.5)
    train, test, candidates = parts(windows, features)
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(8 * 40, 6))
    before = module[2].weight.clone()
    decoder = ContrastiveDecoder(encoder=module, epochs=15, lr=1e-3).fit(train, features)
    assert decoder.score(test, candidates) >= 0.1
    assert torch.equal(module[2].weight, before)  # a copy was trained
    assert clone(decoder).encoder is not module
    decoder.save(tmp_path)
    other = ContrastiveDecoder.load(
        tmp_path, encoder=nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(8 * 40, 6))
    )
    np.testing.assert_array_equal(other.embed(test), decoder.embed(test))
    with pytest.raises(BraindecError, match="module of your own"):
        ContrastiveDecoder.load(tmp_path)
    with pytest.raises(BraindecError, match=r"allowed: \(batch, 6\)"):
        ContrastiveDecoder(encoder=nn.Sequential(nn.Flatten(), nn.Linear(8 * 40, 5))).fit(train, features)


def test_unknown_subjects_have_a_token():
    windows, features = planted(n_concepts=12, subjects=2)
    decoder = ContrastiveDecoder(encoder="atm", epochs=1).fit(windows, features)
    assert decoder.subjects_ == ["01", "02"] and decoder.encoder_.n_subjects == 2
    stranger = decoder.embed(windows.with_trials(subject="77"))
    assert np.abs(stranger - decoder.embed(windows)).max() > 1e-5
    nobody = windows.with_trials(windows.trials.drop(columns="subject"))
    np.testing.assert_array_equal(decoder.embed(nobody), stranger)


def test_repetitions_are_averaged_within_stimulus_and_subject():
    windows, features = planted(n_concepts=4, n_images=2, subjects=2, repetitions=6)
    reader = WindowReader(None).fit(windows)
    shown = windows.trials["stimulus_id"].str[1:].astype(int).to_numpy()
    subject = windows.trials["subject"].astype(int).to_numpy() - 1
    batches = Batches(windows, reader, features.load(), shown, groups=subject, batch_size=7, average=2)
    X, seen = windows.load(), []
    for units in (batches._units(torch.Generator().manual_seed(s)) for s in (0, 1)):
        seen.append(units)
        assert sorted(np.concatenate(units)) == list(range(len(windows)))
        for rows in units:
            assert len(set(shown[rows])) == 1 and len(set(subject[rows])) == 1 and len(rows) <= 2
    assert any(not np.array_equal(a, b) for a, b in zip(*seen, strict=True))  # dealt anew
    batch = batches.batch(seen[0][:5])
    np.testing.assert_allclose(batch["x"].numpy(), np.stack([X[r].mean(0) for r in seen[0][:5]]), atol=1e-12)
    assert batch["ids"].tolist() == [shown[r[0]] for r in seen[0][:5]]
    ContrastiveDecoder(**{**QUICK, "epochs": 2, "average_repetitions": 3, "patience": None}).fit(windows, features)


def test_memory_stays_flat_when_windows_are_read_by_batch(monkeypatch):
    windows, features = planted(n_concepts=40)
    asked = []
    original = Windows.load

    def watched(self, rows=None, **named):
        made = original(self, rows, **named)
        asked.append(len(made))
        return made

    monkeypatch.setattr(Windows, "load", watched)
    decoder = ContrastiveDecoder(**{**QUICK, "epochs": 1, "batch_size": 16, "scaler": None}, ram_limit=0.0).fit(
        windows, features
    )
    decoder.embed(windows)
    assert max(asked) <= 64 and sum(asked) >= 2 * len(windows)


def test_validation_contents_do_not_hang_on_the_cohort():
    names = np.array([f"c{i}" for i in range(50)])
    held = set(names[content_part(names, 0.2)])
    assert len(held) == 10
    again = np.repeat(names[::-1], 3)
    assert set(again[content_part(again, 0.2)]) == held
    assert content_part(names[:2], 0.1).sum() == 1


def test_bad_input():
    windows, features = planted(n_concepts=6)
    for changes, message in [
        ({"encoder": "nise"}, "did you mean 'nice'"), ({"preset": "huge"}, "no preset"), ({"loss": "mse"}, "no loss"),
        ({"encoder_options": {"filters": 3}}, "no setting 'filters'"), ({"batch_size": 1}, "at least 2"),
        ({"preset": "paper", "encoder_options": None}, "at least 75 samples"), ({"device": "cuda:99"}, "not there"),
        ({"validation_share": 1.5}, "validation_share"), ({"encoder": 3}, "name or a torch module"), ({"epochs": -1}, "epochs"),
    ]:  # fmt: skip
        with pytest.raises(BraindecError, match=message):
            ContrastiveDecoder(**{**QUICK, **changes}).fit(windows, features)
    with pytest.raises(BraindecError, match="at least 5 concepts"):
        ContrastiveDecoder(**QUICK).fit(windows[:20], features)
    with pytest.raises(BraindecError, match="validation windows are empty"):
        ContrastiveDecoder(**QUICK).fit(windows, features, validation=windows[:0])
    with pytest.raises(BraindecError, match="is not fitted"):
        ContrastiveDecoder().embed(windows)


def test_options_are_cloned():
    decoder = ContrastiveDecoder(encoder="atm", queue=5, loss_options={"temperature": 0.5})
    assert clone(decoder).get_params() == decoder.get_params()
