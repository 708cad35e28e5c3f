"""Killed with SIGKILL at random moments, again and again: the same bits in the end, and little was done twice."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

import pytest
from end_to_end.conftest import environment, hashes, records

from lth.experiment import doers
from lth.grid.unit import Cell, Dense
from lth.grid.work import loop
from lth.runs.run import start_run
from lth.spec.load import load_spec

LONG = os.environ.get("LTH_ALL", "0") not in ("", "0")
KILLS = 20 if LONG else 2
TOGETHER, BATCH, EPOCH = 4, 30, 15  # tickets in lockstep, examples a batch, steps an epoch
SPEC = """
name = "killed"
[data]
source = "synthetic:examples=600,test_examples=100,classes=4,size=6,noise=0.4"
batch_size = {batch}
validation = {{ fraction = 0.25 }}
[model]
name = "counted:Counted"
[train]
epochs = {epochs}
optimizer = {{ name = "sgd", lr = 0.05, momentum = 0.9 }}
evaluate_every = "5ep"
guard_epochs = 0
[grid]
sparsities = [0.5, 0.8]
rewind = ["0", "1ep"]
{controls}
[execute]
launcher = "{launcher}"
workers = 2
tickets_per_worker = {together}
{pace}
"""
COUNTED = """
import os
import time

from torch import nn


class Counted(nn.Sequential):
    def __init__(self):
        hidden = nn.Linear(36, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Dropout(0.2)
        super().__init__(nn.Flatten(), *hidden, nn.Linear(24, 4))

    def forward(self, x):
        if self.training and len(x) == BATCH:
            with open(os.environ["STEPS_TAKEN"], "a") as steps:
                steps.write(f"{os.getpid()} {time.monotonic()!r}\\n")
        return super().forward(x)
"""


@dataclass
class World:
    """A folder with a spec, whose network writes down every step it takes: process and moment."""

    folder: Path
    seconds: float | None
    killed: set[int] = field(default_factory=set)

    def write(self, *, epochs: int, launcher: str = "local", controls: str = "") -> Path:
        pace = "checkpoint_epochs = 1" if self.seconds is None else f"checkpoint_seconds = {self.seconds}"
        (self.folder / "counted.py").write_text(COUNTED.replace("BATCH", str(BATCH)))
        spec = self.folder / f"{launcher}.toml"
        wanted = {"epochs": epochs, "launcher": launcher, "controls": controls, "pace": pace}
        spec.write_text(SPEC.format(batch=BATCH, together=TOGETHER, **wanted))
        return spec

    def environment(self, steps: str) -> dict[str, str]:
        more = {"PYTHONPATH": str(self.folder), "STEPS_TAKEN": str(self.folder / steps), "LTH_LOG": "INFO"}
        return {**environment(), **more}

    def start(self, *words: str | Path) -> subprocess.Popen[bytes]:
        """Returns the running command `lth WORDS`, its stderr appended to `log`, its steps to `steps`."""
        with open(self.folder / "log", "a") as log:
            command = [sys.executable, "-m", "lth", *map(str, words)]
            return subprocess.Popen(command, stdout=log, stderr=log, env=self.environment("steps"))

    def steps(self) -> list[tuple[int, float]]:
        """Returns process and moment of every step taken so far."""
        path = self.folder / "steps"
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        pairs = [line.split() for line in lines if line.endswith("\n")]
        return [(int(pid), float(moment)) for pid, moment in pairs]

    def kill(self, *pids: int) -> None:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
                os.kill(pid, signal.SIGKILL)
                self.killed.add(pid)

    def said(self, run: Path) -> str:
        """Returns all that the workers said."""
        return "".join(path.read_text() for path in [self.folder / "log", *run.glob("logs/*.log")])

    def undisturbed(self, spec: Path, patch: pytest.MonkeyPatch) -> dict[str, str]:
        """Returns the hashes of a run that one worker, in this process, does without a break."""
        patch.syspath_prepend(self.folder)
        patch.setenv("STEPS_TAKEN", str(self.folder / "undisturbed-steps"))
        run, stop = start_run(self.folder / "undisturbed", load_spec(spec)), Event()
        do = doers(run, stop)
        loop(run, {kind: do[kind] for kind in (Dense, Cell)}, stop)
        return hashes(run.path)


def workers(running: subprocess.Popen[bytes]) -> list[int]:
    """Returns the process and those it started."""
    listed = Path(f"/proc/{running.pid}/task/{running.pid}/children")
    return [running.pid, *map(int, listed.read_text().split() if listed.exists() else ())]


def wait_for_steps(world: World, running: subprocess.Popen[bytes]) -> None:
    """Returns when a worker that was not killed has taken a step."""
    limit = time.monotonic() + 60
    while not {pid for pid, _ in world.steps()} & set(workers(running)) - world.killed:
        assert running.poll() is None, "all was done before this kill: make the experiment longer"
        assert time.monotonic() < limit
        time.sleep(0.01)


def wait_for_saves(run: Path, running: subprocess.Popen[bytes]) -> None:
    """Returns when all that is being trained was saved since it was claimed: two deaths without would give it up."""
    limit = time.monotonic() + 60
    while not all(map(saved, run.glob("claims/[!.]*"))):
        assert running.poll() is None, "all was done before this kill: make the experiment longer"
        assert time.monotonic() < limit
        time.sleep(0.01)


def saved(claim: Path) -> bool:
    """Returns whether a training was saved since it was claimed; True for what is not saved or no longer claimed."""
    unit, root = claim.name, claim.parents[1]
    folder = root / "dense" / unit.removeprefix("dense-") if unit.startswith("dense") else root / "cells" / unit
    try:
        return unit.startswith("finish") or (folder / "resume").stat().st_mtime_ns > claim.stat().st_mtime_ns
    except FileNotFoundError:
        return not claim.exists()


def check_repeated_work(world: World, run: Path) -> None:
    """Asserts that no more was done twice than what each killed process did since its last save.

    By time: after a save at s, a round of steps, one of each ticket, goes before each look at the clock. All rounds
    but the last were followed by a look that found less than `seconds` passed since s: so the step so many
    places before the last as there are tickets was taken before s + seconds, and what was repeated, after s.
    """
    steps = world.steps()
    needed = sum(record["last_step"] - record["first_step"] for record in records(run).values())
    bound = 0
    for pid in world.killed:
        times = [moment for owner, moment in steps if owner == pid]
        if world.seconds is None:
            bound += min(len(times), TOGETHER * EPOCH)
        elif times:
            since = times[max(0, len(times) - TOGETHER - 1)] - world.seconds
            bound += sum(moment > since for moment in times)
    repeated = len(steps) - needed
    print(f"{needed} steps needed, {repeated} repeated, at most {bound} expected, {len(world.killed)} processes killed")
    assert 0 <= repeated <= bound
    assert bound < needed


def check_resumed(said: str, *, within_an_epoch: bool) -> None:
    """Asserts that trainings went on where they were saved, none from a damaged state."""
    steps = [int(step) for step in re.findall(r" goes on at step (\d+)", said)]
    assert any(step % EPOCH for step in steps) == within_an_epoch
    assert steps
    assert "unusable" not in said


@pytest.mark.parametrize("seconds", [0.02, pytest.param(None, marks=pytest.mark.long)])
def test_workers_killed_at_random_moments_lose_no_more_than_since_their_last_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float | None
) -> None:
    """Every hash is that of the undisturbed run, whether saved by time, in mid-epoch, or at every epoch's end."""
    world, draw, run = World(tmp_path, seconds), random.Random(7), tmp_path / "run"
    spec = world.write(epochs=40 * (1 + KILLS // 3))
    expected = world.undisturbed(spec, monkeypatch)
    start_run(run, load_spec(spec))
    for _ in range(KILLS):
        worker = world.start("work", run, "--wait")
        wait_for_steps(world, worker)
        time.sleep(draw.uniform(0.02, 0.2))
        wait_for_saves(run, worker)
        assert worker.poll() is None, "all was done before this kill: make the experiment longer"
        world.kill(worker.pid)
        worker.wait()
    last = world.start("work", run, "--wait")
    assert last.wait(300) == 0, world.said(run)
    assert hashes(run) == expected
    assert all(record["audit"]["passed"] for record in records(run).values())
    check_repeated_work(world, run)
    check_resumed(world.said(run), within_an_epoch=seconds is not None)


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="NO /proc: the workers cannot be found")
@pytest.mark.parametrize(("launcher", "epochs"), [("local", 200), ("processes", 400)])
def test_a_run_killed_at_random_moments_gives_the_bits_of_an_undisturbed_local_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, launcher: str, epochs: int
) -> None:
    """Twenty kills: of a worker, which is replaced; of all processes at once; of the first, whose workers then end."""
    world, draw, run = World(tmp_path, 0.05), random.Random(11), tmp_path / "run"
    controls = 'controls = ["shuffled_mask", "random_mask", "reinit"]\ncontrols_at = "all"'
    expected = world.undisturbed(world.write(epochs=epochs, controls=controls), monkeypatch)
    spec = world.write(epochs=epochs, controls=controls, launcher=launcher)
    running = world.start("run", spec, "--into", run)
    for kill in range(20):
        wait_for_steps(world, running)
        time.sleep(draw.uniform(0.0, 0.3))
        wait_for_saves(run, running)
        first, *started = workers(running)
        if started and kill % 3 == 0:
            world.kill(draw.choice(started))
            continue
        world.kill(first, *(started if kill % 3 == 1 else ()))
        running.wait()
        running = world.start("run", spec, "--into", run)
    assert running.wait(300) == 0, world.said(run)
    assert hashes(run) == expected
    check_repeated_work(world, run)
    check_resumed(world.said(run), within_an_epoch=True)
