"""The results of a run by their coordinates, and whether the grid is complete."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lth.results.wording import cell_name, listed, named_seeds
from lth.runs.records import CellResult, Results
from lth.spec.schema import Spec
from lth.spec.step import Step


@dataclass(frozen=True)
class Index:
    """Trained networks: dense ones by seed; tickets (control None) and controls by control, rewind, sparsity, seed."""

    dense: dict[int, CellResult]
    cells: dict[tuple[str | None, Step, float, int], CellResult]
    results: Results

    def failed(self, seed: int, rewind: Step | None = None, sparsity: float | None = None) -> bool:
        """Returns whether the dense network of the seed, or its ticket at these coordinates, was given up."""
        if rewind is None or sparsity is None:
            return f"dense-seed{seed}" in self.results.failed
        return f"{cell_name(sparsity, rewind)}-seed{seed}" in self.results.failed


def index(results: Results) -> Index:
    """Returns the results by their coordinates."""
    dense: dict[int, CellResult] = {}
    cells: dict[tuple[str | None, Step, float, int], CellResult] = {}
    for result in results.done.values():
        if result.kind == "dense":
            dense[result.seed] = result
        elif result.rewind is not None and result.sparsity is not None:
            cells[result.control, result.rewind, result.sparsity, result.seed] = result
    return Index(dense, cells, results)


@dataclass(frozen=True)
class Progress:
    """How many of the grid's networks, dense ones included, are done or given up, and which dense ones failed."""

    done: int
    failed: int
    total: int
    dense_failed: tuple[int, ...]

    @property
    def complete(self) -> bool:
        return self.done + self.failed == self.total


def progress(spec: Spec, found: Index) -> Progress:
    """Returns the progress of the grid on `spec.seeds`, without controls and confirmation."""
    moments, levels = spec.grid.rewind, spec.grid.sparsities
    grid = [(step, sparsity, seed) for seed in spec.seeds for step in moments for sparsity in levels]
    missing_dense = [seed for seed in spec.seeds if seed not in found.dense]
    missing = [cell for cell in grid if (None, *cell) not in found.cells]
    dense_failed = tuple(seed for seed in missing_dense if found.failed(seed))
    failed = sum(found.failed(seed, step, sparsity) for step, sparsity, seed in missing) if found.results.failed else 0
    total = len(grid) + len(spec.seeds)
    return Progress(total - len(missing) - len(missing_dense), failed + len(dense_failed), total, dense_failed)


def faults(found: Index, seeds: tuple[int, ...], rewind: Step, sparsity: float) -> str:
    """Returns what forbids that this cell passes, or "": a network missing, failed, collapsed, or of a failed audit."""
    dense = [found.dense.get(seed) for seed in seeds]
    tickets = [found.cells.get((None, rewind, sparsity, seed)) for seed in seeds]
    if all(network is not None and network.audit.passed and not network.collapsed for network in (*dense, *tickets)):
        return ""
    lost = [found.failed(seed, rewind, sparsity) for seed in seeds]
    of_dense = _faults("dense network", seeds, dense, [found.failed(seed) for seed in seeds])
    return "; ".join([*of_dense, *_faults("ticket", seeds, tickets, lost)])


def _faults(
    what: str, seeds: Sequence[int], networks: Sequence[CellResult | None], failed: Sequence[bool]
) -> Iterator[str]:
    missing = [(seed, lost) for seed, result, lost in zip(seeds, networks, failed, strict=True) if result is None]
    if given_up := [seed for seed, lost in missing if lost]:
        yield f"{what} of {named_seeds(given_up)} failed"
    if waiting := [seed for seed, lost in missing if not lost]:
        yield f"{what} of {named_seeds(waiting)} not done"
    for result in networks:
        if result is not None and result.collapsed:
            yield f"collapsed: no weight left in {listed(result.collapsed)} ({named_seeds([result.seed])})"
        if result is not None and not result.audit.passed:
            broken = listed(name for name, held in result.audit.checks.items() if not held)
            yield f"audit of the {what} not passed: {broken} ({named_seeds([result.seed])})"
