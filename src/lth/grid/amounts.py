"""What a unit takes: its stage of the run, how much it trains, what it leaves on disk."""

from __future__ import annotations

from lth.grid.unit import Cell, Checkpoint, Dense
from lth.spec.recipe import SGD
from lth.spec.schema import Spec
from lth.spec.step import Step
from lth.spec.variants import span, variant

Trained = Dense | Checkpoint | Cell


def stage_of(spec: Spec, unit: Trained) -> str:
    """Returns the stage of the plan that a unit belongs to."""
    if isinstance(unit, Cell):
        one = variant(unit.control)
        kind = "tickets" if one is None else f"{one.kind}s"
    else:
        kind = "checkpoints" if isinstance(unit, Checkpoint) else "dense"
    return f"confirmation {kind}" if unit.seed in spec.confirmation_seeds else kind


def amount_of(spec: Spec, unit: Trained, steps_per_epoch: int | None) -> int:
    """Returns how many steps a unit trains.

    While nobody knows how long an epoch is, in the unit in which the spec gives the length of training, epochs or
    iterations; what a moment has of the other is then left out.
    """

    def known(moment: Step) -> Step:
        if steps_per_epoch is not None:
            return moment
        return Step(moment.epochs) if spec.train.length.epochs else Step(0, moment.iterations)

    if isinstance(unit, Dense):
        return spec.train.length.index(steps_per_epoch or 1)
    if isinstance(unit, Checkpoint):
        return known(unit.step).index(steps_per_epoch or 1)
    first, last = span(spec, unit.control, unit.sparsity or 0.0, known(unit.rewind), steps_per_epoch or 1)
    return last - first


def disk_of(spec: Spec, unit: Trained) -> tuple[float, int]:
    """Returns how many numbers for each parameter of the network a unit leaves on disk, and how many masks.

    A dense network leaves its weights at every kept moment, and what its optimizer needs for an exact replay from
    those between start and end; with it lie the masks of one-shot pruning, with each cell that of its level, or the
    one that gradual pruning ended with.
    """
    if isinstance(unit, Dense):
        masks = 0 if spec.iterative else len(spec.grid.sparsities) + len(spec.grid.thresholds)
        ranked, rewinds = spec.prune.mask_from, {*spec.grid.rewind} - {Step()}
        between = len(rewinds) + (str(ranked) != "100%" and ranked.step not in rewinds)
        return 2 + between * (1 + _optimizer_numbers(spec)), masks
    if isinstance(unit, Cell):
        one = variant(unit.control)
        alone = spec.iterative or (one is not None and one.mask == "gradual")
        masked = alone and (one is None or one.mask != "none")
        numbers = 1 - (unit.sparsity or 0.0) if one is not None and one.network == "equal_parameters" else 1.0
        return numbers, int(masked)
    return 1.0, 0


def _optimizer_numbers(spec: Spec) -> int:
    """What the optimizer remembers of each parameter; a training function of one's own is not replayed."""
    if spec.train.entry is not None:
        return 0
    optimizer = spec.train.optimizer
    return int(optimizer.momentum > 0) if isinstance(optimizer, SGD) else 2
