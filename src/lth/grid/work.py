"""The worker loop: ready, claim, do, publish. Any number of workers, started anyhow, share a run directory."""

from __future__ import annotations

import logging
import math
import os
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from threading import Event
from typing import Any

from lth.errors import DataError, LthError, MissingExtraError, ModelError, RunError, SpecError, TrainingError
from lth.grid.next import ready
from lth.grid.unit import Cell, Unit
from lth.runs.claim import Claims
from lth.runs.records import FORMAT_VERSION, CellResult, Failure
from lth.runs.run import Run, new_attempt, now

log = logging.getLogger("lth")

Outcome = tuple[Unit, CellResult | dict[str, Any] | LthError]
Do = Mapping[type, Callable[[Sequence[Any]], Iterator[Outcome]]]

# Errors of the set-up, not of a unit: the worker stops, and nothing is marked as failed.
SETUP = (SpecError, DataError, ModelError, RunError, MissingExtraError)
LOOK_AGAIN_SECONDS = 0.2


def loop(run: Run, do: Do, stop: Event, *, wait: bool = False) -> None:
    """Returns when nothing is ready (with `wait`: when nothing is ready and nobody is working), or `stop` is set.

    Raises the LthError of a set-up that cannot work; failures of single units are written down instead.
    """
    with run.claims() as claims:
        while not stop.is_set():
            batch = claim_batch(run, claims)
            if batch:
                _do(run, do, batch, stop)
                for unit in batch:
                    claims.release(unit.id)
            elif wait and (claims.running() or ready(run.spec, run.results())):
                stop.wait(LOOK_AGAIN_SECONDS)
            else:
                return


def claim_batch(run: Run, claims: Claims) -> list[Unit]:
    """Returns units this worker has claimed, all of one data stream; at most a fair share of what is ready."""
    units = ready(run.spec, run.results())
    fair = math.ceil(len(units) / worker_count(run))
    most = min(run.spec.execute.tickets_per_worker, max(1, fair))
    batch: list[Unit] = []
    for unit in units:
        if batch and (stream_of(unit) != stream_of(batch[0]) or len(batch) >= most):
            continue
        if len(batch) < most and claims.take(unit.id):
            batch.append(unit)
    fresh = run.results()  # another worker may have published between the look and the claim
    for unit in [unit for unit in batch if fresh.settled(unit.id)]:
        claims.release(unit.id)
        batch.remove(unit)
    return batch


def stream_of(unit: Unit) -> tuple[object, ...]:
    """Returns what units trained in lockstep must share; only tickets of one seed share anything."""
    return ("cell", unit.seed) if isinstance(unit, Cell) else (unit.id,)


def worker_count(run: Run) -> int:
    """Returns how many workers this run asks for; "auto" is one for each core this process may use."""
    workers = run.spec.execute.workers
    if run.spec.execute.launcher == "local":
        return 1
    return (
        workers if isinstance(workers, int) else len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    )


def _do(run: Run, do: Do, batch: list[Unit], stop: Event) -> None:
    """Does and publishes a batch; one that breaks as a whole is done again one unit at a time, to find the culprit."""
    waiting = list(batch)
    try:
        for unit, outcome in do[type(batch[0])](batch):
            waiting.remove(unit)
            _settle(run, unit, outcome)
    except SETUP:
        raise
    except Exception as problem:
        log.exception("%s and %d more broke", waiting[0].id, len(waiting) - 1)
        if len(batch) > 1:
            for unit in waiting:
                if not stop.is_set():
                    _do(run, do, [unit], stop)
        else:
            _settle(run, batch[0], problem)


def _settle(run: Run, unit: Unit, outcome: CellResult | dict[str, Any] | Exception) -> None:
    if isinstance(outcome, Exception):
        failure = _failure(unit, outcome)
        run.fail(unit.folder, failure)
        log.error("%s failed: %s", unit.id, failure.message)
        return
    if isinstance(outcome, dict):
        kind = type(unit).__name__.lower()
        outcome = {"format_version": FORMAT_VERSION, "kind": kind, "id": unit.id, "finished_at": now(), **outcome}
    if run.publish(unit.folder, outcome):
        log.info("%s done%s", unit.id, _accuracy(outcome))
    else:
        attempt = outcome.attempt if isinstance(outcome, CellResult) else outcome.get("attempt")
        if attempt is not None:
            shutil.rmtree(run.layout.attempt(unit.folder, attempt), ignore_errors=True)
        log.info("%s was already published by another worker", unit.id)
    run.layout.resume(unit.folder).unlink(missing_ok=True)


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
