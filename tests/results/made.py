"""Small grids with accuracies written by hand, for the tests of selection."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from lth.results.worlds import World, blank
from lth.runs.records import Audit, CellResult, Failure, Results
from lth.spec.schema import Spec
from lth.spec.step import Step

Accuracy = Callable[[float, Step, int], float]
WOBBLE = (0.0, 0.0004, -0.0004, 0.0002, -0.0002)  # by seed, so that a spread exists


def made_spec(**changes: Any) -> Spec:
    """Returns a spec of 3 sparsities x 2 rewind points on 3 seeds, tolerance 1 pp, no confirmation."""
    raw: dict[str, Any] = {
        "name": "made",
        "seeds": [0, 1, 2],
        "data": {"source": "synthetic", "batch_size": 8},
        "model": {"name": "lenet_300_100"},
        "train": {"epochs": 10, "optimizer": {"name": "sgd", "lr": 0.1}},
        "grid": {"sparsities": [0.5, 0.8, 0.9], "rewind": ["0", "2ep"]},
        "select": {"tolerance": 0.01},
    }
    for key, value in changes.items():
        section, _, name = key.partition("__")
        raw[section] = {**raw[section], name: value} if name else value
    return Spec.model_validate(raw)


def network(
    seed: int,
    cell: tuple[float, Step] | None,
    validation: float,
    test: float = 0.9,
    control: str | None = None,
    **more: Any,
) -> CellResult:
    """Returns the record of one network; `more` replaces further fields."""
    result = blank(cell, seed, World(lambda sparsity, rewind: 0.0, validation=20_000, test=20_000))
    update: dict[str, Any] = {"validation_top1": validation, "test_top1": test, "control": control}
    if control:
        update["id"] = f"{result.id}-{control}"
    return result.model_copy(update={**update, **more})


def wobble(seed: int, scale: float = 1.0) -> float:
    """Returns a small deviation that differs between seeds."""
    return scale * WOBBLE[seed % len(WOBBLE)]


def level_with(deficit: Callable[[float, Step], float]) -> Accuracy:
    """Returns tickets that lie `deficit` below a dense accuracy of 0.97, wobbling with the seed."""
    return lambda sparsity, rewind, seed: 0.97 - deficit(sparsity, rewind) + wobble(seed, 1.5)


def made_grid(
    spec: Spec, ticket: Accuracy, dense: Callable[[int], float] = lambda seed: 0.97 + wobble(seed)
) -> Results:
    """Returns the whole grid on `spec.seeds`."""
    networks = [network(seed, None, dense(seed)) for seed in spec.seeds]
    for step in spec.grid.rewind:
        for sparsity in spec.grid.sparsities:
            networks += [network(seed, (sparsity, step), ticket(sparsity, step, seed)) for seed in spec.seeds]
    return gathered(networks)


def gathered(networks: Iterable[CellResult], *earlier: Results) -> Results:
    """Returns results that hold these networks, after those of `earlier`."""
    done = {name: result for results in earlier for name, result in results.done.items()}
    failed = {name: failure for results in earlier for name, failure in results.failed.items()}
    return Results({**done, **{result.id: result for result in networks}}, frozenset(), failed)


def changed(results: Results, name: str, **fields: Any) -> Results:
    """Returns the results with some fields of one network replaced."""
    return gathered([results.done[name].model_copy(update=fields)], results)


def without(results: Results, *names: str) -> Results:
    """Returns the results without these networks."""
    return Results({name: one for name, one in results.done.items() if name not in names}, frozenset(), results.failed)


def failed(results: Results, *names: str) -> Results:
    """Returns the results with these units given up."""
    lost = without(results, *names)
    failures = {name: Failure(id=name, error="E", message="m", attempt="a", host="h", failed_at="t") for name in names}
    return Results(lost.done, frozenset(), {**lost.failed, **failures})


def fresh(spec: Spec, cell: tuple[float, Step], deficit: float, *, dense_test: float = 0.96) -> list[CellResult]:
    """Returns dense and ticket on the confirmation seeds; the ticket lies `deficit` lower on test."""
    networks: list[CellResult] = []
    for seed in spec.confirmation_seeds:
        networks.append(network(seed, None, 0.97, dense_test + wobble(seed)))
        networks.append(network(seed, cell, 0.97, dense_test - deficit + wobble(seed, 1.5)))
    return networks


BROKEN = Audit(passed=False, checks={"density_exact": True, "kept_equal_checkpoint": False})
