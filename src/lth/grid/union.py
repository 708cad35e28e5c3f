"""The spec of two runs together: the seeds and the grid of both."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lth.spec.load import build_spec
from lth.spec.schema import Grid, Spec


def union(first: Spec, second: Spec) -> Spec:
    """Returns the spec whose grid holds those of both; name, selection, execution and paths are the first's.

    Both are specs of one experiment. Of two chains of iterative pruning the longer holds both. Controls everywhere
    hold those at the knee, a full search an adaptive one, no floor under the accuracy any floor.
    """
    one, two = first.grid, second.grid
    grid: dict[str, Any] = first.model_dump(mode="json")["grid"]
    other: dict[str, Any] = second.model_dump(mode="json")["grid"]
    for key in ("thresholds", "rewind", "arms", "methods", "controls"):
        grid[key] = _joined(grid[key], other[key])
    if first.iterative:
        longer = grid if len(one.sparsities) >= len(two.sparsities) else other
        grid.update({key: longer[key] for key in ("sparsities", "levels", "min_density")})
    else:
        grid["sparsities"] = _joined(grid["sparsities"], other["sparsities"])
    grid["controls_at"] = _controls_at(one, two)
    grid["search"] = "full" if "full" in (one.search, two.search) else "adaptive"
    floors = one.min_accuracy, two.min_accuracy
    grid["min_accuracy"] = None if None in floors else min(floors, key=lambda floor: floor or 0.0)
    document = {**first.model_dump(mode="json"), "seeds": _joined(first.seeds, second.seeds), "grid": grid}
    return build_spec(document, "the runs together")


def _joined(first: Iterable[Any], second: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys([*first, *second]))


def _controls_at(one: Grid, two: Grid) -> str | list[float]:
    if "all" in (one.controls_at, two.controls_at):
        return "all"
    lists = [list(grid.controls_at) for grid in (one, two) if not isinstance(grid.controls_at, str)]
    return _joined(lists[0], lists[-1]) if lists else "knee"
