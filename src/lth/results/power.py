"""How often a number of seeds shows a difference: the power of the very test that `statistics.difference` makes."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from lth.results.statistics import quantile

NODES = 40
MOST_SEEDS = 1000


def power(n: int, distance: float, sd: float, correlation: float = 0.0, alpha: float = 0.05) -> float:
    """Returns the chance that the one-sided bound at `alpha` over `n` >= 2 seeds lies beyond its limit.

    The true difference lies `distance` beyond the limit: a margin for a ticket as good as dense, the difference itself
    for a test against 0. Ticket and dense are bivariate normal over seeds, each with standard deviation `sd` > 0, with
    -1 < `correlation` < 1. The test is paired where the measured correlation is positive, else Welch's, with n - 1
    degrees of freedom in both.

    Exact up to quadrature. Sum and difference of the two are independent, and so are their sums of squares U (of the
    difference) and W, scaled chi-square with n - 1 degrees; the measured correlation is positive where W > U, and the
    variance of the test is then U / (n - 1), else (U + W) / 2 / (n - 1). The mean is independent of both.
    """
    assert n >= 2, n
    assert sd > 0, sd
    assert -1 < correlation < 1, correlation
    df, apart, together = n - 1, 1 - correlation, 1 + correlation
    ratio, t = math.sqrt(apart / together), quantile(1 - alpha, n - 1)
    shift = distance / (sd * math.sqrt(2 * apart / n))
    least, most = _range(df)
    total = 0.0
    for x, weight in _rule(least, most):
        here = weight * _chi(x, df)
        turn = min(max(ratio * x, least), most)  # Welch where the root of W is below, paired where it is above
        below = [(y, one * _chi(y, df)) for y, one in _rule(least, turn)]
        welch = math.fsum(mass * _normal(shift - t * _error(x, y / ratio, df)) for y, mass in below)
        paired = max(0.0, 1 - math.fsum(mass for _, mass in below)) * _normal(shift - t * x / math.sqrt(df))
        total += here * (welch + paired)
    return min(max(total, 0.0), 1.0)


def seeds_needed(
    distance: float, sd: float, correlation: float = 0.0, alpha: float = 0.05, chance: float = 0.8
) -> int | None:
    """Returns the smallest number of seeds with at least that power; None where 1 000 are too few."""
    low, high = 1, 2
    while power(high, distance, sd, correlation, alpha) < chance:
        low, high = high, 2 * high
        if high > MOST_SEEDS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        enough = power(middle, distance, sd, correlation, alpha) >= chance
        low, high = (low, middle) if enough else (middle, high)
    return high


def _error(x: float, y: float, df: int) -> float:
    """Welch's standard error in units of the mean's own standard deviation; x and y the roots of U and W in it."""
    return math.sqrt((x * x + y * y) / 2 / df)


def _normal(z: float) -> float:
    return 0.5 * math.erfc(-z / math.sqrt(2))


def _chi(x: float, df: int) -> float:
    """The density of the root of a chi-square variable."""
    if x <= 0:
        return 0.0
    return math.exp((1 - df / 2) * math.log(2) + (df - 1) * math.log(x) - x * x / 2 - math.lgamma(df / 2))


def _range(df: int) -> tuple[float, float]:
    """Where all but 1e-8 of a chi variable lies: its standard deviation is below 0.71."""
    return max(0.0, math.sqrt(df) - 5), math.sqrt(df) + 5


def _rule(low: float, high: float) -> tuple[tuple[float, float], ...]:
    """Gauss and Legendre's nodes and weights on an interval."""
    half, nodes = (high - low) / 2, _legendre()
    return tuple((low + half * (1 + node), half * weight) for node, weight in nodes)


@lru_cache(maxsize=1)
def _legendre() -> tuple[tuple[float, float], ...]:
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    return tuple(zip(nodes.tolist(), weights.tolist(), strict=True))
