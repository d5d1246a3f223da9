"""Small language models of seven architectures, built on the spot with random weights, or trained for a few steps.

Nothing is downloaded: configurations of transformers, a byte-level BPE vocabulary learned from the texts given (or
from made-up ones), weights from a seed. The global random state is left as it was.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from braindec.errors import BraindecError, did_you_mean
from braindec.llm._check import whole
from braindec.llm.source import KINDS

if TYPE_CHECKING:
    from braindec.llm.load import LanguageModel

__all__ = ["KINDS", "made_up_texts", "tiny_model", "train_on", "untrained"]

VOCABULARY = 2000


def tiny_model(
    kind: str = "gpt2", *, n_layers: int = 4, n_units: int = 64, n_heads: int = 4, max_length: int = 512, seed: int = 0,
    texts: Sequence[str] | None = None, steps: int = 0,
) -> LanguageModel:  # fmt: skip
    """Build a small model.

    Parameters
    ----------
    kind : {"gpt2", "llama", "qwen", "gemma", "neox", "bert", "mamba", "suma"}
        "suma" is :mod:`braindec.llm.suma`, an untrained control; each cycle of its one block is a layer.
    n_layers, n_units, n_heads : int
        ``n_units`` is the width of the residual stream; MLPs are four times as wide.
    max_length : int
        Longest text in tokens.
    seed : int
        Same seed, same weights.
    texts : sequence of str, optional
        What the vocabulary is learned from, and what the model is trained on; made-up sentences by default.
    steps : int
        Steps of training on ``texts`` (next token; for ``bert`` masked tokens). 0: random weights.

    Returns
    -------
    LanguageModel

    Raises
    ------
    BraindecError
        If the kind is unknown or the heads do not divide the width.
    """
    from braindec.llm.load import describe

    if kind not in KINDS:
        raise BraindecError(f"there is no tiny model {kind!r}{did_you_mean(kind, KINDS)}", allowed=", ".join(KINDS))
    for what, value, least in (("n_layers", n_layers, 1), ("n_units", n_units, 1), ("n_heads", n_heads, 1),
                               ("max_length", max_length, 8), ("steps", steps, 0), ("seed", seed, 0)):  # fmt: skip
        whole(value, what, least=least)
    if n_units % n_heads or (n_units // n_heads) % 2:
        raise BraindecError(
            f"{n_heads} heads do not divide {n_units} units into even parts", fix="e.g. n_units=64, n_heads=4"
        )
    texts = _checked_texts(texts) if texts is not None else made_up_texts()
    tokenizer = _tokenizer(texts, bidirectional=kind == "bert")
    if kind == "suma":
        from braindec.llm.suma import suma

        if steps:
            raise BraindecError("SUMA is a control model that is not trained", found=f"steps={steps}", fix="steps=0")
        shape = {"hidden_size": n_units, "num_heads": n_heads, "num_cycles": n_layers, "max_length": max_length}
        return suma("tiny", tokenizer=tokenizer, seed=seed, **shape)
    make = _maker(kind, n_layers, n_units, n_heads, max_length, len(tokenizer), tokenizer)
    lm = describe(_seeded(make, seed), tokenizer=tokenizer, name=f"tiny-{kind}", fresh=make)
    if steps:
        train_on(lm, texts, steps=steps, seed=seed)
        lm = replace(lm, name=f"tiny-{kind}-trained")
    return lm


def untrained(lm: LanguageModel, seed: int) -> LanguageModel:
    """Return a model of the same architecture and tokenizer with fresh weights by the model's own initialiser.

    Raises
    ------
    BraindecError
        If a plain torch model has parts that cannot initialise themselves.
    """
    from braindec.llm.load import describe

    whole(seed, "seed")
    make = lm.fresh or _fresh_maker(lm.model)
    model = _seeded(make, seed).to(device=lm.device, dtype=next(lm.model.parameters()).dtype)
    named = f"{lm.name}-untrained-{seed}"
    return describe(model, tokenizer=lm.tokenizer, name=named, fresh=make)


def train_on(lm: LanguageModel, texts: Sequence[str], *, steps: int, seed: int = 0, rate: float = 3e-3) -> list[float]:
    """Train ``lm`` in place for a few steps (AdamW, 16 texts a step); return the loss of each step."""
    tokenizer, device = lm.tokenizer, lm.device
    whole(steps, "steps")
    texts = _checked_texts(texts)
    need = {"pad": "pad_token", "mask": "mask_token"} if lm.bidirectional else {"pad": "pad_token", "end": "eos_token"}
    if lacking := [name for name in need.values() if getattr(tokenizer, f"{name}_id", None) is None]:
        raise BraindecError(
            f"{lm.name} cannot be trained: its tokenizer has no {' and no '.join(lacking)}",
            fix=f"lm.tokenizer.{lacking[0]} = one of its tokens",
        )
    rows = [r[: lm.max_length] for r in tokenizer(texts, add_special_tokens=True, verbose=False)["input_ids"]]
    if not lm.bidirectional:
        rows = [[*r, tokenizer.eos_token_id] for r in rows]
        rows = [r[: lm.max_length] for r in rows]
    generator = torch.Generator().manual_seed(seed)
    lm.model.requires_grad_(True)
    optimizer = torch.optim.AdamW(lm.model.parameters(), lr=rate, weight_decay=0.01)
    losses = []
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = rate * min(1.0, (step + 1) / 10) * max(0.1, 1 - step / max(1, steps))
            chosen = [rows[int(i)] for i in torch.randint(len(rows), (16,), generator=generator)]
            tokens = nn.utils.rnn.pad_sequence(
                [torch.tensor(r) for r in chosen], batch_first=True, padding_value=tokenizer.pad_token_id
            ).to(device)
            inputs, targets = _targets(tokens, lm.bidirectional, tokenizer, generator)
            mask = (tokens != tokenizer.pad_token_id).long()
            logits = lm.model(input_ids=inputs, attention_mask=mask, use_cache=False).logits.float()
            loss = nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(lm.model.parameters(), 1.0)
            optimizer.step()
            losses.append(float(loss.detach()))
    lm.model.requires_grad_(False)
    lm.model.eval()
    return losses


def _checked_texts(texts: Any) -> list[str]:
    texts = [texts] if isinstance(texts, str) else list(texts)
    if wrong := [t for t in texts if not isinstance(t, str)]:
        raise BraindecError("a vocabulary is learned from texts", found=repr(wrong[0])[:60], allowed="a list of str")
    if not any(t.strip() for t in texts):
        raise BraindecError(
            "there are no texts to learn from", found=f"{len(texts)} empty texts", fix="texts=None: made-up ones"
        )
    return texts


def _targets(
    tokens: torch.Tensor, bidirectional: bool, tokenizer: Any, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    padding = tokens == tokenizer.pad_token_id
    if bidirectional:
        hidden = (torch.rand(tokens.shape, generator=generator) < 0.15).to(tokens.device) & ~padding
        hidden[:, 1] |= ~padding[:, 1]  # never none
        return tokens.masked_fill(hidden, tokenizer.mask_token_id), tokens.masked_fill(~hidden, -100)
    targets = torch.full_like(tokens, -100)
    targets[:, :-1] = tokens[:, 1:].masked_fill(padding[:, 1:], -100)
    return tokens, targets


def made_up_texts(n: int = 400, seed: int = 0) -> list[str]:
    """Return ``n`` sentences of a toy grammar of English-looking words; same seed, same sentences."""
    import numpy as np

    rng = np.random.default_rng(seed)
    words = {
        "D": "the a this every that some".split(),
        "A": "small red quiet heavy clever old bright cold green tired".split(),
        "N": "gardener river teacher lamp captain bridge kitten doctor window baker forest letter pilot stone".split(),
        "V": "watches carries finds paints follows opens remembers cleans moves hides".split(),
        "P": "near behind under beside above".split(),
        "R": "slowly today again often together".split(),
    }
    patterns = ("DANVDN", "DNVDANPDN", "DNPDNVR", "DANVDANR", "DNVR", "DANPDANVDNR")
    made = []
    for _ in range(n):
        pattern = patterns[rng.integers(len(patterns))]
        sentence = " ".join(words[slot][rng.integers(len(words[slot]))] for slot in pattern)
        made.append(sentence[0].upper() + sentence[1:] + ".")
    return made


def _tokenizer(texts: Sequence[str], *, bidirectional: bool) -> Any:
    """Learn a byte-level BPE vocabulary of at most 2,000 pieces."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    special = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "mask_token": "<mask>"}
    pieces = Tokenizer(models.BPE())
    pieces.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    pieces.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=list(special.values()), show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )  # fmt: skip
    pieces.train_from_iterator(list(texts), trainer)
    template = processors.TemplateProcessing(
        single="<s> $A </s>" if bidirectional else "<s> $A",
        special_tokens=[(s, pieces.token_to_id(s)) for s in ("<s>", "</s>")],
    )
    pieces.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=True), template])  # type: ignore[list-item]
    return PreTrainedTokenizerFast(tokenizer_object=pieces, **special)


def _maker(
    kind: str, n_layers: int, n_units: int, n_heads: int, max_length: int, n_words: int, tokenizer: Any
) -> Callable[[], nn.Module]:
    import transformers as hf

    shape = {"vocab_size": n_words, "bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id,
             "pad_token_id": tokenizer.pad_token_id, "hidden_size": n_units, "num_hidden_layers": n_layers}  # fmt: skip
    heads = {"num_attention_heads": n_heads, "intermediate_size": 4 * n_units, "max_position_embeddings": max_length}
    grouped = {"num_key_value_heads": max(1, n_heads // 2), "head_dim": n_units // n_heads}
    no_dropout = {"attention_probs_dropout_prob": 0.0, "hidden_dropout_prob": 0.0}
    table: dict[str, tuple[Any, Any, dict[str, Any]]] = {
        "gpt2": (hf.GPT2Config, hf.GPT2LMHeadModel,
                 {**heads, "n_inner": 4 * n_units, "activation_function": "gelu_pytorch_tanh",  # the same function, in one call
                 "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}),
        "llama": (hf.LlamaConfig, hf.LlamaForCausalLM, {**heads, **grouped}),
        "qwen": (hf.Qwen3Config, hf.Qwen3ForCausalLM, {**heads, **grouped}),
        "gemma": (hf.Gemma2Config, hf.Gemma2ForCausalLM,
                  {**heads, **grouped, "sliding_window": max_length, "query_pre_attn_scalar": n_units // n_heads}),
        "neox": (hf.GPTNeoXConfig, hf.GPTNeoXForCausalLM, heads),
        "bert": (hf.BertConfig, hf.BertForMaskedLM, {**heads, **no_dropout}),
        "mamba": (hf.MambaConfig, hf.MambaForCausalLM, {"state_size": 8}),
    }  # fmt: skip
    config_type, model_type, more = table[kind]
    config = config_type(**{**shape, **{k: v for k, v in more.items() if k != "intermediate_size" or kind != "gpt2"}})
    if kind == "mamba":
        tokenizer.model_max_length = max_length  # a state-space model has no limit of its own
    return lambda: model_type(copy.deepcopy(config))


def _fresh_maker(model: nn.Module) -> Callable[[], nn.Module]:
    config = getattr(model, "config", None)
    if config is not None and hasattr(type(model), "from_pretrained"):
        return lambda: type(model)(copy.deepcopy(config))

    def again() -> nn.Module:
        fresh = copy.deepcopy(model)
        for name, module in fresh.named_modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
            elif hasattr(module, "_reset_parameters"):
                module._reset_parameters()
            elif any(True for _ in module.parameters(recurse=False)):
                raise BraindecError(
                    f"{name} ({type(module).__name__}) has weights and no reset_parameters() to draw fresh ones",
                    fix="give wrap(..., fresh=function that makes a new model)",
                )
        return fresh

    return again


def _seeded(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()
