"""Reader of tf.train.Example messages, by protobuf's wire format.

An Example is a map from names to lists of byte strings, of float32 or of int64 (TensorFlow, example.proto; Protocol
Buffers, "Encoding").
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
BYTES, FLOATS, INTS = 1, 2, 3
# An image has fewer; many more could be promised in few bytes, and would fill the memory.
MOST_NUMBERS, MOST_FIELDS = 1 << 24, 1 << 20
Values = list[bytes] | np.ndarray  # float32 or int64 (n,)


def features(data: memoryview) -> dict[str, memoryview]:
    """Returns the features of an Example by name, not yet read. Raises ValueError where the bytes are no Example."""
    found: dict[str, memoryview] = {}
    for _, entries in _messages(data, 1):
        for _, entry in _messages(entries, 1):
            name, value = b"", memoryview(b"")
            for number, part in _messages(entry, 1, 2):
                name, value = (bytes(part), value) if number == 1 else (name, part)
            found[name.decode("utf-8", "backslashreplace")] = value
    return found


def values(feature: memoryview) -> Values:
    """Returns the values of a feature: byte strings, float32 (n,) or int64 (n,). Raises ValueError."""
    lists = list(_messages(feature, BYTES, FLOATS, INTS))
    if len(lists) != 1:
        raise ValueError(f"a feature of {len(lists)} lists")
    kind, content = lists[0]
    if kind == BYTES:
        return [bytes(part) for _, part in _messages(content, 1)]
    return _floats(content) if kind == FLOATS else _ints(content)


def _floats(content: memoryview) -> np.ndarray:
    joined = _packed(content, FIXED32)
    if len(joined) % 4 or len(joined) > 4 * MOST_NUMBERS:
        raise ValueError(f"a list of floats takes {len(joined)} bytes")
    return np.frombuffer(joined, "<f4") if len(joined) else np.empty(0, np.float32)


def _ints(content: memoryview) -> np.ndarray:
    data = np.frombuffer(_packed(content, VARINT), np.uint8)
    if len(data) > MOST_NUMBERS:
        raise ValueError(f"a list of whole numbers takes {len(data)} bytes")
    ends = np.flatnonzero(data < 128) + 1
    if len(data) and (not len(ends) or ends[-1] != len(data)):
        raise ValueError("a number without an end")
    starts = np.concatenate([[0], ends[:-1]])[: len(ends)]
    sizes = ends - starts
    if len(sizes) and sizes.max() > 10:
        raise ValueError("a number without an end")
    numbers = np.zeros(len(ends), np.uint64)
    for place in range(int(sizes.max(initial=0))):
        longer = np.flatnonzero(sizes > place)
        numbers[longer] |= (data[starts[longer] + place] & np.uint64(127)) << np.uint64(7 * place)
    return numbers.view(np.int64)


def _packed(content: memoryview, single: int) -> memoryview | bytes:
    """Returns the bytes of a list of numbers, in one field, or in one field each of the wire type `single`."""
    parts: list[memoryview] = []
    for number, wire, part in _fields(content):
        if number == 1:
            if wire not in (LENGTH, single):
                raise ValueError(f"a list of numbers has the wire type {wire}")
            parts.append(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _messages(data: memoryview, *numbers: int) -> Iterator[tuple[int, memoryview]]:
    """Yields number and content of the fields `numbers` that are strings or messages."""
    for number, wire, content in _fields(data):
        if number in numbers:
            if wire != LENGTH:
                raise ValueError(f"field {number} has the wire type {wire}")
            yield number, content


def _fields(data: memoryview) -> Iterator[tuple[int, int, memoryview]]:
    """Yields number, wire type and content of each field."""
    place, end, count = 0, len(data), 0
    while place < end:
        tag, place = _varint(data, place)
        count += 1
        if count > MOST_FIELDS:
            raise ValueError(f"more than {MOST_FIELDS} fields")
        wire = tag & 7
        if wire == LENGTH:
            size, place = _varint(data, place)
        elif wire == VARINT:
            size = _varint(data, place)[1] - place
        elif wire in (FIXED32, FIXED64):
            size = 4 if wire == FIXED32 else 8
        else:
            raise ValueError(f"the wire type {wire}")
        if size > end - place:
            raise ValueError(f"a field of {size} bytes where {end - place} are left")
        yield tag >> 3, wire, data[place : place + size]
        place += size


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    """Returns the number at `place`, below 2**64, and the place after it."""
    end = len(data)
    if place < end and data[place] < 128:
        return data[place], place + 1
    number, shift = 0, 0
    while place < end and shift < 64:
        byte = data[place]
        number |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return number & 0xFFFFFFFFFFFFFFFF, place
    raise ValueError("a number without an end")
