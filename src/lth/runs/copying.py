"""One result taken over from another run directory: its files first, checked, its record last."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from pathlib import Path

from lth.errors import RunError
from lth.runs import names
from lth.runs.artefacts import Published
from lth.runs.files import disk_errors, make_folder, publish_first
from lth.runs.known import DAMAGED

CHUNK = 1 << 20
NO_LINKS = (errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES)


def take_over(one: Published, source: Path, target: Path) -> bool:
    """Returns whether the result of the run directory `source` now stands in `target`: False where another was first.

    Killed at any moment it can be repeated: the result.json appears last. Raises RunError where a file is not the
    one that its checksum names; then nothing is published.
    """
    gone = set(one.missing(source))
    for name, sha256 in one.files.items():
        path = one.attempt(source) / name
        if name not in gone and _sha256(path) != sha256:
            raise RunError("the file is not the one its result.json names (sha256 differs)", at=path, cure=DAMAGED)
    for name in sorted(one.files.keys() - gone):
        bring(one.attempt(source) / name, one.attempt(target) / name)
    record = (source / one.folder / "result.json").read_bytes()
    return publish_first(make_folder(target / one.folder) / "result.json", record)


def bring(source: Path, target: Path) -> None:
    """Returns nothing; `target` is the file `source`, by a hard link, or a whole copy where links are impossible."""
    make_folder(target.parent)
    with disk_errors(target):
        try:
            os.link(source, target)
            return
        except FileExistsError:  # of a merge that was killed here, or of a copy that may be another file
            if os.path.samefile(source, target):
                return
        except OSError as problem:
            if problem.errno not in NO_LINKS:
                raise
        temporary = names.temporary(target)
        try:
            with open(source, "rb") as reader, open(temporary, "xb") as writer:
                shutil.copyfileobj(reader, writer, CHUNK)
                writer.flush()
                os.fsync(writer.fileno())
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
