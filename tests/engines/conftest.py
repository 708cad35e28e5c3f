"""What every engine is compared with."""

from __future__ import annotations

import pytest
from engines.grid import COUNTED, environment, hashes, lth, write_spec
from engines.slurm_cluster import SlurmCluster


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The weights hashes of the grid after one worker did it all without a break."""
    folder = tmp_path_factory.mktemp("undisturbed")
    done = lth("run", write_spec(folder), "--into", folder / "run")
    assert done.returncode == 0, done.stderr
    return hashes(folder / "run")


@pytest.fixture(scope="session")
def undisturbed_counted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The same of the network that notes its steps, at ten epochs."""
    folder = tmp_path_factory.mktemp("undisturbed-counted")
    spec = write_spec(folder, model=COUNTED, epochs=10)
    done = lth("run", spec, "--into", folder / "run", env=environment(folder))
    assert done.returncode == 0, done.stderr
    return hashes(folder / "run")


@pytest.fixture
def whole(slurm: SlurmCluster, undisturbed_counted: dict[str, str]) -> dict[str, str]:
    """The hashes to be reached; no job of an earlier test is left when a test begins."""
    slurm.wait_until(lambda: not slurm.ask("squeue", "-h"))
    return undisturbed_counted
