"""What is ready: a pure function of the spec and the results so far."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence

from lth.grid.unit import Cell, Checkpoint, Dense, Finish, Unit
from lth.results.index import Coordinates, asked, index
from lth.results.select import candidate, neighbours
from lth.runs.records import Results
from lth.spec.schema import Spec
from lth.spec.step import Step
from lth.spec.variants import partner, place, variant


def ready(spec: Spec, results: Results) -> list[Unit]:
    """Returns the units that can be done now, in order; deterministic, and more results never retract one."""
    return [unit for unit in wanted(spec, results) if not results.settled(unit.id) and _supplied(unit, spec, results)]


def wanted(spec: Spec, results: Results) -> list[Unit]:
    """Returns every unit known to be needed so far, done or not: later stages appear when their stage is reached."""
    units = _distinct([*_with_dense(spec, results, spec.seeds), *grid_cells(spec, results, spec.seeds)])
    if not all(results.settled(unit.id) for unit in units):
        return units
    winner = candidate(spec, results)
    if winner is not None:
        units = _distinct([*units, *_after_selection(spec, results, *winner)])
    trained = all(results.settled(unit.id) for unit in units)
    return [*units, Finish(_digest(spec, results, units))] if trained else units


def grid_cells(spec: Spec, results: Results, seeds: Sequence[int]) -> Iterator[Unit]:
    """Yields the grid of some seeds: tickets and arms, those of thresholds, other methods, controls all over it."""
    for coordinates in asked(spec, index(spec, results), seeds):
        control, _, sparsity, _ = coordinates
        yield cell(spec, coordinates)
        if control is None and _controlled(spec, sparsity):
            yield from controls(spec, coordinates)
    for seed in seeds:
        for step in spec.grid.rewind:
            yield from (Cell(None, step, seed, threshold=one) for one in spec.grid.thresholds)
        for sparsity in spec.grid.sparsities:
            yield from (cell(spec, (method, Step(), sparsity, seed)) for method in spec.grid.methods)


def controls(spec: Spec, ticket: Coordinates) -> Iterator[Unit]:
    """Yields the controls of one ticket, each after what it starts from."""
    _, step, sparsity, seed = ticket
    for name in spec.grid.controls:
        control, at, moment = place(spec, name, sparsity, step)
        if control == "reinit_k":
            yield Checkpoint(seed, moment, fresh=True)
        yield cell(spec, (control, moment, at, seed))


def cell(spec: Spec, coordinates: Coordinates) -> Cell:
    """Returns the unit at these coordinates."""
    control, step, sparsity, seed = coordinates
    return Cell(sparsity, step, seed, control, spec.level(sparsity))


def parent(spec: Spec, unit: Cell, seed: int | None = None) -> Cell | None:
    """Returns the cell whose end the mask of a cell is made from; None where that is the dense network.

    Arms prune chains of their own, controls stand on the ticket's; `seed` is another one than the unit's own.
    """
    if unit.level is None or unit.level == 1:
        return None
    one = variant(unit.control)
    kind = unit.control if one is not None and one.kind == "arm" else None
    before = spec.grid.sparsities[unit.level - 2]
    return cell(spec, (kind, unit.rewind, before, unit.seed if seed is None else seed))


def _controlled(spec: Spec, sparsity: float) -> bool:
    """Whether the tickets of this sparsity have their controls before any selection."""
    at = spec.grid.controls_at
    return at == "all" if isinstance(at, str) else (spec.level(sparsity) or sparsity) in at


def _around(spec: Spec, ticket: Coordinates) -> Iterator[Unit]:
    """The controls of a ticket at the knee; where the spec lists levels, of those alone."""
    if isinstance(spec.grid.controls_at, str) or _controlled(spec, ticket[2]):
        yield from controls(spec, ticket)


def _with_dense(spec: Spec, results: Results, seeds: tuple[int, ...]) -> Iterator[Unit]:
    """The dense network of each seed, and a replay for every rewind point its finished run did not keep."""
    for seed in seeds:
        dense = Dense(seed)
        yield dense
        if (done := results.done.get(dense.id)) is None:
            continue
        for step in spec.grid.rewind:
            if str(step.canonical(done.steps_per_epoch)) not in done.checkpoints:
                yield Checkpoint(seed, step)


def _after_selection(spec: Spec, results: Results, sparsity: float, rewind: Step) -> Iterator[Unit]:
    """Controls around the knee on the grid's seeds, beside tickets that an adaptive search may have left out; dense,
    ticket and controls on the fresh seeds."""
    step = next(step for step in spec.grid.rewind if step == rewind)
    for level in neighbours(spec, sparsity) if spec.grid.controls else ():
        for seed in spec.seeds:
            if spec.grid.search == "adaptive":
                yield cell(spec, (None, step, level, seed))
            yield from _around(spec, (None, step, level, seed))
    yield from _with_dense(spec, results, spec.confirmation_seeds)
    for seed in spec.confirmation_seeds:
        chain = [one for one in spec.grid.sparsities if one <= sparsity] if spec.iterative else [sparsity]
        yield from (cell(spec, (None, step, level, seed)) for level in chain)
        yield from _around(spec, (None, step, sparsity, seed))


def _supplied(unit: Unit, spec: Spec, results: Results) -> bool:
    """Whether all that a unit starts from is there."""
    if isinstance(unit, Dense | Finish):
        return True
    dense = results.done.get(Dense(unit.seed).id)
    if isinstance(unit, Checkpoint):
        return unit.fresh or dense is not None
    if dense is None:
        return False
    one = variant(unit.control)
    weights = "rewound" if one is None else one.weights
    if weights == "fresh_rewound" and Checkpoint(unit.seed, unit.rewind, fresh=True).id not in results.finished:
        return False
    kept = weights != "rewound" or str(unit.rewind.canonical(dense.steps_per_epoch)) in dense.checkpoints
    if not kept and Checkpoint(unit.seed, unit.rewind).id not in results.finished:
        return False
    if one is not None and not one.needs_mask:
        return True
    source = partner(spec, unit.seed) if unit.control == "other_seed" else unit.seed
    before = parent(spec, unit, source) or Dense(source)
    return before.id in results.done


def _distinct(units: Iterable[Unit]) -> list[Unit]:
    return list(dict.fromkeys(units))


def _digest(spec: Spec, results: Results, units: list[Unit]) -> str:
    """Twelve digits that change with any result or with the way the winner is selected."""
    hashes = [f"{unit.id} {results.done[unit.id].weights_sha256}" for unit in units if unit.id in results.done]
    text = "\n".join([spec.name, spec.select.model_dump_json(), *sorted(hashes)])
    return hashlib.sha256(text.encode()).hexdigest()[:12]
