from __future__ import annotations

import gzip
import re
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lth.data.sources.idx import read_idx
from lth.errors import DataError

AsIdx = Callable[..., bytes]
Picture = Callable[..., np.ndarray]
IMAGES, LABELS = (3, 4), (1,)


def write(path: Path, content: bytes) -> Path:
    """Returns `path`, written, gzipped where its name says so."""
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
    return path


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("idx")


@pytest.mark.parametrize("name", ["images-idx3-ubyte", "images-idx3-ubyte.gz"])
@pytest.mark.parametrize("shape", [(4, 3, 5), (2, 3, 5, 3), (1, 1, 1), (7,), (300, 70, 71)])
def test_a_file_reads_as_it_was_written(
    tmp_path: Path, as_idx: AsIdx, picture: Picture, name: str, shape: tuple[int, ...]
) -> None:
    array = picture(*shape)
    found = read_idx(write(tmp_path / name, as_idx(array)), IMAGES + LABELS)
    assert found.dtype == np.uint8
    assert np.array_equal(found, array)
    assert not found.flags.writeable


def test_a_gzip_file_of_several_members_reads_as_one(tmp_path: Path, as_idx: AsIdx, picture: Picture) -> None:
    content = as_idx(picture(4, 3, 5))
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(content[:30]) + gzip.compress(content[30:]))
    assert np.array_equal(read_idx(path, IMAGES), picture(4, 3, 5))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"offset 0: cut short: 4 bytes of header are promised, 0 found"),
        (b"\0\0\x08", r"offset 3: cut short: 4 bytes of header are promised, 3 found"),
        (b"\0\0\x08\x03\0\0\0\x02\0\0", r"offset 10: cut short: 12 bytes of header are promised, 6 found"),
        (b"hello, world, hello", r"offset 0: not an idx file: wrong magic number \(found b'hell'\)"),
        (b"\0\0\x07\x03" + bytes(40), r"offset 0: not an idx file: wrong magic number"),
        (b"\0\0\x0d\x03" + bytes(40), r"offset 2: idx files of uint8 are read, no others \(found 'float32'\)"),
        (b"\0\0\x08\x01\0\0\0\x01\0", r"offset 3: holds an array of 1 dimensions where 3 or 4 are needed"),
        (b"\0\0\x08\xff" + bytes(40), r"offset 3: holds an array of 255 dimensions"),
        (b"\0\0\x08\x03" + struct.pack(">3I", 0, 2, 2), r"offset 4: holds no examples"),
        (b"\0\0\x08\x03" + struct.pack(">3I", 2, 0, 2), r"offset 4: an image has no pixels"),
        (
            b"\0\0\x08\x03" + struct.pack(">3I", 1, 2, 2) + b"12345",
            r"offset 20: the header promises 4 bytes.*more follow",
        ),
    ],
)
@pytest.mark.parametrize("name", ["x", "x.gz"])
def test_what_is_wrong_is_named_with_its_offset(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_idx(write(tmp_path / name, content), IMAGES)
    assert str(tmp_path / name) in str(caught.value)


def test_a_file_cut_short_says_how_much_is_there(tmp_path: Path, as_idx: AsIdx, picture: Picture) -> None:
    path = write(tmp_path / "x", as_idx(picture(4, 3, 5))[:-7])
    with pytest.raises(DataError, match=r"offset 4: cut short: the header promises 60 bytes.*holds 53 at most"):
        read_idx(path, IMAGES)


def test_a_gzip_file_cut_short_says_how_much_came_out(tmp_path: Path, as_idx: AsIdx) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (50, 100, 100), dtype=np.uint8)
    path = write(tmp_path / "x.gz", as_idx(noise))
    path.write_bytes(path.read_bytes()[:200_000])
    with pytest.raises(DataError) as caught:
        read_idx(path, IMAGES)
    said = re.search(r"offset (\d+): cut short: 500000 bytes of data are promised, (\d+) found", str(caught.value))
    assert said
    offset, found = (int(number) for number in said.groups())
    assert offset == found + 16
    assert 190_000 < found <= 200_000


def test_a_gzip_file_without_its_checksum(tmp_path: Path, as_idx: AsIdx, picture: Picture) -> None:
    path = write(tmp_path / "x.gz", as_idx(picture(4, 3, 5)))
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(DataError, match="cut short: the gzip stream lacks its end mark and checksum"):
        read_idx(path, IMAGES)


def test_a_damaged_gzip_stream(tmp_path: Path, as_idx: AsIdx, picture: Picture) -> None:
    path = write(tmp_path / "x.gz", as_idx(picture(40, 30, 5)))
    data = bytearray(path.read_bytes())
    data[-6] ^= 1  # the checksum
    path.write_bytes(data)
    with pytest.raises(DataError, match="damaged gzip stream: CRC check failed"):
        read_idx(path, IMAGES)
    data[12] ^= 0xFF  # the first code table
    path.write_bytes(data)
    with pytest.raises(DataError, match="damaged gzip stream"):
        read_idx(path, IMAGES)


def test_names_and_contents_that_disagree(tmp_path: Path, as_idx: AsIdx, picture: Picture) -> None:
    content = as_idx(picture(4, 3, 5))
    (tmp_path / "x.gz").write_bytes(content)
    with pytest.raises(DataError, match=r"not a gzip file, though its name ends in \.gz.*take \.gz off its name"):
        read_idx(tmp_path / "x.gz", IMAGES)
    (tmp_path / "x").write_bytes(gzip.compress(content))
    with pytest.raises(DataError, match=r"gzip-compressed, though its name does not end in \.gz.*Add \.gz"):
        read_idx(tmp_path / "x", IMAGES)


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_idx(tmp_path / "absent", IMAGES)
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        read_idx(tmp_path, IMAGES)


@pytest.mark.parametrize("name", ["x", "x.gz"])
@pytest.mark.parametrize("shape", [(2**32 - 1, 2**32 - 1, 2**32 - 1), (4000, 1000, 1000), (1000, 300, 300)])
def test_a_header_that_promises_gigabytes_allocates_nothing(tmp_path: Path, name: str, shape: tuple[int, ...]) -> None:
    # 100 kB of noise: as gzip it might unpack to 100 MB, so that the last promise must be refused by reading.
    noise = np.random.default_rng(0).bytes(100_000)
    path = write(tmp_path / name, b"\0\0\x08\x03" + struct.pack(">3I", *shape) + noise)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="cut short"):
            read_idx(path, IMAGES)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


@given(st.integers(0, 75), st.booleans())
def test_no_truncation_passes(scratch: Path, as_idx: AsIdx, picture: Picture, keep: int, packed: bool) -> None:
    path = write(scratch / ("cut.gz" if packed else "cut"), as_idx(picture(4, 3, 5)))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError):
        read_idx(path, IMAGES)


@given(st.sets(st.integers(0, 8 * 76 - 1), min_size=1, max_size=4))
def test_flipped_bits_are_refused_or_read_as_they_stand(
    scratch: Path, as_idx: AsIdx, picture: Picture, bits: set[int]
) -> None:
    data = bytearray(as_idx(picture(4, 3, 5)))
    for bit in bits:
        data[bit // 8] ^= 1 << bit % 8
    try:
        found = read_idx(write(scratch / "flipped", bytes(data)), IMAGES)
    except DataError:
        return
    assert as_idx(found) == bytes(data)


@given(st.data())
def test_flipped_bits_of_a_gzip_file_are_refused_or_harmless(
    scratch: Path, as_idx: AsIdx, picture: Picture, draw: st.DataObject
) -> None:
    array = picture(40, 6, 7)
    path = write(scratch / "flipped.gz", as_idx(array))
    data = bytearray(path.read_bytes())
    for bit in draw.draw(st.sets(st.integers(0, 8 * len(data) - 1), min_size=1, max_size=4)):
        data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)
    try:
        found = read_idx(path, IMAGES)
    except DataError:
        return
    assert np.array_equal(found, array)


@given(st.binary(max_size=60), st.booleans())
def test_any_bytes_at_all(scratch: Path, as_idx: AsIdx, content: bytes, packed: bool) -> None:
    path = scratch / ("any.gz" if packed else "any")
    path.write_bytes((b"\x1f\x8b\x08" if packed else b"\0\0\x08\x03\0\0\0") + content)
    try:
        found = read_idx(path, IMAGES)
    except DataError:
        return
    stored = path.read_bytes()
    assert as_idx(found) == (gzip.decompress(stored) if packed else stored)
