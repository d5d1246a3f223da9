"""A feed-forward (or recurrent) network of LIF layers with a leaky read-out.

The product with the weights of a layer is taken once for all time steps; the scan over time follows. First weights put
the potentials into the fluctuation-driven regime, in which neurons fire a little, whatever their number of inputs.

Source: Neftci, Mostafa & Zenke 2019 (IEEE Signal Processing Magazine 36:51); first weights: Rossbroich, Gygax & Zenke 2022
(Neuromorphic Computing and Engineering 2:044016), section 2.1. Differs from the reference in: synapses have no time course
of their own, so the variance of the potential is ``n rate w^2 / (1 - decay^2)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from braindec.errors import BraindecError, did_you_mean
from braindec.networks.lif_layer import LIF, LeakyIntegrator, LIFState, check_drive, spike_sparsity
from braindec.networks.recurrent_lif import RecurrentLIF
from braindec.networks.spike_linear import SpikeLinear
from braindec.stats.asked import number

__all__ = ["SpikingMLP", "SpikingOutput"]

READOUTS = ("mean", "max", "last", "sequence")


class SpikingOutput(NamedTuple):
    """Read-out (batch, class), or (time, batch, class); spikes of each hidden layer; states to go on from."""

    readout: torch.Tensor
    spikes: list[torch.Tensor]
    state: list[LIFState]

    @property
    def sparsity(self) -> float:
        """Share of neuron-steps of the hidden layers without a spike."""
        return spike_sparsity(self.spikes)

    @property
    def rates(self) -> list[float]:
        """Spikes a neuron and step of each hidden layer."""
        return [float(layer.detach().mean()) for layer in self.spikes]


class SpikingMLP(nn.Module):
    """LIF layers and a leaky integrator that reads them out.

    Parameters
    ----------
    sizes : sequence of int
        Inputs, neurons of each hidden layer, outputs: ``(700, 256, 256, 20)``.
    recurrent : bool
        Whether neurons of a hidden layer also drive one another.
    readout : {"mean", "max", "last", "sequence"}
        What is made of the read-out potentials over time; "sequence" keeps them all.
    readout_decay : float
        Decay of the read-out.
    input_rate : float
        Expected spikes an input and step, for the first weights.
    spread : float
        Expected standard deviation of the potentials at first, in thresholds.
    batch_first : bool
        Whether the input is (batch, time, neuron).
    backend : {"auto", "fused", "torch"}
    generator : torch.Generator, optional
        Of the first weights.
    **neuron
        Settings of the hidden neurons, as for :class:`~braindec.networks.lif_layer.LIF`.

    Raises
    ------
    BraindecError
        If sizes or settings are wrong.
    """

    def __init__(
        self, sizes: Sequence[int], *, recurrent: bool = False, readout: str = "mean", readout_decay: float = 0.95,
        input_rate: float = 0.05, spread: float = 1.0, batch_first: bool = False, backend: str = "auto",
        generator: torch.Generator | None = None, **neuron: Any,
    ) -> None:  # fmt: skip
        super().__init__()
        if (
            not isinstance(sizes, Sequence)
            or len(sizes) < 3
            or any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in sizes)
        ):
            raise BraindecError("the sizes of a SpikingMLP are wrong", found=repr(sizes),
                                allowed="inputs, hidden layers (at least one), outputs; whole numbers of at least 1",
                                fix="for example (700, 256, 20)")  # fmt: skip
        if readout not in READOUTS:
            raise BraindecError(
                f"a SpikingMLP has no readout {readout!r}{did_you_mean(str(readout), READOUTS)}",
                allowed=", ".join(READOUTS),
            )
        for name, value in (("input_rate", input_rate), ("spread", spread)):
            number(value, f"{name} of a SpikingMLP", least=0, ends=False)
        product = {"fused": "auto"}.get(backend, backend)
        self.readout, self.batch_first, self.backend = readout, bool(batch_first), backend
        hidden = sizes[1:-1]
        kinds = (lambda n: RecurrentLIF(n, generator=generator, backend=backend, **neuron)) if recurrent else (
            lambda n: LIF(backend=backend, **neuron))  # fmt: skip
        self.neurons = nn.ModuleList(kinds(n) for n in hidden)
        self.weights = nn.ModuleList(SpikeLinear(a, b, backend=product) for a, b in pairwise(sizes))
        self.integrator = LeakyIntegrator(decay=readout_decay, backend=backend)
        for linear, layer in zip(self.weights, self.neurons):
            self._start(linear, layer, rate=input_rate, spread=spread, generator=generator)
        nn.init.normal_(self.weights[-1].weight, std=hidden[-1] ** -0.5, generator=generator)
        nn.init.zeros_(self.weights[-1].bias)

    @staticmethod
    @torch.no_grad()
    def _start(linear: nn.Linear, layer: LIF, *, rate: float, spread: float, generator: torch.Generator | None) -> None:
        decay, threshold = float(layer.decay.mean()), float(layer.threshold.mean())
        gain = 1 - decay if layer.decay_input else 1.0
        kept = max(1 - decay**2, 1e-3)  # a perfect integrator has no stationary variance
        std = spread * threshold * (kept / (linear.in_features * rate)) ** 0.5 / max(gain, 1e-3)
        nn.init.normal_(linear.weight, std=std, generator=generator)
        nn.init.zeros_(linear.bias)

    def forward(self, x: torch.Tensor, state: Sequence[LIFState] | None = None) -> SpikingOutput:
        """Run all steps of ``x`` (time, batch, input), or (batch, time, input) with ``batch_first``.

        Raises
        ------
        BraindecError
            If the shapes do not fit, or the input is not finite.
        """
        check_drive(x, type(self).__name__, finite=False)  # the neurons see what is not
        if x.shape[2] != self.weights[0].in_features:
            raise BraindecError("another number of inputs comes into the SpikingMLP than it has",
                                found=f"shape {tuple(x.shape)}", allowed=f"{self.weights[0].in_features} on the last axis")  # fmt: skip
        n_states = len(self.neurons) + 1
        if state is not None and len(state) != n_states:
            raise BraindecError("the states that a SpikingMLP should go on from are not as many as its layers",
                                found=f"{len(state)}", allowed=f"{n_states} (hidden layers and read-out)")  # fmt: skip
        x = x.transpose(0, 1).contiguous() if self.batch_first else x
        before, after, spikes = list(state) if state is not None else [None] * n_states, [], []
        for linear, layer, start in zip(self.weights, self.neurons, before):
            out = layer(linear(x), start)
            x = out.spikes
            spikes.append(x), after.append(out.state)
        readout, last = self._read_out(x, before[-1])
        return SpikingOutput(readout, spikes, [*after, last])

    def _read_out(self, spikes: torch.Tensor, start: LIFState | None) -> tuple[torch.Tensor, LIFState]:
        if self.readout in ("mean", "last") and self.backend != "torch":
            return self._read_out_at_once(spikes, start)
        potential, last = self.integrator(self.weights[-1](spikes), start)
        return self._reduced(potential), last

    def _read_out_at_once(self, spikes: torch.Tensor, start: LIFState | None) -> tuple[torch.Tensor, LIFState]:
        """Mean and last potential are linear in the spikes: weigh these over time first, then multiply once, not each step."""
        decay = float(self.integrator.neurons.decay)
        n = len(spikes)
        left = decay ** torch.arange(n, 0, -1, dtype=torch.float64)  # of the first to the last step, at the end
        # A spike of step t adds 1 - decay and fades; so the mean has the sum of that geometric series over n.
        shares = torch.stack([1 - left, (1 - decay) * left / decay])
        shares[0] /= n
        shares = shares.to(spikes.device, spikes.dtype)
        weighted = (shares @ spikes.reshape(n, -1)).reshape(2, *spikes.shape[1:])
        linear = self.weights[-1]
        mean, last = functional.linear(weighted, linear.weight) + shares.sum(dim=1)[:, None, None] * linear.bias
        if start is not None:
            start = self.integrator.neurons.checked_state(start, mean[None])
            if not bool(torch.isfinite(start.potential.detach()).all()):
                raise BraindecError("the state that the read-out should go on from is NaN or infinite")
            fading = left.flip(0).to(spikes.device, spikes.dtype)
            mean, last = mean + fading.mean() * start.potential, last + fading[-1] * start.potential
        return (mean if self.readout == "mean" else last), LIFState(last, torch.zeros_like(last))

    def _reduced(self, potential: torch.Tensor) -> torch.Tensor:
        if self.readout == "mean":
            return potential.mean(dim=0)
        if self.readout == "max":
            return potential.amax(dim=0)
        return potential[-1] if self.readout == "last" else potential
