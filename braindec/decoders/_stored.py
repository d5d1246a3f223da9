"""Fitted decoders on disk: the encoder in its own folder, arrays as safetensors, the rest as JSON; nothing pickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file
from torch import nn

from braindec import registry
from braindec.decoders._reading import WindowReader
from braindec.encoders._base import Encoder
from braindec.errors import BraindecError
from braindec.files import write_text
from braindec.types import FitRecord
from braindec.weights import check_whole, read_json, save_tensors, sha256

_TARGETS = ("feature_mean", "feature_scale")  # of decoders that embed

__all__ = ["load_decoder", "save_decoder"]


def save_decoder(
    decoder: Any, folder: str | Path, *, arrays: Mapping[str, np.ndarray], more: Mapping[str, Any] | None = None
) -> Path:
    """Write ``decoder.json``, ``decoder.safetensors`` and the encoder; return the folder.

    Parameters
    ----------
    decoder : estimator
        With ``encoder_``, ``reader_``, ``fit_records_``, and ``feature_mean_`` and ``feature_scale_`` if it embeds.
    arrays : dict of array
        Further arrays.
    more : dict, optional
        Further plain JSON values.
    """
    folder = Path(folder)
    tensors = {name: getattr(decoder, f"{name}_") for name in _TARGETS if hasattr(decoder, f"{name}_")}
    tensors |= {f"own.{name}": np.asarray(value) for name, value in arrays.items()}
    reader = decoder.reader_
    steps = [_pack(t, f"transform.{i}", tensors) for i, t in enumerate(reader.transforms)]
    if isinstance(decoder.encoder_, Encoder):
        decoder.encoder_.save(folder / "encoder")
    else:
        tensors |= {f"module.{k}": v.detach().cpu().numpy() for k, v in decoder.encoder_.state_dict().items()}
    save_tensors(
        {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in tensors.items()}, folder / "decoder.safetensors"
    )
    about = {
        "decoder": type(decoder).__name__,
        "params": {k: v if _plain(v) else None for k, v in decoder.get_params(deep=False).items()},
        "reader": {"ch_names": reader.ch_names, "n_times": reader.n_times, "sfreq": reader.sfreq, "scale_by": reader.scale_by,
                   "transforms": steps},
        "fit_records": [_record(r) for r in decoder.fit_records_],
        "registered_encoder": isinstance(decoder.encoder_, Encoder),
        "more": dict(more or {}),
        "sha256": sha256(folder / "decoder.safetensors"),
    }  # fmt: skip
    write_text(folder / "decoder.json", json.dumps(about) + "\n")
    return folder


def load_decoder(
    kind: type, folder: str | Path, *, encoder: nn.Module | None = None
) -> tuple[Any, dict[str, np.ndarray], dict[str, Any]]:
    """Return (decoder, further arrays, further values) of :func:`save_decoder`.

    Parameters
    ----------
    kind : type
        Class of the decoder.
    folder : path
    encoder : nn.Module, optional
        The module that the weights are put into, when the encoder is not one of the registry.

    Raises
    ------
    BraindecError
        If the folder holds no whole decoder of this class.
    """
    folder = Path(folder)
    about = read_json(folder / "decoder.json")
    if about.get("decoder") != kind.__name__:
        raise BraindecError(f"{folder} does not hold a {kind.__name__}", found=repr(about.get("decoder")))
    check_whole(folder / "decoder.safetensors", about["sha256"])
    tensors = load_file(folder / "decoder.safetensors")
    decoder = kind(**about["params"])
    for name in _TARGETS:
        if name in tensors:
            setattr(decoder, f"{name}_", tensors[name])
    stored = about["reader"]
    reader = WindowReader(None, stored["scale_by"])
    reader.transforms = [_unpack(step, f"transform.{i}", tensors) for i, step in enumerate(stored["transforms"])]
    reader.ch_names, reader.n_times, reader.sfreq = stored["ch_names"], stored["n_times"], stored["sfreq"]
    decoder.reader_ = reader
    decoder.fit_records_ = [_unrecord(r) for r in about["fit_records"]]
    if about["registered_encoder"]:
        decoder.encoder_ = (
            Encoder.load(folder / "encoder") if encoder is None else type(encoder).load(folder / "encoder")
        )
    elif encoder is None:
        raise BraindecError(
            f"the encoder in {folder} is a module of your own", fix="load(folder, encoder=MyModule(...))"
        )
    else:
        encoder.load_state_dict({k: torch.from_numpy(v) for k, v in _below(tensors, "module").items()})
        decoder.encoder_ = encoder.eval()
    return decoder, _below(tensors, "own"), about["more"]


def _pack(transform: Any, prefix: str, tensors: dict[str, np.ndarray]) -> dict[str, Any]:
    """Describe a fitted transform by plain values; its arrays go into ``tensors``."""
    name = type(transform).__module__.rpartition(".")[2]
    if name not in registry.names("signal.transforms"):
        raise BraindecError(
            f"{type(transform).__name__} is not a transform of the registry", fix="use a name in signal/transforms"
        )
    params = transform.get_params(deep=False)
    state = {k: _pack_value(v, f"{prefix}.{k}", tensors) for k, v in vars(transform).items() if k not in params}
    return {"name": name, "params": params, "state": state}


def _pack_value(value: Any, place: str, tensors: dict[str, np.ndarray]) -> Any:
    if isinstance(value, np.ndarray):
        tensors[place] = value
        return {"array": place}
    if isinstance(value, FitRecord):
        return {"record": _record(value)}
    if isinstance(value, Mapping):
        return {"dict": {k: _pack_value(v, f"{place}.{k}", tensors) for k, v in value.items()}}
    if isinstance(value, (list, tuple)):
        return {"list": [_pack_value(v, f"{place}.{i}", tensors) for i, v in enumerate(value)]}
    return {"value": value.item() if isinstance(value, np.generic) else value}


def _unpack(step: Mapping[str, Any], prefix: str, tensors: Mapping[str, np.ndarray]) -> Any:
    transform = registry.get("signal.transforms", step["name"])(**step["params"])
    for name, packed in step["state"].items():
        setattr(transform, name, _unpack_value(packed, tensors))
    return transform


def _unpack_value(packed: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> Any:
    ((kind, value),) = packed.items()
    if kind == "array":
        return tensors[value]
    if kind == "record":
        return _unrecord(value)
    if kind == "dict":
        return {k: _unpack_value(v, tensors) for k, v in value.items()}
    return [_unpack_value(v, tensors) for v in value] if kind == "list" else value


def _record(record: FitRecord) -> dict[str, Any]:
    return {"step": record.step, "ids": [str(i) for i in record.ids], "purpose": record.purpose}


def _unrecord(stored: Mapping[str, Any]) -> FitRecord:
    return FitRecord.of(stored["step"], stored["ids"], purpose=stored["purpose"])


def _below(tensors: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {k[len(prefix) + 1 :]: v for k, v in tensors.items() if k.startswith(f"{prefix}.")}


def _plain(value: Any) -> bool:
    try:
        json.dumps(value)
    except TypeError:
        return False
    return True
