"""What a reader is told about the compared results."""

from __future__ import annotations

import pytest
from results.made import BROKEN, changed, failed, fresh, gathered, level_with, made_grid, made_spec

from lth.results.select import select_winner
from lth.runs.records import Results
from lth.spec.step import Step

FLAT = level_with(lambda sparsity, rewind: 0.0)


def notes(harm, **changes) -> tuple[str, ...]:
    spec = made_spec(**changes)
    return select_winner(spec, harm(made_grid(spec, FLAT))).notes


def test_mixed_numerics_are_named_by_what_differs() -> None:
    other = {"torch": "planted", "threads": 4}
    found = notes(lambda results: changed(results, "s0.5-r0-seed0", numerics=other))
    what = "Networks of 2 numerics classes are compared (threads: 4, unknown)"
    assert found[-1] == f"{what}; equal bits are promised within one class."
    incomplete = select_winner(made_spec(), Results({}))
    assert incomplete.notes == ()


CELL = "s0.9-r0-seed0"
HARMS = {
    f"Resumed in another numerics class: {CELL}.": {"resumed_in_other_numerics": True},
    f"The audit of 1 network did not pass, and such a cell cannot win: {CELL}.": {"audit": BROKEN},
    f"1 ticket with a collapsed layer cannot win: {CELL}.": {"collapsed": ("fc1.weight",)},
}


@pytest.mark.parametrize("said", list(HARMS))
def test_unsound_results_are_named(said: str) -> None:
    assert notes(lambda found: changed(found, CELL, **HARMS[said]))[-1] == said


def test_failures_are_named() -> None:
    said = f"1 unit failed, and a cell with a failed seed cannot win: {CELL}."
    assert notes(lambda found: failed(found, CELL))[-1] == said


def test_long_lists_are_cut() -> None:
    harmed = [f"s{level}-r{step}-seed{seed}" for level in ("0.8", "0.9") for step in ("0", "2ep") for seed in range(2)]
    assert notes(lambda found: failed(found, *harmed))[-1].endswith("s0.9-r0-seed0 and 3 more.")


def test_a_small_test_set_is_told() -> None:
    spec = made_spec(select__confirm_seeds=2)
    networks = [one.model_copy(update={"test_examples": 360}) for one in fresh(spec, (0.9, Step()), 0.0)]
    found = select_winner(spec, gathered(networks, made_grid(spec, FLAT)))
    assert found.verdict == "matching"
    assert found.notes == (
        "The test set of 360 examples resolves 2.07 pp, twice its standard error: more than the tolerance.",
    )


def test_an_undecidable_tolerance_is_told_where_nothing_passed() -> None:
    spec = made_spec(select__tolerance=0.0)
    assert select_winner(spec, made_grid(spec, level_with(lambda sparsity, rewind: 0.01))).notes[0] == (
        "The validation examples cannot decide a tolerance below 0.25 pp."
    )
