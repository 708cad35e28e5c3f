"""Starting workers on a run directory, and waiting for them or leaving them to a scheduler."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from collections.abc import Callable, Generator
from threading import Event

from lth.grid.launchers import GROUPS, LAUNCHERS, SUBMITTERS, group
from lth.grid.sources import check_sources
from lth.grid.status import status
from lth.grid.stop import Stop, walltime
from lth.grid.sweep import sweep
from lth.grid.work import Do
from lth.runs.run import Run


def launch(run: Run, doers: Callable[[], Do], stop: Event) -> None:
    """Returns when the run's workers have ended; `doers` is called only where they run in this process.

    A run that is complete starts none: what dead workers left in it is cleared. With `execute.data_parallel` the dense
    networks are trained by a group of processes, all else by the launcher's workers. Where a scheduler starts the
    workers they are submitted, not waited for. Raises RunError where units that are ready start from files that
    are gone.
    """
    if status(run).complete:
        with run.claims() as claims:
            sweep(run, claims)
        return
    execute = run.spec.execute
    if execute.launcher in SUBMITTERS:
        for line in submit(run):
            logging.getLogger("lth").info("%s", line)
        return
    check_sources(run)
    launcher = LAUNCHERS[execute.launcher]
    if execute.data_parallel > 1:
        group.launch(run, doers, stop, launcher, GROUPS.get(execute.launcher, group.train))
    else:
        launcher(run, doers, stop)


def submit(run: Run, dry_run: bool = False) -> list[str]:
    """Returns the lines to tell the user after handing jobs to the launcher's scheduler, or, in a `dry_run`, writing
    their scripts only. Raises as `launch`, and RunError or SpecError where they cannot be submitted."""
    check_sources(run)
    return SUBMITTERS[run.spec.execute.launcher](run, dry_run)


def expect(stop: Stop, run: Run) -> dict[str, float]:
    """Returns the seconds that a save and a start took before in this run, as `stop` reckons with them from now on."""
    measured = run.facts().get("measured", {})
    known = {what: float(measured[what]["seconds"]) for what in ("save", "start") if what in measured}
    stop.saved(known.get("save", 0.0))
    stop.start_up = known.get("start", 0.0)
    return known


@contextlib.contextmanager
def stopping(minutes: float | None = None) -> Generator[Stop]:
    """Yields an event that Ctrl-C, TERM or USR1 sets: workers then save their state and end.

    USR1 is a scheduler's warning that the time ends. It sets itself near the end of the walltime: in `minutes`, or at
    the end of the SLURM job.
    """
    stop = Stop(walltime(minutes))
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)}
    for number in before:
        signal.signal(number, lambda number, _: stop.warn() if number == signal.SIGUSR1 else stop.set())
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
