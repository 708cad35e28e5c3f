"""`lth doctor`: what is installed here, and what each missing part blocks."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from json import dumps
from pathlib import Path
from typing import Annotated

import typer

from lth.cli import engines, machine, site
from lth.cli.extras import EXTRAS, extra
from lth.cli.job import job
from lth.cli.machine import Part


def report(folder: Path = Path()) -> list[Part]:
    """Returns everything looked at, in the order printed; `folder` is where run directories are to be kept."""
    asked = (machine.python, machine.torch, machine.java, engines.spark, engines.mpi, engines.slurm, engines.gpus)
    with ThreadPoolExecutor(len(asked)) as pool:  # they wait for other processes, so all at once
        answers = [pool.submit(one) for one in asked]
    python, torch, *others = (answer.result() for answer in answers)
    extras = [extra(name) for name in EXTRAS]
    folders = [site.clock(folder), site.inodes(folder)] if (runs := machine.file_system(folder)).ok else []
    here = [runs, *folders, site.limits(), machine.cores(), machine.memory(), machine.disk(folder)]
    mine = [part] if (part := job()) else []
    return [python, torch, *extras, *others, *mine, *here]


def _lines(part: Part) -> list[str]:
    mark = "ok" if part.ok else ("MISSING" if part.required else "-")
    lines = [f"{mark:<8}{part.name:<16}{part.found}"]
    if not part.ok:
        lines.append(f"{'':<24}blocks {part.blocks}. {part.cure}")
    return lines


def doctor(
    folder: Annotated[
        Path, typer.Argument(help="where run directories are to be kept", file_okay=False, exists=True)
    ] = Path(),
    json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False,
) -> None:
    """Print what is installed and what each missing part blocks; exit code 1 if lth cannot work here."""
    parts = report(folder)
    works = all(part.ok for part in parts if part.required)
    if json:
        typer.echo(dumps({"works": works, "parts": [asdict(part) for part in parts]}))
    else:
        typer.echo("\n".join(line for part in parts for line in _lines(part)))
        typer.echo("lth works here." if works else "lth cannot work here: see MISSING above.")
    raise typer.Exit(0 if works else 1)
