"""Compiled access to memory by address: views, rows of blocks, calls of compiled functions, prefetching.

A network is a table of addresses, so that one compiled loop serves every network: nothing is compiled anew when
populations or projections are added. Who makes such a table keeps the arrays alive while the loop runs.

``rows_access`` reads and writes the variables of one neuron at distances that the compiler knows, which lets it turn a
loop over neurons into vector instructions without checks whether arrays overlap; reading by plain indices costs 11 times
as much.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = ["addresses", "call_address", "compiled_view", "prefetch", "rows_access", "scaled_access", "view_like"]


def _array_at(context: Any, builder: Any, kind: Any, address: Any, n: Any) -> Any:
    made = context.make_array(kind)(context, builder)
    item = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(kind.dtype)))
    data = builder.inttoptr(address, context.get_data_type(kind.dtype).as_pointer())
    context_helper = cgutils.pack_array(builder, [n])
    strides = cgutils.pack_array(builder, [item])
    made.data, made.shape, made.strides = data, context_helper, strides
    made.nitems, made.itemsize = n, item
    made.meminfo = cgutils.get_null_value(made.meminfo.type)
    made.parent = cgutils.get_null_value(made.parent.type)
    return made._getvalue()


@intrinsic
def view_like(typingctx: Any, address: Any, n: Any, like: Any) -> Any:
    """Return the ``n`` items at ``address`` as an array of the type of ``like``."""
    kind = types.Array(like.dtype, 1, "C")

    def make(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _array_at(context, builder, kind, args[0], args[1])

    return kind(types.int64, types.int64, like), make


@cache
def compiled_view(dtype: str) -> Callable[..., Any]:
    """Return ``view(address, n)`` for use in compiled code: the items at an address as an array of ``dtype``."""
    kind = types.Array(getattr(types, dtype), 1, "C")

    @intrinsic
    def view(typingctx: Any, address: Any, n: Any) -> Any:
        def make(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return _array_at(context, builder, kind, args[0], args[1])

        return kind(types.int64, types.int64), make

    return view


@intrinsic
def prefetch(typingctx: Any, array: Any, index: Any) -> Any:
    """Ask for the cache line of ``array[index]``; an index outside does no harm."""

    def make(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        pointer = builder.bitcast(builder.gep(data, [args[1]]), ir.IntType(8).as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [pointer.type] + [ir.IntType(32)] * 3)
        function = builder.module.declare_intrinsic("llvm.prefetch", [pointer.type], kind)
        builder.call(function, [pointer, ir.IntType(32)(0), ir.IntType(32)(3), ir.IntType(32)(1)])
        return context.get_dummy_value()

    return types.void(array, types.int64), make


@intrinsic
def call_address(typingctx: Any, address: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any) -> Any:
    """Call the compiled function at ``address``: seven integers in, one out."""

    def make(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        word = ir.IntType(64)
        kind = ir.FunctionType(word, [word] * 7)
        return builder.call(builder.inttoptr(args[0], kind.as_pointer()), list(args[1:]))

    return types.int64(*[types.int64] * 8), make


@cache
def rows_access(n_rows: int, stride: int, take: tuple[int, ...] | None = None) -> tuple[Any, Any]:
    """Return compiled ``load(flat, start) -> tuple`` and ``store(flat, start, values)`` for ``n_rows`` items ``stride`` apart.

    ``take`` names the rows to load, in order; without it all.
    """
    rows = tuple(range(n_rows)) if take is None else take

    @intrinsic
    def load(typingctx: Any, flat: Any, start: Any) -> Any:
        kind = types.UniTuple(flat.dtype, len(rows))

        def make(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            data = context.make_array(signature.args[0])(context, builder, args[0]).data
            items = [builder.load(_at(builder, data, args[1], row * stride)) for row in rows]
            return context.make_tuple(builder, kind, items)

        return kind(flat, types.int64), make

    @intrinsic
    def store(typingctx: Any, flat: Any, start: Any, values: Any) -> Any:
        wanted = types.UniTuple(flat.dtype, n_rows)
        if len(values) != n_rows:
            raise TypeError(f"a body returns {len(values)} values where the model has {n_rows}")

        def make(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            data = context.make_array(signature.args[0])(context, builder, args[0]).data
            for row in range(n_rows):
                item = builder.extract_value(args[2], row)
                builder.store(item, _at(builder, data, args[1], row * stride))
            return context.get_dummy_value()

        return types.void(flat, types.int64, wanted), make

    return load, store


@cache
def scaled_access(n_rows: int) -> Any:
    """Return compiled ``load(values, start, stride, scales, at, scale_stride)``: a tuple of values times their scales."""

    @intrinsic
    def load(typingctx: Any, values: Any, start: Any, stride: Any, scales: Any, at: Any, scale_stride: Any) -> Any:
        kind = types.UniTuple(values.dtype, n_rows)

        def make(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            data = context.make_array(signature.args[0])(context, builder, args[0]).data
            table = context.make_array(signature.args[3])(context, builder, args[3]).data
            items = []
            for row in range(n_rows):
                k = ir.Constant(ir.IntType(64), row)
                one = builder.load(builder.gep(data, [builder.add(args[1], builder.mul(k, args[2]))]))
                two = builder.load(builder.gep(table, [builder.add(args[4], builder.mul(k, args[5]))]))
                items.append(builder.fmul(one, two))
            return context.make_tuple(builder, kind, items)

        word = types.int64
        return kind(values, word, word, scales, word, word), make

    return load


def _at(builder: Any, data: Any, start: Any, distance: int) -> Any:
    return builder.gep(data, [builder.add(start, ir.Constant(ir.IntType(64), distance))])


def addresses(arrays: Sequence[Any]) -> list[int]:
    """Return where arrays begin in memory."""
    return [int(a.ctypes.data) for a in arrays]
