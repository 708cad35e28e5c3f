from __future__ import annotations

import gzip
import os
import tarfile
import tracemalloc
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from data.sources.cifar_files import archive
from hypothesis import given
from hypothesis import strategies as st

from lth.data.sources.files import common_folder, folder_files, shown, tar_files, unpacked
from lth.errors import DataError

NOISE = np.random.default_rng(0).bytes(3000)
CONTENTS = {"a/": b"", "a/one.txt": b"1", "a/b/two.bin": NOISE, "three": b""}


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


def read_all(path: Path) -> dict[bytes, bytes]:
    with tar_files(path) as files:
        return {name: files.read(name) for name in reversed(files.names) if not name.endswith(b"/")}


def refused(path: Path, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_all(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_an_archive_reads_as_it_was_written(tmp_path: Path, mode: str) -> None:
    path = archive(tmp_path / "x", CONTENTS, mode)
    assert read_all(path) == {b"a/one.txt": b"1", b"a/b/two.bin": NOISE, b"three": b""}
    with tar_files(path) as files:
        assert files.names == [b"a/", b"a/one.txt", b"a/b/two.bin", b"three"]
        assert files.where(b"a/one.txt") == f"{path}/a/one.txt"


def test_a_folder_lists_itself_and_the_subfolders_asked_for(tmp_path: Path) -> None:
    for name in ("a/b/one", "a/two", "c/three", "four", ".hidden", "a/.DS_Store", "a/._two", "a/__MACOSX/x"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    os.symlink(tmp_path / "four", tmp_path / "a" / "link")
    files = folder_files(tmp_path, ["a"])
    assert files.names == [b"a/", b"a/b/", b"a/b/one", b"a/link", b"a/two", b"four"]
    assert (files.read(b"a/b/one"), files.read(b"a/link")) == (b"a/b/one", b"four")
    assert folder_files(tmp_path).names == [b"four"]


def test_a_folder_that_links_to_itself(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    os.symlink(tmp_path / "a", tmp_path / "a" / "again")
    with pytest.raises(DataError, match=r"folders lie more than 8 deep\. Look for a link"):
        folder_files(tmp_path, ["a"])


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="absent: cannot be read: No such file"):
        folder_files(tmp_path / "absent")
    with pytest.raises(DataError, match="absent: cannot be read: No such file"):
        folder_files(tmp_path).read(b"absent")
    refused(tmp_path / "absent", "cannot be read: No such file")


def test_a_common_folder() -> None:
    assert common_folder([b"a/", b"a/x", b"a/b/y", b"readme"]) == b"a/"
    assert common_folder([b"a/x", b"b/x"]) == b""
    assert common_folder([b"x"]) == b""


def test_names_are_tidied_and_hidden_ones_passed_over(tmp_path: Path) -> None:
    path = archive(
        tmp_path / "x", {"./": b"", "./a//x": b"1", "/b": b"2", "._b": b"", "__MACOSX/b": b"", ".git/x": b""}
    )
    assert read_all(path) == {b"a/x": b"1", b"b": b"2"}


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("name", [b"caf\xe9/\xff.jpg", "café/ü.jpg".encode(), b"long/" * 60 + b"x"])
def test_names_of_any_bytes(tmp_path: Path, form: int, name: bytes) -> None:
    with tarfile.open(tmp_path / "x", "w", format=form, encoding="utf-8") as tar:
        member = tarfile.TarInfo(name.decode("utf-8", "surrogateescape"))
        member.size = 3
        tar.addfile(member, BytesIO(b"abc"))
    assert read_all(tmp_path / "x") == {name: b"abc"}
    shown(name).encode("utf-8")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    with tarfile.open(tmp_path / "x", "w") as tar:
        member = tarfile.TarInfo("train/cat")
        member.type, member.linkname = kind, "/etc"
        tar.addfile(member)
    refused(tmp_path / "x", r"x/train/cat: a link or a special file .*--hard-dereference")


def test_names_that_lead_out_are_refused(tmp_path: Path) -> None:
    refused(archive(tmp_path / "x", {"a/../../etc/passwd": b""}), "a name leads out of the archive")


def test_a_file_that_is_twice_there(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x", "w") as tar:
        for name in ("a", "./a"):
            tar.addfile(tarfile.TarInfo(name))
    refused(tmp_path / "x", r"x/a: is twice in the archive")


PACKED = gzip.compress(b"hello", mtime=0)  # without the time of day, which would be in the test's name


@pytest.mark.parametrize("content", [b"", b"hello", bytes(300), NOISE, PACKED, b"\x1f\x8bhello"])
def test_no_archive(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    refused(tmp_path / "x", "not a tar archive, or a damaged one")


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_no_truncation_passes(tmp_path: Path, mode: str) -> None:
    whole = archive(tmp_path / "whole", CONTENTS, mode).read_bytes()
    end = 512 + 1024 + 512 + 3072 + 512 + 512 if mode == "w" else len(whole)  # headers, contents, one end mark
    for keep in [*range(0, end, 97), *(512, 1536, 5120)[: 3 * (mode == "w")], end - 1]:
        (tmp_path / "x").write_bytes(whole[:keep])
        refused(tmp_path / "x", "not a tar archive, or a damaged one")


def test_a_damaged_header_is_not_the_end(tmp_path: Path) -> None:
    data = bytearray(archive(tmp_path / "x", CONTENTS, "w").read_bytes())
    data[512] ^= 1
    (tmp_path / "x").write_bytes(data)
    refused(tmp_path / "x", "neither a header nor the end mark at offset 512")


def test_a_damaged_gzip_stream(tmp_path: Path) -> None:
    data = bytearray(archive(tmp_path / "x", CONTENTS).read_bytes())
    data[-6] ^= 1  # the checksum
    (tmp_path / "x").write_bytes(data)
    refused(tmp_path / "x", "CRC check failed")


def test_promises_take_no_memory(tmp_path: Path) -> None:
    for kind, size in ((tarfile.GNUTYPE_LONGNAME, 1 << 33), (tarfile.XHDTYPE, 1 << 33), (tarfile.REGTYPE, 1 << 28)):
        member = tarfile.TarInfo("x")
        member.type, member.size = kind, size
        (tmp_path / "x").write_bytes(member.tobuf() + bytes(1024))
        tracemalloc.start()
        try:
            refused(tmp_path / "x", "not a tar archive, or a damaged one")
            assert tracemalloc.get_traced_memory()[1] < 4_000_000
        finally:
            tracemalloc.stop()


def test_a_chain_of_long_names_ends(tmp_path: Path) -> None:
    member = tarfile.TarInfo("x")
    member.type, member.size = tarfile.GNUTYPE_LONGNAME, 1
    (tmp_path / "x").write_bytes((member.tobuf() + bytes(512)) * 5000)
    refused(tmp_path / "x", "not a tar archive, or a damaged one")


def test_files_and_archives_have_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lth.data.sources.files.LARGEST", 2000)
    path = archive(tmp_path / "x", CONTENTS)
    refused(path, r"x/a/b/two\.bin: the file is larger than 2000 bytes \(found 3000\)")
    (tmp_path / "big").write_bytes(NOISE)
    with pytest.raises(DataError, match="big: the file is larger than 2000 bytes"):
        folder_files(tmp_path).read(b"big")
    with pytest.raises(DataError, match="larger than 2000 bytes"):
        unpacked(gzip.compress(bytes(2001)), "x")
    monkeypatch.setattr("lth.data.sources.files.MOST_FILES", 3)
    refused(path, "more than 3 files")


@given(st.lists(st.tuples(st.integers(0, 511), st.integers(0, 255)), max_size=5), st.integers(0, 4), st.booleans())
def test_changed_headers_are_refused_or_read(
    scratch: Path, changes: list[tuple[int, int]], which: int, right_checksum: bool
) -> None:
    data = bytearray(archive(scratch / "x", CONTENTS | {"long/" * 50: b""}, "w").read_bytes())
    start = (0, 512, 1536, 5120, 5632)[which]
    for place, value in changes:
        data[start + place] = value
    if right_checksum:
        total = sum(data[start : start + 512]) - sum(data[start + 148 : start + 156]) + 8 * 32
        data[start + 148 : start + 156] = b"%06o\0 " % total
    (scratch / "x").write_bytes(data)
    try:
        found = read_all(scratch / "x")
    except DataError:
        return
    assert sum(map(len, found.values())) <= len(data)


@given(st.binary(max_size=80))
def test_packed_bytes(content: bytes) -> None:
    assert unpacked(gzip.compress(content), "x") == content
    with pytest.raises(DataError, match="x, offset 0: damaged gzip stream"):
        unpacked(gzip.compress(content)[:-1], "x") if not content else unpacked(b"\0" + content, "x")
