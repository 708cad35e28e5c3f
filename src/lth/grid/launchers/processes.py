"""Several worker processes on this machine, one thread each; one that dies is replaced."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event

from lth.errors import RunError
from lth.grid.launchers.worker import DEATHS_WITHOUT_PROGRESS, ENDED, LOOK_SECONDS, SETUP_FAILED, end, settled, start
from lth.grid.work import Do, worker_count
from lth.runs.run import Run


def launch(run: Run, _: Callable[[], Do], stop: Event) -> None:
    """Returns when every worker has ended by itself, or, where `stop` is set, has saved its state and ended.

    Raises RunError where workers cannot start, or keep dying without getting anything done.
    """
    workers = {number: start(run, f"worker-{number}", "--wait") for number in range(1, worker_count(run) + 1)}
    deaths, progress = 0, settled(run)
    try:
        while workers and not stop.wait(LOOK_SECONDS) and not stop.is_set():
            for number, worker in list(workers.items()):
                code = worker.process.poll()
                if code is None:
                    continue
                del workers[number]
                if code == SETUP_FAILED:
                    raise RunError(worker.last_words())
                if code not in ENDED:
                    deaths, progress, before = deaths + 1, settled(run), progress
                    deaths = 1 if progress > before else deaths
                    if deaths > DEATHS_WITHOUT_PROGRESS:
                        raise RunError(f"workers keep dying: {worker.last_words()}", at=worker.log)
                    workers[number] = start(run, f"worker-{number}", "--wait")
    finally:
        end(workers.values())
