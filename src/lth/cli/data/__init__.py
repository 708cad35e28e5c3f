"""`lth data`: bringing, preparing, checking, looking at and copying the images."""

from __future__ import annotations

import typer

from lth.cli.data.prepare import prepare

app = typer.Typer(help="Fetch, prepare, check, look into and stage image data.", no_args_is_help=True)
app.command("prepare")(prepare)
