"""The courses that a run may take, played through `wanted` with made-up results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product
from typing import NamedTuple

from lth.grid.amounts import Trained, amount_of, disk_of, stage_of
from lth.grid.next import parent, wanted
from lth.grid.unit import Cell, Checkpoint, Dense, Finish
from lth.planning.cost import Training
from lth.runs.records import Audit, CellResult, Results
from lth.spec.schema import Spec
from lth.spec.step import Step
from lth.spec.variants import partner, variant

LONG = 10**6  # steps of an epoch whose length is not known: more than any iterations beside it
Ticket = tuple[float, Step]
MADE_UP = CellResult(
    id="", kind="cell", key="", dataset_id="", seed=0, order="", attempt="", files={}, weights_sha256="",
    audit=Audit(passed=True, checks={}), numerics={}, first_step=0, last_step=0, steps_per_epoch=LONG, epochs=0,
    seconds=0, host="", finished_at="", train_examples=LONG, validation_examples=LONG**2, test_examples=LONG,
    train_top1=1, train_loss=0, validation_top1=1, validation_loss=0, test_top1=1, test_loss=0, early_stop_step=0,
    early_stop_validation_loss=0, early_stop_validation_top1=1, parameters=1, prunable=1,
)  # fmt: skip


class End(NamedTuple):
    """Where a training ends: the largest amount trained one after the other up to there, and its wave."""

    chain: int
    wave: int


def courses(spec: Spec, steps_per_epoch: int | None = None) -> list[list[Training]]:
    """Returns the trainings of the most expensive courses that `spec` can take, in no order.

    What is trained after the selection depends on where the ticket is found. At the sparsest level the chains that
    confirm it are longest, one level before there are controls on both sides; rewound to the earliest moment
    trainings are longest, and a later one adds the control `reinit_k`. An adaptive search trains at most the full
    grid. Amounts are steps; without `steps_per_epoch` epochs, or iterations where training is that long.
    """
    ends: dict[Trained, End] = {}
    grid = _play(spec, Results(), ends, steps_per_epoch)
    searched = _results(spec, ends, steps_per_epoch)
    found: list[list[Training]] = []
    for ticket in _tickets(spec, steps_per_epoch):
        selected = _with(searched, _results(spec, ends, steps_per_epoch, ticket))
        found.append([*grid, *_play(spec, selected, dict(ends), steps_per_epoch)])
    return found


def suppliers(spec: Spec, unit: Trained) -> Iterator[Trained]:
    """Yields the units whose results this one starts from, where the dense networks kept every rewind point."""
    if not isinstance(unit, Cell):
        return
    yield Dense(unit.seed)
    one = variant(unit.control)
    if one is not None and one.weights == "fresh_rewound":
        yield Checkpoint(unit.seed, unit.rewind, fresh=True)
    if one is None or one.needs_mask:
        source = partner(spec, unit.seed) if unit.control == "other_seed" else unit.seed
        yield parent(spec, unit, source) or Dense(source)


def _tickets(spec: Spec, steps_per_epoch: int | None) -> Iterator[Ticket]:
    """The tickets whose selection may lead to most trainings."""
    rewinds = sorted(spec.grid.rewind, key=lambda step: step.index(steps_per_epoch or LONG))
    rewinds = rewinds[: 2 if "reinit_k" in spec.grid.controls else 1]
    last = spec.grid.sparsities[-2:] if spec.iterative else spec.grid.sparsities[-2:][:1]
    return product(last, rewinds)


def _play(spec: Spec, results: Results, ends: dict[Trained, End], steps_per_epoch: int | None) -> list[Training]:
    """The trainings from these results to the end of the run; `ends` gains theirs.

    What is wanted only after others are settled has waited for all of them.
    """
    full = spec.model_copy(update={"grid": spec.grid.model_copy(update={"search": "full"})})
    selected, played = bool(ends), list[Training]()
    while units := [unit for unit in wanted(full, results) if unit not in ends and not isinstance(unit, Finish)]:
        settled = End(*(max(column) for column in zip(*ends.values(), strict=True))) if ends else End(0, -1)
        for unit in units:
            end, amount = _end(spec, unit, settled, ends, steps_per_epoch), amount_of(spec, unit, steps_per_epoch)
            at_most = selected or _in_doubt(spec, unit)
            played.append(Training(stage_of(spec, unit), amount, *end, at_most, *disk_of(spec, unit)))
        results = _with(results, _results(spec, units, steps_per_epoch))
    return played


def _end(spec: Spec, unit: Trained, settled: End, ends: dict[Trained, End], steps_per_epoch: int | None) -> End:
    """Where a unit ends that begins after those settled and after what it starts from."""
    if unit not in ends:
        before = [settled, *(_end(spec, one, settled, ends, steps_per_epoch) for one in suppliers(spec, unit))]
        chain = max(end.chain for end in before) + amount_of(spec, unit, steps_per_epoch)
        ends[unit] = End(chain, max(end.wave for end in before) + 1)
    return ends[unit]


def _in_doubt(spec: Spec, unit: Trained) -> bool:
    """Whether an adaptive search, or a chain that ends early, may leave this unit of the grid out."""
    if not isinstance(unit, Cell) or unit.threshold is not None or stage_of(spec, unit) == "methods":
        return False
    ends = spec.grid.min_accuracy is not None and (unit.level or 1) > 1
    return ends or spec.grid.search == "adaptive"


def _fault(unit: Cell, ticket: Ticket | None) -> tuple[str, ...]:
    """Nothing up to the level that is to pass, at its rewind point; else what forbids it, whatever the tolerance."""
    if ticket is None or unit.sparsity is None or unit.sparsity > ticket[0] or unit.rewind != ticket[1]:
        return ("made up",)
    return ()


def _with(results: Results, more: Results) -> Results:
    return Results({**results.done, **more.done}, results.finished | more.finished)


def _results(
    spec: Spec, units: Iterable[Trained], steps_per_epoch: int | None, ticket: Ticket | None = None
) -> Results:
    """Results that have the walk of this ticket's rewind point pass up to it, and no other level."""
    steps, done, finished = steps_per_epoch or LONG, dict[str, CellResult](), set[str]()
    kept = {str(step.canonical(steps)): "" for step in (Step(), *spec.grid.rewind)}
    for unit in units:
        if isinstance(unit, Dense):
            dense = {"id": unit.id, "seed": unit.seed, "steps_per_epoch": steps, "checkpoints": kept}
            done[unit.id] = MADE_UP.model_copy(update={**dense, "kind": "dense", "validation_top1": 0.5})
        elif isinstance(unit, Cell):
            given = {key: getattr(unit, key) for key in ("seed", "sparsity", "rewind", "control", "level", "threshold")}
            done[unit.id] = MADE_UP.model_copy(update={**given, "id": unit.id, "collapsed": _fault(unit, ticket)})
        else:
            finished.add(unit.id)
    return Results(done, frozenset(finished))
