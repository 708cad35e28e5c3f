"""The rules that bind several keys of a spec together."""

from __future__ import annotations

from collections.abc import Iterator
from math import isqrt
from typing import TYPE_CHECKING

from pydantic_core import PydanticCustomError

from lth.errors import SpecError
from lth.spec.image_rules import broken_in_images
from lth.spec.launcher_rules import broken_in_launcher
from lth.spec.pruning_rules import broken_in_pruning
from lth.spec.recipe import SGD, StepSchedule
from lth.spec.step import Step
from lth.spec.toml import shown
from lth.spec.values import refused

if TYPE_CHECKING:
    from lth.spec.schema import Spec


def broken(spec: Spec) -> Iterator[PydanticCustomError]:
    """Returns an error for each rule that `spec` breaks."""
    yield from _one_validation(spec)
    yield from _one_length(spec)
    yield from _momentum(spec)
    yield from _warmup(spec)
    if isinstance(spec.train.schedule, StepSchedule):
        yield from _late(spec, "train.schedule.milestones", spec.train.schedule.milestones)
    yield from _late(spec, "grid.rewind", spec.grid.rewind)
    yield from broken_in_pruning(spec)
    yield from broken_in_images(spec)
    yield from _micro_batch(spec)
    yield from _data_parallel(spec)
    yield from _device(spec)
    yield from _entry(spec)
    yield from broken_in_launcher(spec)


def check_moments(spec: Spec, steps_per_epoch: int, at: object = None) -> None:
    """Returns nothing; raises SpecError where a moment lies after the end of training.

    Only the data tell how many steps an epoch has, and so whether "500it" comes too late.
    """
    schedule = spec.train.schedule
    milestones = schedule.milestones if isinstance(schedule, StepSchedule) else ()
    length = spec.train.length
    last = length.index(steps_per_epoch)
    of = f"{length.epochs} x {steps_per_epoch}" if length.epochs else "train.iterations"
    lines: list[str] = []
    warmup = spec.train.schedule.warmup_epochs
    if warmup * steps_per_epoch >= last:
        what = f"warm-up does not end before training does, at step {last}"
        lines.append(f"train.schedule.warmup_epochs: {what} (found {warmup}). Lower it, or raise {_key(spec)}")
    ranked = () if spec.prune.mask_from.step is None else (spec.prune.mask_from.step,)
    named = {"train.schedule.milestones": milestones, "grid.rewind": spec.grid.rewind, "prune.mask_from": ranked}
    for key, moments in named.items():
        late = [str(moment) for moment in moments if moment.index(steps_per_epoch) >= last]
        if late:
            what = f"not before the end of training, at step {last} = {of}"
            lines.append(f"{key}: {what} (found {shown(late)}). Use earlier moments, or raise {_key(spec)}")
    if lines:
        raise SpecError(lines, at=at)


def _one_validation(spec: Spec) -> Iterator[PydanticCustomError]:
    given = {key: value for key, value in spec.data.validation if value is not None}
    if len(given) != 1:
        cure = "Give exactly one of fraction, count, folds, for example validation = { fraction = 0.1 }"
        yield refused("ambiguous" if given else "says nothing", cure, key="data.validation", value=given)


def _one_length(spec: Spec) -> Iterator[PydanticCustomError]:
    if spec.train.length == Step():
        yield refused("missing", "Add it to [train], for example epochs = 40", key="train.epochs")
    if spec.train.epochs is not None and spec.train.iterations is not None:
        what, needs = "given beside train.epochs", ("train.epochs",)
        yield refused(what, "Keep one of them", key="train.iterations", value=spec.train.iterations, needs=needs)


def _key(spec: Spec) -> str:
    return "train.epochs" if spec.train.epochs else "train.iterations"


def _momentum(spec: Spec) -> Iterator[PydanticCustomError]:
    optimizer = spec.train.optimizer
    if isinstance(optimizer, SGD) and optimizer.nesterov and not optimizer.momentum:
        key, needs = "train.optimizer.nesterov", ("train.optimizer.momentum",)
        yield refused("nesterov needs momentum", "Set momentum = 0.9", key=key, value=True, needs=needs)


def _warmup(spec: Spec) -> Iterator[PydanticCustomError]:
    epochs, warmup = spec.train.epochs, spec.train.schedule.warmup_epochs
    if epochs is not None and warmup >= epochs:
        what = f"warm-up does not end before training does, at train.epochs = {epochs}"
        cure = f"Set warmup_epochs below {epochs}, or raise train.epochs"
        yield refused(what, cure, key="train.schedule.warmup_epochs", value=warmup, needs=("train.epochs",))


def _late(spec: Spec, key: str, moments: tuple[Step, ...]) -> Iterator[PydanticCustomError]:
    """Moments that come too late whatever the length of an epoch is; the others are checked with the data."""
    length, limit = spec.train.length, _key(spec)
    if length.epochs:
        late = [str(moment) for moment in moments if moment.epochs >= length.epochs]
    else:
        late = [str(moment) for moment in moments if 0 < length.iterations <= moment.iterations]
    if late:
        what = f"not before the end of training, at {limit} = {length.epochs or length.iterations}"
        cure = f"Use moments before {length}, or raise {limit}"
        yield refused(what, cure, key=key, value=late, needs=(limit,))


def _micro_batch(spec: Spec) -> Iterator[PydanticCustomError]:
    batch, micro = spec.data.batch_size, spec.train.micro_batch
    if micro is not None and batch % micro:
        what, cure = f"does not divide data.batch_size = {batch}", f"Set micro_batch = {_divisor(batch, micro)}"
        yield refused(what, cure, key="train.micro_batch", value=micro, needs=("data.batch_size",))


def _data_parallel(spec: Spec) -> Iterator[PydanticCustomError]:
    """Each process takes whole micro-batches, so that batch norm and sums are those of one process."""
    batch, micro, world = spec.data.batch_size, spec.train.micro_batch, spec.execute.data_parallel
    if world == 1 or (micro is not None and batch % micro):
        return
    if batch % world:
        what, cure = f"does not divide data.batch_size = {batch}", f"Set data_parallel = {_divisor(batch, world)}"
    elif micro is None:
        what = "batch norm would see other batches than in one process"
        cure = f"Set train.micro_batch = {batch // world}, which goes through the network at once in either"
    elif batch // micro % world:
        what = f"does not divide the {batch // micro} micro-batches of a step ({batch} / {micro})"
        cure = f"Set train.micro_batch = {_divisor(batch // world, micro)}, or use fewer processes"
    else:
        return
    needs = ("data.batch_size", "train.micro_batch")
    yield refused(what, cure, key="execute.data_parallel", value=world, needs=needs)


def _divisor(of: int, most: int) -> int:
    """The largest divisor that is at most `most`."""
    small = [one for one in range(1, isqrt(of) + 1) if of % one == 0]
    return max(one for one in (*small, *(of // one for one in small)) if one <= most)


def _device(spec: Spec) -> Iterator[PydanticCustomError]:
    graphs, on_cpu = spec.execute.cuda_graphs, spec.execute.device == "cpu"
    key, needs = "execute.cuda_graphs", ("execute.device",)
    if spec.train.precision == "tf32" and on_cpu:
        what, cure = "needs a GPU", 'Set execute.device = "cuda", or precision = "fp32"'
        yield refused(what, cure, key="train.precision", value="tf32", needs=needs)
    if graphs and on_cpu:
        what, cure = "would be ignored on the CPU", 'Set execute.device = "cuda", or drop it'
        yield refused(what, cure, key=key, value=True, needs=needs)
    if graphs and spec.train.compile:
        what, cure = "cannot capture a compiled network", "Take one of train.compile and cuda_graphs"
        yield refused(what, cure, key=key, value=True, needs=("train.compile",))
    if graphs and spec.train.micro_batch is not None:
        what, cure = "cannot capture a step of several micro-batches", "Take one of train.micro_batch and cuda_graphs"
        yield refused(what, cure, key=key, value=True, needs=("train.micro_batch",))


def _entry(spec: Spec) -> Iterator[PydanticCustomError]:
    """Switches of our own training do nothing for another's, and the other way round."""
    execute, needs = spec.execute, ("train.entry",)
    if spec.train.entry is None:
        if execute.entry_minutes != type(execute).model_fields["entry_minutes"].default:
            what, cure = "would be ignored: there is no train.entry", "Add train.entry, or drop it"
            yield refused(what, cure, key="execute.entry_minutes", value=execute.entry_minutes, needs=needs)
        return
    for name, value, off in (("cuda_graphs", execute.cuda_graphs, False), ("data_parallel", execute.data_parallel, 1)):
        if value != off:
            what = "would be ignored: train.entry trains"
            yield refused(what, "Drop it, or train.entry", key=f"execute.{name}", value=value, needs=needs)
