"""Places of workers: GPUs counted without torch, MIG instances, what a scheduler granted, groups of cores."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from grid.worlds import small_spec

from lth.grid.devices import core_groups, cores_here, gpus, listed, own_place
from lth.grid.launchers.worker import _on
from lth.grid.place import Place
from lth.grid.work import worker_count, workers_here
from lth.runs.run import start_run

TWO = "GPU 0: Some 80GB (UUID: GPU-aa)\nGPU 1: Some 80GB (UUID: GPU-bb)\n"
DIVIDED = (
    "GPU 0: Some 80GB (UUID: GPU-aa)\n  MIG 1g.10gb     Device  0: (UUID: MIG-1)\n"
    "  MIG 1g.10gb     Device  1: (UUID: MIG-2)\nGPU 1: Some 80GB (UUID: GPU-bb)\n"
)


def a_command(folder: Path, text: str, code: int = 0) -> dict[str, str]:
    """Returns an environment in which `nvidia-smi` says `text`."""
    command = folder / "nvidia-smi"
    command.write_text(f"#!/bin/sh\ncat <<'END'\n{text}END\nexit {code}\n")
    command.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


def test_gpus_are_those_the_driver_lists_and_a_divided_one_is_its_instances(tmp_path: Path) -> None:
    assert gpus(a_command(tmp_path, TWO), tmp_path / "none") == ("GPU-aa", "GPU-bb")
    assert listed(DIVIDED) == ("MIG-1", "MIG-2", "GPU-bb")


def test_without_the_command_the_drivers_folder_is_counted(tmp_path: Path) -> None:
    for name in ("0000:01:00.0", "0000:41:00.0"):
        (tmp_path / "driver" / name).mkdir(parents=True)
    assert gpus(a_command(tmp_path, "no devices\n", 9), tmp_path / "driver") == ("0", "1")
    assert gpus(a_command(tmp_path, "no devices\n", 9), tmp_path / "none") == ()


@pytest.mark.parametrize(
    ("granted", "names"), [("2,3", ("2", "3")), ("", ()), ("-1", ()), ("1,-1,2", ("1",)), ("MIG-7", ("MIG-7",))]
)
def test_what_a_scheduler_granted_is_all_there_is(tmp_path: Path, granted: str, names: tuple[str, ...]) -> None:
    assert gpus({**a_command(tmp_path, TWO), "CUDA_VISIBLE_DEVICES": granted}) == names


def test_cores_are_divided_and_none_is_idle() -> None:
    assert core_groups([0, 1, 4, 5, 6], 2) == [(0, 1), (4, 5, 6)]
    assert core_groups([3], 2) == [(3,), (3,)]
    for workers in range(1, 12):
        groups = core_groups(range(9), workers)
        assert len(groups) == workers
        assert {core for group in groups for core in group} == set(range(9))


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_a_child_is_started_on_its_cores_and_the_parent_keeps_its_own() -> None:
    before = os.sched_getaffinity(0)
    with _on([min(before)]):
        with os.popen(f"grep Cpus_allowed_list /proc/{os.getpid()}/task/{os.getpid()}/status") as answer:
            assert answer.read().split()[-1] == str(min(before))
        assert cores_here() == [min(before)]
    assert os.sched_getaffinity(0) == before


def test_auto_is_one_worker_a_gpu_and_a_worker_is_told_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start_run(tmp_path / "run", small_spec(execute={"launcher": "processes"}))
    cpu = start_run(tmp_path / "cpu", small_spec(execute={"launcher": "processes", "device": "cpu"}))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    assert worker_count(run) == 3
    assert worker_count(cpu) == len(cores_here())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    monkeypatch.setenv("LTH_WORKERS", "3")
    monkeypatch.setenv("LTH_SHARERS", "1")
    assert (worker_count(run), workers_here(run)) == (3, 1)


def test_ranks_of_one_machine_take_its_gpus_in_turn() -> None:
    four = {"CUDA_VISIBLE_DEVICES": "4,5", "MPI_LOCALNRANKS": "4"}
    shown = [own_place(four, Place("MPICH", 8 + local, 16, local)) for local in range(4)]
    assert [one["CUDA_VISIBLE_DEVICES"] for one in shown] == ["4", "5", "4", "5"]
    assert {one["LTH_SHARERS"] for one in shown} == {"2"}
    assert own_place({**four, "CUDA_VISIBLE_DEVICES": ""}, Place("MPICH", 1, 4, 1)) == {"LTH_SHARERS": "4"}
    assert own_place({"CUDA_VISIBLE_DEVICES": "3"}, Place("SLURM", 5, 8, 0)) == {}  # each rank is shown its own
    assert own_place(four, Place("torchrun", 1, 4, 1)) == {}
    assert own_place(four, None) == {}
