"""NeuralClassifier: finds planted classes on held-out runs, chance without them, honest about rows, resumable, saved whole."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn

from braindec.decoders._make import make_decoder
from braindec.decoders._validation import validation_rows
from braindec.decoders.classifier import Classifier
from braindec.decoders.neural_classifier import NeuralClassifier
from braindec.errors import BraindecError
from braindec.evaluate.audit import audit
from braindec.evaluate.crossval import cross_validate
from braindec.evaluate.splits import split_by
from braindec.types import Windows

QUICK = {"epochs": 20, "lr": 1e-2, "patience": 10}
SHORT = {**QUICK, "epochs": 4}


def planted(kind="response", n_classes=2, *, runs=4, per_run=30, n_chans=4, n_times=64, strength=1.0, seed=0):
    """Each class has a scalp map of its own, for a response at its own time or an 11 Hz oscillation of random phase."""
    rng = np.random.default_rng(seed)
    codes = np.concatenate([rng.permutation(np.arange(per_run) % n_classes) for _ in range(runs)])
    times = np.arange(n_times) / 100
    maps = np.linalg.qr(rng.normal(size=(n_chans, n_classes)))[0].T
    X = rng.normal(size=(len(codes), n_chans, n_times))
    for row, code in enumerate(codes):
        if kind == "response":
            course = 3 * np.exp(-0.5 * ((times - 0.2 - 0.1 * code) / 0.05) ** 2)
        else:
            course = 2 * np.sin(2 * np.pi * (11 * times + rng.uniform()))
        X[row] += strength * np.outer(maps[code], course)
    trials = {"run": np.repeat(np.arange(runs) + 1, per_run), "onset": np.tile(2.0 * np.arange(per_run), runs)}
    y = np.array(["bird", "car", "dog"])[codes]
    return Windows.from_arrays((1e-5 * X).astype(np.float32), trials, sfreq=100.0, unit="V", modality="eeg"), y


@pytest.mark.parametrize("encoder", ["eegnet", "shallow"])
@pytest.mark.parametrize(("kind", "n_classes"), [("response", 2), ("oscillation", 2), ("oscillation", 3)])
def test_planted_classes_are_decoded_in_a_run_that_was_held_out(encoder, kind, n_classes):
    windows, y = planted(kind, n_classes)
    decoder = NeuralClassifier(encoder, **QUICK).fit(windows[:90], y[:90])
    assert decoder.score(windows[90:], y[90:]) > 0.85
    scores = decoder.decision(windows[90:])
    assert scores.shape == (30, n_classes) and list(decoder.classes_) == ["bird", "car", "dog"][:n_classes]
    np.testing.assert_allclose(np.exp(scores).sum(axis=1), 1)
    assert (decoder.predict(windows[90:]) == decoder.classes_[scores.argmax(axis=1)]).all()
    assert decoder.decision_function(windows[90:]).shape == ((30,) if n_classes == 2 else (30, 3))


def test_the_phase_of_the_oscillation_is_random_so_a_linear_rule_on_samples_finds_less():
    windows, y = planted("oscillation", 3)
    assert Classifier(bin_width=0.05).fit(windows[:90], y[:90]).score(windows[90:], y[90:]) < 0.6


@pytest.mark.parametrize("encoder", ["eegnet", "shallow"])
def test_shuffled_labels_are_decoded_at_chance(encoder):
    windows, y = planted(runs=6)
    found = []
    for seed in range(4):
        mixed = np.random.default_rng(seed).permutation(y)
        decoder = NeuralClassifier(encoder, **{**QUICK, "epochs": 6}, seed=seed).fit(windows[:90], mixed[:90])
        found.append(decoder.score(windows[90:], mixed[90:]))
    assert abs(np.mean(found) - 0.5) < 0.12  # standard error 0.026


def test_rare_classes_count_as_much_as_frequent_ones():
    windows, y = planted(strength=0.2, per_run=120)
    rows = np.flatnonzero((y == "bird") | (np.arange(len(y)) % 6 == 0))  # about 1 car in 6 windows
    windows, y = windows[rows], y[rows]
    test = windows.trials["run"].astype(int).to_numpy() == 4
    hits = {}
    for weight in ("balanced", None):
        decoder = NeuralClassifier(**{**QUICK, "epochs": 8}, class_weight=weight).fit(windows[~test], y[~test])
        predicted = decoder.predict(windows[test])
        hits[weight] = (predicted[y[test] == "car"] == "car").mean()
    assert hits["balanced"] > hits[None] + 0.2


def test_same_seed_same_numbers_and_another_seed_others():
    windows, y = planted()
    first, again, other = (NeuralClassifier(**SHORT, seed=s).fit(windows, y).decision(windows) for s in (0, 0, 1))
    assert np.array_equal(first, again) and not np.allclose(first, other)


def test_an_interrupted_fit_goes_on_and_ends_with_the_same_weights(tmp_path, monkeypatch):
    windows, y = planted()
    undisturbed = NeuralClassifier(**{**QUICK, "epochs": 6}).fit(windows, y)
    calls, validate = [], NeuralClassifier._validate

    def stopped(self, *args):
        calls.append(len(calls))
        if len(calls) == 6:
            raise KeyboardInterrupt
        return validate(self, *args)

    monkeypatch.setattr(NeuralClassifier, "_validate", stopped)
    decoder = NeuralClassifier(**{**QUICK, "epochs": 6}, folder=str(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        decoder.fit(windows, y)
    decoder.fit(windows, y)
    assert len(calls) == 6 + 1  # five epochs were kept
    for name, weights in undisturbed.encoder_.state_dict().items():
        assert torch.equal(weights, decoder.encoder_.state_dict()[name])
    assert all(np.array_equal(v, decoder.history_[k]) for k, v in undisturbed.history_.items())
    clone(decoder).fit(windows, np.roll(y, 1))  # other labels are another run
    assert len(calls) == 6 + 1 + 6 and len(list(tmp_path.iterdir())) == 2


def test_cross_validation_says_what_each_step_saw_and_how_small_p_can_be():
    windows, y = planted("oscillation", strength=1.5)
    splits = split_by(windows, "run")[:2]
    found = cross_validate(NeuralClassifier("shallow", **{**QUICK, "epochs": 8}), windows, y, splits,
                           controls=("label_shuffle", "noise_input"), n_permutations=3, n_bootstrap=100)  # fmt: skip
    scores = found.scores[found.scores["metric"] == "balanced_accuracy"].set_index("row")
    assert scores.loc["decoded", "value"] > 0.85 and scores.loc["decoded", "p"] == 0.25
    assert "p cannot be below 0.25 (n_permutations=3)" in scores.loc["decoded", "note"]
    assert (
        abs(scores.loc["label_shuffle", "value"] - 0.5) < 0.15 and abs(scores.loc["noise_input", "value"] - 0.5) < 0.15
    )
    for split, records in found.records:
        purposes = {r.step: r.purpose for r in records}
        assert purposes == {"RobustScaler": "fit", "NeuralClassifier(shallow)": "fit", "early stopping": "selection"}
        seen = [set(r.ids) for r in records]
        assert seen[0] == seen[1] and not seen[1] & seen[2]
        assert (seen[1] | seen[2]) <= set(windows.ids[split.train])
    assert audit(windows, splits, y=y, records=found.records).level != "fail"


def test_cross_validation_without_permutations_has_no_p():
    windows, y = planted()
    found = cross_validate(NeuralClassifier(**SHORT), windows, y, split_by(windows, "run")[:1],
                           controls=("label_shuffle",), n_permutations=0, n_bootstrap=100)  # fmt: skip
    decoded = found.scores[found.scores["row"] == "decoded"]
    assert decoded["p"].isna().all() and decoded["note"].str.contains("no permutations, no p").all()


def test_validation_takes_whole_runs_where_there_are_enough():
    windows, y = planted(runs=6)
    codes = np.unique(y, return_inverse=True)[1]
    run = windows.trials["run"].to_numpy()
    fit, held = validation_rows(windows, codes, 0.3)
    assert len(set(run[held])) == 2 and not set(run[held]) & set(run[fit]) and len(fit) + len(held) == len(y)
    taken = {tuple(sorted(set(run[validation_rows(windows, codes, 0.15, seed=s)[1]]))) for s in range(8)}
    assert len(taken) > 1 and all(len(t) == 1 for t in taken)


def test_validation_is_the_end_of_a_single_run_behind_a_gap():
    windows, y = planted(runs=1, per_run=40)
    close = Windows.from_arrays(windows.load(), {"run": ["1"] * 40, "onset": 0.16 * np.arange(40)}, sfreq=100.0)
    codes = np.unique(y, return_inverse=True)[1]
    fit, held = validation_rows(close, codes, 0.15, fewest=1)
    assert list(held) == [34, 35, 36, 37, 38, 39]
    assert close.trials["onset"][fit].max() + 2 * 0.64 <= close.trials["onset"][34] + 1e-9  # window and gap
    untimed = Windows.from_arrays(windows.load(), {"trial_type": y}, sfreq=100.0)
    assert [len(rows) for rows in validation_rows(untimed, codes, 0.15, fewest=6)] == [34, 6]
    assert [len(rows) for rows in validation_rows(untimed, codes, 0.15, fewest=7)] == [40, 0]
    sorted_codes = np.repeat([0, 1, 0], [15, 15, 10])  # the end has one class: it grows until both are there
    fit, held = validation_rows(untimed, sorted_codes, 0.15, fewest=6)
    assert len(held) == 11 and set(sorted_codes[fit]) == set(sorted_codes[held]) == {0, 1}


@pytest.mark.parametrize("changes", [{"patience": None}, {"min_validation": 31}])
def test_no_validation_rows_without_patience_or_when_they_are_few(changes):
    windows, y = planted()
    decoder = NeuralClassifier(**{**SHORT, **changes}).fit(windows, y)
    assert [len(r.ids) for r in decoder.fit_records_] == [len(y), len(y)]
    assert "validation_loss" not in decoder.history_ and decoder.history_["best_epoch"] == 4


@pytest.mark.parametrize("labels", [["bird", "car"], [3, 7], [False, True]])
def test_save_and_load(tmp_path, labels):
    windows, y = planted()
    y = np.where(y == "bird", *labels)
    decoder = NeuralClassifier(**SHORT, scaler=["noise_normalizer", "robust"]).fit(windows, y)
    loaded = NeuralClassifier.load(decoder.save(tmp_path / "model"))
    assert np.array_equal(loaded.decision(windows), decoder.decision(windows))
    assert loaded.classes_.dtype == decoder.classes_.dtype and np.array_equal(
        loaded.predict(windows), decoder.predict(windows)
    )
    assert [r.hash for r in loaded.fit_records_] == [r.hash for r in decoder.fit_records_]
    assert loaded.get_params() == decoder.get_params() and set(loaded.history_) == set(decoder.history_)


class Mean(nn.Module):
    """A linear map of the mean power of channels."""

    def __init__(self, n_chans, n_classes):
        super().__init__()
        self.out = nn.Linear(n_chans, n_classes)

    def forward(self, x):
        return self.out(x.square().mean(2).log())


def test_a_module_of_your_own_is_copied(tmp_path):
    windows, y = planted("oscillation", 3)
    torch.manual_seed(0)
    module = Mean(4, 3)
    before = module.out.weight.detach().clone()
    decoder = clone(NeuralClassifier(module, **{**QUICK, "lr": 0.05})).fit(windows[:90], y[:90])
    assert torch.equal(module.out.weight, before) and decoder.score(windows[90:], y[90:]) > 0.8
    loaded = NeuralClassifier.load(decoder.save(tmp_path), encoder=Mean(4, 3))
    assert np.array_equal(loaded.decision(windows), decoder.decision(windows))
    with pytest.raises(BraindecError, match="does not have an output for each class"):
        NeuralClassifier(Mean(4, 5)).fit(windows, y)


def test_an_encoder_that_uses_the_subject():
    windows, y = planted()
    subjects = np.where(np.arange(len(y)) % 2, "01", "02")
    both = Windows.from_arrays(windows.load(), windows.trials.assign(subject=subjects), sfreq=100.0)
    decoder = NeuralClassifier("atm", **{**SHORT, "epochs": 1}).fit(both, y)
    assert decoder.subjects_ == ["01", "02"]
    assert np.isfinite(decoder.decision(windows)).all()  # windows without a subject


def test_clone_keeps_every_option():
    decoder = NeuralClassifier(
        "shallow", preset="base", encoder_options={"kernel": 9}, lr=0.1, scaler=["robust"], seed=4
    )
    copy = clone(decoder)
    assert copy.get_params() == decoder.get_params() and not hasattr(copy, "fit_records_")


def test_refusals():
    windows, y = planted(runs=2)
    X = windows.load().copy()
    X[7, 2, 5] = np.nan
    broken = Windows.from_arrays(X, windows.trials, sfreq=100.0)
    with pytest.raises(BraindecError, match="not finite"):
        NeuralClassifier(**SHORT).fit(broken, y)
    X[7] = 3e38
    decoder = NeuralClassifier(**{**SHORT, "epochs": 1}, scaler=None).fit(windows, y)
    with pytest.raises(BraindecError, match="scores of 1 of 60 windows are not finite"):
        decoder.predict(Windows.from_arrays(X, windows.trials, sfreq=100.0))
    with pytest.raises(BraindecError, match="at least two classes"):
        NeuralClassifier().fit(windows, np.full(len(y), "bird"))
    with pytest.raises(BraindecError, match="labels are missing"):
        NeuralClassifier().fit(windows, np.where(y == "bird", None, y))
    with pytest.raises(BraindecError, match="one label for each window"):
        NeuralClassifier().fit(windows, y[1:])
    with pytest.raises(BraindecError, match="reads Windows"):
        NeuralClassifier().fit(X, y)
    with pytest.raises(BraindecError, match=r"too short for EEGNet[\s\S]*at least 32"):
        NeuralClassifier().fit(windows.crop(0.0, 0.2), y)
    with pytest.raises(BraindecError, match=r"no window of some class would be left[\s\S]*patience=None"):
        NeuralClassifier(min_validation=5).fit(windows, np.where(np.arange(len(y)) < len(y) - 1, "bird", "car"))


@pytest.mark.parametrize(
    ("options", "message"),
    [({"encoder": "egnet"}, "did you mean 'eegnet'"), ({"preset": "tny"}, "did you mean 'tiny'"),
     ({"encoder_options": {"kernl": 3}}, "did you mean 'kernel'"), ({"scaler": "robst"}, "robust"),
     ({"class_weight": "even"}, "allowed: balanced"), ({"batch_size": 1}, "at least 2"), ({"epochs": 2.5}, "whole number"),
     ({"lr": "fast"}, "must be a number"), ({"lr": 0.0}, "lr > 0"), ({"validation_share": 0.9}, "at most 0.5"),
     ({"patience": 0}, "patience >= 1"), ({"encoder": 3}, "a name or a torch module")],
    ids=str,
)  # fmt: skip
def test_wrong_options_are_told_before_anything_is_read(options, message):
    with pytest.raises(BraindecError, match=message):
        NeuralClassifier(**options).check()


def test_a_device_that_is_not_there():
    windows, y = planted()
    with pytest.raises(BraindecError, match=r"cuda:77[\s\S]*not there"):
        NeuralClassifier(device="cuda:77").fit(windows, y)


def test_decoders_are_made_from_the_settings_of_a_recipe():
    made = make_decoder({"name": "neural_classifier", "encoder": "shallow", "seed": 5}, seed=1, folder="work")
    assert (type(made), made.encoder, made.seed, made.folder) == (NeuralClassifier, "shallow", 5, "work")
    assert make_decoder({"name": "classifier", "model": "ridge"}, seed=1, folder="work").model == "ridge"
    with pytest.raises(BraindecError, match="did you mean 'neural_classifier'"):
        make_decoder({"name": "neural_clasifier"})
