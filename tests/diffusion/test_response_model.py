"""Encoding models that gradients pass through: features, readout, identity, weights of a CLIP model."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from braindec.diffusion.picture_features import make_network
from braindec.diffusion.response_model import ResponseModel
from braindec.errors import BraindecError

CASES = {
    "grid": {"grid": 3},
    "gabor": {"grid": 2, "wavelengths": [3.0]},
    "conv": {"widths": [6, 8], "grid": 2, "seed": 3},
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", CASES)
def test_the_gradient_reaches_the_picture(name, channels):
    model = ResponseModel(network=name, n_targets=5, size=(9, 12), channels=channels, options=CASES[name]).double()
    images = torch.rand(
        2, channels, 9, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True
    )
    way = torch.randn(images.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    weights = torch.randn(2, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    (gradient,) = torch.autograd.grad((model(images) * weights).sum(), images)
    with torch.no_grad():
        numeric = ((model(images + 1e-5 * way) - model(images - 1e-5 * way)) * weights).sum() / 2e-5
    assert float(numeric) == pytest.approx(float((gradient * way).sum()), rel=1e-5)


def test_grid_features_are_means_and_gabors_ignore_plain_grey():
    images = torch.rand(2, 3, 8, 8)
    means = make_network("grid", channels=3, grid=2)(images)
    assert torch.allclose(means[:, :4], images[:, 0].reshape(2, 2, 4, 2, 4).mean(dim=(2, 4)).reshape(2, 4), atol=1e-6)
    gabor = make_network("gabor", channels=1, n_orientations=2, wavelengths=(4.0,), grid=1)
    flat = gabor(torch.full((1, 1, 16, 16), 0.7))[0]
    assert flat[0] == pytest.approx(0.7) and torch.allclose(flat[1:], torch.full((2,), 0.01), atol=1e-4)
    x = torch.arange(16) * 2 * torch.pi / 4
    upright = gabor((0.5 + 0.4 * torch.cos(x)).expand(1, 1, 16, 16))[0]
    assert upright[1] > 5 * upright[2]  # waves along x drive the first orientation


def test_one_architecture_and_one_model():
    same = [ResponseModel(network="conv", n_targets=2, size=(8, 8), channels=1, options={"seed": s}) for s in (0, 1)]
    other = ResponseModel(network="gabor", n_targets=2, size=(8, 8), channels=1)
    assert same[0].architecture() == same[1].architecture() != other.architecture()
    assert same[0].fingerprint() != same[1].fingerprint()
    copy = ResponseModel(network="conv", n_targets=2, size=(8, 8), channels=1, options={"seed": 1})
    copy.load_state_dict(same[0].state_dict())
    assert copy.fingerprint() == same[0].fingerprint()


def test_features_are_standardised_and_saved(tmp_path):
    pictures = np.random.default_rng(0).random((300, 8, 8, 1)).astype(np.float32)
    pictures[:, 0, 0] = 0.5
    model = ResponseModel(network="grid", n_targets=3, size=(8, 8), channels=1, options={"grid": 8})
    model.standardise(pictures)
    values = model.describe(pictures)
    assert np.allclose(values[:, 1:].mean(axis=0), 0, atol=1e-4) and np.allclose(
        values[:, 1:].std(axis=0), 1, atol=1e-3
    )
    assert (values[:, 0] == 0).all()  # what never changes says nothing
    model.set_readout(np.full((64, 3), np.nan), np.array([1.0, np.nan, 2.0]))
    assert np.allclose(model.predict(pictures[:2]), [[1, 0, 2]] * 2)
    model.save_pretrained(tmp_path, safe_serialization=True)
    assert np.array_equal(ResponseModel.from_pretrained(tmp_path).describe(pictures[:5]), values[:5])


def test_a_clip_model_by_its_folder(tmp_path):
    transformers = pytest.importorskip("transformers")
    from braindec.diffusion.picture_features import open_clip

    config = transformers.CLIPVisionConfig(hidden_size=16, intermediate_size=20, projection_dim=12, num_hidden_layers=1, num_attention_heads=2,
                                           image_size=16, patch_size=8)  # fmt: skip
    transformers.CLIPVisionModelWithProjection(config).save_pretrained(tmp_path / "clip")
    settings, weights = open_clip(tmp_path / "clip")
    model = ResponseModel(network="clip", n_targets=2, size=(8, 8), channels=1, options={"vision": settings})
    model.body.model.load_state_dict(weights)
    images = torch.rand(3, 1, 8, 8, requires_grad=True)
    features = model.body(images)
    assert features.shape == (3, 12) and torch.allclose(features.norm(dim=1), torch.ones(3), atol=1e-5)
    assert torch.autograd.grad(features[:, 0].sum(), images)[0].abs().sum() > 0
    (tmp_path / "clip" / "model.safetensors").rename(tmp_path / "clip" / "pytorch_model.bin")
    with pytest.raises(BraindecError, match="pickled weights are not opened"):
        open_clip(tmp_path / "clip")
    with pytest.raises(BraindecError, match="no CLIP model"):
        open_clip(tmp_path)


def test_wrong_input_is_said():
    with pytest.raises(BraindecError, match="did you mean 'gabor'"):
        make_network("gabors", channels=1)
    with pytest.raises(BraindecError, match="cannot be built"):
        make_network("conv", channels=1, depth=3)
    model = ResponseModel(network="grid", n_targets=1, size=(8, 8), channels=1)
    for shape in ((2, 8, 8, 3), (2, 16, 16, 1)):
        with pytest.raises(BraindecError, match="do not fit the encoding model"):
            model.predict(np.zeros(shape, np.float32))
    with pytest.raises(BraindecError, match="height, width, channel"):
        model.predict(np.zeros((8, 8, 1), np.float32))
