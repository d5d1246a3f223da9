"""The last layer of the adaptive decoder as it learns from feedback, one decision after the other, in many worlds at once.

A world is one sequence of feedback: the real one, or one of a permutation test. Windows and replay draws are shared by all
worlds, decisions and rewards are each world's own, so hundreds of permuted sessions cost little more than one.

Source: Kingma & Ba 2015 (ICLR), algorithm 1, for the steps; Huber 1964 for the loss.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["HeadLearner", "Transitions"]


@dataclass(frozen=True)
class Transitions:
    """What was seen, done and rewarded before: features (n, n_features), actions (n,), rewards (n,)."""

    features: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray


class HeadLearner:
    """Linear values of actions, learned online.

    Parameters
    ----------
    weights, bias : array of shape (n_features, n_actions) and (n_actions,)
        To begin with.
    old : Transitions
        Of the training.
    lr, steps, batch_size, memory, old_share
        Step size, steps after each feedback, transitions a step, new transitions that are kept, share of old ones.
    rng : Generator
        Which transitions are replayed.
    n_worlds : int
        Sequences of feedback that are followed at once.
    """

    def __init__(
        self, weights: np.ndarray, bias: np.ndarray, old: Transitions, *, lr: float, steps: int, batch_size: int, memory: int,
        old_share: float, rng: np.random.Generator, n_worlds: int = 1,
    ) -> None:  # fmt: skip
        start = np.concatenate([weights, bias[None]]).astype(np.float64)
        self.weights = np.repeat(start[None], n_worlds, axis=0)  # (world, feature + 1, action)
        self.first, self.second, self.count = np.zeros_like(self.weights), np.zeros_like(self.weights), 0
        self.old, self.lr, self.steps, self.rng = old, lr, steps, rng
        self.batch_size, self.memory, self.old_share = batch_size, memory, old_share
        self.features: list[np.ndarray] = []
        self.actions: list[np.ndarray] = []
        self.rewards: list[np.ndarray] = []

    def values(self, feature: np.ndarray) -> np.ndarray:
        """Return the values of the actions in every world, shape (n_worlds, n_actions)."""
        return feature @ self.weights[:, :-1] + self.weights[:, -1]

    def learn(self, feature: np.ndarray, actions: np.ndarray, rewards: np.ndarray) -> None:
        """Take in one window's feedback, (n_worlds,) actions and rewards, and make some steps."""
        for column, value in ((self.features, feature), (self.actions, actions), (self.rewards, rewards)):
            column.append(value)
            if len(column) > self.memory:
                column.pop(0)
        n_old = round(self.old_share * self.batch_size)
        n_new = self.batch_size - n_old
        for _ in range(self.steps):
            new = self.rng.choice(len(self.features), min(n_new, len(self.features)), replace=False)
            some = round(n_old * len(new) / n_new) if len(self.old.features) else 0
            old = self.rng.choice(len(self.old.features), some, replace=some > len(self.old.features)) if some else []
            self._step(new, np.asarray(old, dtype=int))

    def _step(self, new: np.ndarray, old: np.ndarray) -> None:
        n_worlds = len(self.weights)
        X = np.concatenate([np.stack([self.features[i] for i in new]), self.old.features[old]])
        X = np.column_stack([X, np.ones(len(X))])  # (row, feature + 1)
        actions = np.concatenate(
            [np.stack([self.actions[i] for i in new]), np.repeat(self.old.actions[old][:, None], n_worlds, 1)]
        )
        rewards = np.concatenate(
            [np.stack([self.rewards[i] for i in new]), np.repeat(self.old.rewards[old][:, None], n_worlds, 1)]
        )
        values = np.matmul(X, self.weights)  # (world, row, action)
        chosen = actions.T[:, :, None] == np.arange(values.shape[2])
        error = np.clip((values * chosen).sum(axis=2) - rewards.T, -1.0, 1.0) / len(X)
        gradient = np.matmul(X.T, error[:, :, None] * chosen)
        self.count += 1
        self.first = 0.9 * self.first + 0.1 * gradient
        self.second = 0.999 * self.second + 0.001 * gradient**2
        size = np.sqrt(self.second / (1 - 0.999**self.count)) + 1e-8
        self.weights = self.weights - self.lr * self.first / (1 - 0.9**self.count) / size
