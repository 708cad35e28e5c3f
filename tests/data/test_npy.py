from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from data.listings.shards_made import npy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lth.data.npy import read_array, read_shape
from lth.errors import DataError

LABELS = np.array([3, 1, 2])


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("npy")


@given(arrays.arrays(st.sampled_from([np.dtype("<i8"), np.dtype("u1")]), arrays.array_shapes(max_dims=4, min_side=0)))
def test_what_numpy_writes(scratch: Path, array: np.ndarray) -> None:
    path = scratch / "x"
    path.write_bytes(npy(array))
    assert read_shape(path, array.dtype) == (array.shape, path.stat().st_size - array.nbytes)
    assert np.array_equal(read_array(path, array.dtype, array.shape), array)


def test_a_padded_header(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(npy(LABELS, 4096))
    assert read_shape(tmp_path / "x", LABELS.dtype) == ((3,), 4096)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "offset 0: not an npy file"),
        (b"\x93NUMPY\x02\x00" + bytes(100), "offset 0: not an npy file of version 1.0"),
        (npy(LABELS)[:60], "offset 10: cut short: a header of 118 bytes, 50 are there"),
        (npy(LABELS)[:-1], "151 bytes, where 152 are expected"),
        (npy(LABELS) + b"x", "153 bytes, where 152 are expected"),
        (npy(LABELS[:2]), r"offset 0: an array \(2,\), where \(3,\) is expected"),
        (npy(LABELS.astype(">i8")), "offset 10: not an array of <i8 in C order"),
        (npy(np.array([1.0])), "offset 10: not an array of <i8"),
        (npy(np.asfortranarray(np.ones((2, 2), np.int64))), "offset 10: not an array of <i8 in C order"),
        (npy(LABELS).replace(b"(3,)", b"(-3,"), "offset 10: a header that cannot be read"),
        (npy(LABELS).replace(b"(3,), ", b"(1e9,)"), "offset 10: not a shape"),
        (npy(LABELS).replace(b"(3,), ", b"(-3,),"), "offset 10: not a shape"),
        (npy(LABELS).replace(b"{'descr'", b"(((((((("), "offset 10: a header that cannot be read"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(DataError, match=f"x(, |: ){message}"):
        read_array(tmp_path / "x", LABELS.dtype, LABELS.shape)


def test_what_cannot_be_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="pipe: not a regular file"):
        read_shape(tmp_path / "pipe", LABELS.dtype)
    with pytest.raises(DataError, match="absent: cannot be read"):
        read_array(tmp_path / "absent", LABELS.dtype, LABELS.shape)


@given(st.integers(0, 127), st.integers(0, 255))
def test_a_wrong_byte_in_the_header_is_refused_or_means_the_same(scratch: Path, place: int, byte: int) -> None:
    content = bytearray(npy(LABELS))
    content[place] = byte
    (scratch / "y").write_bytes(content)
    found, told = LABELS, str(scratch / "y")
    try:
        found = read_array(scratch / "y", LABELS.dtype, LABELS.shape)
    except DataError as problem:
        told = str(problem)
    assert np.array_equal(found, LABELS)
    assert str(scratch / "y") in told
