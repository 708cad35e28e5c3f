"""How a command of lth ends: its exit code, and its last words."""

from __future__ import annotations

import re

DONE, FAILURES, USAGE, INCOMPLETE = 0, 1, 2, 3  # USAGE: or a set-up that no second try would mend
ENDED = (DONE, INCOMPLETE)  # of a worker: nothing is left to do, or it was told to end
ERROR = re.compile(r"^error: (.*(?:\n .*)*)", re.M)  # a second line is indented


def errors_in(text: str) -> list[str]:
    """Returns the errors that a command's output tells of."""
    return ERROR.findall(text)


def last_words(text: str) -> str:
    """Returns what a command said last: its error, or else the last line of its output."""
    errors = errors_in(text)
    return errors[-1] if errors else text.strip().rpartition("\n")[2] or "it said nothing"
