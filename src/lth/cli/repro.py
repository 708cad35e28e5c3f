"""`lth repro`: a published experiment run again, and held against what was published."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lth.cli.work import carry_out, emit

if TYPE_CHECKING:
    from lth.results.bands import Row
    from lth.runs.run import Run

EXIT = {"inside": 0, "outside": 1, "incomplete": 3}
NOTES = 4


def repro(
    name: Annotated[str | None, typer.Argument(help="The experiment; without it, the list of them.")] = None,
    scale: Annotated[str | None, typer.Option("--scale", help="small or paper; default the first it has.")] = None,
    data: Annotated[str | None, typer.Option("--data", help="Folder or archive with the data.")] = None,
    into: Annotated[str | None, typer.Option("--into", help="Run directory; default runs/NAME-SCALE.")] = None,
    check: Annotated[str | None, typer.Option("--check", help="A run directory to hold against the bands.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List units, epochs and disk; do nothing.")] = False,
    show: Annotated[bool, typer.Option("--spec", help="Print the spec, for `lth run`; do nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="The rows as a Markdown table.")] = False,
) -> None:
    """Run a published experiment again and hold it against the paper, row by row. Resumes what is there.

    Exit code: 0 all rows inside their bands, 1 some outside, 3 incomplete.
    """
    from lth.cli.tables import show_plan
    from lth.runs.run import open_run
    from lth.spec.published import published_spec, published_text, scale_named

    if name is None:
        return _show_list(as_json)
    if check is not None:
        run = open_run(check)
        chosen = _scale_of(run, name, scale)
        return _hold(run, name, chosen, _command(name, {"--check": check}), as_json, markdown)
    scale = scale_named(name, scale)
    if show:
        sys.stdout.write(published_text(name, scale, data))
        return None
    wanted = published_spec(name, scale, data)
    path = Path(into or Path("runs") / wanted.name)
    if dry_run:
        return show_plan(wanted, as_json, path)
    run, _ = carry_out(wanted, published_text(name, scale, data), path)
    asked = _command(name, {"--scale": scale, "--data": data, "--into": into})
    return _hold(run, name, scale, asked, as_json, markdown)


def _show_list(as_json: bool) -> None:
    from lth.spec.published import PUBLISHED

    every = [(name, one.about, scale, size) for name, one in PUBLISHED.items() for scale, size in one.scales.items()]
    if as_json:
        fields = ("name", "about", "scale", "expected", "laptop")
        return emit([dict(zip(fields, (*one, size.expected, size.laptop), strict=True)) for *one, size in every])
    for name, one in PUBLISHED.items():
        print(f"{name:<26} {one.about}")
        for scale, size in one.scales.items():
            fits = "fits a laptop" if size.laptop else "needs GPUs"
            print(f"{'':<26}   --scale {scale:<6} {size.expected} (estimate); {fits}")
    print("\nRun one: lth repro NAME --data DIR. Print its spec, for a cluster: lth repro NAME --spec")


def _scale_of(run: Run, name: str, scale: str | None) -> str:
    """The scale asked for, else the one whose experiment and grid are the run's, else the usual one."""
    from lth.spec.published import published, published_spec, scale_named

    usual = scale_named(name, scale)
    if scale is not None:
        return scale
    specs = {one: published_spec(name, one) for one in published(name).scales}
    same = [one for one in specs if not _differences(run, name, one)]
    grid = [one for one in same if specs[one].grid.sparsities == run.spec.grid.sparsities]
    return next(iter([*grid, *same]), usual)


def _differences(run: Run, name: str, scale: str) -> list[str]:
    from lth.spec.identity import differing_keys, experiment
    from lth.spec.published import published_spec

    return differing_keys(experiment(run.spec), experiment(published_spec(name, scale)))


def _hold(run: Run, name: str, scale: str, command: Sequence[str], as_json: bool, markdown: bool) -> None:
    """Prints the rows of a run, and exits with what they say; another experiment than the published is never inside."""
    from lth.results import expectations
    from lth.results.bands import bands, outcome, rows
    from lth.results.measures import MEASURES

    found = rows(bands(name, scale), run.spec, run.results())
    other, verdict = _differences(run, name, scale), outcome(found)
    verdict = "outside" if other and verdict == "inside" else verdict
    if any(row.ours is not None and MEASURES[row.band.measure].test for row in found):
        run.test_shown()
    if as_json:
        head = {"name": name, "scale": scale, "directory": str(run.path), "verdict": verdict, "differs": other}
        emit({**head, "rows": [expectations.as_json(row) for row in found]})
    elif markdown:
        print(expectations.markdown(found, run.spec, run.results(), shlex.join(command)), end="")
    else:
        _show(run, found)
    for line in other:
        print(f"Another experiment than {name} at scale {scale}: {line}", file=sys.stderr)
    if verdict == "incomplete":
        data = run.spec.data.source.partition(":")[2] or None
        again = _command(name, {"--scale": scale, "--data": data, "--into": str(run.path)})
        print(f"Incomplete. Nothing is lost; go on with:\n  {shlex.join(again)}", file=sys.stderr)
    if EXIT[verdict]:
        raise typer.Exit(EXIT[verdict])


def _show(run: Run, found: Sequence[Row]) -> None:
    from rich.console import Console
    from rich.table import Table

    from lth.results.expectations import HEAD, cells, made_by

    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(HEAD):
        table.add_column(column, justify="left" if number < 2 else "right", overflow="fold", no_wrap=number > 1)
    for row in found:
        table.add_row(*cells(row))
    Console(width=None if sys.stdout.isatty() else 140, highlight=False, emoji=False).print(table)
    noted = [row for row in found if row.note]
    for row in noted[:NOTES]:
        print(f"- {row.band.what}: {row.note}")
    if len(noted) > NOTES:
        print(f"- and {len(noted) - NOTES} more rows wait or are unsound (--json names all)")
    counts = {one: sum(row.verdict == one for row in found) for one in EXIT}
    said = ", ".join(f"{number} {one}" for one, number in counts.items() if number)
    print(f"\n{said}. {made_by(run.spec, run.results())}")


def _command(name: str, options: Mapping[str, str | None]) -> list[str]:
    given = [word for option, value in options.items() if value is not None for word in (option, value)]
    return ["lth", "repro", name, *given]
