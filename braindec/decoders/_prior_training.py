"""Training and sampling of priors: settings of the papers, the loss of a batch, samples in blocks of one size."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor

from braindec.diffusion.prior_pipeline import PriorPipeline
from braindec.diffusion.transformer_prior import TransformerPrior
from braindec.diffusion.unet_prior import UNetPrior
from braindec.errors import BraindecError, did_you_mean
from braindec.train.denoising import denoising_loss

__all__ = ["KINDS", "JointModel", "build_prior", "device_of", "fingerprint", "held_loss", "prior_loss", "prior_settings",
           "sample_embeddings", "two_heads"]  # fmt: skip

_BLOCK = 64  # embeddings sampled at once
KINDS: dict[str, type] = {"transformer": TransformerPrior, "unet": UNetPrior}

# levels of noise, share of dropped conditions, steps and guidance of sampling: of the papers
_PAPERS: dict[str, dict[str, Any]] = {
    "transformer": {"levels": 100, "schedule": "squaredcos_cap_v2", "condition_drop": 0.2, "sample_drop": 0.0,
                    "num_inference_steps": 20, "guidance_scale": 1.0},
    "unet": {"levels": 1000, "schedule": "linear", "condition_drop": 0.1, "sample_drop": 0.0, "num_inference_steps": 50,
             "guidance_scale": 1.0},
}  # fmt: skip
_TRAINING: dict[str, dict[str, dict[str, Any]]] = {
    "tiny": {"transformer": {"steps": 600, "batch_size": 64, "lr": 1e-3, "warm_up": 50},
             "unet": {"steps": 1000, "batch_size": 128, "lr": 2e-3, "warm_up": 50}},
    "base": {"transformer": {"steps": 6000, "batch_size": 128, "lr": 5e-4, "warm_up": 500},
             "unet": {"steps": 10_000, "batch_size": 512, "lr": 1e-3, "warm_up": 500}},
    "paper": {"transformer": {"steps": 60_000, "batch_size": 32, "lr": 3e-4, "warm_up": 1000},
              "unet": {"steps": 10_000, "batch_size": 1024, "lr": 1e-3, "warm_up": 500, "guidance_scale": 5.0}},
}  # fmt: skip


def prior_settings(kind: str, preset: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings of training and sampling: the papers', the preset's, then those that are given and not None.

    Raises
    ------
    BraindecError
        If there is no such kind or preset, or a number is out of range.
    """
    if kind not in KINDS:
        raise BraindecError(f"there is no prior {kind!r}{did_you_mean(str(kind), KINDS)}", allowed=", ".join(KINDS))
    if preset not in KINDS[kind].PRESETS:
        presets = KINDS[kind].PRESETS
        raise BraindecError(
            f"the {kind} prior has no preset {preset!r}{did_you_mean(str(preset), presets)}", allowed=", ".join(presets)
        )
    found = {
        **_PAPERS[kind],
        **_TRAINING[preset.split(":")[0]][kind],
        **{k: v for k, v in given.items() if v is not None},
    }
    whole = {"steps": 1, "batch_size": 2, "levels": 2, "num_inference_steps": 1, "warm_up": 0}
    for name, least in whole.items():
        value = found[name]
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
            raise BraindecError(f"{name} must be a whole number of at least {least}", found=repr(value))
    for name in ("condition_drop", "sample_drop"):
        if not 0 <= found[name] < 1:
            raise BraindecError(f"{name} is a share of the rows", found=repr(found[name]), allowed="0 to below 1")
    if kind == "unet" and found["sample_drop"]:
        raise BraindecError("sample_drop is for the transformer prior", found=repr(found["sample_drop"]), allowed="0")
    return found


def build_prior(
    kind: str, preset: str, *, dim: int, condition_dim: int, n_tokens: int | None, options: Mapping[str, Any], seed: int
) -> nn.Module:
    """Build a prior for embeddings of ``dim`` numbers in ``n_tokens`` tokens; first weights come from ``seed``.

    Raises
    ------
    BraindecError
        If the embedding does not divide into tokens, or a published size is for another one.
    """
    named = KINDS[kind].PRESETS[preset]
    fixed = named.get("n_tokens", 1) * named["token_dim"] if "token_dim" in named else named.get("dim")
    if preset.startswith("paper") and fixed != dim:
        text = f"{named['n_tokens']} tokens of {named['token_dim']}" if "token_dim" in named else f"{fixed} numbers"
        raise BraindecError(
            f"the published {kind} prior is for embeddings of {text}", found=f"features of {dim} numbers", allowed=str(fixed),
            fix="use the features of that paper, or preset='base'",
        )  # fmt: skip
    sizes: dict[str, Any]
    if kind == "transformer":
        n = n_tokens or named.get("n_tokens", 1)
        if dim % n:
            raise BraindecError("the features cannot be cut into tokens", found=f"{dim} numbers, n_tokens={n}")
        same = condition_dim == dim
        sizes = {"n_tokens": n, "token_dim": dim // n, "n_condition": n if same else 1,
                 "condition_dim": dim // n if same else condition_dim}  # fmt: skip
    else:
        sizes = {"dim": dim, "condition_dim": condition_dim}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return KINDS[kind].from_preset(preset, **{**sizes, **options})


def prior_loss(
    prior: nn.Module, scheduler: Any, condition: torch.Tensor, clean: torch.Tensor, generator: torch.Generator, *,
    condition_drop: float, sample_drop: float = 0.0, min_snr: float | None = None,
) -> torch.Tensor:  # fmt: skip
    """Return the loss of a batch: condition (batch, ...), clean image embeddings (batch, ...), both standardised."""
    n, where = len(clean), clean.device
    levels = torch.randint(0, scheduler.config.num_train_timesteps, (n,), generator=generator).to(where)
    noise = torch.randn(clean.shape, generator=generator).to(where)
    extra = {"drop": (torch.rand(n, generator=generator) < condition_drop).to(where)}
    if sample_drop:
        extra["drop_sample"] = (torch.rand(n, generator=generator) < sample_drop).to(where)
    predicted = prior(scheduler.add_noise(clean, noise, levels), levels, condition, **extra)
    return denoising_loss(scheduler, predicted, clean, noise, levels, min_snr=min_snr)


def held_loss(
    prior: nn.Module, scheduler: Any, condition: torch.Tensor, clean: torch.Tensor, *, seed: int, n_draws: int = 4
) -> dict[str, float]:
    """Return the loss on rows that are not trained on, the mean of a few draws of noise that are always the same."""
    generator = torch.Generator().manual_seed(seed)
    device = next(prior.parameters()).device
    condition, clean = condition.to(device), clean.to(device)
    draws = [prior_loss(prior, scheduler, condition, clean, generator, condition_drop=0.0) for _ in range(n_draws)]
    return {"loss": float(torch.stack(draws).mean())}


class JointModel(nn.Module):
    """An encoder that is trained along with a prior: the contrastive loss plus ``weight`` times the prior's.

    Parameters
    ----------
    encoder : nn.Module
        With ``heads(x)`` (tokens for the prior and vectors for retrieval), or one output for both.
    prior : nn.Module
    contrastive : nn.Module
        A loss of :mod:`braindec.losses`.
    scheduler : a scheduler of diffusers
    weight : float
    steps : int
        Of the whole training, for losses that change on the way.
    **options
        Of :func:`prior_loss`.
    """

    def __init__(
        self, encoder: nn.Module, prior: nn.Module, contrastive: nn.Module, scheduler: Any, *, weight: float, steps: int,
        **options: Any,
    ) -> None:  # fmt: skip
        super().__init__()
        self.encoder, self.prior, self.contrastive = encoder, prior, contrastive
        self.scheduler, self.weight, self.steps, self.options = scheduler, weight, steps, options
        self.register_buffer("done", torch.zeros((), dtype=torch.int64))  # a resumed training goes on from there

    def heads(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return tokens for the prior and vectors for retrieval, both (batch, dim)."""
        if not hasattr(self.encoder, "heads"):
            z = self.encoder(x)
            return z, z
        found = self.encoder.heads(x)
        return found["tokens"].flatten(1), found["retrieval"].flatten(1)

    def loss(self, batch: Mapping[str, torch.Tensor], generator: torch.Generator) -> torch.Tensor:
        """Return the loss of a batch with ``x``, ``y`` and ``ids``."""
        x, mixed = batch["x"], {}
        if not isinstance(x, FakeTensor):  # memory is being estimated: there are no values to mix by
            if hasattr(self.contrastive, "at"):
                self.contrastive.at(int(self.done) / self.steps)
            self.done += 1
            if hasattr(self.contrastive, "mix"):
                x, mixed = self.contrastive.mix(x, generator=generator)
        tokens, retrieval = self.heads(x)
        value = self.contrastive(retrieval, batch["y"], ids=batch["ids"], **mixed)
        wanted = batch["y"]
        if mixed:
            own = mixed["weight"] == 1
            tokens, wanted = tokens[own], wanted[own]
        if not len(tokens):
            return value
        return value + self.weight * prior_loss(self.prior, self.scheduler, tokens, wanted, generator, **self.options)


def sample_embeddings(
    pipeline: PriorPipeline, condition: np.ndarray | None, names: Sequence[Any], *, seed: int,
    brain_embedding: np.ndarray | None = None, **sampling: Any,
) -> np.ndarray:  # fmt: skip
    """Sample an embedding for each name, (n, dim) float32 in own units.

    Blocks are padded to one size, so that an embedding has the same bytes whatever stands beside it.
    """
    names = list(names)
    if condition is not None and len(condition) != len(names):
        raise BraindecError("one name for each condition", found=f"{len(condition)} conditions, {len(names)} names")
    made = []
    for start in range(0, len(names), _BLOCK):
        some = names[start : start + _BLOCK]
        rows = np.minimum(np.arange(start, start + _BLOCK), len(names) - 1)
        given = {"n": _BLOCK} if condition is None else {"condition": np.asarray(condition)[rows]}
        if brain_embedding is not None:
            given["brain_embedding"] = np.asarray(brain_embedding)[rows]
        called = some + [some[-1]] * (_BLOCK - len(some))
        out = pipeline(**given, names=called, seed=seed, **sampling).embeddings
        made.append(out.reshape(_BLOCK, -1)[: len(some)])
    size = int(np.prod(pipeline.prior.sample_shape))
    return np.concatenate(made).astype(np.float32) if made else np.zeros((0, size), np.float32)


def device_of(module: nn.Module) -> torch.device:
    return next(module.parameters()).device


def fingerprint(*arrays: np.ndarray) -> str:
    """Names the data, so that a checkpoint is continued by the same fit only."""
    digest = hashlib.sha256()
    for values in arrays:
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def two_heads(encoder: nn.Module) -> Any:
    """The encoder's two outputs without gradients, in evaluation mode."""
    encoder.eval()
    joint = JointModel(encoder, nn.Identity(), nn.Identity(), None, weight=1.0, steps=1)
    return torch.no_grad()(joint.heads)
