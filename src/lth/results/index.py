"""The results of a run by their coordinates, and whether the grid is complete."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lth.results.search import probes
from lth.results.wording import cell_name, listed, named_seeds
from lth.runs.records import CellResult, Results
from lth.spec.schema import Spec
from lth.spec.step import Step
from lth.spec.variants import place


@dataclass(frozen=True)
class Index:
    """Trained networks: dense ones by seed; tickets (control None) and their variants by control, rewind, sparsity,
    seed; tickets of absolute thresholds by threshold, rewind, seed."""

    spec: Spec
    dense: dict[int, CellResult]
    cells: dict[tuple[str | None, Step, float, int], CellResult]
    thresholds: dict[tuple[float, Step, int], CellResult]
    results: Results

    def get(self, control: str | None, rewind: Step, sparsity: float, seed: int) -> CellResult | None:
        """Returns the network that stands for a ticket's variant, wherever it has its place (`variants.place`)."""
        control, sparsity, rewind = place(self.spec, control, sparsity, rewind)
        return self.cells.get((control, rewind, sparsity, seed))

    def failed(
        self, seed: int, rewind: Step | None = None, sparsity: float | None = None, control: str | None = None
    ) -> bool:
        """Returns whether the dense network of the seed, or its ticket at these coordinates, was given up."""
        if rewind is None or sparsity is None:
            return f"dense-seed{seed}" in self.results.failed
        level = self.spec.level(sparsity) if sparsity in self.spec.grid.sparsities else None
        end = f"-{control}" if control else ""
        return f"{cell_name(sparsity, rewind, level)}-seed{seed}{end}" in self.results.failed


def index(spec: Spec, results: Results) -> Index:
    """Returns the results by their coordinates."""
    dense: dict[int, CellResult] = {}
    cells: dict[tuple[str | None, Step, float, int], CellResult] = {}
    thresholds: dict[tuple[float, Step, int], CellResult] = {}
    for result in results.done.values():
        if result.kind == "dense":
            dense[result.seed] = result
        elif result.rewind is not None and result.threshold is not None:
            thresholds[result.threshold, result.rewind, result.seed] = result
        elif result.rewind is not None and result.sparsity is not None:
            cells[result.control, result.rewind, result.sparsity, result.seed] = result
    return Index(spec, dense, cells, thresholds, results)


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
    """Returns the progress of the grid on `spec.seeds`, without variants and confirmation."""
    grid = [cell for cell in asked(spec, found, spec.seeds) if cell[0] is None]
    missing_dense = [seed for seed in spec.seeds if seed not in found.dense]
    missing = [cell for cell in grid if cell not in found.cells]
    dense_failed = tuple(seed for seed in missing_dense if found.failed(seed))
    lost = [cell for cell in missing if found.failed(cell[3], cell[1], cell[2])] if found.results.failed else []
    total = len(grid) + len(spec.seeds)
    done = total - len(missing) - len(missing_dense)
    return Progress(done, len(lost) + len(dense_failed), total, dense_failed)


Coordinates = tuple[str | None, Step, float, int]


def asked(spec: Spec, found: Index, seeds: Sequence[int]) -> list[Coordinates]:
    """Returns the tickets, and arms, that the grid asks for so far, as control, rewind, sparsity and seed.

    A chain of iterative pruning, one for each seed, rewind point and arm, ends where its last level is below
    `grid.min_accuracy`, or was given up. Levels come first, so that chains grow side by side. An adaptive search asks
    for more as results come, until it knows the knees (`search.probes`).
    """
    grid, kinds = spec.grid, (None, *spec.grid.arms)
    if grid.search == "adaptive":
        return probes(spec, found, seeds)
    if not spec.iterative:
        return [
            (kind, step, sparsity, seed)
            for seed in seeds
            for step in grid.rewind
            for sparsity in grid.sparsities
            for kind in kinds
        ]
    chains = [(kind, step, seed) for seed in seeds for step in grid.rewind for kind in kinds]
    wanted: list[Coordinates] = []
    for position, sparsity in enumerate(grid.sparsities):
        if position:
            before = grid.sparsities[position - 1]
            chains = [chain for chain in chains if not _ended(spec, found, chain, before)]
        wanted += [(kind, step, sparsity, seed) for kind, step, seed in chains]
    return wanted


def _ended(spec: Spec, found: Index, chain: tuple[str | None, Step, int], sparsity: float) -> bool:
    kind, step, seed = chain
    last, least = found.cells.get((kind, step, sparsity, seed)), spec.grid.min_accuracy
    if last is None:
        return found.failed(seed, step, sparsity, kind)
    return least is not None and last.validation_top1 < least


def faults(found: Index, seeds: tuple[int, ...], rewind: Step, sparsity: float) -> str:
    """Returns what forbids that this cell passes, or "": a network missing, failed, collapsed, or of a failed audit."""
    dense = [found.dense.get(seed) for seed in seeds]
    tickets = [found.get(None, rewind, sparsity, seed) for seed in seeds]
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
