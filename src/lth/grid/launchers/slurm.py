"""Jobs on a SLURM cluster: submitted, waited for, cancelled."""

from __future__ import annotations

from threading import Event

from lth.grid.slurm.command import ask
from lth.grid.slurm.queue import jobs
from lth.grid.slurm.submit import submit
from lth.grid.status import status
from lth.runs.run import Run

LOOK_SECONDS = 10.0

__all__ = ["cancel", "submit", "wait_for"]


def wait_for(run: Run, stop: Event, look_seconds: float = LOOK_SECONDS) -> None:
    """Returns when the run is complete, or no job of it is left, or `stop` is set; the jobs go on in that case."""
    absent = 0
    while not stop.is_set() and not status(run).complete:
        absent = 0 if jobs(run, keep_seconds=look_seconds / 2) else absent + 1
        if absent > 1:  # asked twice: between a job's end and the next one's beginning there may be none
            return
        stop.wait(look_seconds)


def cancel(run: Run) -> list[str]:
    """Returns the ids of the tasks of this run that were in the queue or running, and are cancelled now."""
    found = [job.id for job in jobs(run, keep_seconds=0.0)]
    if found:
        ask("scancel", *found)
        (run.layout.slurm / "queue.json").unlink(missing_ok=True)
    return found
