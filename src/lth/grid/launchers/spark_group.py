"""Dense networks trained by processes together on Spark: pyspark's TorchDistributor starts them."""

from __future__ import annotations

import contextlib
import importlib.util
import secrets
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from lth.endings import errors_in
from lth.errors import LthError, MissingExtraError, RunError
from lth.grid.launchers.executors import KEY, session_of, shared, told
from lth.grid.launchers.worker import Deaths
from lth.runs.files import make_folder
from lth.runs.run import Run
from lth.spark.session import LOOPBACK, is_local

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PACKAGES = ("pandas", "pyarrow")  # which TorchDistributor needs and pyspark does not bring
GPUS = "spark.task.resource.gpu.amount"

# What each process runs. It leaves a file when it ends by itself, for TorchDistributor does not pass on torchrun's
# exit code: to be told to end is no failure then, and a wrong set-up is not to be tried again.
SCRIPT = """\
import os, sys
os.environ.update({environment!r})
sys.path.insert(0, {source!r})
log = os.open({log!r} + "-" + os.environ["RANK"] + ".log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
os.dup2(log, 1)
os.dup2(log, 2)
from lth.cli.app import main
sys.argv = ["lth", "work", {run!r}, "--told", {told!r}]
try:
    main()
except SystemExit as end:
    if end.code not in (0, 2, 3):
        raise
    open({script!r} + (".failed" if end.code == 2 else ".ended-" + os.environ["RANK"]), "w").close()
"""


def train(run: Run, stop: Event) -> None:
    """Returns when the dense networks that are ready are trained, or `stop` is set and they are saved.

    Each process runs what `torchrun -m lth work` does. Raises MissingExtraError without pandas, RunError where
    the set-up is wrong, and LthError where processes keep dying without getting anything done.
    """
    for package in PACKAGES:
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(package, "spark", "data-parallel training on Spark")
    with session_of(run) as session, shared(run, session) as source, told(run, stop) as end:
        _room(run, session)
        deaths = Deaths(run)
        while not stop.is_set():
            try:
                return _group(run, session, source, end)
            except LthError as problem:
                if stop.is_set():
                    return
                if problem.__cause__ is None or deaths.too_many():
                    raise


def _room(run: Run, session: SparkSession) -> None:
    """All processes must run at once; Spark itself would look for room ten minutes long."""
    world, master = run.spec.execute.data_parallel, str(session.sparkContext.master)
    if is_local(master) and session.sparkContext.defaultParallelism < world:
        what = f"has fewer than the {world} tasks at once that execute.data_parallel needs"
        raise LthError(what, at=KEY, value=run.spec.execute.spark.master, cure=f"Write local[{world}], or more.")


def _group(run: Run, session: SparkSession, source: str, end: Path) -> None:
    from pyspark.ml.torch.distributor import TorchDistributor

    gpus = run.spec.execute.device != "cpu" and int(session.conf.get(GPUS, "0") or 0) > 0
    world, died = run.spec.execute.data_parallel, None
    with _script(run, session, source, end) as (script, begins):
        try:
            with open(run.layout.logs / "spark-group.log", "a") as said, contextlib.redirect_stdout(said):
                distributor = TorchDistributor(world, local_mode=False, use_gpu=gpus)
                distributor.logger.setLevel("WARNING")
                distributor.run(str(script))
        except Exception as problem:  # of pyspark, Java or a process: there is no common one
            died = problem
        left = {path.suffix for path in script.parent.glob(f"{script.name}.*")}
        if ".failed" in left:
            raise RunError(_last_words(run, begins))
        if died or len(left) < world:
            died = died or ChildProcessError(f"only {len(left)} of {world} ended by themselves")
            cure = f"See {run.layout.logs}/group-*.log, then run it again; what is done stays done."
            what = f"processes that train together have ended: {_last_words(run, begins) or died}"
            raise LthError(what, at=KEY, cure=cure) from died


@contextlib.contextmanager
def _script(run: Run, session: SparkSession, source: str, end: Path) -> Iterator[tuple[Path, dict[Path, int]]]:
    """Lends the program of the processes, beside which they leave files, and how long their logs are."""
    logs, master = make_folder(run.layout.logs).resolve(), str(session.sparkContext.master)
    script = logs / f".group-{secrets.token_hex(4)}.py"
    here = is_local(master) or bool(LOOPBACK.fullmatch(master))
    environment = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", **({"GLOO_SOCKET_IFNAME": "lo"} if here else {})}
    places = {"source": source, "log": str(logs / "group"), "run": str(run.path.resolve()), "told": str(end)}
    script.write_text(SCRIPT.format(environment=environment, script=str(script), **places))
    try:
        yield script, {path: path.stat().st_size for path in logs.glob("group-*.log")}
    finally:
        for path in logs.glob(f"{script.name}*"):
            path.unlink(missing_ok=True)


def _last_words(run: Run, begins: dict[Path, int]) -> str:
    for log in sorted(run.layout.logs.resolve().glob("group-*.log")):
        if errors := errors_in(log.read_bytes()[begins.get(log, 0) :].decode(errors="replace")):
            return errors[0]
    return ""
