"""Plain data in pickle files, read without running any of the code that a pickle may hold.

Some published data are pickles: the .npy files of THINGS-EEG2 hold a dictionary, Du-IN is lists of dictionaries.
``pickle.load`` calls whatever function such a file names. This module is the one place of braindec that reads them, and
it does not unpickle: it reads the opcodes itself and knows a closed set of them, as ``torch.load`` does with
``weights_only=True``. What it can build: None, bool, int, float, str, bytes, list, tuple, dict, and numpy arrays,
dtypes and scalars of numbers, text or bytes (and object arrays that hold these). Nothing is imported, no function that
the file names is called: the seven names in :data:`_NAMES` only select what *this* module does with the bytes that
follow. Every other name, persistent ids, extension codes, ``__setstate__`` of anything else, and shapes, sizes or memo
references that do not fit the file are refused with one error.

Memory stays flat: the numbers of large arrays are not read but mapped, at the place in the file where they stand.

Source: the opcodes as ``pickletools`` of Python documents them; ``numpy.ndarray.__reduce__`` and
``numpy.dtype.__reduce__``; the header of .npy by ``numpy.lib.format``. A subclass of ``pickle.Unpickler`` with a closed
``find_class`` would be shorter, but numpy's own ``__setstate__`` trusts what the file says of a dtype (a dtype with
false flags makes it take numbers for pointers), and the memo of the C unpickler can be made to take all memory.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Collection
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from braindec.errors import UnreadableError
from braindec.loaders import _files
from braindec.loaders._plain_numpy import (
    Name,
    Pending,
    Refused,
    Span,
    call,
    done,
    finished,
    key_of,
    make_array,
    pairs,
    state_of_dtype,
)

__all__ = ["load_plain"]

_OPCODES = {o.code.encode("latin1"): o for o in pickletools.opcodes}
_NAMES = {
    f"{module}.{name}": kind
    for kind, modules, name in (
        ("reconstruct", ("numpy.core.multiarray", "numpy._core.multiarray"), "_reconstruct"),
        ("scalar", ("numpy.core.multiarray", "numpy._core.multiarray"), "scalar"),
        ("frombuffer", ("numpy.core.numeric", "numpy._core.numeric"), "_frombuffer"),
        ("ndarray", ("numpy",), "ndarray"),
        ("dtype", ("numpy",), "dtype"),
        ("encode", ("_codecs",), "encode"),
        ("bytes", ("__builtin__", "builtins"), "bytes"),
    )
    for module in modules
}
_ALLOWED = "dict, list, tuple, str, bytes, numbers, None, True, False, and numpy arrays of numbers or text"
_MAPPED = 2**16  # bytes: larger blocks of bytes stay in the file
_LONGEST = 2**30  # bytes of a line
_MOST_ITEMS = 50_000_000  # opcodes, and items of object arrays together
_MARK = object()


def load_plain(path: str | Path, *, as_dict: Collection[str] = ()) -> Any:
    """Read a pickle, or a .npy file that holds one; plain data only.

    Parameters
    ----------
    path : str or Path
        A pickle (of any protocol and any ending), or a .npy file. A .npy file of numbers is mapped.
    as_dict : collection of str
        Names of classes derived from dict, such as "DotDict": their items are read as a plain dictionary. The class is
        neither imported nor called.

    Returns
    -------
    object
        An object array without axes gives what it holds (as ``numpy.load(...).item()``). Large arrays are read-only
        maps of the file (``np.memmap``).

    Raises
    ------
    UnreadableError
        If the file holds anything else, is damaged or was cut short. Nothing of it is run.
    """
    path = _files.existing(path)
    if not path.is_file() or not path.stat().st_size:
        raise UnreadableError(f"{path} is empty or no file", fix="copy the file again")
    try:
        with path.open("rb") as stream:
            start = _skip_header(stream, path)
            if isinstance(start, np.ndarray):
                return start
            value = _Machine(path, stream, frozenset(as_dict)).run()
    except Refused as problem:
        raise UnreadableError(
            f"{path} holds more than plain data and is not opened: a pickle can run any code", found=str(problem),
            allowed=_ALLOWED, fix="ask for a plain format (HDF5, .npy of numbers), or convert a file that you trust yourself",
        ) from None  # fmt: skip
    except (ValueError, TypeError, KeyError, IndexError, struct.error, OverflowError, MemoryError, EOFError) as error:
        raise UnreadableError(
            f"{path} cannot be read as plain data in a pickle", found=f"{type(error).__name__}: {str(error)[:200]}",
            fix="the file is damaged, cut short or of another kind: copy it again",
        ) from error  # fmt: skip
    return value.item() if isinstance(value, np.ndarray) and value.dtype.kind == "O" and value.ndim == 0 else value


def _skip_header(stream: BinaryIO, path: Path) -> np.ndarray | None:
    """Move behind the header of a .npy file of objects; a .npy file of numbers is returned, mapped."""
    head = stream.read(6)
    if head != b"\x93NUMPY":
        stream.seek(0)
        return None
    stream.seek(0)
    version = np.lib.format.read_magic(stream)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f".npy version {version}")
    _, _, dtype = read(stream)
    if dtype.kind == "O":
        return None
    if dtype.hasobject:
        raise Refused(f"an array of {dtype}")
    return np.load(path, mmap_mode="r", allow_pickle=False)


class _Machine:
    """The stack machine of pickles, for a closed set of opcodes.

    Parameters
    ----------
    path : Path
        For maps of the file.
    stream : file
        Standing at the first opcode.
    as_dict : frozenset of str
        Names of classes that are read as dictionaries.
    """

    def __init__(self, path: Path, stream: BinaryIO, as_dict: frozenset[str]) -> None:
        self.path, self.stream, self.as_dict = path, stream, as_dict
        self.left = path.stat().st_size - stream.tell()
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.steps = 0

    def read(self, size: int) -> bytes:
        """Read exactly what is asked for; never more than the file has."""
        if size < 0 or size > self.left:
            raise EOFError(f"{size} bytes are asked for, {self.left} are left")
        self.left -= size
        return self.stream.read(size)

    def readline(self) -> bytes:
        """Read a line of an old text opcode."""
        line = self.stream.readline(min(self.left, _LONGEST))
        self.left -= len(line)
        return line

    def count(self, n: int = 1) -> None:
        """Refuse what would never end."""
        self.steps += n
        if self.steps > _MOST_ITEMS:
            raise Refused(f"more than {_MOST_ITEMS:,} items")

    def run(self) -> Any:
        """Read up to STOP and return what was built."""
        while True:
            self.count()
            opcode = _OPCODES.get(self.read(1))
            if opcode is None:
                raise ValueError("not an opcode of pickles")
            if opcode.name == "STOP":
                return finished(self._pop(), self.path)
            self._step(opcode)

    def _step(self, opcode: pickletools.OpcodeInfo) -> None:
        name = opcode.name
        if name in _BYTES:
            self.stack.append(self._bytes(_BYTES[name]))
        elif name in _VALUES:
            self.stack.append(opcode.arg.reader(self))
        elif name in _SIMPLE:
            self.stack.append(_SIMPLE[name]())
        elif name in ("PROTO", "FRAME"):
            opcode.arg.reader(self)
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self.memo[opcode.arg.reader(self)] = self._top()
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[opcode.arg.reader(self)])
        elif name == "GLOBAL":
            self.stack.append(self._name(*opcode.arg.reader(self).split(" ", 1)))
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            items = [self._pop() for _ in range(int(name[-1]))]
            self.stack.append(tuple(items[::-1]))
        elif name in _ACTIONS:
            getattr(self, f"_{name.lower()}")()
        else:
            raise Refused(f"the opcode {name}")

    def _bytes(self, width: int) -> bytes | Span:
        size = int.from_bytes(self.read(width), "little")
        if size < _MAPPED:
            return self.read(size)
        if size > self.left:
            raise EOFError(f"{size} bytes are asked for, {self.left} are left")
        span = Span(self.stream.tell(), size)
        self.stream.seek(size, 1)
        self.left -= size
        return span

    def _top(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            raise ValueError("the stack is empty")
        return self.stack[-1]

    def _pop(self) -> Any:
        value = self._top()
        self.stack.pop()
        return value

    def _pop_mark(self) -> None:
        self._since_mark()

    def _since_mark(self) -> list[Any]:
        place = len(self.stack) - 1
        while place >= 0 and self.stack[place] is not _MARK:
            place -= 1
        if place < 0:
            raise ValueError("there is no mark")
        items = self.stack[place + 1 :]
        del self.stack[place:]
        return items

    def _name(self, module: str, name: str) -> Name:
        full = f"{module}.{name}"
        if full in _NAMES:
            return Name(_NAMES[full])
        if name in self.as_dict:
            return Name("dict")
        raise Refused(f"the name {full[:120]}")

    def _mark(self) -> None:
        self.stack.append(_MARK)

    def _dup(self) -> None:
        self.stack.append(self._top())

    def _memoize(self) -> None:
        self.memo[len(self.memo)] = self._top()

    def _stack_global(self) -> None:
        name, module = self._pop(), self._pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise Refused("a name that is no text")
        self.stack.append(self._name(module, name))

    def _append(self) -> None:
        value = self._pop()
        self._kind(list).append(value)

    def _appends(self) -> None:
        items = self._since_mark()
        self._kind(list).extend(items)

    def _setitem(self) -> None:
        value, key = self._pop(), self._pop()
        self._kind(dict)[key_of(key)] = value

    def _setitems(self) -> None:
        items = self._since_mark()
        self._kind(dict).update(pairs(items))

    def _list(self) -> None:
        self.stack.append(self._since_mark())

    def _dict(self) -> None:
        self.stack.append(pairs(self._since_mark()))

    def _tuple(self) -> None:
        self.stack.append(tuple(self._since_mark()))

    def _kind(self, kind: type) -> Any:
        value = self._top()
        if type(value) is not kind:
            raise Refused(f"items for a {type(value).__name__}, which is no {kind.__name__}")
        return value

    def _newobj(self) -> None:
        arguments, name = self._pop(), self._pop()
        if not isinstance(name, Name) or name.kind != "dict" or arguments != ():
            raise Refused("an object of a class")
        self.stack.append({})

    def _reduce(self) -> None:
        arguments, name = self._pop(), self._pop()
        if not isinstance(name, Name) or not isinstance(arguments, tuple):
            raise Refused("a call")
        self.stack.append(call(name.kind, arguments, self.path))

    def _build(self) -> None:
        state, target = self._pop(), self._top()
        if isinstance(target, dict) and isinstance(state, dict) and self.as_dict:
            target.update(state)  # the attributes of a class that is read as a dictionary
            return
        if not isinstance(target, Pending) or (target.value is not None and target.kind == "array"):
            raise Refused(f"a state for a {type(target).__name__}")
        if not isinstance(state, tuple):
            raise Refused("a state that is no tuple")
        state = tuple(done(s) for s in state)
        if target.kind == "dtype":
            target.value = state_of_dtype(target.value, state)
        else:
            target.value = self._array(state)

    def _array(self, state: tuple) -> np.ndarray:
        _, shape, dtype, fortran, data = state
        if isinstance(data, list) and isinstance(dtype, np.dtype) and dtype.kind == "O":
            self.count(len(data))
        return make_array(shape, dtype, "F" if fortran else "C", data, self.path)


_BYTES = {"SHORT_BINBYTES": 1, "BINBYTES": 4, "BINBYTES8": 8, "BYTEARRAY8": 8}  # width of the length
_VALUES = {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "UNICODE", "SHORT_BINUNICODE",
           "BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING"}  # fmt: skip
_SIMPLE = {"NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple,
           "EMPTY_DICT": dict}  # fmt: skip
_ACTIONS = {
    "MARK",
    "POP",
    "POP_MARK",
    "DUP",
    "MEMOIZE",
    "STACK_GLOBAL",
    "APPEND",
    "APPENDS",
    "SETITEM",
    "SETITEMS",
    "LIST",
    "DICT",
    "TUPLE",
    "NEWOBJ",
    "REDUCE",
    "BUILD",
}
