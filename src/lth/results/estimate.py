"""A number over the seeds with its interval."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from lth.results.statistics import mean, quantile, sd
from lth.results.wording import percent

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over `n` seeds with its two-sided 95 % Student interval; one seed has no interval."""

    mean: float
    low: float | None = None
    high: float | None = None
    n: int = 1

    @property
    def ends(self) -> tuple[float, float]:
        """Returns the interval of a share, cut to [0, 1]; the mean twice where there is none."""
        low, high = (self.mean if end is None else end for end in (self.low, self.high))
        return max(low, 0.0), min(high, 1.0)

    def words(self, digits: int = 2) -> str:
        """Returns "97.63 % [97.20, 98.06]", or the mean alone where there is no interval."""
        if self.low is None:
            return percent(self.mean, digits)
        low, high = self.ends
        return f"{percent(self.mean, digits)} [{100 * low:.{digits}f}, {100 * high:.{digits}f}]"


def estimate(values: Iterable[float], resolution: float = 0.0) -> Estimate:
    """Returns the mean of one value a seed, of at least one, with its interval.

    `resolution` is the step of one value, 1 / examples, below whose rounding no spread is believed.
    """
    seen = list(values)
    centre, n = mean(seen), len(seen)
    if n == 1:
        return Estimate(centre)
    spread = max(sd(seen), resolution / math.sqrt(12))
    half = quantile((1 + CONFIDENCE) / 2, n - 1) * spread / math.sqrt(n)
    return Estimate(centre, centre - half, centre + half, n)
