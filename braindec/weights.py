"""Weights on disk: safetensors written whole, JSON beside it, a sha256 that says whether the two belong together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from braindec.errors import BraindecError
from braindec.files import written_whole

__all__ = ["check_whole", "read_json", "save_tensors", "sha256"]


def save_tensors(tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """Write tensors as one safetensors file, whole or not at all; tensors that share memory are copied."""
    own = {name: t.detach().to("cpu").contiguous().clone() for name, t in tensors.items()}
    with written_whole(path) as temporary:
        try:
            save_file(own, temporary)
        except SafetensorError as error:  # its own type for a full disk; written_whole explains those of the system
            raise OSError(str(error)) from error


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file, or say that it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf8"))
    except FileNotFoundError as error:
        raise BraindecError(f"{path.parent} has no {path.name}", fix="name a folder that save() wrote") from error
    except ValueError as error:
        raise BraindecError(f"{path} is damaged", found=str(error), fix="save it again") from error


def check_whole(path: Path, expected: str | None) -> None:
    """Raise unless the file is there and is the one that its JSON describes."""
    if not path.is_file():
        raise BraindecError(f"{path.parent} has no {path.name}", fix="name a folder that save() wrote")
    if expected is not None and sha256(path) != expected:
        raise BraindecError(
            f"{path} is not the file that its JSON describes", found="another sha256",
            fix="saving was interrupted or the file was changed: save it again",
        )  # fmt: skip


def sha256(path: Path) -> str:
    """Return the sha256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
