"""Several worker processes on this machine, one thread each; one that dies is replaced."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event

from lth.errors import RunError
from lth.grid.work import Do, worker_count
from lth.runs.files import make_folder
from lth.runs.run import Run

LOOK_SECONDS = 0.2
DEATHS_WITHOUT_PROGRESS = 5
SETUP_FAILED = 2


def launch(run: Run, _: Callable[[], Do], stop: Event) -> None:
    """Returns when every worker has ended by itself, or, where `stop` is set, has saved its state and ended.

    Raises RunError where workers cannot start, or keep dying without getting anything done.
    """
    workers = {number: _start(run, number) for number in range(1, worker_count(run) + 1)}
    deaths, settled = 0, _settled(run)
    try:
        while workers and not stop.wait(LOOK_SECONDS):
            for number, worker in list(workers.items()):
                code = worker.poll()
                if code is None:
                    continue
                del workers[number]
                if code == SETUP_FAILED:
                    raise RunError(_last_words(run, number))
                if code != 0:
                    deaths, settled, before = deaths + 1, _settled(run), settled
                    deaths = 1 if settled > before else deaths
                    if deaths > DEATHS_WITHOUT_PROGRESS:
                        raise RunError(f"workers keep dying: {_last_words(run, number)}", at=_log(run, number))
                    workers[number] = _start(run, number)
    finally:
        for worker in workers.values():
            worker.send_signal(signal.SIGTERM)
        for worker in workers.values():
            worker.wait()


def _start(run: Run, number: int) -> subprocess.Popen[bytes]:
    """Starts `lth work`; the worker reads its own signals, so that one Ctrl-C reaches it once, through us."""
    path = _log(run, number)
    make_folder(path.parent)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "lth", "work", str(run.path), "--wait", "--parent", str(os.getpid())]
    with open(path, "ab") as log:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
        )


def _log(run: Run, number: int) -> Path:
    return run.layout.logs / f"worker-{number}.log"


def _last_words(run: Run, number: int) -> str:
    """Returns what the worker said last: its error, or else the last line of its log."""
    text = _log(run, number).read_text(errors="replace").strip()
    _, said, error = text.rpartition("\nerror: " if "\nerror: " in text else "error: ")
    return error if said else text.rpartition("\n")[2] or "it said nothing"


def _settled(run: Run) -> int:
    results = run.results()
    return len(results.done) + len(results.failed)
