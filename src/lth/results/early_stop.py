"""How soon a ticket stops early, beside the dense network or a variant of the ticket."""

from __future__ import annotations

from dataclasses import dataclass

from lth.results.index import Index
from lth.results.statistics import Method, difference, mean
from lth.runs.records import CellResult
from lth.spec.schema import Spec
from lth.spec.step import Step


@dataclass(frozen=True)
class EarlyStop:
    """Optimizer steps from a training's own beginning to its early stop, means over the `n` seeds that have both.

    The early stop is the evaluation of least validation loss, an argmin of a noisy curve that is looked at every
    `cadence` steps. `difference` is ticket - other with its two-sided 95 % interval, which one seed lacks.
    """

    cadence: int
    n: int
    ticket: float
    other: float
    difference: float
    low: float | None
    high: float | None
    method: Method

    @property
    def not_later(self) -> bool:
        """Returns whether the ticket stops, in the mean over seeds, at most as many steps after its beginning."""
        return self.difference <= 0

    @property
    def sentence(self) -> str:
        """Returns both early stops and their difference in words."""
        interval = "no interval" if self.low is None or self.high is None else f"[{self.low:+,.0f}, {self.high:+,.0f}]"
        gap = f"{self.difference:+,.0f} steps {interval}".replace("-", "−")
        means = f"{self.ticket:,.0f} steps after its beginning, dense after {self.other:,.0f}"
        return f"early stop {means}: {gap} ({'not later' if self.not_later else 'later'} in the mean)"


def early_stop(spec: Spec, found: Index, rewind: Step, sparsity: float, other: str | None = None) -> EarlyStop | None:
    """Returns the ticket's early stop beside that of its variant `other`, of the dense network where None.

    Over the grid's seeds; None where no seed has both. The seeds' spread is not taken to be smaller than that of
    steps rounded to the evaluations (`statistics.difference`).
    """
    pairs: list[tuple[int, int]] = []
    cadence = 1
    for seed in spec.seeds:
        ticket = found.get(None, rewind, sparsity, seed)
        beside = found.dense.get(seed) if other is None else found.get(other, rewind, sparsity, seed)
        if ticket is not None and beside is not None:
            pairs.append((_steps(ticket), _steps(beside)))
            cadence = spec.train.evaluate_every.index(ticket.steps_per_epoch)
    if not pairs:
        return None
    tickets, others = [first for first, _ in pairs], [second for _, second in pairs]
    gap = difference(tickets, others, cadence)
    low, high = gap.interval() or (None, None)
    return EarlyStop(cadence, gap.n, mean(tickets), mean(others), gap.mean, low, high, gap.method)


def _steps(result: CellResult) -> int:
    return result.early_stop_step - result.first_step
