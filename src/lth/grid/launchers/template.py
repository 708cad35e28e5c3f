"""Workers in jobs of any scheduler, which a submit script and a submit command of the user's own start."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

from lth.errors import RunError
from lth.grid.launchers.script import write_scripts
from lth.grid.next import ready
from lth.runs.files import atomic_write, jsonl
from lth.runs.run import Run, now
from lth.spec.template import BRACES, Template

ID = re.compile(r"[^\s<>]*\d[^\s<>,;\"']*")  # "1234.pbs01", "Job <77> is submitted", "Submitted batch job 9"


def submit(run: Run, dry_run: bool) -> list[str]:
    """Returns a line for each script: the command that submitted it, or in a `dry_run` would, and what that said.

    As many workers are submitted as units are ready that nobody is at, at most `execute.workers`; with `wait` all
    workers. Raises SpecError where the script cannot be filled in, RunError where a submission fails;
    those before it are on record in `template/submitted.jsonl`.
    """
    template = _template(run)
    scripts = write_scripts(run, template, workers_wanted(run))
    lines = [] if scripts else ["nothing is ready that nobody is at; the same command later"]
    for script in scripts:
        command = _command(template.submit, run, script)
        if dry_run:
            lines.append(f"would run: {command}")
            continue
        said = _submitted(command, script)
        row = {"at": now(), "script": script.name, "command": command, "said": said, "id": _id(said)}
        atomic_write(_log(run), jsonl([*submissions(run), row]))
        lines.append(f"{command}: {_last_line(said) or 'done'}")
    return lines if dry_run else [*lines, f"watch: lth status {run.path}"]


def cancel(run: Run) -> list[str]:
    """Returns a line for each submission taken back, with what the scheduler said.

    It may not know a job that has ended. Raises RunError where the spec does not say how to cancel.
    """
    template, rows = _template(run), submissions(run)
    waiting = [row for row in rows if "cancelled_at" not in row]
    if waiting and template.cancel is None:
        ids = ", ".join(row["id"] or row["script"] for row in waiting)
        cure = f'Add it, for example cancel = "qdel {{id}}", and `lth run` again; or cancel by hand: {ids}'
        raise RunError("the spec does not say how to cancel", at="execute.template.cancel", cure=cure)
    lines: list[str] = []
    for row in waiting:
        command = _command(template.cancel or "", run, run.path / "template" / row["script"], row["id"] or "")
        done = _shell(command)
        said = _last_line(done.stdout + done.stderr)
        lines.append(f"{command}: {said or ('done' if done.returncode == 0 else f'exit code {done.returncode}')}")
        row["cancelled_at"] = now()
        atomic_write(_log(run), jsonl(rows))
    return lines


def workers_wanted(run: Run) -> int:
    """Returns how many workers would have something to do now; with `wait`, all that the spec asks for."""
    workers = run.spec.execute.workers
    assert isinstance(workers, int)  # a rule of the spec
    if _template(run).wait:
        return workers
    taken = set(run.claims().running())
    return min(workers, sum(unit.id not in taken for unit in ready(run.spec, run.results())))


def submissions(run: Run) -> list[dict[str, Any]]:
    """Returns what was submitted so far: `at` when, which `script`, the `command`, what it `said`, the job's `id`."""
    path = _log(run)
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _template(run: Run) -> Template:
    template = run.spec.execute.template
    assert template is not None  # a rule of the spec
    return template


def _log(run: Run) -> Path:
    return run.path / "template" / "submitted.jsonl"


def _command(command: str, run: Run, script: Path, job: str = "") -> str:
    values = {"script": str(script.resolve()), "name": run.spec.name, "id": job}
    return BRACES.sub(lambda found: shlex.quote(values[found[1]]), command)


def _shell(command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, shell=True, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace"
    )


def _submitted(command: str, script: Path) -> str:
    """What the submit command printed; nothing is tried twice, for the scheduler might have both."""
    done = _shell(command)
    if done.returncode == 0:
        return done.stdout.strip()
    words = _last_line(done.stderr) or _last_line(done.stdout) or "it said nothing"
    cure = f"The command was: {command}. Mend it and run the same again; what was submitted before stays."
    raise RunError(f"submitting failed with exit code {done.returncode}: {words}", at=script, cure=cure)


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2]


def _id(said: str) -> str | None:
    found = ID.search(said)
    return found[0] if found else None
