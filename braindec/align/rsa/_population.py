"""A t-test and interval of one mean over subjects and pairs from its variance components."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats

from braindec.align.rsa._components import Components
from braindec.align.rsa._jackknife import inflation
from braindec.errors import BraindecError, did_you_mean

__all__ = ["Tested", "population_test", "population_variance", "satterthwaite"]

_KINDS = ("two-factor", "subjects", "conditions")


class Tested(NamedTuple):
    """One-sided p against 0, and an interval."""

    p: float
    low: float
    high: float
    variance: float
    dof: float


def satterthwaite(subjects: np.ndarray, conditions: np.ndarray, n_subjects: int, n_conditions: int) -> np.ndarray:
    """Return degrees of freedom of a sum of a variance over subjects and one over conditions, any shape."""
    s, c = np.maximum(subjects, 0.0), np.maximum(conditions, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        dof = (s + c) ** 2 / (s**2 / (n_subjects - 1) + c**2 / (n_conditions - 1))
    return np.where(np.isfinite(dof), dof, min(n_subjects, n_conditions) - 1.0)


def population_variance(
    found: Components,
    weights: np.ndarray,
    n_subjects: int,
    n_conditions: int,
    kind: str,
    jackknife: np.ndarray | None = None,
) -> tuple[float, float]:
    """Return variance and degrees of freedom of ``weights @ means`` over what ``kind`` names.

    ``jackknife`` is the covariance over conditions of the statistics themselves, which the components are scaled to.
    """
    if kind not in _KINDS:
        raise BraindecError(f"unknown bootstrap {kind!r}{did_you_mean(kind, _KINDS)}", allowed=", ".join(_KINDS))
    both, s, c = (float(weights @ part @ weights) for part in (found.both, found.subjects, found.conditions))
    if jackknife is not None:
        bend = float(inflation(np.array(weights @ jackknife @ weights), np.array(weights @ found.linear @ weights)))
        both, c = both * bend, c * bend
    if kind == "conditions" or n_subjects == 1:  # alone, components of few conditions are often next to 0
        spread = found.linear if jackknife is None else jackknife
        return max(float(weights @ spread @ weights), 0.0), n_conditions - 1.0
    if kind == "subjects":
        return max(s, 0.0), n_subjects - 1.0
    return max(both, s, c, 0.0), float(satterthwaite(np.array(s), np.array(c), n_subjects, n_conditions))


def population_test(
    found: Components, value: float, n_subjects: int, n_conditions: int, kind: str, level: float,
    jackknife: np.ndarray | None = None,
) -> Tested:  # fmt: skip
    """Test whether a mean is above 0 for the population that ``kind`` names."""
    variance, dof = population_variance(found, np.ones(1), n_subjects, n_conditions, kind, jackknife)
    error = np.sqrt(max(variance, np.finfo(float).tiny))
    half = float(stats.t.isf((1 - level) / 2, dof) * error)
    return Tested(float(stats.t.sf(value / error, dof)), value - half, value + half, variance, dof)
