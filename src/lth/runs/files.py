"""Writing so that a reader never sees half a file, and first-wins publishing."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Generator, Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from lth.errors import RunError
from lth.runs import names

FEW_INODES = 16  # as many as may have come free again since a file did not fit


@contextlib.contextmanager
def disk_errors(path: Path) -> Generator[None]:
    """Turns a full disk or a read-only folder into an error that says what to do."""
    try:
        yield
    except OSError as problem:
        if problem.errno in (errno.ENOSPC, errno.EDQUOT):
            what, cure = _full(path)
            raise RunError(
                what, at=path, cure=f"{cure}, then run the same command again; finished work is kept."
            ) from problem
        if problem.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            cure = "Choose a folder that you may write to."
            raise RunError(f"cannot write here: {problem.strerror}", at=path, cure=cure) from problem
        raise


def _full(path: Path) -> tuple[str, str]:
    """Returns what is full, and what to do about it."""
    with contextlib.suppress(OSError):
        there = next(folder for folder in path.absolute().parents if folder.is_dir())
        found = os.statvfs(there)
        if found.f_files and found.f_favail < FEW_INODES:
            cure = "Delete files, or pack finished runs into one file each (lth archive RUN)"
            return "no more files fit on this disk (no inodes are left)", cure
    return "the disk or the quota is full", "Free some space"


def _temporary(path: Path, data: bytes) -> Path:
    """Returns a complete, synced neighbour of `path` that holds `data`; leaves nothing behind on failure."""
    temporary = names.temporary(path)
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def atomic_write(path: Path, data: bytes | str) -> None:
    """Returns nothing; `path` holds `data` in full, or what it held before. Raises RunError on a full disk."""
    with disk_errors(path):
        temporary = _temporary(path, data.encode() if isinstance(data, str) else data)
        os.replace(temporary, path)


def publish_first(path: Path, data: bytes | str) -> bool:
    """Returns whether this writer was the first to publish `path`; a later one changes nothing.

    A hard link decides, because it is atomic on NFS and Lustre too; where hard links are forbidden the
    file is created exclusively.
    """
    content = data.encode() if isinstance(data, str) else data
    with disk_errors(path):
        temporary = _temporary(path, content)
        try:
            os.link(temporary, path)
            return True
        except FileExistsError:
            return os.stat(temporary).st_nlink == 2  # NFS may answer EEXIST to a link it has just made
        except OSError as problem:
            if problem.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
                raise
            return _create_exclusively(path, content)
        finally:
            temporary.unlink(missing_ok=True)


def _create_exclusively(path: Path, content: bytes) -> bool:
    try:
        with open(path, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        return False
    return True


def make_folder(path: Path, *, parents: bool = True) -> Path:
    """Returns `path`, an existing folder. Raises RunError where it cannot be made.

    Without `parents` the folder above must be there: a run that was moved is not begun anew in its old place.
    """
    with disk_errors(path):
        try:
            path.mkdir(parents=parents, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as problem:
            raise RunError("a file stands where a folder is needed", at=path, cure="Move it away.") from problem
        except FileNotFoundError as problem:
            raise RunError("no folder can be made here", at=path, cure="Choose another folder.") from problem
    return path


def write_json(path: Path, value: Any) -> None:
    """Returns nothing; `path` holds `value` as indented JSON."""
    atomic_write(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def read_json(path: Path, cure: str) -> dict[str, Any]:
    """Returns the object in the JSON file `path`; raises RunError, with `cure`, where it is not one."""
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError as problem:
        raise RunError("the file is missing", at=path, cure=cure) from problem
    except (ValueError, RecursionError) as problem:
        raise RunError(f"not valid JSON: {problem}", at=path, cure=cure) from problem
    if not isinstance(value, dict):
        raise RunError("not a JSON object", at=path, value=value, cure=cure)
    return cast("dict[str, Any]", value)


def jsonl(rows: Iterable[Mapping[str, Any]]) -> str:
    """Returns the rows as JSON lines."""
    return "".join(json.dumps(dict(row), allow_nan=False) + "\n" for row in rows)


def sha256_of(data: bytes) -> str:
    """Returns the hexadecimal sha256 of `data`."""
    return hashlib.sha256(data).hexdigest()
