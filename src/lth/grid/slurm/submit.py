"""Submission: an array for the dense networks, and one of workers after it; only what is missing, only once."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

from lth.grid.next import wanted
from lth.grid.slurm.command import SlurmError, ask
from lth.grid.slurm.queue import jobs, summary
from lth.grid.slurm.script import script
from lth.grid.unit import Dense, Finish
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
    dense = sum(isinstance(unit, Dense) for unit in left)
    networks = [unit for unit in left if not isinstance(unit, Finish)]
    return Missing(dense, len(networks or left))  # the closing unit is done by whoever is there last


def submit(run: Run, dry_run: bool) -> list[str]:
    """Returns what to tell the user after submitting what is missing; with `dry_run` the scripts are only written.

    Submits nothing while jobs of this run are queued or running. Raises SlurmError where SLURM refuses.
    """
    paths = _write(run)
    left = missing(run)
    if not dry_run and (alive := jobs(run, keep_seconds=0.0)):
        return [f"jobs of this run are in the queue already: {summary(alive)}", *_next(run)]
    lines = [f"scripts: {', '.join(str(path) for path in paths.values())}"]
    after: list[str] = []
    for what, tasks in (("dense", left.dense), ("workers", tasks_of(run, left.units - left.dense))):
        if tasks < 1:
            continue
        options = ["--parsable", *([f"--dependency=afterany:{':'.join(after)}"] if after else [])]
        if dry_run:
            lines.append(" ".join(["sbatch", *options, f"--array=0-{tasks - 1}", str(paths[what])]))
            after = ["DENSE"]
            continue
        ids = list(_arrays(run, what, tasks, options, lines))
        if what == "workers" and not ids:
            lines.append(
                "no workers were taken; the dense networks' jobs call for some when there is room, or do their work"
            )
        after = after or ids
    (run.layout.slurm / "queue.json").unlink(missing_ok=True)  # it is out of date
    return [*lines, *([] if dry_run else _next(run))]


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


def _arrays(run: Run, what: str, tasks: int, options: list[str], lines: list[str]) -> Iterator[str]:
    """Submits so many tasks, in arrays of at most the largest size; yields their ids.

    Where the scheduler refuses an array (a limit of jobs a user may have), half of it is tried: workers take
    whatever is ready, so fewer of them do the same work later. Raises SlurmError where not even one is taken.
    """
    most = largest_array()
    while tasks > 0:
        size = min(tasks, most)
        try:
            job = send(run, what, size, options)
        except SlurmError as problem:
            if size > 1:
                most = size // 2
                continue
            if what == "dense" and len(lines) == 1:
                raise
            lines.append(f"{tasks} tasks of {what} were not taken ({problem.what})")
            return
        lines.append(f"submitted {what}: job {job}, {size} task{'s' * (size > 1)}")
        yield job
        tasks -= size


def send(run: Run, what: str, tasks: int, options: list[str], environment: dict[str, str] | None = None) -> str:
    """Returns the id of an array of so many tasks, submitted and recorded. Raises SlurmError where it is refused."""
    path = run.layout.slurm / f"{what}.sh"
    told = ask("sbatch", *options, f"--array=0-{tasks - 1}", str(path), environment=environment)
    job = told.strip().partition(";")[0]
    with open(run.layout.slurm / "jobs.jsonl", "a") as record:
        record.write(jsonl([{"at": now(), "id": job, "script": path.name, "tasks": tasks}]))
    return job


def _next(run: Run) -> list[str]:
    return [f"watch: lth status {run.path}", f"end:   lth cancel {run.path}"]
