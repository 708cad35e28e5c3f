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
from lth.grid.work import Do, Outcome
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
from lth.training.fit import Course, fit
from lth.training.outcome import conclude
from lth.training.workspace import Workspace

log = logging.getLogger("lth")


def doers(run: Run, stop: Event) -> Do:
    """Returns, for each kind of unit, the function that does a list of such units."""
    work = Workspace(run, stop)
    return {
        Dense: partial(dense, work),
        Checkpoint: partial(checkpoint, work),
        Cell: partial(cells, work),
        Finish: partial(finish, work),
    }


def dense(work: Workspace, units: Sequence[Dense]) -> Iterator[Outcome]:
    """Yields the dense network of each seed, trained in full, its weights kept at 0, every rewind point and the end."""
    for unit in units:
        course = work.course(unit, work.model(unit.seed))
        course.keep = {step: str(moment) if step else "0ep" for step, moment in work.moments(unit.seed).items()}
        course.guarded = True
        _fit(work, [course], unit.seed, "dense")
        if course.failure:
            yield unit, course.failure
        elif course.done:
            start = load_state(course.folder / "0ep.safetensors")
            audit = verdict(check_trained(state_of(course.trainee), start, None, None, None))
            yield unit, conclude(work, unit, course, None, audit)


def checkpoint(work: Workspace, units: Sequence[Checkpoint]) -> Iterator[Outcome]:
    """Yields the dense weights at rewind points added later, by exact replay from the nearest earlier kept state."""
    for unit in units:
        nearest, state, optimizer = work.nearest_state(unit.seed, unit.step)
        model = work.model(unit.seed)
        model.load_state_dict(state)
        course = work.course(unit, model, step=nearest)
        restore_optimizer(course.trainee, optimizer)
        course.trainee.last_step = unit.step.index(course.trainee.steps_per_epoch)
        _fit(work, [course], unit.seed, "dense")
        if course.failure:
            yield unit, course.failure
        elif course.done:
            replayed = state_of(course.trainee)
            data = save_state(make_folder(course.folder) / "weights.safetensors", replayed)
            made = {"files": {"weights.safetensors": sha256_of(data)}, "weights_sha256": weights_hash(replayed)}
            yield unit, {"attempt": work.attempt, "replayed_from": nearest, **made}


def cells(work: Workspace, units: Sequence[Cell]) -> Iterator[Outcome]:
    """Yields tickets and controls of one seed, trained in lockstep on one stream."""
    boarded = [board(work, unit) for unit in units]
    _fit(work, [course for course, _, _ in boarded], units[0].seed, work.spec.grid.order)
    for unit, (course, mask, checks) in zip(units, boarded, strict=True):
        if course.failure:
            yield unit, course.failure
        elif course.done:
            trainee = course.trainee
            gradients, optimizer = trainee.named(trainee.gradient), trainee.optimizer_state()
            after = check_trained(state_of(trainee), work.start_state(unit), mask, gradients, optimizer)
            yield unit, conclude(work, unit, course, mask, verdict(checks, after))


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
    pruned = check_mask(mask, ranked, unit.sparsity, prune.scope, rates, set(rates))
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


def _fit(work: Workspace, courses: list[Course], seed: int, order: str) -> None:
    fit(courses, work.stream(seed, order), work.stop, work.spec.execute.checkpoint_seconds)


def run(spec: Spec, into: str | PathLike[str]) -> Run:
    """Returns the run directory `into` after doing all that `spec` asks for, or going on with it.

    Raises RunError where the directory holds another experiment. Failed units are in `Run.results().failed`.
    """
    here = start_run(Path(into), spec)
    with stopping() as stop:
        launch(here, lambda: doers(here, stop), stop)
    return here
