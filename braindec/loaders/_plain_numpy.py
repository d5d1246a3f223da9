"""Arrays, dtypes and scalars of numpy from what a pickle says of them, each checked against the bytes that are there.

See :mod:`braindec.loaders.plain_pickle`. Nothing here trusts the file: a dtype is made from its code alone, an array
has exactly the bytes that its shape needs, and numbers of large arrays stay in the file.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

__all__ = [
    "Name",
    "Pending",
    "Refused",
    "Span",
    "call",
    "done",
    "finished",
    "key_of",
    "make_array",
    "pairs",
    "state_of_dtype",
]

_CODE = re.compile(r"[<>|=]?(b1|i[1248]|u[1248]|f[248]|c8|c16|c(?=$)|O8?|S\d{1,6}|U\d{1,6})")
_DEEPEST = 60
_MOST_AXES = 32
_MOST_READ = 2**30  # bytes of one block that is no array
_KEYS = (str, bytes, int, float, bool, type(None), np.generic)


class Refused(Exception):
    """What was found that is not plain data."""


@dataclass(frozen=True)
class Name:
    """What a name of the closed list stands for."""

    kind: str


@dataclass(frozen=True)
class Span:
    """A block of bytes that stays in the file."""

    offset: int
    size: int

    def __len__(self) -> int:
        return self.size


class Pending:
    """An array or dtype between the opcodes REDUCE and BUILD; ``value`` is there when it is done."""

    __slots__ = ("kind", "value")

    def __init__(self, kind: str, value: Any = None) -> None:
        self.kind, self.value = kind, value


def call(kind: str, arguments: tuple, path: Path) -> Any:
    """Do what a name of the closed list stands for.

    Raises
    ------
    Refused
        If the arguments are not those that numpy writes.
    """
    arguments = tuple(done(a) for a in arguments)
    if kind == "reconstruct" and arguments[:1] == (Name("ndarray"),):
        return Pending("array")
    if kind == "dtype":
        return Pending("dtype", _dtype(arguments[0]))
    if kind == "encode" and isinstance(arguments[0], str) and arguments[1:] in (("latin1",), ("latin-1",)):
        return arguments[0].encode("latin1")
    if kind == "bytes" and arguments == ():  # how old protocols write no bytes
        return b""
    if kind == "scalar" and isinstance(arguments[0], np.dtype):
        return make_array((), arguments[0], "C", arguments[1], path)[()]
    if kind == "frombuffer":
        data, dtype, shape, order = arguments
        return make_array(shape, dtype, order, data, path)
    raise Refused(f"a call of {kind} with arguments that numpy does not write")


def done(value: Any) -> Any:
    """Return the array or dtype itself, when it is finished."""
    if not isinstance(value, Pending):
        return value
    if value.value is None:
        raise Refused("an array without a state")
    return value.value


def state_of_dtype(dtype: np.dtype, state: tuple) -> np.dtype:
    """Apply what numpy writes beside the code of a dtype: only the order of the bytes may differ."""
    order, parts, size = state[1], state[2:5], state[5]
    if order not in ("<", ">", "|", "=") or any(p is not None for p in parts) or size not in (-1, dtype.itemsize):
        raise Refused("a dtype with fields, or of another size than its code says")
    return dtype.newbyteorder(order) if order in "<>" and dtype.kind in "iufcU" else dtype


def make_array(shape: Any, dtype: Any, order: str, data: Any, path: Path) -> np.ndarray:
    """Make an array of bytes, or map it where it stands in the file.

    Raises
    ------
    Refused
        If the bytes are not those that shape and dtype need.
    """
    if not isinstance(dtype, np.dtype) or order not in ("C", "F"):
        raise Refused("an array without a dtype")
    whole = isinstance(shape, tuple) and all(type(n) is int and 0 <= n < 2**48 for n in shape)
    if not whole or len(shape) > _MOST_AXES:
        raise Refused(f"an array of shape {str(shape)[:60]}")
    size = math.prod(shape)
    if dtype.kind == "O":
        return _objects(shape, order, data, size)
    data = data.encode("latin1") if isinstance(data, str) else data  # as Python 2 wrote it
    if not isinstance(data, (bytes, Span)) or not dtype.itemsize or len(data) != size * dtype.itemsize:
        held = len(data) if hasattr(data, "__len__") else 0
        raise Refused(f"an array of shape {shape} and dtype {dtype} with {held} bytes")
    if isinstance(data, Span):
        return np.memmap(path, dtype=dtype, mode="r", offset=data.offset, shape=shape, order=order)
    return np.frombuffer(data, dtype=dtype).reshape(shape, order=order)


def _objects(shape: tuple, order: str, data: Any, size: int) -> np.ndarray:
    if type(data) is not list or len(data) != size:
        raise Refused("an array of objects that is no list of them")
    flat = np.empty(size, dtype=object)
    for place, item in enumerate(data):
        flat[place] = item
    return flat.reshape(shape, order=order)


def _dtype(code: Any) -> np.dtype:
    code = code.decode("latin1") if isinstance(code, bytes) else code
    if not isinstance(code, str) or not _CODE.fullmatch(code):
        raise Refused(f"the dtype {str(code)[:40]!r}")
    return np.dtype(object) if code.lstrip("<>|=").startswith("O") else np.dtype(code)


def finished(value: Any, path: Path) -> Any:
    """Return the value with everything in it finished: arrays, and blocks of bytes that are read after all.

    Raises
    ------
    Refused
        If it holds itself, is nested very deeply, or a name of the closed list stands in it.
    """
    return _finish(value, path, {}, set(), 0)


def _finish(value: Any, path: Path, seen: dict[int, tuple[Any, Any]], active: set[int], depth: int) -> Any:
    value = done(value)
    if isinstance(value, Span):
        return _read(value, path)
    if isinstance(value, Name):
        raise Refused(f"the name of {value.kind} as a value")
    holds = isinstance(value, (list, tuple, dict)) or (isinstance(value, np.ndarray) and value.dtype.kind == "O")
    if not holds:
        return value
    if id(value) in seen:
        return seen[id(value)][1]
    if id(value) in active or depth > _DEEPEST:
        raise Refused("something that holds itself" if id(value) in active else f"more than {_DEEPEST} levels")
    active.add(id(value))

    def inner(item: Any) -> Any:
        return _finish(item, path, seen, active, depth + 1)

    made = value
    if isinstance(value, tuple):
        made = tuple(inner(v) for v in value)
    elif isinstance(value, list):
        value[:] = [inner(v) for v in value]
    elif isinstance(value, dict):
        for key in value:
            value[key] = inner(value[key])
    else:
        for place in np.ndindex(value.shape):
            value[place] = inner(value[place])
    active.discard(id(value))
    seen[id(value)] = (value, made)  # the value is kept, so that its id is not given to another
    return made


def _read(span: Span, path: Path) -> bytes:
    if span.size > _MOST_READ:
        raise Refused(f"a block of {span.size:,} bytes that is no array")
    with path.open("rb") as stream:
        stream.seek(span.offset)
        return stream.read(span.size)


def key_of(key: Any) -> Any:
    """Return a key of a dictionary: text, bytes, a number, or a tuple of these."""
    plain = isinstance(key, _KEYS) or (isinstance(key, tuple) and all(isinstance(k, _KEYS) for k in key))
    if not plain:
        raise Refused(f"a key of type {type(key).__name__}")
    return key


def pairs(items: list[Any]) -> dict:
    """Return keys and values that stand by turns as a dictionary."""
    if len(items) % 2:
        raise ValueError("a key without a value")
    return {key_of(items[k]): items[k + 1] for k in range(0, len(items), 2)}
