"""Bytes at a place of a file: reads that are bounded, and hold few files open."""

from __future__ import annotations

import os
import stat
from functools import lru_cache

from lth.data.listing import UNKNOWN
from lth.data.sources.files import AGAIN, LARGEST, shown, unreadable
from lth.errors import DataError

MOST_OPEN = 64


def read_span(path: str, offset: int, size: int) -> bytes:
    """Returns `size` bytes at `offset` of the file `path`; with the size UNKNOWN the whole file.

    Raises ValueError where they are more than 512 MiB: no image is. Raises DataError, naming file and offset, where
    the file cannot be read or has fewer bytes: it changed under our hands, and its other images with it.
    """
    if size > LARGEST:
        raise ValueError(f"{size} bytes are more than {LARGEST}")
    try:
        if size == UNKNOWN:
            return _whole_file(path)
        opened = open_file(path)
        taken = pread(opened.fd, offset, size)
    except OSError as problem:
        raise unreadable(told(path), problem) from problem
    if len(taken) < size:
        what = f"cut short: {size} bytes are promised, {len(taken)} found"
        raise DataError(what, at=f"{told(path)}, offset {offset}", cure=AGAIN)
    return taken


def pread(fd: int, offset: int, size: int) -> bytes:
    """Returns `size` bytes at `offset` of an open file, fewer only at its end."""
    taken = os.pread(fd, size, offset)
    # One call of Linux returns 2 GiB at most, and a network's file system may return less.
    while 0 < len(taken) < size and (piece := os.pread(fd, size - len(taken), offset + len(taken))):
        taken += piece
    return taken


def told(path: str) -> str:
    """Returns a path for messages: one that is not UTF-8 has escapes, so that every terminal prints it."""
    return shown(os.fsencode(path))


class Opened:
    """A file, open for reading until nobody holds this."""

    def __init__(self, path: str):
        # Without O_NONBLOCK a named pipe would hang us.
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)

    def __del__(self) -> None:
        if hasattr(self, "fd"):
            os.close(self.fd)


def open_file(path: str) -> Opened:
    """Returns the open file `path`; the last 64 stay open. Raises OSError, DataError for what is no regular file."""
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        raise DataError("not a regular file", at=told(path))
    return _opened(path, found.st_dev, found.st_ino)


# By the file itself, not by its name alone: a name may be given to another file.
@lru_cache(MOST_OPEN)
def _opened(path: str, device: int, inode: int) -> Opened:
    return Opened(path)


def _whole_file(path: str) -> bytes:
    opened = Opened(path)
    found = os.fstat(opened.fd)
    if not stat.S_ISREG(found.st_mode):
        raise DataError("not a regular file", at=told(path))
    if found.st_size > LARGEST:
        raise ValueError(f"{found.st_size} bytes are more than {LARGEST}")
    return pread(opened.fd, 0, found.st_size)
