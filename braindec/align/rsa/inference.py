"""Inference on models of representational geometry: scores, intervals, tests and ceilings in one table.

Every number comes with what it speaks about. Intervals and the p-values ``p_population``, ``p_to_ceiling`` and those of
differences hold for new subjects and new conditions (or for what ``bootstrap`` names); ``p`` asks whether a model knows which
condition is which, by permuted condition labels, and ``p_max`` does so for the best of all models, regions and times;
``p_subjects`` asks whether subjects agree on the sign, with these conditions.

Source: Schütt et al. 2023 (eLife 12:e82566); Nili et al. 2014 (PLoS Comput Biol 10:e1003553); Kriegeskorte et al. 2008
(Front Syst Neurosci 2:4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from braindec.align.rsa._crossval import cross_validate_models
from braindec.align.rsa._influence import INFLUENCE
from braindec.align.rsa._tables import asked, cells_of, complete, labels_of
from braindec.align.rsa.bootstrap import METHODS, Bootstrap, bootstrap_rsa, t_interval, t_test
from braindec.align.rsa.compare import Comparator, comparator_of
from braindec.align.rsa.models import Model, Select, as_models
from braindec.align.rsa.permutation import Permuted, condition_orders, permutation_test
from braindec.align.rsa.rdm import RDMs
from braindec.errors import BraindecError, did_you_mean
from braindec.stats.fdr import fdr_bh, holm
from braindec.stats.permutation import permutation_p, sign_flip_test

__all__ = ["Inference", "infer"]

_ORDERS = 99  # of groups, for fitted models


@dataclass(frozen=True, eq=False)
class Inference:
    """What :func:`infer` found.

    Parameters
    ----------
    scores : DataFrame
        One row a model and cell (region, time): ``metric``, ``version``, ``row`` ("decoded", "label_shuffle",
        "noise_ceiling_lower", "noise_ceiling_upper"), ``model``, ``value``, ``chance``, ``low``, ``high``, ``p``, ``q``, ``p_max``,
        ``p_population``, ``p_subjects``, ``p_to_ceiling``, ``variance``, ``dof``, ``n`` (subjects), ``n_conditions``, ``note``.
    differences : DataFrame
        One row a pair of models and cell: ``model``, ``other``, ``value``, ``low``, ``high``, ``p``, ``q`` (false discovery
        rate), ``p_holm`` (family-wise).
    notes : list of str
        What the numbers speak about, for the reader.
    bootstraps : dict
        The scores of each cell by subject, with resamples or covariances, for further questions.
    labels : dict
        Names of the parts of each model.
    """

    scores: pd.DataFrame
    differences: pd.DataFrame
    notes: list[str]
    bootstraps: dict[tuple, Bootstrap] = field(default_factory=dict)
    labels: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def decoded(self) -> pd.DataFrame:
        """The rows of models, without ceilings."""
        return self.scores[self.scores["row"] == "decoded"].reset_index(drop=True)

    def __repr__(self) -> str:
        return f"<Inference {len(self.decoded)} scores, {len(self.differences)} differences>"


def infer(
    models: RDMs | Sequence[Model],
    data: RDMs,
    *,
    comparator: str | Comparator = "rho_a",
    bootstrap: str = "two-factor",
    method: str = "components",
    n: int = 1000,
    permutations: int = 1000,
    subject: str = "subject",
    by: Sequence[str] | None = None,
    condition_groups: Sequence[Any] | None = None,
    strata: Sequence[Any] | None = None,
    level: float = 0.95,
    dof: str = "satterthwaite",
    seed: int = 0,
) -> Inference:
    """Score models against data, with ceilings, intervals, tests and differences between models.

    Parameters
    ----------
    models : RDMs or sequence of Model
        One matrix a model, named by the column ``model`` of its table; or :class:`Fixed`, :class:`Weighted` and
        :class:`Select` models, over the conditions of ``data`` in that order. If one of them is fitted, all are scored on
        held-out conditions and subjects.
    data : RDMs
        Matrices of subjects; several of one subject (sessions) are averaged within the subject.
    comparator : str or Comparator
        A name of ``align.rsa.comparators``.
    bootstrap : {"two-factor", "subjects", "conditions", "none"}
        What intervals and population p-values generalise to. With one subject "two-factor" becomes "conditions" (a note says
        so).
    method : {"components", "bootstrap"}
        Where variances come from; see :mod:`braindec.align.rsa.bootstrap`. Comparators without components, and fitted
        models, are resampled (a note says so).
    n, permutations : int
        Resamples of method "bootstrap"; orders of condition labels (0: no permutation test).
    subject : str
        Column of the data's table.
    by : sequence of str, optional
        Columns whose values are scored apart; region, hemisphere, roi, band and time by default, where they are there.
    condition_groups : sequence, shape (n_conditions,), optional
        Conditions that depend on one another (sentences of a passage); drawn and permuted together.
    strata : sequence, shape (n_conditions,), optional
        Labels are permuted within these only.
    level : float
        Of the intervals.
    dof : {"satterthwaite", "min"}
        Degrees of freedom of two-factor tests.
    seed : int

    Raises
    ------
    BraindecError
        If conditions differ, cells are missing, or there are too few subjects or conditions for what is asked.
    """
    comparator = comparator_of(comparator)
    asked(n=n, permutations=permutations, level=level, seed=seed)
    if method not in METHODS:
        raise BraindecError(f"method={method!r} is unknown{did_you_mean(str(method), METHODS)}", allowed=", ".join(METHODS))  # fmt: skip
    complete(data=data)
    if isinstance(models, RDMs):
        data = data.aligned_to(models)
        complete(models=models)
    families = as_models(models)
    if families[0].parts.shape[1] != data.n_pairs:
        raise BraindecError("models and data have other numbers of pairs", found=f"{families[0].parts.shape[1]} and {data.n_pairs}",
                            fix="make the models of matrices over the conditions of the data, in their order")  # fmt: skip
    names, fitted = [m.name for m in families], any(m.flexible for m in families)
    by, cells = cells_of(data, by, subject)
    bootstrap, notes = _what_can_be_asked(bootstrap, cells)
    if method == "components" and (fitted or comparator.name not in INFLUENCE):
        method = "bootstrap"
        why = "fitted models" if fitted else comparator.name
        notes.append(f"Variances come from {n:,} bootstrap resamples, as components are not known for {why}; they are conservative with few conditions.")  # fmt: skip
    groups, strata = (
        labels_of(v, data.n_conditions, w) for v, w in ((condition_groups, "condition_groups"), (strata, "strata"))
    )
    how = {"comparator": comparator, "kind": bootstrap, "n": n, "condition_groups": groups, "rng": seed}
    grouped = groups is not None and len(np.unique(groups)) < len(groups)
    again = _few_orders(data.n_conditions, groups, strata, seed) if fitted and groups is not None and grouped else None
    made: dict[tuple, Bootstrap] = {}
    for key, (rows, who) in cells.items():
        if fitted:
            made[key] = cross_validate_models(families, data.values[rows], subjects=who, orders=again, **how)
        else:
            matrices = np.concatenate([m.parts for m in families])
            made[key] = bootstrap_rsa(matrices, data.values[rows], subjects=who, method=method, **how)
    if fitted:
        notes += _about_fits(families, made)
    permuted = None
    if permutations and not fitted:
        orders = condition_orders(data.n_conditions, n=permutations, rng=seed + 1, blocks=groups,
                                  strata=None if strata is None else np.asarray(strata))  # fmt: skip
        shares = [1.0 / np.bincount(who)[who] for _, who in cells.values()]
        permuted = permutation_test(matrices, [data.values[rows] for rows, _ in cells.values()],
                                    comparator=comparator, orders=orders, shares=shares)  # fmt: skip
        notes.append(_about_permutations(permuted, permutations))
    if grouped and permuted is None and again is None:
        notes.append(
            "Conditions of one group are alike in models and data: similarities are above 0 for that alone, and p_population counts it."
        )
    elif grouped:
        notes.append("Conditions of one group are alike in models and data: chance is the mean over permuted groups, and p_population and p_subjects are against it; both are no smaller than p.")  # fmt: skip
    tables, pairs = [], []
    for place, (key, found) in enumerate(made.items()):
        cell = dict(zip(by, key, strict=True))
        tables.append(_score_rows(found, names, comparator, cell, permuted, place, level, dof, seed, grouped))
        pairs.append(_difference_rows(found, names, comparator, cell, level, dof))
    scores, differences = pd.concat(tables, ignore_index=True), pd.concat(pairs, ignore_index=True)
    scores["n_conditions"] = data.n_conditions
    tested = scores["row"] == "decoded"
    scores.loc[tested, "q"] = fdr_bh(scores.loc[tested, "p"].to_numpy(dtype=float))
    for column, adjust in (("q", fdr_bh), ("p_holm", holm)):
        differences[column] = adjust(differences["p"].to_numpy(dtype=float))
    return Inference(scores, differences, [*notes, *_about(comparator, bootstrap, made)], made,
                     {m.name: tuple(m.labels) for m in families})  # fmt: skip


def _few_orders(n: int, groups: np.ndarray, strata: Sequence[Any] | None, seed: int) -> np.ndarray | None:
    """Orders of whole groups for chance of fitted models; None where groups cannot change places."""
    try:
        return condition_orders(
            n, n=_ORDERS, rng=seed + 1, blocks=groups, strata=None if strata is None else np.asarray(strata)
        )
    except BraindecError:
        return None


def _what_can_be_asked(bootstrap: str, cells: dict) -> tuple[str, list[str]]:
    fewest = min(who.max() + 1 for _, who in cells.values())
    if bootstrap == "two-factor" and fewest < 2:
        return "conditions", [
            "One subject: intervals and population p-values hold for new conditions in this subject, not for new subjects."
        ]
    return bootstrap, []


def _score_rows(
    found: Bootstrap, names: list[str], comparator: Comparator, cell: dict, permuted: Permuted | None, place: int,
    level: float, dof: str, seed: int, grouped: bool = False,
) -> pd.DataFrame:  # fmt: skip
    v = found.variances(dof=dof)
    k, zero = len(names), comparator.chance
    chance = np.full(k, zero)
    shuffled = getattr(found, "shuffled", None)
    if permuted is not None and (grouped or not np.isfinite(zero)):
        chance = permuted.chance[:, place]
    elif shuffled is not None:
        chance = shuffled.mean(axis=0)
    against = chance if np.isfinite(zero) else zero
    low, high = t_interval(found.scores, v.models, v.dof_models, level=level)
    by_subject = np.stack([found.each[:, found.subject == s].mean(axis=1) for s in range(found.n_subjects)], axis=1)
    signs = [
        sign_flip_test(row - c, rng=seed) if len(row) > 1 and np.isfinite(c) else np.nan
        for row, c in zip(by_subject, chance, strict=True)
    ]
    population = t_test(found.scores - against, v.models, v.dof_models, two_sided=False)
    if permuted is not None and grouped:  # few groups: their variance alone is found too small (9 to 19 % at 5 %)
        population = np.maximum(population, permuted.p[:, place])
        signs = np.maximum(signs, permuted.p[:, place])  # subjects share groups: they agree too often (11 to 19 %)
    elif shuffled is not None:
        population = np.maximum(population, permutation_p(found.scores, shuffled))
    table = pd.DataFrame({
        **cell, "model": names, "metric": comparator.name, "version": comparator.version, "row": "decoded", "value": found.scores,
        "chance": chance, "low": low, "high": high,
        "p": permuted.p[:, place] if permuted is not None else np.where(np.isfinite(population), population, t_test(found.scores - chance, v.models, v.dof_models, two_sided=False)),
        "q": np.nan, "p_max": permuted.p_max[:, place] if permuted is not None else np.nan,
        "p_population": population, "p_subjects": signs,
        "p_to_ceiling": t_test(found.scores - found.ceilings[0], v.to_ceiling[:, 0], v.dof_to_ceiling[:, 0], two_sided=True),
        "variance": v.models, "dof": v.dof_models, "n": found.n_subjects, "note": "",
    })  # fmt: skip
    shuffled = pd.DataFrame() if permuted is None else pd.DataFrame({
        **cell, "model": names, "metric": comparator.name, "version": comparator.version, "row": "label_shuffle", "value": permuted.chance[:, place],
        "chance": chance, "low": permuted.low[:, place], "high": permuted.high[:, place], "n": found.n_subjects,
        "note": "permuted condition labels: mean and central 95 %",
    })  # fmt: skip
    bounds = pd.DataFrame([
        {**cell, "model": "", "metric": comparator.name, "version": comparator.version, "row": f"noise_ceiling_{end}", "value": value,
         "chance": np.nan, "low": np.nan, "high": np.nan, "variance": variance, "n": found.n_subjects, "note": note}
        for end, value, variance, note in zip(("lower", "upper"), found.ceilings, v.ceilings,
                                              ("each subject from the others' mean", "each subject from the mean of all"), strict=True)
        if np.isfinite(found.ceilings[0])  # of one subject there is none
    ])  # fmt: skip
    return pd.concat([t for t in (table, shuffled, bounds) if len(t)], ignore_index=True)


def _difference_rows(
    found: Bootstrap, names: list[str], comparator: Comparator, cell: dict, level: float, dof: str
) -> pd.DataFrame:
    v = found.variances(dof=dof)
    first, second = np.triu_indices(len(names), 1)
    value = found.scores[first] - found.scores[second]
    variance, degrees = v.differences[first, second], v.dof_differences[first, second]
    low, high = t_interval(value, variance, degrees, level=level)
    return pd.DataFrame({
        **{c: [x] * len(first) for c, x in cell.items()}, "model": [names[i] for i in first], "other": [names[i] for i in second],
        "metric": comparator.name, "value": value, "low": low, "high": high, "p": t_test(value, variance, degrees, two_sided=True),
        "variance": variance, "dof": degrees, "n": found.n_subjects,
    })  # fmt: skip


def _about_permutations(permuted: Permuted, n: int) -> str:
    return (
        f"p: condition labels of each model permuted {n:,} times (rows and columns together), one-sided; it cannot fall below {permuted.floor:.2g}. "
        "p_max: against the largest standardised score of all models, regions and times."
    )


def _about_fits(models: Sequence[Model], made: dict[tuple, Bootstrap]) -> list[str]:
    notes = [
        "All models are scored on held-out conditions and subjects, because some are fitted; p is that of the population, as labels are not permuted."
    ]
    for key, found in made.items():
        where = f" ({', '.join(map(str, key))})" if key else ""
        for model, weights in zip(models, getattr(found, "weights", ()), strict=False):
            if model.flexible:
                mean = weights.mean(axis=0)
                said = ", ".join(f"{model.labels[i]} {mean[i]:.2f}" for i in np.argsort(-mean)[:4] if mean[i] > 0)
                notes.append(
                    f"{model.name}{where}: {'chosen in this share of fits' if isinstance(model, Select) else 'mean share of the weight'}: {said}."
                )
    return notes


def _about(comparator: Comparator, bootstrap: str, made: dict[tuple, Bootstrap]) -> list[str]:
    one = next(iter(made.values()))
    told = {"two-factor": "new subjects and new conditions", "subjects": "new subjects with these conditions",
            "conditions": "new conditions in these subjects", "none": "new subjects with these conditions"}[bootstrap]  # fmt: skip
    units = {
        "two-factor": f"{one.n_subjects} subjects and {one.n_conditions} conditions",
        "conditions": f"{one.n_conditions} conditions",
    }.get(bootstrap, f"{one.n_subjects} subjects")
    notes = [
        f"{comparator.name}: {comparator.describe}. Intervals and p_population speak about {told} ({units} resampled)."
    ]
    if np.isfinite(one.ceilings[0]):
        notes.append("Noise ceilings: a subject's matrix from the pooled matrices of the other subjects (lower) and of all (upper); scores are not divided by them.")  # fmt: skip
    if not np.isfinite(comparator.chance):
        notes.append(
            f"{comparator.name} of unrelated matrices is not 0; chance is the mean over permuted condition labels."
        )
    return notes
