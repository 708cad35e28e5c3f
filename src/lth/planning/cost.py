"""What a run takes: the trainings, epochs, steps and bytes of its most expensive courses, added up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate, groupby
from statistics import median
from typing import Any

from lth.errors import DataError
from lth.planning.wall import WallTime, Work, predict
from lth.spec.rules import check_moments
from lth.spec.schema import Spec

BYTES_PER_NUMBER = 4
HEADER = ("stage", "trainings", "epochs", "steps", "disk")
STAGES = (
    "dense", "tickets", "arms", "methods", "checkpoints", "controls",
    "confirmation dense", "confirmation tickets", "confirmation checkpoints", "confirmation controls",
)  # fmt: skip
LIKE_DENSE = ("dense", "checkpoints")


@dataclass(frozen=True)
class Training:
    """One training of a run. `amount` is what it trains: steps; without data epochs, or iterations (`amount_unit`).

    `chain` is the largest amount that is trained one after the other up to its end, its own included; it can begin
    when the trainings of all earlier waves are done. `at_most`: it may turn out not to be needed. On disk
    it leaves `numbers` for each parameter of the network, and so many masks of a bit a parameter.
    """

    stage: str
    amount: int
    chain: int
    wave: int
    at_most: bool
    numbers: float = 1.0
    masks: int = 0


@dataclass(frozen=True)
class Stage:
    """The trainings of one kind: how many; the epochs, steps and bytes of all of them; None where not known yet.

    `at_most`: the numbers are the most it can come to, for what is trained there depends on earlier results.
    """

    kind: str
    units: int
    ticket_epochs: float | None
    steps: int | None
    disk_bytes: int | None
    at_most: bool


@dataclass(frozen=True)
class Plan:
    """What a run takes. `epochs` is the length of one whole training; all epochs are None where only the iterations
    are known.

    However many workers there are, `longest_chain_epochs` must be trained one after the other, and no more than
    `most_at_once` trainings are under way at the same time. `searched_tickets` are those that an adaptive search may
    come to, the median over places of the knee. `time` is None where nothing was measured.
    """

    name: str
    epochs: float | None
    steps_per_epoch: int | None
    stages: tuple[Stage, ...]
    longest_chain_epochs: float | None
    longest_chain_steps: int | None
    most_at_once: int
    searched_tickets: int | None = None
    time: WallTime | None = None

    @property
    def total(self) -> Stage:
        """Returns all stages as one."""
        epochs = [stage.ticket_epochs for stage in self.stages if stage.ticket_epochs is not None]
        steps = [stage.steps for stage in self.stages if stage.steps is not None]
        sizes = [stage.disk_bytes for stage in self.stages if stage.disk_bytes is not None]
        return Stage(
            "total",
            sum(stage.units for stage in self.stages),
            round(sum(epochs), 6) if epochs else None,
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
class Scale:
    """How long an epoch and how large the network is, as far as data and model are known."""

    spec: Spec
    steps_per_epoch: int | None
    parameters: int | None

    @property
    def counts_steps(self) -> bool:
        """Returns whether amounts are steps; else they are epochs."""
        return self.steps_per_epoch is not None or not self.spec.train.length.epochs

    def epochs(self, amount: int) -> float | None:
        """Returns an amount in epochs; None where only its iterations are known."""
        if self.steps_per_epoch is None:
            return None if self.counts_steps else amount
        return round(amount / self.steps_per_epoch, 6)

    def steps(self, amount: int) -> int | None:
        """Returns an amount in steps; None where only its epochs are known."""
        return amount if self.counts_steps else None


def added_up(
    scale: Scale,
    courses: Sequence[Sequence[Training]],
    searches: Sequence[Sequence[Training]],
    facts: Mapping[str, Any] | None,
    workers: int,
) -> Plan:
    """Returns the plan of the courses that a run may take: of every stage the most in any of them.

    An adaptive search takes its turns one after the other: then the longest chain, and how many trainings are under
    way, are those of the `searches`.
    """
    stages = [[_stage(scale, kind, course) for course in courses] for kind in STAGES]
    chain = max(one.chain for course in (*courses, *searches) for one in course)
    times = [_time(scale.spec, course, chain, facts, workers) for course in courses] if facts else []
    tickets = [sum(one.stage == "tickets" for one in course) for course in searches]
    known = [time for time in times if time is not None]
    return Plan(
        name=scale.spec.name,
        epochs=_length(scale),
        steps_per_epoch=scale.steps_per_epoch,
        stages=tuple(_most(of_kind) for of_kind in stages),
        longest_chain_epochs=scale.epochs(chain),
        longest_chain_steps=scale.steps(chain),
        most_at_once=max(map(_most_at_once, searches or courses)),
        searched_tickets=round(median(tickets)) if tickets else None,
        time=max(known, key=lambda time: time.serial_seconds, default=None),
    )


def steps_an_epoch(spec: Spec, train_examples: int) -> int:
    """Returns how many batches an epoch has. Raises DataError where a batch is larger than the training set,
    SpecError where a moment of the spec is after the end."""
    batch = spec.data.batch_size
    if batch > train_examples:
        cure = f"Set data.batch_size to {max(train_examples, 1)} or less"
        what = f"a batch is larger than the training set of {train_examples} examples"
        raise DataError(what, at="data.batch_size", value=batch, cure=cure)
    check_moments(spec, train_examples // batch)
    return train_examples // batch


def _length(scale: Scale) -> float | None:
    length = scale.spec.train.length
    if scale.steps_per_epoch is None or not length.iterations:
        return length.epochs or None
    return scale.epochs(length.index(scale.steps_per_epoch))


def _stage(scale: Scale, kind: str, course: Sequence[Training]) -> Stage:
    found = [one for one in course if one.stage == kind]
    amount, parameters = sum(one.amount for one in found), scale.parameters
    disk = None if parameters is None else sum(_bytes(one, parameters) for one in found)
    at_most = any(one.at_most for one in found)
    return Stage(kind, len(found), scale.epochs(amount), scale.steps(amount), disk, at_most)


def _bytes(one: Training, parameters: int) -> int:
    return BYTES_PER_NUMBER * round(one.numbers * parameters) + one.masks * -(-parameters // 8)


def _most(of_kind: Sequence[Stage]) -> Stage:
    return Stage(
        of_kind[0].kind,
        max(stage.units for stage in of_kind),
        max((stage.ticket_epochs for stage in of_kind if stage.ticket_epochs is not None), default=None),
        max((stage.steps for stage in of_kind if stage.steps is not None), default=None),
        max((stage.disk_bytes for stage in of_kind if stage.disk_bytes is not None), default=None),
        any(stage.at_most for stage in of_kind),
    )


def _most_at_once(course: Sequence[Training]) -> int:
    """The most trainings under way at any moment where each begins as soon as it can."""
    changes = [(one.chain - one.amount, 1) for one in course] + [(one.chain, -1) for one in course]
    return max(accumulate(change for _, change in sorted(changes)))


def _time(
    spec: Spec, course: Sequence[Training], chain: int, facts: Mapping[str, Any], workers: int
) -> WallTime | None:
    kinds = sorted(course, key=lambda one: (one.wave, STAGES.index(one.stage)))
    works: list[Work] = []
    for (wave, kind), found in groupby(kinds, key=lambda one: (one.wave, one.stage)):
        amounts = [one.amount for one in found]
        works.append(Work(len(amounts), sum(amounts), kind.endswith(LIKE_DENSE), wave))
    return predict(spec, works, chain, facts, workers)


def _row(stage: Stage) -> tuple[str, ...]:
    bound = "up to " if stage.at_most else ""
    epochs = "" if stage.ticket_epochs is None else f"{stage.ticket_epochs:,.1f}".removesuffix(".0")
    steps = "" if stage.steps is None else f"{stage.steps:,}"
    size = "" if stage.disk_bytes is None else _size(stage.disk_bytes)
    return stage.kind, f"{bound}{stage.units:,}", epochs, steps, size


def _size(amount: int) -> str:
    """The bytes in the largest decimal unit that leaves a number of at least 1."""
    for unit, one in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if amount >= one:
            return f"{amount / one:.3g} {unit}"
    return f"{amount} B"
