"""du_in: channels of a region together to one token each 100 ms, attention over tokens, words from all of them.

Source: Zheng et al. 2024 (NeurIPS), "Du-IN: Discrete units-guided mask modeling for decoding speech from intracranial neural
signals", sections 3.1 to 3.4 and appendix. The stages before classification are in ``_du_in_stages``.

The published count of 4,377,639 parameters (61 words, 10 channels, 3000 samples) is not the size of what classifies words.
It is what the published classification module holds, learned or not: 4,182,813 learned numbers that make the output, which
is what this encoder has; 4,800 of the table of places in time (30 x 160); 8 fixed scales of attention; 179,713 of a
vector quantiser without effect on the output (its layers 46,592, 2048 x 64 codes, 2,048 counts, one switch); and 10,305
of a contrastive head whose loss has weight 0. :meth:`DuIN.published_count` adds them up.

Differs from the reference in: first weights are torch's; there is no contrastive head; a window that is no whole number of
patches is filled up with zeros at its end; subjects may have different numbers of channels. As published there is no
activation between the convolutions, so that a token is a linear function of its patch; ``activation="gelu"`` puts one
there (on simulated words the tiny preset learned less with it).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from braindec.encoders._base import at_least
from braindec.encoders._du_in_layers import ACTIVATIONS, PatchTokens, blocks, places
from braindec.encoders._subjects import SubjectEncoder, by_subject
from braindec.encoders._vector_quantizer import VectorQuantizer
from braindec.errors import BraindecError, did_you_mean

__all__ = ["DuIN"]

_CONTRAST = 32  # width of the published contrastive head, which is not built


class DuIN(SubjectEncoder):
    """(batch, channel, time) -> (batch, dim): a linear map a subject, tokens of patches, attention, two layers.

    Parameters
    ----------
    n_chans : int, list of int, or dict of name to int
        Channels of each subject.
    n_times, dim : int
        Samples of a window, and classes (or length of the embedding).
    patch : int
        Samples of a patch: 100 at 1000 Hz as published.
    patch_seconds, sfreq : float, optional
        The length of a patch in s and the sampling frequency in Hz, instead of ``patch``; rounded to whole steps.
    steps : int
        Steps of time in a patch after the first convolution (its stride is ``patch / steps``, its kernel 2 strides - 1).
    n_mixed : int
        Channels after the linear map of a subject.
    filters : list of 3 int
        Channels of the convolutions; tokens have ``filters[2] * steps`` numbers.
    activation : {"gelu", "relu"} or None
        After each convolution; None as published.
    n_layers, n_heads, d_head, d_ff, dropout
        Of the attention blocks.
    hidden : int
        Width between all tokens and the output.
    n_codes, code_dim, decay, beta, revive
        Of the quantiser (:class:`~braindec.encoders._vector_quantizer.VectorQuantizer`), for the stages before
        classification.
    late : float
        Share of the epochs of the autoencoder before it quantises; 0 as published. With few windows the codes of an untrained
        encoder draw all tokens together, and nothing is learned.
    n_layers_decoder : int
        Attention blocks behind the quantiser.

    Raises
    ------
    BraindecError
        If windows are shorter than a patch, a patch is no whole number of steps, or an option is wrong.
    """

    OWN: ClassVar[tuple[str, ...]] = ("subject_layers",)
    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "tiny": {"patch": 40, "steps": 5, "n_mixed": 8, "filters": [24, 24, 12], "n_layers": 2,
                 "n_heads": 2, "d_head": 16, "d_ff": 80, "dropout": 0.1, "hidden": 64, "n_codes": 64, "code_dim": 16,
                 "n_layers_decoder": 1, "decay": 0.95, "beta": 0.25, "revive": 0.5, "late": 0.6},
        "base": {"filters": [64, 64, 8], "n_layers": 4, "n_heads": 4, "d_head": 32, "d_ff": 160, "n_codes": 512, "code_dim": 32,
                 "n_layers_decoder": 2},
        "paper": {"patch": 100, "steps": 10, "n_mixed": 16, "filters": [128, 128, 16], "activation": None, "n_layers": 8,
                  "n_heads": 8, "d_head": 64, "d_ff": 320, "dropout": 0.2, "hidden": 128, "n_codes": 2048, "code_dim": 64,
                  "n_layers_decoder": 4, "decay": 0.99, "beta": 1.0, "revive": 0.0, "late": 0.0},
    }  # fmt: skip

    def __init__(
        self,
        *,
        n_chans: Any,
        n_times: int,
        dim: int,
        patch: int = 100,
        patch_seconds: float | None = None,
        sfreq: float | None = None,
        steps: int = 10,
        n_mixed: int = 16,
        filters: Sequence[int] = (128, 128, 16),
        activation: str | None = None,
        n_layers: int = 8,
        n_heads: int = 8,
        d_head: int = 64,
        d_ff: int = 320,
        dropout: float = 0.2,
        hidden: int = 128,
        n_codes: int = 2048,
        code_dim: int = 64,
        decay: float = 0.99,
        beta: float = 1.0,
        revive: float = 0.0,
        late: float = 0.0,
        n_layers_decoder: int = 4,
    ) -> None:
        super().__init__(n_chans=n_chans, n_times=n_times, dim=dim)
        _check(filters, activation, dropout, late, steps=steps, n_mixed=n_mixed, n_layers=n_layers, n_heads=n_heads, d_head=d_head,
               d_ff=d_ff, hidden=hidden, n_layers_decoder=n_layers_decoder)  # fmt: skip
        self.patch = _patch(patch, patch_seconds, sfreq, steps)
        at_least("du_in", self.n_times, self.patch, "one patch")
        self.filters = tuple(int(f) for f in filters)
        self.settings["filters"] = list(self.filters)
        self.steps, self.n_mixed, self.activation = steps, n_mixed, activation
        self.attention = {"n_heads": n_heads, "d_head": d_head, "d_ff": d_ff, "dropout": dropout}
        self.quantizer = {"n_codes": n_codes, "dim": code_dim, "decay": decay, "beta": beta, "revive": revive}
        self.n_layers_decoder, self.late = n_layers_decoder, late
        self.subject_layers = nn.ModuleList(nn.Linear(size, n_mixed) for size in self.sizes)
        self.tokenizer = PatchTokens(n_mixed, self.filters, patch=self.patch, steps=steps, activation=activation)
        self.width = self.tokenizer.width
        self.blocks = blocks(n_layers, self.width, **self.attention)
        self.n_tokens = -(-self.n_times // self.patch)
        self.register_buffer("places", places(self.n_tokens, self.width), persistent=False)
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(self.n_tokens * self.width, hidden), nn.GELU(), nn.Linear(hidden, self.dim)
        )

    def forward(self, x: torch.Tensor, *, subject: torch.Tensor | None = None, **context: torch.Tensor) -> torch.Tensor:
        """x (batch, channel, time), subject (batch,) -> (batch, dim)."""
        return self.head(self.attend(self.tokens(x, subject)))

    def tokens(self, x: torch.Tensor, subject: torch.Tensor | None = None) -> torch.Tensor:
        """x (batch, channel, any time) -> one token a patch, (batch, token, width), before any attention."""
        codes = self.codes(x, subject)
        mixed = by_subject(codes, lambda number, rows: self._mixed(x[rows], number))
        short = -mixed.shape[2] % self.patch
        return self.tokenizer(F.pad(mixed, (0, short)) if short else mixed)

    def attend(self, tokens: torch.Tensor) -> torch.Tensor:
        """Add their places in time to tokens (batch, token, width) and let them attend to one another; same shape."""
        n = tokens.shape[1]
        where = self.places if n == self.n_tokens else places(n, self.width).to(tokens)
        return self.blocks(tokens + where)

    def body(self) -> dict[str, torch.Tensor]:
        """Return the weights before the head, which every stage shares."""
        return {k: v for k, v in self.state_dict().items() if not k.startswith("head.")}

    def load_body(self, weights: dict[str, torch.Tensor]) -> DuIN:
        """Take over :meth:`body` of an encoder of the same sizes, of windows of any length."""
        self.load_state_dict({**self.state_dict(), **weights})
        return self

    def published_count(self) -> dict[str, int]:
        """Return what the published count of parameters counts, part by part (see the module's docstring).

        Returns
        -------
        dict of int
            Only "learned" is in this encoder; the sum is 4,377,639 at paper size for 61 words, 10 channels and 3 s.
        """
        quantizer = VectorQuantizer(self.width, **self.quantizer)
        held = sum(t.numel() for t in (*quantizer.parameters(), *quantizer.buffers()))
        contrast = 2 * (self.width * _CONTRAST + _CONTRAST) + 1
        return {"learned": self.n_parameters, "places in time": self.places.numel(), "attention scales": len(self.blocks),
                "vector quantiser": held, "contrastive head": contrast}  # fmt: skip

    def _mixed(self, x: torch.Tensor, number: int) -> torch.Tensor:
        """Channels of one subject (batch, channel, time) -> (batch, n_mixed, time)."""
        layer = self.subject_layers[number]
        return F.conv1d(x[:, : self.sizes[number]], layer.weight[:, :, None], layer.bias)


def _patch(patch: int, seconds: float | None, sfreq: float | None, steps: int) -> int:
    """Samples of a patch."""
    if (seconds is None) != (sfreq is None):
        raise BraindecError(
            "a patch in s needs the sampling frequency, and the other way round",
            found=f"patch_seconds={seconds}, sfreq={sfreq}",
        )
    if seconds is not None and sfreq is not None:
        if not seconds > 0 or not sfreq > 0 or round(seconds * sfreq / steps) < 1:
            raise BraindecError(
                f"a patch of {seconds} s at {sfreq} Hz has fewer samples than its {steps} steps",
                fix="use a longer patch, or fewer steps",
            )
        return round(seconds * sfreq / steps) * steps
    if isinstance(patch, bool) or patch != int(patch) or patch < 1 or patch % steps:
        raise BraindecError(
            f"a patch of {patch} samples is no whole number of {steps} steps", allowed=f"{steps}, {2 * steps}, ...",
            fix="change patch or steps; patch_seconds and sfreq are rounded to whole steps",
        )  # fmt: skip
    return int(patch)


def _check(filters: Sequence[int], activation: str | None, dropout: float, late: float, **sizes: int) -> None:
    if activation is not None and activation not in ACTIVATIONS:
        raise BraindecError(
            f"there is no activation {activation!r}{did_you_mean(str(activation), ACTIVATIONS)}",
            allowed="gelu, relu, or None as published",
        )
    if not 0 <= dropout < 1 or not 0 <= late < 1:
        raise BraindecError("dropout and late are shares", found=f"{dropout}, {late}", allowed="from 0 to below 1")
    if len(filters) != 3:
        raise BraindecError("du_in has three convolutions", found=f"filters={list(filters)}", allowed="three numbers")
    every = {**sizes, **{f"filters[{k}]": f for k, f in enumerate(filters)}}
    wrong = {name: size for name, size in every.items() if isinstance(size, bool) or size != int(size) or size < 1}
    if wrong:
        raise BraindecError("a size of du_in must be a whole number of at least 1", found=str(wrong))
