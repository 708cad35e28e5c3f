"""When the first seeds of a level already tell that it cannot pass on all seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lth.results.statistics import mean, quantile


def first_seeds(n: int, alpha: float) -> int:
    """Returns how many of `n` seeds are asked for first: the fewest that can exclude a pass at `alpha`.

    That many exclude it if they agree on a difference below the tolerance, for then the bound falls faster with the
    spread than the mean rises with the seeds that are better.
    """
    if n == 1:
        return 1
    return next(first for first in range(1, n + 1) if (n - first) / (n * first) < _spread(n, alpha))


def excluded(gaps: Sequence[float], n: int, alpha: float, tolerance: float) -> bool:
    """Returns whether the lower bound at `alpha` stays at or below -tolerance whatever the rest of `n` seeds bring.

    `gaps` are ticket - dense of the first seeds, at least `first_seeds` of them. The best the rest could do is to
    agree: a value y above the mean m of the first r raises the mean of all by (n - r) y / n and their sum of squares
    S by r (n - r) y^2 / n, so that the bound is at most m - sqrt(S (`_spread` - (n - r) / (n r))).
    """
    first, centre = len(gaps), mean(gaps)
    squares = math.fsum((gap - centre) ** 2 for gap in gaps)
    return centre - math.sqrt(squares * (_spread(n, alpha) - (n - first) / (n * first))) <= -tolerance


def _spread(n: int, alpha: float) -> float:
    """The least (mean - bound)^2 of `n` seeds whose differences have the sum of squares 1.

    The variance that `statistics.difference` uses is at least half that of the paired differences: with a covariance
    of at most 0, the sum of two variances is at least half the variance of the difference.
    """
    return quantile(1 - alpha, n - 1) ** 2 / (2 * n * (n - 1))
