"""The commands that look: init, scope, status, select, report."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lth.cli.work import Sets, emit

if TYPE_CHECKING:
    from lth.runs.run import Run

Directory = Annotated[str, typer.Argument(help="A run directory.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]


def init(
    preset: Annotated[str | None, typer.Argument(help="The preset; without it, the list of them.")] = None,
) -> None:
    """Print a commented spec to start from: lth init digits_lenet > my.toml"""
    from lth.spec.presets import PRESETS, preset_text

    if preset is None:
        for name, purpose in PRESETS.items():
            print(f"{name:<16} {purpose}")
        return
    sys.stdout.write(preset_text(preset))


def scope(spec: Annotated[str, typer.Argument(help="The spec.")], set_: Sets = None, as_json: AsJson = False) -> None:
    """Explain which layers a spec prunes, and why not the others."""
    from lth.cli.tables import show_scope
    from lth.spec.load import load_spec

    show_scope(load_spec(spec, set_ or []), as_json)


def status(directory: Directory, as_json: AsJson = False) -> None:
    """Say how far a run has come."""
    from lth.cli.gone import as_json_of, show_gone
    from lth.cli.tables import show_status
    from lth.grid.status import status as look
    from lth.runs.run import open_run

    run = open_run(directory)
    seen = look(run)
    if as_json:
        return emit({**seen.as_json(), **as_json_of(run)})
    show_status(run, seen)
    if run.layout.slurm.is_dir():
        print(f"slurm     {_queue(run)}")
    show_gone(run)


def _queue(run: Run) -> str:
    from lth.grid.slurm.command import SlurmError
    from lth.grid.slurm.queue import jobs, summary

    try:
        return summary(jobs(run, patience=5.0))
    except SlurmError as problem:
        return f"not known from here: {problem}"


def cancel(directory: Directory) -> None:
    """Cancel the jobs that a run has on the cluster. What is done stays; `lth run` goes on from there."""
    from lth.grid.launchers import slurm, template
    from lth.runs.run import open_run

    run = open_run(directory)
    if run.spec.execute.launcher == "template":
        return print("\n".join(template.cancel(run)) or "nothing was submitted that is not cancelled already")
    ended = slurm.cancel(run)
    print(f"cancelled {len(ended)}: {' '.join(ended)}" if ended else "no job of this run is in the queue")


def select(directory: Directory, as_json: AsJson = False) -> None:
    """Name the winning ticket of a run, with its interval; shows the test accuracy of that ticket only."""
    from lth.cli.tables import show_selection
    from lth.results.select import select_winner
    from lth.runs.run import open_run

    run = open_run(directory)
    selection = select_winner(run.spec, run.results())
    if selection.test_top1 is not None:
        run.test_shown()
    emit(selection.as_json()) if as_json else show_selection(run, selection)
    if selection.verdict == "incomplete" or (selection.verdict == "not_confirmed" and selection.confirmed is None):
        raise typer.Exit(3)


def report(
    directory: Directory, into: Annotated[str | None, typer.Option("--into", help="Folder for the report.")] = None
) -> None:
    """Write the report of a run: one offline HTML page, its figures as PDF, its table as CSV."""
    from lth.report.page import write_report
    from lth.runs.run import open_run

    run = open_run(directory)
    print(write_report(run, Path(into) if into else None))
