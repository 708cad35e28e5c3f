"""Whether rewind points differ: flat, mattering, or not told."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from results.made import level_with, made_grid, made_spec, wobble

from lth.results.axis import RewindAxis
from lth.results.select import select_winner
from lth.results.statistics import quantile
from lth.spec.step import Step

START, MIDDLE, LATER = Step(), Step(1), Step(2)


def axis(ticket, **changes) -> RewindAxis:
    spec = made_spec(**{"seeds": [0, 1, 2, 3, 4], "grid__rewind": ["0", "1ep", "2ep"], **changes})
    found = select_winner(spec, made_grid(spec, ticket)).rewind_axis
    assert found is not None
    return found


def shaken(size: float, gain=lambda rewind: 0.0):
    """Tickets as good as dense, each shaken by a normal draw of its own."""

    def ticket(sparsity: float, rewind: Step, seed: int) -> float:
        own = np.random.default_rng([round(100 * sparsity), rewind.epochs, seed]).normal()
        return 0.97 + gain(rewind) + wobble(seed) + size * float(own)

    return ticket


def test_flat() -> None:
    found = axis(shaken(0.001))
    assert found.flat is True
    assert 0 < found.largest < 0.01
    assert found.sentence == (
        f"The rewind axis is flat here: no rewind point differs from another by more than {100 * found.largest:.2f} pp "
        "(simultaneous 95 % interval, 5 seeds, sparsities 50 % to 90 %)."
    )


def test_mattering() -> None:
    found = axis(shaken(0.001, lambda rewind: 0.02 if rewind == LATER else 0.0))
    assert found.flat is False
    assert found.sentence.startswith("The rewind point matters here: 2ep is better than ")


def test_a_difference_below_the_tolerance() -> None:
    found = axis(shaken(0.0002, lambda rewind: 0.002 if rewind == LATER else 0.0))
    assert found.flat is True
    assert found.sentence.startswith("The rewind axis is nearly flat here: 2ep is better than ")
    assert "less than the tolerance" in found.sentence


def test_not_told() -> None:
    found = axis(shaken(0.02))
    assert found.flat is None
    assert "is not excluded" in found.sentence
    assert axis(shaken(0.001), seeds=[0]).sentence == "Whether rewind points differ cannot be told from 1 seed."
    assert axis(shaken(0.001), grid__rewind=["0"]).sentence == "There is one rewind point: nothing to compare."


def test_only_sparsities_that_hold_up_count() -> None:
    falling = level_with(lambda sparsity, rewind: 0.0 if sparsity < 0.9 else 0.2 - 0.05 * rewind.epochs)
    assert axis(falling).sparsities == (0.5, 0.8)
    assert axis(level_with(lambda sparsity, rewind: 0.3)).sparsities == (0.5, 0.8, 0.9)


def test_the_interval_is_the_blocked_analysis_of_variance() -> None:
    """At one sparsity: the residual mean square of seeds x rewind points, by numpy's least squares."""
    draw = np.random.default_rng(0)
    values = 0.97 + 0.002 * draw.normal(size=(5, 3))
    found = axis(
        lambda sparsity, rewind, seed: float(values[seed, rewind.epochs]),
        grid={"sparsities": [0.5], "rewind": ["0", "1ep", "2ep"]},
    )
    design = np.array([[*np.eye(5)[seed], *np.eye(3)[point]] for seed in range(5) for point in range(3)])
    residual = values.ravel() - design @ np.linalg.lstsq(design, values.ravel(), rcond=None)[0]
    half = scipy.stats.t.ppf(1 - 0.025 / 3, 8) * np.sqrt(2 * (residual @ residual / 8) / 5)
    assert quantile(1 - 0.025 / 3, 8) == pytest.approx(scipy.stats.t.ppf(1 - 0.025 / 3, 8))
    assert found.largest == pytest.approx(np.ptp(values.mean(0)) + half)
