"""The folders in which workers try their units."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
from pathlib import Path

from lth.runs.layout import PREVIOUS, RESUME

NAME = re.compile(r"attempt-(?P<host>.+)-(?P<pid>\d+)-[0-9a-f]{8}")


def new_attempt() -> str:
    """Returns a name for one attempt at a unit, unique among hosts, processes and time."""
    return f"{_host()}-{os.getpid()}-{secrets.token_hex(4)}"


def tidy(unit: Path, kept: str | None) -> None:
    """Returns nothing; deletes what was left in the folder of a settled unit: its saved state, and the attempts, but
    `kept`, whose processes ended on this host.

    Those of other hosts stay: whether their process still writes cannot be seen from here.
    """
    for name in os.listdir(unit):
        found = NAME.fullmatch(name)
        if name in (RESUME, PREVIOUS):
            (unit / name).unlink(missing_ok=True)
        elif found and name != f"attempt-{kept}" and found["host"] == _host() and _gone(int(found["pid"])):
            shutil.rmtree(unit / name, ignore_errors=True)


def _gone(pid: int) -> bool:
    if pid == os.getpid():  # an earlier try of this very process
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    return False


def _host() -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in socket.gethostname())[:24]
