"""The re-ordered temporal-spatial convolution against the plain order: forward + backward, one run, interleaved.

Prints the median milliseconds of both orders and their ratio (bar: >= 3 at batch 256, 63 channels, 250 samples), and
the largest difference of their outputs.
"""

from __future__ import annotations

import time

import numpy as np
import torch

from braindec.encoders.nice import NICE


def step(model: torch.nn.Module, x: torch.Tensor) -> float:
    began = time.perf_counter()
    model(x).square().mean().backward()
    model.zero_grad(set_to_none=True)
    return time.perf_counter() - began


def ratio(batch: int, *, threads: int, repeats: int) -> float:
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    plain, fast = (NICE.from_preset("paper", n_chans=63, n_times=250, dim=768, order=o) for o in ("plain", "fast"))
    fast.load_state_dict(plain.state_dict())
    x = torch.randn(batch, 63, 250)
    with torch.no_grad():
        difference = (plain.eval()(x[:8]) - fast.eval()(x[:8])).abs().max().item()
    plain.train(), fast.train()
    step(plain, x), step(fast, x)
    times = np.array([(step(plain, x), step(fast, x)) for _ in range(repeats)])
    slow, quick = np.median(times, axis=0) * 1e3
    print(f"tsconv batch {batch:4d}, {threads} threads: plain {slow:7.0f} ms, fast {quick:6.0f} ms, "
          f"ratio {slow / quick:5.1f}, max difference {difference:.1e}")  # fmt: skip
    return slow / quick


if __name__ == "__main__":
    for threads in (1, 2):
        ratio(64, threads=threads, repeats=5)
        ratio(256, threads=threads, repeats=3)
