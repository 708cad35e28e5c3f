"""The grid of all engines as a Spark job, and what goes wrong there."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from engines.faults import STEPS, Disturbed
from engines.grid import check_whole, environment, lth, write_spec
from engines.require import require

if TYPE_CHECKING:
    from engines.spark_cluster import SparkCluster

pytestmark = pytest.mark.long
LOCAL = '[execute.spark]\nmaster = "local[2,4]"'


@pytest.fixture(autouse=True)
def _java() -> None:
    found = shutil.which("java") or os.environ.get("JAVA_HOME")
    require(found, "NO SPARK: pip install 'lth[spark]' and apt-get install openjdk-17-jre-headless")


def test_the_grid_has_the_bits_of_one_worker(undisturbed: dict[str, str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    done = lth("run", write_spec(tmp_path, "spark", more=LOCAL), "--into", run, "--here")
    assert done.returncode == 0, done.stderr
    check_whole(run, undisturbed)
    assert [path.name for path in sorted((run / "logs").iterdir())] == ["spark-0.log", "spark-1.log"]
    assert not list(run.glob(".probe-*"))


def test_a_cluster_whose_executors_have_no_lth_of_their_own(
    spark_cluster: SparkCluster, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    spec = write_spec(tmp_path, "spark", more=f'[execute.spark]\nmaster = "{spark_cluster.url}"')
    source = os.pathsep.join([str(Path(__file__).parents[2] / "src"), spark_cluster.environment["PYTHONPATH"]])
    done = lth("run", spec, "--into", run, "--here", env={**spark_cluster.environment, "PYTHONPATH": source})
    assert done.returncode == 0, done.stderr
    check_whole(run, undisturbed)
    assert [path.name for path in sorted((run / "logs").iterdir())] == ["spark-0.log", "spark-1.log"]


def test_a_killed_worker_is_tried_again(undisturbed_counted: dict[str, str], tmp_path: Path) -> None:
    world = Disturbed(tmp_path, DIES_AT="30")
    world.finish(world.start("spark", LOCAL))
    assert (tmp_path / "steps.died").exists()
    check_whole(world.run, undisturbed_counted)
    assert STEPS <= world.steps() < 2 * STEPS


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_everything_stopped_and_the_same_command_again(
    undisturbed_counted: dict[str, str], tmp_path: Path, number: signal.Signals
) -> None:
    world = Disturbed(tmp_path, STEP_SECONDS="0.02")
    first = world.start("spark", LOCAL)
    world.until(lambda: world.published() >= 2 and bool(world.workers()), first)
    first.send_signal(number)
    assert "Nothing is lost" in world.finish(first, code=3)
    assert world.workers() == []
    assert world.published() < 12
    world.finish(world.start("spark", LOCAL))
    check_whole(world.run, undisturbed_counted)
    assert world.repeats() == 0


def test_two_launchers_at_once_do_nothing_twice(undisturbed_counted: dict[str, str], tmp_path: Path) -> None:
    world = Disturbed(tmp_path, STEP_SECONDS="0.03")
    first = world.start("spark", LOCAL)
    world.until(lambda: bool(world.workers()), first)
    world.finish(first, world.start("local"))
    check_whole(world.run, undisturbed_counted)
    assert world.steps() >= STEPS
    assert world.repeats() == 0
    assert "already published" not in world.said()


def test_a_wrong_set_up_is_told_once(tmp_path: Path) -> None:
    spec = write_spec(tmp_path, "spark", model="counted:Missing", more=LOCAL)
    done = lth("run", spec, "--into", tmp_path / "run", "--here", env=environment(tmp_path))
    assert done.returncode == 2
    assert "Missing" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("master", ["locally", "spark://127.0.0.1:1"])
def test_a_wrong_master_is_told_by_its_key(tmp_path: Path, master: str) -> None:
    spec = write_spec(tmp_path, "spark", more=f'[execute.spark]\nmaster = "{master}"')
    done = lth("run", spec, "--into", tmp_path / "run", "--here")
    assert done.returncode == 2, done.stderr
    assert "execute.spark.master: " in done.stderr
