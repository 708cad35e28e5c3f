"""The numbers of the report: the trained networks in groups of seeds, with their means and intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from lth.results.estimate import Estimate, estimate
from lth.results.statistics import Difference, difference, mean
from lth.runs.records import CellResult, Results
from lth.spec.schema import Spec
from lth.spec.step import Step
from lth.spec.variants import VARIANTS, place

Stage = Literal["grid", "confirmation"]
Kind = Literal["dense", "ticket", "control", "arm", "method"]
Value = Callable[[CellResult], float]


def accuracy(result: CellResult) -> float:
    """Returns the validation accuracy at the end of training, in [0, 1]."""
    return result.validation_top1


def title(control: str) -> str:
    """Returns what charts and tables call a variant: "shuffled mask" for "shuffled_mask"."""
    first, _, rest = VARIANTS[control].words.partition(" ")
    return rest if first in ("the", "a", "its") else VARIANTS[control].words


@dataclass(frozen=True)
class Group:
    """The same network on all its seeds: dense, a ticket, or a variant of one (`lth.spec.variants`).

    In iterative pruning its sparsity is that of a `level`; a ticket of an absolute `threshold` has none.
    """

    stage: Stage
    sparsity: float | None
    threshold: float | None
    rewind: Step | None
    control: str | None
    results: tuple[CellResult, ...]

    @property
    def dense(self) -> bool:
        return self.kind == "dense"

    @property
    def kind(self) -> Kind:
        if self.results[0].kind == "dense":
            return "dense"
        return "ticket" if self.control is None else VARIANTS[self.control].kind

    @property
    def name(self) -> str:
        """Returns what charts and tables call the network: "dense", "ticket", "shuffled mask"."""
        return "dense" if self.dense else "ticket" if self.control is None else title(self.control)

    @property
    def level(self) -> int | None:
        return self.results[0].level

    def over(self, value: Value) -> Estimate:
        """Returns the estimate of `value` over the seeds."""
        return estimate([value(result) for result in self.results])

    @property
    def validation(self) -> Estimate:
        """Returns the validation accuracy at the end of training, in [0, 1]."""
        return self.over(accuracy)

    @property
    def density(self) -> float:
        """Returns the share of the prunable weights that is kept, in [0, 1]; the same for every seed."""
        return mean([result.density_prunable for result in self.results])


@dataclass(frozen=True)
class Groups:
    """All groups of a run, and the dense networks of both stages by seed, which tickets are compared with.

    `tickets` are those of the grid's sparsities, `thresholds` those of its absolute thresholds.
    """

    spec: Spec
    dense: Group | None
    tickets: tuple[Group, ...]
    thresholds: tuple[Group, ...]
    controls: tuple[Group, ...]
    arms: tuple[Group, ...]
    methods: tuple[Group, ...]
    confirmation: tuple[Group, ...]
    dense_by_seed: Mapping[int, CellResult]

    def all(self) -> tuple[Group, ...]:
        """Returns every group in the order of the table: confirmation, dense, tickets, their variants."""
        dense = (self.dense,) if self.dense else ()
        return (
            *self.confirmation, *dense, *self.tickets, *self.thresholds, *self.controls, *self.arms, *self.methods,
        )  # fmt: skip

    def at(self, sparsity: float | None, rewind: Step | None) -> tuple[Group, ...]:
        """Returns the ticket of the grid at these coordinates and its controls, as far as they exist."""
        if sparsity is None or rewind is None:
            return ()
        names = [None, *dict.fromkeys(group.control for group in self.controls)]
        places = {place(self.spec, name, sparsity, rewind) for name in names}
        return tuple(one for one in (*self.tickets, *self.controls) if _place(one) in places)

    def beside(self, group: Group) -> float:
        """Returns the density at which a group is drawn: its own; a dense network's that of the ticket beside it."""
        if group.control is None or VARIANTS[group.control].mask != "none":
            return group.density
        return next((one.density for one in self.tickets if one.sparsity == group.sparsity), group.density)

    def to_dense(self, group: Group, value: Value = accuracy) -> Difference | None:
        """Returns the group's validation accuracy, or another `value`, minus dense on the same seeds; None where no
        seed has both."""
        pairs = [(result, self.dense_by_seed.get(result.seed)) for result in group.results]
        both = [(result, dense) for result, dense in pairs if dense is not None]
        if not both:
            return None
        tickets, denses = [value(result) for result, _ in both], [value(dense) for _, dense in both]
        return difference(tickets, denses, 1 / min(dense.validation_examples for _, dense in both))


def groups(spec: Spec, results: Results) -> Groups:
    """Returns the networks of `results` that `spec` asks for, grouped over seeds.

    Networks of seeds, sparsities or rewind points that the spec no longer names are left out.
    """
    gathered: dict[tuple[Stage, float | None, float | None, Step | None, str | None], list[CellResult]] = {}
    for result in sorted(results.done.values(), key=_rank):
        if (stage := _stage(spec, result)) is not None:
            key = (stage, result.sparsity, result.threshold, result.rewind, result.control)
            gathered.setdefault(key, []).append(result)
    every = [Group(*key, tuple(found)) for key, found in gathered.items()]
    grid = [group for group in every if group.stage == "grid"]
    tickets = [group for group in grid if group.kind == "ticket"]
    return Groups(
        spec=spec,
        dense=next((group for group in grid if group.dense), None),
        tickets=tuple(group for group in tickets if group.threshold is None),
        thresholds=tuple(group for group in tickets if group.threshold is not None),
        controls=tuple(group for group in grid if group.kind == "control"),
        arms=tuple(group for group in grid if group.kind == "arm"),
        methods=tuple(group for group in grid if group.kind == "method"),
        confirmation=tuple(group for group in every if group.stage == "confirmation"),
        dense_by_seed={result.seed: result for group in every if group.dense for result in group.results},
    )


def _place(group: Group) -> tuple[str | None, float | None, Step | None]:
    return group.control, group.sparsity, group.rewind


def _rank(result: CellResult) -> tuple[bool, Step, float, int, int]:
    control = 0 if result.control is None else list(VARIANTS).index(result.control) + 1
    size = result.threshold if result.sparsity is None else result.sparsity
    return result.kind != "dense", result.rewind or Step(), size or 0.0, control, result.seed


def _stage(spec: Spec, result: CellResult) -> Stage | None:
    if result.kind != "dense" and not _asked(spec, result):
        return None
    return "grid" if result.seed in spec.seeds else "confirmation" if result.seed in spec.confirmation_seeds else None


def _asked(spec: Spec, result: CellResult) -> bool:
    """Whether the grid still has such a cell; some variants of all rewind points stand at 0 (`variants.place`)."""
    if result.control is not None and (result.control not in VARIANTS or result.rewind == Step()):
        return result.control in VARIANTS and result.sparsity in spec.grid.sparsities
    known = result.sparsity in spec.grid.sparsities or result.threshold in spec.grid.thresholds
    return known and result.rewind in spec.grid.rewind
