"""One function over many items on Spark, results as they come: what preparation and fetching share."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar, cast

from lth.errors import DataError, LthError
from lth.spark.session import is_local, spark_session

if TYPE_CHECKING:
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

MOST_PARTITIONS = 1024
LOOK_SECONDS = 0.05
LONELY_SECONDS = 30.0
PROBE = ".probe-"

Item = TypeVar("Item")
Result = TypeVar("Result")


def spark_map(
    function: Callable[[Item], Result], items: Sequence[Item], master: str | None = None, *, shared: Path | None = None
) -> Iterator[Result]:
    """Returns an iterator of function(item) of all items, in the order in which they get ready, from a Spark session.

    `function` and the items must be picklable, and importable from lth. `shared` is an existing folder that every
    worker must see as this process does. A worker's LthError is raised here as it was; what else goes wrong with an
    item is tried again, and is an LthError after four attempts. No session is started for no items.
    """
    if not items:
        return
    with spark_session(master) as session:
        if shared is None:
            yield from spread(session, function, items)
            return
        with probe(shared) as witness:
            yield from spread(session, function, items, [witness])


@contextmanager
def probe(folder: Path) -> Iterator[Path]:
    """Yields a new file in `folder`, by which workers prove that they see the same folder."""
    for old in folder.glob(f"{PROBE}*"):  # of a process that was killed
        old.unlink(missing_ok=True)
    path = folder / f"{PROBE}{secrets.token_hex(8)}.tmp"
    path.touch(exist_ok=False)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def spread(
    session: SparkSession,
    function: Callable[[Item], Result],
    items: Sequence[Item],
    witnesses: Iterable[Path | str] = (),
) -> Iterator[Result]:
    """Returns an iterator as `spark_map` does, of a session that runs; workers must see the files `witnesses`.

    One item is one Spark task up to 1024 items. Ends the job when the iterator is closed, or an item's error raised.
    """
    from pyspark.accumulators import AddingAccumulatorParam

    if not items:
        return
    context = session.sparkContext
    # The only way on which a running job's results come back task by task; each task's are added once, however often
    # it was tried. (toLocalIterator runs the partitions one after the other.)
    nothing: list[Any] = []
    outcomes: Any = context.accumulator([], cast(Any, AddingAccumulatorParam)(nothing))
    work = partial(_work, function, tuple(str(path) for path in witnesses), outcomes)
    with _job(context, items, work) as job:
        taken = 0
        while True:
            ended = job.ended.wait(LOOK_SECONDS)
            ready = outcomes.value[taken:]
            taken += len(ready)
            for result, problem in ready:
                if problem is not None:
                    raise problem
                yield result
            if ended and not ready:
                break
            _tell_if_lonely(context, job, taken)
        if job.problem is not None:
            raise _failed(job.problem, str(context.master)) from job.problem


def _work(function: Callable[[Any], Any], witnesses: tuple[str, ...], outcomes: Any, items: Iterable[Any]) -> None:
    """Runs on a worker. An LthError would be no better the next time, so it is a result."""
    for item in items:
        try:
            _look_for(witnesses)
            outcomes.add([(function(item), None)])
        except LthError as problem:
            outcomes.add([(None, problem)])
            return


def _look_for(witnesses: Iterable[str]) -> None:
    for path in witnesses:
        if os.path.exists(path):
            continue
        with suppress(OSError):
            os.listdir(os.path.dirname(path))  # makes NFS ask its server again
        if not os.path.exists(path):
            what = f"the Spark worker on {socket.gethostname()} does not see this, and the driver does"
            cure = "Keep source and output on a file system that all machines of the cluster mount at one path."
            raise DataError(what, at=path.rpartition("/")[0] if PROBE in path else path, cure=cure)


class _Job:
    """A Spark job in a thread of its own."""

    def __init__(self, context: SparkContext, items: Sequence[Any], work: Callable[[Iterable[Any]], None]):
        self.context, self.items, self.work = context, items, work
        self.group = f"lth-{secrets.token_hex(8)}"
        self.ended, self.problem, self.began, self.told = threading.Event(), None, monotonic(), False

    def run(self) -> None:
        """Returns when the job has ended; `problem` says how."""
        try:
            self.context.setJobGroup(self.group, "lth", interruptOnCancel=True)
            partitions = min(len(self.items), MOST_PARTITIONS)
            self.context.parallelize(self.items, partitions).foreachPartition(self.work)
        except BaseException as problem:
            self.problem: BaseException | None = problem
        finally:
            self.ended.set()


@contextmanager
def _job(context: SparkContext, items: Sequence[Any], work: Callable[[Iterable[Any]], None]) -> Iterator[_Job]:
    from pyspark import InheritableThread

    job = _Job(context, items, work)
    thread = InheritableThread(target=job.run, name="spark-job", daemon=True)
    thread.start()
    try:
        yield job
    finally:
        while not job.ended.wait(0):  # again and again: it may not have been submitted yet
            with suppress(Exception):
                context.cancelJobGroup(job.group)
            job.ended.wait(LOOK_SECONDS * 10)
        thread.join()


def _tell_if_lonely(context: SparkContext, job: _Job, taken: int) -> None:
    if job.told or taken or monotonic() - job.began < LONELY_SECONDS or is_local(str(context.master)):
        return
    job.told = True
    java: Any = context._jsc
    if java.sc().getExecutorMemoryStatus().size() <= 1:
        logging.getLogger("lth").warning("%s has given no executor yet; waiting for one", context.master)


def _failed(problem: BaseException, master: str) -> LthError:
    """Returns what is worth telling of a failed job: the worker's own last words, not the stack of two languages."""
    java = getattr(problem, "java_exception", None)
    try:
        text = str(java.getMessage() if java is not None else problem)
    except Exception:  # Java itself is gone
        text = "the Java process of Spark has ended"
    before_stack = text.split("\n\tat ")[0].split("\n\nDriver stacktrace")[0]
    lines = [line.strip() for line in before_stack.splitlines() if line.strip()]
    words = lines[-1] if lines else type(problem).__name__
    if "exited unexpectedly" in text or "Lost" in words or "EOF" in words:
        words = f"a worker process died, four times with the same work: {words}"
        return LthError(words, at=master, cure="Look for the kernel's out-of-memory messages, then run it again.")
    return LthError(f"Spark gave up: {words}", at=master, cure="Run the same command again; what is done stays done.")
