"""Names that tell which process made a file, so that what it left behind can be cleared once it has ended."""

from __future__ import annotations

import os
import re
import secrets
import socket
from pathlib import Path

SIGNED = re.compile(r"(?:attempt-|\..*\.)(?P<host>[^.]+)-(?P<pid>\d+)-[0-9a-f]{8}(?:\.tmp)?")


def signature() -> str:
    """Returns a name of this host, this process and a random number; letters, digits and dashes."""
    return f"{_host()}-{os.getpid()}-{secrets.token_hex(4)}"


def temporary(path: Path) -> Path:
    """Returns the name of a hidden neighbour of `path` that this process is to write to."""
    return path.with_name(f".{path.name}.{signature()}.tmp")


def orphaned(name: str) -> bool:
    """Returns whether an attempt's folder or a temporary file was made by a process of this host that has ended.

    Of other hosts it cannot be seen from here whether theirs still write.
    """
    found = SIGNED.fullmatch(name)
    return found is not None and found["host"] == _host() and _gone(int(found["pid"]))


def made_here(name: str) -> bool:
    """Returns whether this very process made it."""
    found = SIGNED.fullmatch(name)
    return found is not None and (found["host"], int(found["pid"])) == (_host(), os.getpid())


def clear_temporaries(folder: Path) -> None:
    """Returns nothing; deletes the temporary files in `folder` whose processes have ended on this host."""
    for name in os.listdir(folder) if folder.is_dir() else ():
        if name.endswith(".tmp") and orphaned(name):
            (folder / name).unlink(missing_ok=True)


def _gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    return False


def _host() -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in socket.gethostname())[:24]
