"""LowLevel: a blurry picture of what was seen, by regression of an autoencoder's latents; where its place and colour come from.

The picture has no randomness and no prior. It can stand alone, or be where another decoder starts from (``image=`` and
``strength=`` of the pipelines), as MindEye starts Versatile Diffusion from it.

Source: Scotti et al. 2023 (MindEye, Voxel2StableDiffusionModel); Scotti et al. 2024 (MindEye2, blurry branch); Li et al. 2024
(ATM, low-level pipeline); loss L1 to the latents in all three. See :mod:`braindec.diffusion.blurry_decoder`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import nn

from braindec.decoders._diffusion_training import (
    batches_of,
    history_of,
    latent_space,
    latents_of,
    own_memory,
    same_size,
    still_only,
)
from braindec.decoders._front_end import WindowFront
from braindec.decoders._picture_stored import load_picture_decoder, save_picture_decoder
from braindec.decoders._pictures import PictureDecoder, targets_of
from braindec.diffusion.blurry_decoder import BlurryDecoder
from braindec.diffusion.patch_autoencoder import PatchAutoencoder
from braindec.errors import BraindecError
from braindec.train.diffusion import fit_diffusion
from braindec.types import Features, FitRecord, Pictures, Windows

__all__ = ["LowLevel"]


class LowLevel(PictureDecoder):
    """Train a :class:`BlurryDecoder` from windows to latents by L1; decode the latents.

    Parameters
    ----------
    preset : str
        A size of :class:`BlurryDecoder`: "tiny", "tiny:mindeye2", "tiny:atm", "base", "paper:mindeye1", "paper:mindeye2",
        "paper:atm".
    options : dict, optional
        Settings of it that differ from the preset.
    autoencoder, autoencoder_options
        As in :class:`~braindec.decoders.conditioned.Conditioned`; "pixels" regresses the pixels.
    steps, batch_size, lr, weight_decay, ema, seed, device, folder
        As in :func:`~braindec.train.diffusion.fit_diffusion`.
    input_noise : float
        Standard deviation of noise that is added to the scaled recording in training.
    scaler, scale_by, time_bins
        As in :class:`~braindec.decoders.ridge.RidgeDecoder`.
    extra_pictures : Pictures, optional
        Further pictures without recordings that the autoencoder is fitted on; they must be none of the test pictures.

    Attributes
    ----------
    module_ : BlurryDecoder
    vae_ : autoencoder or None
    history_ : dict of array
    """

    generative = False

    def __init__(
        self, *, preset: str = "tiny", options: dict[str, Any] | None = None, autoencoder: str | None = "pixels",
        autoencoder_options: dict[str, Any] | None = None, steps: int = 300, batch_size: int = 32, lr: float = 2e-3,
        weight_decay: float = 0.01, ema: float | None = 0.99, input_noise: float = 0.0, seed: int = 0, device: str = "cpu",
        folder: str | None = None, scaler: Any = "standard_scaler", scale_by: str | None = None,
        time_bins: int | str | None = "auto", extra_pictures: Pictures | None = None,
    ) -> None:  # fmt: skip
        self.preset, self.options, self.autoencoder, self.autoencoder_options = (
            preset,
            options,
            autoencoder,
            autoencoder_options,
        )
        self.steps, self.batch_size, self.lr, self.weight_decay, self.ema = steps, batch_size, lr, weight_decay, ema
        self.input_noise, self.seed, self.device, self.folder = input_noise, seed, device, folder
        self.scaler, self.scale_by, self.time_bins, self.extra_pictures = scaler, scale_by, time_bins, extra_pictures

    def fit(
        self, windows: Windows, pictures: Pictures, features: Features | None = None, *, validation: Windows | None = None
    ) -> LowLevel:  # fmt: skip
        """Train on windows; ``features`` and ``validation`` are not used."""
        still_only(pictures)
        if pictures.size[0] != pictures.size[1]:
            raise BraindecError("this decoder makes square pictures", found=f"{pictures.size[0]} x {pictures.size[1]}")
        values, codes = targets_of(windows, pictures)
        extra = same_size(self.extra_pictures, pictures)
        seen = values if extra is None else np.concatenate([values, extra])
        self.front_ = WindowFront(scaler=self.scaler, scale_by=self.scale_by, time_bins=self.time_bins).fit(windows)
        self.reader_ = self.front_.reader
        self.vae_ = latent_space(
            self.autoencoder, seen, seed=self.seed, device=self.device, **(self.autoencoder_options or {})
        )
        x = torch.from_numpy(self.front_.read(windows))
        y = latents_of(self.vae_, values)[torch.from_numpy(codes.astype(np.int64))]
        self.offset_ = float(y.mean())
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            settings = BlurryDecoder.settings(
                self.preset, latent_size=y.shape[-1], latent_channels=y.shape[1], **(self.options or {})
            )
            self.module_ = BlurryDecoder(n_chans=x.shape[1], n_times=x.shape[2], **settings)
            history = fit_diffusion(
                self.module_, self._loss, batches_of({"x": x, "y": y - self.offset_}, self.batch_size), steps=self.steps, lr=self.lr,
                weight_decay=self.weight_decay, ema=self.ema, seed=self.seed, device=self.device, folder=self.folder,
            )  # fmt: skip
        self.module_.to("cpu").eval()
        self.history_ = history_of(history)
        self.picture_shape_ = pictures.shape[1:]
        self.fit_records_ = [*self.front_.records, FitRecord.of("BlurryDecoder", windows.ids)]
        return self

    @torch.no_grad()
    def condition(self, windows: Windows) -> np.ndarray:
        """Return the predicted latents of each window, (n_windows, channel, height, width), float32."""
        self._check_fitted()
        x = torch.from_numpy(self.front_.read(windows))
        return np.concatenate([self.module_(one).numpy() for one in x.split(1)]) + np.float32(self.offset_)

    @torch.no_grad()
    def generate(
        self, condition: np.ndarray | None, *, names: Sequence[Any], seed: int = 0, **sampling: Any
    ) -> np.ndarray:
        """Decode latents to pictures; ``names``, ``seed`` and ``sampling`` change nothing."""
        self._check_fitted()
        if condition is None:
            raise BraindecError("a regression has no prior: its pictures come from the recording alone")
        z = torch.from_numpy(np.ascontiguousarray(condition, dtype=np.float32))
        if self.vae_ is not None:
            z = torch.cat([self.vae_.decode(one / self.vae_.config.scaling_factor).sample for one in z.split(1)])
        return (z / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).numpy()

    @torch.no_grad()
    def ideal(
        self, stimulus_ids: Sequence[Any], pictures: Pictures, features: Features | None = None, *, seed: int = 0, **sampling: Any
    ) -> np.ndarray | None:  # fmt: skip
        """Return what is left of the pictures after the autoencoder."""
        self._check_fitted()
        return self.generate(latents_of(self.vae_, pictures.of(stimulus_ids)).numpy(), names=stimulus_ids)

    def save(self, folder: str | Path) -> Path:
        """Write the fitted decoder as safetensors and JSON."""
        self._check_fitted()
        folder = Path(folder)
        self.module_.save_pretrained(folder / "module", safe_serialization=True)
        if self.vae_ is not None:
            self.vae_.save_pretrained(folder / "autoencoder", safe_serialization=True)
        arrays = {f"history.{k}": v for k, v in self.history_.items()}
        kind = None if self.vae_ is None else type(self.vae_).__name__
        more = {"n_bins": self.front_.n_bins, "offset": self.offset_, "autoencoder": kind}
        return save_picture_decoder(self, folder, arrays=arrays, more=more)

    @classmethod
    def load(cls, folder: str | Path) -> LowLevel:
        """Return the decoder that :meth:`save` wrote."""
        folder = Path(folder)
        decoder, arrays, more = load_picture_decoder(cls, folder)
        decoder.front_ = WindowFront(scaler=None)
        decoder.front_.reader, decoder.front_.n_bins = decoder.reader_, more["n_bins"]
        decoder.offset_ = more["offset"]
        decoder.module_ = own_memory(BlurryDecoder.from_pretrained(folder / "module")).eval()
        kinds: Mapping[str, Any] = {"AutoencoderKL": AutoencoderKL, "PatchAutoencoder": PatchAutoencoder}
        kind = more["autoencoder"]
        decoder.vae_ = None if kind is None else own_memory(kinds[kind].from_pretrained(folder / "autoencoder")).eval()
        decoder.history_ = {k[8:]: v for k, v in arrays.items() if k.startswith("history.")}
        return decoder

    def _loss(self, model: nn.Module, batch: Mapping[str, torch.Tensor], generator: torch.Generator) -> torch.Tensor:
        x = batch["x"]
        if self.input_noise:
            x = x + self.input_noise * torch.randn(x.shape, generator=generator).to(x.device)
        return (model(x) - batch["y"]).abs().mean()
