"""Training of latent embeddings: which samples are contrasted, and the loss over pairs of a batch.

Source: van den Oord et al. 2018 (arXiv:1807.03748, eq. 4) for InfoNCE with positives close in time, Hyvärinen & Morioka
2016 (NeurIPS, arXiv:1605.06336) for contrast over time as a way to non-linear sources; Khosla et al. 2020
(arXiv:2004.11362, eq. 2) for positives that share a class; Dufumier et al. 2021 (arXiv:2106.08808, eq. 2) for positives
weighted by a kernel on the distance of continuous labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import nn

from braindec.decoders._latent_sessions import windows_at
from braindec.train.loop import Batch

__all__ = ["LatentBatches", "LatentContrast", "SessionEncoders"]


class SessionEncoders(nn.Module):
    """One encoder a session; rows of a batch go to the encoder of their session."""

    def __init__(self, encoders: Sequence[nn.Module], n_units: Sequence[int]) -> None:
        super().__init__()
        self.encoders, self.n_units = nn.ModuleList(encoders), list(n_units)

    def forward(self, x: torch.Tensor, *, session: torch.Tensor) -> torch.Tensor:
        """x (batch, unit, time), padded with zeros to the largest number of units -> (batch, dim)."""
        parts, order = [], []
        for s, (encoder, n) in enumerate(zip(self.encoders, self.n_units, strict=True)):
            mine = torch.nonzero(session == s).flatten()
            if len(mine):
                parts.append(encoder(x[mine, :n]))
                order.append(mine)
        return torch.cat(parts)[torch.cat(order).argsort()]


class LatentContrast(nn.Module):
    """Mean negative log-probability of a sample's positives among the other samples of the batch.

    Parameters
    ----------
    lag : int
        Samples of one session at most so far apart are positives; 0 leaves time out.
    labelled : {"no", "classes", "numbers"}
    bandwidth : float
        Of the Gaussian kernel on distances of numbers, in their own units.
    temperature : float
    similarity : {"cosine", "euclidean"}
    """

    def __init__(self, *, lag: int, labelled: str, bandwidth: float, temperature: float, similarity: str) -> None:
        super().__init__()
        self.lag, self.labelled, self.bandwidth = lag, labelled, bandwidth
        self.temperature, self.similarity = temperature, similarity

    def forward(self, z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """z (batch, dim); y (batch, 2 + n_columns): session, sample, labels -> a scalar."""
        scores = self.scores(z, z)
        itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
        together = y[:, None, 0] == y[None, :, 0]
        terms = []
        if self.lag:
            apart = (y[:, None, 1] - y[None, :, 1]).abs()
            near = (together & (apart <= self.lag) & ~itself).to(z.dtype)
            terms.append(_contrast(scores.masked_fill(itself | ~together, -torch.inf), near))
        if self.labelled != "no":
            terms.append(_contrast(scores.masked_fill(itself, -torch.inf), self.alike(y[:, 2:]).to(z.dtype) * ~itself))
        return torch.stack(terms).mean()

    def scores(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Return similarities over the temperature, (n_a, n_b)."""
        if self.similarity == "cosine":
            a, b = nn.functional.normalize(a, dim=1), nn.functional.normalize(b, dim=1)
            return a @ b.T / self.temperature
        squares = a.square().sum(1)[:, None] + b.square().sum(1)[None] - 2 * a @ b.T
        return -squares.clamp_min(0) / self.temperature

    def alike(self, labels: torch.Tensor, others: torch.Tensor | None = None) -> torch.Tensor:
        """Return how far labels are positives of each other, 0 to 1, (n, n_others)."""
        others = labels if others is None else others
        if self.labelled == "classes":
            return (labels[:, None, 0] == others[None, :, 0]).to(labels.dtype)
        squares = (labels[:, None] - others[None]).square().sum(2)
        return torch.exp(-squares / (2 * self.bandwidth**2))


def _contrast(logits: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Weighted mean of log-probabilities of positives, mean over rows that have some."""
    total = weight.sum(1)
    rows = total > 1e-6
    among = logits[rows].log_softmax(1)
    among = torch.where(weight[rows] > 0, among, 0.0)  # what is masked is -inf, and 0 * -inf is NaN
    return -((weight[rows] * among).sum(1) / total[rows]).mean()


class LatentBatches:
    """Batches of windows drawn at random: evenly from sessions, in pairs close in time or of one class.

    Parameters
    ----------
    values : list of array (unit, time), float32
        Scaled sessions.
    samples : list of array of int
        Those that may be drawn.
    labels : list of array (time, n_columns), or None
    lag : int
        0 draws no pairs in time.
    paired : bool
        Draw pairs of one class (labels are codes).
    before, after, batch_size, n_batches : int
    """

    def __init__(
        self, values: list[np.ndarray], samples: list[np.ndarray], labels: list[np.ndarray] | None, *, lag: int,
        paired: bool, before: int, after: int, batch_size: int, n_batches: int,
    ) -> None:  # fmt: skip
        self.samples, self.labels, self.lag, self.paired = samples, labels, lag, paired
        self.window = {"before": before, "after": after}
        self.batch_size, self.n_batches = batch_size, n_batches
        self.most_units = max(len(v) for v in values)
        self.values = values
        self.pairs = [self._pairs(s, v.shape[1]) for s, v in zip(samples, values, strict=True)] if lag else []
        self.by_class = [self._by_class(s) for s in range(len(values))] if paired and not lag else []

    def __call__(self, generator: torch.Generator) -> Iterator[Batch]:
        """Yield the batches of one epoch."""
        rng = np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator)))
        for _ in range(self.n_batches):
            yield self.draw(rng)

    def draw(self, rng: np.random.Generator) -> Batch:
        """Return one batch."""
        share = max(1, self.batch_size // (2 * len(self.values)))
        x, y, session = [], [], []
        for s, values in enumerate(self.values):
            picked = self._picked(s, share, rng)
            cut = windows_at(values, picked, **self.window)
            block = np.zeros((len(picked), self.most_units, cut.shape[2]), dtype=np.float32)
            block[:, : cut.shape[1]] = cut
            x.append(block)
            marks = [np.full(len(picked), float(s)), picked.astype(float)]
            y.append(np.column_stack([*marks, *([] if self.labels is None else [self.labels[s][picked]])]))
            session.append(np.full(len(picked), s))
        tensors = {"x": np.concatenate(x), "y": np.concatenate(y), "session": np.concatenate(session)}
        return {k: torch.from_numpy(v) for k, v in tensors.items()}

    def _picked(self, s: int, share: int, rng: np.random.Generator) -> np.ndarray:
        """Two times ``share`` samples of one session."""
        if self.lag:
            starts, steps = self.pairs[s]
            chosen = rng.integers(len(starts), size=share)
            return np.concatenate([starts[chosen], starts[chosen] + steps[chosen]])
        if self.by_class:
            kinds = rng.integers(len(self.by_class[s]), size=share)
            u = rng.random((2, share))
            sizes = np.array([len(m) for m in self.by_class[s]])
            place = (u * sizes[kinds]).astype(int)
            return np.concatenate([[self.by_class[s][k][p] for k, p in zip(kinds, row, strict=True)] for row in place])
        return rng.choice(self.samples[s], size=2 * share)

    def _pairs(self, samples: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        """All samples and steps that lead from one to another that may be drawn, steps evenly."""
        there = np.zeros(n + self.lag, dtype=bool)
        there[samples] = True
        found = [(samples[there[samples + d]], d) for d in range(1, self.lag + 1)]
        return np.concatenate([f for f, _ in found]), np.concatenate([np.full(len(f), d) for f, d in found])

    def _by_class(self, s: int) -> list[np.ndarray]:
        code = self.labels[s][self.samples[s], 0]  # type: ignore[index]
        return [self.samples[s][code == k] for k in np.unique(code)]
