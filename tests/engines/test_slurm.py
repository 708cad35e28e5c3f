"""The grid of all engines on a real SLURM cluster."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from engines.grid import check_whole, hashes, lth, records, write_spec
from engines.slurm_cluster import SlurmCluster
from small_disk import SmallDisk

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


def test_several_workers_in_one_task(slurm: SlurmCluster, undisturbed: dict[str, str], tmp_path: Path) -> None:
    run, table = tmp_path / "run", TABLE + "workers_per_task = 2\n"
    done = lth("run", write_spec(tmp_path, "slurm", more=table), "--into", run, "--wait", env=slurm.environment)
    assert done.returncode == 0, done.stderr + done.stdout
    assert ", 1 task\n" in done.stdout.partition("submitted workers")[2]
    slurm.wait_until(lambda: not slurm.ask("squeue", "-h"))
    check_whole(run, undisturbed)


def test_one_network_on_two_nodes_has_the_bits_of_two_processes(slurm: SlurmCluster, tmp_path: Path) -> None:
    loopback = 'setup = ["export MASTER_ADDR=127.0.0.1 GLOO_SOCKET_IFNAME=lo"]\nextra = ["--nodes=2"]\n'
    tables = {"local": "", "slurm": TABLE + loopback}
    for name, table in tables.items():
        spec = write_spec(tmp_path, name, more="data_parallel = 2\n" + table)
        spec.write_text(spec.read_text().replace("guard_epochs = 2", "guard_epochs = 2\nmicro_batch = 16"))
        words = ["--wait"] * (name == "slurm") + ["--here"] * (name == "local")
        done = lth("run", spec, "--into", tmp_path / name, *words, env=slurm.environment)
        assert done.returncode == 0, done.stderr + done.stdout
    slurm.wait_until(lambda: not slurm.ask("squeue", "-h"))
    check_whole(tmp_path / "slurm", hashes(tmp_path / "local"))
    assert records(tmp_path / "slurm")["dense-seed0"]["numerics"]["world_size"] == 2


def test_on_a_login_node_nothing_is_trained_unless_allowed(slurm: SlurmCluster, tmp_path: Path) -> None:
    spec = write_spec(tmp_path)
    refused = lth("run", spec, "--into", tmp_path / "run", env=slurm.environment)
    assert refused.returncode == 2
    assert "outside any job" in refused.stderr
    assert "--here" in refused.stderr
    assert not (tmp_path / "run").exists()


def test_a_quota_of_two_thousand_files(
    slurm: SlurmCluster, undisturbed: dict[str, str], tmp_path: Path, small_disk: SmallDisk
) -> None:
    """The run directory of twelve units takes a twentieth of it, scripts and logs included."""
    disk = small_disk("nr_inodes=2000")
    waited = lth(
        "run", write_spec(tmp_path, "slurm", more=TABLE), "--into", disk / "run", "--wait", env=slurm.environment
    )
    assert waited.returncode == 0, waited.stderr + waited.stdout
    slurm.wait_until(lambda: not slurm.ask("squeue", "-h"))
    check_whole(disk / "run", undisturbed)
    found = os.statvfs(disk)
    assert found.f_files == 2000
    assert found.f_files - found.f_ffree < 110
