"""Training a group of networks to the end: evaluation, checkpoints, the learning guard, failures."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import torch
from torch import Tensor

from lth.data.loader import Resident, Stream
from lth.errors import LthError, NotLearningError, TrainingError
from lth.results.statistics import binomial_tail
from lth.runs.files import make_folder, sha256_of
from lth.training.checkpoint import load_resume, resume, save_resume, save_state, state_of
from lth.training.evaluate import evaluate
from lth.training.loop import Trainee, train

log = logging.getLogger("lth")


@dataclass
class Course:
    """One network on its way: the trainee, where it resumes, the dense states it keeps, what was recorded.

    `keep` maps steps to checkpoint names; `kept` maps each file written in `folder` to its sha256.
    """

    trainee: Trainee
    key: str
    numerics: dict[str, str | int | float | bool]
    resume_path: Path
    folder: Path
    guarded: bool = False
    keep: dict[int, str] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)
    metrics: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    failure: LthError | None = None
    allow_other_numerics: bool = False
    mixed_numerics: bool = False

    @property
    def done(self) -> bool:
        return self.failure is None and self.trainee.step >= self.trainee.last_step

    def moments(self) -> set[int]:
        """Returns the steps at which something is to be recorded, kept or checked."""
        trainee = self.trainee
        every = trainee.recipe.evaluate_every.index(trainee.steps_per_epoch)
        recorded = range(every, trainee.last_step, every)
        epochs = range(trainee.steps_per_epoch, trainee.last_step, trainee.steps_per_epoch)
        return {*recorded, *epochs, *self.keep, trainee.last_step}


def fit(courses: Sequence[Course], stream: Stream, stop: Event, pause: float) -> None:
    """Returns nothing; every course ends done, failed, or, where `stop` was set, saved to go on later.

    A course that fails leaves the others' bits alone. The state to resume from is written at the ends of
    epochs, but not more often than every `pause` seconds.
    """
    for course in courses:
        _board(course)
    _keep(courses, {course.trainee.step for course in courses})
    moments = set[int]().union(*(course.moments() for course in courses))
    began = saved = time.monotonic()
    for step in train([course.trainee for course in courses], stream, moments, stop):
        present = [course for course in courses if course.trainee.step == step and course.failure is None]
        for course in present:
            _record(course, stream.resident)
        _keep(present, {step})
        moment = time.monotonic()
        for course in present:
            course.seconds += (moment - began) / len(present)
        began = moment
        if stop.is_set() or (moment - saved >= pause and step % courses[0].trainee.steps_per_epoch == 0):
            _save(present)
            saved = time.monotonic()
        log.debug("step %d: %s", step, " ".join(course.trainee.name for course in present))


def _board(course: Course) -> None:
    """Takes up a training that was interrupted, where its saved state is whole and of this numerics class."""
    content, why = load_resume(course.resume_path, course.key, course.numerics, course.allow_other_numerics)
    if content is not None:
        make_folder(course.folder)
        if not _fetch_kept(course, content["kept"]):
            content, why = None, "damaged (a kept checkpoint is missing)"
    if content is not None:
        course.metrics = resume(course.trainee, content)
        course.mixed_numerics = why == "other numerics" or content["mixed_numerics"]
        course.seconds = float(content["seconds"])
        log.info("%s goes on at step %d", course.trainee.name, course.trainee.step)
    elif why != "absent":
        log.warning("%s starts over: its saved state is unusable (%s)", course.trainee.name, why)


def _fetch_kept(course: Course, kept: dict[str, str]) -> bool:
    """Brings the checkpoints of the interrupted attempt into this one; each must have its recorded checksum."""
    for name, sha256 in kept.items():
        for source in sorted(course.folder.parent.glob(f"attempt-*/{name}")):
            data = source.read_bytes()
            if sha256_of(data) == sha256:
                (course.folder / name).write_bytes(data)
                course.kept[name] = sha256
                break
        else:
            course.kept = {}
            return False
    return True


def _record(course: Course, resident: Resident) -> None:
    trainee = course.trainee
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
    scores = evaluate(trainee.model, resident, "validation")
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
        "seconds": round(course.seconds, 3),
    }
    course.metrics.append(row)
    if course.guarded and trainee.step == guard_step(trainee):
        _guard(course, scores.top1, resident.validation[1])


def _due(course: Course) -> bool:
    trainee = course.trainee
    every = trainee.recipe.evaluate_every.index(trainee.steps_per_epoch)
    guard = course.guarded and trainee.step == guard_step(trainee)
    return trainee.step % every == 0 or trainee.step == trainee.last_step or guard


def guard_step(trainee: Trainee) -> int:
    """Returns the step after which a dense network must have learned something; 0 means never."""
    return min(trainee.recipe.guard_epochs, trainee.recipe.epochs) * trainee.steps_per_epoch


def _guard(course: Course, top1: float, labels: Tensor) -> None:
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
        name = course.keep.get(course.trainee.step)
        if name is None or course.trainee.step not in steps or f"{name}.safetensors" in course.kept:
            continue
        make_folder(course.folder)
        states = {f"{name}.safetensors": state_of(course.trainee)}
        if 0 < course.trainee.step < course.trainee.last_step:  # at 0 it is fresh; nothing is replayed from the end
            states[f"{name}.optimizer.safetensors"] = {key: value.cpu() for key, value in course.trainee.state.items()}
        for file, state in states.items():
            if state:
                course.kept[file] = sha256_of(save_state(course.folder / file, state))


def _save(courses: Sequence[Course]) -> None:
    for course in courses:
        if course.failure is None and course.trainee.step < course.trainee.last_step:
            extra = {"kept": course.kept, "seconds": course.seconds, "mixed_numerics": course.mixed_numerics}
            save_resume(course.resume_path, course.trainee, course.key, course.numerics, course.metrics, extra)
