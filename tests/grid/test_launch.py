"""The event at which workers end: signals, the walltime and its margins, and what launchers make of exit codes."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from pathlib import Path

import pytest
from grid.worlds import small_spec

from lth.errors import RunError
from lth.grid.launch import expect, stopping
from lth.grid.launchers.worker import Worker, end, start
from lth.grid.stop import JOB_END, Stop, walltime
from lth.runs.run import start_run


@pytest.fixture(autouse=True)
def no_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(JOB_END, raising=False)


@pytest.mark.parametrize(
    ("seconds", "save", "margin"),
    [(3600, 0.0, 5.0), (3600, 1.0, 5.0), (3600, 20.0, 60.0), (3600, 1000.0, 360.0), (6, 0.1, 0.6), (None, 9.0, 0.0)],
)
def test_a_margin_is_three_saves_at_least_5_s_and_at_most_a_tenth(
    seconds: float | None, save: float, margin: float
) -> None:
    stop = Stop(seconds)
    stop.saved(save)
    stop.saved(save / 2)
    assert stop.margin() == pytest.approx(margin)


def test_nothing_begins_in_the_last_two_margins_and_a_training_goes_on_until_the_last(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = time.monotonic()
    monkeypatch.setattr("lth.grid.stop.time.monotonic", lambda: now)
    stop, early = Stop(100.0), Stop(100.0)
    monkeypatch.setattr("lth.grid.stop.time.monotonic", lambda: now + 90.1)
    assert not stop.urgent()
    assert not Stop(None).is_set()
    with caplog.at_level(logging.WARNING, "lth"):
        assert early.is_set()
        assert early.is_set()
    assert [record.getMessage() for record in caplog.records] == [
        "the walltime ends in 9.9 s: this worker saves its work and ends"
    ]
    monkeypatch.setattr("lth.grid.stop.time.monotonic", lambda: now + 95.1)
    assert stop.urgent()
    assert stop.is_set()


def test_nothing_begins_where_the_walltime_does_not_cover_a_start_and_two_margins(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A start of 40 s and saves of 2 s, measured by others: 100 s are enough and 50 s are not."""
    run = start_run(tmp_path / "run", small_spec())
    measured = {"start": {"seconds": 40.0}, "save": {"seconds": 2.0}}
    run.layout.facts.write_text(json.dumps({"dataset_id": "x", "measured": measured}))
    enough, short, trained, unknown = Stop(100.0), Stop(50.0), Stop(50.0), Stop(50.0)
    for stop in (enough, short, trained):
        assert expect(stop, run) == {"start": 40.0, "save": 2.0}
    assert enough.margin() == 6.0
    assert not trained.urgent()  # asked after its first step: it has started
    assert trained.first_step is not None
    with caplog.at_level(logging.ERROR, "lth"):
        assert [stop.is_set() for stop in (enough, short, trained, unknown)] == [False, True, False, False]
    (told,) = [record.getMessage() for record in caplog.records]
    assert told == "50 s are too short to begin: a start takes 40 s here, and 10 s are kept free for saving"
    assert not short.warned  # no job that follows would fare better


def test_the_walltime_is_the_earlier_of_the_option_and_the_job_s_end(monkeypatch: pytest.MonkeyPatch) -> None:
    assert walltime(None) is None
    assert walltime(1.5) == 90.0
    monkeypatch.setenv(JOB_END, str(int(time.time()) + 600))
    assert walltime(None) == pytest.approx(600, abs=2)
    assert walltime(1.5) == 90.0
    assert walltime(100.0) == pytest.approx(600, abs=2)
    monkeypatch.setenv(JOB_END, "1")
    assert walltime(None) == 0.0
    monkeypatch.setenv(JOB_END, "soon")
    with pytest.raises(RunError, match=r"SLURM_JOB_END_TIME: not a time in seconds.*'soon'.*Unset it"):
        walltime(None)


def test_a_signal_sets_the_event_and_the_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stopping() as stop:
        assert not stop.is_set()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.wait(5)
        assert stop.is_set()
        assert stop.urgent()
    assert signal.getsignal(signal.SIGTERM) is before


def run_as(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str) -> Worker:
    """Returns a started "worker" whose interpreter is a shell script."""
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{program}\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    return start(start_run(tmp_path / "run", small_spec()), "one", "--wait", environment={"RANK": "3"})


def test_a_worker_is_told_apart_by_its_name_and_its_last_words_are_of_this_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run_as(tmp_path, monkeypatch, 'echo "error: no data\n  here"; echo bye; exit 2')
    assert first.process.wait() == 2
    assert first.log == tmp_path / "run" / "logs" / "one.log"
    assert first.last_words() == "no data\n  here"
    second = run_as(tmp_path, monkeypatch, 'echo "$@ rank $RANK threads $OMP_NUM_THREADS"')
    assert second.process.wait() == 0
    said = f"-m lth work {tmp_path / 'run'} --parent {os.getpid()} --wait rank 3 threads 1"
    assert second.last_words() == said
    third = run_as(tmp_path, monkeypatch, "true")
    third.process.wait()
    assert third.last_words() == "it said nothing"


def test_workers_are_told_to_end_and_killed_where_they_do_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deaf = run_as(tmp_path, monkeypatch, "trap '' TERM; echo deaf; while true; do sleep 0.1; done")
    limit = time.monotonic() + 20
    while "deaf" not in deaf.last_words() and time.monotonic() < limit:
        time.sleep(0.01)
    end([deaf], seconds=0.3)
    assert deaf.process.returncode == -signal.SIGKILL
