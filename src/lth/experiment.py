"""The algorithm, top to bottom: what each kind of unit does."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import partial
from os import PathLike
from pathlib import Path
from threading import Event

from lth.errors import MissingExtraError
from lth.grid.launch import launch, stopping
from lth.grid.unit import Cell, Checkpoint, Dense, Finish
from lth.grid.work import Do, DoesNotFit, Outcome
from lth.pruning.audit import check_trained, verdict
from lth.report.page import write_report
from lth.results.select import select_winner
from lth.runs.files import make_folder, sha256_of, write_json
from lth.runs.run import Run, start_run
from lth.spec.schema import Spec
from lth.tickets.winner import winning_ticket
from lth.training.checkpoint import load_state, restore_optimizer, save_state, state_of, weights_hash
from lth.training.distributed import ALONE, Group
from lth.training.entry_unit import forget, no_replay, train_by_entry
from lth.training.fit import Course, Pace, fit
from lth.training.memory import free
from lth.training.outcome import conclude, final_scores
from lth.training.variants import board, landed
from lth.training.workspace import Workspace

log = logging.getLogger("lth")


def doers(run: Run, stop: Event, group: Group = ALONE) -> Do:
    """Returns, for each kind of unit, the function that does a list of such units.

    The processes of a `group` train dense networks together, and do nothing else; where `execute.data_parallel`
    asks for such a group, other workers leave the dense networks to it.
    """
    work = Workspace(run, stop, group)
    together = {Dense: partial(dense, work), Checkpoint: partial(checkpoint, work)}
    if group.world > 1:
        return together
    alone = {Cell: partial(cells, work), Finish: partial(finish, work)}
    return alone if run.spec.execute.data_parallel > 1 else {**together, **alone}


def dense(work: Workspace, units: Sequence[Dense]) -> Iterator[Outcome]:
    """Yields the dense network of each seed, trained in full, its weights kept at 0, every rewind point and the end."""
    for unit in units:
        course = work.course(unit, work.model(unit.seed))
        course.keep = {step: str(moment) if step else "0ep" for step, moment in work.moments(unit.seed).items()}
        course.guarded = True
        given = _fit(work, [course], unit.seed, "dense")
        if course.failure:
            yield unit, course.failure
        elif course.done and not work.group.first:
            final_scores(course, work.resident(unit.seed))  # its share of what the first process records
        elif course.done:
            start = load_state(course.folder / "0ep.safetensors")
            audit = verdict(check_trained(state_of(course.trainee), start, None, None, None))
            yield unit, conclude(work, unit, course, None, audit, given)
            forget(course)


def checkpoint(work: Workspace, units: Sequence[Checkpoint]) -> Iterator[Outcome]:
    """Yields weights at rewind points that no dense run kept: by exact replay of the dense run from its nearest kept
    state, or by training another initialisation up to there.
    """
    for unit in units:
        if work.spec.train.entry:
            yield unit, no_replay(unit)
            continue
        if unit.fresh:
            nearest, state, optimizer = 0, work.fresh_state(unit.seed), {}
        else:
            nearest, state, optimizer = work.nearest_state(unit.seed, unit.step)
        model = work.model(unit.seed)
        model.load_state_dict(state)
        course = work.course(unit, model)
        trainee = course.trainee
        restore_optimizer(trainee, optimizer)
        trainee.step = trainee.first_step = nearest
        trainee.last_step = unit.step.index(trainee.steps_per_epoch)
        _fit(work, [course], unit.seed, "dense")
        if course.failure:
            yield unit, course.failure
        elif course.done and work.group.first:
            replayed = state_of(trainee)
            data = save_state(make_folder(course.folder) / "weights.safetensors", replayed)
            made = {"files": {"weights.safetensors": sha256_of(data)}, "weights_sha256": weights_hash(replayed)}
            yield unit, {"attempt": work.attempt, "replayed_from": nearest, **made}


def cells(work: Workspace, units: Sequence[Cell]) -> Iterator[Outcome]:
    """Yields tickets and controls of one seed, trained in lockstep on one stream.

    Raises DoesNotFit where memory is not expected to hold so many. Where they break, their memory is free again.
    """
    work.resident(units[0].seed)  # the tickets share the memory that data and masks leave
    if not work.spec.iterative:
        work.masks(units[0].seed)
    if len(units) > 1 and len(units) > work.room.tickets:
        raise DoesNotFit(len(units), int(work.room.tickets), str(work.room))
    try:
        for group in [[unit] for unit in units] if work.spec.train.entry else [units]:
            yield from lockstep(work, group)
    except Exception as problem:
        work.release()
        free(problem)
        raise


def lockstep(work: Workspace, units: Sequence[Cell]) -> Iterator[Outcome]:
    """Yields the units, which share one data stream, after training all of them together."""
    boarded = [board(work, unit) for unit in units]
    given = _fit(work, [one.course for one in boarded], units[0].seed, work.order(units[0]))
    for one in boarded:
        if one.course.failure:
            yield one.unit, one.course.failure
        elif one.course.done:
            mask, audit = landed(work, one)
            yield one.unit, conclude(work, one.unit, one.course, mask, audit, given)
            forget(one.course)


def finish(work: Workspace, units: Sequence[Finish]) -> Iterator[Outcome]:
    """Yields the closing record, after writing the selection, the winning ticket and the report."""
    run = work.run
    for unit in units:
        selection = select_winner(run.spec, run.results())
        make_folder(run.layout.selection.parent)
        write_json(run.layout.selection, selection.as_json())
        ticket = winning_ticket(work, selection)
        if ticket is not None:
            ticket.save(run.layout.ticket)
        else:  # an extended run may have lost the winner it had
            run.layout.ticket.unlink(missing_ok=True)
        if selection.test_top1 is not None:
            run.test_shown()
        try:
            write_report(run)
        except MissingExtraError as missing:
            log.warning("no report: %s", missing)
        yield unit, {"verdict": selection.verdict, "ticket": ticket is not None}


def _fit(work: Workspace, courses: list[Course], seed: int, order: str) -> dict[str, float]:
    """Returns the scores that a `train.entry` gave, which trains one course at a time; {} after our own training."""
    if work.spec.train.entry:
        return train_by_entry(work, courses[0], seed, order)
    execute = work.spec.execute
    fit(courses, work.stream(seed, order), work.stop, Pace(execute.checkpoint_seconds, execute.checkpoint_epochs))
    return {}


def run(spec: Spec, into: str | PathLike[str]) -> Run:
    """Returns the run directory `into` after doing all that `spec` asks for, or going on with it.

    Raises RunError where the directory holds another experiment. Failed units are in `Run.results().failed`.
    """
    here = start_run(Path(into), spec)
    with stopping() as stop:
        launch(here, lambda: doers(here, stop), stop)
    return here
