"""The trainings, epochs, steps and bytes that a spec asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lth.errors import DataError
from lth.planning.wall import WallTime, Work, mismatch, predict
from lth.spec.rules import check_moments
from lth.spec.schema import Spec
from lth.spec.step import Step

BYTES_PER_WEIGHT = 4
ELSEWHERE = "Take those of a run of the same data, model and batch size."
HEADER = ("stage", "trainings", "epochs", "steps", "disk")


@dataclass(frozen=True)
class Stage:
    """The trainings of one kind: how many; the epochs, steps and bytes of all of them; None where not known yet.

    `at_most`: the numbers are the most it can come to, for what is trained there depends on earlier results.
    """

    kind: str
    units: int
    ticket_epochs: float
    steps: int | None
    disk_bytes: int | None
    at_most: bool


@dataclass(frozen=True)
class Plan:
    """What a run takes.

    However many workers there are, `longest_chain_epochs` must be trained one after the other, and no more than
    `most_at_once` trainings are ready at the same time. `time` is None where nothing was measured.
    """

    name: str
    epochs: int
    steps_per_epoch: int | None
    stages: tuple[Stage, ...]
    longest_chain_epochs: float
    most_at_once: int
    time: WallTime | None = None

    @property
    def total(self) -> Stage:
        """Returns all stages as one."""
        steps = [stage.steps for stage in self.stages if stage.steps is not None]
        sizes = [stage.disk_bytes for stage in self.stages if stage.disk_bytes is not None]
        return Stage(
            "total",
            sum(stage.units for stage in self.stages),
            round(sum(stage.ticket_epochs for stage in self.stages), 6),
            sum(steps) if steps else None,
            sum(sizes) if sizes else None,
            any(stage.at_most for stage in self.stages),
        )

    def as_json(self) -> dict[str, Any]:
        """Returns the plan as JSON values, its total among them."""
        return {**asdict(self), "stages": [asdict(stage) for stage in self.stages], "total": asdict(self.total)}

    def rows(self) -> list[tuple[str, ...]]:
        """Returns the plan as a table of text: HEADER, a row for each stage that is not empty, the total."""
        stages = [stage for stage in self.stages if stage.units]
        return [HEADER, *(_row(stage) for stage in (*stages, self.total))]


@dataclass(frozen=True)
class _Scale:
    """How long and how large a training is, as far as data and model are known."""

    spec: Spec
    steps_per_epoch: int | None
    parameters: int | None

    def rest(self, moment: Step) -> int:
        """Returns what is left to train from `moment`: in steps; in epochs, rounded up, where steps are not known."""
        if self.steps_per_epoch is None:
            return self.spec.train.epochs - moment.epochs
        return self.spec.train.epochs * self.steps_per_epoch - moment.index(self.steps_per_epoch)

    def controls(self, moment: Step) -> list[int]:
        """Returns what the controls of one ticket train; fresh weights are trained in full."""
        return [self.rest(Step() if control == "reinit" else moment) for control in self.spec.grid.controls]

    def epochs(self, amount: int) -> float:
        return round(amount / (self.steps_per_epoch or 1), 6)

    def stage(self, kind: str, amounts: Sequence[int], at_most: bool = False) -> Stage:
        """Returns the stage of trainings that each take one of `amounts`."""
        steps = None if self.steps_per_epoch is None else sum(amounts)
        disk = None if self.parameters is None else len(amounts) * self._bytes(kind)
        return Stage(kind, len(amounts), self.epochs(sum(amounts)), steps, disk, at_most and bool(amounts))

    def _bytes(self, kind: str) -> int:
        """Weights of one moment; of a dense network those of every kept moment, and its masks, a bit a weight."""
        parameters, grid = self.parameters or 0, self.spec.grid
        if not kind.endswith("dense"):
            return BYTES_PER_WEIGHT * parameters
        kept = len({Step(), *grid.rewind}) + 1
        return kept * BYTES_PER_WEIGHT * parameters + len(grid.sparsities) * -(-parameters // 8)


def plan(
    spec: Spec, *, train_examples: int | None = None, parameters: int | None = None,
    facts: Mapping[str, Any] | None = None, workers: int = 1,
) -> Plan:  # fmt: skip
    """Returns what `spec` takes: its trainings, epochs, steps, the bytes of weights and masks, the wall time.

    Steps need the number of training examples (validation apart), bytes that of the network's parameters, time what
    a dense network took. `facts`, the content of a run's facts.json, has them all. Raises DataError where a batch
    is larger than the training set or the facts are of other data or another network, SpecError where a moment is
    after the end.
    """
    if facts:
        if why := mismatch(spec, facts, train_examples, parameters):
            raise DataError(f"the facts are not of this experiment ({why})", at="facts.json", cure=ELSEWHERE)
        train_examples, parameters = facts.get("train_examples", train_examples), facts.get("parameters", parameters)
    steps_per_epoch = None if train_examples is None else _steps_per_epoch(spec, train_examples)
    scale = _Scale(spec, steps_per_epoch, parameters)
    grid, seeds, fresh = spec.grid, len(spec.seeds), len(spec.confirmation_seeds)
    full, candidate = scale.rest(Step()), max(grid.rewind, key=scale.rest)
    tickets = [scale.rest(moment) for moment in grid.rewind] * len(grid.sparsities)
    if grid.controls_at == "all":
        beside = [amount for moment in grid.rewind for amount in scale.controls(moment)] * len(grid.sparsities)
    else:
        beside = scale.controls(candidate) * min(3, len(grid.sparsities))
    stages = (
        scale.stage("dense", [full] * seeds),
        scale.stage("tickets", tickets * seeds),
        scale.stage("controls", beside * seeds, at_most=grid.controls_at == "knee"),
        scale.stage("confirmation dense", [full] * fresh, at_most=True),
        scale.stage("confirmation tickets", [scale.rest(candidate)] * fresh, at_most=True),
        scale.stage("confirmation controls", scale.controls(candidate) * fresh, at_most=True),
    )
    chain = _longest_chain(scale, candidate)
    works = [Work(stage.units, stage.steps or 0, stage.kind.endswith("dense")) for stage in stages]
    time = predict(spec, works, chain, facts, workers) if facts else None
    most = _most_at_once(spec, stages)
    return Plan(spec.name, spec.train.epochs, steps_per_epoch, stages, scale.epochs(chain), most, time)


def _steps_per_epoch(spec: Spec, train_examples: int) -> int:
    batch = spec.data.batch_size
    if batch > train_examples:
        cure = f"Set data.batch_size to {max(train_examples, 1)} or less"
        what = f"a batch is larger than the training set of {train_examples} examples"
        raise DataError(what, at="data.batch_size", value=batch, cure=cure)
    check_moments(spec, train_examples // batch)
    return train_examples // batch


def _longest_chain(scale: _Scale, candidate: Step) -> int:
    """Dense, then tickets, then the slower of the controls and the confirmation, itself dense before tickets."""
    full, beside = scale.rest(Step()), scale.controls(candidate)
    longest = max([scale.rest(candidate), *beside])
    everywhere = scale.spec.grid.controls_at == "all"
    search = full + (longest if everywhere else scale.rest(candidate))
    if scale.spec.confirmation_seeds:
        return search + full + longest
    return search if everywhere else search + max(beside, default=0)


def _most_at_once(spec: Spec, stages: tuple[Stage, ...]) -> int:
    dense, tickets, controls, fresh, *confirmation = (stage.units for stage in stages)
    search = tickets + controls if spec.grid.controls_at == "all" else tickets
    after = 0 if spec.grid.controls_at == "all" else controls
    return max(dense, search, after + max(fresh, sum(confirmation)))


def _row(stage: Stage) -> tuple[str, ...]:
    bound = "up to " if stage.at_most else ""
    steps = "" if stage.steps is None else f"{stage.steps:,}"
    size = "" if stage.disk_bytes is None else _size(stage.disk_bytes)
    return stage.kind, f"{bound}{stage.units:,}", f"{stage.ticket_epochs:,.1f}".removesuffix(".0"), steps, size


def _size(amount: int) -> str:
    """The bytes in the largest decimal unit that leaves a number of at least 1."""
    for unit, one in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if amount >= one:
            return f"{amount / one:.3g} {unit}"
    return f"{amount} B"
