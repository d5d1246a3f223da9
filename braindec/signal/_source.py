"""What a recording is made of, as a key of the cache: the content of its files and the selection, or of its samples."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from braindec.cache import fingerprint, hash_key
from braindec.types import Recording, Signal

_BLOCK = 2**24  # samples hashed at once


def source_key(recording: Recording) -> dict[str, Any]:
    """Return plain JSON that changes when samples, tables or info of the recording change.

    A file counts by its content, not by its place: data that were moved are found again.
    """
    info = {k: v for k, v in recording.info.items() if k != "path"}
    return {
        "signal": _signal_key(recording.signal),
        "sfreq": recording.sfreq,
        "channels": hash_key(_table(recording.channels)),
        "events": hash_key(_table(recording.events)),
        "info": hash_key(info),
    }


def _signal_key(signal: Signal) -> Any:
    if signal.path is None:
        return {"content": _content(signal), "shape": list(signal.shape)}
    state = signal.__getstate__()  # what it takes to open the signal again
    return {
        "class": type(signal).__name__,
        **{k: _plain(v, signal.path) for k, v in sorted(state.items()) if k != "slow"},
    }


def _plain(value: Any, path: str) -> Any:
    """Plain JSON of one part of a signal's state; ``path`` and whole paths to files count by content."""
    if isinstance(value, Signal):
        return _signal_key(value)
    if isinstance(value, np.ndarray):
        return [str(value.dtype), list(value.shape), hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()]
    if isinstance(value, Mapping):
        return {str(k): _plain(v, path) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v, path) for v in value]
    if isinstance(value, pd.DataFrame):
        return hash_key(_table(value))
    if isinstance(value, (str, Path)) and (str(value) == str(path) or os.path.isabs(value)) and os.path.exists(value):
        return {"files": [fingerprint(p) for p in files_of(value)]}
    return value if isinstance(value, (bool, int, float, type(None))) else str(value)


def files_of(path: str | Path) -> list[Path]:
    """Return the files that a recording named by one of them may be spread over, sorted.

    BrainVision (.vhdr, .vmrk, .eeg), EEGLAB (.set, .fdt), Persyst and KIT share a stem; FIF continues in ``name-1.fif`` or
    ``name_split-02``.
    """
    path = Path(path)
    if path.is_dir():
        return [path]
    stem = path.name.split(".")[0]
    found = {path, *(p for p in path.parent.glob(f"{_literal(stem)}.*") if p.is_file())}
    if path.suffix == ".fif":
        base = path.name.removesuffix(".fif")
        found |= set(path.parent.glob(f"{_literal(base)}-[0-9]*.fif"))
        if "split-01" in base:
            found |= set(path.parent.glob(_literal(path.name).replace("split-01", "split-*")))
    return sorted(found)


def _literal(text: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in text)


def _content(signal: Signal) -> str:
    digest = hashlib.sha256(str(signal.dtype).encode())
    step = max(1, _BLOCK // max(1, signal.shape[1]))
    for start in range(0, signal.shape[0], step):
        digest.update(np.ascontiguousarray(signal.read(slice(start, min(start + step, signal.shape[0])))).tobytes())
    return digest.hexdigest()


def _table(table: pd.DataFrame) -> dict[str, Any]:
    return {str(c): table[c].tolist() for c in table.columns}
