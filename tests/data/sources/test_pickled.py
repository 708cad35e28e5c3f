from __future__ import annotations

import pickle  # noqa: TID251  # makes files; the subject of this test reads them without it
import pickletools
import struct
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data.sources.cifar_files import array, number, numbers, pickled, python2, text
from hypothesis import given
from hypothesis import strategies as st

from lth.data.sources.pickled import array_of, read_pickle
from lth.errors import DataError

ROWS = np.arange(24, dtype=np.uint8).reshape(2, 12)


class Runs:
    """An object whose pickle calls a function."""

    def __init__(self, function: Any, *arguments: Any):
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def refused(content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_pickle(content, "the file")
    assert str(caught.value).startswith("the file, offset ")


def test_a_pickle_of_python_2() -> None:
    found = read_pickle(python2(np.tile(ROWS, 256), np.array([1, 300])), "the file")
    assert set(found) == {b"batch_label", b"labels", b"data", b"filenames"}
    assert (found[b"batch_label"], found[b"labels"]) == (b"batch 1 of 5", [1, 300])
    assert found[b"filenames"] == [b"picture_0.png", b"picture_1.png"]
    rows = array_of(found[b"data"])
    assert rows is not None
    assert np.array_equal(rows, np.tile(ROWS, 256))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("kind", ["|u1", "<i4", "<i8", ">i2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_pickles_of_python_3(protocol: int, kind: str, order: Any) -> None:
    rows = np.array(ROWS, kind, order=order)
    value = {b"data": rows, "labels": [1, 70_000, -5, 2**31, 2**62], b"s": "\xe9", "t": (b"\xff", (), None, True, {})}
    found = read_pickle(pickle.dumps(value, protocol), "the file")
    read = array_of(found.pop(b"data"))
    assert read is not None
    assert (read.dtype.kind, read.dtype.itemsize) == (rows.dtype.kind, rows.dtype.itemsize)
    assert np.array_equal(read, rows)
    assert found == {key: one for key, one in value.items() if key != b"data"}


SOME_BYTES = st.binary(min_size=1)  # protocol 2 has no empty ones: it calls a function for them


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.text() | SOME_BYTES,
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | SOME_BYTES, inner) | st.tuples(inner, inner),
        max_leaves=20,
    ),
    st.integers(2, 5),
)
def test_plain_values_read_as_pickle_reads_them(value: Any, protocol: int) -> None:
    assert read_pickle(pickle.dumps(value, protocol), "the file") == value


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_what_would_run_is_refused(tmp_path: Path, protocol: int) -> None:
    import os

    canary = tmp_path / "canary"
    for runs in (Runs(os.system, f"touch {canary}"), Runs(eval, f"open({str(canary)!r}, 'w')"), Runs(os.mkdir, canary)):
        for value in (runs, {"data": runs}, [[runs]]):
            refused(pickle.dumps(value, protocol), r"it asks for '(posix|builtins|__builtin__) (system|eval|mkdir)'")
    assert not canary.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "pickle exhausted"),
        (b"\x80\x02", "pickle exhausted"),
        (b".", "one value"),
        (b"NN.", "one value"),
        (b"(N.", "one value"),
        (b"N.N", "one value"),
        (b"0.", "POP is not followed"),
        (b"\x80\x02cos\nsystem\n.", "asks for 'os system'"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "asks for 'os system'"),
        (b"\x80\x04]]\x93.", "asks for ''"),
        (b"\x80\x02cnumpy\nload\n.", "asks for 'numpy load'"),
        (b"cnumpy._core.multiarray\nscalar\n.", "asks for"),
        (b"ios\nsystem\n.", "INST is not followed"),
        (b"(cos\nsystem\no.", "asks for 'os system'"),
        (b"P1\n.", "PERSID is not followed"),
        (b"\x82\x01.", "EXT1 is not followed"),
        (b"NN\x81.", "NEWOBJ is not followed"),
        (b"N\x97.", "NEXT_BUFFER is not followed"),
        (b"S'abc'\n.", "STRING is not followed"),
        (b"t.", "no mark"),
        (b"]t.", "no mark"),
        (b"N\x87.", "too few values"),
        (b"(\x85.", "too few values"),
        (b"N(a.", "too few values"),
        (b"Na.", "too few values"),
        (b"NNa.", "a list is missing"),
        (b"](U\x01aNu.", "a dict is missing"),
        (b"}(Nu.", "keys are not text"),
        (b"}NNs.", "keys are not text"),
        (b"}K\x01Ns.", "keys are not text"),
        (b"NN}b.", "a Call is missing"),
        (b"h\x07.", "nothing is kept under 7"),
        (b"q\x00.", "too few values"),
        (b"NNR.", "no function"),
        (b"cnumpy\nndarray\n)R.", "no function"),
        (b"c_codecs\nencode\n)R.", "does not become bytes"),
        (b"c_codecs\nencode\nX\x01\0\0\0aX\x05\0\0\0rot13\x86R.", "does not become bytes"),
        (b"c_codecs\nencode\nX\x03\0\0\0\xe2\x82\xacX\x06\0\0\0latin1\x86R.", "can't encode|ordinal not in range"),
        (b"X\xff\xff\xff\xffabc.", "expected 4294967295 bytes"),
        (b"\x8d\xff\xff\xff\xff\xff\xff\xff\x0fabc.", "expected|read_unicodestring8"),
        (b"T\xff\xff\xff\xffabc.", "byte count < 0"),
        (b"hello, world", "pickle exhausted|not followed|nothing is kept"),
    ],
)
def test_what_is_wrong_is_named(content: bytes, message: str) -> None:
    refused(content, message)


@pytest.mark.parametrize(
    "instructions",
    [
        array(bytes(12), (2**30, 2**30)),
        array(bytes(12), (4, 4)),
        array(bytes(12), (2, 3)),
        array(bytes(12), (-3, -4)),
        array(bytes(12), (1, 1, 1, 1, 12)),
        array(bytes(12), (12,), "O8"),
        array(bytes(12), (12,), "S1"),
        array(bytes(12), (3,), "f4"),
        array(bytes(12), (12,)).replace(b"K\x0c", b"]", 1),
        array(bytes(12), (12,)).replace(b"U\x0c" + bytes(12), b"K\x0c"),
        array(bytes(12), (12,)).replace(b"U\x02u1", b"]"),
        array(bytes(12), (12,)).replace(b"U\x01|", b"]"),
        b"cnumpy\ndtype\n)R",
        b"cnumpy.core.multiarray\n_reconstruct\n)R",
        b"cnumpy._core.numeric\n_frombuffer\n)R",
        b"N",
    ],
)
def test_no_array_is_made_of_what_does_not_fit(instructions: bytes) -> None:
    found = read_pickle(pickled({"data": instructions}), "the file")
    assert array_of(found[b"data"]) is None


def test_an_array_of_objects_is_never_made() -> None:
    assert array_of(read_pickle(pickle.dumps(np.array([None, "x"], object), 4), "the file")) is None


BOMBS = {
    "nested lists": b"]" * 40_000 + b"a" * 39_999 + b".",
    "nested tuples": b")" + b"\x85" * 90_000 + b".",
    "doubling": b"]q\0" + b"".join(b"(" + b"h\0" * 2 + b"lq\0".replace(b"l", b"t") for _ in range(60)) + b"\x86.",
    "memo far away": b"Nr\xff\xff\xff\xff.",
    "text encoded again and again": b"".join(
        (b"c_codecs\nencode\nq\0", b"X\x40\x42\x0f\0" + b"a" * 1_000_000 + b"q\1", b"X\6\0\0\0latin1q\2", b"\x87(")
    )
    + b"h\0h\1h\2\x86R" * 1000
    + b"t\x86.",
    "itself": b"]q\0h\0a.",
    "many": b"(" + b"]" * 100_000 + b"t.",
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_take_neither_memory_nor_time(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lth.data.sources.pickled.MOST_STEPS", 100_000)  # else 20 times as long, under tracemalloc
    tracemalloc.start()
    began = time.process_time()
    try:
        found = read_pickle(BOMBS[name], "the file")
    except DataError:
        found = None
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 30_000_000, peak
    assert time.process_time() - began < 20
    assert array_of(found) is None


SMALL = python2(np.tile(ROWS, 2), np.array([1, 9]))
MODERN = pickle.dumps({b"data": ROWS, "labels": [1, 2], "names": ("a", b"b")}, 5)


@given(st.sampled_from([SMALL, MODERN]), st.data())
def test_changed_bytes_are_refused_or_read(content: bytes, draw: st.DataObject) -> None:
    data = bytearray(content)
    for place in draw.draw(st.lists(st.integers(0, len(data) - 1), max_size=6)):
        data[place] = draw.draw(st.integers(0, 255))
    cut = bytes(data[: draw.draw(st.integers(0, len(data)) | st.just(len(data)))])
    try:
        found = read_pickle(cut, "the file")
    except DataError:
        return
    for value in found.values() if isinstance(found, dict) else [found]:
        made = array_of(value)
        assert made is None or made.nbytes <= len(cut)


OPCODES = [opcode.code.encode("latin-1") for opcode in pickletools.opcodes]
PIECES = [
    *OPCODES, b"cnumpy\ndtype\n", b"cnumpy.core.multiarray\n_reconstruct\n", b"c_codecs\nencode\n", text("u1"),
    number(3), numbers(np.arange(3)), array(b"abcd", (2, 2)), struct.pack("<i", 3), b"X\3\0\0\0abc", b"\n", b"\0",
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=40))
def test_any_instructions_at_all(pieces: list[bytes]) -> None:
    try:
        found = read_pickle(b"".join(pieces) + b".", "the file")
    except DataError:
        return
    made = array_of(found)
    assert made is None or made.nbytes <= sum(map(len, pieces))
