"""Decoders of sequences: closed forms of similarity, targets and ridge; subjects with their own layers and sensors; a new subject."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from braindec import losses, registry
from braindec.decoders._sequence_calibration import nested_stretches, sequence_calibration
from braindec.decoders._sequence_data import SequenceBatches, SequenceTargets, joined_trials, rows_by_subject
from braindec.decoders._sequence_retrieval import best_scale
from braindec.decoders.sequence_contrastive import SequenceContrastiveDecoder
from braindec.decoders.sequence_ridge import SequenceRidge, _lagged
from braindec.errors import BraindecError
from braindec.types import Segments, Windows

torch.set_num_threads(1)
SFREQ, T, UNITS = 20.0, 24, 5
QUICK = {
    "lr": 5e-3,
    "batch_size": 48,
    "epochs": 6,
    "patience": None,
    "encoder_options": {"n_merged": 12, "width": 16, "n_layers": 2, "n_waves": 4},
}


def sounds(n=120, seed=0):
    """Segments of smooth noise, 6 to a content."""
    rng = np.random.default_rng(seed)
    y = rng.standard_normal((n, UNITS, T + 4))
    return np.stack([y[..., k : k + T] for k in range(5)]).mean(axis=0).astype(np.float32) * 3 + 1


def subject(name, y, *, n_channels=10, noise=1.0, names=None, sessions=1, seed=0):
    """Channels are mixtures of the units, the subject's own; 1 sample late; in one session channels have another scale."""
    rng = np.random.default_rng([seed, int(name)])
    mix = rng.standard_normal((n_channels, UNITS))
    X = np.concatenate([np.einsum("cu,nut->nct", mix, np.roll(y, 1, axis=2)) * 10.0**s for s in range(sessions)])
    X = X + noise * rng.standard_normal(X.shape) * np.repeat(10.0 ** np.arange(sessions), len(y))[:, None, None]
    n = len(y)
    table = pd.DataFrame({
        "subject": name, "stimulus_id": [f"s{k}" for k in range(n)] * sessions, "content_id": [f"c{k // 6}" for k in range(n)] * sessions,
        "block_id": [f"c{k // 6}" for k in range(n)] * sessions, "block_start": np.tile(np.arange(n) // 6 * 8.0, sessions),
        "recording": np.repeat([f"{name}/{s}" for s in range(sessions)], n), "onset": np.tile(np.arange(n) * 1.0, sessions), "session": np.repeat(np.arange(sessions), n).astype(str),
    }).assign(block_stop=lambda t: t["block_start"] + 8.0, window_id=lambda t: t["recording"] + "@" + t["stimulus_id"])  # fmt: skip
    places = np.random.default_rng(n_channels).standard_normal((n_channels, 3)) * [0.1, 0.1, 0.05]
    names = [f"M{k}" for k in range(n_channels)] if names is None else names
    channels = pd.DataFrame({"name": names, "type": "mag", "unit": "T", **dict(zip("xyz", places.T, strict=True))})
    return Windows.from_arrays((X * 1e-13).astype(np.float32), table, sfreq=SFREQ, channels=channels, modality="meg")


def split(w, contents=16):
    held = w.trials["content_id"].str[1:].astype(int) >= contents
    return w[~held.to_numpy()], w[held.to_numpy()]


@pytest.fixture(scope="module")
def world():
    y = sounds()
    segments = Segments.from_array(y, [f"s{k}" for k in range(len(y))], sfreq=SFREQ)
    parts = [split(subject(f"0{k}", y, sessions=2)) for k in (1, 2)]
    decoder = SequenceContrastiveDecoder(**QUICK).fit([p[0] for p in parts], segments)
    return segments, [p[0] for p in parts], [p[1] for p in parts], decoder


def test_sentences_that_were_never_trained_are_found(world):
    segments, _, test, decoder = world
    candidates = segments[96:]
    assert registry.get("decoders", "sequence_contrastive") is SequenceContrastiveDecoder
    assert decoder.score(test, candidates, k=1) > 0.6 and decoder.score(test, candidates) > 0.95  # chance 1/24, 10/24
    table = decoder.retrieve(test, candidates, n=3)
    assert len(table) == 3 * 96 and table[table["place"] == 1]["correct"].mean() == pytest.approx(
        decoder.score(test, candidates, k=1)
    )
    assert decoder.embed(test).shape == (96, UNITS, T) and decoder.embed(test[1]).shape == (48, UNITS, T)


def test_similarity_is_the_product_over_features_and_time_over_the_segments_length(world):
    segments, _, test, decoder = world
    candidates = segments[100:110]
    z = decoder.embed(test).astype(float)
    y = ((candidates.load() - decoder.targets_.mean[:, None]) / decoder.targets_.scale[:, None]).astype(float)
    want = np.einsum("nut,mut->nm", z, y) / np.sqrt((y**2).sum(axis=(1, 2)))
    assert np.allclose(decoder.similarity(test, candidates), want, rtol=1e-4, atol=1e-4)
    p = decoder.probabilities(test, candidates)
    assert np.allclose(
        p, torch.softmax(torch.from_numpy(want), 1).numpy(), atol=1e-4
    )  # the one-way loss knows no temperature
    mixed = Windows.concat([test[0], test[1]])[
        np.random.default_rng(0).permutation(96)
    ]  # rows of subjects in any order
    rows = pd.Index(joined_trials(test)["window_id"]).get_indexer(mixed.trials["window_id"])
    assert np.allclose(decoder.similarity(mixed, candidates), want[rows], rtol=1e-4, atol=1e-4)
    assert [n for n, _, _ in rows_by_subject(test)] == ["01", "02"]


def test_targets_have_one_mean_and_spread_of_training_segments(world):
    segments, train, _, decoder = world
    y = segments.of(sorted(set(train[0].trials["stimulus_id"]))).astype(float)
    assert decoder.targets_.mean == pytest.approx([y.mean()]) and decoder.targets_.scale == pytest.approx([y.std()])
    own = SequenceTargets.fit(segments, np.arange(96), "unit")
    assert np.allclose(own.mean, y.mean(axis=(0, 2))) and np.allclose(own.scale, y.std(axis=(0, 2)))
    seen = {i for r in decoder.fit_records_ for i in r.ids}
    assert seen <= {i for w in train for i in w.ids} and any("SequenceTargets" in r.step for r in decoder.fit_records_)
    centre = decoder.readers_["01"].transforms[0].centre_
    assert set(centre) == {"01/0", "01/1"}  # each recording has its own scale


def test_windows_of_one_segment_are_never_negatives(world):
    segments, train, _, decoder = world
    parts = [(k, w, decoder.readers_[f"0{k + 1}"]) for k, w in enumerate(train)]
    batches = SequenceBatches(parts, segments, decoder.targets_, n_chans=10, batch_size=32)
    rows = np.array([0, 96, 192])  # s0 in both sessions of one subject and in the other subject
    batch = batches.batch(rows)
    assert len(set(batch["ids"].tolist())) == 1 and batch["subject"].tolist() == [0, 0, 1]
    z = torch.randn(3, UNITS, T)
    assert losses.get("one_way_sequence")(z, batch["y"], ids=batch["ids"]).item() == pytest.approx(0.0, abs=1e-6)
    small = SequenceBatches(
        parts, segments, decoder.targets_, n_chans=12, batch_size=32, n_batches=2, ram_limit=0.0
    )  # nothing in memory
    other = small.batch(rows)
    assert (
        torch.equal(other["y"], batch["y"])
        and torch.equal(other["x"][:, :10], batch["x"])
        and not other["x"][:, 10:].any()
    )
    assert [len(b["x"]) for b in small(torch.Generator().manual_seed(0))] == [32, 32]


def test_regression_is_the_mean_squared_difference_and_its_probabilities_get_a_scale(world):
    segments, train, test, decoder = world
    loss, z, y = losses.get("regression"), torch.randn(4, 3, 5), torch.randn(4, 3, 5)
    assert loss(z, y).item() == pytest.approx(((z - y) ** 2).mean().item())
    with pytest.raises(BraindecError, match="features of the stimulus"):
        loss(z, y[:, :2])
    with pytest.raises(BraindecError, match="memory queue"):
        loss(z, y, queue=losses.MemoryQueue(4, 15))
    made = SequenceContrastiveDecoder(**{**QUICK, "loss": "regression"}).fit(train, segments)
    assert made.scale_ != 1.0 and decoder.scale_ == 1.0 and made.score(test, segments[96:]) > 0.6
    s, own = np.random.default_rng(0).standard_normal((200, 6)), np.zeros(200, int)
    s[:, 0] += 1.0
    grid = [-(np.log(np.exp(c * s[:, 0]) / np.exp(c * s).sum(axis=1))).mean() for c in np.linspace(0.1, 3, 200)]
    assert best_scale(s, own) == pytest.approx(np.linspace(0.1, 3, 200)[int(np.argmin(grid))], rel=0.2)


def test_the_sounds_representation_can_be_learned_too(world, tmp_path):
    segments, train, test, _ = world
    options = {"target_encoder": "deep_mel", "target_options": {"dim": 6, "width": 8, "n_layers": 2}}
    fresh = SequenceContrastiveDecoder(**{**QUICK, **options, "epochs": 0}).fit(train, segments)
    made = SequenceContrastiveDecoder(**{**QUICK, **options}).fit(train, segments)
    assert made.embed(test).shape == (96, 6, T) and made.project(segments[:3]).shape == (3, 6, T)
    assert any(
        not torch.equal(a, b) for a, b in zip(fresh.target_.parameters(), made.target_.parameters(), strict=True)
    )
    assert made.score(test, segments[96:], k=5) > fresh.score(test, segments[96:], k=5) + 0.2
    back = SequenceContrastiveDecoder.load(made.save(tmp_path / "d"))
    assert np.array_equal(back.similarity(test, segments[96:]), made.similarity(test, segments[96:]))
    for wrong in ({"queue": 8}, {"loss": "regression"}):
        with pytest.raises(BraindecError, match="learned"):
            SequenceContrastiveDecoder(**options, **wrong).check()


def test_the_same_seed_gives_the_same_bytes_also_from_disk_and_from_checkpoints(world, tmp_path):
    segments, train, test, _ = world
    options = {**QUICK, "epochs": 2, "patience": 1, "queue": 16, "folder": str(tmp_path / "run")}
    a = SequenceContrastiveDecoder(**options).fit(train, segments)
    b = SequenceContrastiveDecoder(**options).fit(train, segments)  # finds its checkpoint
    c = SequenceContrastiveDecoder(**{**options, "folder": None, "ram_limit": 0.0}).fit(train, segments)
    assert np.array_equal(a.embed(test), b.embed(test)) and np.array_equal(a.embed(test), c.embed(test))
    back = SequenceContrastiveDecoder.load(a.save(tmp_path / "saved"))
    assert np.array_equal(back.embed(test), a.embed(test)) and back.get_params()["queue"] == 16
    assert (
        np.array_equal(back.history_["validation_loss"], a.history_["validation_loss"])
        and "validation_top10" in a.history_
    )
    assert any(r.purpose == "selection" for r in a.fit_records_)
    selected = {i for r in a.fit_records_ if r.purpose == "selection" for i in r.ids}
    fitted = {i for r in a.fit_records_ if r.purpose != "selection" for i in r.ids}
    assert selected and not selected & fitted
    content = {i: c for w in train for i, c in zip(w.ids, w.trials["content_id"], strict=True)}
    assert not {content[i] for i in selected} & {
        content[i] for i in fitted
    }  # early stopping looks at contents of its own
    (tmp_path / "saved" / "decoder.safetensors").write_bytes(b"x")
    with pytest.raises(BraindecError):
        SequenceContrastiveDecoder.load(tmp_path / "saved")


def test_subjects_may_have_other_sensors(world):
    segments, train, test, _ = world
    other_train, other_test = split(subject("07", sounds(), n_channels=7, names=[f"E{k}" for k in range(7)]))
    made = SequenceContrastiveDecoder(**QUICK).fit([train[0], other_train], segments)
    assert made.encoder_.n_chans == 10 and made.encoder_.merger.places.shape == (2, 10, 2)
    assert not made.encoder_.merger.known[1, 7:].any()
    assert (
        made.score(other_test, segments[96:], k=5) > 0.6 and made.score([test[0], other_test], segments[96:], k=5) > 0.6
    )
    with pytest.raises(BraindecError, match="different sensors"):
        SequenceContrastiveDecoder(**{**QUICK, "subject_layers": False}).fit([train[0], other_train], segments)
    blind = Windows.from_arrays(train[0].load(), train[0].trials, sfreq=SFREQ)
    with pytest.raises(BraindecError, match="no positions"):
        SequenceContrastiveDecoder(**QUICK).fit(blind, segments)
    free = {**QUICK["encoder_options"], "positions": None}
    SequenceContrastiveDecoder(**{**QUICK, "encoder_options": free, "epochs": 1}).fit(blind, segments)


def test_a_new_subject_gets_a_layer_and_all_else_stays(world):
    segments, _, _, decoder = world
    train, test = split(subject("03", sounds(), seed=0))
    before = {k: v.clone() for k, v in decoder.encoder_.state_dict().items()}
    made = decoder.adapt(train, segments, how="layer", epochs=12)
    after = made.encoder_.state_dict()
    assert made.subjects_ == ["01", "02", "03"] and decoder.subjects_ == ["01", "02"]
    for name, value in before.items():
        assert torch.equal(decoder.encoder_.state_dict()[name], value)  # the old decoder is as it was
        got = after[name][:2] if name == "subject_layers" else after[name]
        assert torch.equal(got, value), name  # shared weights and statistics too
    assert not torch.equal(after["subject_layers"][2], before["subject_layers"].mean(0))
    zero = decoder.adapt(train, how="scale")
    assert made.score(test, segments[96:], k=5) > zero.score(test, segments[96:], k=5) + 0.15
    mean = decoder.adapt(train, segments, how="layer", epochs=0)  # begins at the mean of the known layers
    assert np.allclose(mean.embed(test), zero.embed(test), atol=1e-5)
    whole = decoder.adapt(train, segments, how="finetune", epochs=1, weight_decay=0.5, optimizer="adamw")
    assert not torch.equal(whole.encoder_.head.out.weight, decoder.encoder_.head.out.weight)
    assert torch.equal(whole.encoder_.subject_layers[:2], decoder.encoder_.subject_layers)
    record = [r for r in made.fit_records_ if r.step.endswith("layer")]
    assert len(record) == 1 and set(record[0].ids) == set(train.ids)


def test_a_new_subject_with_other_sensors_gets_a_layout(world):
    segments, _, test, decoder = world
    train, own = split(subject("04", sounds(), n_channels=12, names=[f"E{k}" for k in range(12)]))
    made = decoder.adapt(train, segments, epochs=12)
    assert made.encoder_.n_chans == 12 and made.encoder_.merger.places.shape == (3, 12, 2)
    assert made.score(own, segments[96:], k=5) > 0.35  # chance 5/24
    assert np.allclose(made.embed(test), decoder.embed(test), atol=1e-5)  # the known ones are decoded as before
    with pytest.raises(BraindecError, match="other sensors"):
        decoder.adapt(train, how="scale")


def test_what_cannot_work_is_said(world):
    segments, train, _, decoder = world
    stranger = subject("09", sounds(30))
    cases = [
        (lambda: decoder.embed(stranger), "does not know subject '09'"),
        (lambda: decoder.adapt(train[0], segments), "knows subject '01' already"),
        (lambda: decoder.adapt(stranger, segments, how="layers"), "did you mean 'layer'"),
        (lambda: decoder.adapt(stranger), "needs the segments"),
        (lambda: decoder.adapt(stranger, segments, preset="base"), "cannot change 'preset'"),
        (lambda: SequenceContrastiveDecoder().embed(stranger), "is not fitted"),
        (lambda: SequenceContrastiveDecoder(**QUICK).fit(train, segments[:50]), "have no segment"),
        (lambda: SequenceContrastiveDecoder(**QUICK).fit(train, segments.mean()), "features of the sounds over time"),
        (lambda: SequenceContrastiveDecoder(**QUICK).fit([w.crop(0, 0.5) for w in train], segments), "differ in length"),
        (lambda: SequenceContrastiveDecoder(encoder="nice", preset="tiny").fit(train, segments), "one vector a window"),
        (lambda: SequenceContrastiveDecoder(encoder=nn.Flatten()).fit(train, segments), "features at each sample"),
        (lambda: SequenceContrastiveDecoder(target_scale="units").check(), "global, unit"),
        (lambda: SequenceContrastiveDecoder(n_batches=0).check(), "n_batches"),
        (lambda: SequenceContrastiveDecoder(**{**QUICK, "subject_layers": False, "epochs": 0}).fit(train, segments).adapt(stranger, segments, how="layer"), "no subject layers"),
    ]  # fmt: skip
    for call, message in cases:
        with pytest.raises(BraindecError, match=message):
            call()


def test_a_module_of_your_own(world, tmp_path):
    segments, train, test, _ = world
    torch.manual_seed(0)
    own = nn.Conv1d(10, UNITS, 3, padding=1)
    made = SequenceContrastiveDecoder(encoder=own, lr=1e-2, epochs=2, patience=None).fit(train, segments)
    other = nn.Conv1d(10, UNITS, 3, padding=1)
    back = SequenceContrastiveDecoder.load(made.save(tmp_path), encoder=other)
    assert np.array_equal(back.embed(test), made.embed(test))
    with pytest.raises(BraindecError, match="of your own"):
        SequenceContrastiveDecoder.load(tmp_path)


def test_ridge_equals_the_normal_equations_and_chooses_by_contents_left_out(world, tmp_path):
    segments, train, test, _ = world
    made = SequenceRidge(lags=(-0.1, 0.1), n_lags=None, alpha=0.3).fit(train, segments)
    reader, w = made.readers_["01"], train[0]
    x = reader.read(w).astype(float)
    steps = range(-2, 3)
    cols = np.zeros((len(w), T, 5, 10))
    for k, s in enumerate(steps):
        for t in range(T):
            if 0 <= t + s < T:
                cols[:, t, k] = x[:, :, t + s]
    A = cols.reshape(len(w) * T, -1)
    assert np.allclose(_lagged(x, np.array(list(steps))), A)
    y = made.targets_.standardise(segments.of(w.trials["stimulus_id"])).swapaxes(1, 2).reshape(len(A), -1).astype(float)
    Ac, yc = A - A.mean(0), y - y.mean(0)
    unit = np.trace(Ac.T @ Ac) / Ac.shape[1]
    weights = np.linalg.solve(Ac.T @ Ac + 0.3 * unit * np.eye(Ac.shape[1]), Ac.T @ yc)
    assert np.allclose(made.weights_["01"][1:], weights, atol=1e-8)
    z = (A @ weights + y.mean(0) - A.mean(0) @ weights).reshape(len(w), T, -1).swapaxes(1, 2)
    assert np.allclose(made.embed([w]), z, atol=1e-4)
    grid = [1e-3, 1e-1, 10.0]
    chosen = SequenceRidge(lags=(-0.1, 0.1), n_lags=None, alpha=grid).fit(train[:1], segments)
    code = np.unique(w.trials["content_id"].astype(str), return_inverse=True)[1] % 4
    fold, errors = np.repeat(code, T), np.zeros(3)
    for f in range(4):
        a, b = A[fold != f], y[fold != f]
        for k, alpha in enumerate(grid):
            c = a - a.mean(0)
            v = np.linalg.solve(
                c.T @ c + alpha * np.trace(c.T @ c) / c.shape[1] * np.eye(c.shape[1]), c.T @ (b - b.mean(0))
            )
            errors[k] += ((y[fold == f] - b.mean(0) - (A[fold == f] - a.mean(0)) @ v) ** 2).sum()
    assert chosen.alpha_["01"] == grid[int(np.argmin(errors))]
    good = SequenceRidge().fit(train, segments)
    assert good.score(test, segments[96:], k=1) > 0.9
    back = SequenceRidge.load(good.save(tmp_path))
    assert (
        np.array_equal(back.similarity(test, segments[96:]), good.similarity(test, segments[96:]))
        and back.scale_ == good.scale_
    )
    with pytest.raises(BraindecError, match="does not know subject"):
        good.embed(subject("05", sounds(12)))
    with pytest.raises(BraindecError, match="alpha"):
        SequenceRidge(alpha=-1.0).check()


def test_the_calibration_curve_compares_the_same_minutes(world):
    segments, _, _, decoder = world
    train, test = split(subject("06", sounds(), sessions=2))
    parts = nested_stretches(train, [0.5, 1.0, 99.0], seed=1)
    rows = [set(r) for r, _ in parts]
    assert rows[0] < rows[1] < rows[2] and len(rows[2]) == len(train)
    assert parts[0][1] == pytest.approx(4 * 8 / 60) and parts[2][1] == pytest.approx(32 * 8 / 60)
    for r, _ in parts:  # whole blocks
        t = train.trials.iloc[sorted(r)]
        assert (t.groupby(["session", "block_id"]).size() == 6).all()
    curve = sequence_calibration(
        decoder, train, segments, test=test, candidates=segments[96:], minutes=[0.5, 2.0], seeds=[0, 1], steps=15
    )
    table = curve.summary()
    assert list(dict.fromkeys(table["condition"])) == ["adapted", "scratch", "zero-shot"] and curve.unit == "minutes"
    assert (
        curve.chance == pytest.approx(10 / 24) and curve.n_test == len(test) and curve.arrays()["value"].shape == (3, 2)
    )
    with pytest.raises(BraindecError, match="did you mean 'scratch'"):
        sequence_calibration(decoder, train, segments, test=test, candidates=segments[96:], conditions=["scrach"])


@pytest.mark.slow
def test_layers_of_subjects_beat_none_and_adaptation_beats_scratch_with_little_data():
    """Six subjects who mix features each in their own way, much noise: paired over seeds."""
    y = sounds(180)
    segments = Segments.from_array(y, [f"s{k}" for k in range(len(y))], sfreq=SFREQ)
    parts = [split(subject(f"0{k}", y, noise=12.0), 22) for k in range(1, 7)]
    train, test, candidates = [p[0] for p in parts], [p[1] for p in parts], segments[132:]
    gains, adapted = [], []
    for seed in range(3):
        options = {**QUICK, "epochs": 15, "seed": seed}
        with_layers = SequenceContrastiveDecoder(**options).fit(train, segments)
        without = SequenceContrastiveDecoder(**{**options, "subject_layers": False}).fit(train, segments)
        gains.append(with_layers.score(test, candidates, k=5) - without.score(test, candidates, k=5))
        new_train, new_test = split(subject("08", y, noise=12.0), 22)
        some = new_train[nested_stretches(new_train, [0.8], seed=seed)[0][0]]
        new = with_layers.adapt(some, segments, epochs=30, batch_size=16)
        alone = SequenceContrastiveDecoder(**{**options, "epochs": 30, "batch_size": 16}).fit(some, segments)
        adapted.append(new.score(new_test, candidates, k=5) - alone.score(new_test, candidates, k=5))
    assert min(gains) > 0.1, gains
    assert np.mean(adapted) > 0.0, adapted
