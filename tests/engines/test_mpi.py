"""The grid of all engines on mpiexec, and what goes wrong there."""

from __future__ import annotations

import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from engines.faults import STEPS, Disturbed
from engines.grid import check_whole, environment, lth, records, write_spec
from engines.require import require
from engines.slurm_cluster import SlurmCluster

pytestmark = pytest.mark.long
MPIEXEC = shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or shutil.which("mpiexec") or ""


@pytest.fixture(autouse=True)
def _mpi() -> None:
    require(MPIEXEC, "NO MPI: pip install 'lth[mpi]'")


def test_the_grid_has_the_bits_of_one_worker(undisturbed: dict[str, str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    done = lth("run", write_spec(tmp_path, "mpi"), "--into", run, "--here")
    assert done.returncode == 0, done.stderr
    check_whole(run, undisturbed)
    said = (run / "logs" / "mpi.log").read_text()
    assert "rank 0 of 2 INFO" in said
    assert "rank 1 of 2 INFO" in said


def test_workers_started_by_hand(undisturbed: dict[str, str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    spec = write_spec(tmp_path, more='[execute.mpi]\ncommand = "sh -c exit"')  # what makes the folder, and no more
    empty = lth("run", spec, "--into", run, "--here", "--set", "execute.launcher=mpi")
    assert empty.returncode == 3, empty.stderr
    assert not records(run)
    command = [MPIEXEC, "-n", "3", sys.executable, "-m", "lth", "work", str(run), "--wait"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    check_whole(run, undisturbed)
    assert {f"rank {rank} of 3" for rank in range(3)} <= {line[24:35] for line in done.stderr.splitlines()}


def test_a_killed_rank_takes_all_with_it_and_they_start_again(
    undisturbed_counted: dict[str, str], tmp_path: Path
) -> None:
    world = Disturbed(tmp_path, DIES_AT="30")
    world.finish(world.start("mpi"))
    assert (tmp_path / "steps.died").exists()
    check_whole(world.run, undisturbed_counted)
    assert world.said().count("a rank begins") == 4
    assert STEPS <= world.steps() < 2 * STEPS


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_everything_stopped_and_the_same_command_again(
    undisturbed_counted: dict[str, str], tmp_path: Path, number: signal.Signals
) -> None:
    world = Disturbed(tmp_path, STEP_SECONDS="0.01")
    first = world.start("mpi")
    world.until(lambda: world.published() >= 2 and bool(world.workers()), first)
    first.send_signal(number)
    assert "Nothing is lost" in world.finish(first, code=3)
    assert world.workers() == []
    assert world.published() < 12
    world.finish(world.start("mpi"))
    check_whole(world.run, undisturbed_counted)
    assert world.repeats() == 0  # what was begun was saved at the very step


def test_two_launchers_at_once_do_nothing_twice(undisturbed_counted: dict[str, str], tmp_path: Path) -> None:
    world = Disturbed(tmp_path, STEP_SECONDS="0.005")
    world.finish(world.start("mpi"), world.start("processes"))
    check_whole(world.run, undisturbed_counted)
    assert world.steps() >= STEPS
    assert world.repeats() == 0
    assert "already published" not in world.said()


def test_a_wrong_set_up_is_told_once(tmp_path: Path) -> None:
    spec = write_spec(tmp_path, "mpi", model="counted:Missing")
    done = lth("run", spec, "--into", tmp_path / "run", "--here", env=environment(tmp_path))
    assert done.returncode == 2
    assert "Missing" in done.stderr
    assert (tmp_path / "run" / "logs" / "mpi.log").read_text().count("a rank begins") == 2


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("mpiexec -no-such-option {workers}", "it started no worker: "),
        ("mpiexec-of-nobody -n {workers}", "its program is not found"),
        ("false", "it started no worker: it said nothing"),
    ],
)
def test_a_command_that_cannot_start_is_told(tmp_path: Path, command: str, words: str) -> None:
    spec = write_spec(tmp_path, "mpi", more=f'[execute.mpi]\ncommand = "{command}"')
    done = lth("run", spec, "--into", tmp_path / "run", "--here")
    assert done.returncode == 2, done.stderr
    assert f"execute.mpi.command: {words}" in done.stderr


@pytest.mark.parametrize(
    ("command", "rank"), [("srun --mpi=pmi2 -n {workers}", "rank 1 of 2"), ("mpiexec -n {workers}", "rank 1 of 2")]
)
def test_inside_an_allocation_of_slurm(
    slurm: SlurmCluster, undisturbed: dict[str, str], tmp_path: Path, command: str, rank: str
) -> None:
    """The ranks stand on two nodes, as SLURM's own step or as those of MPICH, which starts its daemons with srun."""
    spec, run = write_spec(tmp_path, "mpi", more=f'[execute.mpi]\ncommand = "{command}"'), tmp_path / "run"
    words = [sys.executable, "-m", "lth", "run", str(spec), "--into", str(run)]
    log = tmp_path / "job.log"
    slurm.ask("sbatch", "--nodes=2", "--ntasks-per-node=1", f"--output={log}", f"--wrap=exec {shlex.join(words)}")
    slurm.wait_until(lambda: not slurm.ask("squeue", "-h"))
    check_whole(run, undisturbed)
    assert rank in (run / "logs" / "mpi.log").read_text(), log.read_text()
