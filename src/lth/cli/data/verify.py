"""`lth data verify`: whether prepared data are whole."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from lth.cli.data.meter import Meter, size
from lth.cli.work import emit

SHOWN = 50
CURE = "Copy the data again from where they are whole, or prepare them again."


def verify(
    out: Annotated[Path, typer.Argument(help="The folder that lth data prepare made.")],
    quick: Annotated[bool, typer.Option("--quick", help="Sizes and headers, not checksums.")] = False,
    jobs: Annotated[
        int | None, typer.Option(min=1, max=256, help="Files read at once; default all cores, to 8.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Check every file of prepared data; ends with 0 if they are whole, 1 if not."""
    from lth.data.care.verify import verify as look

    with Meter("read") as meter:
        verdict = look(out, quick=quick, jobs=jobs, told=meter.told)
    if as_json:
        emit(verdict.as_json())
    elif count := len(verdict.findings):
        for one in verdict.findings[:SHOWN]:
            print(f"{one.file}: {one.reason}", file=sys.stderr)
        if len(verdict.findings) > SHOWN:
            print(f"... and {len(verdict.findings) - SHOWN} more; --json lists them all", file=sys.stderr)
        problems = f"{count} problem{'s' * (count != 1)}"
        print(f"error: {out}: not whole, {problems}. {CURE}", file=sys.stderr)
    else:
        how = "sizes and headers" if quick else "every sha256"
        parts = " and ".join(verdict.parts)
        print(f"{out}: whole; {verdict.rows} images of {parts}, {verdict.files} files, {size(verdict.bytes)}, {how}")
    if verdict.findings:
        raise typer.Exit(1)
