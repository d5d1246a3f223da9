"""Captioners: the right caption comes from the right embedding, nothing leaks between rows, files hold no pickle."""

import json

import numpy as np
import pytest
import torch

from braindec import registry
from braindec.errors import BraindecError
from braindec.llm.captioner import load_captioner, make_captioner
from braindec.llm.captioners.git import GitCaptioner
from braindec.llm.captioners.nearest import NearestCaption
from braindec.llm.captioners.prefix import PrefixCaptioner

SHAPES, COLOURS = ("star", "disc", "ring"), ("red", "green", "blue")


def bank(n=90, noise=0.05, seed=0):
    """Embeddings that hold shape and colour, and captions that say both."""
    rng = np.random.default_rng(seed)
    shape, colour = rng.integers(0, 3, n), rng.integers(0, 3, n)
    values = np.concatenate([np.eye(3)[shape], np.eye(3)[colour]], axis=1) + 5.0 + noise * rng.normal(size=(n, 6))
    return values.astype("float32"), [
        f"a {COLOURS[c]} {SHAPES[s]}, quite small" for s, c in zip(shape, colour, strict=True)
    ]


def test_the_nearest_image_gives_its_caption(tmp_path):
    values, texts = bank()
    captioner = NearestCaption().fit(values, texts)
    assert list(captioner.captions(values)) == texts
    assert list(captioner.captions((values - values.mean(0)) * 7 + values.mean(0))) == texts  # length says nothing
    captioner.save(tmp_path)
    again = load_captioner(tmp_path)
    new = bank(20, noise=0.3, seed=1)[0]
    assert np.array_equal(again.captions(new), captioner.captions(new)) and again.shape_ == (6,)


def test_a_common_part_is_taken_away():
    values, texts = bank(noise=0.4, seed=2)
    new, said = bank(300, noise=0.4, seed=3)
    right = [
        np.mean(NearestCaption(standardised=c).fit(values, texts).captions(new) == np.array(said, dtype=object))
        for c in (True, False)
    ]
    assert right[0] > right[1]  # with the common part cosines are all near 1 and length matters


def test_the_nearest_agree_on_what_they_share(tmp_path):
    """Embeddings say colour only; captions also name a shape by accident: the consensus keeps the colour right more often."""
    rng = np.random.default_rng(4)
    colour, shape = rng.integers(0, 3, 300), rng.integers(0, 3, 300)
    values = (np.eye(3)[colour] + 0.55 * rng.normal(size=(300, 3))).astype("float32")
    texts = [f"a {COLOURS[c]} {SHAPES[s]}" for c, s in zip(colour, shape, strict=True)]
    new = rng.integers(0, 3, 300)
    asked = (np.eye(3)[new] + 0.55 * rng.normal(size=(300, 3))).astype("float32")
    right = {
        k: np.mean(
            [
                COLOURS[c] in t
                for c, t in zip(new, NearestCaption(consensus=k).fit(values, texts).captions(asked), strict=True)
            ]
        )
        for k in (1, 15)
    }
    assert right[15] > right[1] + 0.03
    many = NearestCaption(consensus=15).fit(values, texts)
    many.save(tmp_path)
    assert np.array_equal(load_captioner(tmp_path).captions(asked), many.captions(asked))
    assert (
        list(NearestCaption(consensus=3).fit(values[:1], texts[:1]).captions(asked[:2])) == [texts[0]] * 2
    )  # a bank of one
    with pytest.raises(BraindecError, match="consensus"):
        NearestCaption(consensus=0)


@pytest.mark.slow
def test_a_prefix_captioner_learns_to_say_what_it_was_shown(tmp_path):
    torch.set_num_threads(1)
    values, texts = bank(240)
    captioner = PrefixCaptioner(steps=120, n_beams=3).fit(values, texts, seed=1)
    new, said = bank(30, seed=5)
    made = captioner.captions(new)
    assert np.mean(made == np.array(said, dtype=object)) > 0.9  # word for word, of embeddings it never saw
    assert np.array_equal(captioner.captions(new[[4]]), made[[4]])  # a row does not depend on its neighbours
    captioner.save(tmp_path)
    again = load_captioner(tmp_path)
    assert np.array_equal(again.captions(new), made)
    assert not [p for p in tmp_path.rglob("*") if p.suffix in (".bin", ".pt", ".pkl")]
    same = PrefixCaptioner(steps=120, n_beams=3).fit(values, texts, seed=1)
    weights = zip(same.model_.state_dict().values(), captioner.model_.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in weights)


def test_published_size_of_clipcap():
    with torch.device("meta"):
        model = PrefixCaptioner(preset="paper").build(512)
    count = sum(p.numel() for p in model.parameters())
    hidden = 768 * 10 // 2
    assert count == 124_439_808 + 512 * hidden + hidden + hidden * 7680 + 7680 == 155_908_608


def gpt2_folder(path, tmp_words="a red green blue star disc ring small ,"):
    """A GPT-2 of a few thousand weights with a vocabulary of words, as a user would have it on disk."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    words = {w: i for i, w in enumerate(["<end>", "<unk>", *tmp_words.split()])}
    pieces = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    pieces.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=pieces, eos_token="<end>", unk_token="<unk>").save_pretrained(path)
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(words), n_positions=40, n_embd=16, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0
    )
    GPT2LMHeadModel(config).save_pretrained(path)
    return path


def test_weights_of_clipcap_are_opened_as_safetensors_only(tmp_path):
    from safetensors.torch import save_file

    folder, values = gpt2_folder(tmp_path / "gpt2"), bank(8)[0]
    torch.manual_seed(3)
    mapper = torch.nn.Sequential(torch.nn.Linear(6, 32), torch.nn.Tanh(), torch.nn.Linear(32, 64))
    state = {f"clip_project.model.{k}": v for k, v in mapper.state_dict().items()}
    save_file(state, tmp_path / "clipcap.safetensors")
    options = {"language_model": str(folder), "prefix": 4, "max_words": 5}
    captioner = PrefixCaptioner(weights=str(tmp_path / "clipcap.safetensors"), **options).fit(values, ["a"] * 8)
    with torch.no_grad():
        expected = mapper(torch.from_numpy(values)).reshape(8, 4, 16)
    assert torch.equal(
        captioner._prefix(torch.from_numpy(values)), expected
    )  # as they are: no scaling of the embeddings
    captioner.save(tmp_path / "kept")
    assert np.array_equal(load_captioner(tmp_path / "kept").captions(values), captioner.captions(values))
    with pytest.raises(BraindecError, match="pickle") as caught:
        PrefixCaptioner(weights=str(tmp_path / "clipcap.pt"), **options).fit(values, ["a"] * 8)
    assert "weights_only=True" in str(caught.value)
    with pytest.raises(BraindecError, match="do not fit"):
        PrefixCaptioner(weights=str(tmp_path / "clipcap.safetensors"), language_model=str(folder), prefix=3).fit(
            values, ["a"] * 8
        )
    with pytest.raises(BraindecError, match="cannot be opened"):
        PrefixCaptioner(language_model=str(tmp_path / "nothing")).fit(values, ["a"] * 8)


@pytest.fixture(scope="module")
def git_folder(tmp_path_factory):
    """A GIT model of random weights, with a vocabulary of words."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GitConfig, GitForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("git")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz"]
    pieces = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    pieces.pre_tokenizer = pre_tokenizers.Whitespace()
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=pieces, **special).save_pretrained(folder)
    torch.manual_seed(0)
    vision = {
        "hidden_size": 24,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 8,
    }
    config = GitConfig(vision_config=vision, vocab_size=len(words), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
                       intermediate_size=48, bos_token_id=2, eos_token_id=3, pad_token_id=0)  # fmt: skip
    model = GitForCausalLM(config)
    with torch.no_grad():
        model.output.bias[:5] = -9.0  # letters only, so that there is a text to compare
        model.output.weight.mul_(20)
    model.save_pretrained(folder)
    return folder


def test_tokens_stand_for_the_image_encoder(git_folder, tmp_path):
    """The model's own tokens of an image give the caption that the model itself gives."""
    captioner = make_captioner({"name": "git", "pretrained": str(git_folder), "max_words": 6})
    assert captioner.shape_ == (17, 24)
    images = np.random.default_rng(0).uniform(size=(3, 32, 32, 3)).astype("float32")
    tokens = captioner.tokens(images)
    assert tokens.shape == (3, 17, 24)
    mean, spread = np.array([0.48145466, 0.4578275, 0.40821073]), np.array([0.26862954, 0.26130258, 0.27577711])
    pixels = torch.from_numpy(((images - mean) / spread).astype("float32")).permute(0, 3, 1, 2)
    made = captioner.model_.generate(
        pixel_values=pixels, input_ids=torch.full((3, 1), 2), max_new_tokens=6, do_sample=False
    )
    own = [t.strip() for t in captioner.tokenizer_.batch_decode(made, skip_special_tokens=True)]
    assert list(captioner.fit(tokens, [""] * 3).captions(tokens)) == own and any(own)
    captioner.save(tmp_path)
    assert list(load_captioner(tmp_path).captions(tokens)) == own
    assert type(captioner.model_.git.image_encoder).__name__ == "GitVisionModel"  # put back


def test_refusals(git_folder):
    values, texts = bank(10)
    with pytest.raises(BraindecError, match="does not fit|do not fit"):
        NearestCaption().fit(values, texts).captions(values[:, :5])
    with pytest.raises(BraindecError, match=r"allowed: \(n, 17, 24\)|17, 24"):
        GitCaptioner(pretrained=str(git_folder)).captions(values)
    with pytest.raises(BraindecError, match="missing or empty"):
        NearestCaption().fit(values, [*texts[:-1], " "])
    with pytest.raises(BraindecError, match="one caption an embedding"):
        NearestCaption().fit(values, texts[:-1])
    with pytest.raises(BraindecError, match="not finite"):
        NearestCaption().fit(np.where(values > 5.9, np.nan, values), texts)
    with pytest.raises(BraindecError, match="not fitted"):
        NearestCaption().captions(values)
    with pytest.raises(BraindecError, match="cannot be opened"):
        GitCaptioner(pretrained="/nowhere/git")
    with pytest.raises(BraindecError, match="nearest"):
        make_captioner({"name": "nearst"})
    assert registry.names("llm.captioners") == ["git", "nearest", "prefix"]


def test_a_damaged_file_is_told(tmp_path):
    values, texts = bank(10)
    NearestCaption().fit(values, texts).save(tmp_path)
    about = json.loads((tmp_path / "captioner.json").read_text())
    (tmp_path / "captioner.safetensors").write_bytes(b"0" * 100)
    with pytest.raises(BraindecError, match="sha256|not the file"):
        load_captioner(tmp_path)
    assert about["captioner"] == "nearest"
