"""The walk goes from dense to sparse, stops at the first failure, and hands its level on."""

from __future__ import annotations

import pytest
from results.made import BROKEN, changed, failed, level_with, made_grid, made_spec, without, wobble

from lth.results.select import walk
from lth.results.statistics import difference
from lth.spec.step import Step

START, LATER = Step(), Step(2)


def passed(levels) -> list[tuple[str, float]]:
    return [(str(level.rewind), level.sparsity) for level in levels if level.passed]


def test_a_walk_stops_at_its_first_failure() -> None:
    spec = made_spec()
    dip = {0.5: 0.0, 0.8: 0.03, 0.9: 0.0}  # 90 % would match, but lies behind a failure
    levels = walk(spec, made_grid(spec, level_with(lambda sparsity, rewind: dip[sparsity] if rewind == START else 0.0)))
    assert passed(levels) == [("0", 0.5), ("2ep", 0.5), ("2ep", 0.8), ("2ep", 0.9)]
    first, dipped, behind = levels[:3]
    assert first.reason == ""
    assert dipped.reason.startswith("lower bound −3.")
    assert dipped.reason.endswith("is not above −1.00 pp")
    assert behind.reason == "not tested: the walk stopped at 80 %"
    assert behind.lower > -0.01


def test_levels_carry_their_numbers() -> None:
    spec = made_spec()
    results = made_grid(spec, level_with(lambda sparsity, rewind: 0.002))
    level = walk(spec, results)[0]
    tickets, dense = [0.968 + wobble(seed, 1.5) for seed in range(3)], [0.97 + wobble(seed) for seed in range(3)]
    gap = difference(tickets, dense, 1 / 20_000)
    assert (level.rewind, level.sparsity, level.n, level.method) == (START, 0.5, 3, "paired")
    assert (level.ticket, level.dense, level.difference) == pytest.approx((sum(tickets) / 3, sum(dense) / 3, -0.002))
    assert (level.low, level.high) == pytest.approx(gap.interval())
    assert level.lower == pytest.approx(gap.lower(level.alpha))


def test_each_walk_starts_with_its_share_and_a_finished_walk_leaves_it_to_the_others() -> None:
    """Holm: a difference that passes at 5 % and not at 2.5 % passes only after the other walk has ended."""
    spec = made_spec(grid__sparsities=[0.5])
    shape = [0.0, 0.004, -0.004]

    def ticket(sparsity: float, rewind: Step, seed: int, other: float = 0.0) -> float:
        return 0.9705 + shape[seed] if rewind == START else 0.97 - other + wobble(seed)

    gap = difference([ticket(0.5, START, seed) for seed in range(3)], [0.97 + wobble(seed) for seed in range(3)])
    assert gap.lower(0.025) < -0.007 < gap.lower(0.05)
    spec = made_spec(grid__sparsities=[0.5], select__tolerance=0.007)
    alone = walk(spec, made_grid(spec, lambda sparsity, rewind, seed: ticket(sparsity, rewind, seed, 0.05)))
    assert passed(alone) == []
    assert [level.alpha for level in alone] == pytest.approx([0.025, 0.025])
    both = walk(spec, made_grid(spec, ticket))
    assert passed(both) == [("0", 0.5), ("2ep", 0.5)]
    assert [level.alpha for level in both] == pytest.approx([0.05, 0.025])


def test_the_confidence_of_the_spec_is_used() -> None:
    spec = made_spec(select__confidence=0.9, grid__rewind=["0"])
    assert walk(spec, made_grid(spec, level_with(lambda sparsity, rewind: 0.5)))[0].alpha == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda found: failed(found, "s0.8-r0-seed1"), "ticket of seed 1 failed"),
        (lambda found: without(found, "s0.8-r0-seed1", "s0.8-r0-seed2"), "ticket of seeds 1, 2 not done"),
        (
            lambda found: changed(found, "s0.8-r0-seed2", collapsed=("fc1.weight",)),
            "collapsed: no weight left in fc1.weight (seed 2)",
        ),
        (
            lambda found: changed(found, "s0.8-r0-seed0", audit=BROKEN),
            "audit of the ticket not passed: kept_equal_checkpoint (seed 0)",
        ),
    ],
)
def test_an_unsound_cell_can_never_pass(harm, reason: str) -> None:
    spec = made_spec()
    levels = walk(spec, harm(made_grid(spec, level_with(lambda sparsity, rewind: 0.0))))
    assert passed(levels) == [("0", 0.5), ("2ep", 0.5), ("2ep", 0.8), ("2ep", 0.9)]
    assert levels[1].reason == reason


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda found: failed(found, "dense-seed1"), "dense network of seed 1 failed"),
        (
            lambda found: changed(found, "dense-seed1", audit=BROKEN),
            "audit of the dense network not passed: kept_equal_checkpoint (seed 1)",
        ),
    ],
)
def test_an_unsound_dense_network_lets_nothing_pass(harm, reason: str) -> None:
    spec = made_spec()
    levels = walk(spec, harm(made_grid(spec, level_with(lambda sparsity, rewind: 0.0))))
    assert passed(levels) == []
    assert levels[0].reason == levels[3].reason == reason


def test_one_seed_is_compared_by_its_difference() -> None:
    spec = made_spec(seeds=[0])
    levels = walk(spec, made_grid(spec, level_with(lambda sparsity, rewind: 0.009 if sparsity < 0.9 else 0.011)))
    assert passed(levels) == [("0", 0.5), ("0", 0.8), ("2ep", 0.5), ("2ep", 0.8)]
    assert (levels[0].lower, levels[0].low, levels[0].method) == (None, None, "one seed")
    assert levels[2].reason == "difference −1.10 pp is not above −1.00 pp"


def test_equal_differences_pass_and_say_where_the_bound_comes_from() -> None:
    spec = made_spec()
    levels = walk(spec, made_grid(spec, lambda sparsity, rewind, seed: 0.969, dense=lambda seed: 0.97))
    assert len(passed(levels)) == 6
    assert (
        levels[0].reason == "the seeds differ by less than one example; the rounding of the accuracies gives the bound"
    )
