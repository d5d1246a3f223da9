"""Partial RSA: what a model shares with the data beyond confounds such as length or position.

Model and data matrices are taken as they are (or ranked), what the confound matrices predict is taken away from both, and
the rests are correlated, subject by subject. Three questions are answered: ``p`` permutes the conditions of the model's
rest, with the confounds taken away again each time; ``p_population`` is a t-test over new subjects and new conditions from
variance components (the rests' pseudo-values are those of a Pearson correlation, as regression weights are at their
optimum); ``p_subjects`` flips signs of subjects.

Source: Kriegeskorte et al. 2008 (Front Syst Neurosci 2:4), partial comparison of matrices; Smouse, Long & Sokal 1986
(Syst Zool 35:627), partial Mantel test; Legendre 2000 (J Stat Comput Simul 67:37), permuted residuals.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from braindec.align.rsa._components import components
from braindec.align.rsa._draws import codes_of
from braindec.align.rsa._influence import linear_pseudo_values
from braindec.align.rsa._jackknife import jackknife_covariance, leave_one_grams
from braindec.align.rsa._population import population_test
from braindec.align.rsa._tables import asked, cells_of, complete, labels_of, names_of
from braindec.align.rsa.comparators._vectors import ranked
from braindec.align.rsa.permutation import condition_orders, permuted_cells
from braindec.align.rsa.rdm import RDMs
from braindec.errors import BraindecError
from braindec.stats.fdr import fdr_bh
from braindec.stats.permutation import permutation_p, sign_flip_test

__all__ = ["basis_of", "mean_by_subject", "partial_rsa", "rest_of", "standardised"]

_FLAT = 1e-10  # share of variance that a matrix must keep beyond the confounds


def partial_rsa(
    models: RDMs,
    data: RDMs,
    confounds: RDMs,
    *,
    form: str = "linear",
    bootstrap: str = "two-factor",
    permutations: int = 1000,
    subject: str = "subject",
    by: Sequence[str] | None = None,
    condition_groups: Sequence[Any] | None = None,
    strata: Sequence[Any] | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Correlate each model with the data after the confounds were taken away from both.

    Parameters
    ----------
    models, data, confounds : RDMs
        Over the same conditions. A model that is among the confounds by name is left out of its own confounds.
    form : {"linear", "rank"}
        Partial correlation of the dissimilarities themselves, or of their ranks. Ranks leave a part of the confounds in place
        where these add up with what else drives the data: with squared distances, which do, 21 to 70 % of models that share
        nothing but confounds with the data were called significant, against 3 to 8 % of the linear form.
    bootstrap : {"two-factor", "subjects", "conditions"}
        What intervals and ``p_population`` generalise to; with one subject, "conditions".
    permutations : int
        Orders of condition labels; 0 leaves ``p`` empty.
    subject, by, condition_groups, strata, level, seed
        As for :func:`braindec.align.rsa.inference.infer`.

    Returns
    -------
    DataFrame
        Long table: the cell's columns, ``model``, ``metric`` ("partial_rank" or "partial_linear"), ``version``, ``row``,
        ``value``, ``raw`` (the same correlation without confounds), ``chance``, ``low``, ``high``, ``p``, ``q``,
        ``p_population``, ``p_subjects``, ``variance``, ``dof``, ``n``, ``note`` (the confounds).

    Raises
    ------
    BraindecError
        If conditions differ, cells are missing, or the confounds determine a model completely.
    """
    if form not in ("rank", "linear"):
        raise BraindecError(f"form={form!r} is unknown", allowed="rank, linear")
    asked(permutations=permutations, level=level, seed=seed)
    complete(models=models, data=data, confounds=confounds)
    data, confounds = data.aligned_to(models), confounds.aligned_to(models)
    names, others = names_of(models), names_of(confounds)
    by, cells = cells_of(data, by, subject)
    prepare = ranked if form == "rank" else np.asarray
    M, D, C = (standardised(prepare(r.values)) for r in (models, data, confounds))
    group = codes_of(labels_of(condition_groups, data.n_conditions, "condition_groups"), data.n_conditions)
    orders = condition_orders(data.n_conditions, n=permutations, rng=seed, blocks=group,
                              strata=labels_of(strata, data.n_conditions, "strata")) if permutations else None  # fmt: skip
    rows = []
    for name, model in zip(names, M, strict=True):
        used = [i for i, other in enumerate(others) if other != name]
        basis = basis_of(C[used])
        rest = rest_of(model[None], basis, f"model {name}")[0]
        moved = None if orders is None else _permuted_rests(rest, basis, orders)
        for key, (place, who) in cells.items():
            raw = D[place] @ model / len(model)
            given = rest_of(D[place], basis, "a data matrix")
            rows.append({**dict(zip(by, key, strict=True)), "model": name,
                         **_test(rest, given, moved, who, bootstrap, level, seed, group, _leave_one_out(model, D[place], C[used], who, group)), "raw": mean_by_subject(raw[:, None], who).mean(),
                         "note": "given " + ", ".join(others[i] for i in used) if used else "no confounds"})  # fmt: skip
    table = pd.DataFrame(rows)
    table.insert(len(by) + 1, "metric", f"partial_{form}")
    table["version"], table["row"], table["chance"] = "1", "decoded", 0.0
    table["q"] = fdr_bh(table["p"].to_numpy(dtype=float))
    return table


def _test(
    rest: np.ndarray, given: np.ndarray, moved: np.ndarray | None, who: np.ndarray, bootstrap: str, level: float, seed: int,
    group: np.ndarray, without: np.ndarray,
) -> dict[str, float]:  # fmt: skip
    values = mean_by_subject(linear_pseudo_values(rest, given), who)  # (subject, pair)
    each = values.mean(axis=1)
    n_groups = int(group.max()) + 1
    tested = population_test(components((v[None] for v in values), group), float(each.mean()), len(each), n_groups, bootstrap, level,
                             jackknife_covariance(without[:, None], n_groups))  # fmt: skip
    p = np.nan
    if moved is not None:
        mean = mean_by_subject(given, who).mean(axis=0)  # the score is linear in the data's rest
        p = permutation_p(float(each.mean()), moved @ mean / len(mean))
    return {"value": float(each.mean()), "low": tested.low, "high": tested.high, "p": p, "p_population": tested.p,
            "p_subjects": sign_flip_test(each, rng=seed) if len(each) > 1 else np.nan,
            "variance": tested.variance, "dof": tested.dof, "n": len(each)}  # fmt: skip


def _leave_one_out(
    model: np.ndarray, data: np.ndarray, confounds: np.ndarray, who: np.ndarray, group: np.ndarray
) -> np.ndarray:
    """The mean partial correlation without each (group of) conditions in turn, (n_deletions,), from sums of products."""
    rows = np.concatenate([model[None], data, confounds, np.ones((1, len(model)))])
    kept, away = np.arange(1 + len(data)), np.arange(1 + len(data), len(rows))
    grams = leave_one_grams(rows, group)
    back = np.linalg.pinv(grams[:, away[:, None], away], hermitian=True) @ grams[:, away[:, None], kept]
    left = grams[:, kept[:, None], kept] - np.matmul(grams[:, kept[:, None], away], back)
    size = np.maximum(np.einsum("bii->bi", left), np.finfo(float).tiny)
    each = left[:, 0, 1:] / np.sqrt(size[:, :1] * size[:, 1:])
    return mean_by_subject(each.T, who).mean(axis=0)


def _permuted_rests(rest: np.ndarray, basis: np.ndarray, orders: np.ndarray) -> np.ndarray:
    """The model's rest with permuted conditions, the confounds taken away again, (n_orders, n_pairs), of mean square 1."""
    moved = np.concatenate([permuted_cells(rest[None], order) for order in orders])
    return rest_of(moved, basis, "a permuted model")


def mean_by_subject(rows: np.ndarray, who: np.ndarray) -> np.ndarray:
    """Return the mean of the rows of each subject, (n_subjects, ...)."""
    return np.stack([rows[who == s].mean(axis=0) for s in np.unique(who)])


def standardised(rows: np.ndarray) -> np.ndarray:
    """Return rows with mean 0 and mean square 1; a constant one is 0."""
    rows = np.asarray(rows, dtype=float)
    rows = rows - rows.mean(axis=1, keepdims=True)
    size = np.sqrt(np.mean(rows**2, axis=1, keepdims=True))
    return rows / np.where(size > 0, size, 1.0)


def basis_of(confounds: np.ndarray) -> np.ndarray:
    """Return orthonormal rows that span the confounds, (rank, n_pairs)."""
    if not len(confounds):
        return confounds
    _, size, axes = np.linalg.svd(confounds, full_matrices=False)
    return axes[size > 1e-10 * size.max()]


def rest_of(rows: np.ndarray, basis: np.ndarray, what: str) -> np.ndarray:
    """Return rows without their part in the basis, of mean square 1; BraindecError where nothing is left."""
    left = rows - (rows @ basis.T) @ basis
    size = np.mean(left**2, axis=1)
    flat = size < _FLAT * np.maximum(np.mean(rows**2, axis=1), _FLAT)
    if flat.any():
        raise BraindecError(
            f"{what} is determined by the confounds: nothing of it is left", found=f"{int(flat.sum())} of {len(rows)} matrices",
            fix="leave that confound out, or leave out the model",
        )  # fmt: skip
    return left / np.sqrt(size)[:, None]
