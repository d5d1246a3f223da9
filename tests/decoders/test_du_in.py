"""DuInClassifier: stages, what each of them saw, refusals, storage; and whether training without labels helps."""

import numpy as np
import pytest
import torch
from sklearn.base import clone

from braindec.decoders import _du_in_training as training
from braindec.decoders._channel_selection import pick, select_channels
from braindec.decoders._du_in_training import ShiftedCrossEntropy, Unlabelled, random_masks, shifted
from braindec.decoders._word_rows import few_labels, stretches
from braindec.decoders.du_in import DuInClassifier
from braindec.errors import BraindecError
from braindec.evaluate.audit import audit
from braindec.evaluate.crossval import cross_validate
from braindec.evaluate.splits import split_by
from braindec.loaders.synthetic_word_reading import synthetic_word_reading
from braindec.signal.windows import make_windows
from braindec.types import Windows

SMALL = {
    "filters": [6, 6, 4],
    "n_layers": 1,
    "n_heads": 2,
    "d_head": 8,
    "d_ff": 16,
    "hidden": 8,
    "n_codes": 8,
    "code_dim": 4,
}
QUICK = {"encoder_options": SMALL, "epochs_vqvae": 3, "epochs_mae": 2, "epochs": 4}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def words(n=64, n_runs=4, strength=1.5, seed=0, subjects=("01",)):
    rng = np.random.default_rng(seed)
    y = np.tile(["ba", "do"], n // 2)
    X = rng.normal(size=(n, 4, 80)).astype("float32")
    X[y == "ba", 1, 20:60] += strength
    run = np.repeat([str(k) for k in range(n_runs)], n // n_runs)
    trials = {"run": run, "subject": np.resize(list(subjects), n), "onset": np.arange(n) * 2.0}
    return Windows.from_arrays(X, trials, sfreq=200.0, task=f"reading{seed}"), y


def weights(decoder):
    return torch.cat([p.detach().flatten() for p in decoder.encoder_.parameters()])


def test_all_stages_leave_their_records_and_history():
    windows, y = words()
    extra, _ = words(48, seed=1)
    decoder = DuInClassifier(**QUICK, validation_share=0.25, min_validation=4).fit(
        windows, y, unlabelled=extra.crop(0.0, 0.3)
    )
    assert decoder.decision(windows).shape == (64, 2) and list(decoder.classes_) == ["ba", "do"]
    assert set(decoder.history_) == {"vqvae", "mae", "cls"} and len(decoder.history_["vqvae"]["train_loss"]) == 3
    assert decoder.history_["vqvae"]["quantised"].tolist() == [0.0, 0.0, 1.0]
    assert {"validation_error", "validation_perplexity", "validation_usage"} <= set(decoder.history_["vqvae"])
    assert {"validation_accuracy", "validation_chance"} <= set(decoder.history_["mae"])
    steps = [r.step for r in decoder.fit_records_]
    assert "DuInClassifier, before classification" in steps and steps[-1] == "early stopping"
    held = set(decoder.fit_records_[-1].ids)
    for record in decoder.fit_records_[:-1]:
        assert not held & set(record.ids), f"{record.step} saw the rows of early stopping"
    assert decoder.code_counts(windows).sum() == 64 * 4
    np.testing.assert_allclose(np.exp(decoder.decision(windows)).sum(axis=1), 1)


def test_it_works_in_cross_validation_and_the_audit_is_content():
    windows, y = words(n=64, strength=4.0)
    splits = split_by(windows, "run", n_folds=2)
    decoder = DuInClassifier(**{**QUICK, "epochs": 40}, patience=None)
    found = cross_validate(
        decoder, windows, y, splits, metrics=["balanced_accuracy"], controls=[], n_permutations=0, n_bootstrap=100
    )
    assert found.scores["value"][0] > 0.8
    card = audit(windows, splits, y=y, records=found.records, checks=["fit_scope", "test_selection"])
    assert card.level == "pass"


def test_scaling_uses_training_rows_only():
    windows, y = words()
    decoder = DuInClassifier(stages=["cls"], encoder_options=SMALL, epochs=1, patience=None).fit(windows[:32], y[:32])
    scaler = decoder.reader_.transforms[0]
    data = windows[:32].load().astype(float)
    np.testing.assert_allclose(next(iter(scaler.centre_.values())), data.mean(axis=(0, 2)), atol=1e-5)
    np.testing.assert_allclose(next(iter(scaler.spread_.values())), data.std(axis=(0, 2)), rtol=1e-4)


def test_no_label_reaches_the_stages_before_classification():
    windows, y = words()
    a = DuInClassifier(**QUICK, patience=None).fit(windows, y)
    b = DuInClassifier(**QUICK, patience=None).fit(windows, y[::-1].copy())
    assert all(torch.equal(v, b.body_[k]) for k, v in a.body_.items())
    assert not torch.equal(weights(a), weights(b))


def test_the_same_seed_gives_the_same_weights_and_pretraining_can_be_shared():
    windows, y = words()
    first, second = (DuInClassifier(**QUICK, patience=None).pretrain([windows]).fit(windows, y) for _ in range(2))
    assert torch.equal(weights(first), weights(second))
    body = {k: v.clone() for k, v in first.body_.items()}
    again = first.fit(windows[:32], y[:32])
    assert all(torch.equal(v, body[k]) for k, v in again.body_.items()), "fit starts from it and leaves it"


@pytest.mark.parametrize("stage", ["autoencoder", "hidden codes"])
def test_an_interrupted_stage_goes_on_where_it_was(tmp_path, monkeypatch, stage):
    windows, y = words()
    undisturbed = DuInClassifier(**QUICK, patience=None).fit(windows, y)
    calls, target = [0], "squared_error" if stage == "autoencoder" else "random_masks"
    real = getattr(training, target)

    def failing(*args):
        calls[0] += 1
        if calls[0] == 5:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(training, target, failing)
    with pytest.raises(KeyboardInterrupt):
        DuInClassifier(**QUICK, patience=None, folder=str(tmp_path)).fit(windows, y)
    monkeypatch.setattr(training, target, real)
    resumed = DuInClassifier(**QUICK, patience=None, folder=str(tmp_path)).fit(windows, y)
    assert torch.equal(weights(resumed), weights(undisturbed))


def test_shifts_stay_inside_the_window():
    x = torch.arange(1.0, 7.0).reshape(1, 1, 6).repeat(3, 2, 1)
    found = shifted(x, torch.tensor([2, -1, 0]))
    assert (
        found[0, 0].tolist() == [0, 0, 1, 2, 3, 4]
        and found[1, 1].tolist() == [2, 3, 4, 5, 6, 0]
        and torch.equal(found[2], x[2])
    )
    loss = ShiftedCrossEntropy(torch.ones(2), 0.25)
    torch.manual_seed(0)
    moves = {tuple(loss.mix(x)[0][0, 0].tolist()) for _ in range(40)}
    assert len(moves) == 5, "up to a quarter, rounded to 2 samples, either way"
    assert torch.equal(ShiftedCrossEntropy(torch.ones(2), 0.0).mix(x)[0], x)
    torch.manual_seed(1)
    z, y = torch.randn(3, 2), torch.eye(2)[[0, 1, 0]]
    assert torch.equal(loss(z, y), loss(z, y)), "validation is not shifted"


def test_masks_hide_a_share_of_each_window():
    mask = random_masks(50, 12, 0.5, torch.Generator().manual_seed(0))
    assert (mask.sum(1) == 6).all() and len(torch.unique(mask, dim=0)) > 40
    assert (random_masks(5, 2, 0.9, torch.Generator()).sum(1) == 1).all()


def test_held_out_windows_are_the_end_of_each_recording():
    windows, _ = words(60, n_runs=3)
    data = Unlabelled([windows], "standard", [], 16)
    assert data.held[0].tolist() == list(range(54, 60)) and len(data.train[0]) == 54
    assert set(data.readers[0].records[0].ids) == set(windows.ids[:54])


def test_a_channel_selection_that_saw_test_windows_is_refused_and_audited():
    windows, y = words()
    split = split_by(windows, "run")[-1]
    everywhere = select_channels(windows, y, n_channels=2)
    decoder = DuInClassifier(stages=["cls"], encoder_options=SMALL, epochs=1, patience=None, channels=everywhere)
    decoder.fit(windows[split.train], y[split.train])
    with pytest.raises(BraindecError, match="chosen with 16 of 16 windows that are to be decoded"):
        decoder.predict(windows[split.test])
    card = audit(windows, [split], y=y, records=[(split, decoder.fit_records_)], checks=["test_selection"])
    assert card.of("test_selection")[0].level == "fail"
    nested = DuInClassifier(stages=["cls"], encoder_options=SMALL, epochs=1, patience=None, n_channels=2).fit(
        windows[split.train], y[split.train]
    )
    nested.predict(windows[split.test])
    assert "ch001" in nested.selection_.names
    assert (
        audit(windows, [split], y=y, records=[(split, nested.fit_records_)], checks=["test_selection"]).level == "pass"
    )


def test_several_subjects_have_layers_of_their_own():
    windows, y = words(subjects=("01", "02"))
    decoder = DuInClassifier(**QUICK, patience=None).fit(windows, y)
    assert decoder.subjects_ == ["01", "02"] and len(decoder.encoder_.subject_layers) == 2
    assert decoder.decision(windows[3:5]).shape == (2, 2)
    stranger = windows[:2].with_trials(subject=["07", "07"])
    with pytest.raises(BraindecError, match="not fitted on group '07'"):
        decoder.decision(stranger)


def test_saved_and_loaded_it_decides_alike(tmp_path):
    windows, y = words()
    decoder = DuInClassifier(**QUICK, patience=None, n_channels=3).fit(windows, y)
    decoder.save(tmp_path)
    assert not list(tmp_path.rglob("*.pkl")) and (tmp_path / "autoencoder.safetensors").is_file()
    other = DuInClassifier.load(tmp_path)
    np.testing.assert_array_equal(other.decision(windows), decoder.decision(windows))
    assert (
        other.selection_.names == decoder.selection_.names
        and other.selection_.fitted_on_.hash == decoder.selection_.fitted_on_.hash
    )
    assert np.array_equal(other.code_counts(windows), decoder.code_counts(windows))
    assert [r.hash for r in other.fit_records_] == [r.hash for r in decoder.fit_records_]
    np.testing.assert_array_equal(
        other.history_["mae"]["validation_accuracy"], decoder.history_["mae"]["validation_accuracy"]
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [({"stages": ["mae", "cls"]}, "stages cannot be"), ({"stages": ["vqae", "cls"]}, "did you mean 'vqvae'"), ({"mask": 1.0}, "mask is a share"),
     ({"shift": 0.8}, "shift is a share"), ({"epochs": -1}, "epochs"), ({"class_weight": "even"}, "class_weight"), ({"preset": "tinny"}, "tiny"),
     ({"encoder_options": {"n_layer": 2}}, "n_layers")],
)  # fmt: skip
def test_refusals_without_data(options, message):
    with pytest.raises(BraindecError, match=message):
        DuInClassifier(**options).check()


def test_refusals_with_data():
    windows, y = words()
    decoder = DuInClassifier(**QUICK, patience=None)
    with pytest.raises(BraindecError, match="reads Windows"):
        decoder.fit(windows.load(), y)
    with pytest.raises(BraindecError, match="two classes"):
        decoder.fit(windows, np.full(64, "ba"))
    with pytest.raises(BraindecError, match="do not fit the training windows"):
        decoder.fit(windows, y, unlabelled=pick(windows, windows.ch_names[:2]))
    with pytest.raises(BraindecError, match="not known before fit"):
        DuInClassifier(n_channels=2).pretrain(windows)
    with pytest.raises(BraindecError, match="Windows, or a list"):
        decoder.fit(windows, y, unlabelled=[np.zeros(3)])
    with pytest.raises(BraindecError, match="exclude each other"):
        DuInClassifier(n_channels=2, channels=["ch000"]).fit(windows, y)
    assert clone(decoder).get_params()["epochs"] == 4


@pytest.mark.slow
def test_training_without_labels_helps_where_labels_are_few():
    """61 words, 20 % of the labels; in each pair labels, first weights of the head and shuffling are the same."""
    made = synthetic_word_reading(n_repetitions=3, only=["02"])
    windows = make_windows(made.reading["02"], tmin=0.0, tmax=1.1, column="text")
    y, train = windows.trials["text"].to_numpy(), np.flatnonzero(windows.trials["run"] != "04")
    test = np.setdiff1d(np.arange(len(y)), train)
    options = {"channels": made.truth.informative("02")[:10], "patience": None, "epochs": 40}
    before = DuInClassifier(**options, epochs_vqvae=7, epochs_mae=10)
    before.pretrain([stretches(made.speech["02"], 1.1, step=0.8), windows[train]])
    gains = []
    for seed in (0, 1, 2):
        some = few_labels(y, train, 0.2, seed=seed)
        assert len(some) == 2 * 61
        scratch = DuInClassifier(**options, stages=["cls"], seed=seed).fit(windows[some], y[some])
        pretrained = before.set_params(seed=seed).fit(windows[some], y[some])
        gains.append(pretrained.score(windows[test], y[test]) - scratch.score(windows[test], y[test]))
    assert min(gains) > 0 and np.mean(gains) > 0.05, gains
