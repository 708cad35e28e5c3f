"""How much accuracy varies from seed to seed: what the power of a comparison rests on."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lth.results.index import Index
from lth.results.statistics import SAME, mean
from lth.results.walk import walks
from lth.results.wording import count, size
from lth.runs.records import CellResult
from lth.spec.schema import Spec
from lth.spec.step import Step

# Standard deviation of test accuracy over seeds, from the data published with Renda, Frankle & Carbin 2020.
PUBLISHED = {
    "resnet_20": (0.0023, "ResNet-20 on CIFAR-10 (Renda et al. 2020, n = 246)"),
    "resnet_50": (0.0014, "ResNet-50 on ImageNet (Renda et al. 2020, n = 180)"),
}
CLOSEST = 0.99


@dataclass(frozen=True)
class Spread:
    """The standard deviation of one network's accuracy over seeds, a fraction, the correlation of ticket and dense
    over seeds, and in words where both are from."""

    sd: float
    correlation: float
    source: str


def published(model: str) -> Spread | None:
    """Returns what is published of this network, independent seeds assumed; None for any other."""
    if model not in PUBLISHED:
        return None
    sd, where = PUBLISHED[model]
    return Spread(sd, 0.0, f"{size(sd)} of {where}, on its own data and recipe; independence assumed")


def measured(spec: Spec, found: Index, where: str) -> Spread | None:
    """Returns the spread of the validation accuracies in results; None where two seeds of one ticket are not done.

    Variances of dense and tickets, and their covariance, are pooled over the levels that the walk passed, or the
    densest level of every rewind point where it passed none: a network that has collapsed varies in its own way.
    """
    passed = [(level.rewind, level.sparsity) for level in walks(spec, found) if level.passed]
    places = passed or [(step, spec.grid.sparsities[0]) for step in spec.grid.rewind]
    moments: list[tuple[float, float, int]] = []
    for place in places:
        pairs = _pairs(found, *place)
        if len(pairs) > 1:
            moments.append(_moments(pairs))
    if not moments:
        return None
    variance, covariance = mean([one[0] for one in moments]), mean([one[1] for one in moments])
    if variance <= SAME**2:
        return None
    seeds = min(one[2] for one in moments)
    source = f"measured in {where}: {count(seeds, 'seed')}, {count(len(moments), 'level')}, validation"
    correlation = min(max(covariance / variance, -CLOSEST), CLOSEST)
    return Spread(math.sqrt(variance), correlation, source + _rough(seeds))


def _pairs(found: Index, rewind: Step, sparsity: float) -> list[tuple[CellResult, CellResult]]:
    """Ticket and dense of every seed, grid's or fresh, that has both."""
    tickets = [(found.get(None, rewind, sparsity, seed), dense) for seed, dense in found.dense.items()]
    return [(ticket, dense) for ticket, dense in tickets if ticket is not None]


def _moments(pairs: list[tuple[CellResult, CellResult]]) -> tuple[float, float, int]:
    """Mean variance of ticket and dense, their covariance, and the number of seeds."""
    tickets, denses = [one.validation_top1 for one, _ in pairs], [one.validation_top1 for _, one in pairs]
    x, y, df = mean(tickets), mean(denses), len(pairs) - 1
    squares = sum((one - x) ** 2 for one in tickets) + sum((one - y) ** 2 for one in denses)
    products = sum((one - x) * (other - y) for one, other in zip(tickets, denses, strict=True))
    return squares / 2 / df, products / df, len(pairs)


def _rough(seeds: int) -> str:
    return "" if seeds >= 10 else "; from so few seeds it is rough, the true one may be half or twice as large"
