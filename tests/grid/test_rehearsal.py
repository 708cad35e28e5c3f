"""The courses are those that `ready` takes, wave by wave; no run, whatever its results, takes more than they say."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from grid.worlds import STEPS_PER_EPOCH, add, small_spec
from hypothesis import given, settings
from hypothesis import strategies as st

from lth.grid.amounts import Trained, amount_of, stage_of
from lth.grid.next import ready
from lth.grid.rehearsal import courses, searches
from lth.grid.unit import Cell, Finish
from lth.planning.cost import STAGES
from lth.runs.records import Results
from lth.spec import Spec, Step

ALL = ["reinit", "reinit_k", "shuffled_mask", "random_mask_init", "other_seed", "small_dense", "dense_long", "copy"]
ITERATIVE: dict[str, Any] = {"prune": {"method": "iterative", "rate": 0.3}}
SPECS: dict[str, dict[str, Any]] = {
    "one-shot": {},
    "every control": {"grid__controls": ALL},
    "controls everywhere": {"grid__controls": ALL, "grid__controls_at": "all", "grid__arms": ["lrr", "fine_tune"]},
    "thresholds and methods": {"grid__thresholds": [0.01], "grid__methods": ["snip", "gradual"]},
    "no controls, not confirmed": {"grid__controls": [], "select__confirm_seeds": 0},
    "controls listed": {"grid__controls": ALL, "grid__controls_at": [0.5]},
    "one level": {"grid__sparsities": [0.5]},
    "iterative": {**ITERATIVE, "grid": {"levels": 3, "rewind": ["0", "1ep"], "controls": ALL, "arms": ["lrr"]}},
    "iterative, rewound late": {**ITERATIVE, "grid": {"levels": 2, "rewind": ["1ep", "2ep"], "controls": ["reinit_k"]}},
    "levels listed": {**ITERATIVE, "grid": {"levels": 4, "controls": ["reinit", "dense_long"], "controls_at": [1, 2]}},
    "chains that end": {**ITERATIVE, "grid": {"levels": 4, "min_accuracy": 0.7, "controls": ["reinit"]}},
}
ADAPTIVE: dict[str, Any] = {"grid__search": "adaptive", "grid__sparsities": [0.5, 0.6, 0.7, 0.8, 0.9, 0.95]}
Accuracy = Callable[[Trained], float]


def played(spec: Spec, accuracy: Accuracy) -> list[list[Trained]]:
    """Returns the waves of a run whose networks reach these accuracies."""
    results, waves = Results(), list[list[Trained]]()
    while units := [unit for unit in ready(spec, results) if not isinstance(unit, Finish)]:
        waves.append(units)
        for unit in units:
            results = add(spec, results, unit, accuracy=accuracy(unit))
    return waves


def passing(spec: Spec, sparsity: float, rewind: Step) -> Accuracy:
    """Returns accuracies of which this ticket is the sparsest that matches; 0.75 ends no chain."""

    def accuracy(unit: Trained) -> float:
        if not isinstance(unit, Cell) or unit.control is not None or unit.sparsity is None:
            return 0.9
        return 0.9 if unit.sparsity <= sparsity and unit.rewind == rewind else 0.75

    return accuracy


@pytest.mark.parametrize("changes", SPECS.values(), ids=SPECS)
def test_the_waves_are_those_of_ready(changes: dict[str, Any]) -> None:
    spec = small_spec(**changes)
    found = [Counter((one.stage, one.amount, one.wave) for one in course) for course in courses(spec, STEPS_PER_EPOCH)]
    for course in found:
        tickets = [(sparsity, step) for sparsity in spec.grid.sparsities for step in spec.grid.rewind]
        runs = [played(spec, passing(spec, *ticket)) for ticket in tickets]
        assert course in [
            Counter(
                (stage_of(spec, unit), amount_of(spec, unit, STEPS_PER_EPOCH), number)
                for number, wave in enumerate(waves)
                for unit in wave
            )
            for waves in runs
        ]


@pytest.mark.parametrize("changes", [*SPECS.values(), ADAPTIVE], ids=[*SPECS, "adaptive"])
@given(seed=st.integers(0, 10**6))
@settings(max_examples=10)
def test_no_run_takes_more_than_the_courses(changes: dict[str, Any], seed: int) -> None:
    spec, rng = small_spec(**changes), random.Random(seed)
    ending = {(step, rng.choice([*spec.grid.sparsities, 0.0])): rng.random() for step in spec.grid.rewind}

    def accuracy(unit: Trained) -> float:
        if not isinstance(unit, Cell):
            return 0.9
        last = next((sparsity for step, sparsity in ending if step == unit.rewind), 0.0)
        return 0.9 if (unit.sparsity or 0.0) <= last else 0.5

    waves, found = played(spec, accuracy), courses(spec, STEPS_PER_EPOCH)
    units = [unit for wave in waves for unit in wave]
    for stage in STAGES:
        ours = [amount_of(spec, unit, STEPS_PER_EPOCH) for unit in units if stage_of(spec, unit) == stage]
        theirs = [[one.amount for one in course if one.stage == stage] for course in found]
        assert len(ours) <= max(map(len, theirs))
        assert sum(ours) <= max(map(sum, theirs))
    rounds = [one.wave for course in (*found, *searches(spec, STEPS_PER_EPOCH)) for one in course]
    assert len(waves) <= 1 + max(rounds)


def test_the_longest_chain_waits_for_the_whole_grid_before_the_selection() -> None:
    """40 steps: dense, tickets, then controls; the confirmation ends last, after dense networks of its own."""
    by_stage: dict[str, set[int]] = {}
    for one in courses(small_spec(grid__rewind=["0", "1ep"]), STEPS_PER_EPOCH)[0]:
        by_stage.setdefault(one.stage, set()).add(one.chain)
    assert by_stage == {
        "dense": {40},
        "tickets": {80, 70},
        "controls": {120},
        "confirmation dense": {120},
        "confirmation tickets": {160},
        "confirmation controls": {160},
    }


def test_a_control_under_another_seeds_mask_waits_for_that_seed() -> None:
    """40 steps, 3 levels: the grid ends at 160. A control of level n needs the partner's level n - 1."""
    spec = small_spec(**ITERATIVE, grid={"levels": 3, "controls": ["other_seed"]}, seeds=[0, 1, 2])
    for course, level in zip(courses(spec, STEPS_PER_EPOCH), (2, 3), strict=True):
        assert {one.chain for one in course if one.stage == "controls"} == {160 + 40}
        confirmed = 160 + 40 + (level - 1) * 40
        assert {one.chain for one in course if one.stage == "confirmation controls"} == {confirmed + 40}
