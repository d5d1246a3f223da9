"""Networks that describe pictures: built in, from tiny models saved on disk, and what they refuse."""

import json
import sys

import numpy as np
import pytest
import torch

from braindec import registry
from braindec.errors import BraindecError
from braindec.evaluate.picture_network import PictureNetwork, open_network
from braindec.evaluate.picture_networks.gabor import Gabor
from braindec.evaluate.pictures.two_way import two_way


def pictures(n=4, size=32, channels=3, seed=0):
    return np.random.default_rng(seed).random((n, size, size, channels), dtype=np.float32)


def grating(angle, *, size=32, wavelength=6.0, phase=0.0):
    """Stripes that change along ``angle`` (degrees, 0 along columns)."""
    y, x = np.meshgrid(np.arange(size), np.arange(size), indexing="ij")
    along = np.cos(np.radians(angle)) * x + np.sin(np.radians(angle)) * y
    return (0.5 + 0.4 * np.cos(2 * np.pi * along / wavelength + phase))[..., None]


@pytest.mark.parametrize("name", ["pixels", "gabor", "random_conv"])
@pytest.mark.parametrize(("size", "channels"), [(8, 1), (32, 3), (21, 3), (100, 1)])
def test_built_in_networks_describe_each_picture_alone(name, size, channels):
    network = open_network(name)
    x = pictures(3, size, channels)
    found = network(x)
    assert found.ndim == 2 and found.shape[0] == 3 and np.isfinite(found).all()
    np.testing.assert_allclose(network(x[1:2]), found[1:2], rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(open_network(name)(x), found)
    assert two_way.score(x, x, network=network) == 1


def test_gabor_energy_prefers_its_orientation_and_scale():
    network = Gabor(n_orientations=8)
    for k in (0, 2, 5):
        for scale, wavelength in enumerate((3.0, 6.0, 12.0), start=1):
            picture = grating(22.5 * k, wavelength=wavelength, size=48)[None]
            maps = [network.maps(picture, (f"scale-{s}",))[0].mean(axis=(0, 1, 2)) for s in (1, 2, 3)]
            assert int(np.argmax([m.max() for m in maps])) + 1 == scale
            assert int(maps[scale - 1].argmax()) == k


def test_gabor_energy_keeps_phase_out_and_pixels_do_not():
    a, b = (grating(30, phase=p)[None] for p in (0.0, np.pi))
    energy = [Gabor()(v, layer="energy").ravel() for v in (a, b)]
    assert np.corrcoef(*energy)[0, 1] > 0.95
    assert np.corrcoef(a.ravel(), b.ravel())[0, 1] < -0.95


def test_gabor_sees_colour_of_one_brightness():
    x = np.full((2, 16, 16, 3), 0.5)
    x[1, 4:12, 4:12] = [0.9, 0.5 - 0.4 * 0.2125 / 0.7154, 0.5]
    found = Gabor()(x)
    assert np.abs(found[1] - found[0]).max() > 0.1


def test_random_conv_has_classes_and_a_seed():
    network = open_network({"name": "random_conv", "layer": "classes", "n_classes": 7})
    found = network(pictures())
    assert found.shape == (4, 7) and network.probabilities
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    other = open_network({"name": "random_conv", "seed": 1})(pictures())
    assert not np.allclose(other, open_network("random_conv")(pictures()))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Gabor(grid=0), "1 place"),
        (lambda: Gabor()(pictures(size=3)), "at least 4 pixels"),
        (lambda: Gabor()(pictures(size=8), layer="scale-3"), "have no scale-3"),
        (lambda: open_network({"name": "random_conv", "layer": "conv-9"}), "random_conv needs a layer"),
        (lambda: open_network({"weights": "x"}), "its name and options"),
        (lambda: PictureNetwork().maps(pictures(), ("output",)), "no feature maps"),
        (lambda: open_network("film_clasifier"), "did you mean 'film_classifier'"),
    ],
)
def test_bad_options_are_refused(call, words):
    with pytest.raises(BraindecError, match=words):
        call()


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory):
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    torch.manual_seed(0)
    config = CLIPVisionConfig(hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
                              image_size=24, patch_size=8, projection_dim=12)  # fmt: skip
    folder = tmp_path_factory.mktemp("clip")
    CLIPVisionModelWithProjection(config).save_pretrained(folder)
    return folder


def test_clip_from_a_folder_equals_the_model(clip_folder):
    from transformers import CLIPVisionModelWithProjection

    network = open_network({"name": "clip", "weights": str(clip_folder)})
    x = pictures(5, size=24)  # the model's own size: nothing is scaled
    model = CLIPVisionModelWithProjection.from_pretrained(clip_folder).eval()
    mean, std = np.array([0.48145466, 0.4578275, 0.40821073]), np.array([0.26862954, 0.26130258, 0.27577711])
    inputs = torch.tensor(((x - mean) / std).transpose(0, 3, 1, 2), dtype=torch.float32)
    with torch.no_grad():
        expected = model(pixel_values=inputs)
    np.testing.assert_allclose(network(x), expected.image_embeds.numpy(), atol=1e-5)
    tokens = network(x, layer="tokens")
    np.testing.assert_allclose(tokens, expected.last_hidden_state.numpy().reshape(5, -1), atol=1e-5)
    assert network(pictures(2, 50, 1)).shape == (2, 12)  # grey, scaled
    assert two_way.score(x, x, network=network) == 1


def test_classifiers_from_folders(tmp_path):
    from transformers import VideoMAEConfig, VideoMAEForVideoClassification, ViTConfig, ViTForImageClassification

    small = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_labels": 6,
    }
    torch.manual_seed(0)
    ViTForImageClassification(ViTConfig(image_size=16, patch_size=8, **small)).save_pretrained(tmp_path / "vit")
    settings = {"size": {"height": 16, "width": 16}, "image_mean": [0.4] * 3, "image_std": [0.2] * 3}
    (tmp_path / "vit" / "preprocessor_config.json").write_text(json.dumps(settings))
    network = open_network({"name": "classifier", "weights": tmp_path / "vit"})
    x = pictures(3, size=16)
    model = ViTForImageClassification.from_pretrained(tmp_path / "vit").eval()
    with torch.no_grad():
        logits = model(pixel_values=torch.tensor(((x - 0.4) / 0.2).transpose(0, 3, 1, 2))).logits
    np.testing.assert_allclose(network(x), logits.softmax(dim=1).numpy(), atol=1e-5)

    VideoMAEForVideoClassification(
        VideoMAEConfig(image_size=16, patch_size=8, num_frames=4, tubelet_size=2, **small)
    ).save_pretrained(tmp_path / "film")
    films = open_network({"name": "film_classifier", "weights": tmp_path / "film"})
    found = films(np.random.default_rng(0).random((5, 6, 20, 20, 3), dtype=np.float32))
    assert found.shape == (5, 6) and films.films and films.probabilities
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)


def test_a_sentence_model_from_a_folder(tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    from braindec.evaluate.sentence_vectors import open_sentences

    words = {w: i for i, w in enumerate(["[PAD]", "[UNK]", "a", "red", "disc", "two", "dogs"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]").save_pretrained(tmp_path)
    torch.manual_seed(0)
    config = BertConfig(vocab_size=7, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    BertModel(config).save_pretrained(tmp_path)
    network = open_sentences({"name": "transformers", "weights": tmp_path, "batch": 2})
    texts = ["a red disc", "two dogs", "a"]
    found = network(texts)
    assert found.shape == (3, 8)
    np.testing.assert_allclose(network(["a"]), found[2:], atol=1e-5)  # padding changes nothing
    model = BertModel.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        expected = model(input_ids=torch.tensor([[2, 3, 4]])).last_hidden_state.mean(dim=1).numpy()
    np.testing.assert_allclose(found[:1], expected, atol=1e-5)


def test_pickles_are_never_opened(tmp_path, clip_folder):
    torch.save({"a": torch.zeros(2)}, tmp_path / "alexnet.pth")
    for name in ("alexnet", "inception", "efficientnet", "swav"):
        with pytest.raises(BraindecError, match="not read from a pickle[\\s\\S]*save_file"):
            open_network({"name": name, "weights": tmp_path / "alexnet.pth"})
    folder = tmp_path / "clip"
    folder.mkdir()
    (folder / "config.json").write_text((clip_folder / "config.json").read_text())
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(BraindecError, match="pytorch_model.bin: a pickle[\\s\\S]*save_file"):
        open_network({"name": "clip", "weights": folder})


def test_missing_and_damaged_weights(tmp_path, clip_folder):
    (tmp_path / "bad.safetensors").write_bytes(b"not a file of tensors")
    for weights, words in (
        (tmp_path / "none.safetensors", "there is no file"),
        (tmp_path / "bad.safetensors", "damaged"),
    ):
        with pytest.raises(BraindecError, match=words):
            open_network({"name": "alexnet", "weights": weights})
    for weights, words in ((tmp_path / "nothing", "is no folder"), (tmp_path, "has no config.json")):
        with pytest.raises(BraindecError, match=words):
            open_network({"name": "clip", "weights": weights})
    with pytest.raises(BraindecError, match="does not open as AutoModelForImageClassification"):
        open_network({"name": "classifier", "weights": clip_folder})


def test_torchvision_is_asked_for_where_it_is_missing(tmp_path, monkeypatch):
    from safetensors.torch import save_file

    save_file({"features.0.weight": torch.zeros(2)}, tmp_path / "w.safetensors")
    monkeypatch.setitem(sys.modules, "torchvision", None)  # as if it were not installed
    with pytest.raises(BraindecError, match="needs the package 'torchvision'"):
        open_network({"name": "alexnet", "weights": tmp_path / "w.safetensors"})


@pytest.mark.parametrize(
    ("name", "layer", "pick"),
    [
        ("alexnet", "features.4", lambda m, x: m.features[:5](x)),
        ("alexnet", "features.11", lambda m, x: m.features[:12](x)),
        ("efficientnet", "avgpool", lambda m, x: m.avgpool(m.features(x))),
        ("swav", "avgpool", lambda m, x: m.avgpool(m.layer4(m.layer3(m.layer2(m.layer1(m.maxpool(m.relu(m.bn1(m.conv1(x)))))))))),
    ],
)  # fmt: skip
def test_torchvision_layers_equal_the_model(tmp_path, name, layer, pick):
    try:
        import torchvision
    except (ImportError, RuntimeError):
        pytest.skip("no torchvision that fits this torch")
    from safetensors.torch import save_file

    kind = registry.get("evaluate.picture_networks", name)
    torch.manual_seed(0)
    model = getattr(torchvision.models, kind.model)(weights=None).eval()
    state = {f"module.{k}" if name == "swav" else k: v.contiguous() for k, v in model.state_dict().items()}
    state = {k: v for k, v in state.items() if not (name == "swav" and k.startswith("module.fc."))}
    save_file(state, tmp_path / "w.safetensors")
    network = open_network({"name": name, "weights": tmp_path / "w.safetensors"})
    x = pictures(2, size=kind.size)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    with torch.no_grad():
        expected = pick(model, torch.tensor(((x - mean) / std).transpose(0, 3, 1, 2), dtype=torch.float32))
    np.testing.assert_allclose(network(x, layer=layer), expected.numpy().reshape(2, -1), atol=1e-4)
    del state[next(iter(state))]
    save_file(state, tmp_path / "less.safetensors")
    with pytest.raises(BraindecError, match="do not belong to torchvision"):
        open_network({"name": name, "weights": tmp_path / "less.safetensors"})
