"""Parts found by introspection, held against what the models themselves say and against the algebra of a block."""

from __future__ import annotations

import functools

import pytest
import torch
from torch import nn

from braindec.errors import BraindecError
from braindec.llm.architecture import is_linear, is_norm, weight_of
from braindec.llm.extract import extract, iterate_activations
from braindec.llm.load import describe, wrap
from braindec.llm.sites import SITES, capture, resolve, sites_of
from braindec.llm.tiny import made_up_texts, tiny_model

KINDS = ("gpt2", "llama", "qwen", "gemma", "neox", "bert", "mamba")
TEXTS = made_up_texts(3, seed=5)


@functools.lru_cache
def model(kind):
    return tiny_model(kind, n_layers=3, n_units=32, n_heads=4, max_length=64)


def batch(lm, texts, sites, layers=None):
    return next(iterate_activations(lm, texts, sites=sites, layers=layers))


@pytest.mark.parametrize("kind", KINDS)
def test_the_stream_is_what_the_model_calls_hidden_states(kind):
    lm = model(kind)
    seen = batch(lm, TEXTS[:1], ("embedding", "resid_pre", "resid_post"))
    with torch.no_grad():
        said = lm.model(input_ids=seen.tokens, output_hidden_states=True).hidden_states
    posts = [seen.values[k, "resid_post"] for k in range(lm.n_layers)]
    norm = lm.architecture.final_norm
    last = posts[-1] if norm is None else norm(posts[-1])
    mine = [*posts[:-1], last] if kind == "mamba" else [seen.values[-1, "embedding"], *posts[:-1], last]
    if kind == "mamba":  # it lists what leaves each block, then the normalised end
        said = (*said[: lm.n_layers - 1], said[-1])
        torch.testing.assert_close(
            seen.values[-1, "embedding"], lm.architecture.embedding(seen.tokens), atol=1e-5, rtol=0
        )
    assert len(mine) == len(said)
    for a, b in zip(mine, said, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=0)
    for layer in range(1, lm.n_layers):
        assert torch.equal(seen.values[layer, "resid_pre"], posts[layer - 1])
    assert (norm is None) == (kind == "bert")


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "mamba"])
def test_projections_of_heads_and_of_the_hidden_layer(kind):
    lm = model(kind)
    seen = batch(lm, TEXTS, ("head_out", "attn_out", "mlp_pre", "mlp_act", "mlp_out"))
    for layer, block in enumerate(lm.blocks):
        value = {site: seen.values[layer, site] for site in ("head_out", "attn_out", "mlp_pre", "mlp_act", "mlp_out")}
        projected = value["head_out"] @ weight_of(block.attn_out_proj).T
        bias = getattr(block.attn_out_proj, "bias", None)
        torch.testing.assert_close(projected + (0 if bias is None else bias), value["attn_out"], atol=1e-5, rtol=0)
        bias = getattr(block.mlp_down, "bias", None)
        projected = value["mlp_act"] @ weight_of(block.mlp_down).T + (0 if bias is None else bias)
        torch.testing.assert_close(projected, value["mlp_out"], atol=1e-5, rtol=0)
        assert block.n_heads == 4 and block.head_dim == 8
        assert lm.n_units("mlp_act", layer) == 128 and lm.n_units("head_out", layer) == 32


FUNCTIONS = {
    "gpt2": lambda x: nn.functional.gelu(x, approximate="tanh"), "llama": nn.functional.silu,
    "qwen": nn.functional.silu, "gemma": lambda x: nn.functional.gelu(x, approximate="tanh"),
    "neox": nn.functional.gelu, "bert": nn.functional.gelu,
}  # fmt: skip


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_the_hidden_layer_is_read_after_the_non_linearity(kind):
    lm = model(kind)
    block = lm.blocks[1]
    gated = kind in ("llama", "qwen", "gemma")
    assert (block.mlp_gate is not None) == gated
    kept = {}
    handle = block.mlp_up.register_forward_hook(lambda m, args, out: kept.update(up=out, into=args[0]))
    seen = batch(lm, TEXTS, ("mlp_pre", "mlp_act"), 1)
    handle.remove()
    before, after = seen.values[1, "mlp_pre"], seen.values[1, "mlp_act"]
    expected = FUNCTIONS[kind](before) * (kept["up"] if gated else 1)
    torch.testing.assert_close(after, expected, atol=1e-6, rtol=0)
    maps = block.mlp_gate if gated else block.mlp_up
    bias = getattr(maps, "bias", None)
    torch.testing.assert_close(
        kept["into"] @ weight_of(maps).T + (0 if bias is None else bias), before, atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("kind", ["gpt2", "llama", "qwen"])
def test_the_stream_adds_up(kind):
    lm = model(kind)
    seen = batch(lm, TEXTS, ("resid_pre", "attn_out", "resid_mid", "mlp_out", "resid_post")).values
    for k in range(lm.n_layers):
        torch.testing.assert_close(seen[k, "resid_pre"] + seen[k, "attn_out"], seen[k, "resid_mid"], atol=1e-6, rtol=0)
        torch.testing.assert_close(seen[k, "resid_mid"] + seen[k, "mlp_out"], seen[k, "resid_post"], atol=1e-6, rtol=0)


def test_the_stream_adds_up_in_other_designs():
    lm = model("gemma")  # norms after attention and MLP
    seen = batch(lm, TEXTS, ("resid_pre", "attn_out", "resid_mid", "mlp_out", "resid_post"), 1).values
    layer = lm.blocks[1].module
    normed = layer.post_attention_layernorm(seen[1, "attn_out"])
    torch.testing.assert_close(seen[1, "resid_pre"] + normed, seen[1, "resid_mid"], atol=1e-6, rtol=0)
    lm = model("bert")  # norms of the sums
    seen = batch(lm, TEXTS[:1], ("resid_pre", "attn_out", "resid_mid", "mlp_out", "resid_post"), 1).values
    layer = lm.blocks[1].module
    middle = layer.attention.output.LayerNorm(seen[1, "resid_pre"] + seen[1, "attn_out"])
    torch.testing.assert_close(middle, seen[1, "resid_mid"], atol=1e-6, rtol=0)
    torch.testing.assert_close(
        layer.output.LayerNorm(middle + seen[1, "mlp_out"]), seen[1, "resid_post"], atol=1e-6, rtol=0
    )
    lm = model("neox")  # attention and MLP side by side
    seen = batch(lm, TEXTS, ("resid_pre", "attn_out", "mlp_out", "resid_post"), 1).values
    whole = seen[1, "resid_pre"] + seen[1, "attn_out"] + seen[1, "mlp_out"]
    torch.testing.assert_close(whole, seen[1, "resid_post"], atol=1e-6, rtol=0)
    lm = model("mamba")
    seen = batch(lm, TEXTS, ("resid_pre", "mixer_out", "resid_post"), 1).values
    torch.testing.assert_close(seen[1, "resid_pre"] + seen[1, "mixer_out"], seen[1, "resid_post"], atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "mamba"])
def test_attention_patterns(kind):
    lm = model(kind)
    before = lm.model.config._attn_implementation
    seen = batch(lm, TEXTS, ("attn_pattern", "resid_post"))
    assert lm.model.config._attn_implementation == before
    assert set(seen.attention) == {0, 1, 2}
    for pattern in seen.attention.values():
        assert pattern.shape[1] == 4
        torch.testing.assert_close(
            pattern.sum(-1)[seen.mask[:, None].expand(-1, 4, -1)], torch.ones(()).expand(int(seen.mask.sum()) * 4)
        )
        hidden = ~seen.mask[:, None, None, :].expand_as(pattern) & seen.mask[:, None, :, None]
        assert pattern[hidden].abs().max() < 1e-6 if hidden.any() else True
        later = torch.triu(torch.ones(pattern.shape[-2:], dtype=torch.bool), 1)
        assert (pattern[..., later].abs().max() == 0) == (kind != "bert")
    assert lm.bidirectional == (kind == "bert")
    with torch.no_grad():
        lm.model.set_attn_implementation("eager")
        said = lm.model(input_ids=seen.tokens, attention_mask=seen.mask.long(), output_attentions=True).attentions
        lm.model.set_attn_implementation(before)
    for layer, pattern in seen.attention.items():
        real = seen.mask[:, None, :, None]
        torch.testing.assert_close(pattern, said[layer] * real, atol=1e-6, rtol=0)
        assert not (pattern * ~real).any()


@pytest.mark.parametrize(
    ("kind", "site", "says"),
    [("mamba", "head_out", "state-space"), ("mamba", "mlp_act", "no MLP"), ("neox", "resid_mid", "side by side"),
     ("gpt2", "mixer_out", "has attention"), ("gpt2", "mlp_akt", "did you mean 'mlp_act'")],
)  # fmt: skip
def test_a_site_that_is_not_there(kind, site, says):
    with pytest.raises(BraindecError, match=says) as error:
        resolve(model(kind), site)
    assert error.value.allowed == ", ".join(sites_of(model(kind))) or kind == "gpt2"
    assert all(s in SITES for s in error.value.allowed.split(", "))


def test_layers_that_are_not_there():
    with pytest.raises(BraindecError, match="no layer 7") as error:
        resolve(model("gpt2"), "resid_post", [0, 7])
    assert "0 to 2" in error.value.allowed
    with pytest.raises(BraindecError, match="no layer -1"):
        resolve(model("gpt2"), "resid_post", [-1])


def other(name):
    import transformers as hf

    shape = {"vocab_size": 300, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "pad_token_id": 0,
             "bos_token_id": 1, "eos_token_id": 2}  # fmt: skip
    few = {**shape, "intermediate_size": 48, "num_key_value_heads": 2}
    made = {
        "opt": lambda: hf.OPTForCausalLM(hf.OPTConfig(**shape, ffn_dim=48, word_embed_proj_dim=32)),
        "opt-after": lambda: hf.OPTForCausalLM(
            hf.OPTConfig(**shape, ffn_dim=48, word_embed_proj_dim=16, do_layer_norm_before=False)),
        "phi3": lambda: hf.Phi3ForCausalLM(hf.Phi3Config(**few)),
        "bloom": lambda: hf.BloomForCausalLM(hf.BloomConfig(vocab_size=300, hidden_size=32, n_layer=2, n_head=4)),
        "gptj": lambda: hf.GPTJForCausalLM(hf.GPTJConfig(vocab_size=300, n_embd=32, n_layer=2, n_head=4, rotary_dim=4)),
        "mistral": lambda: hf.MistralForCausalLM(hf.MistralConfig(**few, sliding_window=3)),
        "gemma3": lambda: hf.Gemma3ForCausalLM(hf.Gemma3TextConfig(**few, head_dim=16, sliding_window=4)),
        "olmo2": lambda: hf.Olmo2ForCausalLM(hf.Olmo2Config(**few)),
        "roberta": lambda: hf.RobertaForMaskedLM(
            hf.RobertaConfig(**{**shape, "pad_token_id": 1}, intermediate_size=48, max_position_embeddings=66)),
        "albert": lambda: hf.AlbertForMaskedLM(
            hf.AlbertConfig(**{**shape, "num_hidden_layers": 3}, embedding_size=16, intermediate_size=48)),
        "modernbert": lambda: hf.ModernBertForMaskedLM(hf.ModernBertConfig(**shape, intermediate_size=48)),
        "gpt2": lambda: hf.GPT2Model(hf.GPT2Config(vocab_size=300, n_embd=32, n_layer=2, n_head=4)),
        "mixtral": lambda: hf.MixtralForCausalLM(hf.MixtralConfig(**few, num_local_experts=3)),
        "jamba": lambda: hf.JambaForCausalLM(hf.JambaConfig(
            **few, attn_layer_period=2, attn_layer_offset=1, expert_layer_period=2, expert_layer_offset=1,
            num_experts=2, use_mamba_kernels=False)),
    }  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return wrap(made[name](), name=name)


ROWS = [[5, 9, 250, 17, 33, 8, 71], [12, 44, 3], [99, 7, 7, 120, 31]]


@pytest.mark.parametrize(
    "name", ["opt", "opt-after", "phi3", "bloom", "gptj", "mistral", "gemma3", "olmo2", "roberta", "albert", "modernbert",
             "gpt2"],
)  # fmt: skip
def test_architectures_that_nothing_here_names(name):
    lm = other(name)
    assert lm.bidirectional == (name in ("roberta", "albert", "modernbert"))
    seen = batch(lm, ROWS[:1], ("embedding", "resid_post", "head_out", "attn_out", "mlp_act", "mlp_out"))
    with torch.no_grad():
        said = lm.model(input_ids=seen.tokens, attention_mask=torch.ones_like(seen.tokens), output_hidden_states=True)
    mine = [seen.values[-1, "embedding"], *(seen.values[k, "resid_post"] for k in range(lm.n_layers))]
    assert len(mine) == len(said.hidden_states) == (4 if name == "albert" else 3)
    for a, b in zip(mine[:-1], said.hidden_states[:-1], strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=0)
    for layer, block in enumerate(lm.blocks):
        for into, out, maps in (("head_out", "attn_out", block.attn_out_proj), ("mlp_act", "mlp_out", block.mlp_down)):
            bias = getattr(maps, "bias", None)
            projected = seen.values[layer, into] @ weight_of(maps).T + (0 if bias is None else bias)
            torch.testing.assert_close(projected, seen.values[layer, out], atol=1e-5, rtol=0)
    assert lm.blocks[0].n_heads == 4
    sites = [s for s in sites_of(lm) if s != "attn_pattern"]
    one = extract(lm, ROWS, sites=sites, pool="mean", batch_size=1).load()
    torch.testing.assert_close(
        torch.tensor(extract(lm, ROWS, sites=sites, pool="mean").load()), torch.tensor(one), atol=1e-5, rtol=0
    )


def test_positions_that_begin_after_the_padding():
    assert other("roberta").max_length == 64


def test_a_mixture_of_experts():
    lm = other("mixtral")
    seen = batch(lm, ROWS, ("resid_mid", "mlp_out", "resid_post"), 1).values
    torch.testing.assert_close(seen[1, "resid_mid"] + seen[1, "mlp_out"], seen[1, "resid_post"], atol=1e-6, rtol=0)
    with pytest.raises(BraindecError, match="mlp_act"):
        resolve(lm, "mlp_act")


def test_layers_of_two_kinds():
    lm = other("jamba")
    assert "mixer_out" in sites_of(lm, 0) and "head_out" in sites_of(lm, 1)
    slots = resolve(lm, ("mixer_out", "head_out"))
    assert [slot.key for slot in slots] == [(0, "mixer_out"), (1, "head_out")]
    with pytest.raises(BraindecError, match="layer 0 .* no site 'head_out'"):
        resolve(lm, "head_out", [0])


class Block(nn.Module):
    """Attention written in the block itself, as people do."""

    def __init__(self, d: int, hidden: int) -> None:
        super().__init__()
        self.one, self.two = nn.LayerNorm(d), nn.LayerNorm(d)
        self.qkv, self.proj = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.up, self.down = nn.Linear(d, hidden), nn.Linear(hidden, d)

    def forward(self, x):
        q, k, v = self.qkv(self.one(x)).chunk(3, dim=-1)
        weights = (q @ k.transpose(1, 2) / q.shape[-1] ** 0.5).masked_fill(
            torch.triu(torch.ones(x.shape[1], x.shape[1], dtype=torch.bool), 1), float("-inf")
        )
        x = x + self.proj(weights.softmax(-1) @ v)
        return x + self.down(torch.relu(self.up(self.two(x))))


class Plain(nn.Module):
    def __init__(self, blocks, d=16, cycles=1) -> None:
        super().__init__()
        self.words, self.blocks, self.cycles = nn.Embedding(50, d), nn.ModuleList(blocks), cycles
        self.norm, self.head = nn.LayerNorm(d), nn.Linear(d, 50, bias=False)

    def forward(self, tokens):
        x = self.words(tokens)
        for _ in range(self.cycles):
            for block in self.blocks:
                x = block(x)
        return self.head(self.norm(x))


def plain(**options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return Plain([Block(16, 40) for _ in range(3)], **options)


def test_a_plain_torch_model():
    lm = wrap(plain(), name="plain")
    assert (lm.n_layers, lm.hidden_size, lm.vocab_size, lm.bidirectional) == (3, 16, 50, False)
    assert lm.architecture.final_norm is lm.model.norm and lm.architecture.unembedding is lm.model.head
    assert lm.architecture.embedding is lm.model.words
    block = lm.blocks[1]
    assert block.attn_out_proj is lm.model.blocks[1].proj and block.mlp_down is lm.model.blocks[1].down
    assert block.mlp_up is lm.model.blocks[1].up and block.mlp_gate is None
    rows = [[1, 2, 3, 4], [9, 8, 7, 6]]
    seen = batch(lm, rows, ("resid_mid", "mlp_pre", "mlp_act", "mlp_out", "resid_post", "head_out"), 1).values
    torch.testing.assert_close(torch.relu(seen[1, "mlp_pre"]), seen[1, "mlp_act"])
    torch.testing.assert_close(seen[1, "resid_mid"] + seen[1, "mlp_out"], seen[1, "resid_post"])
    with pytest.raises(BraindecError, match="does not return its weights"):
        resolve(lm, "attn_pattern")


def test_blocks_whose_weights_are_zero():
    module = plain()
    for block in module.blocks:
        for part in (block.qkv, block.proj, block.down):
            nn.init.zeros_(part.weight)
    lm = wrap(module, name="zero")
    assert lm.blocks[2].attn_out_proj is module.blocks[2].proj
    assert lm.blocks[2].mlp_down is module.blocks[2].down
    assert "resid_mid" in lm.blocks[2].taps and not lm.blocks[2].attn_out_proj.weight.any()


def test_one_block_that_runs_several_times():
    module = plain(cycles=2)
    lm = wrap(module, name="cycles")
    assert lm.n_layers == 6 and lm.blocks[4].module is module.blocks[1]
    tokens = torch.tensor([[4, 5, 6]])
    seen = batch(lm, tokens.tolist(), ("resid_pre", "resid_post")).values
    x = module.words(tokens)
    for k in range(6):
        torch.testing.assert_close(seen[k, "resid_pre"], x)
        x = module.blocks[k % 3](x)
        torch.testing.assert_close(seen[k, "resid_post"], x)


def test_torch_own_transformer_layers():
    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            layer = nn.TransformerEncoderLayer(16, 4, 40, batch_first=True, dropout=0.0)
            self.words, self.stack = nn.Embedding(50, 16), nn.TransformerEncoder(layer, 2)

        def forward(self, tokens):
            return self.stack(self.words(tokens))

    lm = wrap(Encoder(), name="torch")
    assert lm.bidirectional and lm.n_layers == 2
    seen = batch(lm, [[1, 2, 3]], ("resid_post", "mlp_act", "mlp_out"))
    torch.testing.assert_close(seen.values[1, "resid_post"], lm.model(torch.tensor([[1, 2, 3]])), atol=1e-6, rtol=0)
    with pytest.raises(BraindecError, match="head_out"):
        resolve(lm, "head_out")


def test_blocks_can_be_named():
    class Strange(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.a, self.b = nn.Embedding(50, 16), Block(16, 20), Block(16, 20)

        def forward(self, tokens):
            return self.b(self.a(self.words(tokens)))

    module = Strange()
    with pytest.raises(BraindecError, match="no list of blocks") as error:
        wrap(module, name="strange")
    assert "blocks=" in error.value.fix
    lm = wrap(module, name="strange", blocks=[module.a, module.b])
    assert [b.module for b in lm.blocks] == [module.a, module.b]


def test_a_model_that_cannot_be_run():
    with pytest.raises(BraindecError, match="cannot be run on token ids"):
        wrap(nn.Sequential(nn.Linear(3, 3)), name="no")


def test_linear_maps_and_norms_are_told_apart():
    from transformers.pytorch_utils import Conv1D

    assert is_linear(nn.Linear(2, 3)) and is_linear(Conv1D(3, 2)) and weight_of(Conv1D(3, 2)).shape == (3, 2)
    assert not is_linear(nn.Embedding(4, 2)) and not is_linear(nn.Conv1d(2, 3, 1)) and not is_linear(nn.LayerNorm(2))
    assert is_norm(nn.LayerNorm(2)) and not is_norm(nn.Linear(2, 2)) and not is_norm(nn.GELU())
    with pytest.raises(BraindecError, match="no plain weight"):
        weight_of(nn.LayerNorm(2))


def test_nothing_is_left_in_the_model():
    lm = model("llama")
    before = {k: v.clone() for k, v in lm.model.state_dict().items()}
    hooks = [
        (list(m._forward_hooks), list(m._forward_pre_hooks)) for m in lm.model.modules()
    ]  # the library has its own
    describe(lm.model, tokenizer=lm.tokenizer, name="again")
    assert all(torch.equal(v, before[k]) for k, v in lm.model.state_dict().items())
    assert hooks == [(list(m._forward_hooks), list(m._forward_pre_hooks)) for m in lm.model.modules()]


def test_gradients_of_what_is_captured():
    lm = model("gpt2")
    tokens = torch.tensor([[5, 6, 7, 8]])
    slots = resolve(lm, "mlp_act", [1, 2])
    with torch.enable_grad(), capture(lm, slots, gradients=True) as seen:
        logits = lm.logits(tokens)
        target = logits[0, -1, 9]
        target.backward()
    grad = seen[1, "mlp_act"].grad
    assert grad.shape == seen[1, "mlp_act"].shape
    # against a finite difference: push one unit and see what the score does
    step, unit = 1e-2, int(grad[0, 2].abs().argmax())

    def pushed(amount):
        def hook(module, args):
            x = args[0].clone()
            x[0, 2, unit] += amount
            return (x,)

        handle = lm.blocks[1].mlp_down.register_forward_pre_hook(hook)
        try:
            with torch.no_grad():
                return float(lm.logits(tokens)[0, -1, 9])
        finally:
            handle.remove()

    assert (pushed(step) - pushed(-step)) / (2 * step) == pytest.approx(float(grad[0, 2, unit]), rel=0.02)
