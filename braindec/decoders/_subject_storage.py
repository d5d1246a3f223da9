"""A decoder of several subjects on disk: encoder in its own folder, each subject's standardisation, nothing pickled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file

from braindec.decoders._reading import WindowReader
from braindec.decoders._stored import _pack, _plain, _record, _unpack, _unrecord
from braindec.encoders._base import Encoder
from braindec.errors import BraindecError
from braindec.files import write_text
from braindec.weights import check_whole, read_json, save_tensors, sha256

__all__ = ["load_subjects", "save_subjects"]


def save_subjects(decoder: Any, folder: str | Path) -> Path:
    """Write ``decoder.json``, ``decoder.safetensors`` and the encoder of a CrossSubjectDecoder; return the folder."""
    folder = Path(folder)
    tensors = {"feature_mean": decoder.feature_mean_, "feature_scale": decoder.feature_scale_}
    tensors |= {f"history.{name}": values for name, values in decoder.history_.items()}
    readers = []
    for number, name in enumerate(decoder.subjects_):
        reader = decoder.readers_[name]
        steps = [_pack(t, f"reader.{number}.{i}", tensors) for i, t in enumerate(reader.transforms)]
        readers.append({"subject": name, "ch_names": reader.ch_names, "n_times": reader.n_times, "sfreq": reader.sfreq,
                        "scale_by": reader.scale_by, "transforms": steps})  # fmt: skip
    decoder.encoder_.save(folder / "encoder")
    save_tensors(
        {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in tensors.items()}, folder / "decoder.safetensors"
    )
    about = {
        "decoder": type(decoder).__name__,
        "params": {k: v if _plain(v) else None for k, v in decoder.get_params(deep=False).items()},
        "readers": readers,
        "fit_records": [_record(r) for r in decoder.fit_records_],
        "sha256": sha256(folder / "decoder.safetensors"),
    }
    write_text(folder / "decoder.json", json.dumps(about) + "\n")
    return folder


def load_subjects(kind: type, folder: str | Path) -> Any:
    """Return the decoder that :func:`save_subjects` wrote.

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
    decoder.feature_mean_, decoder.feature_scale_ = tensors["feature_mean"], tensors["feature_scale"]
    decoder.history_ = {n[len("history.") :]: v for n, v in tensors.items() if n.startswith("history.")}
    decoder.readers_ = {}
    for number, stored in enumerate(about["readers"]):
        reader = WindowReader(None, stored["scale_by"])
        reader.transforms = [_unpack(s, f"reader.{number}.{i}", tensors) for i, s in enumerate(stored["transforms"])]
        reader.ch_names, reader.n_times, reader.sfreq = stored["ch_names"], stored["n_times"], stored["sfreq"]
        decoder.readers_[stored["subject"]] = reader
    decoder.subjects_ = list(decoder.readers_)
    decoder.fit_records_ = [_unrecord(r) for r in about["fit_records"]]
    decoder.encoder_ = Encoder.load(folder / "encoder")
    return decoder
