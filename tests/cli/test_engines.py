"""What `lth doctor` says of engines, sites and jobs: asked in other processes, patient for a while, with a cure."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lth.cli import engines, site
from lth.cli.job import job


def program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole search path, beside the shell's own programs and this Python's."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    return tmp_path


def test_a_command_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    program(tmp_path, "hangs", f"sleep 60 & echo $! >{tmp_path}/child; wait")
    began = time.monotonic()
    told = engines.ask([str(tmp_path / "hangs")], 0.5)
    assert time.monotonic() - began < 20
    assert (told.code, told.last) == (None, "hangs did not answer in 0.5 s")
    child = Path("/proc", (tmp_path / "child").read_text().strip(), "stat")
    limit = time.monotonic() + 20
    while child.exists() and child.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < limit
        time.sleep(0.02)


def test_a_command_that_cannot_be_started(tmp_path: Path) -> None:
    assert engines.ask([str(tmp_path / "absent")]).last.endswith("absent cannot be started: No such file or directory")


def test_nothing_is_installed(path: Path) -> None:
    found = {part.name: part for part in (engines.slurm(), engines.mpi(), engines.gpus())}
    assert not any(part.ok or part.required for part in found.values())
    assert all(part.blocks and part.cure for part in found.values())
    assert found["slurm"].found == "no sbatch, squeue, scancel, sinfo"
    assert found["mpi"].found == "no mpiexec"
    assert "pip install 'lth[mpi]'" in found["mpi"].cure


@pytest.mark.parametrize(("sinfo", "ok", "found"), [
    ('echo "gpu* up 20"; echo "old down 3"', True, "the controller answers; partitions gpu* (20 nodes)"),
    ('echo "gpu* down 20"', False, "the controller answers, but no partition is up"),
    ('echo "slurm_load_partitions: Unable to contact slurm controller" >&2; exit 1', False,
     "its controller does not answer: slurm_load_partitions: Unable to contact slurm controller"),
])  # fmt: skip
def test_slurm_s_controller_is_asked(path: Path, sinfo: str, ok: bool, found: str) -> None:
    for name in ("sbatch", "squeue", "scancel"):
        program(path, name, "exit 1")
    program(path, "sinfo", sinfo)
    part = engines.slurm()
    assert (part.ok, part.found[: len(found)]) == (ok, found)
    assert ok or part.blocks == 'launcher = "slurm"'


@pytest.mark.parametrize(("mpiexec", "ok", "found", "cure"), [
    ("echo rank 1; echo rank 0", True, "starts 2 ranks", ""),
    ("echo rank 0; echo rank 0", False, "starts processes with ranks 0, 0", "lth[mpi]"),
    ('echo "-----" >&2; echo "mpiexec has detected an attempt to run as root." >&2; exit 1', False,
     "mpiexec has detected an attempt to run as root.", "OMPI_ALLOW_RUN_AS_ROOT=1"),
    ('echo "There are not enough slots available in the system" >&2; exit 1', False, "not enough slots", "2 tasks"),
])  # fmt: skip
def test_two_ranks_are_started(path: Path, mpiexec: str, ok: bool, found: str, cure: str) -> None:
    program(path, "mpiexec", mpiexec)
    part = engines.mpi()
    assert part.ok == ok
    assert found in part.found
    assert cure in part.cure


def test_the_real_mpiexec_where_there_is_one() -> None:
    part = engines.mpi()
    if part.found == "no mpiexec":
        pytest.skip("NO MPI: pip install 'lth[mpi]'")
    assert (part.ok, part.found.endswith("mpiexec starts 2 ranks")) == (True, True), part


def test_pyspark_is_imported_in_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    assert engines.spark().found.startswith("pyspark 4.")
    monkeypatch.setattr(engines, "SPARK_PROBE", "import no_such_module_here")
    part = engines.spark()
    assert (part.ok, part.found) == (False, "ModuleNotFoundError: No module named 'no_such_module_here'")


def test_gpus_are_counted_with_their_slices(path: Path) -> None:
    lines = [f"GPU {n}: NVIDIA H200 (UUID: GPU-{n})" for n in range(2)] + ["  MIG 1g.18gb Device 0: (UUID: MIG-1)"] * 3
    program(path, "nvidia-smi", "".join(f"echo '{line}'; " for line in lines))
    part = engines.gpus()
    assert (part.ok, part.found) == (True, "2 x NVIDIA H200, in 3 MIG slices")
    program(path, "nvidia-smi", 'echo "NVIDIA-SMI has failed because it could not talk to the driver."; exit 9')
    assert "could not talk to the driver" in engines.gpus().found


def test_the_clock_of_the_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert site.clock(tmp_path).ok
    now = time.time
    monkeypatch.setattr("lth.cli.site.time.time", lambda: now() - 3600)
    part = site.clock(tmp_path)
    assert (part.ok, part.found) == (False, "3600 s behind the file system's")
    assert "claims go by the file system's clock" in part.blocks
    assert list(tmp_path.iterdir()) == []


def test_files_that_are_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert site.inodes(tmp_path).ok

    class Told:
        f_files, f_favail = 2_000, 150

    monkeypatch.setattr(os, "statvfs", lambda _: Told)
    part = site.inodes(tmp_path)
    assert (part.ok, part.found, part.required) == (False, "150 more", False)
    Told.f_files = 0
    assert site.inodes(tmp_path).ok


def test_limits_of_the_user() -> None:
    program_ = "ulimit -n 100; exec {} -c 'from lth.cli.site import limits; print(limits())'"
    told = subprocess.run(
        ["sh", "-c", program_.format(sys.executable)], capture_output=True, text=True, check=True
    ).stdout
    assert "ok=False, found='at most open files 100'" in told
    assert "ulimit -n 256" in told


def test_a_job_sees_its_rank_gpus_and_time() -> None:
    assert job({}) is None
    slurm = {"SLURM_JOB_ID": "17", "SLURM_PROCID": "3", "SLURM_NTASKS": "8", "CUDA_VISIBLE_DEVICES": "0,MIG-4f"}
    part = job({**slurm, "SLURM_JOB_END_TIME": str(int(time.time()) + 3600)})
    assert part is not None
    assert part.found == "SLURM 17; rank 3 of 8 (SLURM); GPUs 0, MIG-4f (1 of them MIG slices); 60 min left"
    pbs = job({"PBS_JOBID": "5.server", "OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "2"})
    assert pbs is not None
    assert pbs.found.startswith("PBS 5.server; rank 0 of 2 (Open MPI); no word on GPUs; walltime unknown: ")


def test_gpus_of_the_job_that_programs_are_not_shown() -> None:
    part = job({"SLURM_JOB_ID": "17", "SLURM_JOB_GPUS": "2", "CUDA_VISIBLE_DEVICES": ""})
    assert part is not None
    assert (part.ok, part.blocks) == (False, "the GPUs 2 that the job has")
    assert "CUDA_VISIBLE_DEVICES" in part.cure
