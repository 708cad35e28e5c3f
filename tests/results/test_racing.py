"""A level is dropped after its first seeds only where no results of the others could make it pass."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t

from lth.results.racing import excluded, first_seeds
from lth.results.statistics import difference

TOLERANCE = 0.005
gaps = st.floats(-0.03, 0.01)


@pytest.mark.parametrize(
    ("n", "alpha", "first"), [(1, 0.05, 1), (2, 0.01, 1), (3, 0.01, 1), (5, 0.01, 2), (10, 0.01, 7)]
)
def test_how_many_seeds_go_first(n: int, alpha: float, first: int) -> None:
    assert first_seeds(n, alpha) == first


@given(n=st.integers(2, 10), alpha=st.floats(1e-4, 0.2), deficit=st.floats(0, 0.02))
def test_first_seeds_that_agree_on_a_difference_decide_a_level(n: int, alpha: float, deficit: float) -> None:
    first = first_seeds(n, alpha)
    assert 1 <= first <= n
    if first < n:
        assert excluded([-deficit] * first, n, alpha, TOLERANCE) == (deficit >= TOLERANCE)


@given(data=st.data(), n=st.integers(2, 8), alpha=st.floats(1e-4, 0.1))
@settings(max_examples=200)
def test_no_results_of_the_other_seeds_lift_the_bound_of_an_excluded_level(data, n: int, alpha: float) -> None:
    """The dense accuracies are adversaries too: with them the bound is Welch's, whose variance may be the smaller."""
    first = first_seeds(n, alpha)
    seen = data.draw(st.lists(gaps, min_size=first, max_size=first))
    if first == n or not excluded(seen, n, alpha, TOLERANCE):
        return
    centre = float(np.mean(seen))
    best = centre + data.draw(st.floats(0, 0.05))
    rest = data.draw(st.one_of(st.just([best] * (n - first)), st.lists(gaps, min_size=n - first, max_size=n - first)))
    dense = data.draw(st.lists(st.floats(0.9, 0.95), min_size=n, max_size=n))
    both = [*seen, *rest]
    if data.draw(st.booleans()):  # ticket and dense spread alike, in opposite directions: the least that Welch can say
        dense = [0.95 - gap / 2 for gap in both]
    gap = difference([one + two for one, two in zip(dense, both, strict=True)], dense, 1 / 5000)
    assert (gap.lower(alpha) or 0.0) <= -TOLERANCE + 1e-12


def test_a_level_is_not_dropped_where_others_could_still_make_it_pass() -> None:
    """Brute force: over a fine sweep of what the rest agree on, the best paired bound of five seeds."""
    draw, decided = np.random.default_rng(0), []
    for _ in range(100):
        seen = draw.normal(-TOLERANCE, 0.004, 2)
        rest = np.linspace(-0.03, 0.05, 2000)
        sweep = np.column_stack([np.tile(seen, (len(rest), 1)), *[rest] * 3])
        error = sweep.std(axis=1, ddof=1) / np.sqrt(2 * 5)  # of half the variance, the least there can be
        best = (sweep.mean(axis=1) - t.ppf(0.99, 4) * error).max()
        decided.append((excluded(seen.tolist(), 5, 0.01, TOLERANCE), best <= -TOLERANCE))
    assert sum(one != other for one, other in decided) <= 2  # the sweep is not infinitely fine
    assert 10 < sum(one for one, _ in decided) < 90
