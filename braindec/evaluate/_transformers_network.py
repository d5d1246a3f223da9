"""Transformers models on disk as networks that describe pictures: how they want their pictures, and how they are opened."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from braindec.errors import UnreadableError
from braindec.evaluate._local_weights import local_folder

__all__ = ["open_model", "picture_settings"]


def open_model(kind: str, weights: str | Path, *, what: str, device: str) -> Any:
    """Return a model of the transformers class ``kind`` from a folder of safetensors; nothing is downloaded."""
    import transformers

    folder = local_folder(weights, what=what)
    try:
        model = getattr(transformers, kind).from_pretrained(folder, local_files_only=True, use_safetensors=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise UnreadableError(f"{what}: {folder} does not open as {kind}", found=str(error).splitlines()[0]) from error
    return model.to(device).eval().requires_grad_(False)


def picture_settings(folder: str | Path, config: Any, *, mean: Any, std: Any) -> dict[str, Any]:
    """Return size, mean and std that the model was trained with: of preprocessor_config.json, or of its configuration."""
    path = Path(folder) / "preprocessor_config.json"
    told = json.loads(path.read_text(encoding="utf8")) if path.is_file() else {}
    size = told.get("crop_size") or told.get("size") or getattr(config, "image_size", 224)
    if isinstance(size, dict):
        shortest = size.get("shortest_edge")
        size = (size.get("height", shortest), size.get("width", shortest))
    size = tuple(size) if isinstance(size, (list, tuple)) else (size, size)
    return {"size": size, "mean": told.get("image_mean", mean), "std": told.get("image_std", std)}
