"""The numbers of the report: the trained networks in groups of seeds, with their means and intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from lth.results.statistics import Difference, difference, mean, quantile, sd
from lth.runs.records import CellResult, Results
from lth.spec.schema import Spec
from lth.spec.step import Step

Stage = Literal["grid", "confirmation"]
LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over `n` seeds with its two-sided 95 % Student interval; one seed has no interval."""

    mean: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class Group:
    """The same network on all its seeds: dense (no sparsity), a ticket, or a control of one."""

    stage: Stage
    sparsity: float | None
    rewind: Step | None
    control: str | None
    results: tuple[CellResult, ...]

    @property
    def dense(self) -> bool:
        return self.sparsity is None

    def over(self, value: Callable[[CellResult], float]) -> Estimate:
        """Returns the estimate of `value` over the seeds."""
        return estimate([value(result) for result in self.results])

    @property
    def density(self) -> float:
        """Returns the share of the prunable weights that is kept, in [0, 1]; the same for every seed."""
        return mean([result.density_prunable for result in self.results])


@dataclass(frozen=True)
class Groups:
    """All groups of a run, and the dense networks of each stage by seed, which tickets are compared with."""

    tickets: tuple[Group, ...]
    controls: tuple[Group, ...]
    dense: Group | None
    confirmation: tuple[Group, ...]
    dense_by_seed: Mapping[int, CellResult]

    def all(self) -> tuple[Group, ...]:
        """Returns every group in the order of the table: dense, tickets, controls, confirmation."""
        return (*((self.dense,) if self.dense else ()), *self.tickets, *self.controls, *self.confirmation)

    def to_dense(self, group: Group) -> Difference | None:
        """Returns the group's validation accuracy minus that of the same seeds' dense networks; None without one."""
        pairs = [
            (result, self.dense_by_seed[result.seed]) for result in group.results if result.seed in self.dense_by_seed
        ]
        if not pairs:
            return None
        tickets, dense = [validation(result) for result, _ in pairs], [validation(result) for _, result in pairs]
        return difference(tickets, dense, 1 / pairs[0][0].validation_examples)


def estimate(values: Sequence[float]) -> Estimate:
    """Returns the mean of at least one value with its interval."""
    centre = mean(values)
    if len(values) < 2:
        return Estimate(centre, None, None, len(values))
    half = quantile((1 + LEVEL) / 2, len(values) - 1) * sd(values) / math.sqrt(len(values))
    return Estimate(centre, centre - half, centre + half, len(values))


def groups(spec: Spec, results: Results) -> Groups:
    """Returns the networks of `results` that `spec` asks for, grouped over seeds.

    Networks of seeds, sparsities or rewind points that the spec no longer names are left out.
    """
    gathered: dict[tuple[Stage, float | None, Step | None, str | None], list[CellResult]] = {}
    for result in sorted(results.done.values(), key=_rank):
        if (stage := _stage(spec, result)) is not None:
            gathered.setdefault((stage, result.sparsity, result.rewind, result.control), []).append(result)
    every = [Group(*key, tuple(found)) for key, found in gathered.items()]
    grid = [group for group in every if group.stage == "grid"]
    return Groups(
        tickets=tuple(group for group in grid if not group.dense and group.control is None),
        controls=tuple(group for group in grid if group.control is not None),
        dense=next((group for group in grid if group.dense), None),
        confirmation=tuple(group for group in every if group.stage == "confirmation"),
        dense_by_seed={result.seed: result for group in every if group.dense for result in group.results},
    )


def _rank(result: CellResult) -> tuple[Step, float, str, int]:
    return result.rewind or Step(), result.sparsity or 0.0, result.control or "", result.seed


def _stage(spec: Spec, result: CellResult) -> Stage | None:
    stages: dict[int, Stage] = dict.fromkeys(spec.confirmation_seeds, "confirmation") | dict.fromkeys(
        spec.seeds, "grid"
    )
    if result.kind == "dense":
        return stages.get(result.seed)
    known = result.sparsity in spec.grid.sparsities and result.rewind in spec.grid.rewind
    return stages.get(result.seed) if known else None


def validation(result: CellResult) -> float:
    """Returns the validation accuracy at the end of training, in [0, 1]."""
    return result.validation_top1


def percent(fraction: float, digits: int = 2) -> str:
    """Returns a fraction as a percentage in words: 0.9763 -> "97.63 %"."""
    return f"{100 * fraction:.{digits}f} %"


def density_text(fraction: float) -> str:
    """Returns a density as a percentage with up to three significant digits: 0.12 -> "12 %"."""
    return f"{100 * fraction:.3g} %"


def points(difference: float, digits: int = 2) -> str:
    """Returns a difference of two fractions in percentage points, signed: -0.0052 -> "−0.52 pp"."""
    text = f"{100 * difference:+.{digits}f}"
    return f"{text[1:] if not float(text) else text.replace('-', '−')} pp"


def interval_text(found: Estimate, digits: int = 2) -> str:
    """Returns "97.63 % (97.20 to 98.06)", or the mean alone where there is one seed."""
    if found.low is None or found.high is None:
        return percent(found.mean, digits)
    return f"{percent(found.mean, digits)} ({100 * found.low:.{digits}f} to {100 * found.high:.{digits}f})"


def shared(values: Iterable[str]) -> str:
    """Returns the distinct values in their first order, joined by commas."""
    return ", ".join(dict.fromkeys(values))
