"""The journal: what was settled, a line each, for workers to read instead of looking into every folder.

It only saves looks. The folders are the truth: a line that was lost or torn costs a look, and `lth run` writes the
journal anew where it differs from them.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

from lth.runs.files import atomic_write


class Journal:
    """The journal in the file `path`, and how far this process has read it."""

    def __init__(self, path: Path):
        self.path, self._read, self._inode = path, 0, 0

    def append(self, folder: str, kind: str, record: str) -> None:
        """Returns nothing; tells that a unit's folder holds this "result" or "failure" in JSON, or is "gone".

        One write, so that lines of several writers do not mix. Never fails: where the disk is full it tells nothing.
        """
        with contextlib.suppress(OSError):
            file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            try:
                os.write(file, line(folder, kind, record).encode())
            finally:
                os.close(file)

    def rewrite(self, lines: Iterable[str]) -> None:
        """Returns nothing; the journal holds these lines only. What others append meanwhile may be lost."""
        atomic_write(self.path, "".join(lines))

    def news(self) -> list[dict[str, Any]]:
        """Returns the lines that came since the last reading: objects with "folder" and what it holds.

        Lines that are damaged are passed over, and one that is still being written is left for the next time.
        """
        try:
            with open(self.path, "rb") as file:
                found = os.fstat(file.fileno())
                if found.st_ino != self._inode or found.st_size < self._read:  # written anew
                    self._read, self._inode = 0, found.st_ino
                file.seek(self._read)
                text = file.read()
        except OSError:
            return []
        whole = text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        return [one for one in map(_entry, whole.splitlines()) if one is not None]


def line(folder: str, kind: str, record: str) -> str:
    """Returns a line of the journal; in the JSON of `record` a line break stands between tokens only."""
    return f'{{"folder": {json.dumps(folder)}, "{kind}": {record.strip()}}}'.replace("\n", " ") + "\n"


def _entry(text: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    entry = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    return entry if isinstance(entry.get("folder"), str) else None
