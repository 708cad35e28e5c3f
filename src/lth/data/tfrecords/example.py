"""Reader of tf.train.Example messages, by protobuf's wire format.

An Example is a map from names to lists of byte strings, of float32 or of int64 (TensorFlow, example.proto; Protocol
Buffers, "Encoding").
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
BYTES, FLOATS, INTS = 1, 2, 3
# An image has fewer; many more could be promised in few bytes, and would fill the memory.
MOST_NUMBERS, MOST_FIELDS = 1 << 24, 1 << 16
Span = tuple[int, int]
Field = tuple[int, int, int, int]  # number, wire type, and where the content begins and ends
Values = list[bytes] | np.ndarray  # float32 or int64 (n,)


@dataclass(frozen=True, slots=True)
class Example:
    """The bytes of a message, and where in it the features lie, by name; they are read when they are needed."""

    data: bytes
    features: dict[str, Span]


def parse(data: bytes) -> Example:
    """Returns the Example that `data` are. Raises ValueError where they are none."""
    found: dict[str, Span] = {}
    for _, entries in _messages(data, (0, len(data)), (1,)):
        for _, entry in _messages(data, entries, (1,)):
            name, value = b"", (0, 0)
            for number, part in _messages(data, entry, (1, 2)):
                if number == 1:
                    name = data[part[0] : part[1]]
                else:
                    value = part
            found[name.decode("utf-8", "backslashreplace")] = value
    return Example(data, found)


def values(example: Example, name: str) -> Values:
    """Returns the values of a feature: byte strings, float32 (n,) or int64 (n,). Raises ValueError."""
    lists = _messages(example.data, example.features[name], (BYTES, FLOATS, INTS))
    if len(lists) != 1:
        raise ValueError(f"the feature {name[:80]} has {len(lists)} lists")
    kind, span = lists[0]
    if kind == BYTES:
        return [example.data[begin:end] for _, (begin, end) in _messages(example.data, span, (1,))]
    return _floats(example.data, span) if kind == FLOATS else _ints(example.data, span)


def _floats(data: bytes, span: Span) -> np.ndarray:
    joined = _packed(data, span, FIXED32)
    if len(joined) % 4 or len(joined) > 4 * MOST_NUMBERS:
        raise ValueError(f"a list of floats takes {len(joined)} bytes")
    return np.frombuffer(joined, "<f4")


def _ints(data: bytes, span: Span) -> np.ndarray:
    packed = _packed(data, span, VARINT)
    if len(packed) == 1 and packed[0] < 128:  # most labels
        return np.array([packed[0]], np.int64)
    if len(packed) > MOST_NUMBERS:
        raise ValueError(f"a list of whole numbers takes {len(packed)} bytes")
    sevens = np.frombuffer(packed, np.uint8)
    ends = np.flatnonzero(sevens < 128) + 1
    starts = np.concatenate([[0], ends])
    sizes = ends - starts[:-1]
    if starts[-1] != len(sevens) or sizes.max(initial=0) > 10:
        raise ValueError("a number without an end")
    numbers = np.zeros(len(ends), np.uint64)
    for place in range(int(sizes.max(initial=0))):
        longer = np.flatnonzero(sizes > place)
        numbers[longer] |= (sevens[starts[longer] + place] & np.uint64(127)) << np.uint64(7 * place)
    return numbers.view(np.int64)


def _packed(data: bytes, span: Span, single: int) -> bytes:
    """Returns the bytes of a list of numbers, in one field, or in one field each of the wire type `single`."""
    parts: list[bytes] = []
    for number, wire, begin, end in _fields(data, span):
        if number == 1:
            if wire not in (LENGTH, single):
                raise ValueError(f"a list of numbers has the wire type {wire}")
            parts.append(data[begin:end])
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _messages(data: bytes, span: Span, numbers: tuple[int, ...]) -> list[tuple[int, Span]]:
    """Returns number and place of the fields `numbers`, which are strings or messages."""
    found: list[tuple[int, Span]] = []
    for number, wire, begin, end in _fields(data, span):
        if number in numbers:
            if wire != LENGTH:
                raise ValueError(f"field {number} has the wire type {wire}")
            found.append((number, (begin, end)))
    return found


def _fields(data: bytes, span: Span) -> list[Field]:
    """Returns the fields of the message at `span`. Numbers below 128 are read in place: nearly all of them."""
    found: list[Field] = []
    place, end = span
    while place < end:
        tag = data[place]
        place += 1
        if tag > 127:
            tag, place = _varint(data, place - 1, end)
        wire = tag & 7
        if wire == LENGTH:
            size, place = _varint(data, place, end)
        elif wire == VARINT:
            size = _varint(data, place, end)[1] - place
        elif wire in (FIXED32, FIXED64):
            size = 4 if wire == FIXED32 else 8
        else:
            raise ValueError(f"the wire type {wire}")
        if size > end - place:
            raise ValueError(f"a field of {size} bytes where {end - place} are left")
        if len(found) == MOST_FIELDS:
            raise ValueError(f"more than {MOST_FIELDS} fields")
        found.append((tag >> 3, wire, place, place + size))
        place += size
    return found


def _varint(data: bytes, place: int, end: int) -> tuple[int, int]:
    """Returns the number at `place`, below 2**64, and the place after it."""
    number, shift = 0, 0
    while place < end and shift < 64:
        byte = data[place]
        number |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return number & 0xFFFFFFFFFFFFFFFF, place
    raise ValueError("a number without an end")
