"""The kernel of the loader in machine code. Importing it compiles it, or loads what an earlier process compiled."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

_BYTE = ir.IntType(8)
_LINES = 16  # that are copied near, turned there, and copied away: plain stores to memory are slow
_GROUP = 16  # pixels that are turned at once: 48 bytes in a few instructions
_PIXELS = ir.VectorType(_BYTE, 3 * _GROUP)
_TURNED = [3 * pixel + channel for pixel in reversed(range(_GROUP)) for channel in range(3)]
# The 64-bit types keep the machine code free of checks whether an index wraps around.
_U = np.uintp

# pyright: reportCallIssue=false, reportArgumentType=false
# An intrinsic is called without its context, which no type checker knows.


@intrinsic
def _load(context: Any, address: Any) -> Any:
    def generate(_: Any, builder: Any, __: Any, given: Any) -> Any:
        return builder.load(builder.inttoptr(given[0], _BYTE.as_pointer()))

    return types.uint8(address), generate


@intrinsic
def _store(context: Any, address: Any, value: Any) -> Any:
    def generate(_: Any, builder: Any, __: Any, given: Any) -> Any:
        builder.store(given[1], builder.inttoptr(given[0], _BYTE.as_pointer()))

    return types.void(address, types.uint8), generate


@intrinsic
def _turn_group(context: Any, into: Any, source: Any) -> Any:
    """Writes the sixteen pixels at `source` to `into`, last to first."""

    def generate(_: Any, builder: Any, __: Any, given: Any) -> Any:
        here, there = (builder.inttoptr(one, _PIXELS.as_pointer()) for one in given)
        order = ir.Constant(ir.VectorType(ir.IntType(32), 3 * _GROUP), _TURNED)
        pixels = builder.load(there, align=1)
        builder.store(builder.shuffle_vector(pixels, ir.Constant(_PIXELS, ir.Undefined), order), here, align=1)

    return types.void(into, source), generate


@intrinsic
def _copy(context: Any, into: Any, source: Any, count: Any) -> Any:
    def generate(_: Any, builder: Any, __: Any, given: Any) -> Any:
        pointers = [builder.inttoptr(one, _BYTE.as_pointer()) for one in given[:2]]
        kind = ir.FunctionType(ir.VoidType(), [_BYTE.as_pointer(), _BYTE.as_pointer(), ir.IntType(64), ir.IntType(1)])
        name = "llvm.memcpy.p0i8.p0i8.i64"
        function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
        builder.call(function, [*pointers, given[2], ir.Constant(ir.IntType(1), 0)])

    return types.void(into, source, count), generate


@intrinsic
def _blacken(context: Any, into: Any, count: Any) -> Any:
    def generate(_: Any, builder: Any, __: Any, given: Any) -> Any:
        pointer = builder.inttoptr(given[0], _BYTE.as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [_BYTE.as_pointer(), _BYTE, ir.IntType(64), ir.IntType(1)])
        name = "llvm.memset.p0i8.i64"
        function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
        builder.call(function, [pointer, ir.Constant(_BYTE, 0), given[1], ir.Constant(ir.IntType(1), 0)])

    return types.void(into, count), generate


def _turn(into, source, pixels):  # type: ignore[no-untyped-def]
    """Writes `pixels` pixels last to first."""
    at, end, left = into, source + _U(3) * pixels, pixels
    while left >= _U(_GROUP):
        end -= _U(3 * _GROUP)
        _turn_group(at, end)
        at, left = at + _U(3 * _GROUP), left - _U(_GROUP)
    while left > _U(0):
        end -= _U(3)
        for channel in range(3):
            _store(at + _U(channel), _load(end + _U(channel)))
        at, left = at + _U(3), left - _U(1)


def _cut(addresses, height, width, tops, lefts, flips, into, high, wide, near):  # type: ignore[no-untyped-def]
    """See `kernel.cut_by_numpy`; `into` is the address of B images of high x wide pixels, end to end.

    `near` is the address of room for twice _LINES lines: the caller's, for compiled code frees an array of its own
    after its last use, and knows of no use by address.
    """
    row = _U(3 * wide)
    there, turned = near, near + _U(_LINES) * row
    for i in range(addresses.size):
        top, left, here = tops[i], lefts[i], into + _U(i * high) * row
        begin, end = max(0, -left), min(wide, width - left)
        first, last = max(0, -top), min(high, height - top)
        if begin >= end or first >= last:
            _blacken(here, _U(high) * row)
            continue
        if first > 0:
            _blacken(here, _U(first) * row)
        if last < high:
            _blacken(here + _U(last) * row, _U(high - last) * row)
        count = _U(end - begin)
        before = _U(3 * (wide - end)) if flips[i] else _U(3 * begin)
        after = row - before - _U(3) * count
        source = addresses[i] + _U(3 * ((top + first) * width + left + begin))
        step = _U(3 * width)
        if flips[i]:
            if before or after:
                _blacken(turned, _U(_LINES) * row)
            for y in range(first, last, _LINES):
                lines = min(_LINES, last - y)
                for z in range(lines):
                    _copy(there + _U(z) * row, source, _U(3) * count)
                    source += step
                for z in range(lines):
                    _turn(turned + _U(z) * row + before, there + _U(z) * row, count)
                _copy(here + _U(y) * row, turned, _U(lines) * row)
        else:
            for y in range(first, last):
                line = here + _U(y) * row
                if before:
                    _blacken(line, before)
                _copy(line + before, source, _U(3) * count)
                if after:
                    _blacken(line + row - after, after)
                source += step


def _compiled(function: Any, signature: Any = None) -> Any:
    how: dict[str, Any] = {"nogil": True, "error_model": "numpy", "boundscheck": False}
    given = () if signature is None else (signature,)
    try:
        return numba.njit(*given, cache=True, **how)(function)
    except RuntimeError:  # no folder may be written, so there is nowhere to keep the machine code
        return numba.njit(*given, **how)(function)


def _array(kind: Any) -> Any:
    return types.Array(kind, 1, "C", readonly=True)


_turn = _compiled(_turn)
_run = _compiled(
    _cut,
    types.void(
        _array(types.uint64), types.int64, types.int64, _array(types.int64), _array(types.int64),
        _array(types.boolean), types.uint64, types.int64, types.int64, types.uint64,
    ),
)  # fmt: skip


def cut_by_numba(
    addresses: np.ndarray, height: int, width: int, tops: np.ndarray, lefts: np.ndarray, flips: np.ndarray,
    out: np.ndarray,
) -> None:  # fmt: skip
    """Returns nothing; as `kernel.cut_by_numpy`, and other threads run while it copies."""
    assert out.flags.c_contiguous
    assert out.flags.writeable
    high, wide = out.shape[1:3]
    near = np.empty(2 * _LINES * 3 * wide, np.uint8)
    _run(addresses, height, width, tops, lefts, flips, out.ctypes.data, high, wide, near.ctypes.data)
