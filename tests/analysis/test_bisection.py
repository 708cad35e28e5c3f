"""Bisection finds the planted step, says where its assumption fails, and asks for the same experiment."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from results.made import made_spec

from lth.analysis.bisection import Bisection, Probe, bisect, level_of, probing
from lth.errors import LthError
from lth.grid.next import wanted
from lth.runs.records import Results
from lth.spec.identity import experiment
from lth.spec.step import Step


def probe(step: int, instability: float) -> Probe:
    return Probe(step, Step(0, step).canonical(10), instability)


def found(planted: int, last: int, resolution: int) -> Bisection:
    """The search for a network that is stable from step `planted` on."""

    def judge(step: int) -> Probe:
        return probe(step, 0.5 - 0.001 * step if step < planted else 0.01 / (step + 1))

    return Bisection(tuple(bisect(judge, last, resolution)), resolution)


@given(st.integers(0, 400), st.integers(1, 300), st.integers(1, 20))
def test_the_planted_step_is_found_within_the_resolution(planted: int, last: int, resolution: int) -> None:
    seen = found(planted, last, resolution)
    assert len({one.step for one in seen.probes}) == len(seen.probes)
    if planted > last:
        assert seen.earliest is None
        assert len(seen.probes) == 1
        return
    assert seen.earliest is not None
    assert planted <= seen.earliest.step < planted + resolution if planted else seen.earliest.step == 0
    assert len(seen.probes) <= 2 + math.ceil(math.log2(max(1, last / resolution))) + 1


def test_the_finding_in_words() -> None:
    first, second = found(37, 60, 1).sentences
    assert first == "Earliest stable rewind point: 3ep7it, step 37; 1 step earlier, at 3ep6it, it is not."
    assert second.endswith("; it does so among these probes.")
    assert found(0, 60, 1).sentences[0] == "Earliest stable rewind point: 0, step 0: stable from the start."
    assert found(99, 60, 1).sentences[0] == "Not stable at the latest rewind point tried, 6ep."
    assert probe(37, 0.0312).line == "rewind to 3ep7it (step 37): instability 3.12 %, not stable"


def test_a_rise_speaks_against_the_assumption() -> None:
    steep = Bisection((probe(40, 0.0), probe(0, 0.03), probe(20, 0.4)), 1)
    assert steep.rise == (probe(0, 0.03), probe(20, 0.4))
    assert steep.sentences[1].endswith(
        "rises by up to 37.00 pp, from 0 to 2ep, so that an earlier stable point is not excluded."
    )
    slight = Bisection((probe(40, 0.01), probe(0, 0.03), probe(20, 0.001)), 1)
    assert slight.sentences[1].endswith("rises by up to 0.90 pp, from 2ep to 4ep.")
    assert steep.as_json()["probes"][2] == {"step": 20, "moment": "2ep", "instability": 0.4, "stable": False}


def test_probing_asks_for_one_ticket_and_its_copy_of_the_same_experiment() -> None:
    spec = made_spec(grid__controls=["reinit"], select__confirm_seeds=2, execute={"data_parallel": 1, "workers": 3})
    narrow = probing(spec, 0.0, Step(0, 7), 2)
    assert experiment(narrow) == experiment(spec)
    assert [unit.id for unit in wanted(narrow, Results())] == ["dense-seed2", "s0-r7it-seed2", "s0-r7it-seed2-copy"]
    assert level_of(spec, None) == 0.0
    assert level_of(spec, 0.93) == 0.93


def test_in_iterative_pruning_the_levels_before_are_asked_for_too() -> None:
    grid = {"levels": 4, "sparsities": [0.5, 0.75, 0.875, 0.9375]}
    spec = made_spec(prune={"method": "iterative", "rate": 0.5}, grid=grid)
    level = level_of(spec, 0.75)
    narrow = probing(spec, level, Step(1), 0)
    assert experiment(narrow) == experiment(spec)
    assert [unit.id for unit in wanted(narrow, Results())] == [
        "dense-seed0", "l01-r1ep-seed0", "l02-r1ep-seed0", "l02-r1ep-seed0-copy",
    ]  # fmt: skip
    assert level_of(spec, None) == 0.9375
    with pytest.raises(LthError, match=r"--sparsity.*no level"):
        level_of(spec, 0.0)
