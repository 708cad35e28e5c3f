"""A worker in a process of its own: `lth work`, its log, and what it said last."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Collection, Generator, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lth.runs.files import make_folder
from lth.runs.run import Run

LOOK_SECONDS = 0.2
DEATHS_WITHOUT_PROGRESS = 5
SETUP_FAILED = 2  # exit codes
ENDED = (0, 3)  # all done, or told to end: by hand, or by its walltime
ERROR = re.compile(r"^error: (.*(?:\n .*)*)", re.M)  # a second line is indented


@dataclass(frozen=True)
class Worker:
    """A running `lth work`; its output is in `log` from the byte `begins` on."""

    process: subprocess.Popen[bytes]
    log: Path
    begins: int

    def last_words(self) -> str:
        """Returns what the worker said last: its error, or else the last line of its output."""
        text = self.log.read_bytes()[self.begins :].decode(errors="replace").strip()
        errors = ERROR.findall(text)
        return errors[-1] if errors else text.rpartition("\n")[2] or "it said nothing"


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
