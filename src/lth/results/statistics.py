"""Student t, binomial tail and intervals for a handful of seeds, in closed form: scipy takes a second to import."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

Method = Literal["one seed", "paired", "welch"]
SAME = 1e-12  # accuracies are fractions k / n: a smaller spread is rounding error of the arithmetic


def mean(values: Sequence[float]) -> float:
    """Returns the mean of at least one value."""
    return math.fsum(values) / len(values)


def sd(values: Sequence[float]) -> float:
    """Returns the sample standard deviation (n - 1 degrees of freedom) of at least two values."""
    centre = mean(values)
    return math.sqrt(math.fsum((value - centre) ** 2 for value in values) / (len(values) - 1))


def cdf(t: float, df: int) -> float:
    """Returns P(T <= t) of Student's t with `df` >= 1 degrees of freedom.

    The finite trigonometric series of Abramowitz & Stegun 1964, 26.7.3 and 26.7.4, which needs df / 2 terms.
    """
    assert df >= 1, df
    if math.isinf(t):
        return float(t > 0)
    angle = math.atan2(t, math.sqrt(df))
    cosine, sine, odd = math.cos(angle), math.sin(angle), df % 2
    term = cosine if odd else 1.0
    terms = [term] if df > 1 else []
    for k in range(2 + odd, df - 1, 2):
        term *= cosine * cosine * (k - 1) / k
        terms.append(term)
    series = sine * math.fsum(terms)
    return 0.5 + ((angle + series) / math.pi if odd else series / 2)


@lru_cache(maxsize=4096)
def quantile(p: float, df: int) -> float:
    """Returns the t with P(T <= t) = p, 0 < p < 1, of Student's t with `df` degrees of freedom.

    Newton's method from 0: the distribution function is concave there, so the steps rise and never overshoot.
    """
    assert 0 < p < 1, p
    if p < 0.5:
        return -quantile(1 - p, df)
    t = 0.0
    while (step := (p - cdf(t, df)) / _density(t, df)) > 1e-13 * max(t, 1.0):
        t += step
    return t


def _density(t: float, df: int) -> float:
    scale = math.lgamma((df + 1) / 2) - math.lgamma(df / 2) - 0.5 * math.log(df * math.pi)
    return math.exp(scale - (df + 1) / 2 * math.log1p(t * t / df))


@dataclass(frozen=True)
class Difference:
    """The mean of first - second over `n` seeds, its standard error and degrees of freedom; one seed has neither.

    `rounded` tells that the values vary less than their own rounding, which then gives the standard error.
    """

    mean: float
    error: float | None
    df: int
    n: int
    method: Method
    rounded: bool = False

    def lower(self, alpha: float) -> float | None:
        """Returns the one-sided lower bound at confidence 1 - alpha; None for one seed."""
        return None if self.error is None else self.mean - quantile(1 - alpha, self.df) * self.error

    def upper(self, alpha: float) -> float | None:
        """Returns the one-sided upper bound at confidence 1 - alpha; None for one seed."""
        return None if self.error is None else self.mean + quantile(1 - alpha, self.df) * self.error

    def p_above(self, limit: float) -> float | None:
        """Returns the one-sided p-value against "the true difference is at most `limit`"; None for one seed.

        It is below alpha exactly where the lower bound at alpha lies above the limit.
        """
        if self.error is None:
            return None
        if self.error == 0.0:
            return float(self.mean <= limit)
        return cdf((limit - self.mean) / self.error, self.df)

    def interval(self, confidence: float = 0.95) -> tuple[float, float] | None:
        """Returns the two-sided interval; None for one seed."""
        if self.error is None:
            return None
        half = quantile((1 + confidence) / 2, self.df) * self.error
        return self.mean - half, self.mean + half


def difference(first: Sequence[float], second: Sequence[float], resolution: float = 0.0) -> Difference:
    """Returns the difference of the means of two samples, seed by seed in the same order.

    Paired where their measured correlation is positive, else Welch's standard error; n - 1 degrees of freedom in
    both, the fewest Welch's approximation can give: with more, choosing between the two by the data would miss the
    stated level (docs/statistics.md). `resolution` is the step of one value, 1 / examples: no variance is taken
    to be smaller than that of rounding to such steps, resolution^2 / 12 a value, for equal values of few seeds
    are no proof of precision.
    """
    n, x, y = len(first), mean(first), mean(second)
    if n == 1:
        return Difference(x - y, None, 0, 1, "one seed")
    a, b = [one - x for one in first], [one - y for one in second]
    together = sum(one * other for one, other in zip(a, b, strict=True))
    var_a, var_b = (sum(one * one for one in some) / (n - 1) for some in (a, b))
    floor = resolution**2 / 12
    if together > 0 and min(var_a, var_b) > SAME**2:
        method: Method = "paired"
        measured = sum((one - other) ** 2 for one, other in zip(a, b, strict=True)) / (n - 1)
        variance = max(measured, 2 * floor)
    else:
        method, measured, variance = "welch", var_a + var_b, max(var_a, floor) + max(var_b, floor)
    return Difference(x - y, math.sqrt(variance / n), n - 1, n, method, measured < max(2 * floor, SAME**2))


def seeds_to_show(distance: float, spread: float, alpha: float, least: int = 2) -> int | None:
    """Returns the number of seeds, at least `least`, whose bound at `alpha` is shorter than `distance`.

    `spread` is the standard error of a difference times the root of its seeds. With so many seeds a one-sided test
    shows a true difference of `distance` beyond its limit in one of two runs. None from 1 000 seeds on, or where
    the distance is not above 0.
    """
    for n in range(max(least, 2), 1000) if distance > 0 else ():
        if quantile(1 - alpha, n - 1) * spread < distance * math.sqrt(n):
            return n
    return None


def standard_error(accuracy: float, examples: int) -> float:
    """Returns the binomial standard error of an accuracy over so many distinct examples.

    An accuracy of 0 or 1 counts as half an example away from it, so that it is never certain.
    """
    inside = min(max(accuracy, 0.5 / examples), 1 - 0.5 / examples)
    return math.sqrt(inside * (1 - inside) / examples)


def binomial_tail(successes: int, n: int, p: float) -> float:
    """Returns P(X >= successes) for X binomial with n trials of probability p, each term by logarithms of gamma."""
    if successes <= 0:
        return 1.0
    if successes > n or p <= 0:
        return 0.0
    if p >= 1:
        return 1.0
    log_p, log_q = math.log(p), math.log1p(-p)
    chosen = [math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) for k in range(successes, n + 1)]
    logs = [ways + k * log_p + (n - k) * log_q for k, ways in enumerate(chosen, successes)]
    return min(1.0, math.fsum(map(math.exp, logs)))
