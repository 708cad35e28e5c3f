"""`lth data`: bringing, preparing, checking, looking at and copying the images."""

from __future__ import annotations

import typer

from lth.cli.data.fetch import fetch
from lth.cli.data.info import info
from lth.cli.data.prepare import prepare
from lth.cli.data.stage import stage
from lth.cli.data.verify import verify

app = typer.Typer(help="Fetch, prepare, check, look into and stage image data.", no_args_is_help=True)
app.command("fetch")(fetch)
app.command("prepare")(prepare)
app.command("verify")(verify)
app.command("info")(info)
app.command("stage")(stage)
