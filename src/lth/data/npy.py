"""The header of an npy file, read with care: what it says is checked against the file's length."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lth.errors import DataError


@dataclass(frozen=True)
class Header:
    """The array that an npy file holds in C order: its bytes from `begin` to the end of the file."""

    dtype: np.dtype
    shape: tuple[int, ...]
    begin: int


def read_header(path: Path) -> Header:
    """Returns the header of an npy file. Raises DataError where it is damaged or the file has not the bytes it tells.

    Source: NumPy, NEP 1.
    """
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            if version != (1, 0):
                raise ValueError(f"npy version {version} is not read, only (1, 0)")
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
            begin, end = file.tell(), os.fstat(file.fileno()).st_size
    except OSError as problem:
        raise DataError(f"cannot be read: {problem.strerror}", at=path) from problem
    except Exception as problem:  # the header is Python text, and its parser raises nearly anything
        raise DataError(f"damaged npy header: {' '.join(str(problem).split())[:120]}", at=path) from problem
    if fortran or dtype.hasobject or any(one < 0 for one in shape):
        raise DataError("not an array of numbers in C order", at=path, value=f"{dtype} {shape}")
    if begin + math.prod(shape) * dtype.itemsize != end:
        what = f"{dtype} {shape} from byte {begin} on do not fit a file of {end} bytes"
        raise DataError(what, at=path)
    return Header(dtype, shape, begin)
