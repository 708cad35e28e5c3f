"""Who is preparing a directory: of two, one goes on and the other hears who the first is."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from lth.errors import RunError
from lth.runs.claim import Claims

NAME = "preparation"
TRIES = 5


@contextmanager
def claimed(work: Path) -> Generator[None]:
    """Yields while this process alone prepares in the folder `work`, which is there then.

    The claim of a process that has ended is taken over. Raises RunError naming host and process of one that has not.
    """
    for left in reversed(range(TRIES)):
        try:
            with Claims(work / "claims") as claims:
                if not claims.take(NAME):
                    raise _held(work)
                yield
                return
        except FileNotFoundError:  # whoever was first has finished, and its folder gone
            if not left or (work / "claims").exists():
                raise


def _held(work: Path) -> RunError:
    try:
        owner = json.loads((work / "claims" / NAME).read_bytes())
        who = f"process {int(owner['pid'])} on {str(owner['host'])[:80]!r}"
    except (OSError, ValueError, TypeError, KeyError):
        who = "another process"
    what = f"another preparation is at work here: {who}"
    return RunError(what, at=work, cure="Wait for it, or end it and run the same command again.")
