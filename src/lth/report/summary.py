"""The numbers of the report: the trained networks in groups of seeds, with their means and intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from lth.results.statistics import Difference, difference, mean, quantile, sd
from lth.results.wording import percent
from lth.runs.records import CellResult, Results
from lth.spec.schema import Spec
from lth.spec.step import Step

Stage = Literal["grid", "confirmation"]
CONFIDENCE = 0.95
CONTROLS = {"reinit": "reinit", "shuffled_mask": "shuffled mask", "random_mask": "random mask"}


@dataclass(frozen=True)
class Estimate:
    """A mean over `n` seeds with its two-sided 95 % Student interval; one seed has no interval."""

    mean: float
    low: float | None
    high: float | None
    n: int

    @property
    def ends(self) -> tuple[float, float]:
        """Returns the interval of a share, cut to [0, 1]; the mean twice where there is none."""
        low, high = (self.mean if end is None else end for end in (self.low, self.high))
        return max(low, 0.0), min(high, 1.0)

    def words(self, digits: int = 2) -> str:
        """Returns "97.63 % [97.20, 98.06]", or the mean alone where there is no interval."""
        if self.low is None:
            return percent(self.mean, digits)
        low, high = self.ends
        return f"{percent(self.mean, digits)} [{100 * low:.{digits}f}, {100 * high:.{digits}f}]"


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
    def validation(self) -> Estimate:
        """Returns the validation accuracy at the end of training, in [0, 1]."""
        return self.over(lambda result: result.validation_top1)

    @property
    def density(self) -> float:
        """Returns the share of the prunable weights that is kept, in [0, 1]; the same for every seed."""
        return mean([result.density_prunable for result in self.results])


@dataclass(frozen=True)
class Groups:
    """All groups of a run, and the dense networks of both stages by seed, which tickets are compared with."""

    dense: Group | None
    tickets: tuple[Group, ...]
    controls: tuple[Group, ...]
    confirmation: tuple[Group, ...]
    dense_by_seed: Mapping[int, CellResult]

    def all(self) -> tuple[Group, ...]:
        """Returns every group in the order of the table: confirmation, dense, tickets, controls."""
        return (*self.confirmation, *((self.dense,) if self.dense else ()), *self.tickets, *self.controls)

    def at(self, sparsity: float | None, rewind: Step | None) -> tuple[Group, ...]:
        """Returns the ticket of the grid at these coordinates and its controls, as far as they exist."""
        return tuple(one for one in (*self.tickets, *self.controls) if (one.sparsity, one.rewind) == (sparsity, rewind))

    def to_dense(self, group: Group) -> Difference | None:
        """Returns the group's validation accuracy minus dense on the same seeds; None where no seed has both."""
        pairs = [(result, self.dense_by_seed.get(result.seed)) for result in group.results]
        both = [(result, dense) for result, dense in pairs if dense is not None]
        if not both:
            return None
        tickets, denses = [result.validation_top1 for result, _ in both], [dense.validation_top1 for _, dense in both]
        return difference(tickets, denses, 1 / min(dense.validation_examples for _, dense in both))


def estimate(values: Sequence[float]) -> Estimate:
    """Returns the mean of at least one value with its interval."""
    centre = mean(values)
    if len(values) < 2:
        return Estimate(centre, None, None, len(values))
    half = quantile((1 + CONFIDENCE) / 2, len(values) - 1) * sd(values) / math.sqrt(len(values))
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
        dense=next((group for group in grid if group.dense), None),
        tickets=tuple(group for group in grid if not group.dense and group.control is None),
        controls=tuple(group for group in grid if group.control is not None),
        confirmation=tuple(group for group in every if group.stage == "confirmation"),
        dense_by_seed={result.seed: result for group in every if group.dense for result in group.results},
    )


def _rank(result: CellResult) -> tuple[bool, Step, float, int, int]:
    control = list(CONTROLS).index(result.control) + 1 if result.control in CONTROLS else 0
    return result.kind != "dense", result.rewind or Step(), result.sparsity or 0.0, control, result.seed


def _stage(spec: Spec, result: CellResult) -> Stage | None:
    known = result.sparsity in spec.grid.sparsities and result.rewind in spec.grid.rewind
    if result.kind != "dense" and not known:
        return None
    return "grid" if result.seed in spec.seeds else "confirmation" if result.seed in spec.confirmation_seeds else None
