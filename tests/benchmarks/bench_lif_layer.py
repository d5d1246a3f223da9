"""Training step of a spiking network (700-256-256-20, 100 steps, batch 64): forward and backward, one run, interleaved.

Prints the median milliseconds of the fused network, of a plain torch loop over steps (products inside the loop), of a loop
with the products taken out of it, and of snntorch, norse and spikingjelly where they import, with the ratios to the fused
one (bars: >= 3 for the plain loop, >= 1.5 for the fastest of the libraries), for input of several densities. Prints first
whether spikes are equal and how far gradients are apart. Processor time beside wall time: other work on the machine
disturbs the one less than the other. OMP_NUM_THREADS and NUMBA_NUM_THREADS set the threads; run it once with 1, once with 2.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from braindec.networks._lif_function import spike
from braindec.networks.spiking_mlp import SpikingMLP
from braindec.networks.surrogate import resolve

SIZES, STEPS, BATCH, DECAY, READOUT_DECAY, SLOPE = (700, 256, 256, 20), 100, 64, 0.9, 0.95, 25.0
Model = Callable[[torch.Tensor], torch.Tensor]


def network(backend: str, dtype: torch.dtype = torch.float32) -> SpikingMLP:
    generator = torch.Generator().manual_seed(0)
    return SpikingMLP(SIZES, backend=backend, decay=DECAY, readout_decay=READOUT_DECAY, detach_reset=True,
                      generator=generator).to(dtype)  # fmt: skip


class PlainLoop(nn.Module):
    """What one writes by hand: every layer once a step, soft reset, fast sigmoid."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.weights, self.surrogate = same_weights(dtype), resolve("fast_sigmoid").with_slope(SLOPE)

    def forward(self, x: torch.Tensor, trace: list | None = None) -> torch.Tensor:
        v, out = [x.new_zeros(x.shape[1], n) for n in SIZES[1:]], []
        for h in x:
            for i, linear in enumerate(self.weights[:-1]):
                v[i] = DECAY * v[i] + linear(h)
                h = spike(v[i] - 1.0, self.surrogate)
                v[i] = v[i] - h.detach()
                if trace is not None:
                    trace[i].append(h.detach())
            v[-1] = READOUT_DECAY * v[-1] + (1 - READOUT_DECAY) * self.weights[-1](h)
            out.append(v[-1])
        return torch.stack(out).mean(dim=0)


def same_weights(dtype: torch.dtype = torch.float32) -> nn.ModuleList:
    layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(SIZES)).to(dtype)
    for mine, theirs in zip(layers, network("torch", dtype).weights):
        mine.load_state_dict(theirs.state_dict())
    return layers


def with_snntorch() -> Model:
    import snntorch
    from snntorch import surrogate

    weights = same_weights()
    hidden = [snntorch.Leaky(beta=DECAY, spike_grad=surrogate.fast_sigmoid(SLOPE)) for _ in SIZES[1:-1]]
    last = snntorch.Leaky(beta=READOUT_DECAY, reset_mechanism="none")

    def run(x: torch.Tensor) -> torch.Tensor:
        v, w, out = [n.init_leaky() for n in hidden], last.init_leaky(), []
        for h in x:
            for i, (linear, neurons) in enumerate(zip(weights, hidden)):
                h, v[i] = neurons(linear(h), v[i])
            _, w = last(weights[-1](h), w)
            out.append(w)
        return torch.stack(out).mean(dim=0)

    return run


def with_norse() -> Model:
    import norse.torch as norse

    weights, rate = same_weights(), torch.tensor((1 - DECAY) * 1000)
    hidden = nn.ModuleList(norse.LIFBoxCell(p=norse.LIFBoxParameters(tau_mem_inv=rate)) for _ in SIZES[1:-1])
    last = norse.LIBoxCell()

    def run(x: torch.Tensor) -> torch.Tensor:
        state, out = [None] * len(weights), []
        for h in x:
            for i, (linear, neurons) in enumerate(zip(weights, hidden)):
                h, state[i] = neurons(linear(h), state[i])
            y, state[-1] = last(weights[-1](h), state[-1])
            out.append(y)
        return torch.stack(out).mean(dim=0)

    return run


def with_spikingjelly() -> Model:
    from spikingjelly.activation_based import functional, neuron, surrogate

    weights = same_weights()
    hidden = nn.ModuleList(
        neuron.LIFNode(tau=1 / (1 - DECAY), decay_input=False, v_reset=None, detach_reset=True, step_mode="m",
                       surrogate_function=surrogate.ATan()) for _ in SIZES[1:-1]
    )  # fmt: skip

    def run(x: torch.Tensor) -> torch.Tensor:
        functional.reset_net(hidden)
        for linear, neurons in zip(weights, hidden):
            x = neurons(linear(x))
        return weights[-1](x).mean(dim=0)

    return run


def peers() -> dict[str, Model]:
    found = {}
    for name, build in (("snntorch", with_snntorch), ("norse", with_norse), ("spikingjelly", with_spikingjelly)):
        try:
            found[name] = build()
        except ImportError as error:
            print(f"{name} does not import here ({error}): left out")
    return found


def spikes_of(density: float, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return (torch.rand(STEPS, BATCH, SIZES[0], generator=generator) < density).to(dtype)


def agreement(dtype: torch.dtype) -> tuple[int, float]:
    """Spikes that differ between the fused network and the plain loop, and the largest relative gap of gradients."""
    x, fused, plain = spikes_of(0.05, dtype), network("fused", dtype), PlainLoop(dtype)
    trace: list = [[] for _ in SIZES[1:-1]]
    out = fused(x)
    out.readout.square().mean().backward()
    plain(x, trace).square().mean().backward()
    differ = sum(int((a != torch.stack(b)).sum()) for a, b in zip(out.spikes, trace))
    gaps = [float((a.weight.grad - b.weight.grad).abs().max() / b.weight.grad.abs().max())
            for a, b in zip(fused.weights, plain.weights)]  # fmt: skip
    return differ, max(gaps)


def main(repeats: int = 7) -> None:
    threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
    torch.set_num_threads(threads)
    for dtype in (torch.float64, torch.float32):
        differ, gap = agreement(dtype)
        print(f"{dtype}: {differ} spikes differ, gradients within {gap:.1e}")
    fused, hoisted = network("fused"), network("torch")
    models = {"fused": lambda x: fused(x).readout, "plain loop": PlainLoop(),
              "hoisted loop": lambda x: hoisted(x).readout, **peers()}  # fmt: skip
    for density in (0.02, 0.05, 0.2):
        x, times = spikes_of(density), {name: [] for name in models}
        for repeat in range(repeats + 1):
            for name, model in models.items():
                wall, processor = time.perf_counter(), time.process_time()
                model(x).square().mean().backward()
                if repeat:  # the first compiles
                    times[name].append((time.perf_counter() - wall, time.process_time() - processor))
        medians = {name: np.median(t, axis=0) * 1e3 for name, t in times.items()}
        for name, (wall, processor) in medians.items():
            ratios = medians[name] / medians["fused"]
            print(f"lif layer, density {density:.2f}, {threads} threads: {name:12s} wall {wall:6.1f} ms "
                  f"(x {ratios[0]:4.2f}), processor {processor:6.1f} ms (x {ratios[1]:4.2f})")  # fmt: skip


if __name__ == "__main__":
    main()
