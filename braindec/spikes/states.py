"""Comparing hidden states: matching labels, scores against a known truth, how many states there are, paired tests.

Source: Kuhn 1955 for matching (the assignment that agrees in most bins).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from braindec.errors import BraindecError
from braindec.spikes.glm import contiguous_folds
from braindec.spikes.hmm_glm import HMMGLM
from braindec.stats.auc import auc
from braindec.stats.permutation import sign_flip_test

__all__ = ["Matched", "choose_n_states", "compare", "match_states", "structure_auc"]


class Matched(NamedTuple):
    """``order[k]``: the found state that stands for the true state ``k``; ``accuracy``: share of bins that then agree."""

    order: np.ndarray
    accuracy: float


def match_states(true: Any, found: Any, n_states: int | None = None) -> Matched:
    """Match found states to true ones so that most bins agree.

    Parameters
    ----------
    true, found : array of int, or list of them
        States, bin by bin.
    n_states : int, optional
        How many there are; the largest label and one by default.
    """
    a, b = (np.concatenate([np.atleast_1d(v) for v in (x if isinstance(x, list) else [x])]) for x in (true, found))
    if a.shape != b.shape or not len(a):
        raise BraindecError("true and found states differ in length", found=f"{a.shape} and {b.shape}")
    n = int(max(a.max(), b.max())) + 1 if n_states is None else n_states
    if min(a.min(), b.min()) < 0 or max(a.max(), b.max()) >= n:
        raise BraindecError(
            "states are numbered from 0",
            found=f"{min(a.min(), b.min())} to {max(a.max(), b.max())}",
            allowed=f"0 to {n - 1}",
        )
    both = np.zeros((n, n))
    np.add.at(both, (a, b), 1)
    rows, columns = linear_sum_assignment(-both)
    return Matched(columns, float(both[rows, columns].sum() / len(a)))


def structure_auc(sign: Any, strengths: Any) -> dict[str, float]:
    """Return how well couplings show a known structure, in states that are matched.

    Parameters
    ----------
    sign : array of shape (n_states, n_units, n_units)
        -1, 0, 1: [state, target, source].
    strengths : array of the same shape
        Estimated couplings with sign.

    Returns
    -------
    dict
        "excitatory" and "inhibitory": AUC of that kind against all other connections by signed strength; "connected":
        AUC of any against absent ones by size; "structure": the mean of the first two.
    """
    sign, strengths = np.asarray(sign), np.asarray(strengths)
    if sign.shape != strengths.shape:
        raise BraindecError("couplings and the structure differ in shape", found=f"{strengths.shape} and {sign.shape}")
    found = {
        "excitatory": auc(strengths, sign > 0).value,
        "inhibitory": auc(-strengths, sign < 0).value,
        "connected": auc(np.abs(strengths), sign != 0).value,
    }
    return {"structure": float(np.nanmean([found["excitatory"], found["inhibitory"]])), **found}


def compare(first: Any, second: Any, *, rng: np.random.Generator | int = 0) -> float:
    """Return the one-sided p that values of held-out trials are larger for the first of two models (sign flips)."""
    first, second = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if first.shape != second.shape:
        raise BraindecError("two models are compared on the same trials", found=f"{first.shape} and {second.shape}")
    return sign_flip_test(first - second, rng=rng)


def choose_n_states(
    trials: Sequence[np.ndarray], candidates: Sequence[int], *, n_folds: int = 3, **options: Any
) -> pd.DataFrame:
    """Return the held-out gain of models with different numbers of states, trials held out in contiguous blocks.

    Parameters
    ----------
    trials : sequence of array (n_units, n_bins)
    candidates : sequence of int
    n_folds : int
    **options
        Of :class:`HMMGLM`.

    Returns
    -------
    DataFrame
        ``n_states``, ``bits_per_spike`` (held out), ``error`` (standard error over trials), ``chosen`` (the smallest number within one
        standard error of the best, its paired differences over trials).
    """
    counts = list(trials)
    if not candidates:
        raise BraindecError("there is no number of states to choose from", found="none", fix="candidates=[1, 2, 3]")
    spikes = np.array([c.sum() for c in counts])
    gains = np.zeros((len(candidates), len(counts)))
    for train, test in contiguous_folds(len(counts), n_folds):
        for i, n in enumerate(candidates):
            model = HMMGLM(int(n), **options).fit([counts[t] for t in train])
            gains[i, test] = model.gain([counts[t] for t in test])
    total = gains.sum(axis=1) / spikes.sum()
    best = int(total.argmax())
    behind = gains[best] - gains
    error = behind.std(axis=1, ddof=1) * np.sqrt(len(counts))
    near = behind.sum(axis=1) <= error
    chosen = min((n for n, ok in zip(candidates, near, strict=True) if ok), default=candidates[best])
    spread = gains.std(axis=1, ddof=1) * np.sqrt(len(counts)) / spikes.sum()
    return pd.DataFrame(
        {
            "n_states": list(candidates),
            "bits_per_spike": total,
            "error": spread,
            "chosen": [n == chosen for n in candidates],
        }
    )
