"""Training over several subjects: batches with equal parts of each, and the terms that the way back to voxels adds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from braindec import losses
from braindec.decoders._batches import Batches
from braindec.decoders._embedding import unit
from braindec.decoders.contrastive import _calibrated, _device_of
from braindec.encoders._subjects import SubjectEncoder

__all__ = ["SubjectBatches", "Terms", "WithTerms", "padded", "validate"]


class SubjectBatches:
    """Batches of one epoch in which every subject has the same number of trials.

    A subject with fewer trials than the largest is dealt again, in a new order. Voxels beyond a subject's own are zeros.

    Parameters
    ----------
    parts : dict of int to Batches
        Number of the subject -> its trials, with targets and codes that all subjects share.
    n_chans : int
        Channels of a batch: those of the largest subject that the encoder knows.
    batch_size : int
        Trials of each subject; the smallest subject's number of trials where that is less.
    n_batches : int, optional
        Batches an epoch; by default as many as the largest subject fills.
    into : int, optional
        The cycle leads into this subject always; a pair is drawn at random for each batch otherwise.
    """

    def __init__(
        self,
        parts: Mapping[int, Batches],
        n_chans: int,
        *,
        batch_size: int,
        n_batches: int | None = None,
        into: int | None = None,
    ) -> None:
        sizes = [len(p.codes) for p in parts.values()]
        self.parts, self.n_chans, self.into = dict(parts), n_chans, into
        self.batch_size = min(batch_size, *sizes) if len(sizes) > 1 else min(batch_size, sizes[0])
        leading = max(sizes) if into is None else len(parts[into].codes)
        self.n_batches = n_batches or max(1, leading // self.batch_size)

    def __call__(self, generator: torch.Generator) -> Iterator[dict[str, torch.Tensor]]:
        """Give the batches of one epoch: x, y, ids, subject, and the pair of the cycle."""
        rows = {s: self._rows(len(p.codes), generator) for s, p in self.parts.items()}
        for k in range(self.n_batches):
            here = slice(k * self.batch_size, (k + 1) * self.batch_size)
            made = {s: p.batch(list(rows[s][here, None])) for s, p in self.parts.items()}
            subject = torch.tensor(list(made)).repeat_interleave(self.batch_size)
            batch = {name: torch.cat([m[name] for m in made.values()]) for name in ("y", "ids")}
            x = torch.cat([padded(m["x"], self.n_chans) for m in made.values()])
            yield {"x": x, **batch, "subject": subject, **self._pair(generator)}

    def fingerprint(self) -> str:
        """A hash that tells other data apart."""
        text = " ".join(f"{s} {p.fingerprint()}" for s, p in self.parts.items())
        return hashlib.sha256(f"{text} {self.batch_size} {self.n_batches} {self.into}".encode()).hexdigest()

    def _rows(self, n: int, generator: torch.Generator) -> np.ndarray:
        """Row numbers of one epoch: each row comes once before any comes again."""
        times = -(-self.n_batches * self.batch_size // n)
        return torch.cat([torch.randperm(n, generator=generator) for _ in range(times)]).numpy()

    def _pair(self, generator: torch.Generator) -> dict[str, torch.Tensor]:
        numbers = list(self.parts)
        if len(numbers) < 2:
            return {}
        if self.into is not None:
            others = [s for s in numbers if s != self.into]
            first = others[int(torch.randint(len(others), (1,), generator=generator))]
            return {"pair": torch.tensor([first, self.into])}
        return {"pair": torch.tensor(numbers)[torch.randperm(len(numbers), generator=generator)[:2]]}


class Terms(nn.Module):
    """An encoder whose training output is (embedding, sum of the terms that need the builders).

    Parameters
    ----------
    encoder : SubjectEncoder
        With ``build``, when a weight is not 0.
    reconstruction : float
        Weight of MSE(x, build_s(embed_s(x))), x pooled voxels of subject s.
    cycle : float
        Weight of MSE(e, embed_b(build_b(e))), e = embed_a(x_a), for the pair (a, b) of the batch.
    """

    def __init__(self, encoder: SubjectEncoder, *, reconstruction: float = 0.0, cycle: float = 0.0) -> None:
        super().__init__()
        self.encoder, self.reconstruction, self.cycle = encoder, reconstruction, cycle

    def forward(self, x: torch.Tensor, *, subject: torch.Tensor, pair: torch.Tensor | None = None) -> Any:
        """x (batch, voxel, time), subject (batch,), pair (2,) -> (batch, dim), and a scalar while training."""
        encoder: Any = self.encoder
        if not self.training or not (self.reconstruction or self.cycle):
            z = encoder(x, subject=subject)
            return (z, z.new_zeros(())) if self.training else z
        pooled = encoder.pool(x, subject)
        shared = encoder.embed(pooled, subject)
        extra = shared.new_zeros(())
        if self.reconstruction:
            extra = extra + self.reconstruction * F.mse_loss(encoder.build(shared, subject), pooled)
        if self.cycle and pair is not None:
            mine = shared[subject == pair[0]]
            other = torch.full((len(mine),), int(pair[1]), device=x.device)
            extra = extra + self.cycle * F.mse_loss(encoder.embed(encoder.build(mine, other), other), mine)
        return encoder.translate(shared), extra


class WithTerms(nn.Module):
    """A contrastive loss plus the terms of :class:`Terms`.

    Parameters
    ----------
    loss : nn.Module
        One of :mod:`braindec.losses`.
    """

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def at(self, progress: float) -> None:
        """Tell the loss how much of the training is done."""
        if hasattr(self.loss, "at"):
            self.loss.at(progress)

    def mix(self, x: torch.Tensor, **options: Any) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Mix the batch, if the loss does."""
        return self.loss.mix(x, **options) if hasattr(self.loss, "mix") else (x, {})

    def constrain(self) -> None:
        """Bring a learned temperature back to its limit."""
        if hasattr(self.loss, "constrain"):
            self.loss.constrain()

    def forward(self, made: tuple[torch.Tensor, torch.Tensor], y: torch.Tensor, **named: Any) -> torch.Tensor:
        """Return a scalar."""
        z, extra = made
        return self.loss(z, y, **named) + extra


def padded(x: torch.Tensor, n_chans: int) -> torch.Tensor:
    """Windows (batch, channel, time) with zeros up to ``n_chans`` channels."""
    return x if x.shape[1] == n_chans else F.pad(x, (0, 0, 0, n_chans - x.shape[1]))


def validate(encoder: SubjectEncoder, held: Mapping[int, Batches], *, seed: int) -> dict[str, float]:
    """Return InfoNCE at the best of a few temperatures and top-1 among a subject's held-out stimuli, means over subjects.

    It hangs on neither the loss that is trained nor its schedule, so that epochs can be compared.
    """
    device, scores = _device_of(encoder), []
    for number, part in held.items():
        z = []
        for batch in part.fixed(seed):
            x = padded(batch["x"], encoder.n_chans).to(device)
            z.append(encoder(x, subject=torch.full((len(x),), number, device=device)))
        embedded, code = torch.cat(z), torch.from_numpy(part.codes.astype(np.int64))
        y = part.targets.to(device)[code.to(device)]
        value = _calibrated(losses.get("infonce").to(device), embedded, y, code.to(device))
        shown, own = np.unique(code.numpy(), return_inverse=True)
        similarity = unit(embedded.cpu().numpy()) @ unit(part.targets.numpy()[shown]).T
        scores.append((value, float((similarity.argmax(axis=1) == own).mean())))
    loss, top1 = np.mean(scores, axis=0)
    return {"loss": float(loss), "top1": float(top1)}
