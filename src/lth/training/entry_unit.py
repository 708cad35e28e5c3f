"""A unit trained by a function of one's own: handed over in files, watched, and taken back after an audit."""

from __future__ import annotations

import logging
import math
import shutil
from collections.abc import Mapping
from typing import Any

import safetensors.torch
from torch import Tensor

from lth.errors import LthError, RunError, TrainingError
from lth.grid.unit import Checkpoint
from lth.grid.work import SETUP
from lth.pruning.mask import Mask
from lth.runs.files import make_folder, read_json, sha256_of, write_json
from lth.runs.layout import ENTRY
from lth.training.checkpoint import save_state, state_of
from lth.training.child import Ending, last_lines, run_child
from lth.training.entry import entry_function
from lth.training.entry_log import EntryFolder, read_rows
from lth.training.evaluate import evaluate
from lth.training.fit import Course, guard
from lth.training.workspace import Workspace

log = logging.getLogger("lth")

CURE = "Delete its unit's folder to have it made again."


def train_by_entry(work: Workspace, course: Course, seed: int, order: str) -> dict[str, float]:
    """Returns the scores that `train.entry` gave; the course ends done, failed, or, where it was stopped, neither.

    The function's last weights become the network's, after an audit of what came back. A try that was killed
    after its function had returned is taken up as it is. Raises RunError where the set-up cannot work.
    """
    folder = EntryFolder(make_folder(course.folder.parent / ENTRY))
    outcome = _earlier(folder, course.key)
    try:
        if outcome is None and not work.stop.is_set():
            entry_function(work.spec.train.entry or "")  # one that is not there is no failure of the unit
            _hand_over(work, folder, course, seed, order)
            outcome = _run(work, folder, course)
        if outcome is None:
            return {}
        _take_back(folder, course, outcome)
        _score(work, course, outcome["scores"], seed)
        return outcome["scores"]
    except SETUP:
        raise
    except LthError as problem:
        folder.outcome.unlink(missing_ok=True)  # another try calls the function again
        course.failure = problem
        return {}


def forget(course: Course) -> None:
    """Returns nothing; takes the files of a unit's function away, once its result is published."""
    shutil.rmtree(course.folder.parent / ENTRY, ignore_errors=True)


def no_replay(unit: Checkpoint) -> TrainingError:
    """Returns why a rewind point cannot be added to a dense network that `train.entry` has trained."""
    seed = unit.seed
    what = "what train.entry trained cannot be replayed to a rewind point added later"
    cure = f"Delete dense/seed{seed}, masks/seed{seed} and cells/*-seed{seed}* to have that seed done again, "
    return TrainingError(what, at=unit.id, cure=cure + "or start a new run directory.")


def _earlier(folder: EntryFolder, key: str) -> dict[str, Any] | None:
    """What a function that had returned left behind; the files of another unit, or of a failure, are taken away."""
    if folder.job.exists() and read_json(folder.job, CURE).get("key") != key:
        shutil.rmtree(folder.root)
        make_folder(folder.root)
    if not folder.outcome.exists():
        return None
    outcome = read_json(folder.outcome, CURE)
    if "scores" in outcome:
        return outcome
    folder.outcome.unlink()
    return None


def _hand_over(work: Workspace, folder: EntryFolder, course: Course, seed: int, order: str) -> None:
    trainee, stream = course.trainee, work.stream(seed, order)
    save_state(folder.start, state_of(trainee))
    if trainee.mask is not None:
        kept = trainee.named(trainee.mask)
        Mask({name: kept[name].bool() for name in work.prunable}).save(folder.mask)
    content = {
        "key": course.key,
        "run": str(work.run.path.absolute()),
        "entry": work.spec.train.entry,
        "name": trainee.name,
        "masked": trainee.mask is not None,
        "first_step": trainee.first_step,
        "last_step": trainee.last_step,
        "steps_per_epoch": trainee.steps_per_epoch,
        "keep": {step: name for step, name in course.keep.items() if trainee.first_step < step < trainee.last_step},
        "input_shape": stream.resident.input_shape,
        "classes": stream.resident.classes,
        "seed": seed,
        "order": order,
        "order_seed": stream.order_seed,
        "augment_seed": stream.augment_seed,
        "dropout_seed": trainee.dropout_seed,
    }
    write_json(folder.job, content)


def _run(work: Workspace, folder: EntryFolder, course: Course) -> dict[str, Any] | None:
    """What the function gave; None where it was stopped. Raises the error of a function that failed."""
    minutes = work.spec.execute.entry_minutes
    heard = make_folder(course.folder) / "log.txt"
    ending = run_child("lth.training.entry_process", [str(folder.root)], heard, 60 * minutes, work.stop)
    outcome = read_json(folder.outcome, CURE) if folder.outcome.exists() else {}
    if "scores" in outcome:
        return outcome
    if ending.how == "stopped":
        log.info("%s: train.entry was stopped", course.trainee.name)
        return None
    at, said = outcome.get("at") or course.trainee.name, f"Its log is {heard}"
    if ending.how == "late":
        what = f"train.entry took longer than execute.entry_minutes = {minutes:g}"
        cure = f"Raise execute.entry_minutes, or see where it hangs. {said}{_quoted(last_lines(heard))}"
        raise TrainingError(what, at=at, cure=cure)
    match outcome.get("whose"):
        case "setup":
            raise RunError(outcome["what"].rstrip("."), at=at)
        case "unit":
            raise TrainingError(outcome["what"].rstrip("."), at=at, cure=f"{said}.")
        case _:
            raise LthError(_words(ending, outcome), at=at, cure=f"{said}{_quoted(last_lines(heard))}")


def _words(ending: Ending, outcome: Mapping[str, str]) -> str:
    return f"train.entry raised {outcome['what']}" if outcome else f"train.entry {ending.words}"


def _quoted(lines: list[str]) -> str:
    return " and ends with:\n" + "\n".join(f"  {line}" for line in lines) if lines else "; it says nothing"


def _take_back(folder: EntryFolder, course: Course, outcome: Mapping[str, Any]) -> None:
    """Loads the last weights into the network, and writes the dense states to keep into this attempt's folder."""
    trainee = course.trainee
    start, end = state_of(trainee), _read(folder, "weights", outcome["weights"])
    _audit(course, "the trained network", end, start)
    for step, name in course.keep.items():
        state = {trainee.first_step: start, trainee.last_step: end}.get(step)
        if state is None:
            state = _read(folder, name, outcome["kept"][name])
            _audit(course, f"the network at step {step}", state, start)
        file = f"{name}.safetensors"
        course.kept[file] = sha256_of(save_state(make_folder(course.folder) / file, state))
    trainee.model.load_state_dict(end)
    trainee.step = trainee.last_step
    course.metrics = read_rows(folder.rows)
    course.seconds = float(read_json(folder.progress, CURE)["seconds"])


def _read(folder: EntryFolder, name: str, sha256: str) -> dict[str, Tensor]:
    path = folder.state(name, sha256)
    data = path.read_bytes() if path.exists() else b""
    if sha256_of(data) != sha256:
        raise LthError("the file is missing or damaged", at=path, cure=CURE)
    return safetensors.torch.load(data)


def _audit(course: Course, what: str, state: Mapping[str, Tensor], start: Mapping[str, Tensor]) -> None:
    """Raises TrainingError for a network that is no longer the one handed over, or whose pruned weights moved."""
    trainee = course.trainee
    for name in sorted(start.keys() | state.keys()):
        before, after = _described(start.get(name)), _described(state.get(name))
        if before != after:
            cure = "Train job.model in place, and leave its names, shapes and number formats as they are."
            text = f"architecture_unchanged: {name} of {what} is {after}, and was {before}"
            raise TrainingError(text, at=trainee.name, cure=cure)
    if trainee.mask is None:
        return
    for name, kept in trainee.named(trainee.mask).items():
        moved = int((state[name].ne(0) & kept.cpu().eq(0)).count_nonzero())
        if moved:
            cure = "Make the enforcer after the optimizer: job.enforce(optimizer)."
            text = f"pruned_weights_zero: {moved} pruned weights of {name} are not 0 after training"
            raise TrainingError(text, at=trainee.name, cure=cure)


def _described(value: Tensor | None) -> str:
    return "absent" if value is None else f"{str(value.dtype).removeprefix('torch.')} of shape {tuple(value.shape)}"


def _score(work: Workspace, course: Course, scores: Mapping[str, float], seed: int) -> None:
    """Adds the last row of the training curve: the function's own validation scores, or else ours, and the guard."""
    trainee, resident = course.trainee, work.resident(seed)
    loss, top1 = scores.get("validation_loss"), scores.get("validation_top1")
    ours = loss is None or top1 is None
    if loss is None or top1 is None:
        found = evaluate(trainee.model, resident, "validation", trainee.recipe.precision)
        loss, top1 = found.loss, found.top1
    if not math.isfinite(loss):
        raise TrainingError("the validation loss is not a finite number", at=f"{trainee.name}, step {trainee.step}")
    row = {"step": trainee.step, "epoch": trainee.step / trainee.steps_per_epoch}
    row |= {"validation_loss": loss, "validation_top1": top1, "seconds": round(course.seconds, 3)}
    last = course.metrics.pop() if course.metrics and course.metrics[-1]["step"] == trainee.step else {}
    course.metrics.append({**last, **row})
    if course.guarded and ours and trainee.recipe.guard_epochs:
        guard(course, top1, resident.labels("validation"))
