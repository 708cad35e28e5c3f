"""One function over many items, on real Spark."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from spark import spark_work

from lth.errors import DataError, LthError, MissingExtraError
from lth.spark.spread import probe, spark_map, spread

if TYPE_CHECKING:
    from engines.spark_cluster import SparkCluster
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.long
Program = Callable[..., subprocess.Popen[str]]


def test_every_item_gives_one_result(local_spark: SparkSession):
    for count in (1, 2, 7, 1500):
        assert sorted(spread(local_spark, spark_work.square, range(count))) == [i * i for i in range(count)]


def test_no_items_start_nothing():
    assert list(spark_map(spark_work.square, [], "no master at all")) == []


def test_results_come_while_the_job_runs(local_spark: SparkSession, tmp_path: Path):
    gate = tmp_path / "gate"
    results = spread(local_spark, spark_work.wait_for, [str(gate), "", "", ""])
    assert [next(results) for _ in range(3)] == [""] * 3
    gate.touch()
    assert list(results) == [str(gate)]


def test_a_closed_iterator_ends_its_job(local_spark: SparkSession, tmp_path: Path):
    results = spread(local_spark, spark_work.wait_for, [str(tmp_path / "never"), ""])
    assert next(results) == ""
    results.close()  # pyright: ignore[reportAttributeAccessIssue]
    assert list(spread(local_spark, spark_work.square, [3])) == [9]


def test_an_error_arrives_as_it_was(local_spark: SparkSession):
    with pytest.raises(DataError) as caught:
        list(spread(local_spark, spark_work.refuse, range(10)))
    assert (caught.value.what, caught.value.at, caught.value.value) == ("not an image", "n01/x.JPEG", 3)
    assert str(caught.value) == "n01/x.JPEG: not an image (found 3). Take it away."
    with pytest.raises(MissingExtraError, match="needs the package 'Pillow'"):
        list(spread(local_spark, spark_work.lacking, [0]))


def test_an_unforeseen_error_is_told_in_one_line(local_spark: SparkSession):
    with pytest.raises(LthError, match=r"Spark gave up: ZeroDivisionError: .* by zero") as caught:
        list(spread(local_spark, spark_work.broken, [1]))
    assert "\n" not in str(caught.value)


def test_work_whose_process_died_is_done_again(local_spark: SparkSession, tmp_path: Path):
    paths = [str(tmp_path / str(number)) for number in range(3)]
    assert sorted(spread(local_spark, spark_work.die_first, paths)) == paths
    with pytest.raises(LthError, match="a worker process died, four times"):
        list(spread(local_spark, spark_work.die, [0]))


def test_a_folder_that_workers_do_not_see_is_an_error(local_spark: SparkSession, tmp_path: Path):
    with probe(tmp_path) as witness:
        assert list(spread(local_spark, spark_work.square, [2], [witness])) == [4]
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(DataError, match="does not see this, and the driver does") as caught:
        list(spread(local_spark, spark_work.square, [2], [witness]))
    assert caught.value.at == str(tmp_path)


def test_probes_of_killed_processes_are_cleared_away(tmp_path: Path):
    (tmp_path / ".probe-0123").touch()
    with probe(tmp_path) as witness:
        assert list(tmp_path.iterdir()) == [witness]


ORIGINS = """
import json, sys, time
from spark import spark_work
from lth.spark.spread import spark_map
print(json.dumps(list(spark_map(spark_work.origin, range(6), sys.argv[1] if sys.argv[1:] else {url!r}))))
"""


def test_executors_of_a_cluster_get_this_lth(spark_cluster: SparkCluster, program: Program):
    output, problems = program(ORIGINS.format(url=spark_cluster.url), spark_cluster.environment).communicate()
    assert problems == ""
    origins = json.loads(output)
    assert len(origins) == 6
    assert all("lth.zip/lth" in file and not torch for file, torch, _ in origins), origins


def test_a_driver_without_the_secret_is_refused(spark_cluster: SparkCluster, program: Program):
    without = {name: value for name, value in spark_cluster.environment.items() if name != "SPARK_CONF_DIR"}
    began = time.monotonic()
    run = program(ORIGINS.format(url=spark_cluster.url), without)
    output, problems = run.communicate()
    assert (run.returncode, output) == (1, "")
    assert "LthError" in problems, problems
    print(time.monotonic() - began, problems[-800:])


def test_the_secret_is_on_no_command_line(spark_cluster: SparkCluster):
    secret = (Path(spark_cluster.environment["SPARK_CONF_DIR"]) / "spark-defaults.conf").read_text().split()[3]
    for process in spark_cluster.processes:
        assert secret not in Path(f"/proc/{process.pid}/cmdline").read_text()
