"""Dense networks trained by two processes together on Spark, as torchrun's or this machine's do it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from engines.grid import check_whole, hashes, lth, write_spec
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
