"""What networks that model language share: tokens in, logits out, the sparsity that they promise, text made one token at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Real
from typing import Any, ClassVar

import pandas as pd
import torch
from torch import nn

from braindec.errors import BraindecError
from braindec.weights import SavedModule

__all__ = ["TokenModel", "portion", "whole"]


class TokenModel(SavedModule):
    """A network from tokens to the logits of the next token.

    Subclasses define ``logits_and_activity``; their sizes are in ``PRESETS`` ("tiny" trains on two cores in a minute,
    "paper" has the published sizes).

    Parameters
    ----------
    vocab_size : int
        Number of tokens.
    """

    KIND: ClassVar[str] = "networks.language"
    WORD: ClassVar[str] = "network"

    def __init__(self, *, vocab_size: int) -> None:
        super().__init__()
        self.vocab_size = whole("vocab_size", vocab_size, 2)

    @classmethod
    def from_preset(cls, preset: str, *, vocab_size: int, **changes: Any) -> TokenModel:
        """Build a network of a named size.

        Raises
        ------
        BraindecError
            If there is no such preset or setting.
        """
        return cls(vocab_size=vocab_size, **cls.settings(preset, **changes))

    def forward(self, tokens: torch.Tensor, **context: Any) -> torch.Tensor:
        """Tokens (batch, time) -> logits (batch, time, vocab_size); position t sees tokens up to t only."""
        return self.logits_and_activity(self._checked(tokens))[0]

    def logits_and_activity(self, tokens: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Tokens (batch, time) -> logits, and by layer the events (batch, time, unit): zero where nothing is sent."""
        raise NotImplementedError(f"{type(self).__name__} must define logits_and_activity()")

    def consumers(self) -> dict[str, int]:
        """By layer of :meth:`logits_and_activity`: how many weights an event of one unit meets."""
        raise NotImplementedError(f"{type(self).__name__} must define consumers()")

    @torch.no_grad()
    def sparsity(self, tokens: torch.Tensor) -> pd.DataFrame:
        """Return how rarely units send something, and the arithmetic that this saves.

        Parameters
        ----------
        tokens : tensor of shape (batch, time)
            Tokens to read.

        Returns
        -------
        DataFrame
            One row a layer: n_units, active (share of units that send an event, a token), sparsity (1 - active), silent
            (share of units that never send one), dense and sparse (multiply-adds a token that these units cause when
            all, or only the active ones, are dealt with).
        """
        with self._at_rest():
            _, events = self.logits_and_activity(self._checked(tokens))
        fan = self.consumers()
        rows = []
        for layer, sent in events.items():
            on = (sent != 0).float()
            active, n = on.mean().item(), sent.shape[-1]
            silent = (on.flatten(0, -2).sum(dim=0) == 0).float().mean().item()
            rows.append(
                {"layer": layer, "n_units": n, "active": active, "sparsity": 1 - active, "silent": silent,
                 "dense": n * fan[layer], "sparse": active * n * fan[layer]}
            )  # fmt: skip
        return pd.DataFrame(rows)

    @torch.no_grad()
    def generate(
        self, tokens: torch.Tensor, n: int, *, temperature: float = 1.0, generator: torch.Generator | None = None
    ) -> torch.Tensor:
        """Continue ``tokens`` (batch, time) by ``n`` tokens; temperature 0 takes the most likely one.

        Returns
        -------
        tensor of shape (batch, time + n)
        """
        if not isinstance(temperature, Real) or not 0 <= temperature < math.inf:
            raise BraindecError("the temperature must be a finite number of at least 0", found=repr(temperature))
        tokens = self._checked(tokens)
        for _ in range(whole("n", n, 0)):
            with self._at_rest():
                logits = self(tokens)[:, -1]
            if temperature == 0:
                new = logits.argmax(dim=-1, keepdim=True)
            else:
                new = torch.multinomial(torch.softmax(logits / temperature, dim=-1), 1, generator=generator)
            tokens = torch.cat([tokens, new], dim=1)
        return tokens

    @torch.no_grad()
    def bits_per_token(self, tokens: torch.Tensor) -> float:
        """Return the mean surprisal in bits of tokens 1, 2, ... of (batch, time), each given those before it."""
        tokens = self._checked(tokens)
        if tokens.shape[1] < 2:
            raise BraindecError("surprisal needs rows of at least two tokens", found=f"shape {tuple(tokens.shape)}")
        with self._at_rest():
            logits = self(tokens[:, :-1])
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
        return loss.item() / math.log(2)

    @contextmanager
    def _at_rest(self) -> Iterator[None]:
        """Leave out dropout and the like, whatever mode the network is in; its mode is the same afterwards."""
        modes = [(module, module.training) for module in self.modules()]
        self.eval()
        try:
            yield
        finally:
            for module, training in modes:
                module.training = training

    def _checked(self, tokens: torch.Tensor) -> torch.Tensor:
        known = isinstance(tokens, torch.Tensor)
        if not known or tokens.ndim != 2 or tokens.dtype not in (torch.int32, torch.int64) or not tokens.numel():
            raise BraindecError(
                f"{type(self).__name__} reads whole numbers of shape (batch, time): a tensor of int32 or int64",
                found=f"{tokens.dtype} of shape {tuple(tokens.shape)}" if known else type(tokens).__name__,
            )
        low, high = int(tokens.min()), int(tokens.max())
        if low < 0 or high >= self.vocab_size:
            raise BraindecError(
                f"a token is not in the vocabulary of {type(self).__name__}", found=str(low if low < 0 else high),
                allowed=f"0 to {self.vocab_size - 1}", fix="use the tokenizer that the network was made for",
            )  # fmt: skip
        return tokens


def whole(name: str, value: Any, least: int = 1) -> int:
    """Return ``value`` as a whole number of at least ``least``, or raise."""
    number = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    if not number or int(value) != value or value < least:
        raise BraindecError(f"{name} must be a whole number of at least {least}", found=repr(value))
    return int(value)


def portion(name: str, value: Any) -> float:
    """Return ``value`` as a number from 0 to below 1, or raise."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= value < 1:
        raise BraindecError(f"{name} is a share below 1", found=repr(value))
    return float(value)
