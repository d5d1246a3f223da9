"""Plain data come out as pickle.load gives them; everything else is refused, and nothing of it is run."""

from __future__ import annotations

import os
import pickle
import struct
import tracemalloc
from collections import OrderedDict
from datetime import datetime
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from braindec.errors import BraindecError, UnreadableError
from braindec.loaders._twin_pickle import plain_pickle, save_npy_dictionary
from braindec.loaders.plain_pickle import load_plain

ARRAYS = {
    "large": np.random.default_rng(0).normal(size=(7, 3000)),
    "fortran": np.asfortranarray(np.arange(30_000, dtype=np.float32).reshape(100, 300)),
    "small": np.arange(6, dtype=np.int16).reshape(2, 3),
    "big-endian": np.arange(4, dtype=">i4"),
    "text": np.array(["Fz", "Cz1"]),
    "bytes": np.array([b"ab", b"c"]),
    "objects": np.array(["x", None, 3.5, {"a": np.zeros(2)}], dtype=object),
    "empty": np.zeros((0, 3)),
    "scalar": np.array(2.5),
    "flags": np.array([True, False]),
    "complex": np.array([1 + 2j]),
}
PLAIN = {"ch_names": ["Fz", "Cz"], "sfreq": 1000, "none": None, "pair": (1, 2.5, True), "long": 10**40, "minus": -7, "raw": b"\0\xff",
         "empty": [b"", "", [], {}, ()], "float": np.float32(2.5), "int": np.int64(-3), ("a", 1): "key", "é": "ü\n"}  # fmt: skip


def same(a, b) -> bool:
    if type(a) is dict:
        return type(b) is dict and list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if type(a) in (list, tuple):
        return type(a) is type(b) and len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, np.ndarray):
        if (
            a.dtype.newbyteorder("=") != b.dtype.newbyteorder("=") or a.shape != b.shape
        ):  # numpy may turn them to its own
            return False
        return all(same(x, y) for x, y in zip(a.ravel(), b.ravel(), strict=True)) if a.dtype == object else np.array_equal(a, b)  # fmt: skip
    return type(a) is type(b) and a == b


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_data_are_those_of_pickle(tmp_path, protocol):
    value = {**PLAIN, **ARRAYS}
    (tmp_path / "data").write_bytes(pickle.dumps(value, protocol=protocol))
    assert same(pickle.loads((tmp_path / "data").read_bytes()), load_plain(tmp_path / "data"))


def test_npy_with_a_dictionary(tmp_path):
    value = {**PLAIN, **ARRAYS}
    np.save(tmp_path / "data.npy", value)
    assert same(value, load_plain(tmp_path / "data.npy"))
    np.save(tmp_path / "objects.npy", ARRAYS["objects"])
    assert same(ARRAYS["objects"], load_plain(tmp_path / "objects.npy"))
    np.save(tmp_path / "numbers.npy", ARRAYS["large"])
    assert isinstance(load_plain(tmp_path / "numbers.npy"), np.memmap)


def test_large_arrays_stay_in_the_file(tmp_path):
    np.save(tmp_path / "data.npy", {"eeg": np.zeros((64, 200_000)), "ch_names": ["Fz"]})  # 102 MB
    tracemalloc.start()
    value = load_plain(tmp_path / "data.npy")
    assert tracemalloc.get_traced_memory()[1] < 2e6
    tracemalloc.stop()
    assert (
        isinstance(value["eeg"], np.memmap) and value["eeg"].shape == (64, 200_000) and not value["eeg"].flags.writeable
    )
    again = pickle.dumps({"a": ARRAYS["fortran"]}, protocol=4)
    (tmp_path / "f").write_bytes(again)
    mapped = load_plain(tmp_path / "f")["a"]
    assert isinstance(mapped, np.memmap) and mapped.flags.f_contiguous and np.array_equal(mapped, ARRAYS["fortran"])


class Items(dict):
    """A class derived from dict, as Du-IN's items are of."""


def test_items_of_a_dictionary_class_are_read_as_dictionaries(tmp_path):
    item = Items(name="word", data_s=np.ones((2, 3)))
    (tmp_path / "data").write_bytes(pickle.dumps([item, item], protocol=4))
    with pytest.raises(UnreadableError, match="Items"):
        load_plain(tmp_path / "data")
    found = load_plain(tmp_path / "data", as_dict=["Items"])
    assert type(found[0]) is dict and found[0]["name"] == "word" and np.array_equal(found[1]["data_s"], np.ones((2, 3)))


def reduce_to(function, *arguments):
    class Bad:
        def __reduce__(self):
            return function, arguments

    return Bad()


def state_for(state):
    class Bad:
        pass

    bad = Bad()
    bad.__dict__.update(state)
    return bad


def of_array(code: str, state: bytes) -> bytes:
    """An array whose dtype has ``code``, and what follows it up to the BUILD of the array."""
    return (b"\x80\x04\x8c\x16numpy._core.multiarray\x8c\x0c_reconstruct\x93\x8c\x05numpy\x8c\x07ndarray\x93K\0\x85C\x01b\x87R(K\x01" + state
            + b"\x8c\x05numpy\x8c\x05dtype\x93\x8c" + bytes([len(code)]) + code.encode() + b"\x89\x88\x87R")  # fmt: skip


GLOBAL = b"cos\nsystem\n"
HOSTILE = {
    "os.system": pickle.dumps(reduce_to(os.system, "touch {flag}")),
    "os.system in the old form": b"cos\nsystem\n(S'touch {flag}'\ntR.",
    "eval": pickle.dumps(reduce_to(eval, "open('{flag}', 'w')")),
    "exec": pickle.dumps(reduce_to(exec, "open('{flag}', 'w')")),
    "getattr": pickle.dumps(reduce_to(getattr, "a", "upper")),
    "nested": pickle.dumps({"a": [1, ({"b": reduce_to(os.system, "touch {flag}")},)]}),
    "in an array of objects": pickle.dumps(np.array([reduce_to(os.system, "touch {flag}"), 1], dtype=object)),
    "a call with a call": pickle.dumps(reduce_to(eval, reduce_to(os.getenv, "HOME"))),
    "os.system by INST": b"(S'touch {flag}'\nios\nsystem\n.",
    "os.system by OBJ": b"(" + GLOBAL + b"S'touch {flag}'\no.",
    "a class": pickle.dumps(Fraction(1, 3)),
    "a date": pickle.dumps(datetime(2020, 1, 1)),
    "an ordered dictionary": pickle.dumps(OrderedDict(a=1)),
    "a set": pickle.dumps({1, 2}),
    "persistent id": b"\x80\x04\x8c\x03abcQ.",
    "old persistent id": b"Pabc\n.",
    "extension code": b"\x80\x02\x82\x01.",
    "a name as a value": b"\x80\x04\x8c\x05numpy\x8c\x05dtype\x93.",
    "ndarray called": b"\x80\x04\x8c\x05numpy\x8c\x07ndarray\x93K\x09\x85\x85R.",
    "reconstruct of another type": b"\x80\x04\x8c\x16numpy._core.multiarray\x8c\x0c_reconstruct\x93\x8c\x05numpy\x8c\x05dtype\x93K\0\x85C\x01b\x87R.",
    "a submodule's name": b"\x80\x04\x8c\x0cnumpy.f2py.x\x8c\x05dtype\x93.",
    "a dotted name": b"\x80\x04\x8c\x05numpy\x8c\x10ndarray.__init__\x93.",
    "array of no state": b"\x80\x04\x8c\x16numpy._core.multiarray\x8c\x0c_reconstruct\x93\x8c\x05numpy\x8c\x07ndarray\x93K\0\x85C\x01b\x87R.",
    "state of a list": b"\x80\x04]}\x8c\x01aK\x01sb.",
    "state of a name": b"\x80\x04\x8c\x05numpy\x8c\x05dtype\x93}\x8c\x01aK\x01sb.",
    "slots of a name": b"\x80\x04\x8c\x05numpy\x8c\x05dtype\x93N}\x8c\x0c__defaults__)s\x86b.",
    "pointers in an array of objects": of_array("O8", b"K\x01\x85") + b"\x89C\x08AAAAAAAAtb.",
    "pointers behind false flags": of_array("O8", b"K\x01\x85") + b"(K\x03\x8c\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb\x89C\x08AAAAAAAAtb.",
    "a dtype with fields": of_array("V8", b"K\x01\x85") + b"\x89C\x08AAAAAAAAtb.",
    "a dtype of another size": of_array("f8", b"K\x01\x85") + b"(K\x03\x8c\x01<NNNK\x02K\x02K\0tb\x89C\x08AAAAAAAAtb.",
    "more numbers than bytes": of_array("f8", b"J\xff\xff\xff\x7f\x85") + b"\x89C\x08AAAAAAAAtb.",
    "a negative shape": of_array("f8", b"J\xff\xff\xff\xff\x85") + b"\x89C\0tb.",
    "a dtype by comma": of_array("f8,O", b"K\x01\x85") + b"\x89C\x08AAAAAAAAtb.",
    "something that holds itself": b"\x80\x04]\x94h\0a.",
    "very deep": b"\x80\x04" + b"]" * 500 + b"a" * 499 + b".",
}  # fmt: skip


@pytest.mark.parametrize("npy", [False, True], ids=["pickle", "npy"])
@pytest.mark.parametrize("name", HOSTILE)
def test_everything_else_is_refused_and_nothing_is_run(tmp_path, name, npy):
    flag = tmp_path / "f"
    text = HOSTILE[name]
    for width in (1, 4):  # the lengths that stand before a text of pickle
        for old in (b"touch {flag}", b"open('{flag}', 'w')"):
            new = old.replace(b"{flag}", str(flag).encode())
            mark = b"\x8c" if width == 1 else b"X"
            text = text.replace(
                mark + len(old).to_bytes(width, "little") + old, mark + len(new).to_bytes(width, "little") + new
            )
    text = text.replace(b"'touch {flag}'", f"'touch {flag}'".encode())
    if b"\x95" in text[:3]:
        text = text[:2] + text[11:]  # without the frame, whose length has changed
    path = tmp_path / ("data.npy" if npy else "data")
    head = b"\x93NUMPY\x01\0v\0" + b"{'descr': '|O', 'fortran_order': False, 'shape': (), }".ljust(117) + b"\n"
    path.write_bytes((head if npy else b"") + text)
    with pytest.raises(UnreadableError, match="more than plain data") as error:
        load_plain(path)
    assert isinstance(error.value, BraindecError) and error.value.found and not flag.exists()


def test_the_flag_of_these_tests_works(tmp_path):
    text = b"cos\nsystem\n(S'touch " + str(tmp_path / "f").encode() + b"'\ntR."
    pickle.loads(text)  # what the loader must not do
    assert (tmp_path / "f").exists()


@pytest.mark.parametrize("text", [
    b"\x80\x04Nr\xff\xff\xff\xff.",  # the last place of a memo: 34 GB in the C unpickler
    b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"abc.", b"\x80\x04\x8d" + struct.pack("<Q", 2**40) + b"abc.",
    b"\x80\x04\x8b\xff\xff\xff\x7f.", b"\x80\x04X\xff\xff\xff\xff.", b"\x80\x04B\xff\xff\xff\xffabc.", b"\x80\x04h\x07.", b"\x80\x04a.", b"\x80\x04",
    b"\x80\x04(K\x01.", b"\x80\x04}K\x01s.", b"no pickle at all", b"\xff" * 100, b"\x80\x04\x95" + b"\xff" * 8 + b"N.",
], ids=range(14))  # fmt: skip
def test_sizes_and_places_that_are_not_there(tmp_path, text):
    (tmp_path / "data").write_bytes(text)
    tracemalloc.start()
    try:
        assert load_plain(tmp_path / "data") in (None, 1)  # what nothing uses does no harm
    except UnreadableError as error:
        assert "pickle" in str(error)
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()


def test_files_cut_short_and_others(tmp_path):
    np.save(tmp_path / "data.npy", {**PLAIN, **ARRAYS})
    whole = (tmp_path / "data.npy").read_bytes()
    for size in (0, 5, 20, 100, 200, 1000, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut.npy").write_bytes(whole[:size])
        with pytest.raises(UnreadableError):
            load_plain(tmp_path / "cut.npy")
    with pytest.raises(BraindecError, match="no file"):
        load_plain(tmp_path / "other.npy")


def test_shared_things_do_not_multiply(tmp_path):
    value = [0]
    for _ in range(40):
        value = [value] * 10  # 10^40 items to one who walks through all
    (tmp_path / "data").write_bytes(pickle.dumps(value))
    assert len(load_plain(tmp_path / "data")) == 10


@settings(max_examples=150, deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
                    lambda s: st.lists(s) | st.dictionaries(st.text() | st.integers(), s) | st.tuples(s, s), max_leaves=12),
       st.integers(0, pickle.HIGHEST_PROTOCOL))  # fmt: skip
def test_any_plain_value(tmp_path_factory, value, protocol):
    path = Path(tmp_path_factory.getbasetemp()) / "value"
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    assert same(value, load_plain(path))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_bytes_give_one_kind_of_error(tmp_path_factory, data):
    whole = bytearray(
        pickle.dumps({**PLAIN, "x": np.arange(8.0), "o": ARRAYS["objects"]}, protocol=data.draw(st.integers(0, 5)))
    )
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path = Path(tmp_path_factory.getbasetemp()) / "damaged"
    path.write_bytes(whole)
    try:
        load_plain(path)
    except UnreadableError:
        pass


def test_pickles_of_twins_are_those_of_numpy_and_python(tmp_path):
    value = {"ch_names": ["Fz", "Cz"], "sfreq": 1000, "big": -(2**40), "x": 2.5, "flag": True, "none": None, "pair": ("a", b"b"),
             "eeg": ARRAYS["large"].astype(np.float32), "ids": np.array(["a", "bcd"]), "n": np.arange(4)}  # fmt: skip
    assert same(value, pickle.loads(plain_pickle(value)))
    save_npy_dictionary(tmp_path / "a" / "data.npy", value)
    assert same(value, np.load(tmp_path / "a" / "data.npy", allow_pickle=True).item())
    assert same(value, load_plain(tmp_path / "a" / "data.npy"))
    (tmp_path / "items").write_bytes(plain_pickle([{"a": 1}], dict_class=f"{Items.__module__}.Items"))
    assert load_plain(tmp_path / "items", as_dict=["Items"]) == [{"a": 1}]
