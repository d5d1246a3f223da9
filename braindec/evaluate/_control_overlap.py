"""Do test stimuli lie among the training stimuli, or are they among them?

In the space of the network's features the distance of each test stimulus to its nearest training stimulus is compared with what
is usual among training stimuli. A decoder that has seen a test picture may give it back from memory.

Source: Shirakawa et al. 2024 (arXiv 2405.10078): overlap of training and test stimuli in NSD, and held-out clusters.
Differs from the reference in: features of any network, correlation distance; duplicates are looked for pixel by pixel.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import binomtest

from braindec.evaluate._control_items import load, training_parts
from braindec.evaluate._control_metrics import vectors_of
from braindec.evaluate._control_pairs import as_unit, correlations
from braindec.evaluate.finding import Finding

_SAME = 1 / 255  # root mean square difference of pixels up to which two pictures are the same
_NEAR = 0.1  # share of the usual distance of training neighbours below which a test picture is nearly one of them
_MANY, _SOME = 0.02, 0.75  # share of duplicates that fails; share nearer than usual that is told (half is expected)
_BLOCK, _SAMPLE = 512, 1500
_REFERENCE = "Shirakawa et al. 2024, arXiv 2405.10078"

__all__ = ["overlap_finding"]


def overlap_finding(true: np.ndarray, train: Any, *, network: Any, folds: np.ndarray | None = None) -> Finding:
    """Compare test stimuli with training stimuli.

    Parameters
    ----------
    true : array of shape (n_items, ...)
        Test stimuli, each once.
    train : array, Pictures, or mapping of fold to these
    network : callable
        ``network(pictures) -> (n, units)``.
    folds : array of shape (n_items,), optional
        Fold of each test stimulus, where training stimuli differ between folds.
    """
    true = as_unit(true)
    nearest, usual, same = np.empty(len(true)), np.empty(len(true)), np.zeros(len(true), dtype=bool)
    for rows, part in training_parts(train, folds, shape=true.shape[1:]):
        own = true[rows]
        bank = np.concatenate(
            [vectors_of(network, load(part, slice(i, i + _BLOCK))) for i in range(0, len(part), _BLOCK)]
        )
        near, place = _nearest(vectors_of(network, own), bank)
        nearest[rows], usual[rows] = near, float(np.median(_among(bank))) if len(bank) > 2 else np.nan
        order, back = np.unique(place, return_inverse=True)
        beside = load(part, order)[back.reshape(-1)]
        same[rows] = np.sqrt(((own - beside) ** 2).reshape(len(own), -1).mean(axis=1)) <= _SAME
    share, n = float((nearest < usual).mean()), len(true)
    close = float(((nearest < _NEAR * usual) & ~same).mean())
    evidence = {"n": n, "share_same": float(same.mean()), "share_nearly_same": close, "share_nearer_than_usual": share,
                "median_distance": float(np.median(nearest)), "usual_distance": float(np.nanmedian(usual))}  # fmt: skip
    check, fix = (
        "train_test_overlap",
        "hold out by stimulus, and by cluster of stimuli (cluster_split) beside the official split",
    )
    if same.any():
        message = f"{int(same.sum())} of {n} test stimuli are training stimuli too, pixel by pixel"
        return Finding(check, "fail" if same.mean() > _MANY else "warn", message, evidence, fix, _REFERENCE)
    if close > _MANY:
        return Finding(
            check,
            "warn",
            f"{round(close * n)} of {n} test stimuli are nearly training stimuli",
            evidence,
            fix,
            _REFERENCE,
        )
    words = f"{100 * share:.0f} % of test stimuli are nearer to a training stimulus than training stimuli usually are to one another (half if drawn alike)"
    if share >= _SOME and binomtest(int((nearest < usual).sum()), n, 0.5, alternative="greater").pvalue <= 0.01:
        return Finding(check, "warn", words, evidence, fix, _REFERENCE)
    return Finding(check, "pass", words, evidence)


def _nearest(vectors: np.ndarray, bank: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Correlation distance to the nearest of ``bank``, and which it is."""
    parts = [correlations(vectors[i : i + _BLOCK], bank) for i in range(0, len(vectors), _BLOCK)]
    return (np.concatenate([1 - p.max(axis=1) for p in parts]), np.concatenate([p.argmax(axis=1) for p in parts]))


def _among(bank: np.ndarray) -> np.ndarray:
    """Distance of training stimuli (a sample of them) to the nearest other."""
    rows = np.unique(np.linspace(0, len(bank) - 1, min(len(bank), _SAMPLE)).astype(int))
    out = []
    for start in range(0, len(rows), _BLOCK):
        some = rows[start : start + _BLOCK]
        r = correlations(bank[some], bank)
        r[np.arange(len(some)), some] = -np.inf
        out.append(1 - r.max(axis=1))
    return np.concatenate(out)
