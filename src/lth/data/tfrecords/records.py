"""The frame of TFRecord files (TensorFlow, "TFRecord and tf.train.Example").

A record is uint64 length, uint32 masked crc32c of the length, the data, uint32 masked crc32c of the data; numbers are
little-endian.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import cast

import numpy as np

from lth.data.sources.files import AGAIN, GZIP, LARGEST, unreadable
from lth.data.spans import open_file, pread, read_span, told
from lth.errors import DataError, MissingExtraError

HEAD, TAIL = 12, 4
FRAME = HEAD + TAIL
MASK = 0xA282EAD8
ZLIB = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")


def record_spans(path: str, most: int | None = None) -> np.ndarray:
    """Returns offset and size of the records of a TFRecord file, or of its first `most`, int64 (n,2), frames included.

    Only the lengths are read, and their checksums verified. Raises DataError, naming file and offset, for a file that
    is compressed, damaged or cut short; MissingExtraError without google-crc32c.
    """
    spans: list[tuple[int, int]] = []
    checksum = crc32c()
    try:
        opened = open_file(path)
        end, offset = os.fstat(opened.fd).st_size, 0
        while offset < end and (most is None or len(spans) < most):
            size = FRAME + _length(path, offset, pread(opened.fd, offset, HEAD), checksum)
            if size > end - offset:
                what = f"cut short: the record takes {size} bytes, the file has {end - offset} more"
                raise DataError(what, at=f"{told(path)}, offset {offset}", cure=AGAIN)
            spans.append((offset, size))
            offset += size
    except OSError as problem:
        raise unreadable(told(path), problem) from problem
    return np.array(spans, np.int64).reshape(-1, 2)


def read_record(path: str, offset: int, size: int) -> bytes:
    """Returns the data of the record whose frame is the `size` bytes at `offset`, both checksums verified.

    Raises DataError, naming file and offset, where it is damaged: a file with one wrong byte is not to be trusted.
    """
    framed, checksum = read_span(path, offset, size), crc32c()
    length = _length(path, offset, framed[:HEAD], checksum)
    if length != size - FRAME:
        raise DataError(f"the record has {length} bytes, not {size - FRAME}", at=f"{told(path)}, offset {offset}")
    data = framed[HEAD:-TAIL]
    if _masked(checksum(data)) != int.from_bytes(framed[-TAIL:], "little"):
        raise DataError("the data do not fit their checksum", at=f"{told(path)}, offset {offset + HEAD}", cure=AGAIN)
    return data


@lru_cache(1)
def crc32c() -> Callable[[bytes], int]:
    """Returns the function that makes the crc32c of bytes. Raises MissingExtraError without google-crc32c."""
    try:
        import google_crc32c
    except ImportError as problem:
        raise MissingExtraError("google-crc32c", "data", "the source 'tfrecord'") from problem
    return cast("Callable[[bytes], int]", google_crc32c.value)


def framed(data: bytes) -> bytes:
    """Returns the record of a TFRecord file that holds `data`."""
    head, checksum = struct.pack("<Q", len(data)), crc32c()
    return b"".join((head, _packed(checksum(head)), data, _packed(checksum(data))))


def _length(path: str, offset: int, head: bytes, checksum: Callable[[bytes], int]) -> int:
    if len(head) < HEAD:
        at = f"{told(path)}, offset {offset}"
        raise DataError(f"cut short: a length takes {HEAD} bytes, {len(head)} are there", at=at, cure=AGAIN)
    length, expected = struct.unpack("<QI", head)
    if _masked(checksum(head[:8])) == expected and length <= LARGEST:
        return length
    at = f"{told(path)}, offset {offset}"
    if _masked(checksum(head[:8])) == expected:
        raise DataError(f"a record of more than {LARGEST} bytes", at=at, value=length)
    if offset == 0 and (head[:2] == GZIP or head[:2] in ZLIB):
        cure = "Unpack it first; only plain TFRecords can be read at any place."
        raise DataError("a compressed TFRecord file", at=at, cure=cure)
    raise DataError("not a TFRecord file, or a damaged one: a length does not fit its checksum", at=at, cure=AGAIN)


def _masked(crc: int) -> int:
    return ((crc >> 15 | crc << 17) + MASK) & 0xFFFFFFFF


def _packed(crc: int) -> bytes:
    return struct.pack("<I", _masked(crc))
