"""The rows of shards: mapped into memory, or read when they are wanted; never a byte that is no longer there."""

from __future__ import annotations

import mmap
import os
import resource
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lth.data.manifest import HEADER_BYTES
from lth.data.reading_way import way_of
from lth.errors import DataError

GONE = "Copy the shards again, or point data.source at a copy that nothing cleans away; then run the same command."
PROBES = 3  # rows of a piece that are asked whether they are in memory, before all of them are asked for
MAGIC = b"\x93NUMPY\x01\x00" + (HEADER_BYTES - 10).to_bytes(2, "little")
FILES = 256  # left over for all else that a process opens


@dataclass(frozen=True)
class Shelf:
    """The files of one part: paths, rows in each, int64 (s,), and bytes, of images of one `shape` (h,w,3).

    `offsets` int64 (n,2) are where each row's JPEG begins and ends in its file; None where rows are raw pixels.
    """

    paths: Sequence[Path]
    counts: np.ndarray
    sizes: Sequence[int]
    shape: tuple[int, int, int]
    offsets: np.ndarray | None


@dataclass(frozen=True)
class Rows:
    """The images of one part, by row. Threads may share it.

    `locate` gives, for rows (k,), the addresses of their pixels, uint64 (k,), uint8 (h,w,3) each, and what must be
    kept alive while they are looked at; it raises DataError for a file that was shortened, deleted or cannot be
    read. `expect` has the rows brought to memory in the background, where they are not. `files` gives the
    descriptors of the open files.
    """

    count: int
    shape: tuple[int, int, int]
    way: str
    locate: Callable[[np.ndarray], tuple[np.ndarray, object]]
    expect: Callable[[np.ndarray], None]
    files: Callable[[], list[int]]

    def take(self, rows: np.ndarray, piece: int = 64) -> np.ndarray:
        """Returns the images of rows (k,), uint8 (k,h,w,3)."""
        from lth.data.kernel import cut_whole

        images = np.empty((len(rows), *self.shape), np.uint8)
        for first in range(0, len(rows), piece):
            here = rows[first : first + piece]
            self.expect(rows[first + piece : first + 2 * piece])
            addresses, kept = self.locate(here)
            cut_whole(addresses, images[first : first + piece])
            del kept
        return images


def open_rows(shelf: Shelf, way: str = "auto") -> Rows:
    """Returns the rows of a shelf. Raises DataError for files that are missing or have another size."""
    if way == "auto":
        way = way_of(shelf.paths[0].parent, sum(shelf.sizes))
    files = _Files(shelf)
    if shelf.offsets is not None:
        way, locate = "jpeg", _jpeg(files, shelf)
    else:
        locate = _mapped(files) if way == "mmap" else _read(files)
    return Rows(int(shelf.counts.sum()), shelf.shape, way, locate, files.expect, lambda: list(files.numbers))


class _Files:
    """The open files of a shelf, and where each row lies in them. They are closed when nothing uses them any more."""

    def __init__(self, shelf: Shelf):
        self.shelf, self.row_bytes = shelf, int(np.prod(shelf.shape))
        self.starts = np.concatenate([[0], np.cumsum(shelf.counts)])
        self.numbers: list[int] = []
        self._close = weakref.finalize(self, _close, self.numbers)
        _allow(2 * len(shelf.paths))
        for number, path in enumerate(shelf.paths):
            try:
                self.numbers.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
            except OSError as problem:
                raise DataError(f"cannot be opened: {problem.strerror}", at=path, cure=GONE) from problem
            self.check(number)
            if shelf.offsets is None:
                self._check_header(number)

    def place(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns the file of each row, and the first byte and the number of bytes of it there; int64 (k,) each."""
        file = np.searchsorted(self.starts, rows, side="right") - 1
        if self.shelf.offsets is not None:
            begin, end = self.shelf.offsets[rows].T
            return file, begin, end - begin
        begin = HEADER_BYTES + (rows - self.starts[file]) * self.row_bytes
        return file, begin, np.full(len(rows), self.row_bytes)

    def check(self, number: int) -> None:
        """Raises DataError where a file is no longer as large as it was, or no longer has a name."""
        try:
            status = os.fstat(self.numbers[number])
        except OSError as problem:  # such as ESTALE of a network file system
            raise self.problem(number, f"is no longer there: {problem.strerror}") from problem
        if status.st_size != self.shelf.sizes[number]:
            what = f"has {status.st_size} bytes, and {self.shelf.sizes[number]} in the manifest"
            raise self.problem(number, what)
        if not status.st_nlink:
            raise self.problem(number, "was deleted while it was in use")

    def check_all(self, files: np.ndarray) -> None:
        """Raises DataError as `check`, for each of the numbers."""
        for number in set(files.tolist()):
            self.check(number)

    def problem(self, number: int, what: str) -> DataError:
        """Returns the error of a file."""
        return DataError(what, at=self.shelf.paths[number], cure=GONE)

    def expect(self, rows: np.ndarray) -> None:
        """Has the kernel read rows ahead; a few of them tell whether any need be asked for."""
        if not len(rows):
            return
        file, begin, size = self.place(rows)
        places = list(zip(file.tolist(), begin.tolist(), size.tolist(), strict=True))
        if all(self._cached(*places[at]) for at in range(0, len(places), -(-len(places) // PROBES))):
            return
        for number, first, count in places:
            with suppress(OSError):  # it is a hint; reading the row tells what is wrong
                os.posix_fadvise(self.numbers[number], first, count, os.POSIX_FADV_WILLNEED)

    def _cached(self, number: int, first: int, count: int) -> bool:
        try:
            return os.preadv(self.numbers[number], [bytearray(1)], first + count - 1, os.RWF_NOWAIT) == 1
        except (OSError, AttributeError):
            return False

    def _check_header(self, number: int) -> None:
        """A header is compared, not read: there is one that fits, and the parser of NumPy fails in many ways."""
        shape = (int(self.shelf.counts[number]), *self.shelf.shape)
        wanted = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".replace(" ", "").encode()
        try:
            found = os.pread(self.numbers[number], HEADER_BYTES, 0)
        except OSError as problem:
            raise self.problem(number, f"cannot be read: {problem.strerror}") from problem
        if found[:10] != MAGIC or b"".join(found[10:].split()) != wanted:
            raise self.problem(number, f"the npy header is not that of uint8 {shape}")


def _mapped(files: _Files) -> Callable[[np.ndarray], tuple[np.ndarray, object]]:
    maps = [_map(files, number) for number in range(len(files.numbers))]
    bases = np.array([np.frombuffer(one, np.uint8).ctypes.data for one in maps], np.uint64)

    def locate(rows: np.ndarray) -> tuple[np.ndarray, object]:
        file, begin, _ = files.place(rows)
        files.check_all(file)
        return bases[file] + begin.astype(np.uint64), maps

    return locate


def _map(files: _Files, number: int) -> mmap.mmap:
    try:
        made = mmap.mmap(files.numbers[number], files.shelf.sizes[number], prot=mmap.PROT_READ)
        made.madvise(mmap.MADV_RANDOM)  # a fault brings its own page; `expect` asks for whole rows
    except (OSError, ValueError) as problem:
        raise files.problem(number, f"cannot be mapped into memory: {problem}") from problem
    return made


def _read(files: _Files) -> Callable[[np.ndarray], tuple[np.ndarray, object]]:
    def locate(rows: np.ndarray) -> tuple[np.ndarray, object]:
        scratch = np.empty((len(rows), files.row_bytes), np.uint8)
        for into, (number, first, _) in zip(scratch, _places(files, rows), strict=True):
            _fill(files, number, into.data, first)
        return _addresses(scratch), scratch

    return locate


def _jpeg(files: _Files, shelf: Shelf) -> Callable[[np.ndarray], tuple[np.ndarray, object]]:
    from lth.data.image import decode

    def locate(rows: np.ndarray) -> tuple[np.ndarray, object]:
        scratch = np.empty((len(rows), *shelf.shape), np.uint8)
        for into, row, (number, first, count) in zip(scratch, rows.tolist(), _places(files, rows), strict=True):
            content = bytearray(_length(files, number, first, count))
            _fill(files, number, memoryview(content), first)
            try:
                image = decode(bytes(content), None)
            except Exception as problem:  # Pillow raises nearly anything for a damaged file
                raise files.problem(number, f"row {row}, at byte {first}, cannot be decoded: {problem}") from problem
            if image.shape != shelf.shape:
                raise files.problem(number, f"row {row}, at byte {first}, has {image.shape[:2]} pixels")
            into[...] = image
        return _addresses(scratch), scratch

    return locate


def _places(files: _Files, rows: np.ndarray) -> Iterator[tuple[int, int, int]]:
    places = files.place(rows)
    files.check_all(places[0])  # a deleted file could still be read, until the machine is asked for it anew
    return zip(*(one.tolist() for one in places), strict=True)


def _length(files: _Files, number: int, first: int, count: int) -> int:
    if first < 0 or count < 0 or first + count > files.shelf.sizes[number]:
        raise files.problem(number, f"has no bytes {first} to {first + count}, where a row should lie")
    return count


def _fill(files: _Files, number: int, into: memoryview, first: int) -> None:
    """Reads until `into` is full: a read may give less, as at the end of 2 GiB or where a signal comes."""
    done = 0
    try:
        while done < len(into):
            got = os.preadv(files.numbers[number], [into[done:]], first + done)
            if not got:
                raise files.problem(number, f"ends at byte {first + done}: it was shortened while it was in use")
            done += got
    except OSError as problem:
        raise files.problem(number, f"cannot be read at byte {first + done}: {problem.strerror}") from problem


def _addresses(scratch: np.ndarray) -> np.ndarray:
    step = np.uint64(scratch[0].nbytes if len(scratch) else 0)
    return np.uint64(scratch.ctypes.data) + np.arange(len(scratch), dtype=np.uint64) * step


def _allow(files: int) -> None:
    """Raises the limit of open files where so many more would not fit, as far as this process may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = files + FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))


def _close(numbers: list[int]) -> None:
    for number in numbers:
        with suppress(OSError):
            os.close(number)
