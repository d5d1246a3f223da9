"""Layers of a speech model: against the model itself, nothing across blocks, long sounds in pieces, cache, controls."""

import json

import numpy as np
import pytest
import torch

from braindec.cache import Cache
from braindec.errors import BraindecError
from braindec.loaders.stimuli.speech_model import speech_model

RATE = 16000.0
TINY = {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32, "conv_dim": (12,) * 7,
        "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2}  # fmt: skip


def make(folder, kind="Wav2Vec2"):
    import transformers

    torch.manual_seed(0)
    model = getattr(transformers, f"{kind}Model")(getattr(transformers, f"{kind}Config")(**TINY))
    model.save_pretrained(folder)
    return model.eval()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("speech") / "tiny"
    torch.set_num_threads(1)
    return folder, make(folder)


@pytest.fixture(scope="module")
def sound():
    rng = np.random.default_rng(0)
    return (rng.normal(0, 0.1, size=4 * 16000) * (1 + np.sin(np.arange(4 * 16000) / 3000))).astype(np.float32)


def test_features_are_the_mean_of_layers_of_the_model_itself(tiny, sound):
    folder, model = tiny
    found = speech_model((sound, RATE), model=folder, layers=(1, 3))
    heard = torch.from_numpy((sound - sound.mean()) / sound.std())[None]
    with torch.no_grad():
        states = model(heard, output_hidden_states=True).hidden_states
    expected = ((states[1] + states[3]) / 2)[0].numpy()  # feature k is at (320 k + 199.5) / 16000 s
    assert (found.n_channels, found.n_times) == (24, 200)
    # the sample at 20 ms x k is nearest to feature k - 1, 7.5 ms before it; that of k is 12.5 ms after it
    np.testing.assert_allclose(found.load()[:, 1:200], expected[:199].T, atol=1e-4)
    finer = speech_model((sound, RATE), model=folder, layers=(1, 3), sfreq=16000 / 160, method="linear").load()
    at = np.clip((np.arange(400) * 160 - 199.5) / 320, 0, len(expected) - 1)
    by_hand = np.stack([np.interp(at, np.arange(len(expected)), column) for column in expected.T])
    np.testing.assert_allclose(finer, by_hand, atol=1e-4)


@pytest.mark.parametrize("kind", ["Wav2Vec2", "Hubert", "WavLM"])
def test_changing_the_sound_of_another_block_changes_nothing(tmp_path, sound, kind):
    make(tmp_path / "m", kind)
    other, edge = sound.copy(), 1.73
    other[round(edge * RATE) :] = np.random.default_rng(1).normal(size=len(sound) - round(edge * RATE))
    blocks = [(0.0, edge), (edge, 4.0)]
    a, b = (speech_model((s, RATE), model=tmp_path / "m", layers=(2,), blocks=blocks).load() for s in (sound, other))
    first = round(edge * 50)
    np.testing.assert_array_equal(a[:, :first], b[:, :first])
    assert np.abs(a[:, first:] - b[:, first:]).max() > 0.1
    if kind == "Wav2Vec2":  # the planted leak: without blocks it crosses the edge
        a, b = (speech_model((s, RATE), model=tmp_path / "m", layers=(2,)).load() for s in (sound, other))
        assert np.abs(a[:, :first] - b[:, :first]).max() > 0.01


def test_a_block_is_what_it_is_by_itself(tiny, sound):
    folder, _ = tiny
    whole = speech_model((sound, RATE), model=folder, layers=(2,), blocks=[(0.0, 1.5), (1.5, 4.0)]).load()
    alone = speech_model((sound[24000:], RATE), model=folder, layers=(2,)).load()
    np.testing.assert_allclose(whole[:, 75:], alone, atol=1e-6)


def test_long_sounds_are_read_in_pieces_with_context(tiny, sound):
    folder, _ = tiny
    whole = speech_model((sound, RATE), model=folder, layers=(2,)).load()
    pieces = speech_model((sound, RATE), model=folder, layers=(2,), chunk=1.0, context=10.0).load()
    np.testing.assert_allclose(pieces, whole, atol=1e-5)  # the context is all of it
    short = speech_model((sound, RATE), model=folder, layers=(2,), chunk=1.0, context=0.5).load()
    assert np.corrcoef(short.ravel(), whole.ravel())[0, 1] > 0.9 and not np.array_equal(short, whole)


def test_the_same_bytes_again_and_from_the_cache(tiny, sound, tmp_path):
    folder, _ = tiny
    first, second = (speech_model((sound, RATE), model=folder, layers=(2,)).load() for _ in range(2))
    np.testing.assert_array_equal(first, second)
    cache = Cache(tmp_path)
    for _ in range(2):
        kept = speech_model((sound, RATE), model=folder, layers=(2,), cache=cache)
        np.testing.assert_array_equal(kept.load(), first)
    assert len(list(tmp_path.glob("*.h5"))) == 1 and kept.info["feature"] == "speech_model"
    speech_model((sound, RATE), model=folder, layers=(2,), cache=cache, blocks=[(0.0, 2.0)])
    speech_model((0.5 * sound, RATE), model=folder, layers=(2,), cache=cache)
    speech_model((sound, RATE), model=folder, layers=(2,), cache=cache, untrained=1)
    assert len(list(tmp_path.glob("*.h5"))) == 4


def test_an_untrained_twin_by_its_seed(tiny, sound):
    folder, _ = tiny
    state = torch.random.get_rng_state()
    a, b, c = (speech_model((sound, RATE), model=folder, layers=(2,), untrained=seed).load() for seed in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert np.abs(a - c).max() > 0.01 and torch.equal(torch.random.get_rng_state(), state)


def test_loudness_does_not_count_when_the_sound_is_normalized(tiny, sound, tmp_path):
    folder, _ = tiny
    quiet, loud = (speech_model((level * sound, RATE), model=folder, layers=(2,)).load() for level in (0.2, 1.0))
    np.testing.assert_allclose(quiet, loud, atol=1e-3)
    make(tmp_path / "m")
    (tmp_path / "m" / "preprocessor_config.json").write_text(
        json.dumps({"do_normalize": False, "sampling_rate": 16000})
    )
    told = speech_model((sound, RATE), model=tmp_path / "m", layers=(2,))
    asked = speech_model((sound, RATE), model=folder, layers=(2,), normalize=False)
    assert told.info["settings"]["normalize"] is False
    np.testing.assert_array_equal(told.load(), asked.load())


def test_a_block_shorter_than_one_feature(tiny, sound):
    folder, _ = tiny
    found = speech_model((sound[:8000], RATE), model=folder, layers=(2,), blocks=[(0.1, 0.115)], sfreq=200.0)
    assert found.n_times == 100 and np.isfinite(found.load()).all()


def test_models_that_cannot_be_used(tiny, sound, tmp_path):
    folder, _ = tiny
    pair = (sound[:1600], RATE)
    with pytest.raises(BraindecError, match="folder of weights on this disk"):
        speech_model(pair, model="facebook/wav2vec2-large-xlsr-53")
    with pytest.raises(BraindecError, match=r"0 \(before the first layer\) to 3"):
        speech_model(pair, model=folder)
    with pytest.raises(BraindecError, match="did you mean 'linear'"):
        speech_model(pair, model=folder, layers=(1,), method="liner")
    from transformers import GPT2Config, GPT2Model

    GPT2Model(GPT2Config(n_embd=8, n_layer=1, n_head=1, vocab_size=9, n_positions=8)).save_pretrained(tmp_path / "text")
    with pytest.raises(BraindecError, match="reads a sound sample by sample"):
        speech_model(pair, model=tmp_path / "text")
    (tmp_path / "text" / "model.safetensors").rename(tmp_path / "text" / "pytorch_model.bin")
    with pytest.raises(BraindecError, match="pickle"):
        speech_model(pair, model=tmp_path / "text")
