"""Bootstrap of RSA over subjects and conditions: all models, matrices and resamples as weighted sums.

Three bootstraps are made of one set of draws: subjects and conditions together, subjects alone, conditions alone. The
variance of a score over new subjects *and* new conditions is estimated from the three,

    v = n_s/(n_s-1) v_s + n_c/(n_c-1) v_c - n_s n_c / ((n_s-1)(n_c-1)) (v_sc - v_s - v_c)

kept between the larger of the two corrected single-factor variances and ``v_sc``; the bootstrap of both factors by itself
counts the variance of single measurements three times. Linear comparators are weighted sums (:mod:`._sums`), rank
comparators weighted mid-ranks (:mod:`._ranks`); any other comparator is evaluated resample by resample.

Source: Schütt, Kipnis, Diedrichsen & Kriegeskorte 2023 (eLife 12:e82566), "Estimating the variance", two-factor bootstrap;
Nili et al. 2014 (PLoS Comput Biol 10:e1003553), ceilings.
Differs from the reference in: the lower ceiling of a resample weighs subjects as often as they were drawn (rsatoolbox: once
each); ceilings where one subject fills a resample are left out; degrees of freedom may follow Satterthwaite.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats
from tqdm import tqdm

from braindec.align.rsa._draws import Draws, codes_of, draw, pair_weights
from braindec.align.rsa._ranks import RANKED, rank_resamples
from braindec.align.rsa._sums import LINEAR, ceilings_of, similarities, weighted_sums
from braindec.align.rsa.compare import Comparator, comparator_of
from braindec.align.rsa.rdm import n_conditions_of
from braindec.errors import BraindecError, did_you_mean

__all__ = ["Bootstrap", "KINDS", "Variances", "bootstrap_rsa", "combine_factors", "t_interval", "t_test"]

KINDS = ("two-factor", "subjects", "conditions", "none")
_FEW_CONDITIONS = 5


@dataclass(frozen=True, eq=False)
class Variances:
    """Variances of scores, of their differences, and of their distance to the ceilings.

    Parameters
    ----------
    models : array of shape (n_models,)
    differences : array of shape (n_models, n_models)
        0 on the diagonal.
    to_ceiling : array of shape (n_models, 2)
        Distance to the lower and to the upper ceiling.
    ceilings : array of shape (2,)
    dof : mapping-like of arrays
        Degrees of freedom, of the same shapes: ``dof_models``, ``dof_differences``, ``dof_to_ceiling``.
    """

    models: np.ndarray
    differences: np.ndarray
    to_ceiling: np.ndarray
    ceilings: np.ndarray
    dof_models: np.ndarray
    dof_differences: np.ndarray
    dof_to_ceiling: np.ndarray


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """Scores, and the same scores in each resample.

    Parameters
    ----------
    scores : array of shape (n_models,)
        Mean over subjects.
    each : array of shape (n_models, n_rdm)
        Similarity of each model and data matrix.
    ceilings : array of shape (2,)
        Lower and upper noise ceiling; NaN with one subject.
    draws : dict of str to array of shape (n_resamples, n_models + 2)
        Scores and the two ceilings in each resample: "both", "subjects", "conditions", as far as they were made.
    n_subjects, n_conditions : int
        Independent units of each kind (subjects; groups of conditions).
    kind : str
        "two-factor", "subjects", "conditions" or "none".
    subject : array of int, shape (n_rdm,)
        Whose matrix each is.
    """

    scores: np.ndarray
    each: np.ndarray
    ceilings: np.ndarray
    draws: dict[str, np.ndarray]
    n_subjects: int
    n_conditions: int
    kind: str
    subject: np.ndarray

    def covariances(self) -> dict[str, np.ndarray]:
        """Covariance of scores and ceilings over resamples, (n_models + 2, n_models + 2), for each bootstrap."""
        return {name: _covariance(values) for name, values in self.draws.items()}

    def variances(self, *, dof: str = "satterthwaite") -> Variances:
        """Variances of scores, differences and distances to ceilings over the units that ``kind`` names.

        Parameters
        ----------
        dof : {"satterthwaite", "min"}
            Degrees of freedom of the two-factor case: weighted by what each factor brings, or one less than the smaller
            number of units.
        """
        if dof not in ("satterthwaite", "min"):
            raise BraindecError(f"dof={dof!r} is unknown{did_you_mean(dof, ('satterthwaite', 'min'))}")
        k = len(self.scores)
        if self.kind == "none":
            covariance = {"subjects": _subject_covariance(self)}
        else:
            covariance = self.covariances()
        contrast = {name: _contrasts(c, k) for name, c in covariance.items()}
        n_s, n_c = self.n_subjects, self.n_conditions
        if self.kind == "two-factor":
            v = [combine_factors(*parts, n_subjects=n_s, n_conditions=n_c)
                 for parts in zip(contrast["both"], contrast["subjects"], contrast["conditions"], strict=True)]  # fmt: skip
            d = [_dof(s, c, n_s, n_c, dof) for s, c in zip(contrast["subjects"], contrast["conditions"], strict=True)]
        else:
            n = n_c if self.kind == "conditions" else n_s
            scale = 1.0 if self.kind == "none" else n / (n - 1)
            v = [scale * part for part in next(iter(contrast.values()))]
            d = [np.full(part.shape, n - 1.0) for part in v]
        return Variances(*v, *d[:3])


def bootstrap_rsa(
    models: np.ndarray,
    data: np.ndarray,
    *,
    comparator: str | Comparator = "cosine",
    kind: str = "two-factor",
    n: int = 1000,
    subjects: np.ndarray | None = None,
    condition_groups: np.ndarray | None = None,
    rng: np.random.Generator | int = 0,
) -> Bootstrap:
    """Score models against data and resample subjects, conditions, or both.

    Parameters
    ----------
    models : array of shape (n_models, n_pairs)
        Upper triangles, row by row.
    data : array of shape (n_rdm, n_pairs)
        One or more matrices of each subject.
    comparator : str or Comparator
        A name of ``align.rsa.comparators``.
    kind : {"two-factor", "subjects", "conditions", "none"}
        What is resampled; "none" takes the variance over subjects from their scores as they are.
    n : int
        Resamples.
    subjects : array of shape (n_rdm,), optional
        Whose matrix each is; each its own subject by default. Scores are means over subjects of means over a subject's
        matrices.
    condition_groups : array of shape (n_conditions,), optional
        Conditions that are drawn together, such as sentences of one passage.
    rng : Generator or int
        Source of chance.

    Raises
    ------
    BraindecError
        If sizes do not fit, cells are missing, or there are too few subjects or conditions for what is resampled.
    """
    comparator = comparator_of(comparator)
    models, data = comparator.check(models, None, "model"), comparator.check(data, None, "data")
    n_conditions = n_conditions_of(data.shape[1])
    if models.shape[1] != data.shape[1]:
        raise BraindecError("models and data have other numbers of pairs", found=f"{models.shape}, {data.shape}")
    subject, group = codes_of(subjects, len(data)), codes_of(condition_groups, n_conditions)
    _enough(kind, subject.max() + 1, group.max() + 1)
    one = Draws(np.ones((1, n_conditions)), np.ones((1, len(data))))
    drawn = one if kind == "none" else draw(group, subject, n=n, rng=np.random.default_rng(rng))
    each, bounds, resampled = _evaluate(models, data, one, drawn, comparator, kind, subject)
    share = _shares(one.rdms, subject)
    scores = each @ share[0] / share[0].sum()
    return Bootstrap(scores, each, bounds, resampled, int(subject.max() + 1), int(group.max() + 1), kind, subject)


def combine_factors(
    both: np.ndarray, subjects: np.ndarray, conditions: np.ndarray, *, n_subjects: int, n_conditions: int
) -> np.ndarray:
    """Return the variance over new subjects and new conditions from those of the three bootstraps, any shape."""
    from_s, from_c = n_subjects / (n_subjects - 1), n_conditions / (n_conditions - 1)
    v = from_s * subjects + from_c * conditions - from_s * from_c * (both - subjects - conditions)
    return np.minimum(np.maximum(v, np.maximum(from_s * subjects, from_c * conditions)), both)


def t_test(difference: np.ndarray, variance: np.ndarray, dof: np.ndarray | float, *, two_sided: bool) -> np.ndarray:
    """Return p of differences from 0; one-sided tests ask whether they are above 0. A difference of exactly 0 gives 1."""
    t = np.asarray(difference) / np.sqrt(np.maximum(variance, np.finfo(float).eps))
    p = 2 * stats.t.sf(np.abs(t), dof) if two_sided else stats.t.sf(t, dof)
    return np.where(np.isfinite(t), p, np.nan)


def t_interval(
    value: np.ndarray, variance: np.ndarray, dof: np.ndarray | float, *, level: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Return lower and upper end of ``value`` -+ t sqrt(variance)."""
    half = stats.t.isf((1 - level) / 2, dof) * np.sqrt(np.maximum(variance, 0.0))
    return value - half, value + half


def _enough(kind: str, n_subjects: int, n_conditions: int) -> None:
    if kind not in KINDS:
        raise BraindecError(f"unknown bootstrap {kind!r}{did_you_mean(kind, KINDS)}", allowed=", ".join(KINDS))
    if kind != "conditions" and n_subjects < 2:
        raise BraindecError(
            f"the {kind!r} bootstrap asks about new subjects and needs at least 2 of them", found=f"{n_subjects}",
            fix="bootstrap='conditions' says what holds for new conditions in these subjects",
        )  # fmt: skip
    if kind in ("two-factor", "conditions") and n_conditions < _FEW_CONDITIONS:
        raise BraindecError(
            f"the {kind!r} bootstrap asks about new conditions and needs at least {_FEW_CONDITIONS} (groups) of them",
            found=f"{n_conditions}", fix="bootstrap='subjects' says what holds for new subjects with these conditions",
        )  # fmt: skip


def _shares(copies: np.ndarray, subject: np.ndarray) -> np.ndarray:
    """Weight of each matrix in a mean over subjects: matrices of one subject share that subject's weight."""
    return copies / np.bincount(subject)[subject]


def _evaluate(
    models: np.ndarray, data: np.ndarray, one: Draws, drawn: Draws, comparator: Comparator, kind: str, subject: np.ndarray
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:  # fmt: skip
    """Similarities and ceilings as they are, and scores with ceilings in the resamples of each bootstrap."""
    every = np.ones_like(drawn.rdms)
    over_conditions = {
        "two-factor": {"both": drawn.rdms, "conditions": every},
        "conditions": {"conditions": every},
    }.get(kind, {})
    over_subjects = drawn.rdms if kind in ("two-factor", "subjects") else drawn.rdms[:0]
    fixed = np.concatenate([one.rdms, over_subjects])
    similar, (bounds,) = _similarities(models, data, one.conditions, [fixed[None]], comparator, subject)
    each, bounds = similar[0], bounds[0]
    out: dict[str, np.ndarray] = {}
    if len(over_subjects):
        out["subjects"] = np.hstack([_means(np.broadcast_to(each, (len(over_subjects), *each.shape)), over_subjects, subject), bounds[1:]])  # fmt: skip
    if over_conditions:
        similar, found = _similarities(
            models, data, drawn.conditions, [c[:, None] for c in over_conditions.values()], comparator, subject
        )
        for (name, copies), ends in zip(over_conditions.items(), found, strict=True):
            out[name] = np.hstack([_means(similar, copies, subject), ends[:, 0]])
    return each, bounds[0], out


def _means(similar: np.ndarray, copies: np.ndarray, subject: np.ndarray) -> np.ndarray:
    """Mean over drawn subjects, (n_resamples, n_models), of similarities (n_resamples, n_models, n_rdm)."""
    share = _shares(copies, subject)
    return np.matmul(similar, share[:, :, None])[:, :, 0] / share.sum(axis=1, keepdims=True)


def _similarities(
    models: np.ndarray, data: np.ndarray, conditions: np.ndarray, rdms: list[np.ndarray], comparator: Comparator,
    subject: np.ndarray,
) -> tuple[np.ndarray, list[np.ndarray]]:  # fmt: skip
    """Similarities (n_resamples, n_models, n_rdm) and ceilings (n_resamples, n, 2) for each ``rdms`` (n_resamples, n, n_rdm)."""
    if comparator.name in RANKED:
        pairs = [(c, _shares(c, subject)) for c in rdms]
        return rank_resamples(models, data, conditions, subjects=pairs, subject=subject, ties=comparator.name == "spearman")  # fmt: skip
    if comparator.name in LINEAR:
        sums = weighted_sums(models, data, conditions, comparator.name)
        found = []
        for copies in rdms:
            flat = copies.reshape(-1, copies.shape[2])
            found.append(ceilings_of(sums, flat, _shares(flat, subject), subject).reshape(*copies.shape[:2], 2))
        return similarities(sums), found
    return _one_by_one(models, data, conditions, rdms, comparator, subject)


def _one_by_one(
    models: np.ndarray, data: np.ndarray, conditions: np.ndarray, rdms: list[np.ndarray], comparator: Comparator,
    subject: np.ndarray,
) -> tuple[np.ndarray, list[np.ndarray]]:  # fmt: skip
    """Any comparator: the resampled matrices are written out, pairs as often as they are drawn."""
    similar = np.empty((len(conditions), len(models), len(data)))
    bounds = [np.full((*c.shape[:2], 2), np.nan) for c in rdms]
    rows = np.arange(len(data))
    for b, copies in enumerate(
        tqdm(conditions, desc=f"bootstrap, {comparator.name}", disable=None if len(conditions) > 20 else True)
    ):
        cells = np.repeat(np.arange(data.shape[1]), pair_weights(copies[None])[0].astype(int))
        A, B = models[:, cells], data[:, cells]
        similar[b] = comparator.compare(A, B)
        prepared = comparator.pool(B)
        for out, own in zip(bounds, rdms, strict=True):
            for i, drawn in enumerate(own[b]):
                share = _shares(drawn[None], subject)[0]
                upper = comparator.compare((drawn @ prepared)[None], B)[0]
                lower = np.full(len(data), np.nan)
                for r in rows[drawn > 0]:
                    others = np.where(subject == subject[r], 0.0, drawn)
                    if others.any():
                        lower[r] = comparator.compare((others @ prepared)[None], B[r : r + 1])[0, 0]
                used = drawn > 0
                out[b, i] = [np.average(lower[used], weights=share[used]), np.average(upper[used], weights=share[used])]
    return similar, bounds


def _covariance(values: np.ndarray) -> np.ndarray:
    """Covariance over resamples; a ceiling that some resamples do not have is left out of them alone."""
    n_all = values.shape[1]
    out = np.full((n_all, n_all), np.nan)
    finite = np.isfinite(values).all(axis=1)
    whole = np.isfinite(values).all(axis=0)
    if finite.sum() > 1:
        out = np.cov(values[finite], rowvar=False).reshape(n_all, n_all)
    if whole.any():
        out[np.ix_(whole, whole)] = np.cov(values[:, whole], rowvar=False)
    return out


def _subject_covariance(found: Bootstrap) -> np.ndarray:
    """Covariance of mean scores over subjects, from the scores of single subjects; ceilings count as fixed."""
    k = len(found.scores)
    by_subject = np.stack([found.each[:, found.subject == s].mean(axis=1) for s in range(found.n_subjects)], axis=1)
    out = np.zeros((k + 2, k + 2))
    out[:k, :k] = np.cov(by_subject) / found.n_subjects
    return out


def _contrasts(covariance: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Variances of models, of differences, of distances to ceilings, and of ceilings."""
    own = np.diag(covariance)
    of = own[:, None] + own[None, :] - 2 * covariance
    return own[:k], of[:k, :k], of[:k, k:], own[k:]


def _dof(subjects: np.ndarray, conditions: np.ndarray, n_s: int, n_c: int, rule: str) -> np.ndarray:
    if rule == "min":
        return np.full(subjects.shape, min(n_s, n_c) - 1.0)
    s, c = subjects * n_s / (n_s - 1), conditions * n_c / (n_c - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        dof = (s + c) ** 2 / (s**2 / (n_s - 1) + c**2 / (n_c - 1))
    return np.where(np.isfinite(dof), dof, min(n_s, n_c) - 1.0)
