"""Workers killed at random moments, Ctrl-C, a full disk, a loss that is not a number: nothing lost, same bits."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from end_to_end.conftest import environment, hashes, lth, records, write_spec

from lth.runs.run import start_run
from lth.spec.load import load_spec

LONG = os.environ.get("LTH_ALL", "0") not in ("", "0")
KILLS = 20 if LONG else 3


def start(*words: str | Path, log: Path | None = None) -> subprocess.Popen[str]:
    """Returns the running command `lth WORDS`, its stderr appended to `log` or piped."""
    command = [sys.executable, "-m", "lth", *map(str, words)]
    options = {"env": {**environment(), "LTH_LOG": "DEBUG"}, "text": True, "stdout": subprocess.PIPE}
    if log is None:
        return subprocess.Popen(command, stderr=subprocess.PIPE, **options)
    with open(log, "a") as heard:
        return subprocess.Popen(command, stderr=heard, **options)


def steps_in(log: str) -> list[tuple[str, int]]:
    """Returns every (unit, step) at which the log says a network stood at the end of an epoch."""
    lines = re.findall(r"DEBUG step (\d+): (.*)", log)
    return [(name, int(step)) for step, names in lines for name in names.split()]


def test_workers_killed_at_random_moments_lose_nothing(tmp_path: Path) -> None:
    """`lth work` is killed with SIGKILL in mid-training, again and again; every hash is that of the undisturbed run.

    Repeated work is bounded: with a checkpoint at every epoch's end, a kill repeats at most the epoch it struck
    for each of the tickets in lockstep. The first kill comes as soon as one of sixteen epochs is done, so that at
    least one training must be resumed.
    """
    draw, run, log = random.Random(7), tmp_path / "run", tmp_path / "log"
    spec, undisturbed = write_spec(tmp_path, epochs=16), tmp_path / "undisturbed"
    assert lth("run", spec, "--into", undisturbed).returncode == 0
    start_run(run, load_spec(spec))
    log.touch()
    for kill in range(KILLS):
        worker = start("work", run, "--wait", log=log)
        _wait_until_it_trains(worker, log)
        time.sleep(draw.uniform(0.0, 0.1) if kill else 0.0)
        assert worker.poll() is None, "all was done before this kill: make the experiment longer"
        worker.send_signal(signal.SIGKILL)
        worker.communicate()
    assert len(records(run)) < len(records(undisturbed))
    last = start("work", run, "--wait", log=log)
    last.communicate(timeout=300)
    assert last.returncode == 0, log.read_text()
    assert hashes(run) == hashes(undisturbed)
    assert all(record["audit"]["passed"] for record in records(run).values())
    said = log.read_text()
    assert "starts over" not in said
    assert " goes on at step " in said
    stood = steps_in(said)
    repeated = len(stood) - len(set(stood))
    assert repeated <= KILLS * 4, "more than one epoch of the four tickets in lockstep was repeated for a kill"


def _wait_until_it_trains(worker: subprocess.Popen[str], log: Path) -> None:
    """Returns when the worker has trained an epoch more than its predecessors."""
    before, limit = log.read_text().count("DEBUG step"), time.monotonic() + 60
    while log.read_text().count("DEBUG step") == before:
        assert worker.poll() is None, log.read_text()
        assert time.monotonic() < limit
        time.sleep(0.005)


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


@pytest.mark.skipif(os.geteuid() != 0, reason="NO SMALL DISK: only root can mount one to fill up")
def test_a_disk_that_fills_up_is_said_and_the_run_goes_on_when_there_is_room(finished: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "lth-test", str(small)], capture_output=True)
    if mounted.returncode:
        pytest.skip("NO SMALL DISK: this machine does not allow mounting a tmpfs")
    try:
        spec = write_spec(tmp_path)
        full = lth("run", spec, "--into", small / "run")
        assert full.returncode == 2
        assert "the disk or the quota is full" in full.stderr
        assert "Free some space" in full.stderr
        assert "Traceback" not in full.stderr
        before = hashes(small / "run")
        assert before.items() <= hashes(finished).items()
        subprocess.run(["mount", "-o", "remount,size=200m", str(small)], check=True)
        again = lth("run", spec, "--into", small / "run")
        assert again.returncode == 0, again.stderr
        assert hashes(small / "run") == hashes(finished)
    finally:
        subprocess.run(["umount", str(small)], check=True)
