"""From a run's design to betas: all trials at once (LSA), each trial against the sum of the others (LSS), condition numbers.

An estimator is a matrix (trial, time) that is applied to the data of any number of voxels. With nuisance taken out of
design and data (Frisch & Waugh 1933), LSS has a closed form: the two-column least-squares problem of trial i against the
sum of the others needs only the Gram matrix of the design, so all trials of all voxels cost one matrix product.

Source: Mumford, Turner, Ashby & Poldrack 2012 (NeuroImage 59): LSA and LSS; Abdulrahman & Henson 2016 (NeuroImage 125):
when each is better; Belsley, Kuh & Welsch 1980 (Regression Diagnostics): condition number of columns of unit length.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from braindec.errors import BraindecError

__all__ = ["Spectrum", "lsa_matrix", "lss_matrix", "spectrum_of"]

_RANK = 1e-6  # singular values below this share of the largest count as zero


@dataclass(frozen=True)
class Spectrum:
    """Singular value decomposition of a design (nuisance taken out), and how collinear it is.

    Parameters
    ----------
    u : array of shape (n_times, rank)
    s : array of shape (rank,)
    vt : array of shape (rank, n_trials)
    condition : float
        Ratio of the largest to the smallest singular value after columns are scaled to unit length; inf without full rank.
    closest : tuple of int
        The two trials whose columns are most alike.
    """

    u: np.ndarray
    s: np.ndarray
    vt: np.ndarray
    condition: float
    closest: tuple[int, int]

    @property
    def full(self) -> bool:
        """Whether each trial can be told from the others."""
        return len(self.s) == self.vt.shape[1]


def spectrum_of(design: np.ndarray) -> Spectrum:
    """Decompose a design of shape (n_times, n_trials) whose nuisance was taken out."""
    n_trials = design.shape[1]
    u, s, vt = np.linalg.svd(design, full_matrices=False)
    kept = s > _RANK * s.max(initial=0.0)
    length = np.linalg.norm(design, axis=0)
    unit = design / np.where(length > 0, length, 1.0)
    alike = np.abs(unit.T @ unit) - 2 * np.eye(n_trials)
    first, second = divmod(int(np.argmax(alike)), n_trials) if n_trials > 1 else (0, 0)
    scaled = np.linalg.svd(unit, compute_uv=False)
    singular = kept.sum() < n_trials or scaled.min(initial=1.0) <= _RANK * scaled.max(initial=1.0)
    condition = np.inf if singular else float(scaled.max() / scaled.min())
    return Spectrum(u[:, kept], s[kept], vt[kept], condition, (min(first, second), max(first, second)))


def lsa_matrix(spectrum: Spectrum) -> np.ndarray:
    """Return the least-squares estimator of all trials at once, shape (n_trials, n_times); min-norm without full rank."""
    return (spectrum.vt.T / spectrum.s) @ spectrum.u.T


def lss_matrix(design: np.ndarray) -> np.ndarray:
    """Return the estimator of each trial against the sum of all others, shape (n_trials, n_times).

    Parameters
    ----------
    design : array of shape (n_times, n_trials)
        Nuisance taken out.

    Raises
    ------
    BraindecError
        If a trial's column is proportional to the sum of the others.

    Notes
    -----
    With G = X'X, beta_i = (ss x_i'y - xs s'y) / (xx ss - xs^2), where s is the sum of the other columns, xx = G_ii,
    xs = x_i's and ss = s's: sums of G.
    """
    gram = design.T @ design
    own, row, total = np.diag(gram), gram.sum(axis=1), gram.sum()
    cross, rest = row - own, total - 2 * row + own
    if len(gram) == 1:
        return design.T / own[:, None]
    determinant = own * rest - cross**2
    bad = np.flatnonzero(determinant <= _RANK**2 * own * np.abs(rest))
    if len(bad):
        raise BraindecError(
            f"LSS cannot tell {len(bad)} trials from the sum of the others", found=f"trials {bad[:5].tolist()} of the run",
            fix="lengthen the run, leave out doubled events, or use model='lsa' with on_collinear='min_norm'",
        )  # fmt: skip
    moments = design.T  # beta = (rest * x'y - cross * (sum(x'y) - x'y)) / determinant
    return ((rest + cross) / determinant)[:, None] * moments - (cross / determinant)[:, None] * moments.sum(axis=0)
