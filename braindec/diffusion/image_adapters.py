"""Pre-trained generators that take image embeddings: Stable unCLIP, and Stable Diffusion (XL) with an IP-Adapter.

The user's weights are opened as they are (safetensors); an embedding of another length than they were made for is refused.
Pictures are made one by one, so none depends on its neighbours.

Source: Ramesh et al. 2022 (unCLIP); Ye et al. 2023 (arXiv 2308.06721, IP-Adapter); used for decoding by Scotti et al. 2024
(MindEye2, unCLIP) and Li et al. 2024 (ATM, SDXL-Turbo with IP-Adapter: 4 steps, guidance 0).
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from braindec.diffusion.noise import item_generators
from braindec.diffusion.pretrained import open_component
from braindec.errors import BraindecError

__all__ = ["ImageAdapter", "open_image_adapter"]


class ImageAdapter:
    """Pictures from image embeddings by a pipeline of diffusers.

    Parameters
    ----------
    pipeline : StableUnCLIPImg2ImgPipeline, or StableDiffusion(XL)Pipeline with an IP-Adapter
    noise_level : int
        unCLIP: noise that is added to embeddings that were predicted (0 in MindEye2).
    size : int, optional
        Pixels a side of the pictures; those of the weights by default.
    prompt : str
        Text beside the embedding.
    """

    def __init__(
        self, pipeline: Any, *, noise_level: int = 0, size: int | None = None, prompt: str = "", **call: Any
    ) -> None:
        self.pipeline, self.noise_level, self.prompt, self.call = pipeline, noise_level, prompt, call
        pipeline.set_progress_bar_config(disable=True)
        self.is_unclip = hasattr(pipeline, "image_normalizer")
        sample, factor = pipeline.unet.config.sample_size, 2 ** (len(pipeline.vae.config.block_out_channels) - 1)
        side = size or (sample if isinstance(sample, int) else sample[0]) * factor
        self.picture_shape = (side, side, 3)
        if self.is_unclip:
            self.dim = int(pipeline.image_normalizer.config.embedding_dim)
            levels = pipeline.image_noising_scheduler.config.num_train_timesteps
            if not 0 <= noise_level < levels:
                raise BraindecError("noise_level of unCLIP", found=repr(noise_level), allowed=f"0 to {levels - 1}")
        else:
            projection = getattr(pipeline.unet, "encoder_hid_proj", None)
            layers = getattr(projection, "image_projection_layers", None)
            if not layers or not hasattr(layers[0], "image_embeds"):
                raise BraindecError(
                    f"{type(pipeline).__name__} takes no image embedding", found="neither unCLIP nor an IP-Adapter of one embedding",
                    fix='name the adapter: pretrained_options={"ip_adapter": FOLDER, "base": "stable_diffusion_xl"}',
                )  # fmt: skip
            self.dim = int(layers[0].image_embeds.in_features)

    def check_dim(self, dim: int) -> None:
        """Raise unless embeddings of length ``dim`` are what the weights were made for."""
        if dim != self.dim:
            raise BraindecError(
                "the embeddings are not those that the pre-trained model was made for", found=f"features of {dim} numbers",
                allowed=f"{self.dim} numbers", fix="take features of the image encoder that the weights name, or train a model for "
                "yours (pretrained=None)",
            )  # fmt: skip

    def sample(
        self, embedded: np.ndarray | None, levels: np.ndarray | None, *, names: Sequence[Any], seed: int, **sampling: Any
    ) -> np.ndarray:  # fmt: skip
        """Make a picture of each embedding.

        Parameters
        ----------
        embedded : array (n, dim) or None
            None gives the prior: no embedding (IP-Adapter), or one that is nothing but noise (unCLIP).
        levels : array of shape (n,) or None
            Share of ``noise_level``: 1 for predicted embeddings, 0 for true ones.
        names, seed
            Noise comes from (seed, name).
        **sampling
            Arguments of the pipeline's call.

        Returns
        -------
        array of shape (n, height, width, 3), float32 of 0 to 1
        """
        if embedded is not None:
            self.check_dim(embedded.shape[1])
        made = []
        for i, generator in enumerate(tqdm(item_generators(names, seed), desc="pictures", disable=None, leave=False)):
            one = None if embedded is None else torch.from_numpy(np.ascontiguousarray(embedded[i : i + 1]))
            given = self._unclip(one, 1.0 if levels is None else float(levels[i])) if self.is_unclip else self._adapter(one, sampling)  # fmt: skip
            out = self.pipeline(
                prompt=self.prompt, height=self.picture_shape[0], width=self.picture_shape[1], generator=generator,
                output_type="np", **{**self.call, **sampling, **given},
            ).images  # fmt: skip
            made.append(np.asarray(out, dtype=np.float32))
        return np.clip(np.concatenate(made), 0.0, 1.0) if made else np.zeros((0, *self.picture_shape), np.float32)

    def _unclip(self, one: torch.Tensor | None, level: float) -> dict[str, Any]:
        if one is None:  # the largest noise level leaves nothing of an embedding
            mean = self.pipeline.image_normalizer.mean.detach()
            return {"image_embeds": mean.clone(), "noise_level": self.pipeline.image_noising_scheduler.config.num_train_timesteps - 1}  # fmt: skip
        return {"image_embeds": one.to(self._dtype), "noise_level": round(level * self.noise_level)}

    def _adapter(self, one: torch.Tensor | None, sampling: Mapping[str, Any]) -> dict[str, Any]:
        scale = {**self.call, **sampling}.get("guidance_scale", _guidance(self.pipeline))
        given = torch.zeros(1, 1, self.dim) if one is None else one[:, None]
        if scale > 1:
            given = torch.cat([torch.zeros_like(given), given])
        return {"ip_adapter_image_embeds": [given.to(self._dtype)]}

    @property
    def _dtype(self) -> torch.dtype:
        return self.pipeline.unet.dtype


def _guidance(pipeline: Any) -> float:
    """The guidance of a pipeline whose call names none."""
    return float(inspect.signature(pipeline.__call__).parameters["guidance_scale"].default)


def open_image_adapter(
    path: str | Path, *, ip_adapter: str | Path | None = None, subfolder: str | None = None, base: str = "stable_diffusion_xl",
    device: str = "cpu", dtype: str = "float32", local_only: bool = True, **options: Any,
) -> ImageAdapter:  # fmt: skip
    """Open Stable unCLIP, or Stable Diffusion (XL, XL-Turbo) and an IP-Adapter for it.

    Parameters
    ----------
    path : str or Path
        A folder that ``save_pretrained`` wrote, or a name on the hub.
    ip_adapter : str or Path, optional
        File, folder or hub name of the adapter; without it ``path`` is Stable unCLIP.
    subfolder : str, optional
        Where the adapter stands inside its folder.
    base : {"stable_diffusion_xl", "stable_diffusion"}
        What the adapter is for.
    device, dtype, local_only
        As in :func:`braindec.diffusion.pretrained.open_component`; ``local_only=False`` downloads what is missing.
    **options
        Of :class:`ImageAdapter`.

    Raises
    ------
    BraindecError
        If weights are pickles, nothing is found, or the adapter is for another model.
    """
    common = {"dtype": dtype, "local_only": local_only}
    if ip_adapter is None:
        return ImageAdapter(open_component("unclip", path, **common).to(device), **options)
    pipeline = open_component(base, path, **common)
    width = pipeline.unet.config.cross_attention_dim
    weights = open_component(
        "ip_adapter", ip_adapter, subfolder=subfolder, expect={"cross_attention_dim": width}, **common
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*load_ip_adapter.*", category=FutureWarning)
        pipeline.load_ip_adapter(weights, subfolder="", weight_name="", image_encoder_folder=None)
    pipeline.set_ip_adapter_scale(1.0)
    return ImageAdapter(pipeline.to(device), **options)
