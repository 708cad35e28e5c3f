"""Measures of trained networks, compared with scipy and with numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from results.made import network
from scipy import stats

from lth.results.estimate import Estimate, estimate
from lth.results.measures import MEASURES, Question, ratio
from lth.runs.records import CellResult

VALUES = some.lists(some.floats(0.5, 2), min_size=2, max_size=6)


def question(*of: str, beside: str = "dense", densities: tuple[float, ...] = (), **trained: list[CellResult]):
    return Question(of, beside, densities, lambda name: trained[name])


def seeds(tests: list[float], steps: list[int] | None = None, **more: float) -> list[CellResult]:
    chosen = steps or [100] * len(tests)
    return [
        network(seed, None, 0.9, test, early_stop_test_top1=test + 0.01, early_stop_step=step, **more)
        for seed, (test, step) in enumerate(zip(tests, chosen, strict=True))
    ]


def take(measure: str, asked: Question) -> Estimate:
    return MEASURES[measure].take(asked)


@given(VALUES)
def test_the_interval_of_a_mean_is_students(values: list[float]) -> None:
    found = estimate(values)
    assert found.mean == pytest.approx(np.mean(values))
    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values))
    assert (found.low, found.high) == (pytest.approx(found.mean - half), pytest.approx(found.mean + half))


@given(VALUES)
def test_a_ratio_is_that_of_the_means_with_the_interval_of_its_residuals(second: list[float]) -> None:
    first = [3 * one + 0.1 * place for place, one in enumerate(second)]
    found = ratio(first, second)
    assert found.mean == pytest.approx(np.mean(first) / np.mean(second))
    residuals = np.array(first) - found.mean * np.array(second)
    error = math.sqrt(np.sum(residuals**2) / (len(second) - 1) / len(second)) / np.mean(second)
    half = stats.t.ppf(0.975, len(second) - 1) * error
    assert (found.low, found.high) == (pytest.approx(found.mean - half), pytest.approx(found.mean + half))


def test_the_interval_of_a_ratio_covers_the_truth() -> None:
    draw, true, covered = np.random.default_rng(0), 1.6, 0
    for _ in range(2000):
        second = draw.normal(7000, 700, 5)
        found = ratio(list(true * second + draw.normal(0, 500, 5)), list(second))
        covered += (found.low or 0) <= true <= (found.high or 0)
    assert 0.93 < covered / 2000 < 0.97


def test_one_seed_has_no_interval_and_no_time_no_ratio() -> None:
    assert estimate([0.9]) == Estimate(0.9)
    assert ratio([3.0], [2.0]) == Estimate(1.5)
    assert ratio([3.0], [0.0]) == Estimate(math.inf)


def test_accuracies_are_those_of_the_end_or_of_early_stop() -> None:
    dense = seeds([0.90, 0.92])
    assert take("test_accuracy", question("dense", dense=dense)).mean == pytest.approx(0.91)
    assert take("early_stop_accuracy", question("dense", dense=dense)).mean == pytest.approx(0.92)


def test_differences_are_paired_where_seeds_go_together() -> None:
    ticket, dense = seeds([0.91, 0.94, 0.90]), seeds([0.90, 0.92, 0.89])
    for name in ("test_difference", "early_stop_difference"):
        found = take(name, question("ticket", ticket=ticket, dense=dense))
        wanted = stats.ttest_rel([0.91, 0.94, 0.90], [0.90, 0.92, 0.89]).confidence_interval(0.95)
        assert found.mean == pytest.approx(0.04 / 3)
        assert (found.low, found.high) == (pytest.approx(wanted.low), pytest.approx(wanted.high))


def test_earlier_is_what_is_left_of_the_ratio() -> None:
    asked = question("ticket", ticket=seeds([0.9] * 3, [600, 640, 620]), dense=seeds([0.9] * 3, [1000, 1010, 990]))
    times, share = take("early_stop_ratio", asked), take("early_stop_earlier", asked)
    assert (times.mean, share.mean) == (pytest.approx(0.62), pytest.approx(0.38))
    assert times.low is not None
    assert share.high == pytest.approx(1 - times.low)
    assert not MEASURES["early_stop_ratio"].test


def test_the_density_error_is_the_worst_of_all_networks() -> None:
    good, bad = seeds([0.9] * 2, density_prunable=0.8), seeds([0.9] * 2, density_prunable=0.66)
    found = take("density_error", question("good", "bad", beside="", densities=(0.8, 0.64), good=good, bad=bad))
    assert found.mean == pytest.approx(0.02)


def test_the_density_at_the_dense_level_is_that_of_the_sparsest_ticket_not_below() -> None:
    dense = seeds([0.90, 0.90])
    tickets = {
        "a": seeds([0.91, 0.91], density_prunable=0.5),
        "b": seeds([0.89, 0.89], density_prunable=0.2),
        "c": seeds([0.90, 0.90], density_prunable=0.1),
        "d": seeds([0.88, 0.88], density_prunable=0.05),
    }
    assert take("density_at_dense_level", question(*tickets, dense=dense, **tickets)).mean == pytest.approx(0.1)
    assert take("density_at_dense_level", question("d", dense=dense, **tickets)).mean == 1.0
