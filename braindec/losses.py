"""Losses between embeddings of recordings and of stimuli. Items with the same id are never negatives of each other.

Every loss is a module called as ``loss(z, y, ids=None, queue=None)``: ``z`` of the recordings and ``y`` of the stimuli,
both (batch, dim) or (batch, dim, time), row i of one belonging to row i of the other; ``ids`` (batch,) int64 names the
stimulus of each row; ``queue`` is a :class:`MemoryQueue` of further stimuli.

Source: InfoNCE, van den Oord et al. 2018 (eq. 4), symmetric with learned temperature as in Radford et al. 2021 (CLIP,
section 2.3); one-way sequence contrast, Défossez et al. 2023 (Nat Mach Intell, eq. 2-3); several positives, Khosla et al.
2020 (eq. 2, L_out); sigmoid, Zhai et al. 2023 (SigLIP, eq. 1); memory queue, He et al. 2020 (MoCo), here of targets only;
BiMixCo and SoftCLIP, Scotti et al. 2023 (NeurIPS, MindEye, section 3.2) after Kim et al. 2020 (MixCo) and Gao et al. 2023.
Differs from the references in: rows of one stimulus are masked (or positives); a stimulus stands in the queue once; targets
of mixed rows add up to 1 also where the permutation leaves a row in its place; partners are of the same subject.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from scipy.special import betaincinv
from torch import nn

from braindec.errors import BraindecError, did_you_mean

__all__ = [
    "BiMixCo",
    "BiMixCoSoftCLIP",
    "InfoNCE",
    "MemoryQueue",
    "MultiPositive",
    "OneWaySequence",
    "Regression",
    "SigLIP",
    "SoftCLIP",
    "get",
    "partners",
]

_LARGEST_SCALE = 100.0  # of the inverse temperature, as in CLIP


def get(name: str, **options: Any) -> nn.Module:
    """Build a loss by name: infonce, one_way_sequence, multi_positive, siglip, bimixco, softclip, bimixco_softclip, regression.

    Raises
    ------
    BraindecError
        If there is no such loss or option.
    """
    if name not in _LOSSES:
        raise BraindecError(f"there is no loss {name!r}{did_you_mean(name, _LOSSES)}", allowed=", ".join(_LOSSES))
    try:
        return _LOSSES[name](**options)
    except TypeError as error:
        raise BraindecError(f"the loss {name!r} does not take these options", found=str(error)) from error


class MemoryQueue(nn.Module):
    """The last ``size`` different stimuli, so that small batches see many candidates.

    A stimulus stands in the queue once: seen again it moves to the end. Its content is part of ``state_dict``.

    Parameters
    ----------
    size : int
        Stimuli kept.
    dim : int
        Length of their embedding.
    """

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        if size < 1:
            raise BraindecError("a memory queue needs room", found=f"size={size}", allowed="1 or more")
        self.register_buffer("values", torch.zeros(size, dim))
        self.register_buffer("ids", torch.full((size,), -1, dtype=torch.int64))
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64))

    def __len__(self) -> int:
        return int(self.filled)

    @torch.no_grad()
    def push(self, values: torch.Tensor, ids: torch.Tensor) -> None:
        """Add stimuli, values (batch, dim) and ids (batch,); the oldest ones leave."""
        n = len(self)
        old = ~torch.isin(self.ids[:n], ids)
        later = torch.triu(ids[:, None] == ids[None], diagonal=1).any(1)  # the last of each id in the batch is kept
        values = torch.cat([self.values[:n][old], values.detach().flatten(1)[~later]])[-len(self.values) :]
        ids = torch.cat([self.ids[:n][old], ids[~later]])[-len(self.values) :]
        self.values[: len(ids)], self.ids[: len(ids)] = values, ids
        self.filled.fill_(len(ids))

    def candidates(self, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return values (n, dim) and ids (n,) of the queue's stimuli that are not among ``ids``."""
        n = len(self)
        other = ~torch.isin(self.ids[:n], ids)
        return self.values[:n][other], self.ids[:n][other]


class _Temperature(nn.Module):
    """A learned inverse temperature exp(s), at most 100."""

    def __init__(self, temperature: float, learned: bool) -> None:
        super().__init__()
        if not 1 / _LARGEST_SCALE <= temperature < math.inf:
            raise BraindecError("a temperature must be at least 0.01", found=repr(temperature))
        start = torch.tensor(-math.log(temperature), dtype=torch.float32)
        self.log_scale = nn.Parameter(start, requires_grad=learned)

    @property
    def scale(self) -> torch.Tensor:
        """The factor on the cosines."""
        return self.log_scale.clamp(max=math.log(_LARGEST_SCALE)).exp()

    @torch.no_grad()
    def constrain(self) -> None:
        """Bring the parameter back to its limit, so that it does not get stuck beyond; called after each step."""
        self.log_scale.clamp_(max=math.log(_LARGEST_SCALE))


class InfoNCE(_Temperature):
    """Cross-entropy of the right stimulus among the batch (and queue), and of the right recording among the batch.

    Parameters
    ----------
    temperature : float
        At the start. 0.07 as in CLIP is for millions of items; with hundreds it is overconfident before anything is learned.
    learned : bool
        Learn it; it is a parameter of the loss and belongs in the optimiser.
    symmetric : bool
        Half of the loss is stimulus to recording.
    """

    def __init__(self, *, temperature: float = 0.2, learned: bool = True, symmetric: bool = True) -> None:
        super().__init__(temperature, learned)
        self.symmetric = symmetric

    def forward(
        self, z: torch.Tensor, y: torch.Tensor, *, ids: torch.Tensor | None = None, queue: MemoryQueue | None = None
    ) -> torch.Tensor:
        """Return the mean loss of a batch, a scalar."""
        z, y, ids, others, _ = _prepared(z, y, ids, queue)
        own = torch.arange(len(z), device=z.device)
        logits = (self.scale * (z @ y.T)).masked_fill(_same_but_own(ids), -torch.inf)  # masked last: 0 * inf is NaN
        value = F.cross_entropy(torch.cat([logits, self.scale * (z @ others.T)], dim=1), own)
        return (value + F.cross_entropy(logits.T, own)) / 2 if self.symmetric else value


class OneWaySequence(nn.Module):
    """Cross-entropy of the right stimulus among the batch with scores ``<Z_i, Y_j> / |Y_j|``, summed over features and time.

    No temperature, and the recording's side is not normalised: its length is the confidence.
    """

    def forward(
        self, z: torch.Tensor, y: torch.Tensor, *, ids: torch.Tensor | None = None, queue: MemoryQueue | None = None
    ) -> torch.Tensor:
        """Return the mean loss of a batch, a scalar; z and y (batch, dim) or (batch, dim, time)."""
        z, y, ids, others, _ = _prepared(z, y, ids, queue, normalise_z=False)
        logits = (z @ y.T).masked_fill(_same_but_own(ids), -torch.inf)
        return F.cross_entropy(torch.cat([logits, z @ others.T], dim=1), torch.arange(len(z), device=z.device))


class Regression(nn.Module):
    """Mean squared difference between what is predicted and the features of the stimulus: no contrast, the baseline."""

    def forward(
        self, z: torch.Tensor, y: torch.Tensor, *, ids: torch.Tensor | None = None, queue: MemoryQueue | None = None
    ) -> torch.Tensor:
        """Return the mean over the batch, features and time, a scalar; z and y of one shape."""
        _no_queue(self, queue)
        if z.shape != y.shape:
            raise BraindecError(
                "the loss needs features of the stimulus for each recording",
                found=f"recordings {tuple(z.shape)}, stimuli {tuple(y.shape)}", allowed="the same shape",
            )  # fmt: skip
        return F.mse_loss(z, y)


class MultiPositive(_Temperature):
    """InfoNCE in which all rows of the same stimulus are positives: the mean of their log-probabilities.

    Parameters
    ----------
    temperature, learned, symmetric
        As in :class:`InfoNCE`, which it equals when all ids differ.
    """

    def __init__(self, *, temperature: float = 0.2, learned: bool = True, symmetric: bool = True) -> None:
        super().__init__(temperature, learned)
        self.symmetric = symmetric

    def forward(
        self, z: torch.Tensor, y: torch.Tensor, *, ids: torch.Tensor | None = None, queue: MemoryQueue | None = None
    ) -> torch.Tensor:
        """Return the mean loss of a batch, a scalar."""
        z, y, ids, others, _ = _prepared(z, y, ids, queue)
        positive = (ids[:, None] == ids[None]).to(z.dtype)
        wanted = positive / positive.sum(1, keepdim=True)  # symmetric where it is not 0: rows of one id share a count
        logits = self.scale * (z @ y.T)
        among = torch.cat([logits, self.scale * (z @ others.T)], dim=1).log_softmax(1)[:, : len(z)]
        value = -(wanted * among).sum(1).mean()
        back = -(wanted * logits.T.log_softmax(1)).sum(1).mean()
        return (value + back) / 2 if self.symmetric else value


class SigLIP(_Temperature):
    """Each pair is a yes-or-no question with a learned temperature and bias; pairs of one stimulus are yes.

    Parameters
    ----------
    temperature : float
        At the start.
    bias : float
        At the start; very negative, because most pairs are no.
    learned : bool
        Learn both.
    """

    def __init__(self, *, temperature: float = 0.1, bias: float = -10.0, learned: bool = True) -> None:
        super().__init__(temperature, learned)
        self.bias = nn.Parameter(torch.tensor(float(bias)), requires_grad=learned)

    def forward(
        self, z: torch.Tensor, y: torch.Tensor, *, ids: torch.Tensor | None = None, queue: MemoryQueue | None = None
    ) -> torch.Tensor:
        """Return the loss summed over pairs and divided by the batch size, a scalar."""
        z, y, ids, others, other_ids = _prepared(z, y, ids, queue)
        logits = self.scale * (z @ torch.cat([y, others]).T) + self.bias
        same = ids[:, None] == torch.cat([ids, other_ids])[None]
        return -F.logsigmoid(torch.where(same, logits, -logits)).sum() / len(z)


class BiMixCo(nn.Module):
    """Cross-entropy in both directions for recordings that were mixed in pairs, with the mixing weights as targets.

    The training loop calls :meth:`mix` on each batch and hands what it returns to the loss; without ``partner`` and
    ``weight`` (on validation rows) nothing was mixed.

    Parameters
    ----------
    temperature : float
        Fixed. The published 0.006 is for 197,376 dimensions; short embeddings want more.
    alpha : float
        Weights are drawn from Beta(alpha, alpha).
    share : float
        Share of the rows that are mixed, on average; the others keep a weight of 1.
    """

    def __init__(self, *, temperature: float = 0.006, alpha: float = 0.15, share: float = 0.5) -> None:
        super().__init__()
        if not (temperature > 0 and alpha > 0 and 0 <= share <= 1):
            raise BraindecError(
                "BiMixCo cannot be built so", found=f"temperature={temperature}, alpha={alpha}, share={share}",
                allowed="temperature > 0, alpha > 0, 0 <= share <= 1",
            )  # fmt: skip
        self.temperature, self.alpha, self.share = temperature, alpha, share

    def mix(
        self, x: torch.Tensor, *, groups: torch.Tensor | None = None, generator: torch.Generator | None = None
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return ``weight * x + (1 - weight) * x[partner]`` and ``{"partner": (batch,), "weight": (batch,)}``.

        Parameters
        ----------
        x : Tensor of shape (batch, ...)
        groups : LongTensor of shape (batch,), optional
            Subjects; partners are of the same one.
        generator : torch.Generator, optional
            On the CPU; torch's global one by default, which the training loop seeds and saves.
        """
        n = len(x)
        u = torch.rand(2, n, generator=generator, dtype=torch.float64)
        weight = torch.from_numpy(betaincinv(self.alpha, self.alpha, u[0].numpy()))
        weight = torch.where(u[1] < self.share, weight, 1.0).to(x)
        groups = torch.zeros(n, dtype=torch.int64) if groups is None else groups
        partner = partners(groups, generator=generator).to(x.device)
        w = weight.view(-1, *[1] * (x.ndim - 1))
        return w * x + (1 - w) * x[partner], {"partner": partner, "weight": weight}

    @staticmethod
    def targets(partner: torch.Tensor, weight: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """Return the target of each mixed row, (batch, batch); rows add up to 1.

        Columns of one stimulus share what falls to it evenly.
        """
        wanted = torch.diag(weight)
        wanted.scatter_add_(1, partner[:, None], (1 - weight)[:, None])  # adds, so that a fixed point keeps its 1
        same = (ids[:, None] == ids[None]).to(weight)
        return wanted @ (same / same.sum(1, keepdim=True))

    def forward(
        self, z: torch.Tensor, y: torch.Tensor, *, ids: torch.Tensor | None = None, queue: MemoryQueue | None = None,
        partner: torch.Tensor | None = None, weight: torch.Tensor | None = None,
    ) -> torch.Tensor:  # fmt: skip
        """Return the mean loss of a batch, a scalar; ``z`` are the embeddings of the mixed recordings."""
        _no_queue(self, queue)
        z, y, ids, _, _ = _prepared(z, y, ids, None)
        partner = torch.arange(len(z), device=z.device) if partner is None else partner
        weight = torch.ones(len(z), dtype=z.dtype, device=z.device) if weight is None else weight.to(z)
        return _soft_cross_entropy(z @ y.T / self.temperature, self.targets(partner, weight, ids))


class SoftCLIP(nn.Module):
    """Cross-entropy in both directions with the similarities of the stimuli among themselves as targets.

    Parameters
    ----------
    temperature : (float, float)
        At the beginning and at the end of the training, between them along a half cosine. Evaluation uses the last.
    """

    def __init__(self, *, temperature: float | Sequence[float] = (0.004, 0.0075)) -> None:
        super().__init__()
        ends = [temperature, temperature] if isinstance(temperature, (int, float)) else list(temperature)
        if len(ends) != 2 or not all(t > 0 for t in ends):
            raise BraindecError(
                "SoftCLIP needs a temperature, or that of begin and end", found=repr(temperature), allowed="> 0"
            )
        self.first, self.last = ends
        self.progress = 0.0

    def at(self, progress: float) -> None:
        """Take note of the share of the training that is done, 0 to 1; the training loop calls it before each epoch."""
        self.progress = progress

    @property
    def temperature(self) -> float:
        """The one in use now."""
        done = self.progress if self.training else 1.0
        return self.last + (self.first - self.last) * (1 + math.cos(math.pi * done)) / 2

    def forward(
        self, z: torch.Tensor, y: torch.Tensor, *, ids: torch.Tensor | None = None, queue: MemoryQueue | None = None
    ) -> torch.Tensor:
        """Return the mean loss of a batch, a scalar."""
        _no_queue(self, queue)
        z, y, _, _, _ = _prepared(z, y, ids, None)
        return _soft_cross_entropy(z @ y.T / self.temperature, (y @ y.T / self.temperature).softmax(1))


class BiMixCoSoftCLIP(nn.Module):
    """BiMixCo for the first part of the training, then SoftCLIP, whose temperature runs over what is left.

    Parameters
    ----------
    switch : float
        Share of the training after which SoftCLIP begins.
    mixco, softclip : dict, optional
        Options of :class:`BiMixCo` and :class:`SoftCLIP`.
    """

    def __init__(
        self,
        *,
        switch: float = 1 / 3,
        mixco: dict[str, Any] | None = None,
        softclip: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= switch <= 1:
            raise BraindecError("switch is a share of the training", found=repr(switch), allowed="0 to 1")
        self.switch, self.mixco, self.softclip = switch, BiMixCo(**(mixco or {})), SoftCLIP(**(softclip or {}))
        self.progress = 0.0

    def at(self, progress: float) -> None:
        """Take note of the share of the training that is done; the training loop calls it before each epoch."""
        self.progress = progress
        self.softclip.at(max(0.0, progress - self.switch) / max(1 - self.switch, 1e-9))

    @property
    def mixing(self) -> bool:
        """Whether BiMixCo is in use now; never in evaluation."""
        return self.training and self.progress < self.switch - 1e-9

    def mix(
        self, x: torch.Tensor, *, groups: torch.Tensor | None = None, generator: torch.Generator | None = None
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Mix as :class:`BiMixCo` does, as long as it is in use; else return ``x`` and nothing."""
        return self.mixco.mix(x, groups=groups, generator=generator) if self.mixing else (x, {})

    def forward(
        self, z: torch.Tensor, y: torch.Tensor, *, ids: torch.Tensor | None = None, queue: MemoryQueue | None = None,
        **mixed: torch.Tensor,
    ) -> torch.Tensor:  # fmt: skip
        """Return the mean loss of a batch, a scalar."""
        return (self.mixco if self.mixing else self.softclip)(z, y, ids=ids, queue=queue, **mixed)


def partners(groups: torch.Tensor, *, generator: torch.Generator | None = None) -> torch.Tensor:
    """Return a random permutation of the rows that leaves each within its group, LongTensor of shape (batch,)."""
    groups = groups.cpu()
    found = torch.empty(len(groups), dtype=torch.int64)
    for group in torch.unique(groups):
        rows = torch.nonzero(groups == group).flatten()
        found[rows] = rows[torch.randperm(len(rows), generator=generator)]
    return found


_LOSSES: dict[str, type[nn.Module]] = {
    "infonce": InfoNCE, "one_way_sequence": OneWaySequence, "multi_positive": MultiPositive, "siglip": SigLIP,
    "bimixco": BiMixCo, "softclip": SoftCLIP, "bimixco_softclip": BiMixCoSoftCLIP, "regression": Regression,
}  # fmt: skip


def _soft_cross_entropy(logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Mean over rows of both directions; the way back takes the columns of the same targets."""
    there, back = (wanted * logits.log_softmax(1)).sum(1), (wanted.T * logits.T.log_softmax(1)).sum(1)
    return -(there.mean() + back.mean()) / 2


def _no_queue(loss: nn.Module, queue: MemoryQueue | None) -> None:
    if queue is not None:
        raise BraindecError(f"{type(loss).__name__} takes no memory queue", fix="queue=0, or the loss infonce")


def _prepared(
    z: torch.Tensor, y: torch.Tensor, ids: torch.Tensor | None, queue: MemoryQueue | None, *, normalise_z: bool = True
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Check, flatten and normalise; ids are numbered when there are none. Returns z, y, ids, queue values, queue ids."""
    if z.shape != y.shape or z.ndim < 2 or (ids is not None and ids.shape != z.shape[:1]):
        raise BraindecError(
            "the loss needs an embedding of the stimulus for each recording",
            found=f"recordings {tuple(z.shape)}, stimuli {tuple(y.shape)}, ids {None if ids is None else tuple(ids.shape)}",
            allowed="the same shape (batch, dim) or (batch, dim, time), ids (batch,)",
        )
    if queue is not None and ids is None:
        raise BraindecError(
            "a memory queue needs ids", fix="pass ids (batch,) so that a stimulus is not its own negative"
        )
    z, y = z.flatten(1), F.normalize(y.flatten(1), dim=1)
    z = F.normalize(z, dim=1) if normalise_z else z
    if queue is None:
        others, other_ids = y[:0], torch.zeros(0, dtype=torch.int64, device=z.device)
    else:
        values, other_ids = queue.candidates(ids)
        others = F.normalize(values, dim=1)
    ids = torch.arange(len(z), device=z.device) if ids is None else ids
    return z, y, ids, others, other_ids


def _same_but_own(ids: torch.Tensor) -> torch.Tensor:
    """Mask (batch, batch) of pairs of the same stimulus off the diagonal."""
    return (ids[:, None] == ids[None]) & ~torch.eye(len(ids), dtype=torch.bool, device=ids.device)
