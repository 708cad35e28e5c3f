"""Claim: the adaptive search names a level at most one denser than the full grid does in half of runs or more, a level
that does not match in at most 5 %, and trains at most 30 % of the full grid's ticket-epochs.

1 000 surfaces with planted truth (`surfaces.py`): 20 sparsities x 5 rewind points, tolerance 0.5 pp, 95 % confidence;
search and full walk see the same results. With `--recorded RUN` the search is replayed on the results of a finished
full grid instead, and on seeds drawn from them with replacement; the truth is then the mean over all its seeds.

    python benchmarks/adaptive_search.py
"""

from __future__ import annotations

import argparse
import heapq
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from statistics import mean, median

import numpy as np

from hardware import describe
from lth.results.confirm import confirm
from lth.results.index import Coordinates, Index, asked, index, progress
from lth.results.walk import walks
from lth.results.worlds import Planted, World
from lth.runs.records import CellResult, Results
from lth.runs.run import open_run
from lth.spec.schema import Spec
from lth.spec.step import Step
from selection_error import NOISES, TOLERANCE, experiment
from surfaces import HARDEST, SURFACES, Surface, truth

WORKERS = (1, 8, 20)
Cell = tuple[float, Step]
Case = tuple[str, float, float, int]  # a noise: its name, own and common standard deviation, validation examples
CASES: list[Case] = [(noise, *NOISES[noise], 5_000) for noise in NOISES] + [
    ("quiet, 50 000 examples", *NOISES["quiet"], 50_000)
]


@dataclass(frozen=True)
class Outcome:
    """What search and full walk name on the same results. `regret`: levels that the search's is denser by; `false`: its
    true deficit exceeds the tolerance; `confirmed`: false, and confirmed by fresh seeds; `share` of
    the full grid's ticket-epochs."""

    named: bool
    full_named: bool
    false: bool
    full_false: bool
    confirmed: bool
    regret: int
    share: float


def with_search(spec: Spec, search: str) -> Spec:
    """Returns the spec with another `grid.search`."""
    raw = spec.model_dump(mode="json")
    return Spec.model_validate({**raw, "grid": {**raw["grid"], "search": search}})


def sparsest(spec: Spec, found: Index) -> Cell | None:
    """Returns the sparsest level passed, the earliest rewind point of equals."""
    passed = [level for level in walks(spec, found) if level.passed]
    best = max(passed, key=lambda level: level.sparsity, default=None)
    return (best.sparsity, best.rewind) if best else None


def epochs(found: Index, unit: Coordinates | int) -> float:
    """Returns how long the ticket of a cell, or the dense network of a seed, trains."""
    result, rewind = (found.dense[unit], Step()) if isinstance(unit, int) else (found.cells[unit], unit[1])
    return (result.last_step - rewind.index(result.steps_per_epoch)) / result.steps_per_epoch


def compared(full: Spec, adaptive: Spec, found: Index, deficit: Mapping[Cell, float]) -> tuple[Outcome, Cell | None]:
    """Returns the outcome on these results of the whole grid, and the cell the search names."""
    own, other = sparsest(adaptive, found), sparsest(full, found)
    levels, limit = full.grid.sparsities, full.select.tolerance
    places = [-1 if cell is None else levels.index(cell[0]) for cell in (other, own)]
    trained, total = (sum(epochs(found, cell) for cell in asked(spec, found, spec.seeds)) for spec in (adaptive, full))
    false, full_false = (cell is not None and deficit[cell] > limit for cell in (own, other))
    share = trained / total
    return Outcome(own is not None, other is not None, false, full_false, False, places[0] - places[1], share), own


class Surfaces:
    """The planted worlds of one number of seeds."""

    def __init__(self, seeds: int):
        self.full = experiment(seeds)
        self.adaptive = with_search(self.full, "adaptive")
        self.planted: dict[int, Planted] = {}

    def play(
        self, surface: Surface, case: tuple[str, float, float, int], draw: np.random.Generator
    ) -> tuple[Outcome, Index]:
        """Returns the outcome of one surface under one noise, and the results."""
        _, own_sd, seed_sd, examples = case
        levels, rewind = self.full.grid.sparsities, self.full.grid.rewind
        deficit = truth(surface(draw, len(rewind), levels, TOLERANCE), levels, rewind)
        world = World(deficit, own_sd=own_sd, seed_sd=seed_sd, validation=examples)
        planted = self.planted.setdefault(examples, Planted(self.full, world))
        planted.world = world
        results = planted.grid(draw)
        found = index(self.full, results)
        known = {(one, step): deficit(one, step) for one in levels for step in rewind}
        outcome, cell = compared(self.full, self.adaptive, found, known)
        if cell is None or not outcome.false:
            return outcome, found
        fresh = index(self.full, planted.confirmed(results, cell, draw))
        confirmed = confirm(self.full, fresh, *cell).confirmed is True
        return replace(outcome, confirmed=confirmed), found


def wall(spec: Spec, found: Index, workers: int) -> float:
    """Returns the epochs after which so many workers have done dense networks and tickets, one training at a time each.

    A worker takes the first unit that is ready; the units are those of `asked` on the results so far.
    """
    known, running = Index(spec, {}, {}, {}, Results()), list[tuple[float, int, Coordinates | int]]()
    clock, taken = 0.0, set[Coordinates | int]()
    while True:
        ready: list[Coordinates | int] = [seed for seed in spec.seeds if seed not in taken]
        ready += [cell for cell in asked(spec, known, spec.seeds) if cell[3] in known.dense and cell not in taken]
        for unit in ready[: workers - len(running)]:
            heapq.heappush(running, (clock + epochs(found, unit), len(taken), unit))
            taken.add(unit)
        if not running:
            return clock
        clock = running[0][0]
        while running and running[0][0] == clock:
            _, _, unit = heapq.heappop(running)
            if isinstance(unit, int):
                known.dense[unit] = found.dense[unit]
            else:
                known.cells[unit] = found.cells[unit]


HEADER = (
    "| full: named | full: false | search: named | search: false | false and confirmed | regret: median | mean "
    "| at most 1 | ticket-epochs: mean | 95th percentile | most |"
)


def row(outcomes: Sequence[Outcome]) -> str:
    """Returns the row of a table below HEADER."""
    rates = [[one.full_named, one.full_false, one.named, one.false, one.confirmed] for one in outcomes]
    regret, shares = [one.regret for one in outcomes], [one.share for one in outcomes]
    few = mean(one <= 1 for one in regret)
    parts = [f"{100 * value:.1f} %" for value in np.array(rates).mean(axis=0)]
    parts += [f"{median(regret):g}", f"{mean(regret):+.2f}", f"{100 * few:.0f} %"]
    parts += [f"{100 * value:.1f} %" for value in (mean(shares), np.percentile(shares, 95), max(shares))]
    return " | ".join(parts) + " |"


def synthetic(surfaces: int, seed: int) -> Iterator[str]:
    """Yields the tables of the planted surfaces."""
    by_kind, walls = defaultdict[tuple[int, str], list[Outcome]](list), defaultdict[tuple[int, str], list[Index]](list)
    yield from head("seeds", "noise")
    for n, (stream, case) in product((3, 5), enumerate(CASES)):
        worlds, draw, outcomes = Surfaces(n), np.random.default_rng([seed, n, stream]), list[Outcome]()
        for number in range(surfaces):
            kind = list(SURFACES)[number % len(SURFACES)]
            outcome, found = worlds.play(SURFACES[kind], case, draw)
            outcomes.append(outcome)
            by_kind[n, kind].append(outcome)
            if number < 5 * len(SURFACES):
                walls[n, case[0]].append(found)
        yield f"| {n} | {case[0]} | {row(outcomes)}"
    yield from head("\n| seeds", "surface, all noises")
    for (n, kind), outcomes in by_kind.items():
        yield f"| {n} | {kind} | {row(outcomes)}"
    yield from head("\n| seeds", f"hardest, {CASES[-1][0]}")
    for n, (kind, surface) in product((3, 5, 10), HARDEST.items()):
        worlds, draw = Surfaces(n), np.random.default_rng([seed, n])
        yield f"| {n} | {kind} | {row([worlds.play(surface, CASES[-1], draw)[0] for _ in range(surfaces)])}"
    yield from wall_head("\n| seeds", "noise")
    for (n, noise), some in walls.items():
        worlds = Surfaces(n)
        yield f"| {n} | {noise} | {times(worlds.full, worlds.adaptive, some)}"


def head(*names: str) -> list[str]:
    """Returns the two lines above the rows of outcomes."""
    return [f"| {' | '.join(names)} {HEADER}".replace("| \n|", "\n|"), "|---" * (len(names) + 11) + "|"]


def wall_head(*names: str) -> list[str]:
    """Returns the two lines above the rows of wall times."""
    columns = " | ".join(f"{n} worker{'s' * (n > 1)}: full | search | ratio" for n in WORKERS)
    rule = "|---" * (len(names) + 3 * len(WORKERS)) + "|"
    return [f"| {' | '.join(names)} | {columns} |".replace("| \n|", "\n|"), rule]


def times(full: Spec, adaptive: Spec, some: Sequence[Index]) -> str:
    """Returns mean wall times in dense trainings, full and search, and their ratio, for each number of workers."""
    parts, one = list[str](), epochs(some[0], full.seeds[0])
    for workers in WORKERS:
        whole = wall(full, some[0], workers) / one
        searched = mean(wall(adaptive, found, workers) for found in some) / one
        parts.append(f"{whole:.1f} | {searched:.1f} | {whole / searched:.2f}x")
    return " | ".join(parts) + " |"


def recorded(path: Path, draws: int, seed: int) -> Iterator[str]:
    """Yields the tables of a finished run of the full grid."""
    run = open_run(path)
    full, adaptive = with_search(run.spec, "full"), with_search(run.spec, "adaptive")
    found = index(full, run.results())
    if not progress(full, found).complete:
        raise SystemExit(f"{path}: the full grid is not complete; finish it: lth run SPEC --into {path}")
    deficit = {
        (level.sparsity, level.rewind): -(level.difference if level.difference is not None else -1.0)
        for level in walks(full, found)
    }
    draw = np.random.default_rng(seed)
    whole, _ = compared(full, adaptive, found, deficit)
    again = [compared(full, adaptive, resampled(full, found, draw), deficit)[0] for _ in range(draws)]
    named = [sparsest(spec, found) for spec in (full, adaptive)]
    names = ["none" if cell is None else f"{100 * cell[0]:g} % rewound to {cell[1]}" for cell in named]
    yield f"{full.name}: full grid {names[0]}, search {names[1]}\n"
    yield from head(full.name)
    yield f"| as recorded | {row([whole])}"
    if again:
        yield f"| {draws} draws of {len(full.seeds)} seeds | {row(again)}"
    yield from wall_head("\n| wall time")
    yield f"| as recorded | {times(full, adaptive, [found])}"


def resampled(spec: Spec, found: Index, draw: np.random.Generator) -> Index:
    """Returns the results as if the seeds were others, drawn from them with replacement."""
    others = dict(zip(spec.seeds, draw.choice(spec.seeds, len(spec.seeds)).tolist(), strict=True))
    dense = {seed: found.dense[other] for seed, other in others.items()}
    tickets = [(rewind, sparsity) for rewind in spec.grid.rewind for sparsity in spec.grid.sparsities]
    cells: dict[Coordinates, CellResult] = {}
    for rewind, sparsity in tickets:
        for seed, other in others.items():
            if (result := found.cells.get((None, rewind, sparsity, other))) is not None:
                cells[None, rewind, sparsity, seed] = result
    return Index(spec, dense, cells, {}, Results())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--surfaces", type=int, default=1000, help="surfaces for each noise and number of seeds")
    parser.add_argument("--recorded", type=Path, metavar="RUN", help="replay this finished run of a full grid instead")
    parser.add_argument("--draws", type=int, default=500, help="draws of seeds from a recorded run")
    parser.add_argument("--seed", type=int, default=0, help="of the draws")
    parser.add_argument("--quick", action="store_true", help="6 surfaces a row, to see that the script works")
    arguments = parser.parse_args()
    began = time.perf_counter()
    surfaces = len(SURFACES) if arguments.quick else arguments.surfaces
    if arguments.recorded:
        lines, n = recorded(arguments.recorded, arguments.draws, arguments.seed), f"{arguments.draws} draws of seeds"
    else:
        lines = synthetic(surfaces, arguments.seed)
        n = f"{surfaces} surfaces a row of the first table, the first {5 * len(SURFACES)} of them a row of the last"
    for line in lines:
        print(line, flush=True)
    print(f"\nn = {n}; {time.process_time():.0f} s of one core, {time.perf_counter() - began:.0f} s in all")
    print(describe("lth", "numpy"))


if __name__ == "__main__":
    main()
