"""`lth data stage`: prepared data on the node's own disk."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from lth.cli.data.meter import Meter
from lth.cli.work import emit


def stage(
    out: Annotated[Path, typer.Argument(help="The folder that lth data prepare made.")],
    local: Annotated[Path, typer.Argument(metavar="LOCALDIR", help="A folder on the node's own disk.")],
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Files copied at once.")] = 4,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Copy prepared data to a node's own disk, checked; prints where the copy is. Every process of a node may call it.

    DATA=$(lth data stage /lustre/in227 "$TMPDIR") leaves the folder's name in DATA, for: source = "shards:..."
    """
    from lth.data.care.stage import stage as bring
    from lth.data.care.verify import total_bytes

    with Meter("copied", total_bytes(out)) as meter:
        folder = bring(out, local, jobs=jobs, told=meter.told, say=lambda text: print(text, file=sys.stderr))
    emit({"path": str(folder), "bytes": meter.count}) if as_json else print(folder)
