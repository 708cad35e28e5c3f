"""The commands of `lth`; each imports what it needs when it is called, so that help is instant."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from lth.cli import inspect, work
from lth.cli.archiving import archive
from lth.cli.data import app as data
from lth.cli.doctor import doctor
from lth.cli.merging import merge
from lth.cli.plan import plan
from lth.cli.repro import repro
from lth.cli.stability import stability
from lth.cli.ticket import app as ticket
from lth.endings import DONE, INCOMPLETE, USAGE
from lth.errors import LthError
from lth.version import __version__

INTERRUPTED = 130  # what typer makes of Ctrl-C

app = typer.Typer(
    name="lth",
    help="Find winning lottery tickets: train dense, prune, rewind, retrain a grid, name the sparsest that matches.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("init")(inspect.init)
app.command("scope")(inspect.scope)
app.command("plan")(plan)
app.command("run")(work.run)
app.command("status")(inspect.status)
app.command("work")(work.work)
app.command("cancel")(inspect.cancel)
app.command("select")(inspect.select)
app.command("report")(inspect.report)
app.command("archive")(archive)
app.command("merge")(merge)
app.command("repro")(repro)
app.command("stability")(stability)
app.command("doctor")(doctor)
app.add_typer(ticket, name="ticket")
app.add_typer(data, name="data")


def _version(wanted: bool) -> None:
    if wanted:
        print(f"lth {__version__}")
        raise typer.Exit()


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Returns nothing; runs the command line, and ends with 0 done, 1 failures, 2 wrong usage, 3 incomplete."""
    sys.path.insert(0, os.getcwd())  # the user's own models and training, as `python -m lth` finds them
    try:
        app()
    except LthError as problem:
        print(f"error: {problem}", file=sys.stderr)
        sys.exit(USAGE)
    except (KeyboardInterrupt, SystemExit) as ending:
        if isinstance(ending, SystemExit) and ending.code != INTERRUPTED:
            raise
        print("stopped; the same command goes on from here", file=sys.stderr)
        sys.exit(INCOMPLETE)
    except BrokenPipeError:
        sys.exit(DONE)
