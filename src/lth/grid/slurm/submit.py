"""Submission: an array for the dense networks, and one of workers after it; only what is missing, only once."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

from lth.grid.next import wanted
from lth.grid.slurm.command import SlurmError, ask
from lth.grid.slurm.once import alone
from lth.grid.slurm.queue import JOBS, Job, jobs, left_places, summary
from lth.grid.slurm.script import mark, script
from lth.grid.unit import Checkpoint, Dense, Finish
from lth.grid.work import worker_count
from lth.runs.files import atomic_write, jsonl, make_folder
from lth.runs.run import Run, now

USUAL_ARRAY = 1001


@dataclass(frozen=True)
class Missing:
    """Units without a result: dense networks, and all of them."""

    dense: int
    units: int


def missing(run: Run) -> Missing:
    """Returns how much of what is known to be wanted is not done yet."""
    results = run.results()
    left = [unit for unit in wanted(run.spec, results) if not results.settled(unit.id)]
    grouped = (Dense, Checkpoint) if run.spec.execute.data_parallel > 1 else (Dense,)  # what only the first array does
    dense = sum(isinstance(unit, grouped) for unit in left)
    networks = [unit for unit in left if not isinstance(unit, Finish)]
    return Missing(dense, len(networks or left))  # the closing unit is done by whoever is there last


def submit(run: Run, dry_run: bool) -> list[str]:
    """Returns what to tell the user after submitting what is missing; with `dry_run` the scripts are only written.

    Submits nothing while jobs of this run are queued or running. Raises SlurmError where SLURM refuses.
    """
    paths = _write(run)
    lines = [f"scripts: {', '.join(str(path) for path in paths.values())}"]
    if dry_run:
        return [*lines, *_commands(run, paths)]
    with alone(run):
        if alive := jobs(run, keep_seconds=0.0):
            _refuse_stray(run, alive)
            return [f"jobs of this run are in the queue already: {summary(alive)}", *_next(run)]
        return [*lines, *submit_missing(run), *_next(run)]


def _refuse_stray(run: Run, alive: list[Job]) -> None:
    """Raises SlurmError where all jobs were submitted before the run was moved: they find nothing where they look."""
    if not any(one.name.startswith(mark(run)) for one in alive):
        places = ", ".join(map(str, left_places(run)))
        cure = f"Take them back, then run this again: lth cancel {run.path}"
        raise SlurmError(f"jobs were submitted before this run was moved: {summary(alive)}", at=places, cure=cure)


def _commands(run: Run, paths: dict[str, os.PathLike[str]]) -> Iterator[str]:
    dense, workers = _needed(run)
    if dense:
        yield f"sbatch --parsable --array=0-{dense - 1} {paths['dense']}"
    if workers:
        after = "--dependency=afterany:DENSE " if dense else ""
        yield f"sbatch --parsable {after}--array=0-{workers - 1} {paths['workers']}"


def submit_missing(run: Run) -> Iterator[str]:
    """Yields what to tell of the arrays that it submits: the dense networks, then the workers that wait for them.

    Raises SlurmError where none is taken.
    """
    dense, workers = _needed(run)
    sent, refused = send_all(run, "dense", dense, ["--parsable"])
    if not sent and refused:
        raise refused
    yield from _told("dense", dense, sent, refused)
    after = [f"--dependency=afterany:{':'.join(job for job, _ in sent)}"] if sent else []
    try:
        yield from more_workers(run, workers, *after)
    except SlurmError as problem:
        if not dense:
            raise
        yield f"{workers} tasks of workers were not taken ({problem.what})"
        yield "no workers were taken; the dense networks' jobs call for some when there is room, or do their work"


def more_workers(run: Run, tasks: int, *options: str) -> Iterator[str]:
    """Yields what to tell of the arrays of workers that it submits. Raises SlurmError where none is taken."""
    sent, refused = send_all(run, "workers", tasks, ["--parsable", *options])
    if not sent and refused:
        raise refused
    yield from _told("workers", tasks, sent, refused)


def _told(what: str, tasks: int, sent: list[tuple[str, int]], refused: SlurmError | None) -> Iterator[str]:
    for job, size in sent:
        yield f"submitted {what}: job {job}, {size} task{'s' * (size > 1)}"
    if refused:
        yield f"{tasks - sum(size for _, size in sent)} tasks of {what} were not taken ({refused.what})"


def _needed(run: Run) -> tuple[int, int]:
    """Returns how many tasks the missing dense networks and the missing tickets are to have."""
    left, a_task = missing(run), run.spec.execute.slurm.workers_per_task
    together = run.spec.execute.data_parallel > 1
    return left.dense if together else -(-left.dense // a_task), tasks_of(run, left.units - left.dense)


def tasks_of(run: Run, units: int) -> int:
    """Returns how many tasks hold the workers for so many units."""
    workers = min(worker_count(run), units)
    return -(-workers // run.spec.execute.slurm.workers_per_task)


def largest_array() -> int:
    """Returns how many tasks an array may have here, by MaxArraySize."""
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", ask("scontrol", "show", "config"), re.M)
    return max(1, int(found[1]) - 1) if found else USUAL_ARRAY - 1


def _write(run: Run) -> dict[str, os.PathLike[str]]:
    make_folder(run.layout.logs)
    folder = make_folder(run.layout.slurm)
    paths = {what: folder / f"{what}.sh" for what in ("dense", "workers")}
    for what, path in paths.items():
        atomic_write(path, script(run, what))
    return {**paths}


def send_all(run: Run, what: str, tasks: int, options: list[str]) -> tuple[list[tuple[str, int]], SlurmError | None]:
    """Returns the arrays that were taken, (id, tasks) each, and why the rest was refused, if any was.

    An array has at most the largest size that the site allows. Where the scheduler refuses one (a limit of jobs a
    user may have), half of it is tried: workers take whatever is ready, so fewer of them do the same work later.
    """
    sent: list[tuple[str, int]] = []
    most = largest_array() if tasks > 0 else 0
    while tasks > 0:
        size = min(tasks, most)
        try:
            sent.append((send(run, what, size, options), size))
            tasks -= size
        except SlurmError as problem:
            if size == 1:
                return sent, problem
            most = size // 2
    return sent, None


def send(run: Run, what: str, tasks: int, options: list[str], environment: dict[str, str] | None = None) -> str:
    """Returns the id of an array of so many tasks, submitted and recorded. Raises SlurmError where it is refused."""
    path = run.layout.slurm / f"{what}.sh"
    told = ask("sbatch", *options, f"--array=0-{tasks - 1}", str(path), environment=environment)
    job = told.strip().partition(";")[0]
    row = {"at": now(), "id": job, "script": path.name, "tasks": tasks, "run": str(run.path.resolve())}
    with open(run.layout.slurm / JOBS, "a") as record:
        record.write(jsonl([row]))
    (run.layout.slurm / "queue.json").unlink(missing_ok=True)  # it is out of date
    return job


def _next(run: Run) -> list[str]:
    return [f"watch: lth status {run.path}", f"end:   lth cancel {run.path}"]
