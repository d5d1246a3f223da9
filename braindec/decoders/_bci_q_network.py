"""The network and the memory of the adaptive decoder: action values of components over time, learned from rewards.

Band power by a temporal filter for each component, squared and averaged over stretches of the window, on a log scale; then
a recurrent layer over the stretches (preset "base") and one value for each action.

Source: Mnih et al. 2015 (Nature 518:529), "Methods", for replay, target network and exploration; Schirrmeister et al. 2017
(Hum Brain Mapp 38:5391) for squaring and log as the way from filters to band power.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["Memory", "PRESETS", "QNetwork", "td_step"]

PRESETS = {
    "tiny": {"n_filters": 2, "kernel": 0.25, "pool": 0.75, "recurrent": 0},
    "base": {"n_filters": 4, "kernel": 0.25, "pool": 0.5, "recurrent": 32},
}


class QNetwork(nn.Module):
    """Values of the actions in a state (batch, component, time).

    Parameters
    ----------
    n_components, n_times, n_actions : int
    sfreq : float
        Hz.
    n_filters : int
        Temporal filters of each component.
    kernel, pool : float
        Length of the filters, and of the stretches that power is averaged over, s.
    recurrent : int
        Units of the recurrent layer over stretches; 0 for none.
    """

    def __init__(
        self, *, n_components: int, n_times: int, n_actions: int, sfreq: float, n_filters: int, kernel: float, pool: float,
        recurrent: int,
    ) -> None:  # fmt: skip
        super().__init__()
        width = min(max(3, round(kernel * sfreq)), n_times)
        stride = max(1, round(sfreq / 50))  # power of a filtered signal needs no more than 50 values a second
        left = (n_times - width) // stride + 1
        self.pool = min(max(1, round(pool * sfreq / stride)), left)
        self.filters = nn.Conv1d(
            n_components, n_components * n_filters, width, stride=stride, groups=n_components, bias=False
        )
        n_power, n_stretches = n_components * n_filters, left // self.pool
        self.register_buffer("mean", torch.zeros(n_power, 1))
        self.register_buffer("spread", torch.ones(n_power, 1))
        self.recurrent = nn.LSTM(n_power, recurrent, batch_first=True) if recurrent else None
        self.head = nn.Linear(recurrent or n_power * n_stretches, n_actions)
        nn.init.zeros_(self.head.bias)

    def powers(self, x: torch.Tensor) -> torch.Tensor:
        """Return log power, shape (batch, component x filter, stretch)."""
        return torch.log(F.avg_pool1d(self.filters(x) ** 2, self.pool) + 1e-6)

    @torch.no_grad()
    def standardise(self, x: torch.Tensor) -> None:
        """Set mean and spread of the log powers to those of training states: labels are not looked at."""
        power = self.powers(x)
        self.mean.copy_(power.mean(dim=(0, 2))[:, None])
        self.spread.copy_(power.std(dim=(0, 2))[:, None] + 1e-6)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Return what the last layer sees, shape (batch, n_features)."""
        power = (self.powers(x) - self.mean) / self.spread
        if self.recurrent is None:
            return power.flatten(1)
        return self.recurrent(power.transpose(1, 2))[0][:, -1]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return values, shape (batch, n_actions)."""
        return self.head(self.features(x))


@dataclass
class Memory:
    """What was done and how it was rewarded: a ring of transitions (state, action, reward, next state).

    Parameters
    ----------
    size : int
        Older transitions are forgotten.
    """

    size: int
    states: list[torch.Tensor] = field(default_factory=list)
    actions: list[int] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    following: list[torch.Tensor | None] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.states)

    def add(self, state: torch.Tensor, action: int, reward: float, following: torch.Tensor | None = None) -> None:
        """Keep one transition; ``following`` is None at the end of an episode."""
        for column, value in zip(
            (self.states, self.actions, self.rewards, self.following), (state, action, reward, following), strict=True
        ):
            column.append(value)
            if len(column) > self.size:
                column.pop(0)

    def draw(self, n: int, rng: np.random.Generator) -> list[int]:
        """Return places of ``n`` transitions, with repetition only where there are fewer."""
        return rng.choice(len(self), n, replace=n > len(self)).tolist()


def td_step(
    network: QNetwork, target: QNetwork, optimiser: torch.optim.Optimizer, parts: list[tuple[Memory, list[int]]],
    *, discount: float,
) -> float:  # fmt: skip
    """Make one step towards ``reward + discount * largest target value of the next state``; returns the loss.

    With one-step episodes there is no next state, and the wanted value is the reward alone.
    """
    states = torch.stack([m.states[i] for m, rows in parts for i in rows])
    actions = torch.tensor([m.actions[i] for m, rows in parts for i in rows])
    wanted = torch.tensor([m.rewards[i] for m, rows in parts for i in rows], dtype=torch.float32)
    if discount:
        following = [m.following[i] for m, rows in parts for i in rows]
        there = torch.tensor([f is not None for f in following])
        if there.any():
            with torch.no_grad():
                best = target(torch.stack([f for f in following if f is not None])).max(dim=1).values
            wanted[there] += discount * best
    values = network(states).gather(1, actions[:, None])[:, 0]
    loss = F.smooth_l1_loss(values, wanted)
    optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_([p for p in network.parameters() if p.requires_grad], 1.0)
    optimiser.step()
    return float(loss.detach())
