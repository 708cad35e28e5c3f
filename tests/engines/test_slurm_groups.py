"""Losses that SLURM itself sees: a node under processes that train together, and jobs that make room for others."""

from __future__ import annotations

from pathlib import Path

import pytest
from engines.grid import check_whole, environment, hashes, lth, records, write_spec
from engines.slurm_cluster import SlurmCluster, running_slurm
from engines.slurm_world import World

pytestmark = pytest.mark.long
LOOPBACK = 'setup = ["export MASTER_ADDR=127.0.0.1 GLOO_SOCKET_IFNAME=lo"]\nextra = ["--nodes=2"]\n'
TOGETHER = ("[execute]\n", "[execute]\ndata_parallel = 2\n")
HALVES = ("guard_epochs = 2", "guard_epochs = 2\nmicro_batch = 16")


def test_a_node_that_is_lost_under_two_processes_that_train_together(slurm: SlurmCluster, tmp_path: Path) -> None:
    """The other process says so and ends; the same command goes on from the last save, with a group's bits."""
    (tmp_path / "alone").mkdir()
    spec = write_spec(tmp_path / "alone", model="counted:Counted", epochs=10)
    spec.write_text(spec.read_text().replace(*TOGETHER).replace(*HALVES))
    done = lth("run", spec, "--into", tmp_path / "alone" / "run", "--here", env=environment(tmp_path / "alone"))
    assert done.returncode == 0, done.stderr
    slurm.wait_until(lambda: not slurm.ask("squeue", "-h"))
    world = World(slurm, tmp_path, table=LOOPBACK, STEP_SECONDS="0.1")
    world.edit(*TOGETHER)
    world.edit(*HALVES)
    world.submit()
    world.training()
    slurm.wait_until(lambda: any(world.run.glob("dense/*/resume")))
    nodes = slurm.ask("squeue", "-h", "-t", "R", "-o", "%N").strip()
    lost = slurm.ask("scontrol", "show", "hostnames", nodes).split()[1]
    slurm.lose_node(lost)
    slurm.wait_until(lambda: lost in slurm.ask("sinfo", "-h", "-N", "-t", "down", "-o", "%N"))
    world.wait()
    print(world.said(), slurm.ask("scontrol", "show", "job"))
    assert "another process of the group has ended" in world.said()
    slurm.start_node(lost)
    done = world.start("--wait")
    assert done.returncode == 0, done.stderr + world.said()
    world.wait()
    assert "dense-seed0 goes on at step" in world.said()
    check_whole(world.run, hashes(tmp_path / "alone" / "run"))
    assert records(world.run)["dense-seed0"]["numerics"]["world_size"] == 2


PARTITIONS = """PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=low Nodes=n[1-2] PriorityTier=1 PreemptMode=REQUEUE {grace}
PartitionName=high Nodes=n[1-2] PriorityTier=9 PreemptMode=OFF"""


@pytest.mark.parametrize("grace", ["GraceTime=0", "GraceTime=20"])
@pytest.mark.parametrize("user_signal", [True, False])
def test_jobs_that_make_room_for_others(
    undisturbed_counted: dict[str, str], tmp_path: Path, grace: str, user_signal: bool
) -> None:
    """Two nodes are wanted by others; the work goes on when they are free again, and nobody looks after it."""
    with running_slurm(tmp_path / "cluster", PARTITIONS.format(grace=grace), user_signal=user_signal) as cluster:
        world = World(cluster, tmp_path, table='partition = "low"\n', STEP_SECONDS="0.05")
        world.submit()
        world.training()
        urgent = ["--partition=high", "--nodes=2", "--exclusive", "--output=/dev/null", "--wrap", "sleep 5"]
        cluster.ask("sbatch", *urgent)
        world.wait()
        print(world.said())
        check_whole(world.run, undisturbed_counted)
