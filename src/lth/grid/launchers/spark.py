"""The grid as a Spark job: one task a worker, tried again by Spark where one dies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from lth.errors import LthError
from lth.grid.launchers.executors import session_of, shared, told
from lth.grid.launchers.worker import Deaths
from lth.grid.work import Do, worker_count
from lth.runs.files import make_folder
from lth.runs.run import Run
from lth.spark.spread import probe, spread
from lth.spark.worker import Task, work

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def launch(run: Run, _: Callable[[], Do], stop: Event) -> None:
    """Returns when every worker has ended by itself, or, where `stop` is set, has saved its state and ended.

    Raises LthError where Spark does not start, where its workers cannot see the run directory or have no torch,
    and where workers keep dying without getting anything done.
    """
    with session_of(run) as session, shared(run, session) as source, told(run, stop) as end:
        deaths = Deaths(run)
        while not stop.is_set():
            try:
                return _job(run, session, source, end)
            except LthError as problem:
                set_up = problem.__cause__ is None  # what a worker says of it; no second try would mend it
                if set_up or deaths.too_many():
                    raise


def _job(run: Run, session: SparkSession, source: str, end: Path) -> None:
    """Raises what `spread` does: an error with a cause where Spark has given up, since a worker died four times."""
    logs, path = make_folder(run.layout.logs).resolve(), run.path.resolve()
    numbers = range(worker_count(run))
    tasks = [Task(str(path), source, str(logs / f"spark-{number}.log"), str(end)) for number in numbers]
    with probe(path) as witness:
        for _ in spread(session, work, tasks, [witness]):
            pass
