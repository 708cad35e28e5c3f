"""The engine that makes shards in processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection

from lth.data.preparation.task import Report, Task, make_shard
from lth.errors import DataError, RunError

AHEAD = 2  # tasks a worker has waiting, so that few entries are in memory
CURE = "Run the same command again; finished shards are kept. Fewer --workers need less memory."


def cores() -> int:
    """Returns how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def local_engine(workers: int | None = None) -> Iterator[partial[Iterator[Report]]]:
    """Yields the `run` of `prepare` that makes shards in `workers` processes, default one a core.

    Reports come as shards get ready. Workers end with this process, however it ends. A script that uses it needs
    `if __name__ == "__main__":`, for the processes are spawned. Raises RunError where a worker is killed.
    """
    count = cores() if workers is None else workers
    if count < 1:
        raise DataError("out of range", at="--workers", value=workers, cure="Take 1 or more.")
    yield partial(_run, count)


def _run(workers: int, tasks: Sequence[Task]) -> Iterator[Report]:
    workers = min(workers, len(tasks))
    if not workers:
        return
    context = multiprocessing.get_context("spawn")
    ended, alive = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(ended,))
    try:
        yield from _reports(pool, tasks, AHEAD * workers)
        pool.shutdown()
    except BrokenProcessPool as problem:
        raise RunError("a worker process was killed, perhaps for lack of memory", cure=CURE) from problem
    finally:
        alive.close()
        pool.shutdown(cancel_futures=True)
        ended.close()


def _reports(pool: ProcessPoolExecutor, tasks: Sequence[Task], ahead: int) -> Iterator[Report]:
    waiting: set[Future[Report]] = set()
    for task in tasks:
        waiting.add(pool.submit(make_shard, task))
        if len(waiting) >= ahead:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            yield from (one.result() for one in done)
    while waiting:
        done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        yield from (one.result() for one in done)


def _begin(ended: Connection) -> None:
    """Ends this worker at once when the other end of `ended` closes: the parent stops, or is no more.

    What it was writing has a name of its own and no meaning yet. Ctrl-C is for the parent alone to answer.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_watch, args=(ended,), daemon=True).start()


def _watch(ended: Connection) -> None:
    ended.poll(None)
    os._exit(1)
