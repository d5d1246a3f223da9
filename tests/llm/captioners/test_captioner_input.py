"""Captioners say what they cannot use: unfitted, damaged or unsafe weights, pictures that are none."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from braindec.errors import BraindecError
from braindec.llm.captioner import make_captioner


@pytest.mark.parametrize("name", ["nearest", "prefix"])
def test_what_is_not_fitted_is_neither_saved_nor_asked(tmp_path, name):
    made = make_captioner({"name": name})
    for call in (lambda: made.save(tmp_path), lambda: made.captions(np.zeros((1, 3)))):
        with pytest.raises(BraindecError, match="not fitted"):
            call()


@pytest.mark.parametrize("name", ["nearest", "prefix"])
def test_any_text_can_be_learned_from(name):
    texts = ["ein rotes Ä", "日本語 の 文", "🙂", "x" * 5000, "new\nline\ttab", "!!!"]
    options = {"steps": 1, "max_words": 4} if name == "prefix" else {"consensus": 3}
    said = make_captioner({"name": name, **options}).fit(np.eye(6, dtype=np.float32), texts).captions(np.eye(6)[:2])
    assert len(said) == 2 and all(isinstance(t, str) for t in said)


@pytest.fixture
def git(tmp_path):
    from transformers import BertTokenizer, GitConfig, GitForCausalLM

    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "red", "dog"]))
    BertTokenizer(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
    small = {"hidden_size": 12, "intermediate_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2}
    GitForCausalLM(
        GitConfig(vocab_size=8, vision_config={**small, "image_size": 8, "patch_size": 4}, **small)
    ).save_pretrained(tmp_path)
    return tmp_path


def test_git_takes_pictures_of_0_to_1_and_whole_safe_weights(git):
    made = make_captioner({"name": "git", "pretrained": str(git)})
    assert made.tokens(np.zeros((2, 8, 8, 1))).shape == (2, 5, 12)
    for images in (
        np.full((1, 8, 8, 3), 255.0),
        np.full((1, 8, 8, 3), np.nan),
        np.zeros((8, 8, 3)),
        np.zeros((1, 8, 8, 4)),
    ):
        with pytest.raises(BraindecError, match="images must be"):
            made.tokens(images)
    for options in ({"max_words": 0}, {"n_beams": 0}, {"max_words": "a"}):
        with pytest.raises(BraindecError, match="whole number"):
            make_captioner({"name": "git", "pretrained": str(git), **options})
    weights = git / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:200])
    with pytest.raises(BraindecError, match="cannot be opened"):
        make_captioner({"name": "git", "pretrained": str(git)})
    weights.unlink()
    torch.save({"a": torch.zeros(1)}, git / "pytorch_model.bin")
    with pytest.raises(BraindecError, match="cannot be opened"):
        make_captioner({"name": "git", "pretrained": str(git)})
