"""AdaptiveQ: a decoder that goes on learning while it is used, from being told "right" or "wrong" after each decision.

Common spatial patterns (one class against the rest) make components over time; a small network gives the value of deciding
for each class; it is trained by rewards of +1 and -1 with replay, a target network and exploration, and may be trained on
in the same way during use (:meth:`AdaptiveQ.adapt_stream`). Its static twin is the same network with the weights as they
were after training (:meth:`AdaptiveQ.decision`).

A trial is an episode of one step: what is decided does not change which trial comes next, so this is a contextual bandit,
and the value of a decision is its expected reward. Target network and discount change nothing then; with ``discount`` above
0 trials of a run are chained, which can only add noise. The score of a decoder is its accuracy on trials of another session,
each decided before its feedback; the reward collected in training says nothing of it.

Source: RLEEGNet (Nallani & Ramachandran 2024, arXiv 2402.09465) for the parts; Mnih et al. 2015 (Nature 518:529) for deep
Q-learning; Langford & Zhang 2007 (NIPS 20) for bandits with context.
Differs from the reference in: no code or hyper-parameters were public, sizes are our own; spatial filters are learned from
training windows only; the network sees band power by squaring and log; scores are of held-out sessions, not rewards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted
from tqdm import tqdm

from braindec.decoders._bci_base import training_labels, whole_number
from braindec.decoders._bci_head import HeadLearner, Transitions
from braindec.decoders._bci_q_network import PRESETS, Memory, QNetwork, td_step
from braindec.decoders.classifier import _labels
from braindec.decoders.csp import CSP
from braindec.errors import BraindecError, did_you_mean
from braindec.types import FitRecord, Windows

__all__ = ["AdaptiveQ", "Stream"]


class Stream(NamedTuple):
    """What an adaptive decoder did with windows in order.

    predicted : (n_windows,) class decided for, before any feedback on that window
    values : (n_windows, n_classes) values of the classes at that moment
    reward : (n_windows,) what came back afterwards
    """

    predicted: np.ndarray
    values: np.ndarray
    reward: np.ndarray


class AdaptiveQ(ClassifierMixin, BaseEstimator):
    """Learn values of decisions from rewards, first on training windows, then during use.

    Parameters
    ----------
    preset : {"tiny", "base"}
        Size of the network; "base" has a recurrent layer.
    n_filters : int
        Spatial filters from each end, for each class against the rest.
    cov_shrinkage : float or "auto"
        Of the covariances behind the filters.
    epochs, batch_size, lr, weight_decay
        Of the training: rounds through the training windows, transitions a step, step size, penalty.
    epsilon : float
        Share of random decisions at the end of the training; it falls from 1 to this over the first half.
    discount : float
        Weight of the value of the next trial; 0 (a bandit) is what the problem is.
    target_every : int
        Steps after which the target network is renewed.
    memory : int
        Transitions that are kept.
    adapt : {"head", "all"}
        What feedback during use changes: the last layer, or the whole network.
    adapt_lr, adapt_steps : float, int
        Step size, and steps after each feedback.
    adapt_memory : int
        Transitions of the use that are kept.
    old_share : float
        Share of training transitions in each step during use, which keep the decoder from forgetting.
    seed : int

    Attributes
    ----------
    classes_, fit_records_
    network_ : QNetwork
    csp_ : CSP
        Fitted spatial filters.
    history_ : dict of array
        ``loss`` and ``reward`` (mean, exploration included) of each epoch.

    Examples
    --------
    >>> import numpy as np
    >>> from braindec.types import Windows
    >>> rng = np.random.default_rng(0)
    >>> y = np.tile(["left", "right"], 40)
    >>> X = rng.normal(size=(80, 4, 200))
    >>> X[y == "left", 0] *= 2
    >>> windows = Windows.from_arrays(X.astype("float32"), {"trial_type": y}, sfreq=100.0)
    >>> decoder = AdaptiveQ(epochs=20, n_filters=1).fit(windows[:40], y[:40])
    >>> stream = decoder.adapt_stream(windows[40:], y[40:])
    >>> bool((stream.predicted == y[40:]).mean() > 0.9)
    True
    """

    def __init__(
        self,
        preset: str = "tiny",
        *,
        n_filters: int = 2,
        cov_shrinkage: float | str = "auto",
        epochs: int = 25,
        batch_size: int = 32,
        lr: float = 5e-3,
        weight_decay: float = 1e-2,
        epsilon: float = 0.1,
        discount: float = 0.0,
        target_every: int = 50,
        memory: int = 2000,
        adapt: str = "head",
        adapt_lr: float = 5e-3,
        adapt_steps: int = 4,
        adapt_memory: int = 100,
        old_share: float = 0.25,
        seed: int = 0,
    ) -> None:
        self.preset, self.n_filters, self.cov_shrinkage = preset, n_filters, cov_shrinkage
        self.epochs, self.batch_size, self.lr, self.weight_decay = epochs, batch_size, lr, weight_decay
        self.epsilon, self.discount, self.target_every, self.memory = epsilon, discount, target_every, memory
        self.adapt, self.adapt_lr, self.adapt_steps = adapt, adapt_lr, adapt_steps
        self.adapt_memory, self.old_share, self.seed = adapt_memory, old_share, seed

    def check(self) -> None:
        """Raise :class:`BraindecError` if an option is wrong; ``fit`` does the same."""
        if self.preset not in PRESETS:
            raise BraindecError(f"there is no preset {self.preset!r}{did_you_mean(str(self.preset), PRESETS)}",
                                allowed=", ".join(PRESETS))  # fmt: skip
        if self.adapt not in ("head", "all"):
            raise BraindecError(f"adapt: {self.adapt!r} is unknown", allowed="head, all")
        for name in ("epochs", "batch_size", "target_every", "memory", "adapt_steps", "adapt_memory"):
            whole_number(name, getattr(self, name))
        for name, top in (("epsilon", 1.0), ("discount", 0.999), ("old_share", 0.9), ("lr", 1.0), ("adapt_lr", 1.0), ("weight_decay", 10.0)):  # fmt: skip
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0 <= value <= top:
                raise BraindecError(f"{name} must be a number", found=repr(value), allowed=f"0 to {top:g}")
        CSP(self.n_filters, cov_shrinkage=self.cov_shrinkage).check()

    def fit(self, windows: Windows, y: np.ndarray) -> AdaptiveQ:
        """Train by decisions on training windows and rewards for them.

        Raises
        ------
        BraindecError
            If there are fewer than two classes, labels are missing, values are not finite, or an option is wrong.
        """
        self.check()
        self.classes_, codes = training_labels(windows, y, "AdaptiveQ")
        self.csp_ = CSP(self.n_filters, cov_shrinkage=self.cov_shrinkage).fit(windows, codes)
        components = self.csp_.transform(windows)
        self.scale_ = components.std(axis=(0, 2))
        states = self._states(windows, components)
        self._rng = np.random.default_rng([self.seed, 1])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.network_ = QNetwork(n_components=states.shape[1], n_times=states.shape[2], n_actions=len(self.classes_),
                                     sfreq=float(windows.sfreq), **PRESETS[self.preset])  # fmt: skip
        self.network_.standardise(states)
        self._old, self._new, self._pending = Memory(self.memory), Memory(self.adapt_memory), None
        self.history_ = self._train(states, codes)
        self.optimiser_, self.learner_ = None, None
        self.fitted_on_ = FitRecord.of(f"AdaptiveQ({self.preset})", windows.ids)
        self.fit_records_ = [FitRecord.of("CSP filters", windows.ids), self.fitted_on_]
        return self

    def decision(self, windows: Windows) -> np.ndarray:
        """Return the value of deciding for each class, shape (n_windows, n_classes); nothing is learned by it."""
        check_is_fitted(self, "fit_records_")
        return self._values(self._states(windows))

    def predict(self, windows: Windows) -> np.ndarray:
        """Return the class of the largest value, shape (n_windows,); nothing is learned by it."""
        best = self.decision(windows).argmax(axis=1)  # first: says so where nothing is fitted
        return self.classes_[best]

    def score(self, windows: Windows, y: np.ndarray) -> float:
        """Return balanced accuracy of the weights as they are: the mean over classes of the share of hits."""
        y, right = _labels(y, len(windows)), self.predict(windows) == y
        return float(np.mean([right[y == c].mean() for c in np.unique(y)]))

    def act(self, window: Windows) -> Any:
        """Decide on one window and wait for its feedback (:meth:`partial_fit`); a decision not told of is dropped."""
        check_is_fitted(self, "fit_records_")
        if len(window) != 1:
            raise BraindecError("a decision is made on one window at a time", found=f"{len(window)} windows")
        state = self._states(window)
        values = self._values(state)[0]
        self._pending = (str(window.ids[0]), state[0], int(values.argmax()), values)
        return self.classes_[self._pending[2]]

    def partial_fit(self, window: Windows, reward: float) -> AdaptiveQ:
        """Learn from the feedback on the decision that :meth:`act` just made on ``window``.

        Parameters
        ----------
        window : Windows
            The window that was decided on.
        reward : float
            -1 (wrong) to 1 (right).

        Raises
        ------
        BraindecError
            If no decision on this window is waiting for feedback: feedback must come after the decision.
        """
        waiting = getattr(self, "_pending", None)
        if waiting is None or len(window) != 1 or waiting[0] != str(window.ids[0]):
            raise BraindecError(
                "feedback without a decision: a window is decided on first, and rewarded afterwards",
                found="no decision is waiting" if waiting is None else f"waiting: the decision on {waiting[0]}",
                fix="decoder.act(window), then decoder.partial_fit(window, reward)",
            )
        if not -1 <= reward <= 1:
            raise BraindecError("a reward is a number from -1 to 1", found=repr(reward))
        _, state, action, _ = waiting
        self._pending = None
        if self.adapt == "head":
            self.learner_ = self._learner(1) if self.learner_ is None else self.learner_
            self.learner_.learn(self._features(state[None])[0], np.array([action]), np.array([float(reward)]))
            with torch.no_grad():
                weights = torch.from_numpy(self.learner_.weights[0].astype(np.float32))
                self.network_.head.weight.copy_(weights[:-1].T)
                self.network_.head.bias.copy_(weights[-1])
        else:
            self._new.add(state, action, float(reward))
            self._learn_all()
        return self

    def adapt_stream(self, windows: Windows, feedback: Sequence[Any] | Callable[[int, Any], float]) -> Stream:
        """Decide on windows in their order, learning from the feedback on each before the next.

        Parameters
        ----------
        windows : Windows
            In order of time.
        feedback : sequence of labels, or callable
            True classes (right is +1, wrong -1; the decoder is told no more than that), or ``feedback(row, predicted)``
            that returns the reward.

        Returns
        -------
        Stream
            Decisions, each made before the feedback on it.
        """
        check_is_fitted(self, "fit_records_")
        told = feedback if callable(feedback) else _right_or_wrong(_labels(feedback, len(windows)))
        predicted, values, rewards = [], np.empty((len(windows), len(self.classes_))), np.empty(len(windows))
        for row in tqdm(range(len(windows)), desc="adapting", disable=None, leave=False):
            window = windows[row]
            predicted.append(self.act(window))
            values[row] = self._pending[3]
            rewards[row] = told(row, predicted[-1])
            self.partial_fit(window, rewards[row])
        return Stream(np.array(predicted, dtype=self.classes_.dtype), values, rewards)

    def null_streams(self, windows: Windows, labels: np.ndarray) -> np.ndarray:
        """Return what would have been decided under other labels, shape (n_labellings, n_windows): a permutation test.

        Each labelling is a session of its own, with feedback by its labels, from the weights as they are now; this decoder
        does not change. With the real labels as one of them, that row is what :meth:`adapt_stream` decides.

        Parameters
        ----------
        windows : Windows
            In order of time.
        labels : array of shape (n_labellings, n_windows)

        Raises
        ------
        BraindecError
            With ``adapt="all"``, which would be trained anew for each labelling, or after feedback was given already.
        """
        check_is_fitted(self, "fit_records_")
        if self.adapt != "head" or self.learner_ is not None:
            raise BraindecError(
                "many sessions at once are followed from a decoder whose last layer adapts and that was told nothing yet",
                found=f"adapt={self.adapt!r}", fix="use decoder.copy() and adapt_stream for each labelling",
            )  # fmt: skip
        labels = np.asarray(labels)
        learner = self.copy()._learner(len(labels))
        features = self._features(self._states(windows))
        out = np.empty(labels.shape, dtype=self.classes_.dtype)
        for row in range(len(windows)):
            actions = learner.values(features[row]).argmax(axis=1)
            out[:, row] = self.classes_[actions]
            learner.learn(features[row], actions, np.where(out[:, row] == labels[:, row], 1.0, -1.0))
        return out

    def copy(self) -> AdaptiveQ:
        """Return a copy whose learning leaves this one as it is: the static twin of what follows."""
        return deepcopy(self)

    # -- training --------------------------------------------------------------------------------------------------

    def _states(self, windows: Windows, components: np.ndarray | None = None) -> torch.Tensor:
        components = self.csp_.transform(windows) if components is None else components
        return torch.from_numpy((components / self.scale_[None, :, None]).astype(np.float32))

    def _values(self, states: torch.Tensor) -> np.ndarray:
        self.network_.eval()
        with torch.no_grad():
            found = (
                torch.cat([self.network_(part) for part in states.split(256)])
                if len(states)
                else torch.empty(0, len(self.classes_))
            )
        return found.double().numpy()

    def _train(self, states: torch.Tensor, codes: np.ndarray) -> dict[str, np.ndarray]:
        """Decide on training windows in random order, again and again; every decision is followed by a step."""
        network, rng = self.network_, self._rng
        target = deepcopy(network)
        optimiser = torch.optim.AdamW(network.parameters(), lr=self.lr, weight_decay=self.weight_decay)
        n, n_actions, step = len(codes), len(self.classes_), 0
        losses, rewards = np.zeros(self.epochs), np.zeros(self.epochs)
        for epoch in tqdm(range(self.epochs), desc="training by rewards", disable=None, leave=False):
            epsilon = max(self.epsilon, 1 - 2 * epoch / max(self.epochs - 1, 1) * (1 - self.epsilon))
            order = rng.permutation(n)
            for first in range(0, n, self.batch_size):
                rows = order[first : first + self.batch_size]
                greedy = self._values(states[rows]).argmax(axis=1)
                actions = np.where(rng.random(len(rows)) < epsilon, rng.integers(n_actions, size=len(rows)), greedy)
                told = np.where(actions == codes[rows], 1.0, -1.0)
                for place, row in enumerate(rows):
                    after = rows[place + 1] if self.discount and place + 1 < len(rows) else None
                    self._old.add(
                        states[row], int(actions[place]), float(told[place]), None if after is None else states[after]
                    )
                rewards[epoch] += told.sum() / n
                for _ in range(2):
                    losses[epoch] = td_step(network, target, optimiser, [(self._old, self._old.draw(self.batch_size, rng))],
                                            discount=self.discount)  # fmt: skip
                    step += 1
                    if step % self.target_every == 0:
                        target.load_state_dict(network.state_dict())
        return {"loss": losses, "reward": rewards}

    def _features(self, states: torch.Tensor) -> np.ndarray:
        """What the last layer sees, shape (n_windows, n_features), float64."""
        self.network_.eval()
        with torch.no_grad():
            return torch.cat([self.network_.features(part) for part in states.split(256)]).double().numpy()

    def _learner(self, n_worlds: int) -> HeadLearner:
        """The last layer, ready to learn from feedback in so many sequences at once."""
        old = self._old
        seen = Transitions(self._features(torch.stack(old.states)), np.array(old.actions), np.array(old.rewards))
        head = self.network_.head
        weights, bias = head.weight.detach().double().numpy().T, head.bias.detach().double().numpy()
        return HeadLearner(weights, bias, seen, lr=self.adapt_lr, steps=self.adapt_steps, batch_size=self.batch_size,
                           memory=self.adapt_memory, old_share=self.old_share, rng=self._rng, n_worlds=n_worlds)  # fmt: skip

    def _learn_all(self) -> None:
        """Some steps of the whole network on transitions of the use, mixed with some of the training."""
        if self.optimiser_ is None:
            self.optimiser_ = torch.optim.Adam(self.network_.parameters(), lr=self.adapt_lr)
        n_old = round(self.old_share * self.batch_size)
        for _ in range(self.adapt_steps):
            parts = [(self._new, self._new.draw(min(self.batch_size - n_old, len(self._new)), self._rng))]
            some = round(n_old * len(parts[0][1]) / (self.batch_size - n_old))
            if some:
                parts.append((self._old, self._old.draw(some, self._rng)))
            td_step(self.network_, self.network_, self.optimiser_, parts, discount=0.0)


def _right_or_wrong(labels: np.ndarray) -> Callable[[int, Any], float]:
    return lambda row, predicted: 1.0 if predicted == labels[row] else -1.0
