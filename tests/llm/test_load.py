"""Models from disk: safetensors only, no code of theirs, one clear error for each thing that is missing."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from braindec.errors import BraindecError
from braindec.llm.extract import extract
from braindec.llm.load import load_model, wrap
from braindec.llm.source import ModelSource
from braindec.llm.tiny import tiny_model, untrained

TEXTS = ["The small river finds a lamp.", "Every gardener moves."]
KINDS = ("gpt2", "llama", "qwen", "gemma", "neox", "bert", "mamba")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    made = {}
    for kind in KINDS:
        lm = tiny_model(kind, n_layers=2, n_units=16, n_heads=2, max_length=32)
        folder = tmp_path_factory.mktemp(kind) / f"my-{kind}"
        lm.model.save_pretrained(folder)
        lm.tokenizer.save_pretrained(folder)
        made[kind] = (lm, folder)
    return made


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder(saved, kind):
    lm, folder = saved[kind]
    loaded = load_model(folder)
    assert loaded.name == f"my-{kind}" and loaded.bidirectional == lm.bidirectional
    assert type(loaded.model) is type(lm.model)
    assert abs(extract(loaded, TEXTS).load() - extract(lm, TEXTS).load()).max() < 1e-6
    assert loaded.logits(torch.tensor([[1, 2]])).shape[-1] == lm.vocab_size
    half = load_model(folder, dtype="bfloat16")
    assert next(half.model.parameters()).dtype == torch.bfloat16
    assert half.bidirectional == lm.bidirectional
    assert [set(b.taps) for b in half.blocks] == [set(b.taps) for b in lm.blocks]  # seen in half precision as well
    fresh = untrained(half, 0)
    assert next(fresh.model.parameters()).dtype == torch.bfloat16


@pytest.fixture
def folder(saved, tmp_path):
    shutil.copytree(saved["gpt2"][1], tmp_path / "model")
    return tmp_path / "model"


def test_pickles_are_refused(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"never opened")
    with pytest.raises(BraindecError, match="in pickles") as error:
        load_model(folder)
    assert error.value.found == "pytorch_model.bin" and "save_pretrained" in error.value.fix
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(BraindecError, match="has no weights"):
        load_model(folder)


def test_missing_parts(folder, tmp_path):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    with pytest.raises(BraindecError, match="has no tokenizer") as error:
        load_model(folder)
    assert "save_pretrained" in error.value.fix
    (folder / "config.json").unlink()
    with pytest.raises(BraindecError, match="no config.json") as error:
        load_model(folder)
    assert "model.safetensors" in error.value.found
    with pytest.raises(BraindecError, match="there is no folder"):
        load_model(tmp_path / "nothing")
    with pytest.raises(BraindecError, match="there is no folder"):
        load_model(folder / "model.safetensors")
    with pytest.raises(BraindecError, match="there is no model 'nobody/no-such") as error:
        load_model("nobody/no-such-model-2.5-0.5B")
    assert "hf download nobody/no-such-model" in error.value.fix


def test_damaged_weights(folder):
    (folder / "model.safetensors").write_bytes(b"not weights at all")
    with pytest.raises(BraindecError, match="weights of .* cannot be opened"):
        load_model(folder)


def test_code_of_the_model_is_never_run(folder):
    config = json.loads((folder / "config.json").read_text())
    config.update(
        model_type="my_own",
        architectures=["MyOwn"],
        auto_map={"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"},
    )
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text("raise SystemExit('code was run')")
    with pytest.raises(BraindecError, match="code of its own, which is never run"):
        load_model(folder)


def test_encoder_decoders_are_refused(tmp_path):
    import transformers as hf

    hf.T5Config(vocab_size=50, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2).save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(BraindecError, match="encoder and a decoder"):
        load_model(tmp_path)


def test_arguments():
    with pytest.raises(BraindecError, match="did you mean 'float32'"):
        load_model("x", dtype="flaot32")


def test_a_tokenizer_without_offsets():
    class Slow:
        is_fast = False

    with pytest.raises(BraindecError, match="no character offsets"):
        wrap(tiny_model("gpt2", n_layers=1, n_units=16, n_heads=2).model, tokenizer=Slow(), name="slow")
    bare = wrap(tiny_model("gpt2", n_layers=1, n_units=16, n_heads=2).model, name="bare")
    with pytest.raises(BraindecError, match="has no tokenizer"):
        extract(bare, TEXTS)
    assert extract(bare, [[1, 2, 3]]).shape == (1, 16)


def test_the_model_of_a_recipe(saved):
    lm = ModelSource(tiny="llama", n_layers=1, n_units=16, n_heads=2, dtype="float16").open()
    assert lm.name == "tiny-llama" and next(lm.model.parameters()).dtype == torch.float16
    source = ModelSource(path=str(saved["neox"][1]))
    opened = source.open(TEXTS)
    assert opened.name == "my-neox"
    fresh = list(source.untrained(2, like=opened))
    assert [f.name for f in fresh] == ["my-neox-untrained-1", "my-neox-untrained-2"]
    assert {p.name for p in source.files()} >= {"model.safetensors", "config.json", "tokenizer.json"}
    assert ModelSource().files() == []


def test_settings_that_cannot_be():
    from pydantic import ValidationError

    with pytest.raises(ValidationError, match="did you mean 'mamba'"):
        ModelSource(tiny="mambo")
    with pytest.raises(ValidationError, match="extra"):
        ModelSource(kind="gpt2")
