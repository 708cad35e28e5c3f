"""The worker loop: ready, claim, do, publish. Any number of workers, started anyhow, share a run directory."""

from __future__ import annotations

import gc
import logging
import math
import os
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from threading import Event
from typing import Any

from lth.errors import DataError, LthError, MissingExtraError, ModelError, RunError, SpecError, TrainingError
from lth.grid.devices import SHARERS, WORKERS, cores_here, gpus
from lth.grid.next import ready
from lth.grid.place import place
from lth.grid.unit import Cell, Unit
from lth.runs.attempt import clear_orphans, new_attempt
from lth.runs.claim import Claims
from lth.runs.deaths import note_death
from lth.runs.layout import previous
from lth.runs.records import FORMAT_VERSION, CellResult, Failure
from lth.runs.run import Run, now

log = logging.getLogger("lth")

Outcome = tuple[Unit, CellResult | dict[str, Any] | LthError]
Do = Mapping[type, Callable[[Sequence[Any]], Iterator[Outcome]]]

# Errors of the set-up, not of a unit: the worker stops, and nothing is marked as failed.
SETUP = (SpecError, DataError, ModelError, RunError, MissingExtraError)
LOOK_AGAIN_SECONDS = 0.2
NO_MEMORY = ("can't allocate memory", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED")


class DoesNotFit(LthError):
    """Units that do not fit in memory together; `most` of them should, and so many at a time are then taken up."""

    def __init__(self, units: int, most: int, why: str):
        self.most = most
        super().__init__(f"{units} tickets do not fit in memory; going on with {most} ({why})")


def loop(
    run: Run, do: Do, stop: Event, *, wait: bool = False, call_workers: Callable[[Run], None] | None = None
) -> None:
    """Returns when nothing is ready (with `wait`: when nothing is ready and nobody is working), or `stop` is set.

    After each batch it may call more workers, where the engine can: `call_workers` decides.
    Only units of the kinds in `do` are taken. Units that did not fit in memory together are done fewer at a
    time from then on, each from where it was saved. Raises the LthError of a set-up that cannot work, or where the
    run was moved; failures of single units are written down instead.
    """
    most = 1 if run.spec.train.entry else run.spec.execute.tickets_per_worker
    with run.claims() as claims:
        while not stop.is_set():
            run.check_there()
            batch = claim_batch(run, claims, do, most)
            if batch:
                try:
                    _do(run, do, batch, stop)
                except DoesNotFit as problem:
                    most = problem.most
                    log.warning("%s", problem.what)
                for unit in batch:
                    claims.release(unit.id)
                if call_workers is not None and not stop.is_set():
                    call_workers(run)
            elif wait and (claims.running() or _ready(run, do)):
                stop.wait(LOOK_AGAIN_SECONDS)
            else:
                return


def claim_batch(run: Run, claims: Claims, do: Do, most: int) -> list[Unit]:
    """Returns at most `most` units of the kinds in `do` that this worker has claimed, all of one data stream.

    It takes no more than a fair share of what is ready. Others' claims are looked into only where nothing free is
    left, so a look costs the same however many are at work. A unit whose worker has died is taken alone, so that
    of those that were with it only the one to blame dies again.
    """
    units, claimed = _ready(run, do), claims.listed()
    most = min(most, max(1, math.ceil(len(units) / worker_count(run))))
    batch = _pick(run, claims, [unit for unit in units if unit.id not in claimed], most)
    batch = batch or _pick(run, claims, [unit for unit in units if unit.id in claimed], most)
    fresh = run.results()  # another worker may have published between the look and the claim
    for unit in [unit for unit in batch if fresh.settled(unit.id)]:
        claims.release(unit.id)
        batch.remove(unit)
    return batch


def _pick(run: Run, claims: Claims, units: Sequence[Unit], most: int) -> list[Unit]:
    """Returns the units that this worker has claimed, of one data stream, in their order."""
    batch: list[Unit] = []
    for unit in units:
        if batch and (stream_of(unit) != stream_of(batch[0]) or len(batch) >= most):
            continue
        if len(batch) < most and not (batch and unit.folder in run.fatal) and _take(run, claims, unit, bool(batch)):
            batch.append(unit)
            most = 1 if unit.folder in run.fatal else most
    return batch


def _take(run: Run, claims: Claims, unit: Unit, beside: bool) -> bool:
    """Returns whether the unit is this worker's; a death of its last holder is written down first."""
    if not claims.take(unit.id):
        return False
    if (owner := claims.dead.pop(unit.id, None)) is None or run.layout.result(unit.folder).exists():
        return True
    if (stands := place(os.environ)) is not None and stands.under_mpi:
        return True  # where one rank dies mpiexec kills all: which unit was to blame cannot be told
    given_up = note_death(run, unit.id, unit.folder, owner)
    run.fatal.add(unit.folder)
    if given_up:
        log.error("%s is given up: its worker was killed twice, with nothing saved in between", unit.id)
    if given_up or beside:
        claims.release(unit.id)
        return False
    log.warning("%s: its worker (process %d) has died; it is done alone now", unit.id, owner.pid)
    return True


def _ready(run: Run, do: Do) -> list[Unit]:
    return [unit for unit in ready(run.spec, run.results()) if type(unit) in do]


def stream_of(unit: Unit) -> tuple[object, ...]:
    """Returns what units trained in lockstep must share; only tickets of one seed and level share anything."""
    return ("cell", unit.seed, unit.level, unit.control == "copy") if isinstance(unit, Cell) else (unit.id,)


def worker_count(run: Run) -> int:
    """Returns how many workers this run asks for; "auto" is one for each GPU here, or else one for each core."""
    execute = run.spec.execute
    if execute.launcher == "local":
        return 1
    if isinstance(execute.workers, int):
        return execute.workers
    told = os.environ.get(WORKERS, "")
    return int(told) if told.isdigit() else len(gpus_of(run)) or len(cores_here())


def gpus_of(run: Run) -> tuple[str, ...]:
    """Returns the GPUs here that the workers of this run may use."""
    return () if run.spec.execute.device == "cpu" else gpus(os.environ)


def workers_here(run: Run) -> int:
    """Returns how many workers of this run share this worker's memory, as far as the launcher tells."""
    told = os.environ.get(SHARERS, "")
    return (int(told) if told.isdigit() else worker_count(run)) if run.spec.execute.launcher == "processes" else 1


def _do(run: Run, do: Do, batch: list[Unit], stop: Event) -> None:
    """Does and publishes a batch; one that breaks as a whole is done again one unit at a time, to find the culprit.

    Raises DoesNotFit where memory ran out for several units together.
    """
    waiting = list(batch)
    try:
        for unit, outcome in do[type(batch[0])](batch):
            waiting.remove(unit)
            _settle(run, unit, outcome)
        return
    except (*SETUP, DoesNotFit):
        run.check_there()
        raise
    except Exception as problem:
        run.check_there()  # or else what broke is not the unit's fault
        full = f"{type(problem).__name__}: {problem}".splitlines()[0].rstrip(": ") if out_of_memory(problem) else ""
        if not full:
            log.exception("%s and %d more broke", waiting[0].id, len(waiting) - 1)
        if len(batch) == 1:
            cure = "Take a smaller data.batch_size, a train.micro_batch, or another execute.device."
            return _settle(run, batch[0], LthError(f"does not fit in memory: {full}", cure=cure) if full else problem)
    gc.collect()  # with the error its frames are gone, and all that they held
    if full:
        raise DoesNotFit(len(batch), len(batch) // 2, full)
    for unit in waiting:
        if not stop.is_set():
            _do(run, do, [unit], stop)


def out_of_memory(problem: Exception) -> bool:
    """Returns whether memory ran out; torch's errors are told by their wording, for this layer does without torch."""
    return isinstance(problem, MemoryError) or any(words in str(problem) for words in NO_MEMORY)


def _settle(run: Run, unit: Unit, outcome: CellResult | dict[str, Any] | Exception) -> None:
    run.check_there()  # a result would make a folder anew in the old place of a run that was moved
    if isinstance(outcome, Exception):
        failure = _failure(unit, outcome)
        run.fail(unit.folder, failure)
        log.error("%s failed: %s", unit.id, failure.message)
        return
    if isinstance(outcome, dict):
        kind = type(unit).__name__.lower()
        outcome = {"format_version": FORMAT_VERSION, "kind": kind, "id": unit.id, "finished_at": now(), **outcome}
    attempt = outcome.attempt if isinstance(outcome, CellResult) else outcome.get("attempt")
    if run.publish(unit.folder, outcome):
        log.info("%s done%s", unit.id, _accuracy(outcome))
        clear_orphans(run.layout.unit(unit.folder), attempt)
    else:
        if attempt is not None:
            shutil.rmtree(run.layout.attempt(unit.folder, attempt), ignore_errors=True)
        log.info("%s was already published by another worker", unit.id)
    saved = run.layout.resume(unit.folder)
    for path in (saved, previous(saved)):
        path.unlink(missing_ok=True)


def _accuracy(outcome: CellResult | dict[str, Any]) -> str:
    return (
        f" validation {outcome.validation_top1:.2%} in {outcome.seconds:.1f} s"
        if isinstance(outcome, CellResult)
        else ""
    )


def _failure(unit: Unit, problem: Exception) -> Failure:
    step = str(problem.at).rpartition("step ")[2] if isinstance(problem, TrainingError) else ""
    return Failure(
        id=unit.id,
        error=type(problem).__name__,
        message=str(problem),
        step=int(step) if step.isdigit() else None,
        final=isinstance(problem, TrainingError),
        attempt=new_attempt(),
        host=socket.gethostname(),
        failed_at=now(),
    )
