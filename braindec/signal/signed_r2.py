"""Signed r-squared: how much of a feature's variance the class explains, with the sign of the difference.

With q the values of the first class and r those of the second, G the squared sum of all over their number:
``r2 = ((sum q)^2 / n1 + (sum r)^2 / n2 - G) / (sum q^2 + sum r^2 - G)``, the squared correlation of the feature with the
class (point-biserial), and the sign of ``mean q - mean r``.

Source: Wonnacott & Wonnacott 1977 (Introductory statistics), as used in BCI2000 (Schalk et al. 2004, IEEE TBME 51:1034)
and in HappyFeat (Desbois et al. 2024, Software Impacts 19:100610).
"""

from __future__ import annotations

import numpy as np

from braindec.errors import BraindecError

__all__ = ["best_r2", "signed_r2"]


def signed_r2(rows: np.ndarray, member: np.ndarray) -> np.ndarray:
    """Return the signed r-squared of each feature.

    Parameters
    ----------
    rows : array of shape (n_rows, ...)
        Features of each trial, such as log power (trial, channel, frequency).
    member : array of bool, shape (n_rows,)
        Which trials are of the first class; the others are of the second.

    Returns
    -------
    array of shape (...,)
        -1 to 1; positive where the first class is higher. 0 where a feature never changes.

    Raises
    ------
    BraindecError
        If a class has no row, or numbers differ.
    """
    rows, member = np.asarray(rows, dtype=np.float64), np.asarray(member, dtype=bool)
    if member.shape != rows.shape[:1]:
        raise BraindecError("signed r2 needs one class for each row", found=f"{member.shape} for rows {rows.shape}")
    n1, n2 = int(member.sum()), int((~member).sum())
    if not n1 or not n2:
        raise BraindecError("signed r2 compares two classes", found=f"{n1} and {n2} rows")
    rows = rows - rows.mean(axis=0)  # G is 0 then, and nothing is lost to rounding
    q, r = rows[member].sum(axis=0), rows[~member].sum(axis=0)
    total = (rows**2).sum(axis=0)
    share = np.divide(q**2 / n1 + r**2 / n2, total, out=np.zeros_like(total), where=total > 0)
    return np.sign(q / n1 - r / n2) * np.minimum(share, 1.0)


def best_r2(rows: np.ndarray, codes: np.ndarray, n_classes: int) -> np.ndarray:
    """Return the largest r-squared of each feature over classes against the rest, shape (...,), 0 to 1."""
    problems = (1,) if n_classes == 2 else range(n_classes)
    return np.max([np.abs(signed_r2(rows, codes == k)) for k in problems], axis=0)
