"""Groups of seeds, their means and intervals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from fake_run import FakeRun, grid_only, network, planted, spec_of
from hypothesis import given
from hypothesis import strategies as st

from lth.report.summary import groups
from lth.results.estimate import Estimate, estimate
from lth.results.statistics import mean
from lth.runs.records import Results
from lth.spec.step import Step


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_the_interval_holds_the_mean_and_stays_within_0_and_1(values: list[float]) -> None:
    found = estimate(values)
    assert found.mean == pytest.approx(mean(values))
    assert found.n == len(values)
    assert (found.low is None) == (len(values) == 1)
    low, high = found.ends
    assert 0 <= low <= high <= 1


def test_the_interval_is_student_t_over_seeds() -> None:
    found = estimate([0.96, 0.97, 0.98])
    assert (found.low, found.high) == pytest.approx((0.97 - 4.302653 * 0.01 / 3**0.5, 0.97 + 4.302653 * 0.01 / 3**0.5))
    assert found.words() == "97.00 % [94.52, 99.48]"


def test_one_seed_has_a_mean_and_no_interval() -> None:
    assert Estimate(0.97, None, None, 1).words() == "97.00 %"


def test_every_network_the_spec_names_is_in_one_group(tmp_path: Path) -> None:
    run = planted(tmp_path)
    found = groups(run.spec, run.results())
    assert len(found.tickets) == 100
    assert {len(group.results) for group in (*found.tickets, *found.controls)} == {5}
    assert {group.control for group in found.controls} == {"reinit", "shuffled_mask", "random_mask"}
    assert {len(group.results) for group in found.confirmation} == {3}
    assert sum(len(group.results) for group in found.all()) == len(run.found.done)
    assert set(found.dense_by_seed) == {0, 1, 2, 3, 4, 5, 6, 7}


def test_networks_the_spec_no_longer_names_are_left_out(tmp_path: Path) -> None:
    run = grid_only(tmp_path, spec_of(seeds=2))
    others = [network(9), network(0, 0.5, Step()), network(0, 0.9, Step(7)), network(9, 0.9, Step())]
    found = groups(run.spec, Results({**run.found.done, **{other.id: other for other in others}}))
    ids = {result.id for group in found.all() for result in group.results}
    assert not ids & {other.id for other in others}


def test_differences_are_taken_on_the_same_seeds(tmp_path: Path) -> None:
    run = grid_only(tmp_path, spec_of(seeds=3))
    kept = {name: result for name, result in run.found.done.items() if name != "dense-seed1"}
    found = groups(run.spec, Results(kept))
    group = found.at(0.9, Step())[0]
    gap = found.to_dense(group)
    pairs = [(kept[f"s0.9-r0-seed{seed}"], kept[f"dense-seed{seed}"]) for seed in (0, 2)]
    assert gap is not None
    assert gap.n == 2
    assert gap.mean == pytest.approx(mean([one.validation_top1 - other.validation_top1 for one, other in pairs]))


def test_without_dense_networks_there_is_no_difference(tmp_path: Path) -> None:
    run: FakeRun = grid_only(tmp_path, spec_of(seeds=2))
    only = {name: result for name, result in run.found.done.items() if result.kind == "cell"}
    found = groups(run.spec, replace(run.found, done=only))
    assert found.dense is None
    assert found.to_dense(found.tickets[0]) is None
