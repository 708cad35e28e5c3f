"""Arms and methods stand beside rewinding with their budgets: where they end, and what they cost in all."""

from __future__ import annotations

import pytest
import scipy.stats
from results.made import gathered, level_with, made_grid, made_spec, network, wobble

from lth.results.arms import Arm, arms
from lth.results.index import index
from lth.results.select import select_winner
from lth.runs.records import CellResult, Results
from lth.spec.schema import Spec
from lth.spec.step import Step

LATER = Step(2)
GRID = {"sparsities": [0.5, 0.8], "rewind": ["2ep"]}


def variants(name: str, lost: float, at: Step, seeds: tuple[int, ...] = (0, 1, 2), **more) -> list[CellResult]:
    return [
        network(seed, (level, at), 0.97 - lost + wobble(seed, 1.1), control=name, **more)
        for level in (0.5, 0.8)
        for seed in seeds
    ]


def tickets(spec: Spec) -> Results:
    grid = made_grid(spec, level_with(lambda sparsity, rewind: 0.0))
    later = {"first_step": 200, "epochs": 8.0}
    return gathered(one.model_copy(update=later if one.rewind else {}) for one in grid.done.values())


def of(spec: Spec, *networks: list[CellResult]) -> dict[tuple[str, float], Arm]:
    results = gathered([one for part in networks for one in part], tickets(spec))
    return {(one.name, one.sparsity): one for one in arms(spec, index(spec, results))}


def test_an_arm_says_its_budget_and_its_difference() -> None:
    spec = made_spec(grid={**GRID, "arms": ["lrr", "fine_tune"]})
    same = {"first_step": 200, "epochs": 8.0}
    whole = {"first_step": 0, "last_step": 1000, "epochs": 10.0}
    found = of(spec, variants("lrr", 0.02, LATER, **same), variants("fine_tune", 0.0, LATER, **whole))
    one = found["lrr", 0.8]
    ours, rewound = [0.95 + wobble(seed, 1.1) for seed in range(3)], [0.97 + wobble(seed, 1.5) for seed in range(3)]
    reference = scipy.stats.ttest_rel(ours, rewound).confidence_interval(0.95)
    assert (one.against, one.n, one.difference) == ("rewinding", 3, pytest.approx(-0.02))
    assert (one.low, one.high) == pytest.approx((reference.low, reference.high))
    assert (one.retraining_epochs, one.total_epochs, one.ends_at, one.against_total_epochs) == (8.0, 18.0, 10.0, 18.0)
    assert one.sentence == (
        "Learning-rate rewinding is worse than rewinding by 2.00 pp [−2.04, −1.96] (at 80 % sparsity, rewound to 2ep, "
        "validation, 3 seeds, two-sided 95 % interval): equal retraining epochs (8); ends at T like rewinding; "
        "18 epochs of training in all, rewinding 18."
    )
    longer = found["fine_tune", 0.5]
    assert (
        "no difference between fine-tuning and rewinding is shown" in longer.sentence[0].lower() + longer.sentence[1:]
    )
    assert (
        "10 retraining epochs, rewinding 8; ends at T like rewinding; 20 epochs of training in all" in longer.sentence
    )


def test_an_arm_that_ends_elsewhere_says_so() -> None:
    spec = made_spec(grid={**GRID, "arms": ["lrr"]})
    one = of(spec, variants("lrr", 0.0, LATER, first_step=100, last_step=900, epochs=8.0))["lrr", 0.5]
    assert "equal retraining epochs (8); ends at epoch 9 of the schedule, rewinding at 10;" in one.sentence


def test_methods_cost_their_own_training_and_sanity_checks_stand_beside_their_method() -> None:
    spec = made_spec(grid={**GRID, "methods": ["snip", "snip_shuffled", "synflow_inverted"]})
    start = Step()
    found = of(
        spec,
        variants("snip", -0.01, start),
        variants("snip_shuffled", 0.02, start),
        variants("synflow_inverted", 0.05, start),
    )
    snip = found["snip", 0.8]
    assert (snip.against, snip.rewind, snip.total_epochs, snip.against_total_epochs) == ("rewinding", LATER, 10.0, 18.0)
    assert snip.sentence.startswith("SNIP is better than rewinding by 1.00 pp [")
    assert snip.sentence.endswith("): 10 epochs of training in all, rewinding 18.")
    check = found["snip_shuffled", 0.8]
    assert (check.against, check.difference) == ("snip", pytest.approx(-0.03))
    assert check.sentence.startswith("SNIP, shuffled is worse than SNIP by 3.00 pp")
    assert found["synflow_inverted", 0.5].against == "rewinding"  # its method is not in the grid


def test_iterative_pruning_counts_the_levels_before() -> None:
    spec = made_spec(prune={"method": "iterative", "rate": 0.2}, grid={"levels": 3, "rewind": ["0"], "arms": ["lrr"]})
    assert spec.grid.sparsities == pytest.approx((0.2, 0.36, 0.488))
    made = [network(seed, None, 0.97, epochs=10.0) for seed in spec.seeds]
    for name, epochs in ((None, 10.0), ("lrr", 7.0)):
        for level, sparsity in enumerate(spec.grid.sparsities, 1):
            for seed in spec.seeds:
                one = network(seed, (sparsity, Step()), 0.97 + wobble(seed), control=name, epochs=epochs)
                made.append(one.model_copy(update={"id": f"{one.id}-{level}", "level": level}))
    found = {one.sparsity: one for one in arms(spec, index(spec, gathered(made)))}
    totals = [(found[sparsity].total_epochs, found[sparsity].against_total_epochs) for sparsity in spec.grid.sparsities]
    assert totals == [(17.0, 20.0), (24.0, 30.0), (31.0, 40.0)]
    broken = [one for one in made if not (one.control == "lrr" and one.level == 1 and one.seed == 0)]
    gap = {one.sparsity: one for one in arms(spec, index(spec, gathered(broken)))}[spec.grid.sparsities[1]]
    assert gap.total_epochs is None
    assert "epochs of training in all" not in gap.sentence


def test_one_seed_has_no_interval_and_the_selection_holds_the_arms() -> None:
    spec = made_spec(seeds=[0], grid={**GRID, "arms": ["lrr"]})
    results = gathered(variants("lrr", 0.01, LATER, seeds=(0,)), tickets(spec))
    one = select_winner(spec, results).arms[0]
    assert (one.n, one.low, one.high) == (1, None, None)
    assert one.sentence.startswith("One seed puts learning-rate rewinding −1.00 pp from rewinding, without an interval")
    assert select_winner(made_spec(), tickets(made_spec())).arms == ()
