"""SUMA: one untrained block of attention, applied a few times; a control model.

A token embedding, then ``num_cycles`` times the same block ``x + attention(norm(x))``: root-mean-square norm, causal
multi-head attention without biases, no MLP, no positions. Every weight matrix is drawn from N(0, 0.02); nothing is
trained. Its units still align with brain recordings, because attention averages over preceding words and so carries how
many there were.

**A control, not a finding**: what it explains must be compared with position and word rate, which account for the
alignment of untrained models on the usual data sets (Hadidi et al. 2026). Show it beside those bands, never alone.

Source: AlKhamissi, Tuckute, Bosselut & Schrimpf 2024 (arXiv:2406.15109, Brain-like language processing via a shallow
untrained multihead attention network).
Differs from the reference in: no norm after the last cycle; the tokenizer is whichever you give (the paper's is the BPE
of Llama 2, 32,000 tokens, whose size the preset "paper" has).
"""

from __future__ import annotations

import inspect
import math
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from braindec.errors import BraindecError, did_you_mean
from braindec.llm._check import whole

if TYPE_CHECKING:
    from braindec.llm.load import LanguageModel

__all__ = ["PRESETS", "Suma", "suma"]

PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {"hidden_size": 64, "num_heads": 8, "num_cycles": 2},
    "paper": {"hidden_size": 4096, "num_heads": 512, "num_cycles": 2, "vocab_size": 32_000},
}


class Attention(nn.Module):
    """Causal multi-head attention without biases or positions; returns its output and its pattern."""

    def __init__(self, hidden_size: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (
            nn.Linear(hidden_size, hidden_size, bias=False) for _ in range(4)
        )

    def forward(self, x: torch.Tensor, attention_mask: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Map (batch, token, unit) to the same shape, and give the attention (batch, head, query, key)."""
        batch, n, width = x.shape
        q, k, v = (
            p(x).view(batch, n, self.num_heads, -1).transpose(1, 2) for p in (self.q_proj, self.k_proj, self.v_proj)
        )
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        hidden = torch.ones(n, n, dtype=torch.bool, device=x.device).triu(1)
        if attention_mask is not None:
            hidden = hidden | (attention_mask[:, None, None, :] == 0)
        pattern = scores.masked_fill(hidden, torch.finfo(scores.dtype).min).softmax(dim=-1)
        return self.o_proj((pattern @ v).transpose(1, 2).reshape(batch, n, width)), pattern


class Block(nn.Module):
    """``x + attention(norm(x))``."""

    def __init__(self, hidden_size: int, num_heads: int) -> None:
        super().__init__()
        self.input_layernorm = nn.RMSNorm(hidden_size, eps=1e-5)
        self.self_attn = Attention(hidden_size, num_heads)

    def forward(self, x: torch.Tensor, attention_mask: torch.Tensor | None = None) -> torch.Tensor:
        """Map (batch, token, unit) to the same shape."""
        return x + self.self_attn(self.input_layernorm(x), attention_mask)[0]


class Suma(nn.Module):
    """The network.

    Parameters
    ----------
    hidden_size, num_heads, vocab_size : int
    num_cycles : int
        How often the one block is applied.
    max_length : int
        Longest text in tokens; a limit of memory, not of the network.
    sigma : float
        Standard deviation of the weights.
    seed : int, optional
        Of the weights; PyTorch's own source of chance when None.

    Raises
    ------
    BraindecError
        If the heads do not divide the width.
    """

    def __init__(
        self, *, hidden_size: int = 64, num_heads: int = 8, num_cycles: int = 2, vocab_size: int = 2000,
        max_length: int = 2048, sigma: float = 0.02, seed: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        for what, value in (("hidden_size", hidden_size), ("num_heads", num_heads), ("num_cycles", num_cycles),
                            ("vocab_size", vocab_size), ("max_length", max_length)):  # fmt: skip
            whole(value, what, least=1)
        if not 0 < sigma < math.inf:
            raise BraindecError(f"sigma={sigma} gives no weights", allowed="a number above 0")
        if hidden_size % num_heads:
            raise BraindecError("SUMA needs heads that divide its width",
                                found=f"{num_cycles} cycles, {num_heads} heads, width {hidden_size}")  # fmt: skip
        self.vocab_size, self.max_length, self.num_cycles = vocab_size, max_length, num_cycles
        with torch.random.fork_rng(devices=[], enabled=seed is not None):  # PyTorch's own first draws are thrown away
            self.embed_tokens = nn.Embedding(vocab_size, hidden_size)
            self.layers = nn.ModuleList(
                [Block(hidden_size, num_heads)]
            )  # a list, as in any model, of which there is one
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        for parameter in self.parameters():
            if parameter.ndim == 2 and not parameter.is_meta:
                nn.init.normal_(parameter, std=sigma, generator=generator)

    def forward(self, tokens: torch.Tensor, attention_mask: torch.Tensor | None = None) -> torch.Tensor:
        """Map token ids (batch, token) to hidden states (batch, token, unit)."""
        x = self.embed_tokens(tokens)
        for _ in range(self.num_cycles):
            x = self.layers[0](x, attention_mask)
        return x


def suma(preset: str = "tiny", *, tokenizer: Any, seed: int = 0, device: str = "cpu", **changes: Any) -> LanguageModel:
    """Return SUMA as a language model whose units :func:`~braindec.llm.extract.extract` reads.

    Each cycle is a layer; the sites are those of attention ("attn_out", "head_out", "attn_pattern", "resid_post").

    Parameters
    ----------
    preset : {"tiny", "paper"}
    tokenizer : fast tokenizer of transformers
        Its size is the vocabulary, unless the preset or ``changes`` give a larger one.
    seed : int
    device : str
    **changes
        Parameters of :class:`Suma`.

    Raises
    ------
    BraindecError
        If there is no such preset, or the vocabulary is smaller than the tokenizer's.
    """
    from braindec.llm.load import check_device, wrap

    if not hasattr(tokenizer, "__len__"):
        raise BraindecError(
            "SUMA needs a tokenizer", found=type(tokenizer).__name__, fix="load_model(folder).tokenizer"
        )
    known = [n for n in inspect.signature(Suma).parameters if n != "seed"]
    if strange := [n for n in changes if n not in known]:
        raise BraindecError(f"SUMA has no {strange[0]!r}{did_you_mean(strange[0], known)}", allowed=", ".join(known))
    check_device(device)
    if preset not in PRESETS:
        raise BraindecError(f"SUMA has no preset {preset!r}{did_you_mean(preset, PRESETS)}", allowed=", ".join(PRESETS))
    options = {"vocab_size": len(tokenizer), **PRESETS[preset], **changes}
    if options["vocab_size"] < len(tokenizer):
        raise BraindecError("the vocabulary is smaller than the tokenizer's",
                            found=f"{options['vocab_size']:,} and {len(tokenizer):,} tokens")  # fmt: skip
    network = Suma(**options, seed=seed).to(device)
    name = f"suma-{preset}-{seed}"
    return wrap(network, tokenizer=tokenizer, name=name, fresh=lambda: Suma(**options))
