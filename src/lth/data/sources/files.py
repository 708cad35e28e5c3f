"""Files of a folder or of a tar archive, read into memory and never unpacked to disk."""

from __future__ import annotations

import gzip
import os
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, TypeVar

from lth.data.sources.tar_header import BLOCK, plain_header
from lth.errors import DataError

T = TypeVar("T")
LARGEST = 1 << 29  # bytes of one file
PIECE = 1 << 20
# Long names and extended attributes take a few kilobytes; more is an attempt to fill the memory.
LONGEST_HEADER = 1 << 17
MOST_FILES = 2_000_000
DEEPEST = 8
GZIP = b"\x1f\x8b"
# What a name of a plain file has not: parts that are empty or begin with a dot, and those of __MACOSX.
ODD = re.compile(rb"^[./]|/[./]|/$|__MACOSX")
AGAIN = "Fetch the file again."


@dataclass(frozen=True)
class Files:
    """Files below `place`: their names, "/" between folders, in the order in which they are best read, and a reader.

    A name that ends in "/" is a folder's. Hidden files (".DS_Store", "._x", "__MACOSX") are not among them.
    """

    place: Path
    names: list[bytes]
    read: Callable[[bytes], bytes]

    def where(self, name: bytes) -> str:
        """Returns the place of a file for an error message."""
        return f"{self.place}/{shown(name)}"


def shown(name: bytes) -> str:
    """Returns a name as text; bytes that are not UTF-8 become escapes."""
    return name.decode("utf-8", "backslashreplace")


def common_folder(names: Sequence[bytes]) -> bytes:
    """Returns the one folder, with its "/", in which everything lies that lies in a folder; else nothing."""
    heads = {head for head, slash, _ in (name.partition(b"/") for name in names) if slash}
    return heads.pop() + b"/" if len(heads) == 1 else b""


def folder_files(place: Path, tops: Sequence[str] = ()) -> Files:
    """Returns the files that lie in a folder itself and, at any depth, in its subfolders `tops`. Raises DataError."""
    root = os.fsencode(place)
    try:
        names = [entry.name for entry in os.scandir(root) if entry.is_file() and not _hidden(entry.name)]
        for top in tops:
            names += _below(root, os.fsencode(top) + b"/", DEEPEST)
    except OSError as problem:
        raise unreadable(place, problem) from problem
    return Files(place, sorted(names), lambda name: _content(Path(os.fsdecode(os.path.join(root, name)))))


def _below(root: bytes, folder: bytes, levels: int) -> list[bytes]:
    if not levels:
        what, cure = f"folders lie more than {DEEPEST} deep", "Look for a link that leads back to its own folder."
        raise DataError(what, at=f"{shown(root)}/{shown(folder)}", cure=cure)
    names = [folder]
    with os.scandir(os.path.join(root, folder)) as entries:
        for entry in entries:
            if _hidden(entry.name):
                continue
            if entry.is_dir():
                names += _below(root, folder + entry.name + b"/", levels - 1)
            elif entry.is_file():
                names.append(folder + entry.name)
    return names


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            _bound(path, size)
            return stream.read(size)
    except OSError as problem:
        raise unreadable(path, problem) from problem


@contextmanager
def tar_files(path: Path) -> Iterator[Files]:
    """Yields the files of a tar archive, gzip-compressed or not, at its own place. Raises DataError.

    A damaged or shortened archive is refused as a whole, as are links in it, and names that lead out of it.
    """
    try:
        raw = path.open("rb")
    except OSError as problem:
        raise unreadable(path, problem) from problem
    with raw:
        stream = gzip.GzipFile(fileobj=raw) if raw.peek(2)[:2] == GZIP else raw
        members = _whole(path, lambda: _members(path, stream))

        def read(name: bytes) -> bytes:
            return _whole(path, lambda: _member(f"{path}/{shown(name)}", stream, members[name]))

        yield Files(path, list(members), read)


def tar_spans(path: Path, begin: int = 0, size: int | None = None) -> dict[bytes, tuple[int, int]]:
    """Returns offset and size in the file `path` of the files of a tar archive, by name; a folder's size is 0.

    The archive begins at `begin`, and is `size` bytes long where it lies in another one. Only headers are read, by
    seeking. Raises DataError for what `tar_files` refuses, and for a compressed archive, which has no such places.
    """
    at = f"{path}, offset {begin}" if begin else str(path)
    try:
        with path.open("rb") as raw:
            if begin == 0 and raw.peek(2)[:2] == GZIP:
                cure = "Unpack it first, with gunzip; only the .tar itself can be read at any place."
                raise DataError("a compressed archive", at=at, cure=cure)
            stream = raw if size is None else Window(raw, begin, size)
            found = _whole(at, lambda: _members(at, stream))  # pyright: ignore[reportArgumentType]
    except OSError as problem:
        raise unreadable(path, problem) from problem
    return {name: (begin + offset, length) for name, (offset, length) in found.items()}


class Window:
    """The `size` bytes at `begin` of an open file, as a file of their own."""

    def __init__(self, raw: BinaryIO, begin: int, size: int):
        self._raw, self._begin, self._size, self._place = raw, begin, size, 0

    def read(self, count: int) -> bytes:
        self._raw.seek(self._begin + self._place)
        taken = self._raw.read(max(0, min(count, self._size - self._place)))
        self._place += len(taken)
        return taken

    def seek(self, offset: int) -> int:
        self._place = offset
        return offset

    def tell(self) -> int:
        return self._place


def _whole(path: object, read: Callable[[], T]) -> T:
    """Returns what `read` returns, its exceptions made DataErrors."""
    try:
        return read()
    except (DataError, MemoryError):
        raise
    # tarfile lets almost any exception through when an archive is damaged, RecursionError among them.
    except Exception as problem:
        what = f"not a tar archive, or a damaged one: {problem}"
        cure = f"{AGAIN} Archives of tar are read, packed by gzip or not at all."
        raise DataError(what, at=path, cure=cure) from problem


@dataclass(frozen=True)
class _Careful:
    """An archive for tarfile, which reads nothing but headers from it: no long read is a header's."""

    stream: BinaryIO | gzip.GzipFile | Window

    def read(self, count: int) -> bytes:
        if count > LONGEST_HEADER:
            raise ValueError(f"a header of {count} bytes")
        return self.stream.read(count)

    def seek(self, offset: int) -> int:
        return self.stream.seek(offset)

    def tell(self) -> int:
        return self.stream.tell()


def _members(path: object, stream: BinaryIO | gzip.GzipFile | Window) -> dict[bytes, tuple[int, int]]:
    """Returns offset and size of the files of an archive by name; a folder's are 0."""
    found: dict[bytes, tuple[int, int]] = {}
    archive = tarfile.TarFile(fileobj=_Careful(stream), mode="r", encoding="utf-8")  # pyright: ignore[reportArgumentType]
    while (member := _next(archive)) is not None:
        archive.members.clear()  # pyright: ignore[reportAttributeAccessIssue]  # it keeps a kilobyte a file
        name = _tidy(path, member.name.encode("utf-8", "surrogateescape"))
        if name and not _hidden(name) and (not (member.isdir() or member.isreg()) or member.issparse()):
            cure = "Make the archive from plain files: tar --dereference --hard-dereference."
            raise DataError("a link or a special file in the archive", at=f"{path}/{shown(name)}", cure=cure)
        _add(path, found, name, (member.offset_data, member.size) if member.isreg() else None)
        while plain := plain_header(_block(stream, archive.offset)):
            begin = archive.offset + BLOCK
            archive.offset = begin + -(-plain[1] // BLOCK) * BLOCK
            _add(path, found, _tidy(path, plain[0]), (begin, plain[1]))
    # tarfile takes a damaged header, and the end of a shortened file, for the end of the archive.
    if _block(stream, archive.offset) != bytes(BLOCK):
        raise ValueError(f"neither a header nor the end mark at offset {archive.offset}")
    while isinstance(stream, gzip.GzipFile) and stream.read(PIECE):
        pass  # on to the checksum
    return found


def _block(stream: BinaryIO | gzip.GzipFile | Window, offset: int) -> bytes:
    stream.seek(offset)
    return stream.read(BLOCK)


def _add(path: object, found: dict[bytes, tuple[int, int]], name: bytes, span: tuple[int, int] | None) -> None:
    """Returns nothing; notes a file, or a folder where there is no span."""
    if not name or _hidden(name):
        return
    if span and name in found:
        raise DataError("is twice in the archive", at=f"{path}/{shown(name)}", cure="Make the archive anew.")
    found[name if span else name + b"/"] = span or (0, 0)
    if len(found) > MOST_FILES:
        raise DataError(f"more than {MOST_FILES} files", at=path, cure="Take a smaller set.")


def _next(archive: tarfile.TarFile) -> tarfile.TarInfo | None:
    before = archive.offset
    try:
        member = archive.next()
    except MemoryError:
        raise
    # As in _whole; here the place is known.
    except Exception as problem:
        raise ValueError(f"{problem}, after offset {before}") from problem
    if member is not None and (member.size < 0 or archive.offset < before):
        raise ValueError(f"a negative size, after offset {before}")
    return member


def _tidy(path: object, name: bytes) -> bytes:
    if not ODD.search(name):
        return name
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if b".." in parts:
        cure = "Make the archive anew."
        raise DataError("a name leads out of the archive", at=path, value=shown(name), cure=cure)
    return b"/".join(parts)


def _member(at: str, stream: BinaryIO | gzip.GzipFile, where: tuple[int, int]) -> bytes:
    offset, size = where
    _bound(at, size)
    stream.seek(offset)
    taken = bytearray()
    while len(taken) < size and (piece := stream.read(min(PIECE, size - len(taken)))):
        taken += piece
    if len(taken) < size:
        raise DataError(f"cut short: {size} bytes are promised, {len(taken)} found", at=at, cure=AGAIN)
    return bytes(taken)


def unpacked(content: bytes, at: str) -> bytes:
    """Returns the content of a gzip file. Raises DataError, with the offset in it, where it is damaged or too large."""
    taken = bytearray()
    try:
        with gzip.GzipFile(fileobj=BytesIO(content)) as stream:
            while piece := stream.read1(PIECE):
                taken += piece
                _bound(at, len(taken))
    except (EOFError, zlib.error, OSError) as problem:
        raise DataError(f"damaged gzip stream: {problem}", at=f"{at}, offset {len(taken)}", cure=AGAIN) from problem
    return bytes(taken)


def _bound(at: object, size: int) -> None:
    if size > LARGEST:
        raise DataError(f"the file is larger than {LARGEST} bytes", at=at, value=size)


def unreadable(at: object, problem: OSError) -> DataError:
    return DataError(f"cannot be read: {problem.strerror or problem}", at=at)


def _hidden(name: bytes) -> bool:
    return bool(ODD.search(name)) and any(part.startswith(b".") or part == b"__MACOSX" for part in name.split(b"/"))
