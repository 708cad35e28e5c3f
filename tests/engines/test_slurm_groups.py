"""Losses that SLURM itself sees: a node under processes that train together, and jobs that make room for others."""

from __future__ import annotations

from pathlib import Path

import pytest
from engines.grid import check_whole, hashes, records
from engines.slurm_cluster import SlurmCluster, running_slurm
from engines.slurm_world import World

pytestmark = pytest.mark.long
LOOPBACK = 'setup = ["export MASTER_ADDR=127.0.0.1 GLOO_SOCKET_IFNAME=lo"]\nextra = ["--nodes=2"]\n'


def worlds(slurm: SlurmCluster, folder: Path, **more: str) -> tuple[World, World]:
    """Returns the same small grid twice, with dense networks of two processes: undisturbed here, and on two nodes."""
    slurm.wait_until(lambda: not slurm.ask("squeue", "-h"))
    (folder / "peace").mkdir()
    peace, world = World(slurm, folder / "peace"), World(slurm, folder, table=LOOPBACK, **more)
    for one in (peace, world):
        one.edit("[execute]\n", "[execute]\ndata_parallel = 2\n")
        one.edit("guard_epochs = 2", "guard_epochs = 2\nmicro_batch = 16")
        one.edit("[0.5, 0.7, 0.8, 0.9, 0.95]", "[0.9]")
        one.edit('["0", "1ep"]', '["0"]')
    return peace, world


def test_a_node_that_is_lost_under_two_processes_that_train_together(slurm: SlurmCluster, tmp_path: Path) -> None:
    """The other process says so and ends; it goes on from the last save, with the bits of a group left in peace."""
    peace, world = worlds(slurm, tmp_path, STEP_SECONDS="0.1")
    done = peace.start("--here", "--set", "execute.launcher=local")
    assert done.returncode == 0, done.stderr
    world.submit()
    slurm.wait_until(lambda: any(world.run.glob("dense/*/resume")))
    nodes = slurm.ask("squeue", "-h", "-t", "R", "-o", "%N").strip()
    lost = slurm.ask("scontrol", "show", "hostnames", nodes).split()[1]
    slurm.lose_node(lost)
    slurm.wait_until(lambda: lost in slurm.ask("sinfo", "-h", "-N", "-t", "down", "-o", "%N"))
    slurm.start_node(lost)
    world.wait()
    done = world.start("--wait")  # for a site that does not queue again what has lost its node
    assert done.returncode == 0, done.stderr + world.said()
    assert "error: another process of the group has ended" in world.said()
    assert "dense-seed0 goes on at step" in world.said()
    assert len(hashes(world.run)) == 2
    assert hashes(world.run) == hashes(peace.run)
    assert records(world.run)["dense-seed0"]["numerics"]["world_size"] == 2


def test_dense_networks_of_a_later_stage_get_jobs_for_their_groups(slurm: SlurmCluster, tmp_path: Path) -> None:
    """Confirmation needs more dense networks and tickets: both are called for when the ticket is selected."""
    peace, world = worlds(slurm, tmp_path)
    for one in (peace, world):
        one.edit("tolerance = 0.1", "tolerance = 0.1\nconfirm_seeds = 2")
    done = peace.start("--here", "--set", "execute.launcher=local")
    assert done.returncode == 0, done.stderr
    world.submit()
    world.wait()
    assert len(hashes(world.run)) == 6, world.said()
    assert hashes(world.run) == hashes(peace.run)
    assert [one["script"] for one in world.submitted()] == ["dense.sh", "workers.sh"] * 2


PARTITIONS = """PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=low Nodes=n[1-2] PriorityTier=1 PreemptMode=REQUEUE GraceTime={grace}
PartitionName=high Nodes=n[1-2] PriorityTier=9 PreemptMode=OFF"""


@pytest.mark.parametrize(
    ("warned", "grace", "workers", "said"),
    [
        pytest.param(True, 20, 1, "1_0 is queued again", id="warned"),
        pytest.param(False, 20, 2, "1_0 is queued again", id="told to end"),
        pytest.param(False, 0, 1, "DUE TO PREEMPTION", id="killed"),
    ],
)
def test_jobs_that_make_room_for_others(
    undisturbed_counted: dict[str, str], tmp_path: Path, warned: bool, grace: int, workers: int, said: str
) -> None:
    """Others want the nodes; the work goes on when they are free again, and nobody looks after it.

    A batch script alone is not told by SLURM in its time of grace, unless it asks for a warning; steps are, by TERM.
    """
    with running_slurm(tmp_path / "cluster", PARTITIONS.format(grace=grace), user_signal=warned) as cluster:
        table = f'partition = "low"\nworkers_per_task = {workers}\n'
        world = World(cluster, tmp_path, table=table, STEP_SECONDS="0.06")
        world.submit()
        world.training()
        cluster.ask("sbatch", "--partition=high", "--nodes=2", "--exclusive", "--output=/dev/null", "--wrap", "true")
        world.wait()
        assert said in world.said(), world.said()
        check_whole(world.run, undisturbed_counted)
