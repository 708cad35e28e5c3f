"""Runs told wrong on purpose: what bands must not let pass."""

from __future__ import annotations

from collections.abc import Callable

from lth.results.index import Index, index
from lth.runs.records import CellResult, Results
from lth.spec.schema import Spec
from lth.spec.step import Step

Tell = Callable[[Index, CellResult], CellResult | None]


def forged(spec: Spec, results: Results, how: str) -> Results:
    """Returns the results of an iterative run with its tickets told in one of the ways of FORGERIES.

    A ticket keeps its id, its density where the forgery is not about that, and its place in the grid; variants stay.
    """
    found, tell = index(spec, results), FORGERIES[how]
    tickets = {name: one for name, one in results.done.items() if one.kind == "cell" and one.control is None}
    told = {name: tell(found, one) or one for name, one in tickets.items()}
    return Results({**results.done, **told}, results.finished, results.failed)


def _retold(ticket: CellResult, by: CellResult, density: float) -> CellResult:
    place = {key: getattr(ticket, key) for key in ("id", "kind", "sparsity", "rewind", "control", "level")}
    return by.model_copy(update={**place, "density_prunable": density})


def _reinit_as_ticket(found: Index, ticket: CellResult) -> CellResult | None:
    """The ticket never got its own initial weights: its reinitialisation, where one was trained."""
    reinit = found.results.done.get(f"{ticket.id}-reinit")
    return reinit and _retold(ticket, reinit, ticket.density_prunable)


def _dense_as_ticket(found: Index, ticket: CellResult) -> CellResult | None:
    """The mask was never applied: the dense network of the seed."""
    dense = found.dense.get(ticket.seed)
    return dense and _retold(ticket, dense, ticket.density_prunable)


def _not_rewound(found: Index, ticket: CellResult) -> CellResult | None:
    """The ticket went on from the end of the level before: its least validation loss is at its first evaluation."""
    before = _level_before(found, ticket)
    if before is None:
        return None
    first = found.spec.train.evaluate_every.index(ticket.steps_per_epoch)
    update = {"early_stop_step": first, "early_stop_test_top1": before.test_top1}
    return ticket.model_copy(update=update)


def _level_off(found: Index, ticket: CellResult) -> CellResult | None:
    """Each level was trained with the mask of the level before."""
    before = _level_before(found, ticket)
    return before and _retold(ticket, before, before.density_prunable)


def _level_before(found: Index, ticket: CellResult) -> CellResult | None:
    level = found.spec.level(ticket.sparsity or 0.0) or 1
    if level == 1:
        return found.dense.get(ticket.seed)
    sparsity = found.spec.grid.sparsities[level - 2]
    return found.cells.get((None, ticket.rewind or Step(), sparsity, ticket.seed))


FORGERIES: dict[str, Tell] = {
    "reinit as ticket": _reinit_as_ticket,
    "dense as ticket": _dense_as_ticket,
    "not rewound": _not_rewound,
    "mask one level off": _level_off,
}
