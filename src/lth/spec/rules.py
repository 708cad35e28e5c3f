"""The rules that bind several keys of a spec together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic_core import PydanticCustomError

from lth.errors import SpecError
from lth.spec.recipe import SGD, StepSchedule
from lth.spec.step import Step
from lth.spec.toml import shown
from lth.spec.values import refused

if TYPE_CHECKING:
    from lth.spec.schema import Spec


def broken(spec: Spec) -> Iterator[PydanticCustomError]:
    """Returns an error for each rule that `spec` breaks."""
    yield from _one_validation(spec)
    yield from _momentum(spec)
    yield from _warmup(spec)
    if isinstance(spec.train.schedule, StepSchedule):
        yield from _late(spec, "train.schedule.milestones", spec.train.schedule.milestones)
    yield from _late(spec, "grid.rewind", spec.grid.rewind)
    yield from _idle_controls(spec)


def check_moments(spec: Spec, steps_per_epoch: int, at: object = None) -> None:
    """Returns nothing; raises SpecError where a moment lies after the end of training.

    Only the data tell how many steps an epoch has, and so whether "500it" comes too late.
    """
    schedule = spec.train.schedule
    milestones = schedule.milestones if isinstance(schedule, StepSchedule) else ()
    last = spec.train.epochs * steps_per_epoch
    lines: list[str] = []
    for key, moments in (("train.schedule.milestones", milestones), ("grid.rewind", spec.grid.rewind)):
        late = [str(moment) for moment in moments if moment.index(steps_per_epoch) >= last]
        if late:
            what = f"not before the end of training, at step {last} = {spec.train.epochs} x {steps_per_epoch}"
            lines.append(f"{key}: {what} (found {shown(late)}). Use earlier moments, or raise train.epochs")
    if lines:
        raise SpecError(lines, at=at)


def _one_validation(spec: Spec) -> Iterator[PydanticCustomError]:
    given = {key: value for key, value in spec.data.validation if value is not None}
    if len(given) != 1:
        cure = "Give exactly one of fraction, count, folds, for example validation = { fraction = 0.1 }"
        yield refused("ambiguous" if given else "says nothing", cure, key="data.validation", value=given)


def _momentum(spec: Spec) -> Iterator[PydanticCustomError]:
    optimizer = spec.train.optimizer
    if isinstance(optimizer, SGD) and optimizer.nesterov and not optimizer.momentum:
        key, needs = "train.optimizer.nesterov", ("train.optimizer.momentum",)
        yield refused("nesterov needs momentum", "Set momentum = 0.9", key=key, value=True, needs=needs)


def _warmup(spec: Spec) -> Iterator[PydanticCustomError]:
    epochs, warmup = spec.train.epochs, spec.train.schedule.warmup_epochs
    if warmup >= epochs:
        what = f"warm-up does not end before training does, at train.epochs = {epochs}"
        cure = f"Set warmup_epochs below {epochs}, or raise train.epochs"
        yield refused(what, cure, key="train.schedule.warmup_epochs", value=warmup, needs=("train.epochs",))


def _late(spec: Spec, key: str, moments: tuple[Step, ...]) -> Iterator[PydanticCustomError]:
    epochs = spec.train.epochs
    late = [str(moment) for moment in moments if moment.epochs >= epochs]
    if late:
        what = f"not before the end of training, at train.epochs = {epochs}"
        cure = f"Use moments before {epochs}ep, or raise train.epochs"
        yield refused(what, cure, key=key, value=late, needs=("train.epochs",))


def _idle_controls(spec: Spec) -> Iterator[PydanticCustomError]:
    if spec.grid.controls_at == "all" and not spec.grid.controls:
        cure = 'Add controls = ["reinit"], or drop controls_at'
        what, needs = "would be ignored: there are no controls", ("grid.controls",)
        yield refused(what, cure, key="grid.controls_at", value="all", needs=needs)
