"""Fitted picture decoders on disk: plain values as JSON, arrays as safetensors, parts in folders of their own; no pickle.

Shared by all decoders of pictures and films: ``save_picture_decoder`` writes options, records and the reader of windows;
pipelines and nested decoders go into sub-folders through their own ``save_pretrained`` / ``save``.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file

from braindec import registry
from braindec.decoders._reading import WindowReader
from braindec.decoders._stored import _below, _pack, _plain, _record, _unpack, _unrecord
from braindec.errors import BraindecError
from braindec.files import write_text
from braindec.weights import check_whole, read_json, save_tensors, sha256

__all__ = ["load_part", "load_picture_decoder", "save_part", "save_picture_decoder", "stored_about"]


def save_picture_decoder(
    decoder: Any, folder: str | Path, *, arrays: Mapping[str, Any] | None = None, more: Mapping[str, Any] | None = None
) -> Path:
    """Write ``decoder.json`` and ``decoder.safetensors``; return the folder.

    Parameters
    ----------
    decoder : PictureDecoder
        With ``fit_records_`` and ``picture_shape_``; its ``reader_`` is kept where it has one.
    arrays : dict of array, optional
        Further arrays.
    more : dict, optional
        Further plain JSON values.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"own.{k}": np.asarray(v) for k, v in (arrays or {}).items()}
    reader = getattr(decoder, "reader_", None)
    stored = None
    if reader is not None:
        steps = [_pack(t, f"transform.{i}", tensors) for i, t in enumerate(reader.transforms)]
        stored = {"ch_names": reader.ch_names, "n_times": reader.n_times, "sfreq": reader.sfreq, "scale_by": reader.scale_by,
                  "transforms": steps}  # fmt: skip
    tensors.setdefault("own.empty", np.zeros(1, np.float32))
    save_tensors(
        {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in tensors.items()}, folder / "decoder.safetensors"
    )
    about = {
        "decoder": type(decoder).__name__,
        "params": {k: v if _plain(v) else None for k, v in decoder.get_params(deep=False).items()},
        "reader": stored,
        "picture_shape": list(decoder.picture_shape_),
        "fit_records": [_record(r) for r in decoder.fit_records_],
        "more": dict(more or {}),
        "sha256": sha256(folder / "decoder.safetensors"),
    }
    write_text(folder / "decoder.json", json.dumps(about) + "\n")
    return folder


def load_picture_decoder(kind: type, folder: str | Path) -> tuple[Any, dict[str, np.ndarray], dict[str, Any]]:
    """Return (decoder, further arrays, further values) of :func:`save_picture_decoder`.

    Raises
    ------
    BraindecError
        If the folder holds no whole decoder of this class.
    """
    folder = Path(folder)
    about = stored_about(kind, folder)
    check_whole(folder / "decoder.safetensors", about["sha256"])
    tensors = load_file(folder / "decoder.safetensors")
    decoder = kind(**about["params"])
    decoder.picture_shape_ = tuple(about["picture_shape"])
    decoder.fit_records_ = [_unrecord(r) for r in about["fit_records"]]
    stored = about["reader"]
    if stored is not None:
        reader = WindowReader(None, stored["scale_by"])
        reader.transforms = [_unpack(step, f"transform.{i}", tensors) for i, step in enumerate(stored["transforms"])]
        reader.ch_names, reader.n_times, reader.sfreq = stored["ch_names"], stored["n_times"], stored["sfreq"]
        decoder.reader_ = reader
    arrays = {k: v for k, v in _below(tensors, "own").items() if k != "empty"}
    return decoder, arrays, about["more"]


def stored_about(kind: type, folder: str | Path) -> dict[str, Any]:
    """Return what stands in ``decoder.json`` of a folder that holds a decoder of this class.

    Raises
    ------
    BraindecError
        If it holds none, one of another class, or one with options that this version does not have.
    """
    about = read_json(Path(folder) / "decoder.json")
    if about.get("decoder") != kind.__name__:
        raise BraindecError(f"{folder} does not hold a {kind.__name__}", found=repr(about.get("decoder")))
    strange = [name for name in about.get("params", {}) if name not in inspect.signature(kind).parameters]
    if strange:
        raise BraindecError(
            f"{folder} was saved by another version of {kind.__name__}",
            found=f"option {strange[0]!r}",
            fix="fit and save it again",
        )
    return about


def save_part(decoder: Any, folder: str | Path) -> None:
    """Save a decoder inside another one, with its name in the registry, for :func:`load_part`."""
    name = type(decoder).__module__.rpartition(".")[2]
    if name not in registry.names("decoders"):
        raise BraindecError(f"{type(decoder).__name__} is no decoder of the registry, so it cannot be saved as a part")
    decoder.save(folder)
    write_text(Path(folder) / "part.json", json.dumps({"name": name}) + "\n")


def load_part(folder: str | Path) -> Any:
    """Return the decoder that :func:`save_part` wrote."""
    name = read_json(Path(folder) / "part.json").get("name")
    return registry.get("decoders", str(name)).load(folder)
