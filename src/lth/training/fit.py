"""Training a group of networks to the end: evaluation, checkpoints, the learning guard, failures."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from threading import Event
from typing import Any

import torch
from torch import Tensor

from lth.data.loader import Images, Stream
from lth.errors import LthError, NotLearningError, TrainingError
from lth.grid.stop import Stop
from lth.pruning.mask import Mask
from lth.results.statistics import binomial_tail
from lth.runs.files import atomic_write, make_folder, sha256_of
from lth.runs.layout import previous
from lth.training.accounting import Meter, Tally
from lth.training.checkpoint import load_resume, resume, save_resume, save_state, state_of
from lth.training.distributed import Halt
from lth.training.evaluate import evaluate
from lth.training.loop import train
from lth.training.trainee import Trainee

log = logging.getLogger("lth")


@dataclass
class Pace:
    """When trainings in progress are saved: every `seconds`, and at the end of every `epochs`-th epoch (0: never)."""

    seconds: float
    epochs: int = 0
    began: float = 0.0

    def begin(self) -> float:
        """Returns the time, from which the next `seconds` are counted."""
        self.began = time.monotonic()
        return self.began

    def due(self) -> bool:
        """Returns whether the time is over."""
        return time.monotonic() - self.began >= self.seconds

    def ends_epoch(self, step: int, steps_per_epoch: int) -> bool:
        """Returns whether `step` ends an epoch at which a save is wanted."""
        return self.epochs > 0 and step % (self.epochs * steps_per_epoch) == 0


@dataclass
class Course:
    """One network on its way: the trainee, where it resumes, the dense states it keeps, what was recorded.

    `keep` maps steps to checkpoint names; `kept` maps each file written in `folder` to its sha256. `remask` maps
    steps to what makes the mask from there on, of the network as it is then (gradual pruning).
    """

    trainee: Trainee
    key: str
    numerics: dict[str, str | int | float | bool]
    resume_path: Path
    folder: Path
    guarded: bool = False
    keep: dict[int, str] = field(default_factory=dict)
    remask: dict[int, Callable[[Trainee], Mask]] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)
    metrics: list[dict[str, Any]] = field(default_factory=list)
    failure: LthError | None = None
    allow_other_numerics: bool = False
    mixed_numerics: bool = False
    tally: Tally = field(init=False)

    def __post_init__(self) -> None:
        self.tally = Tally(self.trainee)

    @property
    def seconds(self) -> float:
        """Its share of the wall time of all trainings in lockstep."""
        return self.tally.seconds

    @seconds.setter
    def seconds(self, value: float) -> None:
        self.tally.seconds = value

    @property
    def done(self) -> bool:
        return self.failure is None and self.trainee.step >= self.trainee.last_step

    def moments(self) -> set[int]:
        """Returns the steps at which something is to be recorded, kept or checked."""
        trainee = self.trainee
        recorded = [range(every, trainee.last_step, every) for every in _pauses(trainee)]
        epochs = range(trainee.steps_per_epoch, trainee.last_step, trainee.steps_per_epoch)
        return {*chain(*recorded), *epochs, *self.keep, *self.remask, trainee.last_step}


def fit(courses: Sequence[Course], stream: Stream, stop: Event, pace: Pace) -> None:
    """Returns nothing; every course ends done, failed, or, where `stop` was set, saved to go on later.

    A course that fails leaves the others' bits alone. The state to resume from is written when `pace` says so.
    The processes of a group save and stop at the same step, as soon as one of them wants to.
    """
    for course in courses:
        _board(course)
    tallies = [course.tally for course in courses]
    meter = Meter(tallies, stream.resident.data.batch_size, stream.resident.device)
    _keep(courses, {course.trainee.step for course in courses})
    meter.saved(tallies)
    moments = set[int]().union(*(course.moments() for course in courses))
    pace.begin()
    trainees = [course.trainee for course in courses]
    halt = Halt(stop, pace.due, trainees[0].group)
    for step in train(trainees, stream, moments, halt.look, meter.clock_of):
        meter.trained(step)
        # A ticket that only boards here has nothing to record yet: its curve would tell of its company.
        here = [course for course in courses if course.trainee.step == step > course.tally.since]
        present = [course for course in here if course.failure is None]
        for course in present:
            _record(course, stream, meter)
        _keep(present, {step})
        for course in present:
            if step in course.remask and step < course.trainee.last_step:
                course.trainee.remask(course.remask[step](course.trainee))
        if halt.stopping or halt.saving or pace.ends_epoch(step, stream.resident.steps_per_epoch):
            _save(present, stop)
            pace.begin()
        meter.saved([course.tally for course in present])
        log.debug("step %d: %s", step, " ".join(course.trainee.name for course in present))
        if halt.stopping:
            return


def _board(course: Course) -> None:
    """Takes up an interrupted training; the first process of a group decides, and gives the others its state."""
    trainee, group = course.trainee, course.trainee.group
    if group.first:
        _take_up(course)
    if group.world == 1:
        return
    trainee.step, pending = group.largest(trainee.step, len(trainee.losses))
    for value in (trainee.weights, *trainee.state.values(), *trainee.model.buffers()):
        group.share_(value)
    if not group.first:  # the losses that were saved are sums over all processes
        trainee.losses = list(trainee.weights.new_zeros(pending))


def _take_up(course: Course) -> None:
    """Goes on from the newest saved state that is whole and of this numerics class."""
    for path in (course.resume_path, previous(course.resume_path)):
        content, why = load_resume(path, course.key, course.numerics, course.allow_other_numerics)
        if content is not None:
            make_folder(course.folder, parents=False)
            if not _fetch_kept(course, content["kept"]):
                content, why = None, "damaged (a kept checkpoint is missing)"
        if content is not None:
            course.metrics = resume(course.trainee, content)
            course.mixed_numerics = why == "other numerics" or content["mixed_numerics"]
            course.seconds = float(content["seconds"])
            log.info("%s goes on at step %d", course.trainee.name, course.trainee.step)
            return
        if why != "absent":
            log.warning("%s: the saved state %s is unusable (%s)", course.trainee.name, path.name, why)


def _fetch_kept(course: Course, kept: dict[str, str]) -> bool:
    """Brings the checkpoints of the interrupted attempt into this one; each must have its recorded checksum."""
    for name, sha256 in kept.items():
        for source in sorted(course.folder.parent.glob(f"attempt-*/{name}")):
            data = source.read_bytes()
            if sha256_of(data) == sha256:
                atomic_write(course.folder / name, data)
                course.kept[name] = sha256
                break
        else:
            course.kept = {}
            return False
    return True


def _record(course: Course, stream: Stream, meter: Meter) -> None:
    trainee, resident = course.trainee, stream.resident
    if not _due(course):
        return
    losses = trainee.take_losses()
    bad = (~torch.isfinite(losses)).nonzero()
    if len(bad):
        step = trainee.step - len(losses) + int(bad[0])
        cure = "Lower train.optimizer.lr, or add schedule.warmup_epochs."
        return _fail(
            course,
            TrainingError("the training loss is not a finite number", at=f"{trainee.name}, step {step}", cure=cure),
        )
    with trainee.averaged():
        scores = evaluate(trainee.model, resident, "validation", trainee.recipe.precision, trainee.group)
    meter.evaluated(course.tally)
    if scores.loss != scores.loss or scores.loss == float("inf"):
        return _fail(
            course,
            TrainingError("the validation loss is not a finite number", at=f"{trainee.name}, step {trainee.step}"),
        )
    row: dict[str, Any] = {
        "step": trainee.step,
        "epoch": trainee.step / trainee.steps_per_epoch,
        "train_loss": losses.mean().item() if len(losses) else None,
        "validation_loss": scores.loss,
        "validation_top1": scores.top1,
        "ids_sha256": stream.fingerprint((trainee.step - 1) // trainee.steps_per_epoch) if trainee.step else None,
        "seconds": round(course.seconds, 3),
        **meter.row(course.tally),
        **_tested(course, resident),
    }
    course.metrics.append(row)
    if course.guarded and trainee.step == guard_step(trainee):
        guard(course, scores.top1, resident.labels("validation"))


def _pauses(trainee: Trainee) -> list[int]:
    """The steps between two evaluations: on validation data, and, where it is asked for, on test data."""
    recipe = trainee.recipe
    wanted = (recipe.evaluate_every, recipe.test_every)
    return [pause.index(trainee.steps_per_epoch) for pause in wanted if pause is not None]


def _due(course: Course) -> bool:
    trainee = course.trainee
    guard = course.guarded and trainee.step == guard_step(trainee)
    return trainee.step == trainee.last_step or guard or any(trainee.step % pause == 0 for pause in _pauses(trainee))


def _tested(course: Course, resident: Images) -> dict[str, float]:
    """The test scores of a row where `train.test_every` asks for them; they are shown to nobody before selection."""
    trainee, pause = course.trainee, course.trainee.recipe.test_every
    if pause is None or (trainee.step % pause.index(trainee.steps_per_epoch) and trainee.step != trainee.last_step):
        return {}
    with trainee.averaged():
        scores = evaluate(trainee.model, resident, "test", trainee.recipe.precision, trainee.group)
    return {"test_loss": scores.loss, "test_top1": scores.top1}


def guard_step(trainee: Trainee) -> int:
    """Returns the step after which a dense network must have learned something; 0 means never."""
    return min(trainee.recipe.guard_epochs * trainee.steps_per_epoch, trainee.schedule_steps)


def guard(course: Course, top1: float, labels: Tensor) -> None:
    """Stops a network that is no better than always naming the largest class (binomial test, p < 1e-3)."""
    n, largest = len(labels), int(labels.bincount().max())
    if binomial_tail(round(top1 * n), n, largest / n) < 1e-3:
        return
    what = f"not learning: validation top-1 {top1:.1%}, the largest class alone gives {largest / n:.1%}"
    cure = "Check the labels, change train.optimizer.lr or model.initialization, or raise train.guard_epochs."
    _fail(course, NotLearningError(what, at=f"{course.trainee.name}, step {course.trainee.step}", cure=cure))


def _fail(course: Course, failure: LthError) -> None:
    course.failure = failure
    course.trainee.last_step = course.trainee.step  # it leaves the loop, its companions go on


def _keep(courses: Sequence[Course], steps: set[int]) -> None:
    """Saves the states a dense network is rewound to, each with the optimizer state an exact replay needs."""
    for course in courses:
        name = course.keep.get(course.trainee.step) if course.trainee.group.first else None
        if name is None or course.trainee.step not in steps or f"{name}.safetensors" in course.kept:
            continue
        make_folder(course.folder, parents=False)
        states = {f"{name}.safetensors": state_of(course.trainee)}
        if 0 < course.trainee.step < course.trainee.last_step:  # at 0 it is fresh; nothing is replayed from the end
            states[f"{name}.optimizer.safetensors"] = {key: value.cpu() for key, value in course.trainee.state.items()}
        for file, state in states.items():
            if state:
                course.kept[file] = sha256_of(save_state(course.folder / file, state))


def _save(courses: Sequence[Course], stop: Event) -> None:
    """Writes the state to go on from; only the first process of a group does, with the losses of all."""
    began = time.monotonic()
    for course in courses:
        trainee, group = course.trainee, course.trainee.group
        if course.failure is not None or trainee.step >= trainee.last_step:
            continue
        if group.world > 1 and trainee.losses:
            sums = group.sum_(torch.stack(trainee.losses))
            trainee.losses = list(sums if group.first else torch.zeros_like(sums))
        if group.first:
            extra = {"kept": course.kept, "seconds": course.seconds, "mixed_numerics": course.mixed_numerics}
            save_resume(course.resume_path, trainee, course.key, course.numerics, course.metrics, extra)
    if isinstance(stop, Stop):
        stop.saved(time.monotonic() - began)
