"""Bures similarity: overlap of the two second-moment matrices, ``tr((A^1/2 B A^1/2)^1/2) / sqrt(tr A tr B)``.

Eigenvalues below 0, which matrices that are no squared Euclidean distances have, are set to 0 in the roots, not in the traces:
values may then be a little above 1. Negative dissimilarities (noisy cross-validated ones) are no second moments and are
refused: a matrix was 10 times as similar to itself as it can be.
Source: Bures 1969 (Trans AMS 135:199); for representations: Harvey, Larsen & Williams 2024 (PMLR 243).
"""

from __future__ import annotations

import numpy as np

from braindec.align.rsa.comparators._vectors import rms_scaled, second_moment
from braindec.align.rsa.compare import Comparator
from braindec.errors import BraindecError

__all__ = ["bures"]


def _pairwise(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    for cells in (A, B):
        if (cells < 0).any():
            raise BraindecError("bures compares second moments, and negative dissimilarities have none", found=f"{int((cells < 0).sum())} of {cells.size} cells below 0",
                                allowed="dissimilarities of 0 or more (not cross-validated)", fix="comparator corr_cov, cosine or rho_a")  # fmt: skip
    first, second = second_moment(A), second_moment(B)
    values, vectors = np.linalg.eigh(first)
    roots = (vectors * np.sqrt(np.clip(values, 0, None))[:, None, :]) @ vectors.swapaxes(1, 2)
    traces = [np.trace(m, axis1=1, axis2=2) for m in (first, second)]
    inner = roots[:, None] @ second[None] @ roots[:, None]
    overlap = np.sqrt(np.clip(np.linalg.eigvalsh(inner), 0, None)).sum(axis=-1)
    return overlap / np.sqrt(traces[0][:, None] * traces[1])


bures = Comparator("bures", "1", "overlap of the two second-moment matrices", rms_scaled, pairwise=_pairwise,
                   varies=False, chance=float("nan"))  # fmt: skip
