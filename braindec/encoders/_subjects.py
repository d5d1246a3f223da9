"""What encoders of several subjects share: sizes by subject, padded batches, a new subject beside known ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import nn

from braindec.encoders._base import Encoder
from braindec.errors import BraindecError

__all__ = ["ResidualBlock", "SubjectEncoder", "by_subject"]


class SubjectEncoder(Encoder):
    """An encoder with parts of its own for each subject, in front of (or around) parts that all subjects share.

    A batch may mix subjects: ``x`` has the channels of the largest one, and the rest of a smaller one's is not looked at.

    Parameters
    ----------
    n_chans : int, list of int, or dict of name to int
        Channels (voxels) of each subject; subjects are numbered in this order. An int is one subject.
    n_times, dim : int
        Samples of a window, and length of the output.

    Raises
    ------
    BraindecError
        If a size is not a whole number of at least 1, or there are none.
    """

    uses_subject: ClassVar[bool] = True
    OWN: ClassVar[tuple[str, ...]] = ()  # names of the ModuleLists that hold one part a subject

    def __init__(self, *, n_chans: Any, n_times: int, dim: int) -> None:
        named = isinstance(n_chans, Mapping)
        sizes = list(n_chans.values()) if named else list(n_chans) if isinstance(n_chans, (list, tuple)) else [n_chans]
        if not sizes:
            raise BraindecError(f"n_chans of {type(self).__name__} names no subject", found=repr(n_chans))
        for size in sizes:
            super().__init__(n_chans=size, n_times=n_times, dim=dim)  # refuses what is no size
        super().__init__(n_chans=max(sizes), n_times=n_times, dim=dim)
        self.sizes = [int(s) for s in sizes]
        self.subjects = [str(s) for s in n_chans] if named else [str(i) for i in range(len(sizes))]
        self.settings["n_chans"] = dict(zip(self.subjects, self.sizes, strict=True)) if named else n_chans

    @property
    def n_subjects(self) -> int:
        """How many subjects it knows."""
        return len(self.sizes)

    def codes(self, x: torch.Tensor, subject: torch.Tensor | None) -> torch.Tensor:
        """Check and return the number of each window's subject; one subject need not be named.

        Raises
        ------
        BraindecError
            If a number is unknown, or there are several subjects and none is named.
        """
        if self.n_subjects == 1 and (subject is None or bool((subject <= 0).all())):
            return torch.zeros(len(x), dtype=torch.int64, device=x.device)
        if subject is None or subject.shape != (len(x),) or bool(((subject < 0) | (subject >= self.n_subjects)).any()):
            found = (
                "none"
                if subject is None
                else f"shape {tuple(subject.shape)}, values {sorted(set(subject.tolist()))[:6]}"
            )
            raise BraindecError(
                f"{type(self).__name__} needs the subject of each window: every subject has voxels of its own",
                found=found, allowed=f"shape ({len(x)},), 0 to {self.n_subjects - 1}",
                fix="a new subject needs a part of its own: CrossSubjectDecoder.adapt",
            )  # fmt: skip
        return subject

    def own_values(self, x: torch.Tensor, number: int) -> torch.Tensor:
        """Take the values of one subject, x (batch, channel, time) -> (batch, channel * time)."""
        return x[:, : self.sizes[number]].flatten(1)

    def own(self) -> dict[int, list[nn.Module]]:
        """The parts of each subject."""
        return {i: [getattr(self, name)[i] for name in self.OWN] for i in range(self.n_subjects)}

    @torch.no_grad()
    def with_subject(self, name: str, n_chans: int) -> SubjectEncoder:
        """Return a copy that knows one more subject, whose parts have fresh weights; all others are as here.

        A name that is known is an error; ``n_chans`` given as int or list becomes a dict of names "0", "1", ...
        """
        if name in self.subjects:
            raise BraindecError(f"{type(self).__name__} has a subject {name!r} already", found=", ".join(self.subjects))
        sizes = {**dict(zip(self.subjects, self.sizes, strict=True)), name: n_chans}
        made = type(self)(**{**self.settings, "n_chans": sizes})
        known = self.state_dict()
        made.load_state_dict({k: known.get(k, v) for k, v in made.state_dict().items()})
        return made


def by_subject(codes: torch.Tensor, parts: Callable[[int, torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """Run ``parts(number, rows)`` on the rows of each subject and put the results in the order of the batch."""
    numbers = torch.unique(codes).tolist() if codes.device.type != "meta" else [0]
    if len(numbers) == 1:
        return parts(numbers[0], torch.arange(len(codes), device=codes.device))
    rows = [torch.nonzero(codes == number).flatten() for number in numbers]
    made = torch.cat([parts(number, r) for number, r in zip(numbers, rows, strict=True)])
    return made[torch.argsort(torch.cat(rows))]


class ResidualBlock(nn.Module):
    """x + Dropout(GELU(LayerNorm(Linear(x)))), (batch, width) -> the same."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(width, width), nn.LayerNorm(width), nn.GELU(), nn.Dropout(dropout))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (batch, width) -> the same shape."""
        return x + self.body(x)


class TokenProjector(nn.Module):
    """Each token through LN, GELU, Linear, LN, GELU, Linear, LN, GELU, Linear: (batch, token, n) -> the same shape."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        pairs: Sequence[tuple[int, int]] = ((width, hidden), (hidden, hidden), (hidden, width))
        layers = [layer for a, b in pairs for layer in (nn.LayerNorm(a), nn.GELU(), nn.Linear(a, b))]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (batch, token, n) -> the same shape."""
        return self.layers(x)


def tokens_of(dim: int, token_dim: int | None, kind: str) -> tuple[int, int]:
    """Return how many tokens an output of length ``dim`` has and their length; a shorter output is one token.

    Raises
    ------
    BraindecError
        If ``dim`` is longer than a token and no multiple of it.
    """
    if token_dim is None or dim < token_dim:
        return 1, dim
    if dim % token_dim:
        raise BraindecError(
            f"{kind}: an output of {dim} numbers cannot be cut into tokens of {token_dim}",
            allowed=f"a multiple of {token_dim}", fix="set token_dim to the length of the features' tokens, or None for one",
        )  # fmt: skip
    return dim // token_dim, token_dim
