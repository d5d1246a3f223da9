"""Weights on disk and on the hub: safetensors only, whole, and no larger than memory.

Pickles (.bin, .ckpt, .pt, .pth, .pkl) can run code when they are opened: they are refused, with the lines that convert them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from braindec.diffusion.memory import available_memory
from braindec.errors import BraindecError

__all__ = ["PICKLES", "check_weights", "from_hub", "how_to_convert", "pickle_refused", "read_config"]

PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl", ".pickle")


def how_to_convert(path: str | Path) -> str:
    """Return the lines that turn a pickle of weights into safetensors without running code that is in it."""
    path = Path(path)
    return (
        "import torch\nfrom safetensors.torch import save_file\n"
        f"state = torch.load({str(path)!r}, map_location='cpu', weights_only=True)\n"
        "state = state.get('state_dict', state)\n"
        "state = {k: v.contiguous().clone() for k, v in state.items() if isinstance(v, torch.Tensor)}\n"
        f"save_file(state, {str(path.with_name(_safe_name(path.name)))!r}, metadata={{'format': 'pt'}})\n"
    )


def pickle_refused(paths: Sequence[Path]) -> BraindecError:
    """Return the error for weights that are pickles."""
    shown = ", ".join(p.name for p in paths[:3])
    lines = how_to_convert(paths[0]).replace("\n", "\n           ")
    return BraindecError(
        f"the weights in {paths[0].parent} are a pickle, which can run code when it is opened", found=shown,
        allowed="safetensors", fix=f"convert it once (this reads tensors only), then open it again:\n           {lines}",
    )  # fmt: skip


def check_weights(place: Path, dtype: torch.dtype, variant: str | None = None) -> None:
    """Raise unless there are whole safetensors (of a variant such as "fp16") that fit into memory."""
    there = sorted(place.glob("*.safetensors"))
    files = [
        f for f in there if (f".{variant}" in f.name if variant else "." not in f.name.removesuffix(".safetensors"))
    ]
    if there and not files:
        raise BraindecError(
            f"{place} has no weights of the variant {variant!r}", found=", ".join(f.name for f in there[:3]),
            fix='variant="fp16" takes diffusion_pytorch_model.fp16.safetensors, variant=None the one without such a mark',
        )  # fmt: skip
    if not files:
        pickles = sorted(p for p in place.iterdir() if p.suffix.lower() in PICKLES)
        if pickles:
            raise pickle_refused(pickles)
        raise BraindecError(
            f"{place} has no weights",
            found="a configuration only",
            fix="copy the safetensors beside it (pickles are not downloaded: convert them elsewhere)",
        )
    for index in place.glob("*.safetensors.index.json"):
        missing = sorted({f for f in read_config(index).get("weight_map", {}).values() if not (place / f).is_file()})
        if missing:
            raise BraindecError(
                f"{place} lacks a part of the weights", found=f"no {', '.join(missing)}", fix="copy it again"
            )
    numbers = 0
    for file in files:
        try:
            with safe_open(file, "pt") as tensors:
                numbers += sum(_numel(tensors.get_slice(k).get_shape()) for k in tensors.keys())
        except (SafetensorError, OSError) as error:
            raise BraindecError(f"{file} is damaged", found=str(error), fix="copy or download it again") from error
    free = available_memory()
    if numbers * dtype.itemsize > free:
        raise BraindecError(
            f"memory does not suffice for the weights in {place}", found=f"{numbers * dtype.itemsize / 2**30:.1f} GiB needed",
            allowed=f"{free / 2**30:.1f} GiB are free", fix='use dtype="fp16" or "bf16", or a smaller model',
        )  # fmt: skip


def from_hub(name: str, folders: Sequence[str], *, what: str, local_only: bool, variant: str | None) -> Path:
    """Return the folder of a model of the hub on this machine.

    Parameters
    ----------
    name : str
        "owner/model".
    folders : sequence of str
        Where the component may be in it, beside its top.
    what : {"component", "pipeline", "file"}
        Weights of the component alone, of all folders, or all at the top.
    local_only : bool
        Look into the cache only.
    variant : str, optional
        As "fp16".

    Raises
    ------
    BraindecError
        If it is not in the cache, or cannot be had from the hub.
    """
    parts = name.split("/")
    if len(parts) != 2 or not all(parts) or name.startswith((".", "~")):
        raise BraindecError(
            f"there is no folder {name}", allowed="a folder, or a name on the hub such as 'owner/model'"
        )
    from huggingface_hub import snapshot_download

    marked = f".{variant}" if variant else ""
    wanted = {
        "pipeline": ["*.json", "*.txt", "*.model", f"*/*{marked}.safetensors", f"*/*{marked}-*.safetensors"],
        "component": ["*.json", *(f"{f}/*.safetensors" for f in folders), "diffusion_pytorch_model*.safetensors", "model*.safetensors"],
        "file": ["*.safetensors"],
    }[what]  # fmt: skip
    other = [] if variant else ["*.fp16.*", "*.non_ema.*", "*.bf16.*"]
    try:
        return Path(snapshot_download(name, local_files_only=local_only, allow_patterns=wanted, ignore_patterns=other))
    except Exception as error:  # a dozen types: not found, gated, no network, time-outs of two libraries
        reason = str(error).strip().splitlines()[0][:200]
        if local_only:
            raise BraindecError(
                f"{name!r} is neither a folder here nor in the cache of the hub", found=reason,
                fix=f"pass local_only=False to download it, or run: hf download {name} --local-dir FOLDER",
            ) from error  # fmt: skip
        raise BraindecError(
            f"{name!r} could not be had from the hub",
            found=f"{type(error).__name__}: {reason}",
            fix="see whether this machine is online, the name is right and its terms were accepted (hf auth login); or copy the "
            "folder here and give its path",
        ) from error


def read_config(file: Path) -> dict[str, Any]:
    """Read a JSON file that came with weights, or say that it is damaged."""
    try:
        return json.loads(file.read_text(encoding="utf8"))
    except ValueError as error:
        raise BraindecError(f"{file} is damaged", found=str(error), fix="copy or download it again") from error


def _safe_name(name: str) -> str:
    """The name under which diffusers and transformers look for the weights that were in a pickle."""
    stem = name.rsplit(".", 1)[0]
    return ("model" if stem == "pytorch_model" else stem) + ".safetensors"


def _numel(shape: Sequence[int]) -> int:
    return int(torch.Size(shape).numel())
