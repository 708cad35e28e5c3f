"""Real Spark: a local session, and a standalone cluster of one master and two workers on the loopback interface."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

TESTS = Path(__file__).parents[1]
START_SECONDS = 600.0


@dataclass(frozen=True)
class SparkCluster:
    """A standalone cluster; `environment` is what a driver needs, the secret's file named in it."""

    url: str
    environment: dict[str, str]
    processes: tuple[subprocess.Popen[bytes], ...]


@pytest.fixture(scope="module")
def local_spark() -> Iterator[SparkSession]:
    """Yields a local session of two workers that try a task four times."""
    from lth.spark.session import spark_session

    with spark_session("local[2]") as session:
        yield session


@pytest.fixture(scope="session")
def spark_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkCluster]:
    """Yields a standalone cluster whose parts prove to each other that they know one secret.

    Its executors cannot import lth but as the driver sends it.
    """
    import pyspark

    folder = tmp_path_factory.mktemp("spark")
    home = Path(str(pyspark.__file__)).parent
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("SPARK", "PYSPARK"))}
    environment = {**inherited, "SPARK_CONF_DIR": str(_settings(folder)), "SPARK_LOCAL_IP": "127.0.0.1"}
    environment["PYTHONPATH"] = str(TESTS)
    with Parts(home, folder, environment) as parts:
        url = parts.start("master", "Master", [], r"Starting Spark master at (spark://\S+)")
        for name in ("worker-1", "worker-2"):
            options = ["--cores", "1", "--memory", "600m", "--work-dir", str(folder / name), url]
            parts.start(name, "Worker", options, r"Successfully registered with master (\S+)")
        yield SparkCluster(url, environment, tuple(parts.processes))


class Parts:
    """The processes of a cluster, ended one by one."""

    def __init__(self, home: Path, folder: Path, environment: dict[str, str]):
        self.home, self.folder, self.environment = home, folder, environment
        self.processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Parts:
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            process.wait()

    def start(self, name: str, kind: str, options: list[str], sign: str) -> str:
        """Returns what `sign` finds in the log of the part, once it is there."""
        log = self.folder / f"{name}.log"
        command = [f"{self.home}/bin/spark-class", f"org.apache.spark.deploy.{kind.lower()}.{kind}"]
        command += ["--host", "127.0.0.1", "--port", "0", "--webui-port", "0", *options]
        with open(log, "wb") as output:
            self.processes.append(
                subprocess.Popen(command, env=self.environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
            )
        return self._await(self.processes[-1], log, sign)

    def _await(self, process: subprocess.Popen[bytes], log: Path, sign: str) -> str:
        limit = time.monotonic() + START_SECONDS
        while time.monotonic() < limit and process.poll() is None:
            if found := re.search(sign, log.read_text(errors="replace")):
                return found[1]
            time.sleep(0.05)
        raise AssertionError(f"{log.name}: {log.read_text(errors='replace')[-2000:]}")


def _settings(folder: Path) -> Path:
    settings = folder / "conf"
    settings.mkdir(mode=0o700)
    file = settings / "spark-defaults.conf"
    file.touch(mode=0o600)
    file.write_text(
        "spark.authenticate true\n"
        f"spark.authenticate.secret {secrets.token_hex(32)}\n"
        "spark.network.crypto.enabled true\n"
        "spark.master.rest.enabled false\n"
        "spark.ui.enabled false\n"
        "spark.executor.memory 512m\n"
    )
    return settings


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Returns what starts a Python program, given as text, with an environment; its driver knows this checkout."""
    import sys

    def start(text: str, environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
        path = tmp_path / "program.py"
        path.write_text(text)
        source = os.pathsep.join([str(TESTS.parent / "src"), str(TESTS)])
        surroundings = {**(environment or os.environ), "PYTHONPATH": source}
        return subprocess.Popen(
            [sys.executable, "-W", "error", str(path)],
            env=surroundings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    return start
