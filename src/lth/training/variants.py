"""Tickets and everything they are compared with, ready to train: weights to start from, mask, schedule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from lth.errors import ModelError, TrainingError
from lth.grid.unit import Cell, Checkpoint
from lth.models.narrow import narrower
from lth.pruning.audit import check_rewound, check_trained, verdict
from lth.pruning.controls import signed_state
from lth.pruning.gradual import pruning_moments, regrow_free_mask, sparsity_at
from lth.pruning.mask import Mask
from lth.runs.records import Audit
from lth.spec.step import Step
from lth.spec.variants import Variant, span, variant
from lth.training.checkpoint import state_of
from lth.training.fit import Course
from lth.training.masks import check_budget, level_before, mask_and_checks, ticket_mask
from lth.training.trainee import Timing, Trainee
from lth.training.workspace import Workspace


@dataclass(frozen=True)
class Boarded:
    """A cell about to train: its course, the state dict it starts from, its mask, and the audit so far."""

    unit: Cell
    course: Course
    start: dict[str, Tensor]
    mask: Mask | None
    checks: dict[str, bool]


def board(work: Workspace, unit: Cell) -> Boarded:
    """Returns a ticket, or a variant of one, ready to train, with the audit of its pruning and rewinding.

    Rewinding: the whole state dict at the rewind step, the schedule and the data at that step, a fresh
    optimizer. What each variant starts from instead says `lth.spec.variants`.
    """
    one, steps_per_epoch = variant(unit.control), work.resident(unit.seed).steps_per_epoch
    model, start = _network(work, unit, one)
    first, last = span(work.spec, unit.control, unit.sparsity or 0.0, unit.rewind, steps_per_epoch)
    timing = Timing(first, last, held=unit.control == "fine_tune")
    mask, checks = mask_and_checks(work, unit)
    alone = one is not None and one.network != "same"
    course = work.course(unit, model, timing=timing, mask=mask, alone=alone)
    if one is not None and one.mask == "gradual":
        course.remask = _gradual(work, unit, course.trainee)
    rewound = check_rewound(state_of(course.trainee), start, mask or Mask({}))
    return Boarded(unit, course, start, mask, {**checks, **rewound})


def landed(work: Workspace, one: Boarded) -> tuple[Mask | None, Audit]:
    """Returns the mask that a trained cell ended with, and the audit of its whole training."""
    trainee, mask, checks = one.course.trainee, one.mask, one.checks
    if trainee.remasked and trainee.mask is not None:
        kept = trainee.named(trainee.mask)
        mask = Mask({name: kept[name].bool() for name in work.prunable})
        checks = {**checks, **check_budget(work, one.unit, mask)}
    gradients = None if trainee.last_gradient is None else trainee.named(trainee.last_gradient)
    optimizer = None if work.spec.train.entry else trainee.optimizer_state()
    return mask, verdict(checks, check_trained(state_of(trainee), one.start, mask, gradients, optimizer))


def _network(work: Workspace, unit: Cell, one: Variant | None) -> tuple[nn.Module, dict[str, Tensor]]:
    """The network with the weights it starts from, and their state dict."""
    if one is not None and one.network != "same":
        model = _narrow(work, unit, one)
        return model, {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
    start, model = _start(work, unit, "rewound" if one is None else one.weights), work.model(unit.seed)
    model.load_state_dict(start)
    return model, start


def _start(work: Workspace, unit: Cell, weights: str) -> dict[str, Tensor]:
    match weights:
        case "trained":
            first = unit.level is None or unit.level == 1
            return work.final_state(unit.seed) if first else level_before(work, unit, unit.seed)[0]
        case "initial":
            return work.dense_state(unit.seed, Step())
        case "fresh":
            return work.fresh_state(unit.seed)
        case "fresh_rewound":
            return work.replayed_state(Checkpoint(unit.seed, unit.rewind, fresh=True))
        case "signs":
            return signed_state(work.fresh_state(unit.seed), work.dense_state(unit.seed, Step()), list(work.prunable))
        case _:
            return work.dense_state(unit.seed, unit.rewind)


def _narrow(work: Workspace, unit: Cell, one: Variant) -> nn.Module:
    """The widest dense network with no more parameters, or multiply-adds, than the ticket keeps."""
    resident, (prunable, parameters) = work.resident(unit.seed), work.sizes
    mask = ticket_mask(work, unit).mask
    if one.network == "equal_parameters":
        goal = {"parameters": parameters - prunable + mask.kept}
    else:
        shares = mask.layer_densities()
        goal = {"multiply_adds": round(sum(cost * shares.get(name, 1.0) for name, cost in work.costs.items()))}
    try:
        model = narrower(work.spec.model, resident.input_shape, resident.classes, **goal)
    except ModelError as problem:  # of this ticket alone: sparser than the narrowest network, or without a width
        raise TrainingError(str(problem).rstrip("."), at=unit.id) from problem
    return work.model(unit.seed, "reinit", model)


def _gradual(work: Workspace, unit: Cell, trainee: Trainee) -> dict[int, Callable[[Trainee], Mask]]:
    """For each moment of gradual pruning what makes its mask: the ranking of the weights as they are then."""
    prune, rates, costs = work.spec.prune, work.prunable, work.costs
    moments = pruning_moments(trainee.last_step, trainee.steps_per_epoch)

    def at(step: int) -> Callable[[Trainee], Mask]:
        sparsity = sparsity_at(step, unit.sparsity or 0.0, moments[0], moments[-1])

        def remade(network: Trainee) -> Mask:
            assert network.mask is not None
            weights, kept = network.named(network.weights), network.named(network.mask)
            before = Mask({name: kept[name].bool() for name in rates})
            return regrow_free_mask(
                before, {name: weights[name] for name in rates}, sparsity, prune.scope, rates, costs
            )

        return remade

    return {step: at(step) for step in moments}
