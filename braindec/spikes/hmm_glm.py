"""HMM-GLM: a population whose couplings switch with a hidden state, fitted by expectation maximization.

In state ``s`` the count of unit ``i`` in a bin is Poisson with mean ``f(b_i + sum_j W^s_ij (phi * y_j))``; the states
follow a Markov chain. Priors over the couplings: none (a small ridge); Gaussian around their mean over states; one-hot,
in which each connection is absent, excitatory or inhibitory in each state and has one strength.

Source: the model of Li, Kim, Rodgers, Choi & Wu 2024 (ICLR; arXiv:2310.15263), equations only; Escola et al. 2011 (Neural Comput 23:1071)
for EM of hidden Markov models with GLM observations. Differs from the reference in: steps of Fisher scoring in place of
Adam; the mean over states that the Gaussian prior is centred on is eliminated exactly; the first probabilities are
updated from the expected log-likelihood of the first bin, a sum over states weighted by the posterior, where the public
code adds their logarithm to the posterior; the one-hot structure is fitted by mean field (coordinate ascent of a bound, and a
rule that leaves out connections not worth their strength) in place of a Gumbel-softmax: :mod:`braindec.spikes._one_hot`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from braindec.errors import BraindecError, did_you_mean
from braindec.kernels.forward_backward import Smoothed, forward_backward, viterbi
from braindec.spikes._hmm_fit import State, fit_plain, fit_structure, fit_switching
from braindec.spikes._hmm_steps import Weights, bin_likelihood
from braindec.spikes._hmm_trials import Trials, as_counts, make_trials
from braindec.spikes._links import link_named
from braindec.spikes._simulate import markov_chain, simulate_counts
from braindec.spikes.bases import Basis, exponential
from braindec.stats.asked import number, seed_of, whole
from braindec.types.split import FitRecord

__all__ = ["HMMGLM"]

PRIORS = ("none", "gaussian", "one_hot")
_MOST = 1000  # spikes in a bin of a simulation


class HMMGLM(BaseEstimator):
    """Hidden states with couplings of their own.

    Parameters
    ----------
    n_states : int
        1 is a plain GLM of the population.
    prior : {"gaussian", "none", "one_hot"}
        Over the couplings.
    basis : Basis, optional
        Functions that counts are convolved with; an exponential of 1.5 bins that reaches 5 bins back by default.
    width : float
        Bin width in s.
    link : {"softplus", "exp", "sigmoid"}
        Expected spikes in a bin from the linear predictor.
    prior_scale : float
        Standard deviation of couplings around their mean over states (Gaussian prior).
    ridge : float
        Precision of a Gaussian around 0 that all couplings have, so that no weight runs off.
    state_bias : bool
        Whether each state has its own bias too.
    n_restarts : int
        First guesses; the one with the largest training likelihood after some iterations goes on.
    max_iter, tol : int, float
        Iterations of EM, and the gain in penalised log-likelihood a spike (nats) below which they stop.
    seed : int

    Attributes
    ----------
    coupling_ : array of shape (n_states, n_units, n_units, n_functions)
        Weights: state, target, source, function of the basis.
    bias_ : array of shape (n_states, n_units)
    transition_, start_ : array
    structure_ : array of shape (3, n_states, n_units, n_units), with the one-hot prior
        Probability that a connection (target, source) inhibits, is absent, excites.
    history_ : list of float
        Penalised training log-likelihood of each iteration of EM; it never falls. With the one-hot prior: of the couplings
        without a structure, from which the structure starts.
    structure_history_ : list of float, with the one-hot prior
        Training log-likelihood at the expected couplings of each iteration. Structure is fitted by mean-field coordinate
        ascent (the paper draws from a Gumbel-softmax); what that raises is a bound, so this may fall.
    """

    def __init__(
        self,
        n_states: int = 3,
        *,
        prior: str = "gaussian",
        basis: Basis | None = None,
        width: float = 0.02,
        link: str = "softplus",
        prior_scale: float = 1 / 3,
        ridge: float = 1e-2,
        state_bias: bool = False,
        n_restarts: int = 3,
        max_iter: int = 100,
        tol: float = 1e-5,
        seed: int = 0,
    ) -> None:
        self.n_states = n_states
        self.prior = prior
        self.basis = basis
        self.width = width
        self.link = link
        self.prior_scale = prior_scale
        self.ridge = ridge
        self.state_bias = state_bias
        self.n_restarts = n_restarts
        self.max_iter = max_iter
        self.tol = tol
        self.seed = seed

    def fit(self, trials: Any, *, covariates: Any = None, responses: Any = None, ids: Any = None) -> HMMGLM:
        """Fit to trials.

        Parameters
        ----------
        trials : list of array (n_units, n_bins), Windows of counts, or Spikes
            Trials may differ in length.
        covariates : list of array (n_covariates, n_bins), optional
            Signals of each trial whose weights all states share.
        responses : list of array (n_units, n_bins), optional
            Counts to explain from the history of ``trials``, where they are not the trials themselves: those of
            :meth:`redraw`.
        ids : sequence, optional
            Names of the trials, for the record of what was seen.

        Raises
        ------
        BraindecError
            If a unit has no spikes, trials do not fit, or settings are wrong.
        """
        self._check()
        counts = as_counts(trials, self.width)
        self._silent(counts if responses is None else as_counts(responses))
        self.basis_ = self.basis or exponential(1.5 * self.width, width=self.width, duration=5 * self.width)
        made = make_trials(counts, self.basis_, covariates=covariates, state_bias=self.state_bias)
        made = _answered(made, responses)
        self.n_units_ = made.y.shape[1]
        self.mean_ = made.y.mean(axis=0)
        state = State(fit_plain(self, made), np.ones((1, 1)), np.ones(1), [])
        if self.n_states > 1:
            state, self.restarts_ = fit_switching(self, made, state.weights)
            if self.prior == "one_hot":
                state, self.structure_, self.structure_history_ = fit_structure(self, made, state, self.basis_.n)
        self.history_ = state.history
        self._keep(state.weights, state.transition, state.start)
        self.fitted_on_ = FitRecord.of(self, range(len(counts)) if ids is None else ids)
        return self

    def posterior(self, trials: Any, *, covariates: Any = None) -> list[np.ndarray]:
        """Return probabilities of states given whole trials (smoothing), a list of (n_bins, n_states)."""
        made, found = self._smooth(trials, covariates)
        return made.split(found.posterior)

    def filtered(self, trials: Any, *, covariates: Any = None) -> list[np.ndarray]:
        """Return probabilities of states given a bin and those before it (filtering), a list of (n_bins, n_states)."""
        made, found = self._smooth(trials, covariates)
        return made.split(found.filtered)

    def viterbi(self, trials: Any, *, covariates: Any = None) -> list[np.ndarray]:
        """Return the most likely path of states of each trial, a list of (n_bins,)."""
        made, values = self._likelihoods(trials, covariates)
        return made.split(viterbi(values, self.transition_, self.start_, offsets=made.offsets))

    def log_likelihood(self, trials: Any, *, covariates: Any = None) -> np.ndarray:
        """Return the natural log-likelihood of each trial, each bin given those before it, shape (n_trials,)."""
        return self._smooth(trials, covariates)[1].log_likelihood

    def gain(self, trials: Any, *, covariates: Any = None, responses: Any = None) -> np.ndarray:
        """Return each trial's gain over the mean rates of the training trials, bits, shape (n_trials,)."""
        made, found = self._smooth(trials, covariates, responses)
        flat = Weights(np.zeros((1, made.X.shape[1], self.n_units_)), np.zeros((made.Z.shape[1], self.n_units_)))
        link = link_named(self.link)
        one = made.Z[:, -1:] if not self.state_bias else np.ones((len(made.y), 1))
        level = np.array([[link.inverse(m) for m in self.mean_]])
        base = bin_likelihood(Trials(made.y, made.X, one, made.offsets), flat._replace(shared=level), link)[:, 0]
        return (found.log_likelihood - np.add.reduceat(base, made.offsets[:-1])) / np.log(2)

    def score(self, trials: Any, y: Any = None, *, covariates: Any = None) -> float:
        """Return the gain in log-likelihood over the mean rates of the training trials, bits a spike."""
        counts = as_counts(trials, self.width)
        total = sum(c.sum() for c in counts)
        if not total:
            raise BraindecError("bits per spike need spikes", found="none in these trials")
        return float(self.gain(counts, covariates=covariates).sum() / total)

    def strengths(self) -> np.ndarray:
        """Return signed couplings (n_states, n_units, n_units), the area of each filter in bins: [state, target, source]."""
        return self._fitted.coupling_ @ self.basis_.values.sum(axis=0)

    def simulate(
        self, lengths: Any, *, rng: np.random.Generator | int = 0
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Return counts (n_units, n_bins) and states (n_bins,) of new trials from the model; covariates count as 0.

        Parameters
        ----------
        lengths : sequence of int
            Bins of each trial.
        rng : Generator or int
        """
        rng = np.random.default_rng(rng)
        lengths = [whole(n, "a length", least=1) for n in lengths]
        if not lengths:
            raise BraindecError("there is no trial to simulate", found="no lengths")
        filters = np.einsum("stjf,lf->stjl", self._fitted.coupling_, self.basis_.values)
        states = [markov_chain(self.transition_, self.start_, int(n), rng) for n in lengths]
        return simulate_counts(states, filters, self.bias_, link_named(self.link), rng, most=_MOST), states

    def redraw(self, trials: Any, *, covariates: Any = None, rng: np.random.Generator | int = 0) -> list[np.ndarray]:
        """Return new counts for each bin given the history that was observed, and states that the model draws.

        With one state they are what a plain GLM expects, without any state. They never explode, as :meth:`simulate` may.
        """
        rng, link = np.random.default_rng(rng), link_named(self._fitted.link)
        made = self._likelihoods(trials, covariates)[0]
        states = np.concatenate(
            [markov_chain(self.transition_, self.start_, int(n), rng) for n in np.diff(made.offsets)]
        )
        shared, mean = made.Z @ self._weights.shared, np.empty(made.y.shape)
        for s, w in enumerate(self._weights.state):
            rows = states == s
            mean[rows] = link.mean(made.X[rows] @ w + shared[rows])
        return [np.ascontiguousarray(y.T) for y in made.split(rng.poisson(mean))]

    def check(self) -> None:
        """Refuse settings that cannot work."""
        self._check()

    def _check(self) -> None:
        whole(self.n_states, "n_states", least=1)
        whole(self.n_restarts, "n_restarts", least=1)
        whole(self.max_iter, "max_iter", least=1)
        number(self.width, "width", least=0, ends=False, unit="s")
        number(self.prior_scale, "prior_scale", least=0, ends=False)
        number(self.ridge, "ridge", least=0, ends=False)
        if np.isnan(self.tol):
            raise BraindecError("tol is no number", allowed="-inf for all iterations")
        seed_of(self.seed)
        link_named(self.link)
        if self.prior not in PRIORS:
            raise BraindecError(
                f"there is no prior {self.prior!r}{did_you_mean(self.prior, PRIORS)}", allowed=", ".join(PRIORS)
            )
        if self.basis is not None and abs(self.basis.width / self.width - 1) > 1e-9:
            raise BraindecError(
                "the basis has another bin width", found=f"{self.basis.width} s", allowed=f"{self.width} s"
            )

    def _silent(self, counts: list[np.ndarray]) -> None:
        total = np.sum([c.sum(axis=1) for c in counts], axis=0)
        if not total.all():
            quiet = np.flatnonzero(total == 0)
            raise BraindecError(
                f"{len(quiet)} units have no spikes in the training trials", found=f"units {quiet[:8].tolist()}",
                fix="leave them out",
            )  # fmt: skip
        most = float((total / sum(c.shape[1] for c in counts)).max())
        if self.link == "sigmoid" and most > 0.95:
            raise BraindecError(
                "the link 'sigmoid' allows one spike a bin at most", found=f"a unit has {most:.3g}",
                fix="take link='softplus', or narrower bins",
            )  # fmt: skip

    def _keep(self, weights: Weights, transition: np.ndarray, start: np.ndarray) -> None:
        n_states, _, n = weights.state.shape
        f, n_columns = self.basis_.n, weights.state.shape[1] - self.state_bias
        self._weights = weights
        self.coupling_ = weights.state[:, :n_columns].reshape(n_states, n, f, n).transpose(0, 3, 1, 2).copy()
        self.bias_ = weights.state[:, -1] if self.state_bias else np.repeat(weights.shared[-1:], n_states, axis=0)
        self.transition_, self.start_ = transition, start

    def _likelihoods(self, trials: Any, covariates: Any, responses: Any = None) -> tuple[Trials, np.ndarray]:
        counts = as_counts(trials, self._fitted.width)
        if len(counts[0]) != self.n_units_:
            raise BraindecError(
                "trials have other units than the model", found=str(len(counts[0])), allowed=str(self.n_units_)
            )
        made = make_trials(counts, self.basis_, covariates=covariates, state_bias=self.state_bias)
        made = _answered(made, responses)
        if made.Z.shape[1] != len(self._weights.shared):
            raise BraindecError(
                "covariates differ from those of the fit",
                found=f"{made.Z.shape[1]}",
                allowed=f"{len(self._weights.shared)}",
            )
        return made, bin_likelihood(made, self._weights, link_named(self.link))

    def _smooth(self, trials: Any, covariates: Any, responses: Any = None) -> tuple[Trials, Smoothed]:
        made, values = self._likelihoods(trials, covariates, responses)
        return made, forward_backward(values, self.transition_, self.start_, offsets=made.offsets)

    @property
    def _fitted(self) -> HMMGLM:
        if not hasattr(self, "coupling_"):
            raise BraindecError("the HMMGLM is not fitted", fix="call fit(trials) first")
        return self


def _answered(made: Trials, responses: Any) -> Trials:
    """The same designs with other counts to explain."""
    if responses is None:
        return made
    y = np.concatenate(as_counts(responses), axis=1).T
    if y.shape != made.y.shape:
        raise BraindecError(
            "responses do not fit the trials", found=f"{y.shape[::-1]}", allowed=f"{made.y.shape[::-1]}"
        )
    return replace(made, y=np.ascontiguousarray(y))
