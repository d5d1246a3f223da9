"""Liquid-state machine: a recurrent network of spiking neurons on a grid, steered by an astrocyte, read out linearly.

Neurons sit on a 3-D grid; the probability of a synapse falls with distance as ``c exp(-(D / reach)^2)``. Input spikes reach a
share of them. The weights among them change by spike-timing-dependent plasticity whose depression is the state of one
astrocyte that compares the spikes of the liquid with those of its input
(:mod:`braindec.networks.plasticity.astrocyte_stdp`), without any label. Then weights are fixed, trials are run, and spike
counts are the features of a linear read-out.

How near the liquid is to the edge between fading and exploding activity is its branching parameter under steady input
(:mod:`braindec.networks.branching`), beside that of the same neurons without their synapses on one another: what input and
membranes alone do to that measure.

Source: Maass, Natschlaeger & Markram 2002, Neural Computation 14, 2531; Ivanov & Michmizos 2021, NeurIPS 34 (NALSM).
Differs from the reference in: only synapses within the liquid are plastic; weights are fixed before trials are read out
(there each sample begins at the steered weights and goes on learning); input synapses are all excitatory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from braindec import registry
from braindec.errors import BraindecError
from braindec.kernels.psth import psth
from braindec.networks.branching import Branching, branching_factor
from braindec.networks.build import connections
from braindec.networks.description import Network, PoissonDrive, Population, Projection, Uniform
from braindec.networks.plasticity_rule import PlasticityRule
from braindec.networks.rules.distance_dependent import DistanceDependent
from braindec.networks.rules.fixed_probability import FixedProbability
from braindec.networks.simulate import Simulation, run
from braindec.networks.spike_patterns import SpikeTrials
from braindec.stats.asked import number, seed_of, whole
from braindec.types import Spikes

__all__ = ["Liquid", "Steered", "read_out"]

PAIRS = ("E->E", "E->I", "I->E", "I->I")
_BIN = 4e-3  # s, of the activity whose branching is measured


@dataclass(frozen=True)
class Steered:
    """A liquid after plasticity.

    Parameters
    ----------
    weights : dict of str to array of shape (n_synapses,)
        By projection among the liquid's neurons, in V of membrane potential for one spike; inhibitory ones negative.
    start : dict of str to array
        The same before.
    time : array of shape (n_stages + 1,)
        s of plasticity.
    branching : list of Branching, n_stages + 1 of them
        Under steady input with the weights of that time.
    rate : array of shape (n_stages,)
        Mean rate of the liquid in each stage, Hz.
    astrocyte : array of shape (n_stages,)
        Mean state of the astrocyte in each stage; NaN without one.
    """

    weights: dict[str, np.ndarray]
    start: dict[str, np.ndarray]
    time: np.ndarray
    branching: list[Branching]
    rate: np.ndarray
    astrocyte: np.ndarray


@dataclass(frozen=True)
class Liquid:
    """Settings of a liquid.

    Parameters
    ----------
    n_inputs : int
        Channels of the input.
    shape : (int, int, int)
        Neurons along each side of the grid.
    inhibitory : float
        Share of inhibitory neurons, drawn at random.
    reach : float
        How far synapses reach, in steps of the grid.
    density : mapping of str to float
        ``c`` of each pair of populations: probability of a synapse at distance 0.
    input_density : float
        Probability of a synapse from a channel to a neuron.
    weight, input_weight, weight_max : float
        Mean weight within the liquid at the start, weight of the input, and bound of plasticity: V that one spike adds to
        the membrane potential in all.
    tau_m, tau_syn, t_ref, threshold, bias : float
        Of the neurons: s, and V above rest; ``bias`` is where a constant drive holds the membrane.
    plasticity : {"astrocyte", "pair"} or None
        ``"pair"`` has the same rule with the astrocyte held at its baseline.
    learning : float
        Size of the steps of plasticity: 1 changes a weight by ``a_plus weight_max / 30`` for a pair of spikes at once.
    a_plus, gain, baseline, tau_astrocyte : float
        Of ``astrocyte_stdp``; the gain is for 1,000 neurons and steps of 1 ms, and is scaled so that a spike's share of the
        activity does the same in liquids of other sizes and steps.
    spacing : float
        m between two neighbours of the grid.
    dt : float
        s.
    seed : int
        Of places, synapses and weights.
    """

    n_inputs: int
    shape: tuple[int, int, int] = (10, 8, 5)
    inhibitory: float = 0.2
    reach: float = 3.0
    density: Mapping[str, float] = field(default_factory=lambda: dict(zip(PAIRS, (0.2, 0.3, 0.1, 0.05), strict=True)))
    input_density: float = 0.15
    weight: float = 2e-3
    input_weight: float = 1e-3
    weight_max: float = 3e-3
    tau_m: float = 64e-3
    tau_syn: float = 2e-3
    t_ref: float = 2e-3
    bias: float = 0.0
    threshold: float = 20e-3
    plasticity: Literal["astrocyte", "pair"] | None = "astrocyte"
    learning: float = 40.0
    a_plus: float = 0.15
    gain: float = 0.05
    baseline: float = 0.15
    tau_astrocyte: float = 0.1
    spacing: float = 50e-6
    dt: float = 1e-3
    seed: int = 0

    def __post_init__(self) -> None:
        whole(self.n_inputs, "n_inputs", least=1)
        seed_of(self.seed)
        for name in ("tau_m", "tau_syn", "threshold", "reach", "spacing", "dt", "tau_astrocyte"):
            number(getattr(self, name), name, least=0, ends=False)
        for name in ("t_ref", "input_weight", "learning", "a_plus", "gain", "baseline"):
            number(getattr(self, name), name, least=0)
        number(self.bias, "bias")
        number(self.input_density, "input_density", least=0, most=1)
        if len(self.shape) != 3 or min(self.shape) < 1 or self.n < 10:
            raise BraindecError("a liquid needs a grid of at least 10 neurons", found=f"shape {self.shape}")
        if not 0 <= self.inhibitory < 1:
            raise BraindecError("the share of inhibitory neurons is below 1", found=f"{self.inhibitory:g}")
        if not 0 <= 1.5 * self.weight <= self.weight_max * (1 + 1e-9):
            raise BraindecError("the weight at the start lies beyond its bound", found=f"{self.weight:g} V", allowed=f"0 to weight_max / 1.5, {self.weight_max / 1.5:g} V: weights are drawn up to 1.5 times their mean")  # fmt: skip
        if self.plasticity not in ("astrocyte", "pair", None):
            raise BraindecError(f"a liquid has no plasticity {self.plasticity!r}", allowed="'astrocyte', 'pair', None")
        if set(self.density) != set(PAIRS):
            raise BraindecError("density names the wrong pairs", found=", ".join(self.density), allowed=", ".join(PAIRS))  # fmt: skip

    @property
    def n(self) -> int:
        """Number of neurons."""
        return int(np.prod(self.shape))

    @property
    def jump(self) -> float:
        """How much the synaptic drive jumps for a weight of 1: the drive decays with ``tau_syn`` and charges the membrane."""
        return self.tau_m / self.tau_syn

    @property
    def spike_gain(self) -> float:
        """Gain of the astrocyte for the spikes of one step."""
        return self.gain * 1000.0 / self.n * (1e-3 / self.dt)

    def populations(self) -> dict[str, np.ndarray]:
        """Return places in m of the excitatory and inhibitory neurons, each of shape (n, 3)."""
        places = np.stack(np.meshgrid(*(np.arange(s) for s in self.shape), indexing="ij"), axis=-1).reshape(-1, 3)
        chosen = np.random.default_rng(self.seed).permutation(self.n) < max(round(self.inhibitory * self.n), 1)
        return {"E": places[~chosen] * self.spacing, "I": places[chosen] * self.spacing}

    def rule(self) -> PlasticityRule | None:
        """Return the plasticity rule of the synapses within the liquid."""
        if self.plasticity is None:
            return None
        rule = registry.get("networks.plasticity", "astrocyte_stdp")
        gain = self.spike_gain if self.plasticity == "astrocyte" else 0.0
        bound = self.weight_max * self.jump
        return rule.with_params(
            a_plus=self.a_plus, gain=gain, baseline=self.baseline, tau_astrocyte=self.tau_astrocyte,
            w_unit=self.learning * bound / 3.0, w_max=bound, plus="E,I", minus="input",
        )  # fmt: skip

    def network(
        self, trains: Sequence[np.ndarray], *, weights: Mapping[str, np.ndarray] | None = None, plastic: bool = False
    ) -> Network:
        """Return the network with its input.

        Parameters
        ----------
        trains : sequence of array, n_inputs of them
            Spike times of each input channel, s.
        weights : dict of str to array, optional
            Weights of each pair, V; without them as at the start.
        plastic : bool
            Whether they change.
        """
        if len(trains) != self.n_inputs:
            raise BraindecError("the input has another number of channels", found=str(len(trains)), allowed=str(self.n_inputs))  # fmt: skip
        if weights is not None and set(weights) != set(PAIRS):
            raise BraindecError("weights name the wrong pairs", found=", ".join(weights) or "none", allowed=", ".join(PAIRS))  # fmt: skip
        body = {"v_rest": 0.0, "v_reset": 0.0, "v_threshold": self.threshold, "tau_m": self.tau_m, "tau_e": self.tau_syn,
                "tau_i": self.tau_syn, "t_ref": self.t_ref, "i": self.bias}  # fmt: skip
        signs = {"E": "excitatory", "I": "inhibitory"}
        steps = [
            np.unique(np.rint(np.asarray(t, dtype=float) / self.dt)) for t in trains
        ]  # one spike a step and channel
        times = np.concatenate(steps) * self.dt
        who = np.repeat(np.arange(len(trains)), [len(t) for t in steps])
        populations = [Population("input", self.n_inputs, model="recorded", params={"times": times, "neurons": who}, sign="excitatory")]  # fmt: skip
        populations += [Population(k, len(p), model="lif", params=body, positions=p, sign=signs[k]) for k, p in self.populations().items()]  # fmt: skip
        projections = [
            Projection("input", k, rule=FixedProbability(self.input_density), weight=self.input_weight * self.jump, delay=self.dt)
            for k in ("E", "I")
        ]  # fmt: skip
        for pair in PAIRS:
            source, target = pair.split("->")
            sign = 1.0 if source == "E" else -1.0
            ends = sorted(sign * min(k * self.weight, self.weight_max) * self.jump for k in (0.5, 1.5))
            weight = Uniform(*ends) if weights is None else np.asarray(weights[pair]) * self.jump
            projections.append(
                Projection(
                    source, target, rule=DistanceDependent(c=self.density[pair], scale=self.reach * self.spacing),
                    weight=weight, delay=self.dt, plasticity=self.rule() if plastic else None,
                )
            )  # fmt: skip
        return Network(populations, projections, dt=self.dt, name="liquid")

    def steer(self, trains: Sequence[np.ndarray], seconds: float, *, stages: int = 8, probe_rate: float = 15.0, probe_seconds: float = 20.0) -> Steered:  # fmt: skip
        """Let plasticity work while the input plays; no label is seen.

        Parameters
        ----------
        trains : sequence of array
            Spike times of each input channel, s.
        seconds : float
        stages : int
            Parts of that time, after each of which branching is measured.
        probe_rate, probe_seconds : float
            Rate (Hz) of each channel and length (s) of the steady input under which it is measured.
        """
        if self.plasticity is None:
            raise BraindecError("a liquid without plasticity cannot be steered", fix="plasticity='astrocyte'")
        stages, seconds = whole(stages, "stages", least=1), number(seconds, "seconds", least=0, ends=False, unit="s")
        network = self.network(trains, plastic=True)
        start = self.weights()
        probe = {"rate": probe_rate, "seconds": probe_seconds}
        found, rates, states = [self.branching(start, **probe)], [], []
        simulation: Simulation | None = None
        weights = start
        for _ in range(stages):
            simulation = _run(network, seconds / stages, seed=self.seed, start=simulation)
            weights = self.weights_of(simulation)
            found.append(self.branching(weights, **probe))
            spikes = simulation.spikes
            own = (spikes.units["population"] != "input").to_numpy()[spikes.unit]
            rates.append(own.sum() * stages / seconds / self.n)
            states.append(self.astrocyte(spikes).mean() if self.plasticity == "astrocyte" else float("nan"))
        time = np.linspace(0.0, seconds, stages + 1)
        return Steered(weights, start, time, found, np.array(rates), np.array(states))

    def weights(self) -> dict[str, np.ndarray]:
        """Return the weights within the liquid at the start, V."""
        made = connections(self.network([np.zeros(0)] * self.n_inputs), self.seed)
        return {p: np.array(np.broadcast_to(made[p].weights, made[p].n), dtype=float) / self.jump for p in PAIRS}

    def weights_of(self, simulation: Simulation) -> dict[str, np.ndarray]:
        """Return the weights within the liquid at the end of a run, V."""
        return {pair: np.asarray(simulation.weights[pair], dtype=float).copy() / self.jump for pair in PAIRS}

    def astrocyte(self, spikes: Spikes) -> np.ndarray:
        """Return the state that the astrocyte of this liquid has at each step of some activity, beginning at its baseline."""
        n_steps = max(round((spikes.stop - spikes.start) / self.dt), 1)
        step = np.clip(np.rint((spikes.times - spikes.start) / self.dt).astype(int), 0, n_steps - 1)
        sign = np.where(spikes.units["population"].to_numpy() == "input", -1.0, 1.0)[spikes.unit]
        drive = np.bincount(step, sign, minlength=n_steps)
        gain, share = self.spike_gain, self.dt / self.tau_astrocyte
        from scipy.signal import lfilter

        return self.baseline + lfilter([share * gain], [1.0, share - 1.0], drive)

    def play(self, trains: Sequence[np.ndarray], seconds: float, *, weights: Mapping[str, np.ndarray] | None = None) -> Spikes:  # fmt: skip
        """Run the liquid with fixed weights; return the spikes of its neurons and of the input."""
        return _run(self.network(trains, weights=weights), seconds, seed=self.seed).spikes

    def states(
        self,
        trials: SpikeTrials,
        *,
        weights: Mapping[str, np.ndarray] | None = None,
        window: tuple[float, float] | None = None,
        gap: float = 0.2,
        n_bins: int = 1,
    ) -> np.ndarray:
        """Return spike counts of the liquid's neurons in each trial, shape (n_trials, n_neurons, n_bins).

        Parameters
        ----------
        trials : SpikeTrials
            Run one after another.
        weights : dict of str to array, optional
            As of :meth:`network`.
        window : (float, float), optional
            What part of a trial is counted, s after its onset; all of it without.
        gap : float
            Silence between two trials, s.
        n_bins : int
            Equal bins of the window.
        """
        n_bins = whole(n_bins, "n_bins", least=1)
        trains, onsets, stop = trials.stream(gap=gap, start=gap)
        spikes = self.play(trains, stop, weights=weights)
        flat, offsets = spikes.trains()
        begin, end = (0.0, trials.duration) if window is None else window
        table = psth(flat, offsets, onsets, tmin=begin, width=(end - begin) / n_bins, n_bins=n_bins, by_trial=True)
        return table[:, (spikes.units["population"] != "input").to_numpy()]

    def branching(
        self, weights: Mapping[str, np.ndarray] | None = None, *, rate: float = 15.0, seconds: float = 20.0
    ) -> Branching:
        """Return the branching parameter per 4 ms under steady input.

        Every neuron gets Poisson spikes of its own, as many and as strong as those that it gets from the input channels when
        they fire at ``rate`` Hz: common input has correlations that would be mistaken for branching. A liquid that stays
        silent has none: NaN.
        """
        number(seconds, "seconds", least=1.0, unit="s")
        silent = self.network([np.zeros(0)] * self.n_inputs, weights=weights)
        n, size = max(round(self.n_inputs * self.input_density), 1), self.input_weight * self.jump
        drives = [PoissonDrive(k, rate=rate, weight=size, n_synapses=n) for k in ("E", "I")]
        spikes = _run(replace(silent, drives=drives), seconds, seed=self.seed).spikes
        edges = np.arange(round(seconds / _BIN) + 1) * _BIN
        counts = np.histogram(spikes.times + self.dt / 2, edges)[0]
        settled = counts[round(0.5 / _BIN) :]
        if not settled.any():
            return _silent()
        return branching_factor(settled, bin_width=_BIN, seed=self.seed)


def _run(network: Network, seconds: float, **options: Any) -> Simulation:
    """Run a liquid to the end: one that stopped on the way has no counts for the trials after."""
    found = run(network, seconds, **options)
    if found.stopped:
        raise BraindecError(
            f"the liquid did not run to the end: {found.stopped}", fix="take a lower weight or weight_max"
        )
    return found


def _silent() -> Branching:
    none = float("nan")
    return Branching(none, none, none, none, none, none, np.zeros(0, dtype=int), np.zeros(0), _BIN)


def read_out(counts: Any, labels: Any, *, train: Any, test: Any, penalty: float = 1.0) -> np.ndarray:
    """Fit a multinomial logistic regression on the counts of training trials; return the classes of test trials.

    Parameters
    ----------
    counts : array of shape (n_trials, n_neurons) or (n_trials, n_neurons, n_bins)
    labels : array of shape (n_trials,)
    train, test : array of int or bool
        Trials; none may be in both.
    penalty : float
        Strength of the squared penalty.

    Raises
    ------
    BraindecError
        If a trial is in both parts or shapes do not fit.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows, labels = np.asarray(counts, dtype=float).reshape(len(counts), -1), np.asarray(labels)
    if labels.shape != (len(rows),):
        raise BraindecError("a read-out needs one label a trial", found=f"{len(rows)} trials, {labels.shape} labels")
    train, test = (np.arange(len(rows))[np.asarray(part)] for part in (train, test))
    both = np.intersect1d(train, test)
    if len(both) or not len(train) or not len(test):
        raise BraindecError("training and test trials must be different trials", found=f"{len(both)} in both, {len(train)} and {len(test)}")  # fmt: skip
    if not np.isfinite(rows).all() or len(np.unique(labels[train])) < 2:
        raise BraindecError("a read-out needs finite counts, and training trials of two classes", found=f"{len(np.unique(labels[train]))} classes")  # fmt: skip
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1.0 / (penalty * rows.shape[1]), max_iter=500))
    return model.fit(rows[train], labels[train]).predict(rows[test])
