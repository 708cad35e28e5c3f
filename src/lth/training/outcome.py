"""The result of a finished training: its files and its record."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from lth.data.loader import Images, Part
from lth.grid.unit import Cell, Dense
from lth.pruning.effective import effective_density
from lth.pruning.mask import Mask
from lth.runs.files import atomic_write, jsonl, make_folder, sha256_of
from lth.runs.records import Audit, CellResult
from lth.runs.run import now
from lth.training.accounting import measured, middle
from lth.training.checkpoint import save_state, state_of, weights_hash
from lth.training.evaluate import Scores, evaluate
from lth.training.fit import Course
from lth.training.workspace import Workspace

PARTS: tuple[Part, ...] = ("train", "validation", "test")


def conclude(
    work: Workspace, unit: Dense | Cell, course: Course, mask: Mask | None, audit: Audit, given: Mapping[str, float]
) -> CellResult:
    """Returns the record of a finished training, after writing its weights, metrics and predictions.

    `given` are scores that `train.entry` returned: those parts of the data are not evaluated here.
    """
    trainee, resident = course.trainee, work.resident(unit.seed)
    state = state_of(trainee)
    scores = final_scores(course, resident, [part for part in PARTS if f"{part}_top1" not in given])
    files = {**course.kept, **_write(course, scores)}
    if isinstance(unit, Cell):
        data = save_state(make_folder(course.folder, parents=False) / "weights.safetensors", state)
        files["weights.safetensors"] = sha256_of(data)
        if mask is not None and (unit.level is not None or trainee.remasked):  # no file of the seed holds it
            mask.save(course.folder / "mask.safetensors")
            files["mask.safetensors"] = sha256_of((course.folder / "mask.safetensors").read_bytes())
    whole = [row for row in course.metrics if None not in (row.get("validation_loss"), row.get("validation_top1"))]
    best = min(whole, key=lambda row: (row["validation_loss"], row["step"]))
    steps = trainee.last_step - trainee.first_step
    _report_costs(work, unit, course)
    return CellResult(
        id=unit.id,
        kind="dense" if isinstance(unit, Dense) else "cell",
        key=course.key,
        dataset_id=work.dataset.dataset_id,
        seed=unit.seed,
        sparsity=unit.sparsity if isinstance(unit, Cell) else None,
        rewind=unit.rewind if isinstance(unit, Cell) else None,
        control=unit.control if isinstance(unit, Cell) else None,
        level=unit.level if isinstance(unit, Cell) else None,
        threshold=unit.threshold if isinstance(unit, Cell) else None,
        order=_order(work, unit),
        attempt=work.attempt,
        files=files,
        checkpoints={key: f"{name}.safetensors" for key, name in _checkpoints(work, unit, course).items()},
        weights_sha256=weights_hash(state),
        audit=audit,
        numerics=work.numerics,
        resumed_in_other_numerics=course.mixed_numerics,
        first_step=trainee.first_step,
        last_step=trainee.last_step,
        steps_per_epoch=trainee.steps_per_epoch,
        epochs=steps / trainee.steps_per_epoch,
        seconds=round(course.seconds, 3),
        examples_per_second=middle(course.metrics, "examples_per_second"),
        data_share=middle(course.metrics, "data_share"),
        host=socket.gethostname(),
        finished_at=now(),
        **_numbers(work, resident, scores, given),
        early_stop_step=best["step"],
        early_stop_validation_loss=best["validation_loss"],
        early_stop_validation_top1=best["validation_top1"],
        **_early_stop_test(course, best["step"]),
        parameters=trainee.weights.numel(),
        **_densities(work, unit, course, mask),
    )


def final_scores(course: Course, resident: Images, parts: Sequence[Part] = PARTS) -> dict[Part, Scores]:
    """Returns the scores of a finished training on parts of the data; a group shares the work."""
    model, precision, group = course.trainee.model, course.trainee.recipe.precision, course.trainee.group
    return {part: evaluate(model, resident, part, precision, group) for part in parts}


def _numbers(
    work: Workspace, resident: Images, scores: Mapping[Part, Scores], given: Mapping[str, float]
) -> dict[str, Any]:
    """Examples, accuracy and loss of every part of the data."""
    sizes = {
        "train_examples": resident.train_examples,
        "validation_examples": len(resident.split.validation),
        "test_examples": len(work.dataset.test_labels),
    }
    top1 = {f"{part}_top1": one.top1 for part, one in scores.items()}
    return {**sizes, **top1, **{f"{part}_loss": one.loss for part, one in scores.items()}, **given}


def _report_costs(work: Workspace, unit: Dense | Cell, course: Course) -> None:
    """Adds what a dense network, or the first ticket of those in lockstep, took to the facts of the run."""
    if work.spec.train.entry is not None:  # whose rows are its own affair
        return
    found = measured(course.metrics, course.tally, work.spec.data.batch_size)
    if found is None or course.tally.watch.reported or not work.group.first:
        return
    course.tally.watch.reported = True
    kind = "dense" if isinstance(unit, Dense) else f"tickets-{found[0]}"
    work.run.measured(kind, {**found[1], "numerics": work.numerics, "unit": unit.id, "measured_at": now()})


def _checkpoints(work: Workspace, unit: Dense | Cell, course: Course) -> dict[str, str]:
    if isinstance(unit, Cell):
        return {}
    return {str(moment): course.keep[step] for step, moment in work.moments(unit.seed).items()}


def _write(course: Course, scores: Mapping[Part, Scores]) -> dict[str, str]:
    """Metrics as JSON lines; predicted class and confidence of every evaluation example, compact."""
    folder = make_folder(course.folder, parents=False)
    predictions = {}
    for name, one in scores.items():
        if name != "train":
            predictions[f"{name}_class"] = one.predicted.to(torch.int16)
            predictions[f"{name}_confidence"] = one.confidence.to(torch.float16)
    content = {"metrics.jsonl": jsonl(course.metrics).encode()}
    if predictions:
        content["predictions.safetensors"] = safetensors.torch.save(predictions)
    for name, data in content.items():
        atomic_write(Path(folder / name), data)
    return {name: sha256_of(data) for name, data in content.items()}


def _order(work: Workspace, unit: Dense | Cell) -> str:
    if isinstance(unit, Dense):
        return "dense"
    return "copy" if unit.control == "copy" else work.spec.grid.order


def _early_stop_test(course: Course, step: int) -> dict[str, Any]:
    """The test accuracy at the evaluation on test data that is nearest to the early stop, the earlier of two."""
    tested = [row for row in course.metrics if row.get("test_top1") is not None]
    if not tested:
        return {}
    nearest = min(tested, key=lambda row: (abs(row["step"] - step), row["step"]))
    return {"early_stop_test_top1": nearest["test_top1"], "early_stop_test_step": nearest["step"]}


def _densities(work: Workspace, unit: Dense | Cell, course: Course, mask: Mask | None) -> dict[str, Any]:
    """What is kept, as shares of the prunable weights and of all; a narrower network's are shares of the whole one."""
    parameters = course.trainee.weights.numel()
    if mask is None:
        sizes = course.trainee.named(course.trainee.weights)
        prunable = sum(sizes[name].numel() for name in work.prunable)
        whole, all_of_it = work.sizes
        shares = {"density_prunable": prunable / whole, "density_all": parameters / all_of_it}
        narrow = {} if isinstance(unit, Dense) else {**shares, "density_effective": prunable / whole}
        return {"prunable": prunable, **narrow}
    return {
        "prunable": mask.total,
        "density_prunable": mask.density,
        "density_all": (parameters - mask.total + mask.kept) / parameters,
        "density_effective": effective_density(course.trainee.model, mask, work.resident(unit.seed).input_shape),
        "collapsed": mask.collapsed(),
        "layer_densities": mask.layer_densities(),
    }
