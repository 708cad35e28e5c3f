"""What goes wrong on a SLURM cluster: the same bits in the end, on the same command."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path

import pytest
from engines.grid import check_whole, lth
from engines.slurm_cluster import SlurmCluster, running_slurm
from engines.slurm_world import World, at_most

pytestmark = pytest.mark.long


def test_a_worker_that_is_killed_once(slurm: SlurmCluster, whole: dict[str, str], tmp_path: Path) -> None:
    world = World(slurm, tmp_path, DIES_AT="30")
    world.submit()
    world.wait()
    assert (tmp_path / "steps.died").exists()
    done = world.start("--wait")
    assert done.returncode == 0, done.stderr + world.said()
    world.wait()
    check_whole(world.run, whole)


def test_a_warning_has_the_task_saved_and_queued_again(
    slurm: SlurmCluster, whole: dict[str, str], tmp_path: Path
) -> None:
    world = World(slurm, tmp_path, STEP_SECONDS="0.01")
    world.submit()
    os.kill(world.training()[0], signal.SIGUSR1)
    slurm.wait_until(lambda: "is queued again" in world.said())
    done = world.start("--wait")
    assert done.returncode == 0, done.stderr + world.said()
    world.wait()
    check_whole(world.run, whole)
    assert "goes on at step" in world.said()


def test_everything_cancelled_and_the_same_command_again(
    slurm: SlurmCluster, whole: dict[str, str], tmp_path: Path
) -> None:
    world = World(slurm, tmp_path, STEP_SECONDS="0.01")
    world.submit()
    world.training()
    ended = lth("cancel", world.run, env=world.environment)
    assert re.match(r"cancelled \d+: ", ended.stdout), ended.stderr
    world.wait()
    assert lth("cancel", world.run, env=world.environment).stdout == "no job of this run is in the queue\n"
    assert "is queued again" not in world.said()
    done = world.start("--wait")
    assert done.returncode == 0, done.stderr + world.said()
    world.wait()
    check_whole(world.run, whole)


def test_a_node_that_is_lost_while_it_works_on(slurm: SlurmCluster, whole: dict[str, str], tmp_path: Path) -> None:
    world = World(slurm, tmp_path, STEP_SECONDS="0.01")
    world.submit()
    world.training()
    running = slurm.ask("squeue", "-h", "-t", "R", "-o", "%N").split()
    slurm.kill_node(running[0])
    slurm.wait_until(lambda: running[0] in slurm.ask("sinfo", "-h", "-N", "-t", "down", "-o", "%N"))
    slurm.start_node(running[0])
    done = world.start("--wait")
    assert done.returncode == 0, done.stderr + world.said()
    world.wait()
    check_whole(world.run, whole)


def test_where_requeueing_is_forbidden_another_job_follows(undisturbed_counted: dict[str, str], tmp_path: Path) -> None:
    """Arrays of at most nine tasks there, and tasks that may not be queued again."""
    with running_slurm(tmp_path / "cluster", "JobRequeue=0\nMaxArraySize=10") as cluster:
        world = World(cluster, tmp_path, STEP_SECONDS="0.01")
        lines = world.spec.read_text().replace("workers = 2", "workers = 12")
        world.spec.write_text(lines.replace('time = "10"', 'time = "10"\nextra = ["--no-requeue"]'))
        world.submit()
        text = (world.run / "slurm" / "dense.sh").read_text()
        assert "#SBATCH --no-requeue" in text
        os.kill(world.training()[0], signal.SIGUSR1)
        cluster.wait_until(lambda: "is followed by" in world.said())
        world.wait()
        done = world.start("--wait")
        assert done.returncode == 0, done.stderr + world.said()
        world.wait()
        check_whole(world.run, undisturbed_counted)


def test_a_task_of_two_workers_is_queued_again_though_one_has_ended(
    slurm: SlurmCluster, whole: dict[str, str], tmp_path: Path
) -> None:
    """The dense network keeps one worker busy, and the other ends at once."""
    world = World(slurm, tmp_path, table="workers_per_task = 2\n", STEP_SECONDS="0.03")
    world.submit()
    world.training()
    dense = slurm.ask("squeue", "-h", "-t", "R", "-o", "%A").split()[0]
    slurm.ask("scancel", "--signal=USR1", dense)
    slurm.wait_until(lambda: "is queued again" in world.said())
    done = world.start("--wait")
    assert done.returncode == 0, done.stderr + world.said()
    world.wait()
    check_whole(world.run, whole)


def test_a_time_limit_shorter_than_the_work(slurm: SlurmCluster, whole: dict[str, str], tmp_path: Path) -> None:
    """Workers save before a limit of one minute, and go on in the next job; nobody looks after them."""
    world = World(slurm, tmp_path, time="1", STEP_SECONDS="0.25")
    world.spec.write_text(world.spec.read_text().replace("workers = 2", "workers = 5"))
    world.submit()
    world.wait()
    assert "is queued again" in world.said()
    assert "goes on at step" in world.said()
    check_whole(world.run, whole)


def test_a_limit_of_jobs_that_the_dense_networks_use_up(slurm: SlurmCluster, tmp_path: Path) -> None:
    """Four dense networks take all places: the last of them calls for workers when there is room again."""
    world = World(slurm, tmp_path, PATH=at_most(4, tmp_path))
    world.edit('name = "twelve"', 'name = "twelve"\nseeds = [0, 1, 2, 3]')
    slurm.wait_until(lambda: not slurm.ask("squeue", "-h"))
    done = world.start()
    assert "no workers were taken" in done.stdout, done.stdout + done.stderr
    world.wait()
    seen = json.loads(lth("status", world.run, "--json", env=world.environment).stdout)
    assert (seen["done"], seen["waiting"], seen["failed"]) == (40, 0, 0), world.said()


def test_status_of_a_run_whose_cluster_is_out_of_reach(slurm: SlurmCluster, tmp_path: Path) -> None:
    world = World(slurm, tmp_path)
    assert world.start("--dry-run").returncode == 0
    away = {**world.environment, "SLURM_CONF": str(tmp_path / "none")}
    seen = lth("status", world.run, env=away)
    assert seen.returncode == 0
    assert "not known from here" in seen.stdout
    assert json.loads(lth("status", world.run, "--json", env=away).stdout)["cells"] == 10


def test_a_worker_on_the_login_node_helps_and_nothing_is_done_twice(
    slurm: SlurmCluster, whole: dict[str, str], tmp_path: Path
) -> None:
    world = World(slurm, tmp_path, STEP_SECONDS="0.01")
    world.submit()
    world.training()
    helped = lth("work", world.run, "--wait", env=world.environment)
    assert helped.returncode == 0, helped.stderr
    world.wait()
    check_whole(world.run, whole)
    assert " done validation" in helped.stderr
    assert " done validation" in world.said()
    assert "already published" not in helped.stderr + world.said()
