"""Ctrl-C, a dead worker, a full disk, damaged saved states, a loss that is not a number: nothing lost, same bits."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event

import pytest
from end_to_end.conftest import environment, hashes, lth, write_spec

from lth.experiment import doers
from lth.grid.unit import Cell, Dense
from lth.grid.work import loop
from lth.runs.layout import previous
from lth.runs.run import Run, start_run
from lth.spec.load import load_spec


def start(*words: str | Path) -> subprocess.Popen[str]:
    """Returns the running command `lth WORDS`."""
    command = [sys.executable, "-m", "lth", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(), text=True)


def test_processes_give_the_bits_of_local(finished: Path, tmp_path: Path) -> None:
    done = lth("run", write_spec(tmp_path, launcher="processes"), "--into", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert hashes(tmp_path / "run") == hashes(finished)


def test_ctrl_c_leaves_a_resumable_run_and_says_so(finished: Path, tmp_path: Path) -> None:
    spec = write_spec(tmp_path, launcher="processes")
    running = start("run", spec, "--into", tmp_path / "run")
    limit = time.monotonic() + 60
    while not list((tmp_path / "run").glob("dense/seed0/attempt-*/0ep.safetensors")) and time.monotonic() < limit:
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 3, said
    assert "Nothing is lost" in said
    assert f"lth run {spec} --into {tmp_path / 'run'}" in said
    again = lth("run", spec, "--into", tmp_path / "run")
    assert again.returncode == 0, again.stderr
    assert hashes(tmp_path / "run") == hashes(finished)


def test_a_worker_that_dies_is_replaced(finished: Path, tmp_path: Path) -> None:
    spec = write_spec(tmp_path, launcher="processes")
    running = start("run", spec, "--into", tmp_path / "run")
    limit = time.monotonic() + 60
    victim = None
    while victim is None and time.monotonic() < limit:
        for claim in (tmp_path / "run" / "claims").glob("[!.]*") if (tmp_path / "run").exists() else []:
            victim = json.loads(claim.read_text() or "{}").get("pid")
        time.sleep(0.01)
    assert victim is not None
    os.kill(victim, signal.SIGKILL)
    _, said = running.communicate(timeout=300)
    assert running.returncode == 0, said
    assert hashes(tmp_path / "run") == hashes(finished)


def test_a_nan_loss_marks_its_units_failed_with_the_step_and_leaves_the_others(tmp_path: Path) -> None:
    """Rewound to the start a huge learning rate diverges; the others' results stand."""
    spec = write_spec(tmp_path)
    text = (
        spec.read_text()
        .replace("lr = 0.1, momentum = 0.9", "lr = 1e30")
        .replace("guard_epochs = 2", "guard_epochs = 0")
    )
    spec.write_text(text)
    done = lth("run", spec, "--into", tmp_path / "run")
    assert done.returncode == 1
    assert "not a finite number" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    failure = json.loads((tmp_path / "run" / "dense" / "seed0" / "failed-1.json").read_text())
    assert failure["step"] is not None
    assert failure["final"]
    assert not (tmp_path / "run" / "dense" / "seed0" / "result.json").exists()


def test_a_network_that_does_not_learn_is_stopped_with_cause_and_cure(tmp_path: Path) -> None:
    spec = write_spec(tmp_path)
    spec.write_text(spec.read_text().replace("lr = 0.1, momentum = 0.9", "lr = 1e-9"))
    done = lth("run", spec, "--into", tmp_path / "run")
    assert done.returncode == 1
    assert re.search(r"not learning: validation top-1 .* the largest class alone gives .*Check the labels", done.stderr)
    assert not (tmp_path / "run" / "cells").exists()


FIRST = ("s0.5-r0-seed0", "s0.8-r0-seed0", "s0.95-r0-seed0", "s0.5-r1ep-seed0")  # four in lockstep


def work_until(run: Run, reached: Callable[[], bool]) -> None:
    """Returns when a worker in this process, told to stop as soon as `reached` says so, has stopped."""

    class Reached(Event):
        def is_set(self) -> bool:
            if not super().is_set() and reached():
                self.set()
            return super().is_set()

    stop = Reached()
    do = doers(run, stop)
    loop(run, {kind: do[kind] for kind in (Dense, Cell)}, stop)


def damaged(content: bytes) -> bytes:
    return content[: len(content) // 2] + bytes([content[len(content) // 2] ^ 0x40]) + content[len(content) // 2 + 1 :]


def test_a_damaged_saved_state_falls_back_to_the_one_before_and_two_to_the_start(
    finished: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Saved at every step, four tickets in lockstep are stopped; then one has both of its saved states, one the
    newest that is whole, one the one before, one none."""
    spec = write_spec(tmp_path)
    spec.write_text(spec.read_text().replace("checkpoint_epochs = 1", "checkpoint_seconds = 1e-9"))
    run = start_run(tmp_path / "run", load_spec(spec))
    saved = {name: run.layout.resume(f"cells/{name}") for name in FIRST}
    work_until(run, lambda: all(previous(path).exists() for path in saved.values()))
    assert {path.name for path in run.path.glob("cells/*/resume")} == {"resume"}
    assert not list(run.path.glob("cells/*/result.json"))
    intact, older, newer, none = FIRST
    previous(saved[older]).write_bytes(damaged(previous(saved[older]).read_bytes()))
    saved[newer].write_bytes(damaged(saved[newer].read_bytes()))
    saved[none].write_bytes(saved[none].read_bytes()[:-100])
    previous(saved[none]).write_bytes(b"")
    with caplog.at_level("INFO", "lth"):
        work_until(run, lambda: set(FIRST) <= hashes(run.path).keys())
    steps = {name: int(step) for name, step in re.findall(r"(\S+) goes on at step (\d+)", caplog.text)}
    assert steps.keys() == {intact, older, newer}
    assert steps[newer] == steps[intact] - 1 == steps[older] - 1, "saved at every step"
    warned = re.findall(r"(\S+): the saved state (\S+) is unusable \(damaged", caplog.text)
    assert warned == [(newer, "resume"), (none, "resume"), (none, "resume-previous")]
    assert {name: hashes(run.path)[name] for name in FIRST} == {name: hashes(finished)[name] for name in FIRST}
