"""The grid of all engines on a real SLURM cluster."""

from __future__ import annotations

from pathlib import Path

import pytest
from engines.grid import check_whole, lth, records, write_spec
from engines.slurm_cluster import SlurmCluster

pytestmark = pytest.mark.long
TABLE = '[execute.slurm]\ntime = "10"\n'


def test_the_grid_has_the_bits_of_one_worker(slurm: SlurmCluster, undisturbed: dict[str, str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    spec = write_spec(tmp_path, "slurm", more=TABLE)
    dry = lth("run", spec, "--into", run, "--dry-run", env=slurm.environment)
    assert dry.returncode == 0, dry.stderr
    assert "sbatch --parsable --dependency=afterany:DENSE --array=0-1 " in dry.stdout
    assert slurm.ask("squeue", "-h") == ""
    sent = lth("run", spec, "--into", run, env=slurm.environment)
    assert sent.returncode == 0, sent.stderr
    assert "submitted dense: job" in sent.stdout
    assert "submitted workers: job" in sent.stdout
    twice = lth("run", spec, "--into", run, env=slurm.environment)
    assert "jobs of this run are in the queue already" in twice.stdout
    seen = lth("status", run, env=slurm.environment)
    assert "slurm" in seen.stdout
    waited = lth("run", spec, "--into", run, "--wait", env=slurm.environment)
    assert waited.returncode == 0, waited.stderr + waited.stdout
    slurm.wait_until(lambda: not slurm.ask("squeue", "-h"))
    check_whole(run, undisturbed)
    assert len({one["attempt"].split("-")[-2] for one in records(run).values() if "attempt" in one}) > 1
