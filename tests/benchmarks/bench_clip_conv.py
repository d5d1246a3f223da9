"""Training throughput of clip_conv beside a plain transcription of the paper's layers: one run, interleaved.

A step is forward, one-way sequence contrast, backward and Adam. The plain one writes every layer out as the paper lists them
(attention weights of each window, a matrix product a subject and window, dilated convolutions, gates) with the same weights;
outputs are compared first. With ``--device cuda`` (and ``--paper``) the sizes base and paper are timed on a GPU.

    python tests/benchmarks/bench_clip_conv.py [--device cuda] [--paper] [--threads 2]
"""

from __future__ import annotations

import argparse
import math
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from braindec.encoders.clip_conv import ClipConv
from braindec.losses import OneWaySequence

SUBJECTS, SENSORS, DIM = 8, 208, 1024


class Plain(nn.Module):
    """The layers of the paper one after another, with the weights of ``model``."""

    def __init__(self, model: ClipConv) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor, *, subject: torch.Tensor) -> torch.Tensor:
        m, attention = self.model, self.model.merger
        k = math.isqrt(attention.queries.shape[1] // 2)
        places = attention.places.expand(len(x), -1, -1)  # (batch, sensor, 2), as if every window had its own
        wave = torch.arange(k, device=x.device, dtype=x.dtype)
        angle = 2 * math.pi * ((places[..., 0:1] + 0.2)[..., None] * wave[:, None] + (places[..., 1:2] + 0.2)[..., None] * wave) / 1.4  # fmt: skip
        embedding = torch.cat([angle.cos().flatten(2), angle.sin().flatten(2)], dim=2)  # (batch, sensor, 2 k k)
        scores = torch.einsum("bsf,mf->bms", embedding, attention.queries)
        if self.training:
            near = (places - torch.rand(2, device=x.device)).norm(dim=2) <= attention.radius
            scores = scores.masked_fill(near[:, None], -torch.inf)
        h = m.mix(torch.einsum("bms,bst->bmt", scores.softmax(dim=2), x))
        h = torch.stack([m.subject_layers[s] @ row for s, row in zip(subject.tolist(), h, strict=True)])
        for i, (convolution, norm) in enumerate(zip(m.convolutions.convolutions, m.convolutions.norms, strict=True)):
            out = F.gelu(norm(F.conv1d(h, convolution.weight, convolution.bias, padding=convolution.dilation[0], dilation=convolution.dilation[0])))  # fmt: skip
            h = out if i == 0 else h + out
            if i % 2:
                gate = m.convolutions.gates[str(i)]
                wide = F.conv1d(h, gate.weight, gate.bias, padding=1)
                h = wide[:, : wide.shape[1] // 2] * torch.sigmoid(wide[:, wide.shape[1] // 2 :])
        h = F.gelu(m.head.wide(h))
        return F.conv_transpose1d(h, m.head.out.weight, m.head.out.bias)


def step(model: nn.Module, optimiser: torch.optim.Optimizer, batch: tuple, loss: nn.Module, device: torch.device) -> float:  # fmt: skip
    x, y, subject = batch
    began = time.perf_counter()
    optimiser.zero_grad(set_to_none=True)
    loss(model(x, subject=subject), y).backward()
    optimiser.step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def compare(preset: str, *, batch: int, n_times: int, device: torch.device, repeats: int, dim: int = DIM) -> None:
    torch.manual_seed(0)
    positions = np.random.default_rng(0).random((SENSORS, 2)).round(4).tolist()
    model = ClipConv.from_preset(preset, n_chans=SENSORS, n_times=n_times, dim=dim, positions=positions, n_subjects=SUBJECTS, pool="none").to(device)  # fmt: skip
    plain, loss = Plain(model), OneWaySequence()
    x, y = torch.randn(batch, SENSORS, n_times, device=device), torch.randn(batch, dim, n_times, device=device)
    data = (x, y, torch.arange(batch, device=device) % SUBJECTS)
    with torch.no_grad():
        model.eval(), plain.eval()
        difference = (model(x[:4], subject=data[2][:4]) - plain(x[:4], subject=data[2][:4])).abs().max().item()
    model.train(), plain.train()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-5)
    step(model, optimiser, data, loss, device), step(plain, optimiser, data, loss, device)
    times = np.array([(step(model, optimiser, data, loss, device), step(plain, optimiser, data, loss, device)) for _ in range(repeats)])  # fmt: skip
    ours, theirs = np.median(times, axis=0)
    print(f"clip_conv {preset:5s} ({model.n_parameters:,} parameters), batch {batch}, {n_times} samples, {device}, {torch.get_num_threads()} threads: "
          f"{batch / ours:7.1f} windows/s, plain {batch / theirs:7.1f}, ratio {theirs / ours:.2f}, max difference {difference:.1e}")  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--paper", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    where = torch.device(given.device)
    torch.set_num_threads(given.threads)
    fast = where.type == "cuda"
    compare("tiny", batch=64, n_times=150, device=where, repeats=10, dim=80)
    compare("base", batch=256 if fast else 16, n_times=343, device=where, repeats=20 if fast else 3)
    if given.paper:
        compare("paper", batch=256 if fast else 4, n_times=343, device=where, repeats=20 if fast else 3)
