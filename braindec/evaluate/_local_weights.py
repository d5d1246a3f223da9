"""Weights on the user's own disk: a folder or a safetensors file, never a pickle, never a download."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from braindec.errors import BraindecError, MissingExtraError, UnreadableError

__all__ = ["local_folder", "need_torchvision", "read_state"]

PICKLES = {".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle"}
CONVERT = (
    "convert it once where you trust the file: import torch; from safetensors.torch import save_file; "
    "save_file({k: v.contiguous() for k, v in torch.load('FILE', weights_only=True).items()}, 'weights.safetensors')"
)


def local_folder(path: str | Path, *, what: str) -> Path:
    """Return a folder that holds config.json and safetensors weights.

    Raises
    ------
    BraindecError
        If there is none, or its weights are a pickle.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise BraindecError(
            f"{what} needs a folder of weights on this disk", found=f"{path} is no folder",
            fix="download the model once (huggingface-cli download NAME --local-dir FOLDER) and give that folder",
        )  # fmt: skip
    if not (folder / "config.json").is_file():
        raise BraindecError(f"{what}: {folder} has no config.json", fix="give the folder that save_pretrained wrote")
    if not list(folder.glob("*.safetensors")):
        pickles = sorted(p.name for p in folder.iterdir() if p.suffix in PICKLES)
        raise BraindecError(
            f"{what}: {folder} has no weights as safetensors",
            found=f"{', '.join(pickles[:3])}: a pickle can run any code when it is opened" if pickles else "no weights",
            fix=CONVERT.replace("FILE", pickles[0] if pickles else "model.bin"),
        )
    return folder


def read_state(path: str | Path, *, what: str) -> dict[str, Any]:
    """Return the tensors of a safetensors file by name.

    Raises
    ------
    BraindecError
        If the file is a pickle, missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    file = Path(path)
    if file.suffix in PICKLES:
        raise BraindecError(
            f"{what}: weights are not read from a pickle, which can run any code when it is opened", found=str(file),
            allowed="a .safetensors file", fix=CONVERT.replace("FILE", str(file)),
        )  # fmt: skip
    if not file.is_file():
        raise BraindecError(
            f"{what}: there is no file {file}", allowed="a .safetensors file with torchvision's parameter names"
        )
    try:
        return load_file(file)
    except SafetensorError as error:
        raise UnreadableError(
            f"{what}: {file} is no safetensors file, or is damaged", found=str(error), fix=CONVERT
        ) from error


def need_torchvision(what: str) -> Any:
    """Return torchvision, or say how to get one that fits torch."""
    try:
        import torchvision
    except ImportError as error:
        raise MissingExtraError.of("torchvision", "pictures", what) from error
    except RuntimeError as error:  # its operators were compiled for another torch
        raise BraindecError(
            f"{what} needs a torchvision that fits the torch installed here", found=str(error).splitlines()[0],
            fix="install the two together, from one index: pip install --force-reinstall torch torchvision",
        ) from error  # fmt: skip
    return torchvision
