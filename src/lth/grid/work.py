"""The worker loop: ready, claim, do, publish. Any number of workers, started anyhow, share a run directory."""

from __future__ import annotations

import gc
import logging
import math
import os
import random
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from threading import Event
from typing import Any

from lth.errors import DataError, LthError, MissingExtraError, ModelError, RunError, SpecError, TrainingError
from lth.grid.devices import SHARERS, WORKERS, cores_here, gpus
from lth.grid.next import ready
from lth.grid.place import place
from lth.grid.sweep import sweep
from lth.grid.unit import Cell, Finish, Unit
from lth.runs.attempt import new_attempt, tidy
from lth.runs.claim import Claims, Owner
from lth.runs.deaths import note_death
from lth.runs.layout import PREVIOUS, RESUME
from lth.runs.records import FORMAT_VERSION, CellResult, Failure
from lth.runs.run import Run, now

log = logging.getLogger("lth")

Outcome = tuple[Unit, CellResult | dict[str, Any] | LthError]
Do = Mapping[type, Callable[[Sequence[Any]], Iterator[Outcome]]]

# Errors of the set-up, not of a unit: the worker stops, and nothing is marked as failed.
SETUP = (SpecError, DataError, ModelError, RunError, MissingExtraError)
LOOK_AGAIN_SECONDS, PATIENCE, LONGEST_SECONDS = 0.2, 1.25, 5.0  # who waits looks ever more seldom
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
    most, pause = 1 if run.spec.train.entry else run.spec.execute.tickets_per_worker, LOOK_AGAIN_SECONDS
    with run.claims() as claims:
        sweep(run, claims)
        while not stop.is_set():
            run.check_there()
            if batch := claim_batch(run, claims, do, most):
                pause = LOOK_AGAIN_SECONDS
                try:
                    _do(run, do, batch, stop)
                except DoesNotFit as problem:
                    most = problem.most
                    log.warning("%s", problem.what)
                for unit in batch:
                    claims.release(unit.id)
                if isinstance(batch[0], Finish):
                    sweep(run, claims)
                if call_workers is not None and not stop.is_set():
                    call_workers(run)
            elif wait and (claims.anyone() or _ready(run, do)):
                stop.wait(pause)
                pause = min(PATIENCE * pause, LONGEST_SECONDS)
            else:
                return


def claim_batch(run: Run, claims: Claims, do: Do, most: int) -> list[Unit]:
    """Returns at most `most` units of the kinds in `do` that this worker has claimed, all of one data stream.

    It takes no more than a fair share of what is ready. Units are taken by what the journal tells, so that a look costs
    the same however many there are; where nothing is left by that, folders that it does not tell of are looked into,
    and others' claims. A unit whose worker has died is taken alone, so that of those that were with it only the one
    to blame dies again.
    """
    units, claimed = _ready(run, do), claims.listed()
    share = min(most, max(1, math.ceil(len(units) / worker_count(run))))
    free = [unit for unit in units if unit.id not in claimed]
    if claimed and free:  # others are at work: each begins somewhere else, so that they do not run for the same units
        begin = random.randrange(len(free))
        free = [*free[begin:], *free[:begin]]
    if batch := _pick(run, claims, free, share):
        return batch
    run.told.look_everywhere()
    return _pick(run, claims, _ready(run, do), share)


def _ready(run: Run, do: Do) -> list[Unit]:
    run.told.listen()
    return [unit for unit in ready(run.spec, run.told.results()) if type(unit) in do]


def _pick(run: Run, claims: Claims, units: Sequence[Unit], most: int) -> list[Unit]:
    """Returns the units that this worker has claimed, of one data stream, in their order."""
    batch: list[Unit] = []
    for unit in units:
        if len(batch) >= most:
            break
        if batch and (stream_of(unit) != stream_of(batch[0]) or unit.folder in run.told.fatal):
            continue
        if run.told.settled(unit.folder):
            continue
        if _take(run, claims, unit, bool(batch)):
            batch.append(unit)
            most = 1 if unit.folder in run.told.fatal else most
    return batch


def _take(run: Run, claims: Claims, unit: Unit, beside: bool) -> bool:
    """Returns whether the unit is this worker's; a death of its last holder is written down first."""
    if not claims.take(unit.id):
        return False
    owner = claims.dead.pop(unit.id, None)
    settled = run.told.look_into(unit.folder)
    if settled:  # another worker published it between the look and the claim, and more of them, most likely
        run.told.listen()
    elif owner is not None:
        settled = _died(run, unit, owner, beside)
    if settled or (beside and unit.folder in run.told.fatal):
        claims.release(unit.id)
        return False
    return True


def _died(run: Run, unit: Unit, owner: Owner, beside: bool) -> bool:
    """Returns whether the unit is given up, now that the death of its last holder is written down."""
    if (stands := place(os.environ)) is not None and stands.under_mpi:
        return False  # where one rank dies mpiexec kills all: which unit was to blame cannot be told
    given_up = note_death(run, unit.id, unit.folder, owner)
    run.told.fatal.add(unit.folder)
    if given_up:
        log.error("%s is given up: its worker was killed twice, with nothing saved in between", unit.id)
    elif not beside:
        log.warning("%s: its worker (process %d) has died; it is done alone now", unit.id, owner.pid)
    return given_up


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
    if told.isdigit():
        return int(told)
    return worker_count(run) if run.spec.execute.launcher == "processes" else 1


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
        tidy(run.layout.unit(unit.folder), attempt)
        return
    log.info("%s was already published by another worker", unit.id)
    if attempt is not None:
        shutil.rmtree(run.layout.attempt(unit.folder, attempt), ignore_errors=True)
    for name in (RESUME, PREVIOUS):  # saved after the other one had tidied up
        (run.layout.unit(unit.folder) / name).unlink(missing_ok=True)


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
