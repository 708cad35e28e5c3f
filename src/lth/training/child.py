"""A process that is watched: its time is limited, and neither it nor what it starts outlives its worker."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Literal

LOOK_SECONDS = 0.05
GRACE_SECONDS = 20.0  # between TERM and KILL: schedulers usually give a job 30 seconds
LAST_LINES = 12


@dataclass(frozen=True)
class Ending:
    """How a process ended: by itself, because `stop` was set, or late; `code` is its exit code, -n for signal n."""

    how: Literal["itself", "stopped", "late"]
    code: int

    @property
    def words(self) -> str:
        """Returns how it ended, in words."""
        if self.code >= 0:
            return f"ended its process with exit code {self.code}"
        with contextlib.suppress(ValueError):
            return f"was killed by {signal.Signals(-self.code).name}"
        return f"was killed by signal {-self.code}"


def run_child(module: str, words: Sequence[str], log: Path, seconds: float, stop: Event) -> Ending:
    """Returns how `python -m module words PIPE` ended; what it says is in `log`.

    It leads a process group, so that all it starts ends with it: by TERM, and by KILL 20 seconds later. PIPE is the
    number of a descriptor that ends when this process does, however that happens. It sees the modules that
    this process sees.
    """
    reading, writing = os.pipe()
    command = [sys.executable, "-P", "-m", module, *words, str(reading)]
    path = os.pathsep.join(os.path.abspath(folder) for folder in sys.path)
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}
    try:
        with open(log, "ab") as heard:
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=heard, stderr=heard, env=environment,
                start_new_session=True, pass_fds=(reading,),
            )  # fmt: skip
        try:
            how = _watch(child, time.monotonic() + seconds, stop)
            if how != "itself":
                _end(child)
        finally:
            _signal(child, signal.SIGKILL)  # whatever it left behind
        return Ending(how, child.wait())
    finally:
        os.close(reading)
        os.close(writing)


def last_lines(log: Path) -> list[str]:
    """Returns the last lines of a log that are not blank; of a progress bar only what it showed last."""
    text = log.read_bytes()[-8192:].decode(errors="replace") if log.exists() else ""
    lines = [re.split(r"\r(?!$)", line)[-1].rstrip() for line in text.split("\n")]
    return [line for line in lines if line][-LAST_LINES:]


def _watch(child: subprocess.Popen[bytes], deadline: float, stop: Event) -> Literal["itself", "stopped", "late"]:
    while child.poll() is None:
        if stop.wait(LOOK_SECONDS) or stop.is_set():  # the end of a walltime is noticed only by asking
            return "stopped"
        if time.monotonic() > deadline:
            return "late"
    return "itself"


def _end(child: subprocess.Popen[bytes]) -> None:
    _signal(child, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(GRACE_SECONDS)


def _signal(child: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, number)
