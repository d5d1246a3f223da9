"""Variance of RSA scores over subjects and conditions: exact components, or three bootstraps as weighted sums.

By default variances are those of a U-statistic of subjects and conditions (:mod:`._components`), without resampling. With
random subjects and conditions (12 to 48 conditions, 4 to 20 subjects) tests of scores and of differences then hold 3 to
8 % at a nominal 5 %, where the two-factor bootstrap holds 0 to 4.5 %: it counts what single pairs of conditions bring
three times. Tests against the ceiling hold 1 to 3 % either way. Over conditions alone the variance is that of the jackknife,
whose tests hold 1 to 4 %: components without subjects beside them held 10 to 34 % with 8 to 20 conditions.

The bootstrap makes three of one set of draws: subjects and conditions together, subjects alone, conditions alone. The
variance of a score over new subjects *and* new conditions is estimated from the three,

    v = n_s/(n_s-1) v_s + n_c/(n_c-1) v_c - n_s n_c / ((n_s-1)(n_c-1)) (v_sc - v_s - v_c)

kept between the larger of the two corrected single-factor variances and ``v_sc``. Linear comparators are weighted sums
(:mod:`._sums`), rank comparators weighted mid-ranks (:mod:`._ranks`); any other is evaluated resample by resample.

Source: Schütt, Kipnis, Diedrichsen & Kriegeskorte 2023 (eLife 12:e82566), two-factor bootstrap; Nili et al. 2014 (PLoS
Comput Biol 10:e1003553), ceilings.
Differs from the reference in: the lower ceiling of a resample weighs subjects as often as they were drawn (rsatoolbox:
once each); resamples of a single subject have no lower ceiling; degrees of freedom may follow Satterthwaite.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy import stats

from braindec.align.rsa._components import components
from braindec.align.rsa._draws import Draws, codes_of, draw
from braindec.align.rsa._evaluate import evaluate, shares
from braindec.align.rsa._influence import INFLUENCE, ceiling_pseudo_values, pseudo_values
from braindec.align.rsa._jackknife import inflation, jackknife_covariance, left_out
from braindec.align.rsa._population import satterthwaite
from braindec.align.rsa.compare import Comparator, comparator_of
from braindec.align.rsa.rdm import n_conditions_of
from braindec.errors import BraindecError, did_you_mean
from braindec.stats.asked import seed_of, whole

__all__ = [
    "Bootstrap",
    "KINDS",
    "METHODS",
    "Variances",
    "bootstrap_rsa",
    "combine_factors",
    "covariance_of",
    "enough_units",
    "t_interval",
    "t_test",
]

KINDS = ("two-factor", "subjects", "conditions", "none")
METHODS = ("components", "bootstrap")
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
    exact : dict of str to array of shape (n_models + 2, n_models + 2)
        Covariances from components, where no resamples were drawn; NaN for the upper ceiling.
    """

    scores: np.ndarray
    each: np.ndarray
    ceilings: np.ndarray
    draws: dict[str, np.ndarray]
    n_subjects: int
    n_conditions: int
    kind: str
    subject: np.ndarray
    exact: dict[str, np.ndarray] = field(default_factory=dict)

    def covariances(self) -> dict[str, np.ndarray]:
        """Covariance of scores and ceilings, (n_models + 2, n_models + 2): "both", "subjects", "conditions"."""
        return self.exact or {name: covariance_of(values) for name, values in self.draws.items()}

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
        k, n_s, n_c = len(self.scores), self.n_subjects, self.n_conditions
        covariance = {"subjects": _subject_covariance(self)} if self.kind == "none" else self.covariances()
        contrast = {name: _contrasts(c, k) for name, c in covariance.items()}
        if self.kind == "two-factor":
            parts = [contrast[name] for name in ("both", "subjects", "conditions")]
            if self.exact:
                bends = [inflation(*pair) for pair in zip(contrast["jackknife"], contrast["linear"], strict=True)]
                parts[2] = [c * bend for c, bend in zip(parts[2], bends, strict=True)]
                v = [np.maximum(np.maximum(b * bend, s), c) for b, s, c, bend in zip(*parts, bends, strict=True)]
                scale_s, scale_c = 1.0, 1.0
            else:
                v = [combine_factors(*p, n_subjects=n_s, n_conditions=n_c) for p in zip(*parts, strict=True)]
                scale_s, scale_c = n_s / (n_s - 1), n_c / (n_c - 1)
            d = [_dof(scale_s * s, scale_c * c, n_s, n_c, dof) for s, c in zip(*parts[1:], strict=True)]
        else:
            name = "subjects" if self.kind in ("subjects", "none") else "conditions"
            n = n_s if name == "subjects" else n_c
            scale = 1.0 if self.exact or self.kind == "none" else n / (n - 1)
            v = [scale * np.maximum(part, 0.0) for part in contrast[name]]
            if self.exact and name == "conditions":  # alone, components of few conditions are often next to 0
                v = [np.maximum(part, 0.0) for part in contrast["jackknife"]]
            d = [np.full(part.shape, n - 1.0) for part in v]
        return Variances(*v, *d[:3])


def bootstrap_rsa(
    models: np.ndarray,
    data: np.ndarray,
    *,
    comparator: str | Comparator = "cosine",
    kind: str = "two-factor",
    method: str = "bootstrap",
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
        What variances generalise to; "none" takes the variance over subjects from their scores as they are, against
        ceilings that count as fixed.
    method : {"bootstrap", "components"}
        Draw resamples, or compute covariances exactly to first order (only for comparators of
        :data:`braindec.align.rsa._influence.INFLUENCE`).
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
    if method not in METHODS:
        raise BraindecError(f"method={method!r} is unknown{did_you_mean(str(method), METHODS)}", allowed=", ".join(METHODS))  # fmt: skip
    for name, given in (("models", models), ("data", data)):
        if not isinstance(given, np.ndarray) or given.dtype.kind not in "fiu" or not len(given):
            raise BraindecError(f"{name} are the cells of 1 or more matrices, (n, n_pairs)", found=type(given).__name__,
                                fix="rdms.values; infer takes RDMs themselves")  # fmt: skip
    whole(n, "n", least=2)
    if not isinstance(rng, np.random.Generator):
        seed_of(rng)
    models, data = comparator.check(models, None, "model"), comparator.check(data, None, "data")
    n_conditions = n_conditions_of(data.shape[1])
    if models.shape[1] != data.shape[1]:
        raise BraindecError("models and data have other numbers of pairs", found=f"{models.shape}, {data.shape}")
    subject, group = codes_of(subjects, len(data)), codes_of(condition_groups, n_conditions)
    enough_units(kind, subject.max() + 1, group.max() + 1)
    exact = _exact(models, data, comparator, subject, group) if method == "components" and kind != "none" else {}
    one = Draws(np.ones((1, n_conditions)), np.ones((1, len(data))))
    drawn = one if exact or kind == "none" else draw(group, subject, n=n, rng=np.random.default_rng(rng))
    each, bounds, resampled = evaluate(models, data, one, drawn, comparator, "none" if exact else kind, subject)
    share = shares(one.rdms, subject)
    scores = each @ share[0] / share[0].sum()
    return Bootstrap(
        scores, each, bounds, resampled, int(subject.max() + 1), int(group.max() + 1), kind, subject, exact
    )


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


def enough_units(kind: str, n_subjects: int, n_conditions: int) -> None:
    """Refuse a bootstrap of fewer than 2 subjects or 5 conditions."""
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


def _exact(
    models: np.ndarray, data: np.ndarray, comparator: Comparator, subject: np.ndarray, group: np.ndarray
) -> dict[str, np.ndarray]:
    """Covariances of scores and the lower ceiling from components; rows and columns of the upper ceiling are NaN."""
    if comparator.name not in INFLUENCE:
        raise BraindecError("variance components need a comparator with known pseudo-values", found=comparator.name,
                            allowed=", ".join(INFLUENCE), fix="method='bootstrap'")  # fmt: skip
    several = bool(subject.max() > 0)
    ceiling = ceiling_pseudo_values(data, subject, comparator.name) if several else None

    def rows():  # type: ignore[no-untyped-def]
        for one in range(subject.max() + 1):
            mine = np.flatnonzero(subject == one)
            parts = np.mean([pseudo_values(data[i], models, comparator.name) for i in mine], axis=0)
            yield parts if ceiling is None else np.vstack([parts, ceiling[mine].mean(axis=0)])

    found, k, n = components(rows(), group), len(models), int(group.max()) + 1
    kept = left_out(len(group), group)
    one = Draws(np.ones((1, len(group))), np.ones((1, len(data))))
    drawn = Draws(kept, np.ones((len(kept), len(data))))
    values = evaluate(models, data, one, drawn, comparator, "conditions", subject)[2]["conditions"][:, : k + several]
    parts = {"both": found.both, "subjects": found.subjects, "conditions": found.conditions, "linear": found.linear,
             "jackknife": jackknife_covariance(values, n)}  # fmt: skip
    out = {}
    for name, covariance in parts.items():
        out[name] = np.full((k + 2, k + 2), np.nan)
        out[name][: k + several, : k + several] = covariance
    return out


def covariance_of(values: np.ndarray) -> np.ndarray:
    """Return the covariance over resamples; a ceiling that some resamples do not have is left out of them alone."""
    n_all = values.shape[1]
    out = np.full((n_all, n_all), np.nan)
    ever = np.isfinite(values).any(axis=0)  # of one subject there is no ceiling in any resample
    finite = np.isfinite(values[:, ever]).all(axis=1)
    complete = np.isfinite(values).all(axis=0)
    if finite.sum() > 1 and ever.any():
        out[np.ix_(ever, ever)] = np.cov(values[finite][:, ever], rowvar=False)
    if complete.any():
        out[np.ix_(complete, complete)] = np.cov(values[:, complete], rowvar=False)
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
    return satterthwaite(subjects, conditions, n_s, n_c)
