"""Do predictions span as many dimensions as the pictures do, or has the output collapsed?

Two counts of the dimensions of a cloud of features: the participation ratio, (sum of eigenvalues)² / sum of their squares, and
the entropy rank, the exponential of the entropy of their shares.

Source: Shirakawa et al. 2024 (arXiv 2405.10078), output-dimension collapse; Roy & Vetterli 2007 (EUSIPCO), entropy rank; Gao et
al. 2017 (bioRxiv 214262), participation ratio.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from braindec.evaluate._control_items import Items
from braindec.evaluate._control_metrics import vectors_of
from braindec.evaluate._control_pairs import as_unit
from braindec.evaluate.finding import Finding

_COLLAPSED = 0.5  # share of the dimensions of the targets below which it is said
_CONSTANT = 1e-6  # share of their variance

__all__ = ["dimensions", "rank_finding"]


def dimensions(vectors: np.ndarray) -> tuple[float, float, float]:
    """Return participation ratio, entropy rank and total variance of rows of ``vectors`` around their mean."""
    centred = np.asarray(vectors, dtype=np.float64)
    centred = centred - centred.mean(axis=0)
    small = centred @ centred.T if len(centred) <= centred.shape[1] else centred.T @ centred
    found = np.clip(np.linalg.eigvalsh(small), 0, None)
    total = float(found.sum())
    if total <= 0:
        return 0.0, 0.0, 0.0
    share = found[found > total * 1e-15] / total
    return float(1 / (share**2).sum()), float(np.exp(-(share * np.log(share)).sum())), total / len(centred)


def rank_finding(decoded: np.ndarray, true: np.ndarray, items: Items, network: Any) -> Finding:
    """Compare the dimensions of decoded items (mean over seeds and trials of a stimulus) with those of the stimuli."""
    check = "effective_rank"
    target = vectors_of(network, true[items.first])
    mean = np.zeros((items.n_items, target.shape[1]))
    for seed in decoded:
        np.add.at(mean, items.code, vectors_of(network, as_unit(seed)))
    mean /= len(decoded) * np.bincount(items.code)[:, None]
    own, goal = dimensions(mean), dimensions(target)
    evidence = {"participation_ratio": own[0], "participation_ratio_true": goal[0], "entropy_rank": own[1], "entropy_rank_true": goal[1],
                "variance": own[2] / goal[2] if goal[2] else float("nan")}  # fmt: skip
    if goal[2] <= 0:
        return Finding(check, "skip", "the stimuli do not differ in their features", evidence)
    if own[2] <= _CONSTANT * goal[2]:
        return Finding(check, "fail", "the same is made for every item: the output does not depend on the recording", evidence,
                       "check that the decoder was trained and that its condition reaches the generator")  # fmt: skip
    words = f"entropy rank {own[1]:.1f} of decoded features against {goal[1]:.1f} of the stimuli (participation ratio {own[0]:.1f} against {goal[0]:.1f})"
    if own[1] < _COLLAPSED * goal[1]:
        return Finding(check, "warn", f"the output spans few dimensions: {words}", evidence,
                       "what lies outside them can not be decoded: more varied training stimuli", "Shirakawa et al. 2024, arXiv 2405.10078")  # fmt: skip
    return Finding(check, "pass", words, evidence)
