"""Starting workers on a run directory and waiting for them."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Generator
from threading import Event

from lth.grid.launchers import LAUNCHERS
from lth.grid.status import status
from lth.grid.work import Do
from lth.runs.run import Run


def launch(run: Run, doers: Callable[[], Do], stop: Event) -> None:
    """Returns when the run's workers have ended; `doers` is called only where they run in this process.

    A run that is complete starts none.
    """
    if status(run).complete:
        return
    LAUNCHERS[run.spec.execute.launcher](run, doers, stop)


@contextlib.contextmanager
def stopping() -> Generator[Event]:
    """Yields an event that Ctrl-C or TERM sets: workers then save their state and end."""
    stop = Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, lambda *_: stop.set())
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
