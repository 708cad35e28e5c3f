"""Sites that grant little, and what is submitted there: all done in the end, nothing twice, no task held idle."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from engines.grid import check_whole, lth, records
from engines.slurm_cluster import SlurmCluster, running_slurm
from engines.slurm_world import World, at_most

pytestmark = pytest.mark.long
HOSTILE = "JobRequeue=0\nMaxArraySize=10"
HELD_SECONDS = 20.0  # to start Python and torch on a busy machine, and to end; a network takes longer here


def test_a_site_that_grants_little(undisturbed_counted: dict[str, str], tmp_path: Path) -> None:
    """Requeueing off, arrays of nine, five jobs a user, one minute a job: less than the work of a worker."""
    with running_slurm(tmp_path / "cluster", HOSTILE) as cluster:
        world = World(cluster, tmp_path, time="1", STEP_SECONDS="0.11", PATH=at_most(5, tmp_path))
        world.edit("workers = 2", "workers = 30")
        done = world.start("--wait")
        assert done.returncode == 0, done.stderr + done.stdout + world.said()
        assert "tasks of workers were not taken" in done.stdout
        assert "is queued again" in world.said()
        world.wait()
        check_whole(world.run, undisturbed_counted)
        assert max(world.held().values()) < HELD_SECONDS, world.held()


def test_arrays_of_at_most_nine_tasks_and_no_requeueing(undisturbed_counted: dict[str, str], tmp_path: Path) -> None:
    with running_slurm(tmp_path / "cluster", HOSTILE) as cluster:
        world = World(cluster, tmp_path)
        world.edit("workers = 2", "workers = 30")
        done = world.start("--wait")
        assert done.returncode == 0, done.stderr + done.stdout + world.said()
        assert [one["tasks"] for one in world.submitted()] == [1, 9, 1]
        world.wait()
        check_whole(world.run, undisturbed_counted)


def test_no_task_is_held_while_others_work(slurm: SlurmCluster, whole: dict[str, str], tmp_path: Path) -> None:
    """Iterative pruning has one network at a time to train: one of two tasks has nothing to do, and ends."""
    world = World(slurm, tmp_path, STEP_SECONDS="0.16")
    world.edit("sparsities = [0.5, 0.7, 0.8, 0.9, 0.95]", "levels = 2")
    world.edit('rewind = ["0", "1ep"]', 'rewind = ["0"]\n[prune]\nmethod = "iterative"\nrate = 0.5')
    world.submit()
    world.wait()
    assert len(records(world.run)) == 4, world.said()
    took = [one["seconds"] for one in records(world.run).values() if "seconds" in one]
    assert min(took) > HELD_SECONDS, took  # or else a task that waits for one would not be told from one that starts
    held = world.held()
    assert len(held) == 3
    assert max(held.values()) < HELD_SECONDS, (held, world.said())


def test_two_commands_at_the_same_moment_submit_once(
    slurm: SlurmCluster, whole: dict[str, str], tmp_path: Path
) -> None:
    """The second one begins while the first one is in its sbatch, and waits for it."""
    busy, go = tmp_path / "busy", tmp_path / "go"
    world = World(slurm, tmp_path, PATH=at_most(9, tmp_path, f"touch {busy}; until [ -e {go} ]; do sleep 0.1; done"))
    first = world.begin()
    slurm.wait_until(busy.exists)
    second = world.begin()
    waits = second.stderr.readline() if second.stderr else ""
    assert "another lth is submitting" in waits
    go.touch()
    said = [command.communicate(timeout=60)[0] for command in (first, second)]
    assert "submitted dense" in said[0]
    assert "jobs of this run are in the queue already" in said[1]
    assert len(world.submitted()) == 2
    world.wait()
    check_whole(world.run, whole)


def test_a_stage_that_begins_calls_for_as_many_as_it_needs(
    slurm: SlurmCluster, whole: dict[str, str], tmp_path: Path
) -> None:
    """One ticket, one task; then its three controls and two more tasks, once."""
    world = World(slurm, tmp_path, STEP_SECONDS="0.02")
    world.edit("workers = 2", "workers = 9")
    world.edit("sparsities = [0.5, 0.7, 0.8, 0.9, 0.95]", "sparsities = [0.5]")
    controls = 'controls = ["reinit", "shuffled_mask", "random_mask"]'
    world.edit('rewind = ["0", "1ep"]', f'rewind = ["0"]\n{controls}')
    world.edit("tickets_per_worker = 2", "tickets_per_worker = 1")
    world.submit()
    world.wait()
    assert len(records(world.run)) == 6, world.said()
    assert re.findall(r"(\d+) units are ready: .* job \d+, (\d+) tasks", world.said()) == [("3", "2")], world.said()
    assert [one["tasks"] for one in world.submitted()] == [1, 1, 2]


def test_a_run_that_is_moved_while_its_jobs_are_there(
    slurm: SlurmCluster, whole: dict[str, str], tmp_path: Path
) -> None:
    """Jobs of the old place are recognised from the new one; those at work end by themselves, and say why."""
    world = World(slurm, tmp_path, STEP_SECONDS="0.05")
    world.submit()
    world.training()
    old, world.run = world.run, tmp_path / "moved"
    old.rename(world.run)
    refused = world.start()
    assert refused.returncode == 2
    assert f"{old}: jobs were submitted before this run was moved: " in refused.stderr
    assert f"lth cancel {world.run}" in refused.stderr
    slurm.wait_until(lambda: "dense" not in slurm.ask("squeue", "-h", "-o", "%j"))
    assert "the run directory is no longer here" in world.said()
    lth("cancel", world.run, env=world.environment)
    world.wait()
    done = world.start("--wait")
    assert done.returncode == 0, done.stderr + world.said()
    world.wait()
    check_whole(world.run, whole)
    assert not old.exists()
