"""`lth run` where a scheduler starts the workers: what was submitted, or how it ended; and `lth cancel`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from lth.cli.inspect import AsJson, Directory
from lth.cli.work import emit

if TYPE_CHECKING:
    from lth.spec.schema import Spec


def submission(wanted: Spec, text: str, path: Path, *, dry_run: bool, as_json: bool) -> None:
    """Returns nothing; submits what is ready in the run directory at `path` and says so, at once.

    In a `dry_run` scripts are written and nothing is submitted. Of a run that is complete the outcome is printed,
    and the exit code is 1 where units failed.
    """
    from lth.cli.tables import show_failures, show_outcome
    from lth.grid.launch import submit
    from lth.grid.status import status
    from lth.runs.run import start_run

    here = start_run(path, wanted, text)
    seen = status(here)
    if seen.complete:
        show_outcome(here, seen, as_json)
    else:
        lines = submit(here, dry_run)
        if as_json:
            emit({**seen.as_json(), "submitted": not dry_run, "lines": lines, "directory": str(path)})
        else:
            scripts = f"; scripts in {path / wanted.execute.launcher}, nothing submitted" if dry_run else ""
            print(f"lth run: {wanted.name} in {path}{scripts}", file=sys.stderr)
            print("\n".join(lines))
            if not dry_run:
                print(f"See how far it is:\n  lth status {path}", file=sys.stderr)
    if seen.failures:
        show_failures(seen)
        raise typer.Exit(1)


def cancel(directory: Directory, as_json: AsJson = False) -> None:
    """Take back the jobs that `lth run` submitted. What they have finished stays; `lth run` goes on from there."""
    from lth.errors import RunError
    from lth.grid.launchers import CANCELLERS
    from lth.runs.run import open_run

    here = open_run(directory)
    launcher = here.spec.execute.launcher
    if launcher not in CANCELLERS:
        cure = "Press Ctrl-C where `lth run` runs; it saves its work and ends."
        raise RunError("this launcher submits no jobs", at=here.path, value=launcher, cure=cure)
    lines = CANCELLERS[launcher](here)
    if as_json:
        return emit({"cancelled": lines})
    print("\n".join(lines) or "nothing was submitted that is not cancelled already")
