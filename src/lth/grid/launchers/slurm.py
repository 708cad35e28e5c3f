"""Jobs on a SLURM cluster: submitted, waited for, cancelled."""

from __future__ import annotations

from threading import Event

from lth.grid.slurm.command import SlurmError, ask
from lth.grid.slurm.queue import jobs
from lth.grid.slurm.submit import submit
from lth.grid.status import status
from lth.runs.run import Run

LOOK_SECONDS = 10.0
MOST_UNKNOWN = 30  # looks in a row at a controller that does not answer

__all__ = ["cancel", "submit", "wait_for"]


def wait_for(run: Run, stop: Event, look_seconds: float = LOOK_SECONDS) -> None:
    """Returns when the run is complete, or no job of it is left, or `stop` is set; the jobs go on in that case.

    Raises SlurmError where squeue could not be asked for so long that nobody knows.
    """
    absent = unknown = 0
    while not stop.is_set() and not status(run).complete:
        try:
            alive, unknown = jobs(run, keep_seconds=look_seconds / 2), 0
            absent = 0 if alive else absent + 1
        except SlurmError:
            unknown += 1
            if unknown > MOST_UNKNOWN:
                raise
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
