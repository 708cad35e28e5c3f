"""The promised power is that of our own test, drawn by hand, and of scipy's where the two are the same test."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from lth.results.power import power, seeds_needed
from lth.results.statistics import difference


@pytest.mark.parametrize(("n", "gap"), [(2, 2.0), (3, 1.8), (5, 1.2), (10, 0.9)])
@pytest.mark.parametrize("rho", [-0.4, 0.0, 0.5, 0.9])
def test_power_is_the_share_of_draws_in_which_the_difference_is_shown(n: int, gap: float, rho: float) -> None:
    draw, worlds = np.random.default_rng(n), 4000
    gap *= (1 - rho) ** 0.5
    pairs = draw.multivariate_normal([gap, 0], [[1, rho], [rho, 1]], (worlds, n))
    shown = [
        (difference(x, y).lower(0.05) or 0.0) > 0
        for x, y in zip(pairs[:, :, 0].tolist(), pairs[:, :, 1].tolist(), strict=True)
    ]
    assert power(n, gap, 1.0, rho) == pytest.approx(np.mean(shown), abs=0.025)  # three standard errors


@pytest.mark.parametrize("n", [2, 3, 5, 12, 300])
def test_with_a_correlation_near_1_it_is_the_paired_test_of_the_textbook(n: int) -> None:
    rho, gap = 0.9999, 0.02 if n < 5 else 0.01
    error = (2 * (1 - rho) / n) ** 0.5
    textbook = scipy.stats.nct.sf(scipy.stats.t.ppf(0.99, n - 1), n - 1, gap / error)
    assert power(n, gap, 1.0, rho, 0.01) == pytest.approx(textbook, abs=1e-4)


@given(
    n=st.integers(2, 40),
    gap=st.floats(0, 3),
    rho=st.floats(-0.9, 0.9),
    alpha=st.floats(0.001, 0.2),
    sd=st.floats(0.1, 9),
)
def test_power_rises_with_the_distance_and_with_alpha_and_has_no_unit(n, gap, rho, alpha, sd) -> None:
    here = power(n, gap, 1.0, rho, alpha)
    assert 0 <= here <= 1
    assert power(n, gap + 0.1, 1.0, rho, alpha) >= here - 1e-9
    assert power(n, gap, 1.0, rho, alpha / 2) <= here + 1e-9
    assert power(n, 0.0023 * gap, 0.0023, rho, alpha) == pytest.approx(here, abs=1e-9)


def test_the_level_is_that_of_the_page_on_statistics() -> None:
    """Without a difference the test rejects in a little more than 5 % of cases: docs/statistics.md."""
    assert [power(n, 0.0, 1.0, rho) for n, rho in ((3, 0.0), (5, 0.0), (10, -0.3))] == pytest.approx(
        [0.0545, 0.0565, 0.0681], abs=1e-3
    )


@pytest.mark.parametrize(("gap", "rho"), [(2.17, 0.0), (0.87, 0.0), (1.0, 0.8), (0.2, 0.5)])
def test_seeds_needed_are_the_fewest(gap: float, rho: float) -> None:
    n = seeds_needed(gap, 1.0, rho, 0.025, 0.8)
    assert n is not None
    assert power(n, gap, 1.0, rho, 0.025) >= 0.8
    assert n == 2 or power(n - 1, gap, 1.0, rho, 0.025) < 0.8


def test_too_small_a_difference_needs_more_seeds_than_anyone_has() -> None:
    assert seeds_needed(0.001, 1.0) is None
    assert seeds_needed(50.0, 1.0) == 2
