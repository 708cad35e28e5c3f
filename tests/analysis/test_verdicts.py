"""Pairs, means over seeds, and the earliest stable rewind point, from made-up records."""

from __future__ import annotations

from typing import Any

import pytest
from results.made import gathered, network
from scipy import stats

from lth.analysis.connectivity import PARTS, WAYS, Barrier, Line
from lth.analysis.earliest import earliest
from lth.analysis.measurement import Measured
from lth.analysis.pairs import Pair, pairs
from lth.analysis.rows import rows
from lth.results.estimate import estimate
from lth.spec.step import Step

MOMENTS = [Step(), Step(0, 150), Step(2), Step(4)]  # 100 steps an epoch


def copied(sparsity: float, moment: Step, seed: int) -> Pair:
    cell = (sparsity, moment)
    return Pair("copies", network(seed, cell, 0.9), network(seed, cell, 0.9, control="copy"))


def measured(pair: Pair, instability: float, *, norm: bool = False) -> Measured:
    line = Line((0.1, 0.1 + instability, 0.1), (0.5, 1.0, 0.7))
    lines: Any = {way: dict.fromkeys(PARTS, line) for way in WAYS}
    return Measured(pair, Barrier(lines, norm), 0.9)


def test_pairs_stand_in_the_order_of_training_steps() -> None:
    tickets = [network(seed, (0.5, moment), 0.9) for seed in (1, 0) for moment in reversed(MOMENTS)]
    copies = [network(one.seed, (0.5, one.rewind or Step()), 0.9, control="copy") for one in tickets]
    lonely = network(3, (0.5, Step()), 0.9, control="copy")
    found = pairs(gathered([*tickets, *copies, lonely, network(0, None, 0.9)]))
    order = [(moment, seed) for moment in MOMENTS for seed in (0, 1)]
    assert [(pair.rewind, pair.second.seed) for pair in found] == order
    assert all(pair.second.id == f"{pair.first.id}-copy" for pair in found)


def test_levels_are_chains_of_one_seed_and_rewind_point() -> None:
    def level(number: int, seed: int, moment: Step, control: str | None = None) -> Any:
        name = f"l{number:02}-r{moment}-seed{seed}{control or ''}"
        return network(seed, (1 - 0.8**number, moment), 0.9, control=control, level=number, id=name)

    dense = [network(seed, None, 0.9) for seed in (0, 1)]
    chain = [level(number, 0, Step(2)) for number in (1, 2, 3)] + [level(2, 1, Step(2)), level(1, 1, Step())]
    found = pairs(gathered([*dense, *chain, level(1, 0, Step(2), "lrr")]))
    assert [(pair.first.id, pair.second.id) for pair in found] == [
        ("dense-seed1", "l01-r0-seed1"),
        ("dense-seed0", "l01-r2ep-seed0"),
        ("l01-r2ep-seed0", "l02-r2ep-seed0"),
        ("l02-r2ep-seed0", "l03-r2ep-seed0"),
    ]


def test_an_estimate_is_students_interval() -> None:
    values = [0.01, 0.03, 0.02, 0.05]
    found = estimate(values)
    low, high = stats.t.interval(0.95, 3, loc=0.0275, scale=stats.sem(values))
    assert (found.n, found.mean, found.low, found.high) == pytest.approx((4, 0.0275, low, high))
    one = estimate([0.01])
    assert (one.mean, one.low, one.high, one.n) == (0.01, None, None, 1)
    wide = estimate([0.01, 0.01], 0.005)  # equal counts are no proof of precision
    assert wide.high is not None
    assert wide.high > 0.01


def test_stable_means_below_two_per_cent_on_training_and_test_data() -> None:
    made = [measured(copied(0.5, Step(), seed), value) for seed, value in ((0, 0.0), (1, 0.0398))]
    (row,) = rows(made, WAYS)  # without batch norm both ways are one
    assert (row.stable, row.seeds, row.way) == (True, (0, 1), "interpolated")
    made = [measured(copied(0.5, Step(), seed), value, norm=True) for seed, value in ((0, 0.0), (1, 0.0402))]
    assert [(one.stable, one.way) for one in rows(made, WAYS)] == [(False, way) for way in WAYS]
    assert [one.way for one in rows(made, ["re-estimated"])] == ["re-estimated"]


@pytest.mark.parametrize(
    ("instabilities", "wanted"),
    [
        ([0.3, 0.1, 0.01, 0.0], Step(2)),
        ([0.01, 0.1, 0.01, 0.0], Step(2)),  # stable only from where it stays so
        ([0.01, 0.0, 0.01, 0.0], Step()),
        ([0.3, 0.1, 0.01, 0.02], None),
    ],
)
def test_the_earliest_stable_point_is_that_from_which_all_are(instabilities: list[float], wanted: Step | None) -> None:
    made = [measured(copied(0.8, moment, 0), value) for moment, value in zip(MOMENTS, instabilities, strict=True)]
    (found,) = earliest(list(rows(made, WAYS)))
    assert (found.rewind, found.tested, found.sparsity) == (wanted, tuple(MOMENTS), 0.8)
    where = "at no tested rewind point" if wanted is None else f"from rewind point {wanted} on"
    assert found.sentence == f"The ticket at sparsity 80 % is stable {where} (tested: 0, 150it, 2ep, 4ep)."
