"""What a band is about: numbers of trained networks over the seeds, as papers state them, each with its interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from lth.results.estimate import Estimate, estimate
from lth.results.statistics import Difference, difference, mean, quantile, sd
from lth.runs.records import CellResult

Trained: TypeAlias = Callable[
    [str], Sequence[CellResult]
]  # "l07-r0-reinit" -> that network of every seed, in their order
Unit = Literal["percent", "points", "error", "share", "times"]


@dataclass(frozen=True)
class Question:
    """The networks `of` that a measure is taken of, their reference `beside`, and the densities they should have."""

    of: tuple[str, ...]
    beside: str
    densities: tuple[float, ...]
    trained: Trained


@dataclass(frozen=True)
class Measure:
    """A number of trained networks, its unit, and whether it is read from the test set."""

    take: Callable[[Question], Estimate]
    unit: Unit
    test: bool = True


def _test(result: CellResult) -> float:
    return result.test_top1


def _early_test(result: CellResult) -> float:
    assert result.early_stop_test_top1 is not None  # `bands.lacking` names results without it
    return result.early_stop_test_top1


Score = Callable[[CellResult], float]


def _level(score: Score) -> Callable[[Question], Estimate]:
    def take(question: Question) -> Estimate:
        return estimate([score(result) for result in question.trained(question.of[0])])

    return take


def _gap(score: Score) -> Callable[[Question], Estimate]:
    def take(question: Question) -> Estimate:
        found = _against(question, question.of[0], score)
        low, high = found.interval() or (None, None)
        return Estimate(found.mean, low, high)

    return take


def _against(question: Question, name: str, score: Score) -> Difference:
    first, second = question.trained(name), question.trained(question.beside)
    step = 1 / min(result.test_examples for result in (*first, *second))
    return difference([score(one) for one in first], [score(one) for one in second], step)


def _early_stop_ratio(question: Question) -> Estimate:
    """The early-stop step of one network divided by that of another."""
    first, second = question.trained(question.of[0]), question.trained(question.beside)
    return ratio([one.early_stop_step for one in first], [one.early_stop_step for one in second])


def _early_stop_earlier(question: Question) -> Estimate:
    """By which share of the other's steps the early stop comes sooner: 1 - their ratio."""
    found = _early_stop_ratio(question)
    low, high = found.high, found.low
    return Estimate(1 - found.mean, None if low is None else 1 - low, None if high is None else 1 - high)


def _density_error(question: Question) -> Estimate:
    """The largest deviation from the stated density, over networks and seeds."""
    pairs = zip(question.of, question.densities, strict=True)
    return Estimate(max(abs(one.density_prunable - right) for name, right in pairs for one in question.trained(name)))


def _density_at_dense_level(question: Question) -> Estimate:
    """The density of the sparsest ticket whose mean accuracy is not below the reference's; 1 where there is none."""
    level = [one for one in question.of if _against(question, one, _early_test).mean >= 0]
    densities = [mean([result.density_prunable for result in question.trained(name)]) for name in level]
    return Estimate(min(densities, default=1.0))


MEASURES: dict[str, Measure] = {
    "test_accuracy": Measure(_level(_test), "percent"),
    "test_difference": Measure(_gap(_test), "points"),
    "early_stop_accuracy": Measure(_level(_early_test), "percent"),
    "early_stop_difference": Measure(_gap(_early_test), "points"),
    "early_stop_ratio": Measure(_early_stop_ratio, "times", test=False),
    "early_stop_earlier": Measure(_early_stop_earlier, "share", test=False),
    "density_error": Measure(_density_error, "error", test=False),
    "density_at_dense_level": Measure(_density_at_dense_level, "share"),
}


def ratio(first: Sequence[float], second: Sequence[float]) -> Estimate:
    """Returns mean(first) / mean(second) of values paired by seed; infinite, without interval, where the second is 0.

    The interval is the ratio estimator's (Cochran 1977, section 2.11): the residuals first - ratio x second, as a
    share of the second mean.
    """
    n, below = len(first), mean(second)
    if below == 0:
        return Estimate(math.inf)
    value = mean(first) / below
    if n == 1:
        return Estimate(value)
    residuals = [one - value * other for one, other in zip(first, second, strict=True)]
    half = quantile(0.975, n - 1) * sd(residuals) / math.sqrt(n) / abs(below)
    return Estimate(value, value - half, value + half, n)
