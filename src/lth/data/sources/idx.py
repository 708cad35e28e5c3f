"""Reader of idx files, the format of MNIST and of the sets that follow it, gzip-compressed or not."""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from collections.abc import Collection
from contextlib import suppress
from io import BufferedReader
from pathlib import Path

import numpy as np

from lth.errors import DataError

# Third byte of a file -> what it holds (LeCun, Cortes and Burges, "The MNIST database", the IDX file format).
KINDS = {8: "uint8", 9: "int8", 11: "int16", 12: "int32", 13: "float32", 14: "float64"}
PIECE = 1 << 20
# Deflate shrinks nothing further than 1032 to 1 (zlib's technical details, "maximum compression factor").
DENSEST = 1032
AGAIN = "Fetch the file again."

Opened = BufferedReader | gzip.GzipFile


def read_idx(path: Path, dims: Collection[int]) -> np.ndarray:
    """Returns the uint8 array of an idx file, read-only; `dims` are the numbers of dimensions it may have.

    A name that ends in ".gz" means gzip. Memory grows with what the file holds, never with what its header
    promises. Raises DataError, with the offset in the unpacked content, for a file that cannot be read, is
    damaged, cut short or too long, or holds something else.
    """
    try:
        with path.open("rb") as raw:
            packed = _is_packed(path, raw)
            size = os.fstat(raw.fileno()).st_size
            return _read(path, gzip.GzipFile(fileobj=raw) if packed else raw, dims, size * DENSEST if packed else size)
    except OSError as problem:
        raise DataError(f"cannot be read: {problem.strerror or problem}", at=path) from problem


def _is_packed(path: Path, raw: BufferedReader) -> bool:
    packed, named = raw.peek(2)[:2] == b"\x1f\x8b", path.suffix == ".gz"
    if packed and not named:
        raise DataError("gzip-compressed, though its name does not end in .gz", at=path, cure="Add .gz to the name.")
    if named and not packed:
        cure = "Fetch the file again; if something unpacked it already, take .gz off its name."
        raise DataError("not a gzip file, though its name ends in .gz", at=path, value=raw.peek(2)[:4], cure=cure)
    return packed


def _read(path: Path, stream: Opened, dims: Collection[int], most: int) -> np.ndarray:
    """Returns the array of an open file whose content is at most `most` bytes."""
    try:
        shape = _shape(path, stream, dims)
        header, promised = stream.tell(), math.prod(shape)
        if header + promised > most:
            what = f"the header promises {promised} bytes of data {shape}, the file holds {most - header} at most"
            raise DataError(f"cut short: {what}", at=f"{path}, offset 4", cure=AGAIN)
        data = _take(path, stream, promised, "data")
        if stream.read1(1):
            what = f"the header promises {promised} bytes of data {shape}, but more follow"
            raise DataError(what, at=f"{path}, offset {header + promised}", cure=AGAIN)
    except EOFError as problem:
        what = "cut short: the gzip stream lacks its end mark and checksum"
        raise DataError(what, at=f"{path}, offset {stream.tell()}", cure=AGAIN) from problem
    except (zlib.error, gzip.BadGzipFile) as problem:
        what = f"damaged gzip stream: {problem}"
        raise DataError(what, at=f"{path}, offset {stream.tell()}", cure=AGAIN) from problem
    array = np.frombuffer(data, np.uint8).reshape(shape)
    array.flags.writeable = False
    return array


def _shape(path: Path, stream: Opened, dims: Collection[int]) -> tuple[int, ...]:
    """Returns the dimensions in the header, read from the start of the file."""
    magic = bytes(_take(path, stream, 4, "header"))
    if magic[:2] != b"\0\0" or magic[2] not in KINDS:
        raise DataError("not an idx file: wrong magic number", at=f"{path}, offset 0", value=magic)
    if KINDS[magic[2]] != "uint8":
        raise DataError("idx files of uint8 are read, no others", at=f"{path}, offset 2", value=KINDS[magic[2]])
    if magic[3] not in dims:
        what = f"holds an array of {magic[3]} dimensions where {' or '.join(map(str, dims))} are needed"
        raise DataError(what, at=f"{path}, offset 3", cure="Images have 3 or 4 dimensions, labels 1.")
    shape = struct.unpack(f">{magic[3]}I", _take(path, stream, 4 * magic[3], "header"))
    if not shape[0]:
        raise DataError("holds no examples", at=f"{path}, offset 4", cure=AGAIN)
    if not all(shape):
        raise DataError("an image has no pixels", at=f"{path}, offset 4", value=shape)
    return shape


def _take(path: Path, stream: Opened, count: int, part: str) -> bytearray:
    """Returns the next `count` bytes, read in pieces so that nothing is allocated on a promise."""
    taken = bytearray()
    with suppress(EOFError):
        while len(taken) < count and (piece := stream.read1(min(PIECE, count - len(taken)))):
            taken += piece
    if len(taken) < count:
        what = f"cut short: {count} bytes of {part} are promised, {len(taken)} found"
        raise DataError(what, at=f"{path}, offset {stream.tell()}", cure=AGAIN)
    return taken
