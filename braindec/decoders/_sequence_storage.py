"""A decoder of sequences on disk: encoders in their own folders, each subject's standardisation, nothing pickled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file
from torch import nn

from braindec.decoders._reading import WindowReader
from braindec.decoders._sequence_data import SequenceTargets
from braindec.decoders._stored import _below, _pack, _plain, _record, _unpack, _unrecord
from braindec.encoders._base import Encoder
from braindec.errors import BraindecError
from braindec.files import write_text
from braindec.weights import check_whole, read_json, save_tensors, sha256

__all__ = ["load_sequences", "packed_readers", "save_sequences", "unpacked_readers"]


def save_sequences(decoder: Any, folder: str | Path) -> Path:
    """Write ``decoder.json``, ``decoder.safetensors`` and the encoders; return the folder."""
    folder = Path(folder)
    tensors = {"target_mean": decoder.targets_.mean, "target_scale": decoder.targets_.scale}
    tensors |= {f"history.{name}": values for name, values in decoder.history_.items()}
    readers = packed_readers(decoder, tensors)
    registered = isinstance(decoder.encoder_, Encoder)
    if registered:
        decoder.encoder_.save(folder / "encoder")
    else:
        tensors |= {f"module.{k}": v.detach().cpu().numpy() for k, v in decoder.encoder_.state_dict().items()}
    if decoder.target_ is not None:
        decoder.target_.save(folder / "target")
    made = {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in tensors.items()}
    save_tensors(made, folder / "decoder.safetensors")
    about = {
        "decoder": type(decoder).__name__,
        "params": {k: v if _plain(v) else None for k, v in decoder.get_params(deep=False).items()},
        "subjects": decoder.subjects_, "readers": readers, "registered_encoder": registered,
        "n_chans": decoder.n_chans_, "dim": decoder.dim_, "ch_names": decoder.ch_names_, "scale": decoder.scale_,
        "fit_records": [_record(r) for r in decoder.fit_records_], "sha256": sha256(folder / "decoder.safetensors"),
    }  # fmt: skip
    write_text(folder / "decoder.json", json.dumps(about) + "\n")
    return folder


def load_sequences(kind: type, folder: str | Path, *, encoder: nn.Module | None = None) -> Any:
    """Return the decoder that :func:`save_sequences` wrote.

    Raises
    ------
    BraindecError
        If the folder holds no whole decoder of this class, or its encoder was a module of your own and is not given.
    """
    folder = Path(folder)
    about = read_json(folder / "decoder.json")
    if about.get("decoder") != kind.__name__:
        raise BraindecError(f"{folder} does not hold a {kind.__name__}", found=repr(about.get("decoder")))
    check_whole(folder / "decoder.safetensors", about["sha256"])
    tensors = load_file(folder / "decoder.safetensors")
    decoder = kind(**about["params"])
    decoder.targets_ = SequenceTargets(tensors["target_mean"], tensors["target_scale"])
    decoder.history_ = _below(tensors, "history")
    decoder.readers_ = unpacked_readers(about["readers"], tensors)
    decoder.subjects_, decoder.ch_names_ = about["subjects"], about["ch_names"]
    decoder.n_chans_, decoder.dim_, decoder.scale_ = about["n_chans"], about["dim"], about["scale"]
    decoder.fit_records_ = [_unrecord(r) for r in about["fit_records"]]
    decoder.target_ = Encoder.load(folder / "target") if (folder / "target").is_dir() else None
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
    return decoder


def packed_readers(decoder: Any, tensors: dict[str, Any]) -> list[dict[str, Any]]:
    """Describe each subject's fitted transforms by plain values; their arrays go into ``tensors``."""
    found = []
    for number, (name, reader) in enumerate(decoder.readers_.items()):
        steps = [_pack(t, f"reader.{number}.{i}", tensors) for i, t in enumerate(reader.transforms)]
        found.append({"subject": name, "ch_names": reader.ch_names, "n_times": reader.n_times, "sfreq": reader.sfreq,
                      "scale_by": reader.scale_by, "transforms": steps})  # fmt: skip
    return found


def unpacked_readers(stored: list[dict[str, Any]], tensors: dict[str, np.ndarray]) -> dict[str, WindowReader]:
    """The readers that :func:`packed_readers` described."""
    readers = {}
    for number, one in enumerate(stored):
        reader = WindowReader(None, one["scale_by"])
        reader.transforms = [_unpack(s, f"reader.{number}.{i}", tensors) for i, s in enumerate(one["transforms"])]
        reader.ch_names, reader.n_times, reader.sfreq = one["ch_names"], one["n_times"], one["sfreq"]
        readers[one["subject"]] = reader
    return readers
