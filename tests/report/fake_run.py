"""A run held in memory, with planted numbers: what the report is tested on."""

from __future__ import annotations

import hashlib
import math
import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lth.grid.next import ready
from lth.grid.unit import Cell, Checkpoint, Dense, Finish
from lth.results.select import candidate, neighbours
from lth.runs.layout import Layout
from lth.runs.records import Audit, CellResult, Failure, Results
from lth.spec.schema import Spec
from lth.spec.step import Step
from lth.spec.toml import written
from lth.spec.variants import span

SPARSITIES = [
    0.65,
    0.7,
    0.75,
    0.8,
    0.83,
    0.85,
    0.86,
    0.87,
    0.88,
    0.89,
    0.9,
    0.91,
    0.92,
    0.93,
    0.94,
    0.95,
    0.96,
    0.97,
    0.98,
    0.99,
]
LAYERS = {"fc1.weight": 19200, "fc2.weight": 30000, "output.weight": 1000}
PARAMETERS, PRUNABLE = 50610, 49200
EPOCHS, STEPS_PER_EPOCH = 20, 22
TRAIN, VALIDATION, TEST = 1149, 288, 360
FINISHED = "2026-11-20T12:01:00+00:00"
AUDIT = Audit(passed=True, checks={"density_exact": True, "kept_equal_checkpoint": True})
NUMERICS: dict[str, str | int | float | bool] = {
    "torch": "2.13.0+cpu",
    "device": "cpu",
    "capability": "AVX512",
    "threads": 1,
    "precision": "fp32",
}
Deficit = Callable[[float, Step, str | None], float]


def deficit(sparsity: float, rewind: Step, control: str | None) -> float:
    """Returns how far below the dense accuracy a network lies: a knee near 8 % density, a flat rewind axis."""
    density = 1 - sparsity
    lost = 0.5 / (1 + (density / 0.0115) ** 2.6)
    worse = {None: 1.0, "shuffled_mask": 1.5, "random_mask": 1.7, "reinit": 1.9}.get(control, 1.3)
    return lost * worse + (0.004 if control else 0.0)


def never(sparsity: float, rewind: Step, control: str | None) -> float:
    """Returns a deficit that no tolerance forgives."""
    return 0.08 + deficit(sparsity, rewind, control)


def late(sparsity: float, rewind: Step, control: str | None) -> float:
    """Returns a deficit that shrinks with the rewind point: a rewind axis that is not flat."""
    return deficit(sparsity, rewind, control) + 0.03 / (1 + rewind.epochs)


def spec_of(seeds: int = 5, confirm: int = 3, **changes: Any) -> Spec:
    """Returns the spec of the planted run; `changes` replace whole sections."""
    raw: dict[str, Any] = {
        "name": "digits-lenet",
        "seeds": list(range(seeds)),
        "data": {"source": "digits", "batch_size": 64, "validation": {"folds": 5}},
        "model": {"name": "lenet_300_100", "initialization": "kaiming_normal"},
        "train": {"epochs": EPOCHS, "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9}},
        "prune": {"scope": "layerwise", "rates": {}, "exclude": ["output"]},
        "grid": {
            "sparsities": SPARSITIES,
            "rewind": ["0", "1ep", "2ep", "3ep", "5ep"],
            "controls": ["reinit", "shuffled_mask", "random_mask"],
        },
        "select": {"tolerance": 0.01, "confirm_seeds": confirm},
    }
    return Spec.model_validate({**raw, **changes})


@dataclass
class FakeRun:
    """What the report asks of a run: its path, spec, results and training curves."""

    path: Path
    spec: Spec
    found: Results
    head: dict[str, Any] = field(default_factory=dict)
    shown: int = 0

    @property
    def layout(self) -> Layout:
        return Layout(self.path)

    def results(self) -> Results:
        return self.found

    def describe(self) -> dict[str, Any]:
        return {
            "versions": {"lth": "0.1.0", "python": "3.11.7"},
            "host": "node1",
            "created_at": "2026-11-20T12:00:00+00:00",
            **self.head,
        }

    def test_shown(self) -> None:
        self.shown += 1

    def metrics(self, result: CellResult) -> list[dict[str, Any]]:
        rng = random.Random(result.id)
        first = result.first_step // STEPS_PER_EPOCH
        return [_moment(result, epoch, first, rng) for epoch in range(first, EPOCHS + 1)]


def _moment(result: CellResult, epoch: int, first: int, rng: random.Random) -> dict[str, Any]:
    start = 0.1 if first == 0 else 0.6
    speed = 1.4 if result.kind == "dense" else 2.2
    reached = result.validation_top1 - (result.validation_top1 - start) * math.exp(-(epoch - first) / speed)
    return {
        "step": epoch * STEPS_PER_EPOCH,
        "epoch": float(epoch),
        "train_loss": 2.3 * math.exp(-epoch / 4),
        "validation_loss": 2.3 * math.exp(-epoch / 4) + 0.08,
        "validation_top1": _rounded(reached + rng.gauss(0, 0.004), VALIDATION),
        "seconds": 0.01 * (epoch - first),
    }


def _rounded(accuracy: float, examples: int) -> float:
    return round(min(max(accuracy, 0.0), 1.0) * examples) / examples


def network(
    seed: int,
    sparsity: float | None = None,
    rewind: Step | None = None,
    control: str | None = None,
    *,
    lost: Deficit = deficit,
) -> CellResult:
    """Returns the record of one planted network: dense without a sparsity, else a ticket or a control."""
    dense = sparsity is None
    cell = f"s{sparsity}-r{rewind}-seed{seed}" + (f"-{control}" if control else "")
    unit = f"dense-seed{seed}" if dense else cell
    rng, common = random.Random(unit), random.Random(f"seed {seed}")
    level = 0.976 + common.gauss(0, 0.004) - (0 if dense else lost(sparsity, rewind or Step(), control))
    first = 0 if dense or control == "reinit" or rewind is None else rewind.epochs * STEPS_PER_EPOCH
    kept = 1.0 if dense else 1 - sparsity
    digest = hashlib.sha256(unit.encode()).hexdigest()
    return CellResult(
        id=unit, kind="dense" if dense else "cell", key=digest, dataset_id="d" * 64, seed=seed,
        sparsity=sparsity, rewind=rewind, control=control, order="dense" if dense else "fresh",
        attempt="host-1-abc", files={}, weights_sha256=digest, audit=AUDIT, numerics=NUMERICS,
        checkpoints={"0": "0.safetensors", "1ep": "a", "2ep": "b", "3ep": "c", "5ep": "d"} if dense else {},
        first_step=first, last_step=EPOCHS * STEPS_PER_EPOCH, steps_per_epoch=STEPS_PER_EPOCH,
        epochs=EPOCHS - first / STEPS_PER_EPOCH, seconds=0.31 + rng.random() / 20, host="node1", finished_at=FINISHED,
        train_examples=TRAIN, validation_examples=VALIDATION, test_examples=TEST,
        train_top1=_rounded(level + 0.02, TRAIN), train_loss=0.02,
        validation_top1=_rounded(level + rng.gauss(0, 0.003), VALIDATION), validation_loss=0.09,
        test_top1=_rounded(level - 0.006 + rng.gauss(0, 0.003), TEST), test_loss=0.11,
        early_stop_step=11 * STEPS_PER_EPOCH, early_stop_validation_loss=0.085,
        early_stop_validation_top1=_rounded(level, VALIDATION),
        parameters=PARAMETERS, prunable=PRUNABLE, density_prunable=kept,
        density_all=1.0 if dense else (kept * PRUNABLE + PARAMETERS - PRUNABLE) / PARAMETERS,
        density_effective=1.0 if dense else max(kept - 0.0002 / kept, 0.0),
        layer_densities={} if dense else _layers(kept, rng),
    )  # fmt: skip


def _layers(kept: float, rng: random.Random) -> dict[str, float]:
    second = kept * (0.93 + rng.gauss(0, 0.004))
    first = (kept * PRUNABLE - second * LAYERS["fc2.weight"]) / LAYERS["fc1.weight"]
    return {"fc1.weight": min(first, 1.0), "fc2.weight": second}


def planted(path: Path, spec: Spec | None = None, *, lost: Deficit = deficit) -> FakeRun:
    """Returns a whole run: dense, grid, controls around the candidate, confirmation."""
    spec = spec or spec_of()
    run = grid_only(path, spec, lost=lost)
    chosen = candidate(spec, run.found)
    if chosen is None:
        return run
    more = [network(seed, lost=lost) for seed in spec.confirmation_seeds]
    for level in neighbours(spec, chosen[0]):
        more += [network(seed, level, chosen[1], name, lost=lost) for seed in spec.seeds for name in spec.grid.controls]
    for seed in spec.confirmation_seeds:
        more += [network(seed, *chosen, name, lost=lost) for name in (None, *spec.grid.controls)]
    return replace(run, found=Results({**run.found.done, **{result.id: result for result in more}}))


def played(path: Path, spec: Spec, *, lost: Deficit = deficit) -> FakeRun:
    """Returns the whole run of any spec, unit by unit as `ready` names them; sparser tickets stop earlier."""
    results = Results()
    while units := [unit for unit in ready(spec, results) if not isinstance(unit, Finish)]:
        done = {unit.id: _of(spec, unit, lost) for unit in units if isinstance(unit, Dense | Cell)}
        finished = {unit.id for unit in units if isinstance(unit, Checkpoint)}
        results = Results({**results.done, **done}, results.finished | finished)
    return FakeRun(path, spec, results)


def _of(spec: Spec, unit: Dense | Cell, lost: Deficit) -> CellResult:
    if isinstance(unit, Dense):
        return network(unit.seed, lost=lost)
    nominal = 0.5 if unit.sparsity is None else unit.sparsity
    found = network(unit.seed, nominal, unit.rewind, unit.control, lost=lost)
    first, last = span(spec, unit.control, nominal, unit.rewind, STEPS_PER_EPOCH)
    where = {key: getattr(unit, key) for key in ("id", "sparsity", "level", "threshold")}
    speed = 0.3 + (1 - nominal) / 4 + (0.4 if unit.control else 0.0)
    stop = {"early_stop_step": first + round(speed * 10) * STEPS_PER_EPOCH}
    steps = {"first_step": first, "last_step": last, "epochs": (last - first) / STEPS_PER_EPOCH}
    return found.model_copy(update={**where, **stop, **steps})


def grid_only(path: Path, spec: Spec, *, lost: Deficit = deficit) -> FakeRun:
    """Returns a run whose dense networks and grid are done, and nothing else."""
    grid = [(level, step, seed) for seed in spec.seeds for step in spec.grid.rewind for level in spec.grid.sparsities]
    made = [network(seed, lost=lost) for seed in spec.seeds]
    made += [network(seed, level, step, lost=lost) for level, step, seed in grid]
    return FakeRun(path, spec, Results({result.id: result for result in made}))


def failure(unit: str, message: str, error: str = "TrainingError") -> Failure:
    """Returns the record of a unit given up."""
    return Failure(
        id=unit,
        error=error,
        message=message,
        step=44,
        attempt="host-1-abc",
        host="node1",
        failed_at="2026-11-20T12:01:00+00:00",
    )


def with_spec(run: FakeRun, text: str | None = None) -> FakeRun:
    """Returns the run, its folder made with `text`, or the spec as TOML, in `spec.toml`."""
    run.path.mkdir(parents=True, exist_ok=True)
    run.layout.spec.write_text(toml(run.spec) if text is None else text, "utf-8")
    return run


def toml(spec: Spec) -> str:
    """Returns the spec as the text of a TOML file."""
    return "".join(f"{key} = {written(_given(value))}\n" for key, value in spec.model_dump(mode="json").items())


def _given(value: Any) -> Any:
    return {key: _given(one) for key, one in value.items() if one is not None} if isinstance(value, dict) else value


def _measure() -> None:
    """Prints what the report of the planted run costs, as docs/report.md tells it."""
    from lth.report import write_report

    with tempfile.TemporaryDirectory() as folder:
        run = with_spec(planted(Path(folder) / "run"))
        began = time.process_time()
        page = write_report(run)
        seconds, size = time.process_time() - began, page.stat().st_size / 1e6
        print(f"{len(run.found.done)} networks, {seconds:.1f} s of one core, page {size:.2f} MB")


if __name__ == "__main__":
    _measure()
