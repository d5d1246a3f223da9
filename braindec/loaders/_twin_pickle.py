"""Write plain data as a pickle of protocol 4, for twins of data that are published so; same content, same bytes.

Opcode by opcode, as ``pickletools`` documents them: nothing is pickled, and no version of Python or numpy changes a
byte.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["plain_pickle", "save_npy_dictionary"]

_MULTIARRAY = "numpy.core.multiarray"  # the name that numpy had when the data sets were published


def plain_pickle(value: Any, *, dict_class: str | None = None) -> bytes:
    """Return the bytes of a pickle.

    Parameters
    ----------
    value : object
        None, bool, int (64 bit), float, str, bytes, list, tuple, dict, and arrays of numbers.
    dict_class : str, optional
        ``"module.Class"``: dictionaries are written as items of this class.
    """
    return b"\x80\x04" + _of(value, dict_class) + b"."


def save_npy_dictionary(path: Path, value: dict[str, Any]) -> None:
    """Write a dictionary as ``numpy.save(path, dictionary)`` does: an object array without axes in a .npy file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    head = b"{'descr': '|O', 'fortran_order': False, 'shape': (), }"
    head = head.ljust(128 - 11) + b"\n"
    state = b"(K\x01)" + _dtype(np.dtype(object)) + b"\x89" + _of([value], None) + b"tb"
    with path.open("wb") as stream:
        stream.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head)
        stream.write(b"\x80\x04" + _empty_array() + state + b".")


def _of(value: Any, dict_class: str | None) -> bytes:
    if value is None or isinstance(value, bool):
        return {None: b"N", True: b"\x88", False: b"\x89"}[value]
    if isinstance(value, (int, np.integer)):
        return b"J" + struct.pack("<i", value) if -(2**31) <= value < 2**31 else b"\x8a\x08" + struct.pack("<q", value)
    if isinstance(value, (float, np.floating)):
        return b"G" + struct.pack(">d", value)
    if isinstance(value, str):
        data = value.encode("utf8")
        return b"X" + struct.pack("<I", len(data)) + data
    if isinstance(value, bytes):
        return b"\x8e" + struct.pack("<Q", len(value)) + value
    if isinstance(value, np.ndarray):
        return _array(value)
    if isinstance(value, list):
        return b"](" + b"".join(_of(v, dict_class) for v in value) + b"e"
    if isinstance(value, tuple):
        return b"(" + b"".join(_of(v, dict_class) for v in value) + b"t"
    items = b"".join(_of(k, None) + _of(v, dict_class) for k, v in value.items())
    made = b"}" if dict_class is None else _name(*dict_class.rsplit(".", 1)) + b")\x81"
    return made + b"(" + items + b"u"


def _name(module: str, name: str) -> bytes:
    return _of(module, None) + _of(name, None) + b"\x93"


def _empty_array() -> bytes:
    return _name(_MULTIARRAY, "_reconstruct") + _name("numpy", "ndarray") + b"K\x00\x85C\x01b\x87R"


def _dtype(dtype: np.dtype) -> bytes:
    """The code of a dtype, and the state that numpy writes beside it."""
    order, code = dtype.str[0], {"O": "O8"}.get(dtype.kind, dtype.str[1:])
    size, align, flags = {"U": (dtype.itemsize, 4, 8), "S": (dtype.itemsize, 1, 8), "O": (-1, -1, 63)}.get(
        dtype.kind, (-1, -1, 0)
    )
    state = _of((3, order, None, None, None, size, align, flags), None) + b"b"
    return _name("numpy", "dtype") + _of((code, False, True), None) + b"R" + state


def _array(array: np.ndarray) -> bytes:
    array = np.ascontiguousarray(array)
    state = _of((1, tuple(array.shape)), None)[:-1] + _dtype(array.dtype) + b"\x89" + _of(array.tobytes(), None) + b"t"
    return _empty_array() + state + b"b"
