"""`lth merge`: runs of one experiment, made in several places, joined."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lth.cli.inspect import AsJson
from lth.cli.work import emit

if TYPE_CHECKING:
    from lth.grid.merge import Conflict, Merged

SHOWN = 20


def merge(
    directories: Annotated[list[str], typer.Argument(help="Run directories of one experiment.")],
    into: Annotated[str | None, typer.Option("--into", help="Run directory, new or old; default the first.")] = None,
    as_json: AsJson = False,
) -> None:
    """Join runs of one experiment that were made in several places. Nothing is overwritten; conflicts are exit code 1.

    Files are checked, and hard-linked where that is possible. The command can be repeated after it was interrupted.
    """
    from lth.errors import RunError
    from lth.grid.merge import merge as join

    paths = [Path(one) for one in directories]
    if len({path.resolve() for path in (*paths, Path(into or paths[0]))}) < 2:
        cure = "Name another run directory, or --into DIR"
        raise RunError("one run directory, and nothing to merge it with", value=directories, cure=cure)
    target = Path(into) if into is not None else paths[0]
    done = join(paths, target)
    emit(_json(done)) if as_json else _show(done)
    if not done.clean:
        raise typer.Exit(1)


def _show(done: Merged) -> None:
    counts = f"{len(done.copied)} results taken over, {len(done.equal)} were there already"
    print(f"{done.into}: {counts}, {len(done.conflicts)} in conflict")
    if done.absent:
        print(f"{done.absent} files of the results taken over were gone before; see: lth status {done.into}")
    for one in done.conflicts[:SHOWN]:
        print("\n".join(_lines(one)))
    if (more := len(done.conflicts) - SHOWN) > 0:
        print(f"and {more} more conflicts; --json names them all")
    for what, units in (("left out", done.left_out), ("damaged", done.damaged)):
        for name, why in units.items():
            print(f"{what}: {name}: {why}", file=sys.stderr)
    if done.conflicts:
        cure = "To keep theirs, delete the unit's folder here and merge again."
        print(f"Ours stay as they are. {cure}", file=sys.stderr)
    if done.copied:
        print(f"Winner and report of them all:\n  lth run {done.into}/spec.toml --into {done.into}", file=sys.stderr)


def _lines(one: Conflict) -> list[str]:
    ours, theirs = one.ours.get("numerics", {}), one.theirs.get("numerics", {})
    differing = [key for key in (*ours, *theirs) if ours.get(key) != theirs.get(key)]
    keys = list(dict.fromkeys(differing or ["torch", "device", "threads"]))
    said = "another key" if one.ours.get("key") != one.theirs.get("key") else "other weights"
    return [
        f"conflict: {one.id}: {said} in {one.theirs_in}",
        f"  ours    {_side(one.ours, keys)}",
        f"  theirs  {_side(one.theirs, keys)}" + ("" if differing else "  (the same numerics class!)"),
    ]


def _side(record: dict[str, Any], keys: list[str]) -> str:
    numerics = record.get("numerics", {})
    words = ", ".join(f"{key} {numerics[key]}" for key in keys if key in numerics)
    return f"{record.get('weights_sha256', '?')[:12]}  {words}".rstrip()


def _json(done: Merged) -> dict[str, Any]:
    wanted = ("key", "weights_sha256", "numerics", "host", "finished_at")
    conflicts = [
        {
            "id": one.id,
            "theirs_in": str(one.theirs_in),
            "ours": {key: one.ours.get(key) for key in wanted},
            "theirs": {key: one.theirs.get(key) for key in wanted},
        }
        for one in done.conflicts
    ]
    lists = {"copied": done.copied, "equal": done.equal, "left_out": done.left_out, "damaged": done.damaged}
    return {"into": str(done.into), "clean": done.clean, **lists, "absent_files": done.absent, "conflicts": conflicts}
