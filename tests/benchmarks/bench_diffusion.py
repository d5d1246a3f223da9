"""Training and sampling of diffusion models: steps a second of tiny and base denoisers, ours against a bare diffusers loop.

Both loops do the same work (noise, dropped conditions, AdamW, clipped gradient, averaged weights), in one run, interleaved;
processor time on the CPU (other work on the machine disturbs it less), wall time on a GPU. Prints milliseconds a step and the
ratio bare over ours (above 1: ours is faster). Run with OMP_NUM_THREADS=1.

    python tests/benchmarks/bench_diffusion.py [--steps 20] [--rounds 3] [--presets tiny,base] [--save]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable

import torch
from torch import nn

from braindec.diffusion import presets
from braindec.diffusion.conditioner import Conditioner
from braindec.diffusion.image_pipeline import BrainImagePipeline
from braindec.diffusion.schedulers import make_scheduler, training_scheduler
from braindec.train.diffusion import diffusion_loss, fit_diffusion

SIZES = {
    "tiny-8": ("tiny", 8, 1, 64),
    "tiny-32": ("tiny", 32, 3, 32),
    "base-32": ("base", 32, 3, 16),
}  # preset, pixels, channels, rows
DIM = 64


def parts(preset: str, size: int, channels: int, device: str) -> nn.ModuleDict:
    torch.manual_seed(0)
    unet = presets.unet(preset, sample_size=size, channels=channels)
    return nn.ModuleDict({"unet": unet, "conditioner": Conditioner(dim=DIM, width=unet.config.cross_attention_dim)}).to(
        device
    )


def bare(model: nn.ModuleDict, batch: dict[str, torch.Tensor], steps: int, precision: str) -> None:
    """What one writes by hand with diffusers."""
    device = batch["x"].device
    scheduler, average = training_scheduler(), [p.detach().clone() for p in model.parameters()]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    model.train()
    for _ in range(steps):
        x, n = batch["x"], len(batch["x"])
        t, noise, drop = (
            torch.randint(200, (n,), device=device),
            torch.randn_like(x),
            torch.rand(n, device=device) < 0.1,
        )
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            tokens, _ = model["conditioner"](batch["condition"], drop)
            out = model["unet"](scheduler.add_noise(x, noise, t), t, encoder_hidden_states=tokens).sample
            loss = nn.functional.mse_loss(out.float(), noise)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        loss.item()
        with torch.no_grad():
            for a, p in zip(average, model.parameters(), strict=True):
                a.lerp_(p, 0.005)


def ours(
    model: nn.ModuleDict, batch: dict[str, torch.Tensor], steps: int, precision: str, folder: str | None = None
) -> None:
    loss = diffusion_loss(model["unet"], model["conditioner"], training_scheduler())
    fit_diffusion(model, loss, lambda generator: [batch], steps=steps, lr=1e-4, schedule="constant", mixed_precision=precision,
                  device=batch["x"].device.type, folder=folder, check_memory=False)  # fmt: skip


def seconds(job: Callable[[], None], device: str) -> float:
    clock = time.process_time if device == "cpu" else time.perf_counter
    if device != "cpu":
        torch.cuda.synchronize()
    began = clock()
    job()
    if device != "cpu":
        torch.cuda.synchronize()
    return clock() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--presets", default="tiny,base")
    parser.add_argument("--save", action="store_true", help="also time our loop with its checkpoints")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    print(
        f"{'model':10s} {'device':6s} {'type':5s} {'rows':>4s} {'bare ms':>9s} {'ours ms':>9s} {'bare/ours':>9s} {'steps/s':>8s}"
    )
    for name, (preset, size, channels, rows) in SIZES.items():
        if preset not in arguments.presets.split(","):
            continue
        for device in devices:
            batch = {"x": torch.randn(rows, channels, size, size), "condition": torch.randn(rows, DIM)}
            batch = {k: v.to(device) for k, v in batch.items()}
            for precision in ("no", "bf16"):
                model, taken = parts(preset, size, channels, device), {"bare": [], "ours": []}
                bare(model, batch, 2, precision), ours(model, batch, 2, precision)
                for _ in range(arguments.rounds):
                    taken["bare"].append(
                        seconds(lambda m=model, b=batch, p=precision: bare(m, b, arguments.steps, p), device)
                    )
                    taken["ours"].append(
                        seconds(lambda m=model, b=batch, p=precision: ours(m, b, arguments.steps, p), device)
                    )
                b, o = (1e3 * statistics.median(v) / arguments.steps for v in taken.values())
                print(
                    f"{name:10s} {device:6s} {precision:5s} {rows:4d} {b:9.1f} {o:9.1f} {b / o:9.2f} {1e3 / o:8.1f}",
                    flush=True,
                )
            if arguments.save:
                with tempfile.TemporaryDirectory() as folder:
                    s = seconds(lambda m=model, b=batch, f=folder: ours(m, b, arguments.steps, "no", f), device)
                print(
                    f"{name:10s} {device:6s} with 10 checkpoints: {1e3 * s / arguments.steps:.1f} ms a step", flush=True
                )
            scheduler = make_scheduler("ddim", training=training_scheduler())
            pipeline = BrainImagePipeline(model["unet"].eval(), scheduler, model["conditioner"].eval()).to(device)
            condition, n = torch.randn(16, DIM), max(2, arguments.steps // 4)
            pipeline(condition, num_inference_steps=1, progress=False)
            s = seconds(
                lambda p=pipeline, c=condition, k=n: p(c, num_inference_steps=k, progress=False) and None, device
            )
            print(f"{name:10s} {device:6s} sampling 16 pictures: {1e3 * s / n:.1f} ms a step (guided)", flush=True)


if __name__ == "__main__":
    main()
