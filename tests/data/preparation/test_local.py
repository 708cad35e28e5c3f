"""The local engine: any number of processes, none of which outlives the command or changes a byte."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from data.prepared import RAW, hashes, image_folder, prepared

from lth.data.preparation.local import local_engine
from lth.data.preparation.prepare import prepare
from lth.data.preparation.task import Task
from lth.errors import DataError, RunError


def command(source: str, out: Path, *more: object) -> list[str]:
    words = [sys.executable, "-m", "lth", "data", "prepare", source, str(out), "--size", "48", "--max-failures", "1"]
    return [*words, *map(str, more)]


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_the_number_of_processes_changes_no_byte(tmp_path: Path, workers: int) -> None:
    source = image_folder(tmp_path / "images", 200, bad=[9])
    prepared(source, tmp_path / "a", max_failures=1)
    with local_engine(workers) as run:
        summary = prepare(source, tmp_path / "b", RAW, run=run, max_failures=1)
    assert summary.images == 209
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")


def test_no_process_is_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--workers: out of range"), local_engine(0):
        pass


def test_what_a_worker_raises_is_raised_here(tmp_path: Path) -> None:
    source = image_folder(tmp_path / "images", 200)

    def gone(tasks: Sequence[Task]):
        Path(tasks[1].entries[0].path).unlink()
        with local_engine(2) as run:
            yield from run(tasks)

    with pytest.raises(DataError, match=r"\d{5}\.jpg"):
        prepare(source, tmp_path / "out", RAW, run=gone)
    assert not list(tmp_path.rglob(".*.tmp"))


def test_a_worker_that_is_killed_is_reported(tmp_path: Path) -> None:
    source = image_folder(tmp_path / "images", 600, side=100)
    children = Path(f"/proc/self/task/{os.getpid()}/children")

    def told(_: object) -> None:
        for child in children.read_text().split():
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                os.kill(int(child), signal.SIGKILL)

    with (
        local_engine(2) as run,
        pytest.raises(RunError, match=r"worker process was killed.*Run the same command again"),
    ):
        prepare(source, tmp_path / "out", RAW, run=run, told=told)
    before = hashes(tmp_path / "out.partial" / "data")
    assert prepared(source, tmp_path / "out").images < 609
    assert before.items() <= hashes(tmp_path / "out").items()


def count(out: Path) -> int:
    """Returns how many shards of an unfinished preparation there are."""
    return sum(1 for _ in out.with_name(f"{out.name}.partial").glob("records/*/shard-*.json"))


def started(words: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def until(process: subprocess.Popen[str], out: Path, shards: int) -> None:
    """Returns when so many shards are there, or the process has ended."""
    while process.poll() is None and count(out) < shards:
        time.sleep(0.005)


def ended(process: subprocess.Popen[str]) -> str:
    """Returns what a process wrote to stderr, as soon as it and its workers, who hold that file too, are gone."""
    return process.communicate(timeout=60)[1]


def killed(source: str, out: Path, kills: int, draws: random.Random) -> int:
    """Returns how often a preparation of `out` was killed before it ended."""
    hits = 0
    for _ in range(kills):
        process = started(command(source, out, "--workers", 2))
        if draws.random() < 0.7:
            until(process, out, count(out) + draws.randrange(2))
            time.sleep(draws.random() * 0.1)
        else:
            time.sleep(draws.random())
        kill = os.killpg if draws.random() < 0.5 else os.kill  # with its workers, or alone
        if process.poll() is None:
            kill(process.pid, signal.SIGKILL)
            hits += 1
        ended(process)
    return hits


def test_killed_three_times_it_comes_to_the_same_bytes(tmp_path: Path) -> None:
    source = image_folder(tmp_path / "images", 300, bad=[9], side=200)
    process = started(command(source, tmp_path / "a"))
    assert process.wait(timeout=120) == 0, ended(process)
    ended(process)
    assert killed(source, tmp_path / "b", 3, random.Random(1))
    assert subprocess.run(command(source, tmp_path / "b"), capture_output=True).returncode == 0
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "images"]


@pytest.mark.long
def test_killed_twenty_times_it_comes_to_the_same_bytes(tmp_path: Path) -> None:
    source = image_folder(tmp_path / "images", 4000, bad=[9], side=300)
    assert subprocess.run(command(source, tmp_path / "a"), capture_output=True).returncode == 0
    assert killed(source, tmp_path / "b", 20, random.Random(2)) >= 15
    assert subprocess.run(command(source, tmp_path / "b"), capture_output=True).returncode == 0
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_told_to_stop_it_stops_at_once_and_goes_on_later(tmp_path: Path, number: signal.Signals) -> None:
    source = image_folder(tmp_path / "images", 1500, side=250)
    process = started(command(source, tmp_path / "out", "--workers", 2))
    until(process, tmp_path / "out", 2)
    os.killpg(process.pid, number) if number == signal.SIGINT else process.terminate()
    said = ended(process)
    assert process.returncode == 3, said
    assert "stopped; the same command goes on from here" in said
    assert "Traceback" not in said
    assert not list(tmp_path.rglob(".*.tmp"))
    assert not list((tmp_path / "out.partial" / "claims").iterdir()), "the claim is free again"
    assert count(tmp_path / "out") >= 2


def test_preparing_needs_no_torch_and_little_memory(tmp_path: Path) -> None:
    source = image_folder(tmp_path / "images", 600, side=100)
    program = f"""
import json, resource, sys
from pathlib import Path
from lth.data.preparation.prepare import prepare
from lth.data.preparation.local import local_engine
from lth.data.preparation.task import Recipe
with local_engine(2) as run:
    prepare({source!r}, Path({str(tmp_path / "out")!r}), Recipe(64, "center", "raw", None), run=run)
worker = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(json.dumps([worker, "torch" in sys.modules]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    worker, torch = json.loads(done.stdout)
    assert not torch
    assert worker < 200_000, "kB of the largest worker; torch alone takes more"
