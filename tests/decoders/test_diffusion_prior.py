"""DiffusionPrior: the closed form of linear Gaussian embeddings, spread that ridge loses, honest rows, files."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone

from braindec.decoders._prior_training import prior_loss, prior_settings
from braindec.decoders.diffusion_prior import DiffusionPrior
from braindec.decoders.ridge import RidgeDecoder
from braindec.diffusion.schedulers import training_scheduler
from braindec.diffusion.transformer_prior import TransformerPrior
from braindec.diffusion.unet_prior import UNetPrior
from braindec.errors import BraindecError
from braindec.train.diffusion import fit_diffusion
from braindec.types import Features, Recording, Windows
from braindec.types.signals import StackedSignal

torch.set_num_threads(1)


def seen(n=500, dim=12, n_voxels=40, noise=11.0, seed=0, first=0):
    """Correlated embeddings, and voxels that see them through noise."""
    rng = np.random.default_rng([seed, 1])
    mixing, weights = rng.normal(size=(dim, dim)), rng.normal(size=(dim, n_voxels))
    rng = np.random.default_rng([seed, 2, first])
    values = (rng.normal(size=(n, dim)) @ mixing + 3.0).astype(np.float32)
    voxels = (values - 3.0) @ weights / np.sqrt(dim) + noise * rng.normal(size=(n, n_voxels))
    items = pd.DataFrame({"stimulus_id": [f"s{first + i:04d}" for i in range(n)]})
    channels = pd.DataFrame({"name": [f"v{i}" for i in range(n_voxels)], "type": "voxel", "unit": "a.u."})
    recording = Recording(
        StackedSignal(voxels.astype(np.float32)[:, :, None]), 1.0, channels, info={"modality": "fmri"}
    )
    trials = items.assign(subject="01", session="n/a", run="n/a", repetition=0, window_id=items["stimulus_id"])
    index = np.stack([np.zeros(n, np.int64), np.arange(n)], axis=1)
    return Windows((recording,), index, 1, trials), Features(values, items)


SMALL = {"steps": 200, "batch_size": 64, "lr": 4e-3, "prior_options": {"dim": 32, "depth": 1}}


@pytest.fixture(scope="module")
def fitted():
    windows, features = seen()
    return DiffusionPrior(**{**SMALL, "steps": 500}).fit(windows, features), windows, features


@pytest.mark.parametrize("kind", ["transformer", "unet"])
def test_trained_prior_is_the_posterior_mean(kind):
    """x0 = A c + s e, so E[x0 | x_t, c] = A c + k (x_t - sqrt(a) A c), k = sqrt(a) s^2 / (a s^2 + 1 - a)."""
    torch.manual_seed(0)
    dim, s = 3, 0.6
    A = torch.tensor([[0.8, 0.0, 0.0], [0.0, -0.6, 0.5], [0.5, 0.5, 0.3]])
    transformer = kind == "transformer"
    prior = (TransformerPrior(dim=32, depth=1, dim_head=16, heads=2, token_dim=dim) if transformer
             else UNetPrior(dim=dim, widths=(96, 48), time_dim=32, through=True))  # fmt: skip
    levels = training_scheduler("base", n_steps=100, latents=True, prediction=prior.prediction_type)

    def batches(generator):
        for _ in range(50):
            c = torch.randn(96, dim, generator=generator)
            yield {"x": c, "y": c @ A.T + s * torch.randn(96, dim, generator=generator)}

    def loss(model, batch, generator):
        return prior_loss(model, levels, batch["x"], batch["y"], generator, condition_drop=0.1)

    fit_diffusion(prior, loss, batches, steps=300, lr=5e-3, ema=0.97, weight_decay=0.0, seed=0)
    generator = torch.Generator().manual_seed(1)
    c = torch.randn(400, dim, generator=generator)
    clean = c @ A.T + s * torch.randn(400, dim, generator=generator)
    for t in (10, 40, 70):
        a = levels.alphas_cumprod[t]
        noised = a.sqrt() * clean + (1 - a).sqrt() * torch.randn(400, dim, generator=generator)
        for given, mean, spread in ((c, c @ A.T, torch.full((dim,), s**2).diag()),
                                    (None, torch.zeros(400, dim), A @ A.T + torch.eye(dim) * s**2)):  # fmt: skip
            k = a.sqrt() * spread @ torch.linalg.inv(a * spread + (1 - a) * torch.eye(dim))
            exact = mean + (noised - a.sqrt() * mean) @ k.T
            with torch.no_grad():
                found = prior(noised, t, given)
            found = found if transformer else (noised - (1 - a).sqrt() * found) / a.sqrt()
            limit = 0.1 if given is not None else 0.2  # of the variance; a tenth of the rows taught the second
            assert ((found - exact) ** 2).mean() < limit * clean.var(), (t, given is None)


def test_samples_vary_as_embeddings_do(fitted):
    """Ridge predicts a mean, which is shorter; its loss of length is undone without losing the direction."""
    decoder, windows, _ = fitted
    test, features = seen(300, first=1000)
    true = decoder.project(features).load()
    ridge, made = decoder.project(decoder.brain_embedding(test)), decoder.embed(test)
    assert np.allclose(ridge, RidgeDecoder().fit(windows, fitted[2]).embed(test), atol=1e-4)
    spread = true.var(axis=0).mean()
    assert ridge.var(axis=0).mean() < 0.6 * spread
    assert 0.8 * spread < made.var(axis=0).mean() < 1.2 * spread
    length = [np.linalg.norm(v, axis=1).mean() for v in (ridge, made, true)]
    assert length[0] < 0.8 * length[2] and abs(length[1] - length[2]) < 0.1 * length[2]
    agree = [np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(v, true)]) for v in (made, made[::-1])]
    assert agree[0] > 0.25 > 0.1 > abs(agree[1])
    many = np.mean(
        [decoder.project(decoder.sample(decoder.condition(test), names=test.ids, seed=s)) for s in range(10)], axis=0
    )
    assert ((many - ridge) ** 2).mean() < 0.35 * ((made - ridge) ** 2).mean()  # their mean is what ridge predicts


def test_without_a_condition_samples_are_the_marginal(fitted):
    decoder, _, features = fitted
    names = [f"n{i}" for i in range(400)]
    made, true = decoder.sample(None, names=names), features.load()
    made, true = ((v - true.mean(axis=0)) / true.std(axis=0) for v in (made, true))
    assert np.abs(made.mean(axis=0)).max() < 0.25
    assert np.allclose(made.var(axis=0), 1.0, atol=0.35) and abs(made.var(axis=0).mean() - 1) < 0.15
    off = ~np.eye(12, dtype=bool)
    assert np.corrcoef(np.corrcoef(made.T)[off], np.corrcoef(true.T)[off])[0, 1] > 0.9


def test_a_window_by_itself_and_the_same_seed(fitted):
    decoder, _, _ = fitted
    test, _ = seen(70, first=2000)
    full = decoder.describe(test)
    assert np.array_equal(decoder.describe(test), full)
    assert np.allclose(decoder.describe(test[5:6]), full[5:6], atol=1e-4)
    given = decoder.condition(test)
    assert np.array_equal(decoder.sample(given[3:4], names=test.ids[3:4]), decoder.sample(given, names=test.ids)[3:4])
    assert not np.allclose(decoder.sample(given, names=test.ids, seed=1), full, atol=1e-2)


def test_saved_and_loaded(fitted, tmp_path):
    decoder, _, _ = fitted
    test, _ = seen(20, first=2000)
    decoder.save(tmp_path / "d")
    loaded = DiffusionPrior.load(tmp_path / "d")
    assert np.array_equal(loaded.embed(test), decoder.embed(test))
    assert loaded.score(test, seen(20, first=2000)[1]) == decoder.score(test, seen(20, first=2000)[1])
    assert not [f for f in (tmp_path / "d").rglob("*") if f.suffix in (".bin", ".pt", ".pkl")]
    assert [r.step for r in loaded.fit_records_] == [r.step for r in decoder.fit_records_]


def test_same_fit_same_bytes(fitted):
    decoder, windows, features = fitted
    again = clone(decoder).set_params(steps=20).fit(windows, features)
    once = clone(decoder).set_params(steps=20).fit(windows, features)
    assert np.array_equal(again.embed(windows[:9]), once.embed(windows[:9]))
    other = clone(decoder).set_params(steps=20, seed=1).fit(windows, features)
    assert not np.array_equal(other.embed(windows[:9]), once.embed(windows[:9]))


def test_cross_fitting_gives_the_prior_what_the_embedder_does_to_new_rows():
    """With more voxels than trials ridge fits its own rows; a prior that is trained on them trusts the brain too much."""
    windows, features = seen(100, n_voxels=150)
    ridge = {"name": "ridge", "alpha": 1.0}
    test, wanted = seen(200, n_voxels=150, first=1000)
    errors = {}
    for cross_fit in (0, 5):
        decoder = DiffusionPrior(**SMALL, embedder=ridge, cross_fit=cross_fit).fit(windows, features)
        made = np.mean(
            [decoder.project(decoder.sample(decoder.condition(test), names=test.ids, seed=s)) for s in range(4)], axis=0
        )
        errors[cross_fit] = ((made - decoder.project(wanted).load()) ** 2).mean()
    assert errors[5] < 0.95 * errors[0]


def test_encoder_trained_along(tmp_path):
    windows, features = seen(300, noise=6.0)
    options = {
        "encoder": "mindeye",
        "encoder_options": {"width": 48, "projector_width": 32},
        "n_tokens": 2,
        "steps": 250,
    }
    decoder = DiffusionPrior(**{**SMALL, **options}).fit(
        windows, features, validation=seen(60, noise=6.0, first=900)[0][:0] or None
    )
    test, wanted = seen(60, noise=6.0, first=1000)
    assert decoder.pipeline_.prior.sample_shape == (2, 6) and decoder.condition(test).shape == (60, 24)
    assert decoder.score(test, wanted) > 0.15  # chance is 1 in 60
    assert decoder.set_params(retrieve_with="prior").score(test, wanted) > 0.05
    decoder.save(tmp_path / "d")
    loaded = DiffusionPrior.load(tmp_path / "d")
    assert np.array_equal(loaded.embed(test), decoder.embed(test))
    assert np.array_equal(loaded.condition(test[4:5]), decoder.condition(test)[4:5])


@pytest.mark.parametrize("joint", [False, True])
def test_too_little_memory_is_said_before_the_training(joint, monkeypatch):
    windows, features = seen(40)
    options = {"encoder": "mindeye", "encoder_options": {"token_dim": 12}} if joint else {"cross_fit": 2}
    monkeypatch.setattr("braindec.train.diffusion.available_memory", lambda device: 2**16)
    with pytest.raises(BraindecError, match="memory"):
        DiffusionPrior(**{**SMALL, **options, "steps": 1}).fit(windows, features)


def test_validation_rows_choose_the_step():
    windows, features = seen(150)
    more = seen(50, first=700)
    both = Features(np.concatenate([features.load(), more[1].load()]), pd.concat([features.items, more[1].items]))
    decoder = DiffusionPrior(**{**SMALL, "steps": 60}).fit(windows, both, validation=more[0])
    found = decoder.history_["validation_loss"]
    assert np.isfinite(found).all() and decoder.history_["best_step"][0] == decoder.history_["step"][found.argmin()]
    record = [r for r in decoder.fit_records_ if r.purpose == "selection"]
    assert len(record) == 1 and set(record[0].ids) == set(more[0].ids)
    assert not {i for r in decoder.fit_records_ if r.purpose != "selection" for i in r.ids} & set(more[0].ids)


def test_candidates_agree_better_with_the_brain(fitted):
    decoder, _, _ = fitted
    test, _ = seen(64, first=3000)
    given = decoder.condition(test)
    brain = decoder.project(given)

    def closeness(n):
        made = decoder.project(decoder.sample(given, names=test.ids, n_candidates=n))
        return np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(made, brain)])

    assert closeness(6) > closeness(1) + 0.1


def test_settings_of_the_papers():
    mindeye, atm = prior_settings("transformer", "paper:mindeye", {}), prior_settings("unet", "paper", {})
    assert (mindeye["levels"], mindeye["condition_drop"], mindeye["num_inference_steps"], mindeye["lr"]) == (
        100,
        0.2,
        20,
        3e-4,
    )
    assert (atm["condition_drop"], atm["num_inference_steps"], atm["guidance_scale"], atm["warm_up"]) == (
        0.1,
        50,
        5.0,
        500,
    )
    assert (atm["batch_size"], atm["lr"]) == (1024, 1e-3)
    assert DiffusionPrior().prior_weight == 30.0


def test_wrong_options_are_explained():
    windows, features = seen(30)
    with pytest.raises(BraindecError, match="no prior 'transfomer'.*transformer"):
        DiffusionPrior(kind="transfomer").fit(windows, features)
    with pytest.raises(BraindecError, match="256 tokens of 1664"):
        DiffusionPrior(preset="paper").fit(windows, features)
    with pytest.raises(BraindecError, match="cut into tokens"):
        DiffusionPrior(n_tokens=5).fit(windows, features)
    with pytest.raises(BraindecError, match="not both"):
        DiffusionPrior(embedder={"name": "ridge"}, encoder="mindeye").fit(windows, features)
    with pytest.raises(BraindecError, match="share of the rows"):
        DiffusionPrior(condition_drop=1.0).check()
    with pytest.raises(BraindecError, match="for the transformer prior"):
        DiffusionPrior(kind="unet", sample_drop=0.2).check()
    with pytest.raises(BraindecError, match="retrieve_with"):
        DiffusionPrior(retrieve_with="truth").check()
    with pytest.raises(BraindecError, match="not fitted"):
        DiffusionPrior().embed(windows)
