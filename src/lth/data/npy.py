"""Careful reader of npy files (NumPy Enhancement Proposal 1): nothing is set aside on a header's promise."""

from __future__ import annotations

import ast
import math
import os
import stat
from io import BufferedReader
from pathlib import Path

import numpy as np

from lth.data.sources.files import unreadable
from lth.errors import DataError

MAGIC = b"\x93NUMPY\x01\x00"
PREFIX = len(MAGIC) + 2  # and the length of the header, uint16
AGAIN = "Copy the file again from where it is whole."


def read_shape(path: Path, dtype: np.dtype) -> tuple[tuple[int, ...], int]:
    """Returns the shape of the array in an npy file, and the offset of its first byte; it is in C order, of `dtype`.

    Raises DataError for a file that cannot be read, is no npy file of version 1.0, or holds another kind of array.
    """
    try:
        with _regular(path) as stream:
            return _shape(path, stream, dtype)
    except OSError as problem:
        raise unreadable(path, problem) from problem


def read_array(path: Path, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """Returns the array of an npy file, which has this dtype and shape. Raises DataError for any other file."""
    try:
        with _regular(path) as stream:
            found, begin = _shape(path, stream, dtype)
            if found != shape:
                raise DataError(f"an array {found}, where {shape} is expected", at=f"{path}, offset 0", cure=AGAIN)
            size, expected = os.fstat(stream.fileno()).st_size, begin + math.prod(shape) * dtype.itemsize
            if size != expected:
                raise DataError(f"{size} bytes, where {expected} are expected", at=path, cure=AGAIN)
            return np.fromfile(stream, dtype, math.prod(shape)).reshape(shape)
    except OSError as problem:
        raise unreadable(path, problem) from problem


def _regular(path: Path) -> BufferedReader:
    if not stat.S_ISREG(path.stat().st_mode):
        raise DataError("not a regular file", at=path)
    return path.open("rb")


def _shape(path: Path, stream: BufferedReader, dtype: np.dtype) -> tuple[tuple[int, ...], int]:
    prefix = stream.read(PREFIX)
    if len(prefix) < PREFIX or prefix[: len(MAGIC)] != MAGIC:
        raise DataError("not an npy file of version 1.0", at=f"{path}, offset 0", value=prefix, cure=AGAIN)
    length = int.from_bytes(prefix[-2:], "little")
    text = stream.read(length)
    at = f"{path}, offset {PREFIX}"
    if len(text) < length:
        raise DataError(f"cut short: a header of {length} bytes, {len(text)} are there", at=at, cure=AGAIN)
    try:
        header = ast.literal_eval(text.decode("ascii").strip())
        kind, order, shape = header["descr"], header["fortran_order"], header["shape"]
    except (ValueError, SyntaxError, TypeError, KeyError, RecursionError, MemoryError) as problem:
        raise DataError("a header that cannot be read", at=at, value=text[:80], cure=AGAIN) from problem
    if len(header) != 3 or kind != dtype.str or order is not False or not isinstance(shape, tuple):
        what = f"not an array of {dtype.str} in C order"
        raise DataError(what, at=at, value=text.strip()[:100], cure=AGAIN)
    if not all(type(one) is int and 0 <= one < 1 << 53 for one in shape):
        raise DataError("not a shape", at=at, value=shape, cure=AGAIN)
    return shape, PREFIX + length
