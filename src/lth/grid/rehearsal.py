"""The courses that a run may take, played through `wanted` with made-up results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
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
Knees = Mapping[Step, float]
KNEES = 4  # places of the knee that searches are played for
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
    confirm it are longest, one level before there are controls on both sides, and controls may stand at listed levels
    alone; rewound to the earliest moment trainings are longest, and a later one adds the control `reinit_k`. An
    adaptive search trains at most the full grid. Amounts are steps; without `steps_per_epoch` epochs, or iterations
    where training is that long.
    """
    full = spec.model_copy(update={"grid": spec.grid.model_copy(update={"search": "full"})})
    ends: dict[Trained, End] = {}
    grid = [
        replace(one, at_most=one.at_most or _left_out(spec, one.stage))
        for one in _play(full, Results(), ends, steps_per_epoch, {})
    ]
    searched = _results(full, ends, steps_per_epoch, {})
    found: list[list[Training]] = []
    for sparsity, rewind in _tickets(full, steps_per_epoch):
        selected = _with(searched, _results(full, ends, steps_per_epoch, {rewind: sparsity}))
        found.append([*grid, *_play(full, selected, dict(ends), steps_per_epoch, {})])
    return found


def searches(spec: Spec, steps_per_epoch: int | None = None) -> list[list[Training]]:
    """Returns the trainings of adaptive searches that find their knees here or there; [] of a full grid.

    All rewind points have theirs at the same level, or the first matches at all levels, which gives the others
    another try. A level that does not match shows it with its last seed alone, which is the slowest.
    """
    if spec.grid.search != "adaptive":
        return []
    levels, first = spec.grid.sparsities, spec.grid.rewind[0]
    places = sorted({round(at * (len(levels) - 1) / (KNEES - 1)) for at in range(KNEES)})
    knees = [dict.fromkeys(spec.grid.rewind, levels[place]) for place in places]
    knees += [{**one, first: levels[-1]} for one in knees[:-1]]
    return [_play(spec, Results(), {}, steps_per_epoch, one) for one in (dict.fromkeys(spec.grid.rewind, -1.0), *knees)]


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


def _tickets(spec: Spec, steps_per_epoch: int | None) -> Iterator[tuple[float, Step]]:
    """The tickets whose selection may lead to most trainings."""
    rewinds = sorted(spec.grid.rewind, key=lambda step: step.index(steps_per_epoch or LONG))
    rewinds = rewinds[: 2 if "reinit_k" in spec.grid.controls else 1]
    levels, at = spec.grid.sparsities, spec.grid.controls_at
    listed = [] if isinstance(at, str) else [one for one in levels if (spec.level(one) or one) in at]
    last = levels[-2:] if spec.iterative else levels[-2:][:1]
    return product(dict.fromkeys((*last, *listed[-1:])), rewinds)


def _play(
    spec: Spec, results: Results, ends: dict[Trained, End], steps_per_epoch: int | None, knees: Knees
) -> list[Training]:
    """The trainings from these results to the end of the run; `ends` gains theirs.

    What is wanted only after others are settled has waited for all of them.
    """
    selected, played = bool(ends), list[Training]()
    while units := [unit for unit in wanted(spec, results) if unit not in ends and not isinstance(unit, Finish)]:
        settled = End(*(max(column) for column in zip(*ends.values(), strict=True))) if ends else End(0, -1)
        for unit in units:
            end, amount = _end(spec, unit, settled, ends, steps_per_epoch), amount_of(spec, unit, steps_per_epoch)
            at_most = selected or _ends_early(spec, unit)
            played.append(Training(stage_of(spec, unit), amount, *end, at_most, *disk_of(spec, unit)))
        results = _with(results, _results(spec, units, steps_per_epoch, knees))
    return played


def _end(spec: Spec, unit: Trained, settled: End, ends: dict[Trained, End], steps_per_epoch: int | None) -> End:
    """Where a unit ends that begins after those settled and after what it starts from."""
    if unit not in ends:
        before = [settled, *(_end(spec, one, settled, ends, steps_per_epoch) for one in suppliers(spec, unit))]
        chain = max(end.chain for end in before) + amount_of(spec, unit, steps_per_epoch)
        ends[unit] = End(chain, max(end.wave for end in before) + 1)
    return ends[unit]


def _ends_early(spec: Spec, unit: Trained) -> bool:
    """Whether a chain may end before this unit."""
    grown = isinstance(unit, Cell) and (unit.level or 1) > 1 and stage_of(spec, unit) != "methods"
    return grown and spec.grid.min_accuracy is not None


def _left_out(spec: Spec, stage: str) -> bool:
    """Whether an adaptive search may leave out trainings of this stage of the grid."""
    return spec.grid.search == "adaptive" and stage in ("tickets", "arms", "controls", "checkpoints")


def _fault(spec: Spec, unit: Cell, knees: Knees) -> tuple[str, ...]:
    """Nothing up to the knee of the rewind point, then what forbids that the last seed passes, whatever the
    tolerance."""
    passes = unit.sparsity is not None and unit.sparsity <= knees.get(unit.rewind, -1.0)
    return () if passes or unit.seed != spec.seeds[-1] else ("made up",)


def _with(results: Results, more: Results) -> Results:
    return Results({**results.done, **more.done}, results.finished | more.finished)


def _results(spec: Spec, units: Iterable[Trained], steps_per_epoch: int | None, knees: Knees) -> Results:
    """Results that have each rewind point match up to its knee, those without one nowhere."""
    steps, done, finished = steps_per_epoch or LONG, dict[str, CellResult](), set[str]()
    kept = {str(step.canonical(steps)): "" for step in (Step(), *spec.grid.rewind)}
    for unit in units:
        if isinstance(unit, Dense):
            dense = {"id": unit.id, "seed": unit.seed, "steps_per_epoch": steps, "checkpoints": kept}
            done[unit.id] = MADE_UP.model_copy(update={**dense, "kind": "dense", "validation_top1": 0.5})
        elif isinstance(unit, Cell):
            given = {key: getattr(unit, key) for key in ("seed", "sparsity", "rewind", "control", "level", "threshold")}
            done[unit.id] = MADE_UP.model_copy(update={**given, "id": unit.id, "collapsed": _fault(spec, unit, knees)})
        else:
            finished.add(unit.id)
    return Results(done, frozenset(finished))
