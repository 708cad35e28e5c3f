"""What the executors of a Spark session need for a run: the session, lth itself, and a word when it is over."""

from __future__ import annotations

import secrets
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import lth
from lth.errors import LthError
from lth.grid.launchers.worker import LOOK_SECONDS
from lth.runs.files import make_folder
from lth.runs.run import Run
from lth.spark.session import is_local, spark_session

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

KEY = "execute.spark.master"


@contextmanager
def session_of(run: Run) -> Iterator[SparkSession]:
    """Lends a session at `execute.spark.master`. Raises LthError, which names that key, where there can be none."""
    master = run.spec.execute.spark.master
    main = threading.current_thread() is threading.main_thread()
    interrupt = signal.getsignal(signal.SIGINT)
    with ExitStack() as stack:
        try:
            session = stack.enter_context(spark_session(master))
            if main:  # pyspark's own would cancel the job, and its workers would lose what they have not saved
                signal.signal(signal.SIGINT, interrupt)
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
    try:
        shutil.copytree(source / "lth", copy / "lth", ignore=shutil.ignore_patterns("__pycache__"))
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
