"""The closed forms agree with scipy and numpy; the bounds hold their level."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from lth.results.statistics import (
    binomial_tail,
    cdf,
    difference,
    mean,
    quantile,
    sd,
    seeds_to_show,
    standard_error,
)

DEGREES = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 17, 30, 51, 200, 1001]
accuracies = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=12)


@pytest.mark.parametrize("df", DEGREES)
def test_student_t_is_scipys(df: int) -> None:
    for t in (-60.0, -3.0, -1.0, -0.1, 0.0, 0.2, 1.0, 2.5, 12.7, 400.0):
        assert cdf(t, df) == pytest.approx(scipy.stats.t.cdf(t, df), abs=1e-9)
    for p in (1e-4, 0.01, 0.3, 0.5, 0.6, 0.95, 0.975, 0.99, 0.9975, 0.99999):
        assert quantile(p, df) == pytest.approx(scipy.stats.t.ppf(p, df), rel=1e-9, abs=1e-9)
    assert (cdf(math.inf, df), cdf(-math.inf, df)) == (1.0, 0.0)


@given(df=st.integers(1, 60), p=st.floats(0.001, 0.999))
def test_quantile_inverts_the_distribution(df: int, p: float) -> None:
    assert cdf(quantile(p, df), df) == pytest.approx(p, abs=1e-12)


@given(accuracies)
def test_mean_and_sd_are_numpys(pairs: list[tuple[float, float]]) -> None:
    values = [first for first, _ in pairs]
    assert mean(values) == pytest.approx(np.mean(values), abs=1e-12)
    assert sd(values) == pytest.approx(np.std(values, ddof=1), abs=1e-9)


def test_paired_where_the_correlation_is_positive_else_welch() -> None:
    first = [0.970, 0.981, 0.975, 0.962, 0.979]
    together, apart = [0.972, 0.982, 0.974, 0.966, 0.983], [0.980, 0.969, 0.973, 0.984, 0.971]
    paired, welch = difference(first, together), difference(first, apart)
    assert np.corrcoef(first, together)[0, 1] > 0 > np.corrcoef(first, apart)[0, 1]
    assert (paired.method, paired.n, paired.df) == ("paired", 5, 4)
    reference = scipy.stats.ttest_rel(first, together).confidence_interval(0.95)
    assert paired.interval() == pytest.approx((reference.low, reference.high), abs=1e-9)
    one_sided = scipy.stats.ttest_rel(first, together, alternative="greater").confidence_interval(0.99)
    assert paired.lower(0.01) == pytest.approx(one_sided.low, abs=1e-9)
    assert (welch.method, welch.df) == ("welch", 4)
    test = scipy.stats.ttest_ind(first, apart, equal_var=False)
    assert welch.mean / welch.error == pytest.approx(test.statistic, abs=1e-9)
    wider = scipy.stats.ttest_ind(first, apart, equal_var=False).confidence_interval(0.95)
    assert welch.interval()[0] < wider.low < wider.high < welch.interval()[1]


def test_one_seed_has_a_difference_and_no_interval() -> None:
    one = difference([0.97], [0.975])
    assert one.mean == pytest.approx(-0.005)
    assert (one.error, one.lower(0.05), one.interval(), one.method) == (None, None, None, "one seed")


@pytest.mark.parametrize("tickets", [[0.97, 0.97, 0.97], [0.968, 0.972, 0.970]])
def test_differences_below_the_resolution_get_the_spread_of_rounding(tickets: list[float]) -> None:
    dense = [value + 0.001 for value in tickets]
    gap = difference(tickets, dense, resolution=0.002)
    assert gap.rounded
    assert gap.error == pytest.approx(0.002 * math.sqrt(1 / 6 / 3))
    bare = difference(tickets, dense)
    assert bare.rounded
    assert bare.lower(0.01) == pytest.approx(-0.001, abs=1e-9)
    assert not difference([0.97, 0.98, 0.99], [0.97, 0.975, 0.999], resolution=0.002).rounded


@given(accuracies, st.floats(0.001, 0.2))
def test_bounds_are_ordered_and_antisymmetric(pairs: list[tuple[float, float]], alpha: float) -> None:
    first, second = [one for one, _ in pairs], [other for _, other in pairs]
    gap, back = difference(first, second, 0.001), difference(second, first, 0.001)
    low, high = gap.interval() or (math.nan, math.nan)
    assert low <= gap.mean <= high
    assert gap.lower(alpha) <= gap.mean
    assert gap.lower(alpha / 2) <= gap.lower(alpha)
    assert back.mean == pytest.approx(-gap.mean, abs=1e-12)
    assert back.interval() == pytest.approx((-high, -low), abs=1e-9)


@pytest.mark.parametrize("n", [2, 3, 5])
@pytest.mark.parametrize("rho", [0.0, 0.4, 0.8])
def test_the_choice_between_paired_and_welch_keeps_the_level(n: int, rho: float) -> None:
    draw = np.random.default_rng(n)
    pairs = draw.multivariate_normal([0, 0], [[1, rho], [rho, 1]], (4000, n))
    gaps = [difference(x, y) for x, y in zip(pairs[:, :, 0].tolist(), pairs[:, :, 1].tolist(), strict=True)]
    assert 0.035 < mean([gap.lower(0.05) > 0 for gap in gaps]) < 0.066
    covered = mean([gap.interval()[0] <= 0 <= gap.interval()[1] for gap in gaps])
    assert 0.934 < covered < 0.966


def test_equal_accuracies_of_two_seeds_are_no_proof() -> None:
    """288 images, two seeds: equal differences come up in 7 % of runs, and must not pass a 1 % test each time."""
    draw = np.random.default_rng(0)
    dense, ticket = draw.binomial(288, 0.975, (20_000, 2)) / 288, draw.binomial(288, 0.965, (20_000, 2)) / 288
    pairs = list(zip(ticket.tolist(), dense.tolist(), strict=True))
    equal = [difference(x, y).rounded for x, y in pairs]
    assert mean(equal) > 0.02
    floored = [difference(x, y, 1 / 288).lower(0.01) > -0.01 for x, y in pairs]
    naive = [difference(x, y).lower(0.01) > -0.01 for x, y in pairs]
    assert mean(floored) < 0.011 < mean(naive)


def test_standard_error_is_binomial_and_never_zero() -> None:
    assert standard_error(0.9, 5000) == pytest.approx(math.sqrt(0.9 * 0.1 / 5000))
    assert standard_error(1.0, 100) == pytest.approx(math.sqrt(0.995 * 0.005 / 100))
    assert standard_error(0.0, 100) == pytest.approx(standard_error(1.0, 100))


@given(st.integers(1, 400), st.integers(0, 401), st.floats(0.01, 0.99))
def test_binomial_tail_is_scipys(n: int, successes: int, p: float) -> None:
    assert binomial_tail(successes, n, p) == pytest.approx(
        scipy.stats.binom.sf(successes - 1, n, p), rel=1e-8, abs=1e-300
    )


def test_binomial_tail_at_the_ends() -> None:
    assert [binomial_tail(0, 5, 0.2), binomial_tail(6, 5, 0.2), binomial_tail(1, 5, 0.0), binomial_tail(5, 5, 1.0)] == [
        1,
        0,
        0,
        1,
    ]
    assert binomial_tail(5300, 50_000, 0.1) == pytest.approx(scipy.stats.binom.sf(5299, 50_000, 0.1), rel=1e-8)


@given(accuracies, st.floats(0.001, 0.4), st.floats(-0.3, 0.3))
def test_a_p_value_is_below_alpha_where_the_bound_is_above_the_limit(
    pairs: list[tuple[float, float]], alpha: float, limit: float
) -> None:
    gap = difference([one for one, _ in pairs], [other for _, other in pairs], 0.001)
    lower, upper, p = gap.lower(alpha), gap.upper(alpha), gap.p_above(limit)
    if abs(lower - limit) > 1e-9:
        assert (p < alpha) == (lower > limit)
    if abs(upper - limit) > 1e-9:
        assert (1 - p < alpha) == (upper < limit)
    assert p == pytest.approx(scipy.stats.t.sf((gap.mean - limit) / gap.error, gap.df), abs=1e-9)


def test_p_values_and_upper_bounds_at_the_ends() -> None:
    one, equal = difference([0.97], [0.975]), difference([0.97, 0.97], [0.96, 0.96])
    assert (one.upper(0.05), one.p_above(0.0)) == (None, None)
    assert equal.error == 0.0
    assert (equal.p_above(0.0), equal.p_above(0.02)) == (0.0, 1.0)


@pytest.mark.parametrize(("distance", "spread", "alpha"), [(0.005, 0.003, 0.05), (0.01, 0.05, 0.01), (1.0, 0.1, 0.05)])
def test_seeds_to_show_are_the_fewest_with_a_bound_that_short(distance: float, spread: float, alpha: float) -> None:
    n = seeds_to_show(distance, spread, alpha)
    assert n is not None
    long = [scipy.stats.t.ppf(1 - alpha, m - 1) * spread / math.sqrt(m) >= distance for m in range(2, n + 1)]
    assert long == [True] * (n - 2) + [False]
    assert seeds_to_show(distance, spread, alpha, n + 3) == n + 3
    assert seeds_to_show(0.0, spread, alpha) is seeds_to_show(distance / 1e4, spread, alpha) is None
