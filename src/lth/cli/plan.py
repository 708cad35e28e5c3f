"""`lth plan`: what a run takes, and how many seeds a difference needs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lth.cli.work import Sets
from lth.errors import LthError


def plan(
    spec: Annotated[str, typer.Argument(help="The spec.")],
    power: Annotated[
        str | None, typer.Option("--power", help="Also say how many seeds show this difference: --power 0.5pp.")
    ] = None,
    sd: Annotated[
        str | None, typer.Option("--sd", help="Standard deviation of accuracy over seeds: --sd 0.23pp.")
    ] = None,
    correlation: Annotated[
        float | None, typer.Option("--correlation", help="Of ticket and dense over seeds; 0 where not measured.")
    ] = None,
    chance: Annotated[float, typer.Option("--chance", help="The power that is wanted.")] = 0.8,
    into: Annotated[
        str | None, typer.Option("--into", help="Run directory with measurements; default runs/NAME.")
    ] = None,
    set_: Sets = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Say what a run would take, and with --power how many seeds tell a difference from nothing."""
    from lth.cli.power import power_table, show_power, spread_of
    from lth.cli.tables import show_plan
    from lth.spec.load import load_spec

    wanted, folder = load_spec(spec, set_ or []), Path(into) if into else None
    if power is None:
        for option, value in {"--sd": sd, "--correlation": correlation}.items():
            if value is not None:
                raise LthError(
                    "without --power it has no effect", at=option, cure="Add --power 0.5pp, or leave it out."
                )
        return show_plan(wanted, as_json, folder)
    found = power_table(wanted, power, spread_of(wanted, spec, folder, sd, correlation), chance)
    show_plan(wanted, as_json, folder, {"power": found})
    if not as_json:
        show_power(found)
