"""The result of a finished training: its files and its record."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from lth.grid.unit import Cell, Dense
from lth.pruning.effective import effective_density
from lth.pruning.mask import Mask
from lth.runs.files import atomic_write, jsonl, make_folder, sha256_of
from lth.runs.records import Audit, CellResult
from lth.runs.run import now
from lth.training.checkpoint import save_state, state_of, weights_hash
from lth.training.evaluate import Scores, evaluate
from lth.training.fit import Course
from lth.training.workspace import Workspace


def conclude(work: Workspace, unit: Dense | Cell, course: Course, mask: Mask | None, audit: Audit) -> CellResult:
    """Returns the record of a finished training, after writing its weights, metrics and predictions."""
    trainee, resident = course.trainee, work.resident(unit.seed)
    state = state_of(trainee)
    train = evaluate(trainee.model, resident, "train")
    validation = evaluate(trainee.model, resident, "validation")
    test = evaluate(trainee.model, resident, "test")
    files = {**course.kept, **_write(course, validation, test)}
    if isinstance(unit, Cell):
        data = save_state(make_folder(course.folder) / "weights.safetensors", state)
        files["weights.safetensors"] = sha256_of(data)
    best = min(course.metrics, key=lambda row: (row.get("validation_loss", float("inf")), row["step"]))
    steps = trainee.last_step - trainee.first_step
    return CellResult(
        id=unit.id,
        kind="dense" if isinstance(unit, Dense) else "cell",
        key=course.key,
        dataset_id=work.dataset.dataset_id,
        seed=unit.seed,
        sparsity=unit.sparsity if isinstance(unit, Cell) else None,
        rewind=unit.rewind if isinstance(unit, Cell) else None,
        control=unit.control if isinstance(unit, Cell) else None,
        order=work.spec.grid.order if isinstance(unit, Cell) else "dense",
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
        host=socket.gethostname(),
        finished_at=now(),
        train_examples=resident.train_examples,
        validation_examples=len(resident.split.validation),
        test_examples=len(work.dataset.test_labels),
        train_top1=train.top1,
        train_loss=train.loss,
        validation_top1=validation.top1,
        validation_loss=validation.loss,
        test_top1=test.top1,
        test_loss=test.loss,
        early_stop_step=best["step"],
        early_stop_validation_loss=best["validation_loss"],
        early_stop_validation_top1=best["validation_top1"],
        parameters=trainee.weights.numel(),
        **_densities(work, unit.seed, trainee.weights.numel(), course, mask),
    )


def _checkpoints(work: Workspace, unit: Dense | Cell, course: Course) -> dict[str, str]:
    if isinstance(unit, Cell):
        return {}
    return {str(moment): course.keep[step] for step, moment in work.moments(unit.seed).items()}


def _write(course: Course, validation: Scores, test: Scores) -> dict[str, str]:
    """Metrics as JSON lines; predicted class and confidence of every evaluation example, compact."""
    folder = make_folder(course.folder)
    predictions = {}
    for name, scores in (("validation", validation), ("test", test)):
        predictions[f"{name}_class"] = scores.predicted.to(torch.int16)
        predictions[f"{name}_confidence"] = scores.confidence.to(torch.float16)
    content = {
        "metrics.jsonl": jsonl(course.metrics).encode(),
        "predictions.safetensors": safetensors.torch.save(predictions),
    }
    for name, data in content.items():
        atomic_write(Path(folder / name), data)
    return {name: sha256_of(data) for name, data in content.items()}


def _densities(work: Workspace, seed: int, parameters: int, course: Course, mask: Mask | None) -> dict[str, Any]:
    if mask is None:
        sizes = course.trainee.named(course.trainee.weights)
        return {"prunable": sum(sizes[name].numel() for name in work.prunable(seed))}
    return {
        "prunable": mask.total,
        "density_prunable": mask.density,
        "density_all": (parameters - mask.total + mask.kept) / parameters,
        "density_effective": effective_density(course.trainee.model, mask, work.resident(seed).input_shape),
        "collapsed": mask.collapsed(),
        "layer_densities": mask.layer_densities(),
    }
