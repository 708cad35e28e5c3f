from __future__ import annotations

import gzip
import os
import struct
import sys
import tracemalloc
import zlib
from pathlib import Path

import pytest
from data.record_files import masked_by_hand, write
from hypothesis import given
from hypothesis import strategies as st

from lth.data.tfrecords.records import crc32c, framed, read_record, record_spans
from lth.errors import DataError, MissingExtraError

CONTENTS = (b"first", b"", bytes(range(256)) * 3)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tfrecord")


def read_all(path: Path) -> list[bytes]:
    return [read_record(str(path), *span) for span in record_spans(str(path)).tolist()]


def test_a_record_by_the_description(tmp_path: Path) -> None:
    head = struct.pack("<Q", 5)
    assert framed(b"hello") == head + masked_by_hand(head) + b"hello" + masked_by_hand(b"hello")
    assert masked_by_hand(b"123456789") == struct.pack(
        "<I", ((0xE3069283 >> 15 | 0xE3069283 << 17) + 0xA282EAD8) & 0xFFFFFFFF
    )


def test_records_read_as_they_were_written_in_any_order(tmp_path: Path) -> None:
    path = str(write(tmp_path / "x", *CONTENTS))
    spans = record_spans(path).tolist()
    assert spans == [[0, 21], [21, 16], [37, 784]]
    assert [read_record(path, *span) for span in reversed(spans)] == list(reversed(CONTENTS))
    assert record_spans(path, 2).tolist() == spans[:2]


def test_an_empty_file_holds_no_records(tmp_path: Path) -> None:
    assert record_spans(str(write(tmp_path / "x"))).shape == (0, 2)


@pytest.mark.parametrize("place", range(0, 21 + 16 + 784, 7))
def test_a_flipped_bit_always_raises(tmp_path: Path, place: int) -> None:
    data = bytearray(write(tmp_path / "x", *CONTENTS).read_bytes())
    data[place] ^= 1 << place % 8
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(DataError, match=r"x, offset \d+: ") as caught:
        read_all(tmp_path / "x")
    offset = int(str(caught.value).split("offset ")[1].split(":")[0])
    assert offset <= place < offset + 800


@given(st.integers(0, 820))
def test_no_truncation_passes(scratch: Path, keep: int) -> None:
    whole = b"".join(map(framed, CONTENTS))
    path = scratch / "cut"
    path.write_bytes(whole[:keep])
    if keep in (0, 21, 37):  # whole records are left, and nothing tells that there were more
        assert read_all(path) == list(CONTENTS[: (0, 21, 37).index(keep)])
        return
    with pytest.raises(DataError, match=r"cut, offset (0|21|37): cut short: .* Fetch the file again"):
        read_all(path)


@given(st.binary(min_size=1, max_size=300))
def test_other_files_are_refused(scratch: Path, content: bytes) -> None:
    path = scratch / "other"
    path.write_bytes(content)
    with pytest.raises(DataError, match="other, offset 0: "):
        read_all(path)


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress, lambda data: zlib.compress(data, 9)])
def test_a_compressed_file_says_so(tmp_path: Path, pack) -> None:
    (tmp_path / "x").write_bytes(pack(b"".join(map(framed, CONTENTS))))
    with pytest.raises(DataError, match=r"x, offset 0: a compressed TFRecord file\. Unpack it first"):
        record_spans(str(tmp_path / "x"))


@pytest.mark.parametrize("length", [1 << 29, (1 << 29) + 1, 1 << 40, (1 << 64) - 1])
def test_promises_take_no_memory(tmp_path: Path, length: int) -> None:
    head = struct.pack("<Q", length)
    (tmp_path / "x").write_bytes(head + masked_by_hand(head) + bytes(100))
    tracemalloc.start()
    with pytest.raises(DataError, match=r"x, offset 0: (cut short|a record of more than)"):
        record_spans(str(tmp_path / "x"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def test_a_file_that_shrank_after_it_was_listed(tmp_path: Path) -> None:
    path = write(tmp_path / "x", *CONTENTS)
    spans = record_spans(str(path)).tolist()
    read_record(str(path), *spans[2])
    os.truncate(path, 100)
    with pytest.raises(DataError, match=r"x, offset 37: cut short: 784 bytes are promised, 63 found"):
        read_record(str(path), *spans[2])
    write(path, b"other", b"records")
    with pytest.raises(DataError, match=r"x, offset 21: cut short|x, offset 21: the record has 7 bytes, not 8"):
        read_record(str(path), 21, 24)


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent: cannot be read: No such file"):
        record_spans(str(tmp_path / "absent"))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match=r"pipe: not a regular file"):
        record_spans(str(tmp_path / "pipe"))


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "x", b"")
    monkeypatch.setitem(sys.modules, "google_crc32c", None)
    crc32c.cache_clear()
    with pytest.raises(
        MissingExtraError, match=r"the source 'tfrecord' needs the package 'google-crc32c'.*lth\[data\]"
    ):
        record_spans(str(path))
    crc32c.cache_clear()
