"""A worker in a process of its own: `lth work`, its log, and what it said last."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Collection, Generator, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lth.endings import last_words
from lth.runs.files import make_folder
from lth.runs.run import Run

LOOK_SECONDS = 0.2
DEATHS_WITHOUT_PROGRESS = 5


@dataclass(frozen=True)
class Worker:
    """A running `lth work`; its output is in `log` from the byte `begins` on."""

    process: subprocess.Popen[bytes]
    log: Path
    begins: int

    def last_words(self) -> str:
        """Returns what the worker said last: its error, or else the last line of its output."""
        return last_words(self.said())

    def said(self) -> str:
        """Returns all that the worker said."""
        return self.log.read_bytes()[self.begins :].decode(errors="replace")


class Deaths:
    """Deaths of the workers of a run, counted since they last got something done."""

    def __init__(self, run: Run):
        self.run, self._count, self._settled = run, 0, settled(run)

    def too_many(self) -> bool:
        """Returns whether workers keep dying, with one more death now: five without getting anything done pass."""
        before, self._settled = self._settled, settled(self.run)
        self._count = 1 if self._settled > before else self._count + 1
        return self._count > DEATHS_WITHOUT_PROGRESS


def start(
    run: Run, name: str, *words: str, environment: Mapping[str, str] | None = None, cores: Collection[int] = ()
) -> Worker:
    """Returns a worker with one thread that has just started, on `cores` if given; it ends when this process does.

    It reads its own signals, so that one Ctrl-C reaches it once, through us.
    """
    path = make_folder(run.layout.logs) / f"{name}.log"
    inherited = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE")}
    everything = {**inherited, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", **(environment or {})}
    command = [sys.executable, "-m", "lth", "work", str(run.path), "--parent", str(os.getpid()), *words]
    with open(path, "ab") as log, _on(cores):
        begins = log.tell()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=everything, start_new_session=True
        )
        return Worker(process, path, begins)


@contextlib.contextmanager
def _on(cores: Collection[int]) -> Generator[None]:
    """Within it, what this thread starts runs on `cores` from its first instruction, for a child inherits them."""
    if not cores or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def end(workers: Iterable[Worker], seconds: float | None = None) -> None:
    """Returns when the workers have saved their state and ended; after `seconds`, where given, they are killed."""
    running = list(workers)
    for worker in running:
        worker.process.send_signal(signal.SIGTERM)
    for worker in running:
        try:
            worker.process.wait(seconds)
        except subprocess.TimeoutExpired:
            worker.process.kill()
            worker.process.wait()


def settled(run: Run) -> int:
    """Returns how many units are done or given up: it grows where workers get something done."""
    results = run.results()
    return len(results.done) + len(results.finished) + len(results.failed)
