"""The candidate on test data, on fresh seeds where the spec asks for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lth.results.index import Index, faults
from lth.results.statistics import difference, mean
from lth.results.wording import count, points
from lth.spec.schema import Spec
from lth.spec.step import Step


@dataclass(frozen=True)
class Confirmation:
    """Test accuracies of the candidate and of dense, and their difference, as fractions over `seeds`.

    `stage` says which seeds these are: "confirmation" are fresh ones, "grid" those of the selection itself,
    which flatter the candidate. `lower` is the one-sided bound at the spec's confidence, `low` and `high` the
    two-sided 95 % interval. `confirmed` is None while fresh networks are missing, or where the spec asks for none;
    numbers are None until all of them are settled.
    """

    stage: Literal["confirmation", "grid"]
    seeds: tuple[int, ...]
    confirmed: bool | None
    reason: str
    ticket: float | None = None
    dense: float | None = None
    difference: float | None = None
    lower: float | None = None
    low: float | None = None
    high: float | None = None
    method: str | None = None


def confirm(spec: Spec, found: Index, sparsity: float, rewind: Step) -> Confirmation:
    """Returns the candidate on test; confirmed where every fresh seed is sound and the bound lies above -tolerance."""
    fresh = spec.confirmation_seeds
    if fresh and (waiting := _waiting(found, fresh, sparsity, rewind)):
        total = 2 * len(fresh)
        reason = f"{total - waiting} of {count(total, 'network')} on fresh seeds are done"
        return Confirmation("confirmation", (), None, reason)
    asked = fresh or spec.seeds
    pairs = [(seed, found.cells.get((None, rewind, sparsity, seed)), found.dense.get(seed)) for seed in asked]
    both = [(seed, ticket, dense) for seed, ticket, dense in pairs if ticket is not None and dense is not None]
    stage = "confirmation" if fresh else "grid"
    fault = faults(found, asked, rewind, sparsity)
    if not both:
        return Confirmation(stage, (), False if fresh else None, fault)
    tickets, denses = [ticket.test_top1 for _, ticket, _ in both], [dense.test_top1 for _, _, dense in both]
    gap = difference(tickets, denses, 1 / min(dense.test_examples for _, _, dense in both))
    lower, tolerance = gap.lower(1 - spec.select.confidence), spec.select.tolerance
    low, high = gap.interval() or (None, None)
    above = lower is not None and lower > -tolerance
    if fresh and not fault and lower is not None and not above:
        fault = f"lower bound {points(lower)} is not above −{points(tolerance)[1:]}"
    return Confirmation(
        stage=stage,
        seeds=tuple(seed for seed, _, _ in both),
        confirmed=above and not fault if fresh else None,
        reason=fault,
        ticket=mean(tickets),
        dense=mean(denses),
        difference=gap.mean,
        lower=lower,
        low=low,
        high=high,
        method=gap.method,
    )


def _waiting(found: Index, seeds: tuple[int, ...], sparsity: float, rewind: Step) -> int:
    """How many of the dense networks and tickets on these seeds are neither done nor given up."""
    waiting = 0
    for seed in seeds:
        dense_failed = found.failed(seed)
        waiting += seed not in found.dense and not dense_failed
        ticket = (None, rewind, sparsity, seed) in found.cells or dense_failed or found.failed(seed, rewind, sparsity)
        waiting += not ticket
    return waiting
