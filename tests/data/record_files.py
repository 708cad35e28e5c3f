"""TFRecords made up, byte by byte, from the description of protobuf's wire format."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lth.data.tfrecords.records import framed

Value = int | Sequence[int] | bytes | np.ndarray


def varint(number: int) -> bytes:
    taken = bytearray()
    while number > 127:
        taken.append(number & 127 | 128)
        number >>= 7
    return bytes([*taken, number])


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def feature(value: Value) -> bytes:
    """Returns a feature of bytes, of one or more whole numbers, or of floats (an array), packed."""
    if isinstance(value, bytes):
        return field(1, field(1, value))
    if isinstance(value, np.ndarray):
        return field(2, field(1, value.astype("<f4").tobytes()))
    numbers = [value] if isinstance(value, int) else value
    return field(3, field(1, b"".join(varint(number & (1 << 64) - 1) for number in numbers)))


def message(**features: Value) -> bytes:
    """Returns an Example; "__" in a name stands for "/"."""
    entries = (
        field(1, field(1, name.replace("__", "/").encode()) + field(2, feature(value)))
        for name, value in features.items()
    )
    return field(1, b"".join(entries))


def write(path: Path, *messages: bytes) -> Path:
    """Returns the TFRecord file `path` of these messages."""
    path.write_bytes(b"".join(map(framed, messages)))
    return path


def masked_by_hand(data: bytes) -> bytes:
    """Returns the masked crc32c of data, bit by bit from its definition (RFC 3720, B.4)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
