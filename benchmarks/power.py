"""Claims: 95 % intervals cover the truth in 93 to 97 % of runs, `lth plan --power` promises the power that the tests
have within 5 percentage points, and verdicts err in at most 5 % of worlds.

Accuracies with planted truth: dense at 97.5 %, a standard deviation over seeds, a correlation of ticket and dense, and
on top of both the counting of right answers among so many examples. Promised is what `plan` says for the standard
deviation and correlation that result. Then the same for seeds planned from a small pilot run, and the verdicts of
6 sparsities x 3 rewind points with reinit and shuffled mask at every level.

    python benchmarks/power.py
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from hardware import describe
from lth.results.early_stop import early_stop
from lth.results.index import index
from lth.results.power import power, seeds_needed
from lth.results.spread import measured
from lth.results.statistics import difference
from lth.results.verdict import verdicts
from lth.results.walk import walks
from lth.results.worlds import Cell, Planted, World
from lth.spec.schema import Spec
from lth.spec.step import Step

DENSE, TOLERANCE, ALPHA, HAIR = 0.975, 0.005, 0.05, 1e-9
SD = 0.0023  # ResNet-20's on CIFAR-10
PROMISED = (0.5, 0.8)


@dataclass(frozen=True)
class Noise:
    """Standard deviation of an accuracy over seeds, correlation of ticket and dense, and examples that are counted."""

    sd: float
    correlation: float
    examples: int | None

    @property
    def measured(self) -> tuple[float, float]:
        """Returns standard deviation and correlation with the counting in them, which is independent."""
        counting = 0.0 if self.examples is None else DENSE * (1 - DENSE) / self.examples
        variance = self.sd**2 + counting
        return math.sqrt(variance), self.correlation * self.sd**2 / variance

    def draw(self, random: np.random.Generator, runs: int, seeds: int) -> np.ndarray:
        """Returns accuracies of ticket and dense, equally good, of shape (runs, seeds, 2)."""
        rho = self.correlation
        moves = random.multivariate_normal([0.0, 0.0], [[1.0, rho], [rho, 1.0]], (runs, seeds))
        true = np.clip(DENSE + self.sd * moves, 0, 1)
        return true if self.examples is None else random.binomial(self.examples, true) / self.examples


def distance_of(seeds: int, noise: Noise, chance: float) -> float:
    """Returns the distance at which `plan` promises this power, by bisection."""
    low, high = 0.0, 10 * noise.measured[0]
    for _ in range(16):
        middle = (low + high) / 2
        low, high = (low, middle) if power(seeds, middle, *noise.measured, ALPHA) >= chance else (middle, high)
    return high


def shares(seeds: int, noise: Noise, runs: int, stream: int) -> list[float]:
    """Returns how often the 95 % interval covers the truth, and how often bounds reach the PROMISED distances."""
    distances = [distance_of(seeds, noise, chance) for chance in PROMISED]
    counts = np.zeros(1 + len(PROMISED))
    step = 0.0 if noise.examples is None else 1 / noise.examples
    for tickets, denses in noise.draw(np.random.default_rng(stream), runs, seeds).transpose(0, 2, 1).tolist():
        gap = difference(tickets, denses, step)
        low, high = gap.interval() or (-math.inf, math.inf)
        lower = gap.lower(ALPHA) or 0.0
        counts += [low <= 0 <= high, *(lower > -distance for distance in distances)]
    return (counts / runs).tolist()


def experiment(seeds: int, rewind: Sequence[str] = ("0", "1ep", "2ep"), levels: int = 6) -> Spec:
    """Returns the spec of the planted grids."""
    return Spec.model_validate(
        {
            "name": "planted",
            "seeds": list(range(seeds)),
            "data": {"source": "synthetic", "batch_size": 8},
            "model": {"name": "lenet_300_100"},
            "train": {"epochs": 10, "optimizer": {"name": "sgd", "lr": 0.1}},
            "grid": {
                "sparsities": [0.5, 0.8, 0.9, 0.95, 0.97, 0.98][:levels],
                "rewind": rewind,
                "controls": ["reinit", "shuffled_mask"],
                "controls_at": "all",
            },
            "select": {"tolerance": TOLERANCE},
        }
    )


def flat(deficit: float):
    """Returns a deficit that is the same at every cell."""
    return lambda sparsity, rewind: deficit


def sooner(cell: Cell) -> float:
    """Returns an early stop at step 500 for tickets, 700 for dense."""
    return 700.0 if cell is None else 500.0


def as_soon(cell: Cell) -> float:
    """Returns the same early stop for tickets and dense."""
    return 600.0


def controls(reinit: float, shuffled: float):
    """Returns the deficits of the two controls."""
    return {"reinit": flat(reinit), "shuffled_mask": flat(shuffled)}


QUIET = {"own_sd": 0.0009, "seed_sd": 0.002, "validation": 20_000}
WORLDS = {
    "no ticket matches, by a hair": World(flat(TOLERANCE + HAIR), controls=controls(0.02, 0.02), **QUIET),
    "no ticket is worse, by a hair": World(flat(TOLERANCE - HAIR), controls=controls(0.02, 0.02), **QUIET),
    "tickets and controls equal": World(flat(0.0), controls=controls(0.0, 0.0), early_stop=sooner, **QUIET),
    "shuffled mask equal, reinit 1 pp less": World(flat(0.0), controls=controls(0.01, 0.0), early_stop=sooner, **QUIET),
    "winning: both controls 1 pp less": World(flat(0.0), controls=controls(0.01, 0.01), early_stop=sooner, **QUIET),
    "the same, early stop equal": World(flat(0.0), controls=controls(0.01, 0.01), early_stop=as_soon, **QUIET),
}


def words(world: World, seeds: int, worlds: int, stream: int) -> list[float]:
    """Returns in which share of worlds some level is called winning, matching or better, and worse."""
    planted, draw = Planted(experiment(seeds), world), np.random.default_rng(stream)
    counts = np.zeros(3)
    for _ in range(worlds):
        found = index(planted.spec, planted.grid(draw))
        said = {one.word for one in verdicts(planted.spec, found, walks(planted.spec, found))}
        counts += ["winning" in said, bool(said & {"winning", "matching"}), "worse" in said]
    return (counts / worlds).tolist()


def stops(seeds: int, worlds: int, stream: int) -> list[float]:
    """Returns how often equal early stops are called not later, and how often their interval holds 0."""
    world = World(flat(0.0), early_stop=as_soon)
    planted, draw = Planted(experiment(seeds, ("0",), 1), world), np.random.default_rng(stream)
    counts = np.zeros(2)
    for _ in range(worlds):
        one = early_stop(planted.spec, index(planted.spec, planted.grid(draw)), Step(), 0.5)
        assert one is not None
        counts += [one.not_later, (one.low or 0.0) <= 0 <= (one.high or 0.0)]
    return (counts / worlds).tolist()


def pilots(seeds: int, runs: int, stream: int) -> list[float]:
    """Returns the true power, mean and 10th percentile, of the seeds planned for 80 % from a pilot run's spread."""
    world = World(flat(0.0), own_sd=0.0016, seed_sd=0.0016)
    spec = experiment(seeds, ("0",), 5)
    planted, draw = Planted(spec, world), np.random.default_rng(stream)
    variance = 0.0016**2 * 2 + DENSE * (1 - DENSE) / world.validation
    truth = (math.sqrt(variance), 0.0016**2 / variance)
    reached: list[float] = []
    for _ in range(runs):
        found = measured(spec, index(spec, planted.grid(draw)), "pilot")
        assert found is not None
        n = seeds_needed(TOLERANCE, found.sd, found.correlation, ALPHA, 0.8) or 1000
        reached.append(power(n, TOLERANCE, *truth, ALPHA))
    return [float(np.mean(reached)), float(np.quantile(reached, 0.1))]


def lines(runs: int, worlds: int, seed: int) -> Iterator[str]:
    """Yields the tables as Markdown, row by row."""
    yield "| seeds | sd | correlation | examples | 95 % interval covers | promised 50 %: has | promised 80 %: has |"
    yield "|---|---|---|---|---|---|---|"
    settings = [(SD, None), (SD, 5000), (5 * SD, None), (SD, 500)]
    for n in (3, 5, 10):
        for sd, examples in settings:
            for rho in (-0.3, 0.0, 0.4, 0.8):
                found = shares(n, Noise(sd, rho, examples), runs, seed + n)
                counted = "not counted" if examples is None else f"{examples:,}".replace(",", " ")
                yield f"| {n} | {100 * sd:.3g} pp | {rho} | {counted} | " + _percent(found)
    yield "\n| seeds | world | some level winning | some level matching or winning | some level worse |"
    yield "|---|---|---|---|---|"
    for n in (3, 5, 10):
        for stream, (name, world) in enumerate(WORLDS.items()):
            yield f"| {n} | {name} | " + _percent(words(world, n, worlds, seed + stream))
    yield "\n| seeds | equal early stops are called not later | their 95 % interval holds 0 |"
    yield "|---|---|---|"
    for n in (3, 5, 10):
        yield f"| {n} | " + _percent(stops(n, worlds, seed + n))
    yield "\n| seeds of the pilot | true power of the seeds planned for 80 %: mean | one pilot in ten below |"
    yield "|---|---|---|"
    for n in (3, 5, 10):
        yield f"| {n} | " + _percent(pilots(n, max(worlds // 8, 4), seed + n))


def _percent(values: Sequence[float]) -> str:
    return " | ".join(f"{100 * value:.1f} %" for value in values) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20_000, help="runs a row of the first table")
    parser.add_argument("--worlds", type=int, default=1000, help="worlds a row of the others")
    parser.add_argument("--seed", type=int, default=0, help="of the draws")
    parser.add_argument("--quick", action="store_true", help="a few draws, to see that the script works")
    arguments = parser.parse_args()
    began = time.perf_counter()
    runs, worlds = (20, 2) if arguments.quick else (arguments.runs, arguments.worlds)
    for line in lines(runs, worlds, arguments.seed):
        print(line, flush=True)
    print(f"\nn = {runs} runs a row, {worlds} worlds a row, {max(worlds // 8, 4)} pilots a row; ", end="")
    print(f"{time.perf_counter() - began:.0f} s, {time.process_time():.0f} s of one core")
    print(describe("lth", "numpy"))


if __name__ == "__main__":
    main()
