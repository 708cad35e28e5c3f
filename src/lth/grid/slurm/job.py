"""What a worker does inside a SLURM job: starts again after a warning, and calls more workers when a stage begins."""

from __future__ import annotations

import logging
import os
import re
import time

from lth.grid.next import ready, wanted
from lth.grid.slurm.command import SlurmError, ask
from lth.grid.slurm.once import alone
from lth.grid.slurm.queue import Job, jobs
from lth.grid.slurm.script import mark
from lth.grid.slurm.submit import more_workers, send, submit_missing, tasks_of
from lth.grid.unit import Checkpoint, Dense
from lth.runs.files import publish_first
from lth.runs.run import Run

log = logging.getLogger("lth")
SAVES, LEAST_GRACE = 3, 5.0  # saves that the other workers of a task are given, and seconds at least
QUEUED = "Job is pending execution"  # SLURM's words where a task that is still ending waits in the queue already
CHAINED = "LTH_CHAINED"  # how often this job was followed by another one


def inside() -> bool:
    """Returns whether this worker was started by the scripts of a run, in a SLURM job."""
    return os.environ.get("LTH_LAUNCHED_BY") == "slurm" and "SLURM_JOB_ID" in os.environ


def task() -> str:
    """Returns the id of this task alone, never that of its whole array."""
    array, number = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{number}" if array and number else os.environ["SLURM_JOB_ID"]


def preempted() -> bool:
    """Returns whether this task has to make room for another job: SLURM ends it then, and does not say so itself.

    Where it ends in the time of grace that it is given, SLURM takes it for done and does not queue it again.
    """
    try:
        return re.search(r"\bPreemptTime=\d", ask("scontrol", "show", "job", task())) is not None
    except SlurmError:
        return False


def start_again(run: Run, save_seconds: float) -> None:
    """Returns nothing; has this task started once more: requeued, or where that is forbidden followed by another.

    Of several workers of a task the first one that was stopped does so, when the others have had as long to save as it
    took itself. After `execute.slurm.requeue` times the task is left.
    """
    times = int(os.environ.get("SLURM_RESTART_COUNT") or 0) + int(os.environ.get(CHAINED) or 0)
    if int(os.environ.get("SLURM_NTASKS") or 1) > 1:
        if not publish_first(run.layout.slurm / f"again-{task()}-{times}", f"{os.environ.get('SLURM_PROCID')}\n"):
            return
        time.sleep(max(LEAST_GRACE, SAVES * save_seconds))
    if times >= run.spec.execute.slurm.requeue:
        log.warning("%s was started %d times, the most that execute.slurm.requeue allows", task(), times + 1)
        return
    try:
        ask("scontrol", "requeue", task())
        log.info("%s is queued again", task())
    except SlurmError as refused:
        if QUEUED in refused.what:  # SLURM was faster: it makes room for a job of higher priority
            log.info("%s is queued again, by SLURM", task())
            return
        try:
            log.info("%s is followed by %s (%s)", task(), _follow(run, times + 1), refused.what)
        except SlurmError as problem:
            log.warning("nothing follows %s: %s", task(), problem)


def _follow(run: Run, times: int) -> str:
    """Submits what goes on when this task has ended; of one name only one runs at a time."""
    what = "dense" if os.environ.get("SLURM_JOB_NAME", "").endswith("dense") else "workers"
    name = f"{mark(run)}-{what}-after-{task()}"
    options = ["--parsable", f"--job-name={name}", f"--dependency=afterany:{task()},singleton"]
    return send(run, what, 1, options, {CHAINED: str(times)})


def call_workers(run: Run) -> None:
    """Returns nothing; submits workers where more units are ready than this run has tasks, once for each stage.

    A stage is known by how many units are: they grow when one begins, and only then. Dense networks that a group of
    processes trains get jobs of their own, and the workers for their tickets come after them. Where a job
    may not submit, the work is done by those that are there.
    """
    run.told.listen()
    results = run.told.results()
    units = ready(run.spec, results)
    stage = run.layout.slurm / f"stage-{len(wanted(run.spec, results))}"
    grouped = run.spec.execute.data_parallel > 1 and any(isinstance(unit, Dense | Checkpoint) for unit in units)
    try:
        if stage.exists() or not (grouped or _short(run, len(units), jobs(run)) > 0):
            return
        with alone(run):
            found = jobs(run, keep_seconds=0.0)
            groups = grouped and not any("-dense" in one.name for one in found)
            short = _short(run, len(units), found)
            if not (groups or short > 0) or not publish_first(stage, f"{task()}\n"):
                return
            try:
                told = list(submit_missing(run) if groups else more_workers(run, short))
            except SlurmError:
                stage.unlink(missing_ok=True)  # the next one tries again
                raise
        log.info("%d units are ready: %s", len(units), "; ".join(told))
    except SlurmError as problem:
        log.info("no more workers can be called from here: %s", problem)


def _short(run: Run, units: int, found: list[Job]) -> int:
    """Returns how many tasks more than there are so many units want."""
    return tasks_of(run, units) - len(_workers(found))


def left_alone(run: Run) -> bool:
    """Returns whether, as far as can be told from here, no job of this run's workers is queued or running.

    That is so where a limit of jobs was used up by the dense networks: the tickets are theirs then too.
    """
    try:
        return not _workers(jobs(run, keep_seconds=0.0))
    except SlurmError:
        return True


def _workers(found: list[Job]) -> list[Job]:
    return [one for one in found if "-workers" in one.name]
