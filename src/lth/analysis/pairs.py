"""Which trained networks of a run are compared with each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lth.errors import RunError
from lth.runs.records import CellResult, Results
from lth.runs.run import Run
from lth.spec.step import Step

Kind = Literal["copies", "levels"]


@dataclass(frozen=True)
class Pair:
    """Two networks with a line between them: a ticket and its copy, or levels n and n + 1 of iterative pruning."""

    kind: Kind
    first: CellResult
    second: CellResult

    @property
    def sparsity(self) -> float:
        """Returns the sparsity of the second network, the sparser of two levels."""
        return self.second.sparsity or 0.0

    @property
    def rewind(self) -> Step:
        """Returns the moment of training from which both were trained, or the later was rewound to."""
        return self.second.rewind or Step()

    @property
    def order(self) -> tuple[str, float, int, int]:
        """Returns the place among other pairs: kind, sparsity, rewind point, seed."""
        return self.kind, self.sparsity, self.rewind.index(self.second.steps_per_epoch), self.second.seed


def pairs(results: Results) -> list[Pair]:
    """Returns all pairs among the trained networks, whatever the grid asks for now, in order.

    Level 0 is the dense network, with which level 1 shares its state at the rewind point.
    """
    found = [*_copies(results), *_levels(results)]
    return sorted(found, key=lambda pair: pair.order)


def require(run: Run, found: list[Pair]) -> None:
    """Returns nothing; raises RunError, with the lines to add to the spec, where there is no pair at all."""
    if found:
        return
    cure = (
        'Add controls = ["copy"] and controls_at = "all" to [grid] (and 0.0 to its sparsities, for the dense network), '
        "and run the spec again: finished networks are kept."
    )
    raise RunError("no second copies are trained here, and no levels of iterative pruning", at=run.path, cure=cure)


def _copies(results: Results) -> list[Pair]:
    tickets = {result.id.removesuffix("-copy"): result for result in results.done.values() if result.control == "copy"}
    return [Pair("copies", results.done[name], copy) for name, copy in tickets.items() if name in results.done]


def _levels(results: Results) -> list[Pair]:
    chain = {
        (result.seed, str(result.rewind), result.level): result
        for result in results.done.values()
        if result.control is None and result.level is not None
    }
    dense = {result.seed: result for result in results.done.values() if result.kind == "dense"}
    found: list[Pair] = []
    for (seed, rewind, level), result in chain.items():
        before = dense.get(seed) if level == 1 else chain.get((seed, rewind, level - 1))
        if before is not None:
            found.append(Pair("levels", before, result))
    return found
