"""What Spark tests let workers do; a module of its own, so that workers can import it."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import lth
from lth.data.preparation.task import Task
from lth.errors import DataError, MissingExtraError


def square(number: int) -> int:
    return number * number


def refuse(number: int) -> int:
    if number == 3:
        raise DataError("not an image", at="n01/x.JPEG", value=number, cure="Take it away.")
    return number


def lacking(number: int) -> int:
    raise MissingExtraError("Pillow", "data", f"item {number}")


def broken(number: int) -> int:
    return number // 0


def die_first(path: str) -> str:
    """Kills its own process, as the kernel does when memory ends, the first time."""
    try:
        Path(path).touch(exist_ok=False)
    except FileExistsError:
        return path
    os.kill(os.getpid(), signal.SIGKILL)
    return ""


def die(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def origin(_: int) -> tuple[str, bool, str]:
    """Returns where lth was imported from, whether torch was, and the Python."""
    return str(lth.__file__), "torch" in sys.modules, sys.executable


def wait_for(path: str) -> str:
    """Returns when the file is there; at once where none is named."""
    while path and not os.path.exists(path):
        time.sleep(0.01)
    return path


def count_entries(task: Task) -> int:
    return len(task.entries)
