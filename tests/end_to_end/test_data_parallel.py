"""Dense networks trained by a group of processes, and workers with a walltime: nothing lost, same bits."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from end_to_end.conftest import environment, hashes, lth, records

from lth.experiment import doers
from lth.grid.stop import Stop
from lth.grid.unit import Cell, Checkpoint, Dense, Finish
from lth.grid.work import loop
from lth.runs.run import Run, start_run
from lth.spec.load import load_spec
from lth.training.distributed import Group

SPEC = """
name = "together"
seeds = [0]
[data]
source = "synthetic:examples=1200,test_examples=80,classes=4,size=6,noise=0.4"
batch_size = 32
[model]
name = "lenet_300_100"
[train]
epochs = {epochs}
micro_batch = 8
optimizer = {{ name = "sgd", lr = 0.05, momentum = 0.9 }}
[grid]
sparsities = [0.5, 0.8]
rewind = ["1ep"]
[select]
confirm_seeds = 0
tolerance = 0.1
[execute]
data_parallel = {world}
launcher = "{launcher}"
workers = 1
checkpoint_epochs = 1
"""


def write(folder: Path, *, world: int = 2, epochs: int = 8, launcher: str = "local") -> Path:
    path = folder / "together.toml"
    path.write_text(SPEC.format(world=world, epochs=epochs, launcher=launcher))
    return path


def torchrun(run: Path, *words: str) -> subprocess.Popen[str]:
    """Returns the running command `torchrun --standalone --nproc-per-node 2 -m lth work RUN`."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *words]
    env = {**environment(), "LTH_LOG": "DEBUG"}
    command += ["-m", "lth", "work", str(run)]
    return subprocess.Popen(command, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def rank_of(parent: int, rank: int) -> int:
    """Returns the process id of the child of `parent` that has that rank."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return next(int(pid) for pid in children if f"RANK={rank}\0".encode() in _environ(pid))


def _environ(pid: str) -> bytes:
    return b"\0" + Path(f"/proc/{pid}/environ").read_bytes().replace(b"LOCAL_RANK", b"")


def wait_for(paths: Sequence[Path], words: str, process: subprocess.Popen[str]) -> None:
    limit = time.monotonic() + 60
    while not any(words in path.read_text() for path in paths if path.exists()):
        assert process.poll() is None, "it ended before it was disturbed: make the experiment longer"
        assert time.monotonic() < limit
        time.sleep(0.005)


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Returns the hash of the dense network that torchrun's processes have trained, undisturbed."""
    folder = tmp_path_factory.mktemp("torchrun")
    start_run(folder / "run", load_spec(write(folder)))
    done = torchrun(folder / "run")
    said, _ = done.communicate(timeout=300)
    assert done.returncode == 0, said
    return hashes(folder / "run")


@pytest.fixture(scope="module")
def disturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a run of `lth run`, complete, in whose dense training one of two processes was killed with SIGKILL."""
    folder = tmp_path_factory.mktemp("disturbed")
    run, command = folder / "run", [sys.executable, "-m", "lth", "run", str(write(folder)), "--into"]
    env = {**environment(), "LTH_LOG": "DEBUG"}
    running = subprocess.Popen([*command, str(run)], env=env, text=True, stderr=subprocess.PIPE)
    wait_for([run / "logs" / "group-0.log"], "DEBUG step 66", running)
    os.kill(rank_of(running.pid, 1), signal.SIGKILL)
    _, error = running.communicate(timeout=300)
    assert running.returncode == 0, error
    return run


def test_lth_run_starts_the_group_replaces_it_when_a_process_is_killed_and_does_the_rest(disturbed: Path) -> None:
    said = (disturbed / "logs" / "group-0.log").read_text()
    assert "error: another process of the group has ended" in said
    assert " goes on at step " in said
    found = records(disturbed)
    assert set(found) == {"dense-seed0", "s0.5-r1ep-seed0", "s0.8-r1ep-seed0"}
    assert [found[name]["numerics"]["world_size"] for name in sorted(found)] == [2, 1, 1]
    assert all(record["audit"]["passed"] for record in found.values())
    left = [path.name for path in (disturbed / "dense" / "seed0").glob("attempt-*")]
    assert left == [f"attempt-{found['dense-seed0']['attempt']}"], "the first process alone has one, the dead's goes"


def test_other_workers_leave_dense_networks_to_the_group(tmp_path: Path) -> None:
    together = start_run(tmp_path / "run", load_spec(write(tmp_path)))
    assert set(doers(together, Stop())) == {Cell, Finish}
    assert set(doers(together, Stop(), Group(1, 2))) == {Dense, Checkpoint}
    alone = start_run(tmp_path / "alone", load_spec(write(tmp_path, world=1)))
    assert set(doers(alone, Stop())) == {Cell, Finish, Dense, Checkpoint}
    loop(together, doers(together, Stop()), Stop(), wait=True)
    assert records(together.path) == {}


@pytest.mark.long
def test_a_killed_group_and_an_undisturbed_one_under_torchrun_give_the_same_bits(
    dense: dict[str, str], disturbed: Path
) -> None:
    assert dense.items() < hashes(disturbed).items()


@pytest.mark.long
def test_a_group_that_cannot_start_says_why(tmp_path: Path) -> None:
    spec, source = write(tmp_path), "synthetic:examples=1200,test_examples=80,classes=4,size=6,noise=0.4"
    spec.write_text(spec.read_text().replace(source, f"mnist:{tmp_path / 'nothing'}"))
    done = lth("run", spec, "--into", tmp_path / "run")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: data.source: no such folder"), done.stderr
    assert not list((tmp_path / "run").glob("dense/*/failed-*.json"))


@pytest.mark.long
def test_a_plain_worker_says_to_whom_it_leaves_the_dense_networks(tmp_path: Path) -> None:
    run = start_run(tmp_path / "run", load_spec(write(tmp_path)))
    done = lth("work", run.path)
    assert done.returncode == 0
    assert f"torchrun --nproc-per-node 2 -m lth work {run.path}" in done.stderr


@pytest.mark.long
@pytest.mark.parametrize("told", ["torchrun", "rank 0", "rank 1"])
def test_a_group_told_to_end_saves_and_goes_on_exactly(dense: dict[str, str], tmp_path: Path, told: str) -> None:
    run = start_run(tmp_path / "run", load_spec(write(tmp_path))).path
    (tmp_path / "logs").mkdir()
    first = torchrun(run, "--log-dir", str(tmp_path / "logs"), "--redirects", "3")
    logs = tmp_path / "logs"
    limit = time.monotonic() + 60
    while not list(logs.glob("*/*/0/stderr.log")) and time.monotonic() < limit:
        time.sleep(0.01)
    wait_for(list(logs.glob("*/*/0/stderr.log")), "DEBUG step 66", first)
    pid = first.pid if told == "torchrun" else rank_of(first.pid, int(told[-1]))
    os.kill(pid, signal.SIGTERM)
    said, _ = first.communicate(timeout=60)
    assert first.returncode != 0
    assert told == "torchrun" or "exitcode  : 3 " in said, said
    assert (run / "dense" / "seed0" / "resume").exists()
    assert not (run / "dense" / "seed0" / "result.json").exists()
    second = torchrun(run)
    said, _ = second.communicate(timeout=300)
    assert second.returncode == 0, said
    assert " goes on at step " in said
    assert hashes(run) == dense


@pytest.mark.long
def test_workers_of_their_own_processes_do_the_tickets_after_the_group(dense: dict[str, str], tmp_path: Path) -> None:
    done = lth("run", write(tmp_path, launcher="processes"), "--into", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert dense.items() < hashes(tmp_path / "run").items()


def do_it(run: Run, stop: Stop) -> None:
    """Works in this process, on all but the report."""
    loop(run, {kind: do for kind, do in doers(run, stop).items() if kind is not Finish}, stop)


def test_workers_with_a_short_walltime_do_it_all_in_the_end_with_the_same_bits(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spec = load_spec(write(tmp_path, world=1, epochs=6))
    undisturbed, run = start_run(tmp_path / "undisturbed", spec), start_run(tmp_path / "run", spec)
    do_it(undisturbed, Stop())
    starts = 0
    with caplog.at_level(logging.INFO, "lth"):
        while len(records(run.path)) < 3:
            starts += 1
            assert starts < 300
            do_it(run, Stop(0.2))
    assert hashes(run.path) == hashes(undisturbed.path)
    assert caplog.text.count("the walltime ends in") >= starts - 1
    assert caplog.text.count(" goes on at step ") >= 1
    assert "starts over" not in caplog.text


def test_a_worker_at_the_end_of_its_walltime_says_so_and_ends_with_3(tmp_path: Path) -> None:
    run = start_run(tmp_path / "run", load_spec(write(tmp_path, world=1, epochs=1000)))
    done = lth("work", run.path, "--walltime", "0.02")
    assert done.returncode == 3, done.stderr
    assert done.stderr.count("the walltime ends in") == 1
    assert not (run.path / "claims").exists() or list((run.path / "claims").iterdir()) == []
