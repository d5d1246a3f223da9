"""GLMs of all units of a population at once: own history, coupling from every other unit, stimuli; tests of couplings.

Source: Pillow et al. 2008 (Nature 454:995) for the model; Wilks 1938 (Ann Math Stat 9:60) for the likelihood ratio
test; Benjamini & Hochberg 1995 for the correction over pairs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from scipy.linalg import eigh
from sklearn.base import BaseEstimator
from tqdm import tqdm

from braindec.errors import BraindecError, did_you_mean
from braindec.spikes._hmm_trials import as_counts
from braindec.spikes._newton import BERNOULLI, FLAT, POISSON, check_rank, curvature, newton_many, separable
from braindec.spikes.bases import Basis, Design, design
from braindec.spikes.glm import ALPHAS, _log_p, contiguous_folds
from braindec.spikes.rescaling import rescaling_table
from braindec.stats.asked import number
from braindec.stats.fdr import fdr_bh
from braindec.types.split import FitRecord

__all__ = ["PopulationGLM"]

_FAMILIES = {"poisson": POISSON, "bernoulli": BERNOULLI}


class PopulationGLM(BaseEstimator):
    """One GLM for each unit, fitted together.

    Parameters
    ----------
    history, coupling : Basis, optional
        How a unit's own spikes and those of the others act on it.
    stimulus_basis : Basis or mapping of str to Basis, optional
        For the stimuli; without it they are columns as they are.
    family : {"poisson", "bernoulli"}
    alpha : float or "cv"
        Penalty of all weights but the constants, on the mean log-likelihood as in :class:`PoissonGLM`; "cv" takes the
        one of ``alphas`` with the best log-likelihood of held-out contiguous blocks, the same for all units.
    alphas : sequence of float
    n_folds : int
    width : float
        Bin width in s.

    Attributes
    ----------
    weights_ : array of shape (n_columns + 1, n_units)
        Of the columns of ``columns_``, 0 where they do not belong; the constant last.
    columns_ : DataFrame
    alpha_, cv_table_, mean_

    Examples
    --------
    >>> from braindec.spikes.bases import raised_cosine
    >>> counts = np.random.default_rng(0).poisson(0.1, size=(3, 20_000))
    >>> basis = raised_cosine(3, duration=0.05, width=0.005)
    >>> glm = PopulationGLM(history=basis, coupling=basis, width=0.005).fit([counts])
    >>> glm.coupling_test().shape
    (6, 7)
    """

    def __init__(
        self,
        *,
        history: Basis | None = None,
        coupling: Basis | None = None,
        stimulus_basis: Basis | Mapping[str, Basis] | None = None,
        family: str = "poisson",
        alpha: float | str = 0.0,
        alphas: Sequence[float] = ALPHAS,
        n_folds: int = 5,
        width: float = 0.005,
    ) -> None:
        self.history = history
        self.coupling = coupling
        self.stimulus_basis = stimulus_basis
        self.family = family
        self.alpha = alpha
        self.alphas = alphas
        self.n_folds = n_folds
        self.width = width

    def fit(
        self, trials: Any, *, stimulus: Mapping[str, Sequence[Any]] | None = None, ids: Any = None
    ) -> PopulationGLM:
        """Fit to trials.

        Parameters
        ----------
        trials : list of array (n_units, n_bins), Windows of counts, or Spikes
        stimulus : mapping of str to list of array (n_bins,), optional
            A signal of each trial, by name.
        ids : sequence, optional
            Names of the trials.

        Raises
        ------
        BraindecError
            If a unit has no spikes, columns are collinear, or a likelihood has no maximum.
        """
        if self.family not in _FAMILIES:
            raise BraindecError(
                f"there is no family {self.family!r}{did_you_mean(self.family, _FAMILIES)}",
                allowed=", ".join(_FAMILIES),
            )
        counts = as_counts(trials, self.width)
        for basis in self._bases():
            if abs(basis.width / self.width - 1) > 1e-9:
                raise BraindecError(
                    "a basis has another bin width", found=f"{basis.width} s", allowed=f"{self.width} s (width)"
                )
        made, y = self._design(counts, stimulus)
        self._usable(y)
        self.columns_, self.n_units_ = made.columns, len(y)
        self.mean_ = y.mean(axis=1)
        X, mask = self._with_constant(made)
        self.alpha_ = self._chosen(X, y, mask, made) if self.alpha == "cv" else number(self.alpha, "alpha", least=0)
        family, penalty = _FAMILIES[self.family], self._penalty(X, self.alpha_)
        if self.alpha_ == 0:
            second = X.T @ X / len(X)
            for own in np.unique(mask, axis=1).T:
                check_rank(
                    second[np.ix_(own, own)], penalty[own], [n for n, o in zip(self._names, own, strict=True) if o]
                )
        self.weights_ = newton_many(X, y.T, family, mask=mask, penalty=penalty).weights
        self._mask, self._hessians = mask, None
        self._data = (X, y.T)
        if self.alpha_ == 0:
            self._check_maxima()
        self.fitted_on_ = FitRecord.of(self, range(len(counts)) if ids is None else ids)
        return self

    def mean(self, trials: Any, *, stimulus: Mapping[str, Sequence[Any]] | None = None) -> list[np.ndarray]:
        """Return expected counts (or probabilities of a spike), (n_units, n_bins) a trial."""
        counts = as_counts(trials, self._fitted.width)
        made, y = self._design(counts, stimulus)
        if len(y) != self.n_units_ or made.X.shape[1] != len(self.columns_):
            raise BraindecError(
                "trials have other units or stimuli than the model", found=f"{len(y)} units, {made.X.shape[1]} columns",
                allowed=f"{self.n_units_} units, {len(self.columns_)} columns",
            )  # fmt: skip
        found = _FAMILIES[self.family].mean(self._with_constant(made)[0] @ self.weights_).T
        return np.split(found, np.cumsum([c.shape[1] for c in counts])[:-1], axis=1)

    def predict(self, trials: Any, *, stimulus: Mapping[str, Sequence[Any]] | None = None) -> list[np.ndarray]:
        """Return rates in Hz (Poisson) or probabilities of a spike in a bin (Bernoulli), (n_units, n_bins) a trial."""
        per = self.width if self.family == "poisson" else 1.0
        return [m / per for m in self.mean(trials, stimulus=stimulus)]

    def gain(self, trials: Any, *, stimulus: Mapping[str, Sequence[Any]] | None = None) -> np.ndarray:
        """Return the gain in log-likelihood over the mean rates of training, bits, (n_trials, n_units)."""
        counts, family = as_counts(trials, self._fitted.width), _FAMILIES[self.family]
        return np.array([
            (_log_p(family, c, m) - _log_p(family, c, np.broadcast_to(self.mean_[:, None], c.shape))).sum(axis=1) / np.log(2)
            for c, m in zip(counts, self.mean(counts, stimulus=stimulus), strict=True)
        ])  # fmt: skip

    def score(self, trials: Any, y: Any = None, *, stimulus: Mapping[str, Sequence[Any]] | None = None) -> float:
        """Return the gain over the mean rates of training, bits a spike, all units together."""
        counts = as_counts(trials, self._fitted.width)
        total = sum(c.sum() for c in counts)
        if not total:
            raise BraindecError("bits per spike need spikes", found="none in these trials")
        return float(self.gain(counts, stimulus=stimulus).sum() / total)

    def filters(self) -> np.ndarray:
        """Return what a spike adds to the linear predictor, (n_units, n_units, n_lags): [target, source, lag]; own history on the diagonal."""
        bases = [b for b in (self._fitted.history, self.coupling) if b is not None]
        if not bases:
            raise BraindecError("the model has neither history nor coupling")
        found = np.zeros((self.n_units_, self.n_units_, max(len(b.values) for b in bases)))
        for kind, basis in (("history", self.history), ("coupling", self.coupling), ("spikes", self.coupling)):
            if basis is None or not (self.columns_["kind"] == kind).any():
                continue
            rows = np.flatnonzero(self.columns_["kind"] == kind).reshape(self.n_units_, basis.n)
            curves = np.einsum("sft,lf->tsl", self.weights_[rows], basis.values)
            found[:, :, : len(basis.values)] += curves
        return found

    def coupling_test(self) -> pd.DataFrame:
        """Test each coupling by its likelihood ratio: the model of the target refitted without the source.

        p holds where the rest of the model is right: a source that adds nothing to *this* target's history, other
        couplings and stimuli. It is no test of a synapse. Whatever drives both units and is not in the model couples them
        (a drive that is shared for 50 ms made half of all p 0.05 or less), and so do slow rates of the units' own that
        their history basis is too short for (10 %). Put what is known of shared input in as a stimulus, take a history as long as
        the units' memory, and look at :meth:`rescaling` on held-out trials first.

        Returns
        -------
        DataFrame
            target, source, area (of the filter, bins), statistic (chi-square), df, p, q (false discovery rate over all
            pairs).

        Raises
        ------
        BraindecError
            If there is no coupling, or the fit was penalised: its likelihood ratio has another distribution.
        """
        if self._fitted.coupling is None:
            raise BraindecError("there is no coupling to test", fix="give coupling=raised_cosine(...)")
        if self.alpha_ > 0:
            raise BraindecError(
                "the likelihood ratio test needs a fit without a penalty", found=f"alpha {self.alpha_:g}", fix="alpha=0"
            )
        if self.n_units_ < 2:
            raise BraindecError("there is no other unit to be coupled to", found="1 unit")
        X, Y = self._data
        family, n, f = _FAMILIES[self.family], len(X), self.coupling.n
        source = self.columns_["source"].to_numpy()
        couples = self.columns_["kind"].isin(["coupling", "spikes"]).to_numpy()
        rows = []
        for target in tqdm(range(self.n_units_), desc="couplings", disable=None, leave=False):
            sources = [s for s in range(self.n_units_) if s != target]
            mine = self._mask[:, target]
            without = np.stack([mine & ~np.append(couples & (source == s), False) for s in sources], axis=1)
            hessian = self._hessian(target)
            start = _constrained(self.weights_[:, target], hessian, mine, without)
            reduced = newton_many(
                X, Y[:, [target]], family, mask=without, penalty=np.zeros(len(mine)), start=start, hessian=hessian
            )
            full = float(
                (family.total(X @ self.weights_[:, target]) - Y[:, target] * (X @ self.weights_[:, target])).mean()
            )
            statistic = np.maximum(2 * n * (reduced.objective - full), 0.0)
            for s, value in zip(sources, statistic, strict=True):
                own = np.flatnonzero(couples & (source == s))
                area = float(self.coupling.filter(self.weights_[own, target]).sum())
                rows.append((target, s, area, value, f, stats.chi2.sf(value, f)))
        found = pd.DataFrame(rows, columns=["target", "source", "area", "statistic", "df", "p"])
        return found.assign(q=fdr_bh(found["p"].to_numpy()))

    def rescaling(
        self, trials: Any, *, stimulus: Mapping[str, Sequence[Any]] | None = None, seed: int = 0
    ) -> pd.DataFrame:
        """Test each unit's fit by time rescaling (:func:`braindec.spikes.rescaling.rescaling_table`)."""
        counts = as_counts(trials, self._fitted.width)
        mean = np.concatenate(self.mean(counts, stimulus=stimulus), axis=1)
        return rescaling_table(np.concatenate(counts, axis=1), mean, family=self.family, seed=seed)

    @property
    def _names(self) -> list[str]:
        return [*self.columns_["name"], "constant"]

    @property
    def _one_basis(self) -> bool:
        both = self.history is not None and self.coupling is not None
        return both and np.array_equal(self.history.values, self.coupling.values)

    @property
    def _fitted(self) -> PopulationGLM:
        if not hasattr(self, "weights_"):
            raise BraindecError("the PopulationGLM is not fitted", fix="call fit(trials) first")
        return self

    def _bases(self) -> list[Basis]:
        more = self.stimulus_basis
        every = [self.history, self.coupling, *(more.values() if isinstance(more, Mapping) else [more])]
        return [b for b in every if b is not None]

    def _design(
        self, counts: list[np.ndarray], stimulus: Mapping[str, Sequence[Any]] | None
    ) -> tuple[Design, np.ndarray]:
        offsets = np.append(0, np.cumsum([c.shape[1] for c in counts]))
        signals = {}
        for name, values in (stimulus or {}).items():
            if len(values) != len(counts):
                raise BraindecError(
                    f"stimulus {name!r} must have one array a trial", found=f"{len(values)}", allowed=f"{len(counts)}"
                )
            signals[name] = np.concatenate([np.asarray(v) for v in values])
        y, one = np.concatenate(counts, axis=1), self._one_basis
        made = design(y, history=None if one else self.history, coupling=self.coupling, stimulus=signals,
                      stimulus_basis=self.stimulus_basis, offsets=offsets)  # fmt: skip
        if one:  # history and coupling are the same columns: they are made once
            named = made.columns.replace({"kind": {"coupling": "spikes"}})
            return Design(made.X, named.assign(name=named["name"].str.replace("coupling ", "spikes ")), made.bases), y
        return made, y

    def _with_constant(self, made: Design) -> tuple[np.ndarray, np.ndarray]:
        """The design with a last column of ones, and which columns belong to each unit, (n_columns + 1, n_units)."""
        X = np.column_stack([made.X, np.ones(len(made.X))])
        mask = np.stack([np.append(made.of(u), True) for u in range(getattr(self, "n_units_", 1))], axis=1)
        return X, mask

    def _usable(self, y: np.ndarray) -> None:
        total = y.sum(axis=1)
        if not total.all():
            raise BraindecError(
                "a unit without spikes cannot be fitted",
                found=f"units {np.flatnonzero(total == 0)[:8].tolist()}",
                fix="leave it out",
            )
        if self.family == "bernoulli" and y.max() > 1:
            raise BraindecError(
                "a Bernoulli model takes 0 or 1 spike a bin",
                found=f"{y.max():g}",
                fix="take narrower bins, or family='poisson'",
            )
        if self.family == "bernoulli" and y.all(axis=1).any():
            raise BraindecError(
                "a unit that spikes in every bin cannot be fitted",
                found=f"units {np.flatnonzero(y.all(axis=1))[:8].tolist()}",
                fix="take narrower bins, or family='poisson'",
            )

    def _penalty(self, X: np.ndarray, alpha: float) -> np.ndarray:
        return np.append(np.full(X.shape[1] - 1, alpha), 0.0)

    def _chosen(self, X: np.ndarray, y: np.ndarray, mask: np.ndarray, made: Design) -> float:
        alphas = sorted((number(a, "alpha", least=0, ends=False) for a in self.alphas), reverse=True)
        if not alphas:
            raise BraindecError('alpha="cv" needs penalties to try', found="alphas=()", fix="alphas=(1e-4, 1e-3, 1e-2)")
        gap = max((len(b.values) for b in made.bases.values()), default=0)
        held, family = np.zeros(len(alphas)), _FAMILIES[self.family]
        for train, test in contiguous_folds(len(X), self.n_folds, gap=gap):
            start = None
            for i, alpha in enumerate(alphas):
                start = newton_many(
                    X[train], y[:, train].T, family, mask=mask, penalty=self._penalty(X, alpha), start=start
                ).weights
                held[i] += _log_p(family, y[:, test].T, family.mean(X[test] @ start)).sum()
        self.cv_table_ = pd.DataFrame({"alpha": alphas, "log_likelihood": held / y.size})
        return float(alphas[int(held.argmax())])

    def _hessian(self, target: int) -> np.ndarray:
        """Hessian of the mean objective of one unit at its fit, 0 outside its columns."""
        if self._hessians is None:
            self._hessians = {}
        if target not in self._hessians:
            X, _ = self._data
            own, family = np.flatnonzero(self._mask[:, target]), _FAMILIES[self.family]
            part = X[:, own] if len(own) < X.shape[1] else X
            found = np.zeros((X.shape[1],) * 2)
            found[np.ix_(own, own)] = curvature(
                part, family.variance(family.mean(X @ self.weights_[:, target])) / len(X)
            )
            self._hessians[target] = found
        return self._hessians[target]

    def _check_maxima(self) -> None:
        X = self._data[0]
        second = X.T @ X / len(X)
        family = _FAMILIES[self.family]
        for target in range(self.n_units_):
            own = np.flatnonzero(self._mask[:, target])
            grid = np.ix_(own, own)
            now, null = self._hessian(target)[grid], second[grid] * family.variance(self.mean_[target])
            if eigh(now, null, eigvals_only=True, subset_by_index=[0, 0])[0] < FLAT:
                error = separable(now, null, [self._names[i] for i in own])
                raise BraindecError(f"unit {target}: {error.asked}", found=error.found, fix=error.fix)


def _constrained(weights: np.ndarray, hessian: np.ndarray, mine: np.ndarray, without: np.ndarray) -> np.ndarray:
    """Best weights with some columns left out on the quadratic around the fit, (n_columns, n_models)."""
    own = np.flatnonzero(mine)
    inverse = np.linalg.inv(hessian[np.ix_(own, own)])
    found = np.zeros(without.shape)
    for m in range(without.shape[1]):
        out = np.flatnonzero(~without[own, m])
        found[own, m] = weights[own] - inverse[:, out] @ np.linalg.solve(inverse[np.ix_(out, out)], weights[own[out]])
        found[own[out], m] = 0.0
    return found
