"""The grid as a Spark job: one task a worker, tried again by Spark where one dies."""

from __future__ import annotations

import secrets
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import lth
from lth.errors import LthError
from lth.grid.launchers.worker import DEATHS_WITHOUT_PROGRESS, LOOK_SECONDS, settled
from lth.grid.work import Do, worker_count
from lth.runs.files import make_folder
from lth.runs.run import Run
from lth.spark.session import is_local, spark_session
from lth.spark.spread import probe, spread
from lth.spark.worker import Task, work

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

KEY = "execute.spark.master"


def launch(run: Run, _: Callable[[], Do], stop: Event) -> None:
    """Returns when every worker has ended by itself, or, where `stop` is set, has saved its state and ended.

    Raises LthError where Spark does not start, where its workers cannot see the run directory or have no torch,
    and where workers keep dying without getting anything done.
    """
    with session_of(run) as session, shared(run, session) as source, told(run, stop) as end:
        deaths, progress = 0, settled(run)
        while not stop.is_set():
            try:
                return _job(run, session, source, end)
            except DeadWorkersError as problem:
                deaths, progress, before = deaths + 1, settled(run), progress
                deaths = 1 if progress > before else deaths
                if deaths > DEATHS_WITHOUT_PROGRESS:
                    raise problem.why from None


class DeadWorkersError(LthError):
    """A job that Spark has given up, after one worker in it died four times; `why` is what it said."""

    def __init__(self, why: LthError):
        self.why = why
        super().__init__(str(why))


def _job(run: Run, session: SparkSession, source: str, end: Path) -> None:
    logs = make_folder(run.layout.logs).resolve()
    path = str(run.path.resolve())
    tasks = [Task(path, source, str(logs / f"spark-{number}.log"), str(end)) for number in range(worker_count(run))]
    with probe(run.path.resolve()) as witness:
        try:
            for _ in spread(session, work, tasks, [witness]):
                pass
        except LthError as problem:
            if problem.__cause__ is None:  # a worker's own error; no second try would mend it
                raise
            raise DeadWorkersError(problem) from None


@contextmanager
def session_of(run: Run) -> Iterator[SparkSession]:
    """Lends a session at `execute.spark.master`. Raises LthError, which names that key, where there can be none."""
    master = run.spec.execute.spark.master
    with ExitStack() as stack:
        try:
            session = stack.enter_context(spark_session(master))
        except LthError as problem:
            if problem.at != "--master":
                raise
            raise LthError(problem.what, at=KEY, value=master, cure=problem.cure) from None
        yield session


@contextmanager
def shared(run: Run, session: SparkSession) -> Iterator[str]:
    """Lends the folder from which executors import this very lth: on a cluster a copy in the run directory."""
    source = Path(lth.__file__).parents[1]
    if is_local(str(session.sparkContext.master)):
        yield str(source)
        return
    copy = run.path.resolve() / "logs" / f".lth-{secrets.token_hex(4)}"
    shutil.copytree(source / "lth", copy / "lth", ignore=shutil.ignore_patterns("__pycache__"))
    try:
        yield str(copy)
    finally:
        shutil.rmtree(copy, ignore_errors=True)


@contextmanager
def told(run: Run, stop: Event) -> Iterator[Path]:
    """Lends a path at which a file appears when `stop` is set: what ends workers on any machine, saved."""
    path, over = make_folder(run.layout.logs).resolve() / f".end-{secrets.token_hex(4)}", threading.Event()

    def watch() -> None:
        while not over.wait(LOOK_SECONDS):
            if stop.is_set():
                return path.touch()

    thread = threading.Thread(target=watch, name="told", daemon=True)
    thread.start()
    try:
        yield path
    finally:
        over.set()
        thread.join()
        path.unlink(missing_ok=True)
