"""Every registered encoder: presets, shapes, gradients, refusals, saving."""

import json

import pytest
import torch

from braindec import registry
from braindec.encoders._base import Encoder
from braindec.errors import BraindecError

NAMES = registry.names("encoders")
LARGEST = 300_000_000  # parameters that a test may hold in memory
SIZES = {"n_chans": 7, "n_times": 130, "dim": 6}


def build(name, preset="tiny", **changes):
    torch.manual_seed(0)
    return registry.get("encoders", name).from_preset(preset, **{**SIZES, **changes})


@pytest.mark.parametrize("preset", ["tiny", "base", "paper"])
@pytest.mark.parametrize("name", NAMES)
def test_presets_map_windows_to_vectors(name, preset):
    with torch.device("meta"):  # nothing is allocated
        size = build(name, preset).n_parameters
    if size > LARGEST:
        with torch.device("meta"):
            assert build(name, preset)(torch.randn(3, 7, 130)).shape == (3, 6)
        return
    model = build(name, preset)
    assert isinstance(model, Encoder)
    out = model(torch.randn(3, 7, 130))
    assert out.shape == (3, 6) and torch.isfinite(out).all()


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_gets_a_finite_gradient(name):
    model = build(name)
    context = {"subject": torch.full((4,), -1)} if model.uses_subject else {}
    model(torch.randn(4, 7, 130), **context).square().sum().backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), key


@pytest.mark.parametrize("name", NAMES)
def test_evaluation_does_not_look_at_the_other_windows(name):
    model, x = build(name).eval(), torch.randn(5, 7, 130)
    torch.testing.assert_close(model(x)[2:3], model(x[2:3]), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_saved_and_loaded_it_gives_the_same_numbers(name, tmp_path):
    model, x = build(name), torch.randn(4, 7, 130)
    model(x)  # running statistics differ from the first ones
    model.eval().save(tmp_path)
    other = type(model).load(tmp_path)
    assert torch.equal(other(x), model(x)) and other.settings == model.settings
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.json", "model.safetensors"]
    if type(model).__module__.startswith("braindec.encoders."):
        assert torch.equal(Encoder.load(tmp_path)(x), model(x))
    about = json.loads((tmp_path / "model.json").read_text())
    assert about["n_parameters"] == model.n_parameters and about["settings"]["n_chans"] == 7
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"1234")
    with pytest.raises(BraindecError, match="not the file that its JSON describes"):
        Encoder.load(tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_refusals_say_what_is_allowed(name):
    with pytest.raises(BraindecError, match=r"\(batch, 7, 130\)"):
        build(name)(torch.zeros(2, 7, 129))
    with pytest.raises(BraindecError, match="n_chans"):
        build(name, n_chans=0)
    with pytest.raises(BraindecError, match="tiny"):
        build(name, preset="tinny")
    with pytest.raises(BraindecError, match="no setting 'n_filtres'"):
        build(name, n_filtres=3)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_weights(name):
    a, b = build(name), build(name)
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))
