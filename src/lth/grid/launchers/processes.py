"""Several worker processes on this machine, one thread each, on GPUs or cores of their own; dead ones are replaced."""

from __future__ import annotations

import math
from collections.abc import Callable
from threading import Event

from lth.endings import ENDED, USAGE
from lth.errors import RunError
from lth.grid.devices import SHARERS, WORKERS, core_groups, cores_here
from lth.grid.launchers.worker import LOOK_SECONDS, Deaths, Worker, end, start
from lth.grid.work import Do, gpus_of, worker_count
from lth.runs.run import Run


def launch(run: Run, _: Callable[[], Do], stop: Event) -> None:
    """Returns when every worker has ended by itself, or, where `stop` is set, has saved its state and ended.

    Raises RunError where workers cannot start, or keep dying without getting anything done.
    """
    count = worker_count(run)
    workers = {number: _start(run, number, count) for number in range(1, count + 1)}
    deaths = Deaths(run)
    try:
        while workers and not stop.wait(LOOK_SECONDS) and not stop.is_set():
            for number, worker in list(workers.items()):
                code = worker.process.poll()
                if code is None:
                    continue
                del workers[number]
                if code == USAGE:
                    raise RunError(worker.last_words())
                if code not in ENDED:
                    if deaths.too_many():
                        raise RunError(f"workers keep dying: {worker.last_words()}", at=worker.log)
                    workers[number] = _start(run, number, count)
    finally:
        end(workers.values())


def _start(run: Run, number: int, count: int) -> Worker:
    """Worker `number` of `count`, counted from 1: the GPUs are dealt out in turn, or else the cores are divided."""
    devices = gpus_of(run)
    place = {WORKERS: str(count), SHARERS: str(math.ceil(count / len(devices)) if devices else count)}
    if devices:
        place["CUDA_VISIBLE_DEVICES"] = devices[(number - 1) % len(devices)]
    cores = core_groups(cores_here(), count)[number - 1]
    return start(run, f"worker-{number}", "--wait", environment=place, cores=cores)
