from __future__ import annotations

import tracemalloc
from contextlib import suppress

import numpy as np
import pytest
from data.record_files import field, message, varint
from hypothesis import example as case
from hypothesis import given
from hypothesis import strategies as st

from lth.data.tfrecords.example import MOST_FIELDS, MOST_NUMBERS, parse, values

WHOLE = st.integers(-(1 << 63), (1 << 63) - 1)


def only(feature: bytes):
    return values(parse(field(1, field(1, field(1, b"x") + field(2, feature)))), "x")


@given(st.lists(WHOLE, max_size=40))
@case([0])
@case([127, 128, -1, 1 << 62])
def test_whole_numbers_of_any_size(numbers: list[int]) -> None:
    found = values(parse(message(x=numbers)), "x")
    assert isinstance(found, np.ndarray)
    assert found.dtype == np.int64
    assert found.tolist() == numbers


@given(st.lists(st.floats(width=32, allow_nan=False), max_size=40))
def test_floats(numbers: list[float]) -> None:
    found = values(parse(message(x=np.array(numbers))), "x")
    assert isinstance(found, np.ndarray)
    assert found.dtype == np.float32
    assert found.tolist() == numbers


def test_names_and_byte_strings() -> None:
    found = parse(message(image__encoded=b"\xff\xd8", label=3, empty=b""))
    assert list(found.features) == ["image/encoded", "label", "empty"]
    assert (values(found, "image/encoded"), values(found, "empty")) == ([b"\xff\xd8"], [b""])
    assert only(field(1, field(1, b"a") + field(1, b"bc"))) == [b"a", b"bc"]


def test_lists_that_are_not_packed_and_fields_that_are_not_known() -> None:
    floats = b"".join(b"\x0d" + np.float32(value).tobytes() for value in (1, 2.5))
    whole = b"".join(b"\x08" + varint(value) for value in (1, 300))
    unknown = field(9, b"new") + b"\x50\x07" + b"\x59" + bytes(8)
    assert only(field(2, floats + unknown)).tolist() == [1, 2.5]  # pyright: ignore[reportAttributeAccessIssue]
    assert only(unknown + field(3, unknown + whole)).tolist() == [1, 300]  # pyright: ignore[reportAttributeAccessIssue]


def test_an_example_of_several_pieces() -> None:
    found = parse(message(a=1) + message(b=2) + message(a=3))
    assert {name: values(found, name).tolist() for name in found.features} == {"a": [3], "b": [2]}  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("feature", "message"),
    [
        (b"", "has 0 lists"),
        (field(1, b"") + field(3, b""), "has 2 lists"),
        (field(2, field(1, b"abc")), "a list of floats takes 3 bytes"),
        (field(3, field(1, b"\x80")), "a number without an end"),
        (field(3, field(1, b"\x80" * 10 + b"\x01")), "a number without an end"),
        (field(3, b"\x0d\0\0\0\0"), "a list of numbers has the wire type 5"),
        (b"\x08\x01", "field 1 has the wire type 0"),
        (b"\x0a\x05a", "a field of 5 bytes where 1 are left"),
        (b"\x0a", "a number without an end"),
        (b"\x0b", "the wire type 3"),
        (b"\x0a" + varint((1 << 64) - 1), "a field of 18446744073709551615 bytes"),
    ],
)
def test_what_is_no_feature(feature: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        only(feature)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_example_or_refused(data: bytes) -> None:
    with suppress(ValueError):
        found = parse(data)
        for name in found.features:
            values(found, name)


@pytest.mark.parametrize(
    "feature",
    [
        field(1, b"\x0a\x00" * (MOST_FIELDS + 1)),
        field(2, b"\x0d\0\0\0\0" * (MOST_FIELDS + 1)),
        field(3, field(1, bytes(MOST_NUMBERS + 1))),
        field(2, field(1, bytes(4 * MOST_NUMBERS + 4))),
    ],
)
def test_endless_lists_take_little_memory(feature: bytes) -> None:
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"more than 65536 fields|takes"):
        only(feature)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * len(feature) + (64 << 20)
