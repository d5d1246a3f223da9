"""Activations as features: pooling, windows, batches, files, and what is refused."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest
import torch

from braindec.errors import BraindecError
from braindec.llm.extract import constant_units, extract, iterate_activations
from braindec.llm.sites import sites_of
from braindec.llm.tiny import made_up_texts, tiny_model
from braindec.llm.words import words_table
from braindec.types.features import Features

KINDS = ("gpt2", "llama", "qwen", "gemma", "neox", "bert", "mamba")
TEXTS = [*made_up_texts(5, seed=9), "Rivers.", "The unbelievable gardener-captain quietly (re)watches naïve kittens!"]


@functools.lru_cache
def model(kind="gpt2"):
    return tiny_model(kind, n_layers=2, n_units=32, n_heads=4, max_length=48)


def run_alone(lm, ids, site="resid_post", layer=1):
    """Return the values (token, unit) of one row of token ids, read with a hook of our own."""
    values = {}
    tap = lm.blocks[layer].taps[site]
    handle = tap.module.register_forward_hook(
        lambda m, args, out: values.update(
            x=args[0] if tap.where == "input" else out[0] if isinstance(out, tuple) else out
        )
    )
    with torch.no_grad():
        lm.model(torch.tensor([ids]))
    handle.remove()
    return values["x"][0].numpy()


def alone(lm, text, site="resid_post", layer=1):
    """Return (tokens' characters, values (token, unit)) of one text run by itself."""
    made = lm.tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)
    return np.array(made["offset_mapping"]), run_alone(lm, made["input_ids"], site, layer)


@pytest.mark.parametrize("kind", KINDS)
def test_batches_give_what_single_texts_give(kind):
    lm = model(kind)
    sites = [s for s in sites_of(lm) if s != "attn_pattern"]
    many = extract(lm, TEXTS, sites=sites, pool="mean", batch_size=4)
    one = extract(lm, TEXTS, sites=sites, pool="mean", batch_size=1)
    np.testing.assert_allclose(many.load(), one.load(), atol=1e-5)
    pd.testing.assert_frame_equal(many.units, one.units)
    reversed_ = extract(lm, TEXTS[::-1], sites=sites, pool="mean", batch_size=3)
    np.testing.assert_allclose(reversed_.load()[::-1], one.load(), atol=1e-5)


@pytest.mark.parametrize(("pool", "of"), [
    ("last", lambda x: x[-1]), ("first", lambda x: x[0]), ("mean", lambda x: x.mean(0)), ("sum", lambda x: x.sum(0)),
])  # fmt: skip
def test_pools_over_a_text(pool, of):
    lm = model()
    made = extract(lm, TEXTS, layers=1, pool=pool, ids=[f"t{k}" for k in range(len(TEXTS))])
    expected = np.stack([of(alone(lm, text)[1]) for text in TEXTS])
    np.testing.assert_allclose(made.load(), expected, atol=2e-5)
    assert list(made.ids) == [f"t{k}" for k in range(len(TEXTS))] and list(made.items["text"]) == TEXTS
    assert list(made.items["n_tokens"]) == [len(alone(lm, text)[0]) for text in TEXTS]


def test_words_are_means_over_their_tokens():
    lm = model()
    table = words_table({f"s{k}": text for k, text in enumerate(TEXTS)})
    made = extract(lm, table, sites="mlp_act", layers=1, pool="word")
    n_tokens = []
    for (_, row), values in zip(table.iterrows(), made.load(), strict=True):
        offsets, whole = alone(lm, TEXTS[int(row.text_id[1:])], "mlp_act")
        own = [k for k, (a, b) in enumerate(offsets) if a < row.stop and b > row.start]
        n_tokens.append(len(own))
        np.testing.assert_allclose(values, whole[own].mean(0), atol=2e-5)
    assert max(n_tokens) > 3 and min(n_tokens) == 1
    assert list(made.ids) == list(table["stimulus_id"]) and list(made.items["word"]) == list(table["word"])


def test_tokens():
    lm = model()
    made = extract(lm, TEXTS, layers=[1], pool="token", ids=list("abcdefg"))
    np.testing.assert_allclose(made.load(), np.concatenate([alone(lm, t)[1] for t in TEXTS]), atol=2e-5)
    last = made.items.iloc[-1]
    assert last.stimulus_id == f"g/{last.token_index}" and TEXTS[-1][last.start : last.stop] == "!"


@pytest.mark.parametrize("kind", ["gpt2", "bert"])
@pytest.mark.parametrize("n", [0, 2, 5])
def test_a_context_of_n_words(kind, n):
    lm = model(kind)
    table = words_table(TEXTS[:3])
    made = extract(lm, table, layers=1, pool="word", context=n, batch_size=5)
    for (_, row), values in zip(table.iterrows(), made.load(), strict=True):
        text = TEXTS[int(row.text_id)]
        words = table[table.text_id == row.text_id]
        begin = words["start"].iloc[max(0, row.word_index - n)]
        ids = lm.tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)
        kept = [k for k, (a, b) in enumerate(ids["offset_mapping"]) if a < row.stop and b > begin]
        own = [j for j, k in enumerate(kept) if ids["offset_mapping"][k][1] > row.start]
        whole = run_alone(lm, [ids["input_ids"][k] for k in kept])
        np.testing.assert_allclose(values, whole[own].mean(0), atol=2e-5)


def test_context_longer_than_the_text_is_the_text():
    lm = model("llama")
    table = words_table(TEXTS)
    whole = extract(lm, table, pool="word").load()
    np.testing.assert_allclose(extract(lm, table, pool="word", context=40).load(), whole, atol=2e-5)
    some = table.iloc[[3, 17, 8]]
    np.testing.assert_allclose(extract(lm, some, pool="word", context=40).load(), whole[[3, 17, 8]], atol=2e-5)
    np.testing.assert_allclose(
        extract(lm, TEXTS, pool="token", context=47).load(), extract(lm, TEXTS, pool="token").load(), atol=2e-5
    )


def test_long_texts_are_refused_or_windowed():
    lm = model()
    long = {"short": "The lamp.", "story": " ".join(made_up_texts(12, seed=2))}
    with pytest.raises(BraindecError, match="'story' is longer than tiny-gpt2 can read") as error:
        extract(lm, long, pool="word")
    assert error.value.allowed == "48 tokens" and "context=n" in error.value.fix and "1 of 2" in error.value.found
    with pytest.raises(BraindecError, match="'1' is longer") as error:
        extract(lm, list(long.values()), pool="last")
    assert "split it" in error.value.fix
    with pytest.raises(BraindecError, match="'story/") as error:
        extract(lm, long, pool="word", context=60)
    assert "smaller context than 60" in error.value.fix
    made = extract(lm, long, pool="word", context=6)
    assert made.shape[0] == sum(len(t.split()) for t in long.values())


def test_special_tokens_are_context():
    lm = model("bert")
    plain = extract(lm, TEXTS[:2], layers=1, pool="mean")
    made = extract(lm, TEXTS[:2], layers=1, pool="mean", special_tokens=True)
    assert np.abs(plain.load() - made.load()).max() > 1e-3
    ids = lm.tokenizer(TEXTS[0], add_special_tokens=True)["input_ids"]
    assert ids[0] == lm.tokenizer.bos_token_id and ids[-1] == lm.tokenizer.eos_token_id
    with torch.no_grad():
        hidden = lm.model(torch.tensor([ids]), output_hidden_states=True).hidden_states[-1][0]
    np.testing.assert_allclose(made.load()[0], hidden[1:-1].mean(0), atol=2e-5)
    first = extract(lm, TEXTS[:1], layers=1, pool="first", special_tokens=True)
    np.testing.assert_allclose(first.load()[0], hidden[0], atol=2e-5)
    windowed = extract(lm, TEXTS[:1], layers=1, pool="word", context=1, special_tokens=True)
    assert windowed.shape[0] == len(TEXTS[0].split())
    whole = extract(lm, TEXTS[:1], layers=1, pool="word", context=99, special_tokens=True).load()[-1]
    np.testing.assert_allclose(
        whole, extract(lm, TEXTS[:1], layers=1, pool="word", special_tokens=True).load()[-1], atol=2e-5
    )


def test_units_table_and_selection():
    lm = model()
    made = extract(lm, TEXTS, sites=("embedding", "head_out", "mlp_act"), layers=[1, 0])
    assert list(made.units.columns) == ["model", "layer", "site", "index", "head"]
    assert made.units["layer"].tolist()[:33] == [-1] * 32 + [1]
    heads = made.units[made.units.site == "head_out"]
    assert (heads["head"] == heads["index"] // 8).all() and (
        made.units[made.units.site == "mlp_act"]["head"] == -1
    ).all()
    chosen = made.units.iloc[[200, 3, 40, 41]]
    few = extract(lm, TEXTS, units=chosen)
    np.testing.assert_allclose(few.load(), made.load()[:, [200, 3, 40, 41]], atol=1e-6)
    pd.testing.assert_frame_equal(few.units, chosen.reset_index(drop=True))
    with pytest.raises(BraindecError, match="no unit 128"):
        extract(lm, TEXTS, units=pd.DataFrame({"layer": [0], "site": ["mlp_act"], "index": [128]}))
    with pytest.raises(BraindecError, match="needs site"):
        extract(lm, TEXTS, units=pd.DataFrame({"layer": [0], "index": [1]}))


def test_to_a_file(tmp_path):
    lm = model()
    table = words_table(TEXTS)
    memory = extract(lm, table, sites=("resid_post", "mlp_act"), pool="word", batch_size=3)
    stored = extract(lm, table, sites=("resid_post", "mlp_act"), pool="word", batch_size=3, path=tmp_path / "a.h5")
    np.testing.assert_array_equal(stored.load(), memory.load())
    assert stored.info == memory.info and stored.values.path == str(tmp_path / "a.h5")
    pd.testing.assert_frame_equal(stored.units, memory.units, check_dtype=False)
    assert list(stored.items["stimulus_id"]) == list(table["stimulus_id"])
    half = extract(lm, TEXTS, dtype="float16", path=tmp_path / "b.h5")
    np.testing.assert_allclose(half.load(), extract(lm, TEXTS).load(), rtol=2e-3, atol=1e-3)
    assert half.values.dtype == np.float16 and isinstance(Features.open(tmp_path / "b.h5"), Features)
    with pytest.raises(BraindecError):
        extract(lm, [*TEXTS, " "], path=tmp_path / "c.h5")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.h5", "b.h5"]


def test_memory_is_flat_with_a_file(tmp_path):
    import tracemalloc

    lm = model()
    texts = made_up_texts(300, seed=3)

    def peak(**options):
        tracemalloc.start()
        extract(lm, texts, sites=("mlp_act", "mlp_pre", "mlp_out", "resid_post", "attn_out"), batch_size=8, **options)
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    values = 300 * 2 * (128 + 128 + 3 * 32) * 4
    peak(path=tmp_path / "first.h5")  # what the first call imports does not count
    assert peak() - peak(path=tmp_path / "a.h5") > 0.7 * values


def test_the_model_is_left_after_the_deepest_layer():
    lm = model()
    ran = []
    handles = [b.module.register_forward_hook(lambda *a, k=k: ran.append(k)) for k, b in enumerate(lm.blocks)]
    handles.append(lm.architecture.unembedding.register_forward_hook(lambda *a: ran.append("head")))
    extract(lm, TEXTS[:2], layers=0)
    assert 1 not in ran and "head" not in ran
    extract(lm, TEXTS[:2], layers=[0, 1])
    assert "head" not in ran
    for handle in handles:
        handle.remove()


def test_what_is_captured_does_not_change_later():
    lm = model()
    batches = list(iterate_activations(lm, TEXTS, sites=("resid_pre", "resid_post"), batch_size=2))
    for batch in batches:
        before = {key: v.clone() for key, v in batch.values.items()}
        for v in batch.values.values():
            assert v.dtype == torch.float32 and v.shape[:2] == batch.tokens.shape
        with torch.no_grad():
            lm.run(batch.tokens)
        assert all(torch.equal(v, before[key]) for key, v in batch.values.items())
    assert sorted(k for b in batches for k in b.rows) == list(range(len(TEXTS)))
    stored = batches[0].values[0, "resid_post"]
    stored += 1.0  # must not reach what the next layer was given
    assert not torch.equal(stored, batches[0].values[1, "resid_pre"])


def test_token_ids_instead_of_texts():
    lm = model()
    ids = [lm.tokenizer(t, add_special_tokens=False)["input_ids"] for t in TEXTS]
    np.testing.assert_array_equal(extract(lm, ids).load(), extract(lm, TEXTS).load())
    assert len(extract(lm, np.array([[1, 2, 3], [4, 5, 6]]), pool="token").items) == 6
    with pytest.raises(BraindecError, match="does not know"):
        extract(lm, [[1, 100_000]])
    with pytest.raises(BraindecError, match="neither text nor"):
        extract(lm, [[1, 2], []])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_weights_of_half_precision(dtype):
    lm = tiny_model("llama", n_layers=2, n_units=32, n_heads=4)
    full = extract(lm, TEXTS).load()
    half = extract(lm.to(dtype=dtype), TEXTS)
    assert half.values.dtype == np.float32 and half.info["weights"] == dtype
    assert 0 < np.abs(half.load() - full).max() < 0.1 * np.abs(full).max()


def test_values_that_are_not_finite_are_refused():
    lm = tiny_model("gpt2", n_layers=2, n_units=16, n_heads=2)
    lm.blocks[1].mlp_down.weight.data[0, 0] = float("nan")
    with pytest.raises(BraindecError, match="not finite in layer 1, site 'resid_post'"):
        extract(lm, TEXTS)
    extract(lm, TEXTS, layers=0)
    lm = tiny_model("gpt2", n_layers=1, n_units=16, n_heads=2)
    lm.blocks[0].mlp_down.bias.data[0] = 1e6
    with pytest.raises(BraindecError, match="too large for float16"):
        extract(lm, TEXTS, dtype="float16")


def test_units_that_never_change():
    lm = tiny_model("gpt2", n_layers=1, n_units=16, n_heads=2)
    lm.blocks[0].mlp_up.weight.data[:, [4, 9]] = 0
    made = extract(lm, TEXTS, sites="mlp_act", pool="mean")
    assert made.info["constant_units"] == 2
    assert list(constant_units(made)["index"]) == [4, 9]


@pytest.mark.parametrize(
    ("texts", "options", "says"),
    [([], {}, "no texts"), (["a", " "], {}, "1 texts are empty"), ("a", {}, "several"), (["a", None], {}, "not text"),
     (["a"], {"pool": "men"}, "did you mean 'mean'"), (["a"], {"context": 3}, "does not go with pool='last'"),
     (["a"], {"dtype": "int8"}, "stored"), (["a"], {"sites": "attn_pattern"}, "not units"), (["a"], {"sites": ()}, "no sites"),
     (["a"], {"ids": ["x", "y"]}, "1 texts but 2 ids"), (["a"], {"batch_size": 0}, "batch_size=0"),
     (["a"], {"pool": "word", "context": -1}, "context=-1")],
)  # fmt: skip
def test_refused(texts, options, says):
    with pytest.raises(BraindecError, match=says):
        extract(model(), texts, **options)


def test_texts_by_name_and_from_a_table():
    lm = model()
    named = extract(lm, {"x": TEXTS[0], "y": TEXTS[1]})
    assert list(named.ids) == ["x", "y"]
    column = extract(lm, pd.Series(TEXTS[:2], index=[7, 3]))
    np.testing.assert_array_equal(column.load(), named.load())
    assert list(column.ids) == ["0", "1"]


def test_same_model_same_bytes():
    one, two = (extract(tiny_model("gemma", n_layers=1, n_units=16, n_heads=2, seed=4), TEXTS).load() for _ in range(2))
    assert one.tobytes() == two.tobytes()


def test_published_stimuli(shared):
    """Sentences and non-words of the localizer, and four-word sentences: every word has its tokens."""
    folder = shared("language-stimuli")
    table = pd.concat([pd.read_csv(p) for p in sorted((folder / "langloc").glob("*.csv"))[:1]])
    words = [[str(w) for w in row] for row in table[[f"stim{k}" for k in range(2, 14)]].to_numpy()]
    lm = tiny_model("llama", n_layers=2, n_units=32, n_heads=4)
    made = extract(lm, words_table(words), pool="word", layers=1)
    assert made.shape == (12 * len(words), 32) and not made.info["warnings"]
    last = extract(lm, [" ".join(w) for w in words], layers=1)
    assert last.shape == (len(words), 32) and made.info["constant_units"] == 0
    sentences = (folder / "hftp_english_four_word_sentences.csv").read_text().split("\n")
    sentences = [s.strip() for s in sentences if len(s.split()) == 4]
    assert len(sentences) >= 49
    assert extract(lm, sentences, pool="word", context=2).shape == (4 * len(sentences), 64)
