"""What is ready: a pure function of the spec and the results so far."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from lth.grid.unit import Cell, Checkpoint, Dense, Finish, Unit
from lth.results.select import candidate, neighbours
from lth.runs.records import Results
from lth.spec.schema import Spec


def ready(spec: Spec, results: Results) -> list[Unit]:
    """Returns the units that can be done now, in order; deterministic, and more results never retract one."""
    return [unit for unit in wanted(spec, results) if not results.settled(unit.id) and _supplied(unit, spec, results)]


def wanted(spec: Spec, results: Results) -> list[Unit]:
    """Returns every unit known to be needed so far, done or not: later stages appear when their stage is reached."""
    units = [*_with_dense(spec, results, spec.seeds), *grid_cells(spec)]
    if spec.grid.controls_at == "all":
        units += [control for cell in grid_cells(spec) for control in controls(spec, cell)]
    if not all(results.settled(unit.id) for unit in units):
        return units
    winner = candidate(spec, results)
    if winner is not None:
        units += [unit for unit in _after_selection(spec, results, *winner) if unit not in units]
    trained = all(results.settled(unit.id) for unit in units)
    return [*units, Finish(_digest(spec, results, units))] if trained else units


def grid_cells(spec: Spec) -> list[Cell]:
    """Returns the tickets of the grid: seeds, then rewind points, then sparsities."""
    grid = spec.grid
    return [Cell(sparsity, step, seed) for seed in spec.seeds for step in grid.rewind for sparsity in grid.sparsities]


def controls(spec: Spec, cell: Cell) -> list[Cell]:
    """Returns the controls of one ticket."""
    return [Cell(cell.sparsity, cell.rewind, cell.seed, name) for name in spec.grid.controls]


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


def _after_selection(spec: Spec, results: Results, sparsity: float, rewind: object) -> Iterator[Unit]:
    """Controls around the knee on the grid's seeds; dense, ticket and controls on the fresh seeds."""
    step = next(step for step in spec.grid.rewind if step == rewind)
    for level in neighbours(spec, sparsity):
        for seed in spec.seeds:
            yield from controls(spec, Cell(level, step, seed))
    yield from _with_dense(spec, results, spec.confirmation_seeds)
    for seed in spec.confirmation_seeds:
        cell = Cell(sparsity, step, seed)
        yield cell
        yield from controls(spec, cell)


def _supplied(unit: Unit, spec: Spec, results: Results) -> bool:
    if isinstance(unit, Dense | Finish):
        return True
    dense = results.done.get(Dense(unit.seed).id)
    if dense is None or isinstance(unit, Checkpoint):
        return dense is not None
    kept = str(unit.rewind.canonical(dense.steps_per_epoch)) in dense.checkpoints
    return kept or unit.control == "reinit" or Checkpoint(unit.seed, unit.rewind).id in results.finished


def _digest(spec: Spec, results: Results, units: list[Unit]) -> str:
    """Twelve digits that change with any result or with the way the winner is selected."""
    hashes = [f"{unit.id} {results.done[unit.id].weights_sha256}" for unit in units if unit.id in results.done]
    text = "\n".join([spec.name, spec.select.model_dump_json(), *sorted(hashes)])
    return hashlib.sha256(text.encode()).hexdigest()[:12]
