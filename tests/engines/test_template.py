"""Jobs submitted by a command of one's own do the grid: one after the other, side by side, taken back and gone on."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from engines.grid import UNITS, check_whole, hashes, lth, records, write_spec

SUBMIT = Path(__file__).parents[2] / "examples" / "submit"
AWAY = 'submit = "setsid nohup sh {script} >/dev/null 2>&1 & echo $!"\ncancel = "kill {id}"\n'
DEADLINE = 300.0


def spec_of(folder: Path, lines: str, epochs: int = 4) -> Path:
    """Returns the spec of the common grid, to be submitted with a copy of examples/submit/anywhere.sh."""
    script = folder / "job.sh"
    script.write_text((SUBMIT / "anywhere.sh").read_text())
    return write_spec(folder, "template", more=f'[execute.template]\nfile = "{script}"\n{lines}', epochs=epochs)


def finished(spec: Path, run: Path) -> None:
    """Waits for the grid, submitting whenever something is ready that nobody is at, as a user would."""
    limit = time.monotonic() + DEADLINE
    while not any((run / "winner").glob("*/result.json")):
        assert time.monotonic() < limit, sorted(records(run))
        done = lth("run", spec, "--into", run)
        assert done.returncode == 0, done.stderr
        time.sleep(0.5)


def ended(run: Path) -> None:
    """Waits until the processes that were submitted are gone."""
    limit = time.monotonic() + 60
    rows = [json.loads(line) for line in (run / "template" / "submitted.jsonl").read_text().splitlines()]
    while any(_runs(int(row["id"])) for row in rows):
        assert time.monotonic() < limit
        time.sleep(0.1)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_submit_command_that_does_the_work_itself(undisturbed: dict[str, str], tmp_path: Path) -> None:
    spec, run = spec_of(tmp_path, 'submit = "sh {script}"\n'), tmp_path / "run"
    tried = lth("run", spec, "--into", run, "--dry-run")
    assert tried.returncode == 0, tried.stderr
    assert tried.stdout.endswith(f"\nwould run: sh {run}/template/job-1.sh\n")  # after the plan
    assert records(run) == {}
    told = lth("run", spec, "--into", run, "--json")
    assert told.stderr.startswith(f"sh {run}/template/job-1.sh: done\n")
    assert json.loads(told.stdout)["done"] == 10
    check_whole(run, undisturbed)
    again = lth("run", spec, "--into", run)
    assert "ticket: " in again.stdout  # the outcome, for there is nothing to submit


@pytest.mark.long
def test_two_jobs_that_wait_for_each_other(undisturbed: dict[str, str], tmp_path: Path) -> None:
    spec, run = spec_of(tmp_path, f"{AWAY}wait = true\n"), tmp_path / "run"
    began = time.monotonic()
    done = lth("run", spec, "--into", run)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 3
    assert time.monotonic() - began < 30  # it does not stay for the work
    limit = time.monotonic() + DEADLINE
    while not any((run / "winner").glob("*/result.json")):
        assert time.monotonic() < limit, sorted(records(run))
        time.sleep(0.2)
    ended(run)
    check_whole(run, undisturbed)


@pytest.mark.long
def test_jobs_that_are_cancelled_save_and_the_same_command_goes_on(tmp_path: Path) -> None:
    spec, run = spec_of(tmp_path, AWAY, epochs=60), tmp_path / "run"
    done = lth("run", spec, "--into", run)
    assert done.returncode == 0, done.stderr
    resume, limit = run / "dense" / "seed0" / "resume", time.monotonic() + DEADLINE
    while not resume.exists() and not records(run):
        assert time.monotonic() < limit, done.stdout
        time.sleep(0.05)
    again = lth("run", spec, "--into", run, "--json")
    assert json.loads(again.stdout)["submission"][0] == "nothing is ready that nobody is at; the same command later"
    said = lth("cancel", run)
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith("kill ")
    ended(run)
    assert os.listdir(run / "claims") == []
    assert len(records(run)) < UNITS
    finished(spec, run)
    ended(run)
    whole = lth("run", spec_of(tmp_path, 'submit = "sh {script}"\n', epochs=60), "--into", tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr
    assert len(records(run)) == UNITS
    assert hashes(run) == hashes(tmp_path / "whole")
