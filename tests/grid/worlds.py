"""Spec and results for grid tests, with no training: a result of any unit, made up."""

from __future__ import annotations

from typing import Any

from lth.grid.unit import Cell, Checkpoint, Dense, Finish, Unit
from lth.runs.records import Audit, CellResult, Failure, Results
from lth.spec import Spec, Step

STEPS_PER_EPOCH = 10


def small_spec(**changes: Any) -> Spec:
    """Returns a spec of a 3 x 2 grid on 2 seeds, with controls and two confirmation seeds."""
    raw: dict[str, Any] = {
        "name": "small",
        "seeds": [0, 1],
        "data": {"source": "synthetic", "batch_size": 8},
        "model": {"name": "lenet_300_100"},
        "train": {"epochs": 4, "optimizer": {"name": "sgd", "lr": 0.1}},
        "grid": {"sparsities": [0.5, 0.8, 0.9], "rewind": ["0", "1ep"], "controls": ["reinit", "shuffled_mask"]},
        "select": {"confirm_seeds": 2, "tolerance": 0.05},
    }
    for key, value in changes.items():
        section, _, name = key.partition("__")
        raw[section] = {**raw[section], name: value} if name else value
    return Spec.model_validate(raw)


def result(spec: Spec, unit: Dense | Cell, accuracy: float = 0.9) -> CellResult:
    """Returns a made-up result of the unit."""
    kept = {str(step.canonical(STEPS_PER_EPOCH)): "x" for step in (Step(), *spec.grid.rewind, Step(spec.train.epochs))}
    cell = unit if isinstance(unit, Cell) else None
    return CellResult(
        id=unit.id, kind="cell" if cell else "dense", key="k", dataset_id="d", seed=unit.seed,
        sparsity=cell and cell.sparsity, rewind=cell and cell.rewind, control=cell and cell.control, order="fresh",
        level=cell and cell.level, threshold=cell and cell.threshold,
        attempt="a", files={}, checkpoints={} if cell else kept, weights_sha256=f"hash of {unit.id}",
        audit=Audit(passed=True, checks={"ok": True}), numerics={"torch": "x"}, first_step=0, last_step=40,
        steps_per_epoch=STEPS_PER_EPOCH, epochs=4, seconds=1, host="h", finished_at="t", train_examples=80,
        validation_examples=5000, test_examples=5000, train_top1=1, train_loss=0.1, validation_top1=accuracy,
        validation_loss=0.3, test_top1=accuracy, test_loss=0.3, early_stop_step=40, early_stop_validation_loss=0.3,
        early_stop_validation_top1=accuracy, parameters=1000, prunable=900,
    )  # fmt: skip


def add(spec: Spec, results: Results, unit: Unit, *, failed: bool = False, accuracy: float = 0.9) -> Results:
    """Returns the results with one more unit settled."""
    if failed:
        failure = Failure(id=unit.id, error="E", message="m", attempt="a", host="h", failed_at="t", final=True)
        return Results(results.done, results.finished, {**results.failed, unit.id: failure})
    if isinstance(unit, Checkpoint | Finish):
        return Results(results.done, results.finished | {unit.id}, results.failed)
    return Results({**results.done, unit.id: result(spec, unit, accuracy)}, results.finished, results.failed)
