"""One worker: this process."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event

from lth.grid.work import Do, loop
from lth.runs.run import Run


def launch(run: Run, doers: Callable[[], Do], stop: Event) -> None:
    """Returns when the work is done or `stop` is set."""
    loop(run, doers(), stop, wait=True)
