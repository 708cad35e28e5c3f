"""`lth archive`: a run in one file, and what is then not needed any more taken away."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lth.cli.inspect import AsJson, Directory
from lth.cli.work import emit

if TYPE_CHECKING:
    from lth.runs.run import Run


def archive(
    directory: Directory,
    into: Annotated[str | None, typer.Option("--into", help="The file, .tar or .tar.gz; default RUN.tar.gz.")] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option("--keep", help="Also checkpoints, weights, masks or predictions. May be repeated."),
    ] = None,
    purge: Annotated[
        bool, typer.Option("--purge", help="Then delete from the run what the archive does without.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Keep a run in one file: results, curves, winning ticket, report; no weights unless asked."""
    from lth.runs import archive as tar
    from lth.runs.run import open_run

    run, kinds = open_run(directory), _kinds(keep or [])
    if purge:
        _refuse_to_purge(run)
    whole = run.path.resolve()
    target = Path(into) if into is not None else whole.with_name(f"{whole.name}.tar.gz")
    inventory = tar.write_archive(run, target, kinds)
    taken = tar.purge(run, target, kinds)["taken"] if purge else {}
    if as_json:
        return emit({"archive": str(target), **inventory, "purged": taken})
    print(f"{target}: {len(inventory['files'])} files, {_size(target.stat().st_size)}")
    if inventory["left_out"]:
        print(f"left out: {', '.join(inventory['left_out'])}")
    for kind, sums in taken.items():
        print(f"purged: {kind}: {sums['files']} files, {_size(sums['bytes'])}")
    if purge and not taken:
        print("purged: there was nothing to take away", file=sys.stderr)


def _kinds(keep: list[str]) -> set[str]:
    from lth.errors import RunError
    from lth.runs.artefacts import HEAVY

    for kind in keep:
        if kind not in HEAVY:
            raise RunError("no kind of file", at="--keep", value=kind, cure=f"Kinds are {', '.join(HEAVY)}.")
    return set(keep)


def _refuse_to_purge(run: Run) -> None:
    from lth.errors import RunError
    from lth.grid.status import status

    if running := run.claims().running():
        cure = "Wait for it, or stop it; `lth archive` without --purge works at any time."
        raise RunError(f"somebody is at work on {running[0]}", at=run.path, cure=cure)
    seen = status(run)
    if not seen.complete:
        cure = "Finish it with `lth run`; `lth archive` without --purge works at any time."
        what = "the run is not complete, and what is to be done starts from what would be purged"
        raise RunError(what, at=run.path, cure=cure)


def _size(count: int) -> str:
    number = float(count)
    for unit in ("B", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.3g} {unit}"
        number /= 1024
    return f"{number:.1f} GiB"
