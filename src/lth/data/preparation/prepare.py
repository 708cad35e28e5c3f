"""Preparation of a source as shards: everything that is the same whichever engine makes the shards."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import floor
from pathlib import Path

from lth.data.listing import Source
from lth.data.listings import open_listing
from lth.data.manifest import Manifest, read_manifest
from lth.data.preparation.claim import claimed
from lth.data.preparation.parts import found_records, write_parts, written
from lth.data.preparation.plan import PLAN, Plan, Tasks, compare, make_plan, record_folder, shard_folder
from lth.data.preparation.space import check_space
from lth.data.preparation.task import Recipe, Report, Task
from lth.errors import DataError
from lth.runs.files import make_folder, write_json

Run = Callable[[Sequence[Task]], Iterator[Report]]
NAMED = 5
MOST_FAILURES = 0.001


class FailuresError(DataError):
    """More images cannot be decoded than the user allows."""


@dataclass(frozen=True)
class Summary:
    """What a preparation came to: its manifests, images decoded now and per second, seconds in all.

    `already` says that everything was there before.
    """

    out: Path
    manifests: dict[str, Manifest]
    images: int
    seconds: float
    already: bool

    @property
    def images_per_second(self) -> float | None:
        """Returns the rate at which images were decoded; None where none were."""
        return self.images / self.seconds if self.images else None


@dataclass(frozen=True)
class Begun:
    """Told before the first report: how many images and shards there are in all."""

    images: int
    shards: int


Told = Callable[[Begun | Report], None]


def prepare(
    source: str,
    out: Path,
    recipe: Recipe,
    *,
    run: Run,
    max_failures: int | float = MOST_FAILURES,
    told: Told = lambda _: None,
    listing: Callable[[str], Source] = open_listing,
) -> Summary:
    """Returns the summary of the images of `source` made to shards in the directory `out`, one folder a part.

    `run` makes the shards, here or elsewhere, in any order; `listing` lists the source. What is unfinished lies in
    `out`.partial, and the same call goes on from there; `out` appears in one step when all is done. `max_failures` of
    the images, a whole number or a share such as 0.001, may be undecodable: they are listed in the manifest.

    Raises DataError for a source that cannot be read, another content in `out`, too little room; FailuresError for too
    many undecodable images; RunError where another preparation is at work there, or the disk is full.
    """
    plan = make_plan(listing(source), recipe)
    out = Path(os.path.realpath(os.path.expanduser(out)))
    work = out.with_name(f"{out.name}.partial")
    make_folder(out.parent)
    done = finished(out, plan)
    if done and not work.exists():
        return done
    with claimed(work):
        done = finished(out, plan) or _carry_out(plan, out, work, run, max_failures, told)
        shutil.rmtree(work, ignore_errors=True)
    return done


def finished(out: Path, plan: Plan) -> Summary | None:
    """Returns the summary of `out` where it holds what the plan makes; None where it is missing or empty.

    Raises DataError where it holds anything else.
    """
    cure = "Choose another directory, or move this one away."
    try:
        if not os.listdir(out):
            if os.path.ismount(out):
                cure = "Name a folder below it."
                raise DataError("the top of a file system cannot be committed in one step", at=out, cure=cure)
            return None
    except FileNotFoundError:
        return None
    except NotADirectoryError as problem:
        raise DataError("a file stands where the directory is to be", at=out, cure=cure) from problem
    except OSError as problem:
        raise DataError(f"cannot be looked into: {problem.strerror}", at=out, cure=cure) from problem
    compare(out / PLAN, plan, cure)
    return Summary(out, {part: read_manifest(out / part) for part in plan.source.parts}, 0, 0.0, True)


def _carry_out(plan: Plan, out: Path, work: Path, run: Run, max_failures: int | float, told: Told) -> Summary:
    _begin(plan, work)
    tasks = Tasks(plan, work)
    check_space(tasks, plan.recipe, work)
    told(Begun(plan.images, len(tasks)))
    began = time.perf_counter()
    try:
        made = _make(plan, work, tasks, run, max_failures, told)
    finally:
        _clear_attempts(plan, work)
    seconds = time.perf_counter() - began
    manifests = write_parts(plan, work)
    write_json(work / "data" / PLAN, plan.record)
    for part, manifest in manifests.items():
        for shard in manifest.shards:
            _sync(shard_folder(work, part) / shard.name)
        _sync(shard_folder(work, part))
    _sync(work / "data")
    _commit(plan, work, out)
    return Summary(out, manifests, made, seconds, False)


def _commit(plan: Plan, work: Path, out: Path) -> None:
    try:
        os.rename(work / "data", out)
    except OSError:
        if finished(out, plan) is None:  # else somebody who took us for dead was first
            raise
    _sync(out.parent)
    for part in plan.source.parts:  # of workers who have outlived their engine
        for attempt in (out / part).glob(".*.tmp"):
            attempt.unlink(missing_ok=True)


def _begin(plan: Plan, work: Path) -> None:
    """Makes the folders, or sees that those there are of the same plan."""
    if (work / PLAN).exists():
        compare(work / PLAN, plan, f"Ask for the same to go on with it, or remove {work} to begin again.")
    else:
        write_json(work / PLAN, plan.record)
    for part in plan.source.parts:
        make_folder(shard_folder(work, part))
        make_folder(record_folder(work, part))
    _clear_attempts(plan, work)


def _make(plan: Plan, work: Path, tasks: Tasks, run: Run, max_failures: int | float, told: Told) -> int:
    """Returns how many images were decoded now, every shard being there in the end."""
    allowed = max_failures if isinstance(max_failures, int) else floor(max_failures * plan.images)
    left, failures, made = {(part, number) for part, number, _ in tasks.places}, 0, 0
    with _closing(run(tasks)) as reports:
        for report in reports:
            left.discard((report.part, report.number))
            failures += report.failures
            made += 0 if report.reused else report.rows + report.failures
            told(report)
            if failures > allowed:
                raise _too_many(plan, work, failures, allowed)
    if left:
        part, number = min(left)
        what = f"{len(left)} shards were not made, the first of them {part}, {number}"
        raise DataError(what, at=work, cure="Run the same command again; finished shards are kept.")
    return made


@contextmanager
def _closing(reports: Iterator[Report]) -> Generator[Iterator[Report]]:
    """Ends the engine's work at once where the reports are not heard to their end."""
    try:
        yield reports
    finally:
        if isinstance(reports, Generator):
            reports.close()


def _too_many(plan: Plan, work: Path, failures: int, allowed: int) -> FailuresError:
    records = (record for part in plan.source.parts for record in found_records(plan, work, part))
    named = [failure for record in records if record for failure in record.failures]
    first = "; ".join(f"{written(name)}: {written(reason)}" for name, reason in named[:NAMED])
    what = f"{failures} images so far cannot be decoded, more than the {allowed} of {plan.images} allowed: {first}"
    cure = "Mend them or take them away, or allow more with --max-failures; finished shards are kept."
    return FailuresError(what, at=work, cure=cure)


def _clear_attempts(plan: Plan, work: Path) -> None:
    """Removes what attempts that ended by force have left behind."""
    for part in plan.source.parts:
        for folder in (shard_folder(work, part), record_folder(work, part)):
            for attempt in folder.glob(".*.tmp"):
                attempt.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Has a file, or the names in a folder, written to disk, where the file system knows of that."""
    number = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):
            os.fsync(number)
    finally:
        os.close(number)
