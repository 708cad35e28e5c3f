"""Dense networks trained by two processes together on Spark, as torchrun's or this machine's do it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from engines.grid import COUNTED, check_whole, environment, hashes, lth, write_spec
from engines.require import require

if TYPE_CHECKING:
    from engines.spark_cluster import SparkCluster

pytestmark = pytest.mark.long
TABLE = 'data_parallel = 2\n[execute.spark]\nmaster = "{master}"'
MICRO = ("--set", "train.micro_batch=8")


@pytest.fixture(autouse=True)
def _java() -> None:
    found = shutil.which("java") or os.environ.get("JAVA_HOME")
    require(found, "NO SPARK: pip install 'lth[spark]' and apt-get install openjdk-17-jre-headless")


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The hashes of the grid whose dense network two processes of this machine have trained together."""
    folder = tmp_path_factory.mktemp("together")
    spec = write_spec(folder, more="data_parallel = 2")
    done = lth("run", spec, "--into", folder / "run", "--here", *MICRO)
    assert done.returncode == 0, done.stderr
    return hashes(folder / "run")


def test_spark_trains_the_bits_of_a_group_here(together: dict[str, str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    spec = write_spec(tmp_path, "spark", more=TABLE.format(master="local[2,4]"))
    done = lth("run", spec, "--into", run, "--here", "--json", *MICRO)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("{")  # and nothing of what TorchDistributor prints
    check_whole(run, together)
    assert "rank 0 of 2" in (run / "logs" / "group-0.log").read_text()
    assert not list((run / "logs").glob(".*"))


def test_a_cluster_trains_them_too(spark_cluster: SparkCluster, together: dict[str, str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    spec = write_spec(tmp_path, "spark", more=TABLE.format(master=spark_cluster.url))
    source = os.pathsep.join([str(Path(__file__).parents[2] / "src"), spark_cluster.environment["PYTHONPATH"]])
    done = lth("run", spec, "--into", run, "--here", *MICRO, env={**spark_cluster.environment, "PYTHONPATH": source})
    assert done.returncode == 0, done.stderr
    check_whole(run, together)


def test_a_killed_process_takes_all_with_it_and_they_start_again(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    spec = write_spec(here, more="data_parallel = 2", model=COUNTED)
    alone = lth("run", spec, "--into", here / "run", "--here", *MICRO, env=environment(here))
    assert alone.returncode == 0, alone.stderr
    spec = write_spec(there, "spark", more=TABLE.format(master="local[2,4]"), model=COUNTED)
    done = lth("run", spec, "--into", there / "run", "--here", *MICRO, env=environment(there, DIES_AT="30"))
    assert (there / "steps.died").exists()
    assert done.returncode == 0, done.stderr
    check_whole(there / "run", hashes(here / "run"))
    assert not list((there / "run" / "logs").glob(".*"))
