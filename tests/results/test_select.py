"""Verdict, sentence and numbers of a selection."""

from __future__ import annotations

import json

import pytest
from results.made import (
    BROKEN,
    changed,
    failed,
    fresh,
    gathered,
    level_with,
    made_grid,
    made_spec,
    network,
    without,
    wobble,
)

from lth.results.select import candidate, neighbours, select_winner
from lth.runs.records import Results
from lth.spec.step import Step

START, LATER = Step(), Step(2)
KNEE = level_with(lambda sparsity, rewind: 0.0 if sparsity < 0.9 else 0.03)
KEYS = [
    *("cell", "sparsity", "density_all", "rewind", "seeds", "validation_top1", "dense_validation_top1"),
    *("verdict", "level_verdict", "confirmed", "test_top1", "dense_test_top1"),
]


def test_the_sparsest_pass_wins_and_ties_go_to_the_earliest_rewind_point() -> None:
    spec = made_spec()
    results = made_grid(spec, KNEE)
    assert candidate(spec, results) == (0.8, START)
    selection = select_winner(spec, results)
    assert (selection.verdict, selection.cell) == ("matching", "s0.8-r0")
    assert selection.candidates == ((START, 0.8), (LATER, 0.8))
    assert selection.density_prunable == pytest.approx(0.2)
    assert selection.density_all == pytest.approx(0.28)
    assert selection.density_effective == pytest.approx(0.2)


def test_the_earliest_rewind_point_has_the_fewest_steps() -> None:
    spec = made_spec(grid__rewind=["150it", "1ep"])  # 100 steps an epoch
    assert candidate(spec, made_grid(spec, KNEE)) == (0.8, Step(1))


def test_a_later_rewind_point_wins_by_a_sparser_pass() -> None:
    spec = made_spec()
    assert candidate(spec, made_grid(spec, level_with(lambda sparsity, rewind: 0.0 if rewind == LATER else 0.05))) == (
        0.9,
        LATER,
    )


def test_json_has_twelve_keys() -> None:
    spec = made_spec(select__confirm_seeds=2)
    results = gathered(fresh(spec, (0.8, START), 0.001), made_grid(spec, KNEE))
    value = select_winner(spec, results).as_json()
    assert list(value) == KEYS
    assert json.loads(json.dumps(value)) == value
    assert (value["cell"], value["rewind"], value["seeds"], value["verdict"]) == ("s0.8-r0", "0", [0, 1, 2], "matching")
    assert (value["validation_top1"], value["dense_validation_top1"]) == pytest.approx((0.97, 0.97))
    assert (value["confirmed"], value["test_top1"]) == (True, pytest.approx(0.959 + (wobble(3) + wobble(4)) * 0.75))
    nothing = select_winner(spec, Results()).as_json()
    assert list(nothing) == KEYS
    assert {key for key, one in nothing.items() if one is not None} == {"seeds", "verdict"}


def test_an_unfinished_grid_is_incomplete_with_counts() -> None:
    spec = made_spec()
    results = failed(without(made_grid(spec, KNEE), "s0.9-r2ep-seed2"), "s0.5-r0-seed0")
    assert candidate(spec, results) is None
    selection = select_winner(spec, results)
    assert selection.verdict == "incomplete"
    assert selection.sentence == "The grid is not complete: 19 of 21 networks are done, 1 failed."
    assert selection.cell is selection.test_top1 is selection.dense_validation_top1 is None
    settled = failed(results, "s0.9-r2ep-seed2")
    assert candidate(spec, settled) == (0.8, LATER)
    assert select_winner(spec, settled).verdict == "matching"


def test_a_failed_dense_network_is_named() -> None:
    spec = made_spec()
    cells = [f"s{level}-r{step}-seed1" for level in ("0.5", "0.8", "0.9") for step in ("0", "2ep")]
    results = failed(without(made_grid(spec, KNEE), *cells), "dense-seed1")
    assert candidate(spec, results) is None
    assert "without the dense network of seed 1 its tickets cannot be made" in select_winner(spec, results).sentence


def test_no_cell_matches_is_a_proper_answer() -> None:
    spec = made_spec(select__confirm_seeds=2)
    results = made_grid(spec, level_with(lambda sparsity, rewind: 0.05))
    assert candidate(spec, results) is None
    selection = select_winner(spec, results)
    assert selection.verdict == "none"
    assert "no cell matches the dense network within 1.00 pp" in selection.sentence
    assert "learning rate 0.1, 10 epochs" in selection.sentence
    assert selection.dense_validation_top1 == pytest.approx(0.97)
    assert selection.cell is selection.test_top1 is selection.confirmation is None
    assert selection.shown == selection.notes == ()


def test_too_few_seeds_are_told_from_no_match() -> None:
    spec = made_spec()
    results = made_grid(spec, lambda sparsity, rewind, seed: 0.97 + wobble(seed, 12))
    notes = select_winner(spec, results).notes
    assert notes[0] == "No match is shown, nor excluded: intervals of the densest tickets reach above the tolerance."
    assert notes[1].startswith("At the spread seen, a ticket as good as dense passes a level in one of two runs from ")


def test_one_seed_names_a_candidate_and_never_a_winner() -> None:
    spec = made_spec(seeds=[0], select__confirm_seeds=3)
    results = made_grid(spec, KNEE)
    assert select_winner(spec, results).verdict == "candidate"
    selection = select_winner(spec, gathered(fresh(spec, (0.8, START), 0.0), results))
    assert (selection.verdict, selection.confirmed) == ("candidate", True)
    assert selection.sentence.startswith(
        "One seed names a candidate, not a winner: the ticket with 20 % of the prunable weights (28 % of all)"
    )
    assert any(note.startswith("3 fresh seeds confirm the candidate on test") for note in selection.notes)


def sized(results: Results, examples: int) -> Results:
    return gathered(one.model_copy(update={"validation_examples": examples}) for one in results.done.values())


def test_a_tolerance_below_twice_the_standard_error_is_undecidable() -> None:
    spec = made_spec()
    selection = select_winner(spec, sized(made_grid(spec, KNEE), 400))  # 2 sqrt(0.97 x 0.03 / 400) = 1.706 pp
    assert (selection.verdict, selection.cell) == ("undecidable", "s0.8-r0")
    assert selection.decidable_tolerance == pytest.approx(0.01706, abs=1e-5)
    assert (
        "A tolerance of 1.00 pp cannot be decided with so few validation examples, 1.71 pp or more could"
        in selection.sentence
    )
    assert "the candidate is the ticket with 20 % of the prunable weights" in selection.sentence


@pytest.mark.parametrize(("folds", "verdict"), [(3, "matching"), (2, "undecidable")])
def test_distinct_folds_add_up(folds: int, verdict: str) -> None:
    """Three seeds on three folds of 400 examples see 1 200; on two folds, 800: 0.985 pp and 1.206 pp."""
    spec = made_spec(data={"source": "synthetic", "batch_size": 8, "validation": {"folds": folds}})
    assert select_winner(spec, sized(made_grid(spec, KNEE), 400)).verdict == verdict


def test_confirmation_decides_on_test_with_fresh_seeds() -> None:
    spec = made_spec(select__confirm_seeds=3)
    grid = made_grid(spec, KNEE)
    good = select_winner(spec, gathered(fresh(spec, (0.8, START), 0.002), grid))
    assert (good.verdict, good.confirmed) == ("matching", True)
    assert "matches the dense network within 1.00 pp: on test it lies −0.20 pp [" in good.sentence
    assert "over 3 fresh seeds (sgd, learning rate 0.1, 10 epochs)." in good.sentence
    assert good.confirmation.seeds == spec.confirmation_seeds == (3, 4, 5)
    bad = select_winner(spec, gathered(fresh(spec, (0.8, START), 0.02), grid))
    assert (bad.verdict, bad.confirmed, bad.cell) == ("not_confirmed", False, "s0.8-r0")
    assert "is not confirmed within 1.00 pp: lower bound −2." in bad.sentence
    assert bad.test_top1 == pytest.approx(0.94, abs=1e-3)


def test_confirmation_waits_for_all_fresh_networks() -> None:
    spec = made_spec(select__confirm_seeds=2)
    grid = made_grid(spec, KNEE)
    networks = fresh(spec, (0.8, START), 0.0)
    for done in range(4):
        selection = select_winner(spec, gathered(networks[:done], grid))
        assert (selection.verdict, selection.confirmed, selection.test_top1, selection.shown) == (
            "not_confirmed",
            None,
            None,
            (),
        )
        assert f"not confirmed yet ({done} of 4 networks on fresh seeds are done)" in selection.sentence


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda found: failed(found, "s0.8-r0-seed3"), "ticket of seed 3 failed"),
        (lambda found: failed(without(found, "s0.8-r0-seed3"), "dense-seed3"), "dense network of seed 3 failed"),
        (
            lambda found: changed(found, "s0.8-r0-seed4", collapsed=("fc1.weight",)),
            "collapsed: no weight left in fc1.weight (seed 4)",
        ),
        (
            lambda found: changed(found, "s0.8-r0-seed4", audit=BROKEN),
            "audit of the ticket not passed: kept_equal_checkpoint (seed 4)",
        ),
    ],
)
def test_unsound_fresh_networks_do_not_confirm(harm, reason: str) -> None:
    spec = made_spec(select__confirm_seeds=2)
    selection = select_winner(spec, harm(gathered(fresh(spec, (0.8, START), 0.0), made_grid(spec, KNEE))))
    assert (selection.verdict, selection.confirmed) == ("not_confirmed", False)
    assert selection.confirmation.reason.startswith(reason)


def test_without_fresh_seeds_the_test_numbers_say_so() -> None:
    spec = made_spec()
    selection = select_winner(spec, made_grid(spec, KNEE))
    assert (selection.confirmed, selection.test_top1, selection.confirmation.stage) == (None, 0.9, "grid")
    assert any("those of the seeds that selected the ticket" in note for note in selection.notes)
    assert "on validation it lies" in selection.sentence


def test_no_other_test_accuracy_reaches_a_selection() -> None:
    """Every test accuracy is a number of its own; the selection holds the selected ones' means and no other."""
    spec = made_spec(
        select__confirm_seeds=2, grid__controls=["reinit"], grid={"sparsities": [0.5, 0.8, 0.9], "rewind": ["0", "2ep"]}
    )
    grid = made_grid(spec, KNEE)
    hidden = {name: 0.001 * number + 0.000123 for number, name in enumerate(grid.done, 1)}
    grid = gathered(one.model_copy(update={"test_top1": hidden[name]}) for name, one in grid.done.items())
    before = select_winner(spec, gathered(fresh(spec, (0.8, START), 0.0), grid))
    elsewhere = gathered(one.model_copy(update={"test_top1": 0.5}) for one in grid.done.values())
    assert select_winner(spec, gathered(fresh(spec, (0.8, START), 0.0), elsewhere)) == before
    assert set(before.shown) == {"dense-seed3", "dense-seed4", "s0.8-r0-seed3", "s0.8-r0-seed4"}


def test_confirmation_and_controls_never_move_the_candidate() -> None:
    spec = made_spec(select__confirm_seeds=2)
    results = made_grid(spec, KNEE)
    more = [network(seed, (0.9, step), 0.99, control="reinit") for seed in range(3) for step in (START, LATER)]
    assert candidate(spec, gathered([*more, *fresh(spec, (0.9, START), 0.0)], results)) == candidate(spec, results)


def test_results_the_spec_no_longer_names_are_left_out() -> None:
    spec = made_spec()
    other = [network(seed, (0.99, START), 0.97 + wobble(seed)) for seed in range(9)] + [network(7, None, 0.2)]
    assert select_winner(spec, gathered(other, made_grid(spec, KNEE))) == select_winner(spec, made_grid(spec, KNEE))


def test_neighbours_are_the_levels_beside() -> None:
    spec = made_spec()
    assert [neighbours(spec, level) for level in spec.grid.sparsities] == [(0.5, 0.8), (0.5, 0.8, 0.9), (0.8, 0.9)]
