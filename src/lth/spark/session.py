"""Spark sessions: started quietly and privately, stopped whatever happens."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import lth
from lth.errors import LthError, MissingExtraError

if TYPE_CHECKING:
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

RETRIES = 4  # attempts a task; a bare local[N] has one
JAVA = "Install Java 17 or newer (Debian: openjdk-17-jre-headless), or set JAVA_HOME to where it is."
LOCAL = re.compile(r"local(\[(?P<workers>\*|[1-9][0-9]*)(, *(?P<attempts>[1-9][0-9]*))?\])?")
DEFAULTS = "$SPARK_CONF_DIR/spark-defaults.conf"
CONNECT_SECONDS = 10.0

SETTINGS = {
    "spark.app.name": "lth",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.speculation": "false",  # it would read and decode images twice
    "spark.sql.catalogImplementation": "in-memory",
    "spark.log.level": "ERROR",
    "spark.executorEnv.OMP_NUM_THREADS": "1",
}
# Nobody else has any business at the ports that even a local session opens.
LOOPBACK_SETTINGS = {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
LOOPBACK = re.compile(r"spark://(127\.[0-9.]+|localhost):[0-9]+")


@contextmanager
def spark_session(master: str | None = None) -> Iterator[SparkSession]:
    """Yields a Spark session at `master`: "local[*]" (the default), "spark://HOST:PORT", "yarn", "k8s://...".

    A session that the process has already is used, and left running; one that is started here is stopped, with its
    Java process. The workers run the Python that PYSPARK_PYTHON names, or else this one's path, and get this `lth`.
    Raises MissingExtraError without pyspark, LthError without Java or where the session cannot start.
    """
    try:
        from pyspark import SparkContext
        from pyspark.sql import SparkSession
    except ImportError as problem:
        raise MissingExtraError("pyspark", "spark", "work on Spark") from problem
    if SparkContext._active_spark_context is not None:
        yield SparkSession.builder.getOrCreate()
        return
    url = master_url(master)
    require_java()
    _reachable(url)
    with _interrupt_kept(), _log() as log:
        session = _started(url, log)
        try:
            yield session
        finally:
            _stop(session)


def master_url(master: str | None) -> str:
    """Returns the master as Spark wants it; a local one may try a task again. Raises LthError for a wrong one."""
    text = (master or "local[*]").strip()
    if match := LOCAL.fullmatch(text):
        workers = match["workers"] or ("1" if text == "local" else "*")
        return f"local[{workers},{match['attempts'] or RETRIES}]"
    if text == "yarn" or text.startswith("k8s://") or re.fullmatch(r"spark://[^\s/]+", text):
        return text
    cure = "Write local[*], local[4], spark://HOST:PORT, yarn or k8s://https://HOST:PORT."
    raise LthError("not a Spark master", at="--master", value=master, cure=cure)


def is_local(url: str) -> bool:
    """Returns whether the master `url` means processes of this machine, started with the session."""
    return url.startswith("local[")


def require_java() -> str:
    """Returns the path of the Java that Spark will start. Raises LthError where there is none."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin") if home else shutil.which("java")
    if found is None:
        raise LthError("work on Spark needs Java, which is not found", at=home and "JAVA_HOME", value=home, cure=JAVA)
    return found


def _reachable(url: str) -> None:
    """Spark itself would try for a minute, and then not say why."""
    if not url.startswith("spark://"):
        return
    problem = None
    for address in url.removeprefix("spark://").split(","):
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
        except (OSError, ValueError, OverflowError) as error:
            problem = error
        else:
            return
    cure = "Start the master, or correct the address: spark://HOST:PORT, as the master's log gives it."
    raise LthError(f"no Spark master answers there: {problem}", at="--master", value=url, cure=cure) from problem


def _started(url: str, log: IO[str]) -> SparkSession:
    from pyspark import SparkConf, SparkContext
    from pyspark.java_gateway import launch_gateway
    from pyspark.sql import SparkSession

    conf = SparkConf().setAll(list(_settings(url).items()))
    try:
        kept: Any = SparkContext._gateway
        gateway = kept or launch_gateway(conf, {"stdout": log, "stderr": log})
        context = SparkContext(conf=conf, gateway=gateway)
        context.pythonExec = os.environ.get("PYSPARK_PYTHON", sys.executable)
        if not is_local(url):
            _ship(context)
        return SparkSession(context)
    except Exception as problem:  # of py4j, pyspark or the operating system: there is no common one
        why = _reason(log, problem)
        _stop(None)
        raise LthError(f"Spark did not start: {why}", at=url, cure=_cure(why)) from problem


def _settings(url: str) -> dict[str, str]:
    settings = {**SETTINGS, "spark.master": url}
    if is_local(url):
        # As for the processes of multiprocessing: what can be imported here can be there.
        path = os.pathsep.join(filter(None, dict.fromkeys([str(_packages()), *sys.path])))
        settings |= {"spark.authenticate": "true", "spark.executorEnv.PYTHONPATH": path}
    return settings | (LOOPBACK_SETTINGS if is_local(url) or LOOPBACK.fullmatch(url) else {})


def _packages() -> Path:
    """Returns the folder in which this very lth lies."""
    return Path(lth.__file__).parents[1]


def _ship(context: SparkContext) -> None:
    """The executors take this very lth, installed there or not."""
    root = _packages()
    with tempfile.TemporaryDirectory(prefix="lth-spark-") as folder:
        archive = shutil.make_archive(f"{folder}/lth", "zip", root, "lth")
        kept = Path(context._temp_dir, Path(archive).name)  # pyright: ignore[reportArgumentType, reportAttributeAccessIssue]
        shutil.move(archive, kept)
    context.addPyFile(str(kept))


def _reason(log: IO[str], problem: Exception) -> str:
    log.seek(0)
    lines = [line.strip() for line in log.read().splitlines() if line.strip()]
    told = [line for line in lines if re.search(r"\d ERROR \w|(Exception|Error)\b.*:", line)]
    with suppress(Exception):  # the words of an error of Java come from Java, which may be gone
        lines += str(problem).strip().splitlines()[:1]
    return re.sub(r"^.*? ERROR ", "", (told or lines[-1:] or [type(problem).__name__])[0])[:500]


def _cure(why: str) -> str:
    if "masters are unresponsive" in why:
        return (
            "Give this process the cluster's secret (spark.authenticate.secret) in $SPARK_CONF_DIR/spark-defaults.conf."
        )
    return JAVA if "UnsupportedClassVersion" in why else "See the settings in $SPARK_CONF_DIR/spark-defaults.conf."


@contextmanager
def _log() -> Iterator[IO[str]]:
    """What Java says belongs to nobody's terminal, but into the message of a start that failed."""
    with tempfile.TemporaryFile("w+", prefix="lth-spark-", errors="replace") as log:
        yield log


@contextmanager
def _interrupt_kept() -> Iterator[None]:
    """pyspark puts a handler of its own in the place of this process's, for good."""
    handler = signal.getsignal(signal.SIGINT) if threading.current_thread() is threading.main_thread() else None
    try:
        yield
    finally:
        if handler is not None:
            signal.signal(signal.SIGINT, handler)


def _stop(session: SparkSession | None) -> None:
    from pyspark import SparkContext

    for one in (session, SparkContext._active_spark_context):
        with suppress(Exception):  # Java may be gone: the reason why we are here
            if one is not None:
                one.stop()
    SparkContext._active_spark_context = None
    _end_java()


def _end_java() -> None:
    """Spark's Java process would live on until this process ends."""
    from pyspark import SparkContext

    gateway: Any = SparkContext._gateway
    SparkContext._gateway = SparkContext._jvm = None
    process = getattr(gateway, "proc", None)
    with suppress(Exception):
        gateway.shutdown()
    if process is not None:
        process.stdin.close()
        process.wait()
