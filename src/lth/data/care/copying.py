"""One file copied and checked on the disk that it was written to."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from pathlib import Path

from lth.data.care.verify import wrong
from lth.data.checksum import PIECE, Told, file_sha256
from lth.data.manifest import File
from lth.errors import DataError

_CURE = "Prepare the data again, or copy them again from where they are whole."


def copy_checked(source: Path, target: Path, file: File, told: Told, stop: threading.Event) -> None:
    """Returns nothing; `target` is a copy of `source`, synced, and read back with the sha256 of `file`.

    It appears under its name only then. Raises DataError naming the side that is damaged, or a full disk;
    InterruptedError once `stop` is set.
    """
    temporary = target.with_name(f".{target.name}.tmp")
    if reason := wrong(source.parent, file, quick=True):  # before it is opened: it may be a pipe
        raise DataError(reason, at=source, cure=_CURE)
    try:
        _write(source, temporary, told, stop)
        if file_sha256(temporary) != file.sha256:
            raise _damaged(source, target, file)
        os.replace(temporary, target)
    except OSError as problem:
        if isinstance(problem, InterruptedError):
            raise
        at = problem.filename or target
        cure = "Free some space and run the same command again." if problem.errno == errno.ENOSPC else None
        raise DataError(f"cannot be copied: {problem.strerror}", at=at, cure=cure) from problem
    finally:
        temporary.unlink(missing_ok=True)


def _write(source: Path, temporary: Path, told: Told, stop: threading.Event) -> None:
    buffer = memoryview(bytearray(PIECE))
    with source.open("rb", buffering=0) as read, temporary.open("wb") as write:
        while count := read.readinto(buffer):
            write.write(buffer[:count])
            told(count)
            if stop.is_set():
                raise InterruptedError("told to stop")
        write.flush()
        os.fsync(write.fileno())
        if hasattr(os, "posix_fadvise"):  # so that the disk is read afterwards, not what memory still holds
            with contextlib.suppress(OSError):
                os.posix_fadvise(write.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _damaged(source: Path, target: Path, file: File) -> DataError:
    if file_sha256(source) != file.sha256:
        return DataError("the sha256 is not that of the manifest", at=source, cure=_CURE)
    return DataError("what was written cannot be read back", at=target, cure="Use another disk: this one is damaged.")
