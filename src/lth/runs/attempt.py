"""The folders in which workers try their units."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from lth.runs.layout import ENTRY, PREVIOUS, RESUME
from lth.runs.names import made_here, orphaned, signature


def new_attempt() -> str:
    """Returns a name for one attempt at a unit, unique among hosts, processes and time."""
    return signature()


def tidy(unit: Path, kept: str | None) -> None:
    """Returns nothing; deletes what was left in the folder of a settled unit: its saved state, and, but for the attempt
    `kept`, what processes made that have ended on this host, and earlier attempts of this process."""
    for name in os.listdir(unit):
        path, attempt = unit / name, name.startswith("attempt-")
        left = attempt and name != f"attempt-{kept}" and (orphaned(name) or made_here(name))
        if name in (RESUME, PREVIOUS) or (not attempt and orphaned(name)):
            path.unlink(missing_ok=True)
        elif left or name == ENTRY:
            shutil.rmtree(path, ignore_errors=True)
