"""The algorithm, top to bottom: what each kind of unit does."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import partial
from os import PathLike
from pathlib import Path
from threading import Event

from lth.data.order import stream_seed
from lth.errors import MissingExtraError
from lth.grid.launch import launch, stopping
from lth.grid.unit import Cell, Checkpoint, Dense, Finish
from lth.grid.work import Do, DoesNotFit, Outcome
from lth.pruning.audit import check_mask, check_rewound, check_trained, verdict
from lth.pruning.controls import random_mask, shuffled_mask
from lth.pruning.mask import Mask
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
    """Yields the dense weights at rewind points added later, by exact replay from the nearest earlier kept state."""
    for unit in units:
        if work.spec.train.entry:
            yield unit, no_replay(unit)
            continue
        nearest, state, optimizer = work.nearest_state(unit.seed, unit.step)
        model = work.model(unit.seed)
        model.load_state_dict(state)
        course = work.course(unit, model, step=nearest)
        restore_optimizer(course.trainee, optimizer)
        course.trainee.last_step = unit.step.index(course.trainee.steps_per_epoch)
        _fit(work, [course], unit.seed, "dense")
        if course.failure:
            yield unit, course.failure
        elif course.done and work.group.first:
            replayed = state_of(course.trainee)
            data = save_state(make_folder(course.folder) / "weights.safetensors", replayed)
            made = {"files": {"weights.safetensors": sha256_of(data)}, "weights_sha256": weights_hash(replayed)}
            yield unit, {"attempt": work.attempt, "replayed_from": nearest, **made}


def cells(work: Workspace, units: Sequence[Cell]) -> Iterator[Outcome]:
    """Yields tickets and controls of one seed, trained in lockstep on one stream.

    Raises DoesNotFit where memory is not expected to hold so many. Where they break, their memory is free again.
    """
    work.masks(units[0].seed)  # with them come the data; the tickets share the memory that is left
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
    given = _fit(work, [course for course, _, _ in boarded], units[0].seed, work.spec.grid.order)
    for unit, (course, mask, checks) in zip(units, boarded, strict=True):
        if course.failure:
            yield unit, course.failure
        elif course.done:
            trainee = course.trainee
            gradients = None if trainee.last_gradient is None else trainee.named(trainee.last_gradient)
            optimizer = None if work.spec.train.entry else trainee.optimizer_state()
            after = check_trained(state_of(trainee), work.start_state(unit), mask, gradients, optimizer)
            yield unit, conclude(work, unit, course, mask, verdict(checks, after), given)
            forget(course)


def board(work: Workspace, unit: Cell) -> tuple[Course, Mask, dict[str, bool]]:
    """Returns a ticket ready to train, its mask, and the audit of its pruning and rewinding.

    Rewinding: the whole state dict at the rewind step, the schedule and the data at that step, a fresh
    optimizer. The control `reinit` starts from fresh weights at step 0 instead.
    """
    mask, prune = ticket_mask(work, unit), work.spec.prune
    start, model = work.start_state(unit), work.model(unit.seed)
    model.load_state_dict(start)
    step = 0 if unit.control == "reinit" else unit.rewind.index(work.resident(unit.seed).steps_per_epoch)
    course = work.course(unit, model, step=step, mask=mask)
    ranked = None if unit.control in ("shuffled_mask", "random_mask") else work.final_state(unit.seed)
    rates = work.prunable(unit.seed)
    pruned = check_mask(mask, ranked, unit.sparsity, prune.scope, rates, set(rates), work.costs)
    return course, mask, {**pruned, **check_rewound(state_of(course.trainee), start, mask)}


def ticket_mask(work: Workspace, unit: Cell) -> Mask:
    """Returns the unit's mask: the seed's ranking at its sparsity, shuffled or redrawn for those controls."""
    mask = work.masks(unit.seed)[unit.sparsity]
    seed = stream_seed(unit.seed, f"mask-{unit.sparsity!r}")
    match unit.control:
        case "shuffled_mask":
            return shuffled_mask(mask, seed)
        case "random_mask":
            return random_mask(mask, seed)
        case _:
            return mask


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
