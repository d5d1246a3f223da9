"""Latent embeddings: planted rings and paths are recovered on held-out time, chance where nothing is planted."""

import numpy as np
import pytest
import torch

from braindec.decoders._latent_sessions import parts_of, windows_at
from braindec.decoders._latent_training import LatentBatches, LatentContrast
from braindec.decoders.latents import ContrastiveLatents
from braindec.decoders.linear_latents import LinearLatents
from braindec.errors import BraindecError
from braindec.ridge.folds import contiguous_folds
from braindec.spikes.consistency import consistency
from braindec.spikes.planted_latents import planted_latents
from braindec.spikes.read_out import read_out, scored

QUICK = {"root": True, "epochs": 6, "batches_per_epoch": 15, "patience": None, "validation_share": 0.0}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def ring():
    made = planted_latents("ring", n_sessions=2, n_units=40, seconds=150, rng=1)
    return made, [s.counts(made.width).signal.read().astype(float) for s in made.spikes]


def held_out(model, signal, labels, *, how="linear", n_shifts=99):
    """One contiguous last third is held out from embedding and read-out."""
    fold = contiguous_folds(signal.shape[1], 3, buffer=30)[-1:]
    latents = model.fit(signal, labels, rows=fold[0][0]).transform(signal)
    return scored(read_out(latents, labels, folds=fold, how=how), n_shifts=n_shifts, n_bootstrap=0)


@pytest.mark.parametrize("method", ["time", "label", "time_label"])
def test_a_planted_ring_is_read_from_held_out_time(ring, method):
    made, signals = ring
    found = held_out(ContrastiveLatents(method=method, **QUICK), signals[0], made.place[0])
    assert found.value > 0.9 and found.p <= 0.01


def test_a_planted_path_is_read_from_held_out_time():
    made = planted_latents("plane", n_sessions=1, n_units=120, seconds=200, rate=30, rng=0)
    signal = made.spikes[0].counts(made.width).signal.read()
    model = ContrastiveLatents(method="label", similarity="euclidean", **{**QUICK, "epochs": 12})
    assert held_out(model, signal, made.place[0]).value > 0.9


def test_chance_without_a_course_in_time_and_with_labels_of_another_time(ring):
    made, signals = ring
    rng = np.random.default_rng(0)
    shuffled = signals[0][:, rng.permutation(signals[0].shape[1])]
    found = held_out(ContrastiveLatents(method="time", **QUICK), shuffled, made.place[0])
    assert found.value < 0.1
    turned = np.roll(made.place[0], 1500, axis=0)
    found = held_out(ContrastiveLatents(method="label", **QUICK), signals[0], turned)
    assert found.value < 0.1 and found.p > 0.05
    other = planted_latents("ring", n_sessions=1, seconds=60, shuffled=True, rng=2)
    x = other.spikes[0].counts(other.width).signal.read()
    assert held_out(ContrastiveLatents(method="time", **QUICK), x, other.place[0]).value < 0.1


def test_sessions_with_other_neurons_share_the_space_of_the_label(ring):
    made, signals = ring
    folds = [contiguous_folds(s.shape[1], 2, buffer=30)[0] for s in signals]
    model = ContrastiveLatents(method="label", **QUICK).fit(signals, made.place, rows=[f[0] for f in folds])
    latents = model.transform(signals)
    rows = [f[1] for f in folds]
    angles = tuple(a[r] for a, r in zip(made.angle, rows, strict=True))
    found = consistency(latents[0][rows[0]], latents[1][rows[1]], labels=angles, circular=True, n_folds=3, n_shifts=39)
    assert found.r2 > 0.8 and found.p <= 0.03
    # one space: what is learned from one session's latents reads the other's
    weights = np.linalg.lstsq(latents[0][folds[0][0]], made.place[0][folds[0][0]], rcond=None)[0]
    wrong = made.place[1][rows[1]] - latents[1][rows[1]] @ weights
    assert 1 - (wrong**2).sum() / (made.place[1][rows[1]] ** 2).sum() > 0.8


def test_goodness_is_above_that_of_positives_from_another_time(ring):
    _, signals = ring
    rows = np.arange(signals[0].shape[1]) >= 2000
    model = ContrastiveLatents(method="time", **QUICK).fit(signals[0], rows=~rows)
    found = model.goodness(signals[0], rows=rows, n_shifts=39)
    assert found.p <= 0.03 and 0.5 < found.bits < found.most and found.null.max() < 0.3
    noise = np.random.default_rng(0).standard_normal(signals[0].shape)
    flat = ContrastiveLatents(method="time", **{**QUICK, "root": False, "before": 0, "after": 0}).fit(noise, rows=~rows)
    assert flat.goodness(noise, rows=rows, n_shifts=39).p > 0.02


def test_classes_pull_together_what_belongs_together():
    rng = np.random.default_rng(0)
    kind = np.repeat(rng.permutation(np.arange(60) % 3), 20)
    signal = rng.poisson(3, (20, len(kind))) + 3.0 * (np.arange(20)[:, None] % 3 == kind)
    names = np.array(["rest", "run", "turn"])[kind]
    for how in ("linear", "neighbours"):
        found = held_out(ContrastiveLatents(method="label", before=1, after=1, **QUICK), signal, names, how=how)
        assert found.metric == "balanced_accuracy" and found.value > 0.9 and found.chance == pytest.approx(1 / 3)


def test_samples_outside_rows_change_nothing_and_the_records_say_what_was_seen(ring):
    _, signals = ring
    x = signals[0][:, :800]
    rows = np.arange(800) < 500
    model = ContrastiveLatents(method="time", root=True, epochs=2, batches_per_epoch=3)
    other = x.copy()
    other[:, ~rows] = 99.0
    a, b = (ContrastiveLatents(**model.get_params()).fit(v, rows=rows) for v in (x, other))
    assert all(torch.equal(p, q) for p, q in zip(a.encoders_[0].parameters(), b.encoders_[0].parameters(), strict=True))
    seen = [{int(i.split(":")[1]) for i in r.ids} for r in a.fit_records_]
    assert max(max(s) for s in seen) < 500 and a.fit_records_[-1].purpose == "selection"
    assert min(abs(i - j) for i in seen[1] for j in seen[2]) > model.before + model.after + model.lag
    c = ContrastiveLatents(**{**model.get_params(), "seed": 1}).fit(x, rows=rows)
    assert not torch.equal(next(a.encoders_[0].parameters()), next(c.encoders_[0].parameters()))


def test_windows_and_parts():
    values = np.arange(20.0)[None]
    assert windows_at(values, np.array([0, 10, 19]), before=2, after=1)[:, 0].tolist() == [
        [0, 0, 0, 1], [8, 9, 10, 11], [17, 18, 19, 19]]  # fmt: skip
    rows = np.ones(200, dtype=bool)
    rows[90:110] = False
    train, held = parts_of(rows, before=3, after=2, reach=4, share=0.2)
    for part in (train, held):
        assert all(rows[i - 3 : i + 3].all() for i in part)
    assert len(held) and min(abs(i - j) for i in train for j in held) > 3 + 2 + 4


def test_the_loss_is_the_published_one():
    torch.manual_seed(0)
    z = torch.randn(8, 5, dtype=torch.float64)
    codes = torch.tensor([0, 0, 1, 1, 2, 2, 2, 0], dtype=torch.float64)
    y = torch.stack([torch.zeros(8, dtype=torch.float64), torch.arange(8.0, dtype=torch.float64), codes], 1)
    loss = LatentContrast(lag=0, labelled="classes", bandwidth=1.0, temperature=0.5, similarity="cosine")
    u = torch.nn.functional.normalize(z, dim=1)
    expected = 0.0
    for i in range(8):  # Khosla et al. 2020, equation 2, written out
        others = [k for k in range(8) if k != i]
        total = sum(torch.exp(u[i] @ u[k] / 0.5) for k in others)
        positives = [k for k in others if codes[k] == codes[i]]
        expected -= sum(torch.log(torch.exp(u[i] @ u[k] / 0.5) / total) for k in positives) / len(positives) / 8
    torch.testing.assert_close(loss(z, y), expected)
    near = LatentContrast(lag=1, labelled="no", bandwidth=1.0, temperature=0.5, similarity="cosine")
    apart = y.clone()
    apart[:, 1] = torch.tensor([0, 1, 10, 11, 20, 21, 30, 31], dtype=torch.float64)
    expected = 0.0
    for i in range(8):  # van den Oord et al. 2018, equation 4: the positive among all other samples of the session
        total = sum(torch.exp(u[i] @ u[k] / 0.5) for k in range(8) if k != i)
        expected -= torch.log(torch.exp(u[i] @ u[i ^ 1] / 0.5) / total) / 8
    torch.testing.assert_close(near(z, apart), expected)
    apart[4:, 0] = 1.0  # samples of another session are no negatives
    assert near(z, apart) < expected


def test_numbers_are_positives_by_their_distance():
    loss = LatentContrast(lag=0, labelled="numbers", bandwidth=0.5, temperature=1.0, similarity="euclidean")
    labels = torch.tensor([[0.0], [0.5], [3.0]])
    expected = torch.exp(-((labels - labels.T) ** 2) / 0.5)
    torch.testing.assert_close(loss.alike(labels), expected)


def test_pairs_of_a_batch_are_close_in_time_or_of_one_class():
    values = [np.random.default_rng(0).standard_normal((4, 300)).astype(np.float32)]
    samples = [np.setdiff1d(np.arange(20, 280), np.arange(100, 140))]
    options = {"before": 1, "after": 1, "batch_size": 64, "n_batches": 1}
    batch = LatentBatches(values, samples, None, lag=4, paired=False, **options).draw(np.random.default_rng(0))
    times = batch["y"][:, 1].numpy()
    step = times[32:] - times[:32]
    assert (step >= 1).all() and (step <= 4).all() and set(times) <= set(samples[0]) and len(set(step)) == 4
    codes = [(np.arange(300) // 7 % 3)[:, None].astype(float)]
    batch = LatentBatches(values, samples, codes, lag=0, paired=True, **options).draw(np.random.default_rng(0))
    assert torch.equal(batch["y"][:32, 2], batch["y"][32:, 2]) and len(set(batch["y"][:, 2].tolist())) == 3


@pytest.mark.parametrize("method", ["counts", "pca", "lagged", "targeted"])
def test_linear_latents_stand_beside(ring, method):
    made, signals = ring
    found = held_out(LinearLatents(method=method, root=True), signals[0], made.place[0])
    assert found.value > 0.85


def test_linear_latents_are_what_they_say():
    rng = np.random.default_rng(0)
    slow = np.convolve(rng.standard_normal(3100), np.ones(101) / 10, mode="valid")[:3000]
    fast = rng.standard_normal(3000) * 3 * slow.std()
    mix = rng.standard_normal((6, 2)) @ np.stack([slow, fast]) + 0.01 * rng.standard_normal((6, 3000))
    z = LinearLatents(method="lagged", dim=1, before=0, after=0).fit(mix).transform(mix)
    assert abs(np.corrcoef(z[:, 0], slow)[0, 1]) > 0.98
    pca = LinearLatents(method="pca", dim=2, before=0, after=0).fit(mix).transform(mix)
    assert abs(np.corrcoef(pca.T)[0, 1]) < 0.02
    scaled = (mix - mix.mean(1, keepdims=True)) / mix.std(1, keepdims=True)
    assert pca.var(axis=0).sum() == pytest.approx(np.linalg.eigvalsh(np.cov(scaled, bias=True))[-2:].sum(), rel=0.01)
    counts = LinearLatents(method="counts", before=1, after=1).fit(mix).transform(mix)
    np.testing.assert_allclose(counts[10] - counts[11], (scaled[:, 9] - scaled[:, 12]) / 3, atol=1e-4)


def test_wrong_input_is_refused(ring):
    made, signals = ring
    x = signals[0][:, :400]
    for bad, message in (({"method": "tme"}, "time"), ({"dim": 0}, "dim"), ({"lag": 0}, "lag"), ({"temperature": 0.0}, "temperature"),
                         ({"similarity": "dot"}, "cosine"), ({"encoder_options": {"hiden": 3}}, "hidden")):  # fmt: skip
        with pytest.raises(BraindecError, match=message):
            ContrastiveLatents(**bad).fit(x)
    model = ContrastiveLatents(method="label", epochs=1, batches_per_epoch=1)
    with pytest.raises(BraindecError, match="needs labels"):
        model.fit(x)
    with pytest.raises(BraindecError, match=r"\(400,\)"):
        model.fit(x, made.place[0])
    with pytest.raises(BraindecError, match="not finite"):
        model.fit(np.where(x > 3, np.nan, x), made.place[0][:400])
    with pytest.raises(BraindecError, match="do not vary"):
        model.fit(x, np.ones(400))
    with pytest.raises(BraindecError, match="bin width"):
        model.fit(made.spikes[0], made.place[0])
    with pytest.raises(BraindecError, match="too few samples"):
        model.fit(x, made.place[0][:400], rows=np.arange(20))
    with pytest.raises(BraindecError, match="not fitted"):
        model.transform(x)
    fitted = ContrastiveLatents(epochs=1, batches_per_epoch=1).fit([x, signals[1][:20, :400]])
    with pytest.raises(BraindecError, match="which one"):
        fitted.transform(x)
    with pytest.raises(BraindecError, match="40 units"):
        fitted.transform(x[:3], session=0)
    assert fitted.transform(x, session=0).shape == (400, 6) and len(fitted.transform([x, signals[1][:20, :400]])) == 2
