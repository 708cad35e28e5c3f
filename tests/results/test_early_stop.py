"""Early stops are compared in steps from each training's own beginning, seed by seed."""

from __future__ import annotations

import pytest
import scipy.stats
from results.made import gathered, made_spec, network

from lth.results.early_stop import early_stop
from lth.results.index import index
from lth.runs.records import Results
from lth.spec.step import Step

LATER = Step(2)
DENSE, TICKET, REINIT = (700, 500, 900), (700, 500, 800), (1000, 900, 900)


def results() -> Results:
    made = []
    for seed in range(3):
        made.append(network(seed, None, 0.97, early_stop_step=DENSE[seed]))
        made.append(network(seed, (0.8, LATER), 0.97, early_stop_step=TICKET[seed], first_step=200, last_step=1000))
        made.append(network(seed, (0.8, Step()), 0.9, control="reinit", early_stop_step=REINIT[seed]))
    return gathered(made)


def test_steps_count_from_the_own_beginning() -> None:
    spec = made_spec(grid__controls=["reinit"])
    one = early_stop(spec, index(spec, results()), LATER, 0.8)
    assert one is not None
    own = [step - 200 for step in TICKET]
    reference = scipy.stats.ttest_rel(own, DENSE).confidence_interval(0.95)
    assert (one.n, one.cadence, one.method) == (3, 100, "paired")
    assert (one.ticket, one.other, one.difference) == pytest.approx((1400 / 3, 700, -700 / 3))
    assert (one.low, one.high) == pytest.approx((reference.low, reference.high))
    assert one.not_later
    assert one.sentence == (
        "early stop 467 steps after its beginning, dense after 700: −233 steps [−377, −90] (not later in the mean)"
    )


def test_a_variant_may_stand_in_the_place_of_dense() -> None:
    spec = made_spec(grid__controls=["reinit"])
    one = early_stop(spec, index(spec, results()), LATER, 0.8, "reinit")
    assert one is not None
    assert (one.n, one.other, one.difference) == (3, pytest.approx(2800 / 3), pytest.approx(-1400 / 3))


def test_the_evaluations_are_the_resolution_and_equal_stops_no_proof() -> None:
    spec = made_spec(seeds=[0, 1])
    made = [network(seed, cell, 0.97, early_stop_step=600) for seed in (0, 1) for cell in (None, (0.8, Step()))]
    one = early_stop(spec, index(spec, gathered(made)), Step(), 0.8)
    assert one is not None
    assert one.difference == 0
    assert one.not_later
    assert one.high == pytest.approx(scipy.stats.t.ppf(0.975, 1) * 100 / 12**0.5)  # root of 2 x 100^2 / 12 / 2 seeds


def test_one_seed_has_no_interval_and_no_network_no_comparison() -> None:
    spec = made_spec(seeds=[0])
    one = early_stop(spec, index(spec, results()), LATER, 0.8)
    assert one is not None
    assert (one.low, one.high) == (None, None)
    assert "no interval" in one.sentence
    assert early_stop(spec, index(spec, results()), LATER, 0.9) is None
