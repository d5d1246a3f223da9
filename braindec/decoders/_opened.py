"""Pipelines opened from disk so that they sample the same bytes as before they were saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from braindec.decoders._diffusion_training import own_memory
from braindec.errors import BraindecError

__all__ = ["check_makes", "opened"]


def opened(kind: type, folder: str | Path) -> Any:
    """Open the pipeline of class ``kind`` that ``save_pretrained`` wrote, ready to sample.

    Raises
    ------
    BraindecError
        If the folder holds no pipeline.
    """
    folder = Path(folder)
    if not (folder / "model_index.json").is_file():
        raise BraindecError(
            f"{folder} holds no pipeline",
            found="no model_index.json",
            fix="name a folder that save_pretrained() of a pipeline wrote",
        )
    made = kind.from_pretrained(folder)
    made.set_progress_bar_config(disable=True)
    for part in made.components.values():
        if isinstance(part, nn.Module):
            own_memory(part).eval().requires_grad_(False)
    return made


def check_makes(pipeline: Any, values: np.ndarray) -> Any:
    """Return the pipeline, or say that it makes pictures of another size or mode than ``values`` (n, height, width, channel)."""
    with torch.no_grad():
        made = pipeline.decode_latents(torch.zeros(1, *pipeline.latent_shape)).shape[1:]
    wanted = (values.shape[3], *values.shape[1:3])
    if tuple(made) != wanted:
        raise BraindecError(
            "the pre-trained prior makes pictures of another size or mode", found=f"(channel, height, width) = {tuple(made)}",
            allowed=f"{wanted}", fix="scale or convert the pictures when they are loaded",
        )  # fmt: skip
    return pipeline
