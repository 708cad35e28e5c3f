from __future__ import annotations

import os
from pathlib import Path

import pytest

from lth.data.listing import UNKNOWN
from lth.data.spans import MOST_OPEN, read_span, told
from lth.errors import DataError


def test_a_place_and_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"0123456789")
    assert read_span(str(path), 3, 4) == b"3456"
    assert read_span(str(path), 10, 0) == b""
    assert read_span(str(path), 0, UNKNOWN) == b"0123456789"


def test_what_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"0123456789")
    with pytest.raises(DataError, match=r"x, offset 8: cut short: 4 bytes are promised, 2 found\. Fetch"):
        read_span(str(path), 8, 4)
    with pytest.raises(DataError, match=r"x, offset 1000: cut short: 1 bytes are promised, 0 found"):
        read_span(str(path), 1000, 1)
    for size in (UNKNOWN, 3):
        with pytest.raises(DataError, match=r"absent: cannot be read: No such file"):
            read_span(str(tmp_path / "absent"), 0, size)
        with pytest.raises(DataError, match="not a regular file"):
            read_span(str(tmp_path), 0, size)


def test_what_is_too_large_to_be_an_image_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="1099511627776 bytes are more than"):
        read_span(str(tmp_path / "x"), 0, 1 << 40)


def test_a_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for size in (UNKNOWN, 3):
        with pytest.raises(DataError, match="pipe: not a regular file"):
            read_span(str(tmp_path / "pipe"), 0, size)


def test_a_file_that_takes_the_name_of_another_is_read_itself(tmp_path: Path) -> None:
    path, other = tmp_path / "x", tmp_path / "y"
    path.write_bytes(b"old")
    assert read_span(str(path), 0, 3) == b"old"
    other.write_bytes(b"new")
    other.replace(path)
    assert read_span(str(path), 0, 3) == b"new"


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files by /proc")
def test_few_files_stay_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for number in range(3 * MOST_OPEN):
        path = tmp_path / str(number)
        path.write_bytes(b"%03d" % number)
        assert read_span(str(path), 0, 3) == b"%03d" % number
    assert len(os.listdir("/proc/self/fd")) <= before + MOST_OPEN + 1


def test_a_path_of_any_bytes_can_be_printed() -> None:
    assert told(os.fsdecode(b"/a/\xff.png")) == "/a/\\xff.png"
