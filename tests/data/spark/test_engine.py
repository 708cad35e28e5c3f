"""Preparation by Spark: the bytes of every other engine, whatever happens on the way."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from data.prepared import JPEG, RAW, hashes, image_folder, prepared

from lth.data.listing import Source
from lth.data.listings import open_listing
from lth.data.preparation.prepare import FailuresError, prepare
from lth.data.preparation.task import Recipe
from lth.data.spark.engine import SparkEngine, spark_engine
from lth.errors import DataError

if TYPE_CHECKING:
    from engines.spark_cluster import SparkCluster
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.long
LIMIT_SECONDS = 300.0


@pytest.fixture
def engine(local_spark: SparkSession) -> Iterator[SparkEngine]:
    with spark_engine() as started:
        yield started


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Returns a source of 600 + 70 images, two of which are none: 10 and 2 shards."""
    return image_folder(tmp_path_factory.mktemp("images"), 600, 70, bad=(17, 401))


@pytest.fixture(scope="module")
def expected(images: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    out = tmp_path_factory.mktemp("expected") / "out"
    prepared(images, out, RAW, max_failures=2)
    return hashes(out)


@pytest.mark.parametrize("recipe", [RAW, JPEG])
def test_spark_makes_the_bytes_of_one_process(engine: SparkEngine, images: str, tmp_path: Path, recipe: Recipe):
    here, there = tmp_path / "here", tmp_path / "there"
    prepared(images, here, recipe, max_failures=2)
    summary = prepare(images, there, recipe, run=engine, listing=engine.listing, max_failures=2)
    assert hashes(there) == hashes(here)
    assert summary.images == 670
    assert sum(len(manifest.failures) for manifest in summary.manifests.values()) == 2
    assert list(tmp_path.iterdir()) == [here, there] or list(tmp_path.iterdir()) == [there, here]


def test_no_tasks_start_no_session():
    with spark_engine("spark://no-such-host.invalid:1") as engine:
        assert list(engine([])) == []


def test_too_many_failures_end_the_job(engine: SparkEngine, images: str, tmp_path: Path):
    with pytest.raises(FailuresError, match="more than the 0 of 670 allowed"):
        prepare(images, tmp_path / "out", RAW, run=engine, max_failures=0)
    assert prepare(images, tmp_path / "out", RAW, run=engine, max_failures=2).images < 670


def test_the_error_of_a_worker_is_that_of_one_process(engine: SparkEngine, tmp_path: Path):
    source = image_folder(tmp_path / "images", 130)

    def vanishing(name: str) -> Source:
        listed = open_listing(name)
        (tmp_path / "images" / "train" / "cat" / "00060.jpg").unlink(missing_ok=True)
        return listed

    with pytest.raises(DataError, match=r"00060\.jpg") as there:
        prepare(source, tmp_path / "out", RAW, run=engine, listing=vanishing)
    assert "Traceback" not in str(there.value)


def test_a_killed_worker_is_replaced(
    engine: SparkEngine, images: str, expected: dict[str, str], tmp_path: Path, local_spark: SparkSession
):
    from pyspark import SparkContext

    killed: list[int] = []
    java = getattr(SparkContext._gateway, "proc").pid  # noqa: B009

    def run(tasks):
        with closing(engine(tasks)) as reports:  # pyright: ignore[reportArgumentType]
            for number, report in enumerate(reports):
                if number in (0, 4):
                    killed.extend(one for one in workers(java) if end(one))
                yield report

    prepare(images, tmp_path / "out", RAW, run=run, max_failures=2)
    assert killed
    assert hashes(tmp_path / "out") == expected


def test_a_killed_driver_goes_on(images: str, expected: dict[str, str], tmp_path: Path):
    out, partial = tmp_path / "out", tmp_path / "out.partial"
    draw = random.Random(5)
    for shards in (draw.randint(1, 3), draw.randint(4, 6), draw.randint(7, 9)):
        driver = command(images, out, "local[2]")
        limit = time.monotonic() + LIMIT_SECONDS
        while len(list(partial.glob("records/*/*.json"))) < shards:
            assert driver.poll() is None, driver.communicate()
            assert time.monotonic() < limit
            time.sleep(0.005)
        time.sleep(draw.uniform(0, 0.03))  # into the middle of what comes next
        driver.kill()
        driver.communicate()
        assert not out.exists()
    last = command(images, out, "local[2]")
    _, problems = last.communicate()
    assert last.returncode == 0, problems
    assert hashes(out) == expected
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_cluster_makes_the_bytes_of_one_process(
    spark_cluster: SparkCluster, images: str, expected: dict[str, str], tmp_path: Path
):
    run = command(images, tmp_path / "out", spark_cluster.url, spark_cluster.environment)
    output, problems = run.communicate()
    assert run.returncode == 0, problems
    assert '"engine": "spark"' in output
    assert hashes(tmp_path / "out") == expected


def command(source: str, out: Path, master: str, environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """Starts `lth data prepare` on Spark."""
    options = ["--size", str(RAW.size), "--policy", RAW.policy, "--max-failures", "2", "--engine", "spark"]
    line = [sys.executable, "-m", "lth", "data", "prepare", source, str(out), *options, "--master", master, "--json"]
    path = os.pathsep.join([str(Path(__file__).parents[3] / "src")])
    surroundings = {**(environment or os.environ), "PYTHONPATH": path}
    return subprocess.Popen(line, env=surroundings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def workers(java: int) -> list[int]:
    """Returns the Python processes that a Java process has started, but for the first, which starts the others."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(folder.name))
    return [worker for daemon in children.get(java, []) for worker in children.get(daemon, [])]


def end(process: int) -> bool:
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True
