"""The verdict on a level follows from its walk, its controls, its early stop and how sure its seeds are."""

from __future__ import annotations

import math

import pytest
import scipy.stats
from results.made import (
    BROKEN,
    changed,
    failed,
    gathered,
    level_with,
    made_grid,
    made_spec,
    network,
    without,
    wobble,
)

from lth.results.evidence import Evidence
from lth.results.index import index
from lth.results.select import select_winner
from lth.results.verdict import LevelVerdict, verdicts
from lth.results.walk import walks
from lth.runs.records import CellResult, Results
from lth.spec.schema import Spec
from lth.spec.step import Step

START, LATER = Step(), Step(2)
DEFICITS = {0.5: 0.0, 0.8: 0.0, 0.9: 0.05}
GRID = {"sparsities": [0.5, 0.8, 0.9], "rewind": ["0", "2ep"], "controls": ["reinit", "shuffled_mask"]}


def of(spec: Spec, results: Results) -> dict[tuple[str, float], LevelVerdict]:
    found = index(spec, results)
    return {(str(one.rewind), one.sparsity): one for one in verdicts(spec, found, walks(spec, found))}


def controls(spec: Spec, lost: dict[str, float], levels: tuple[float, ...] = (0.5, 0.8)) -> list[CellResult]:
    """Controls that lie so far below the tickets of `level_with`."""
    places = [(name, level, seed) for name in lost for level in levels for seed in spec.seeds]
    return [
        network(seed, (level, START), 0.97 - lost[name] + wobble(seed, -1.0), control=name)
        for name, level, seed in places
    ]


def world(spec: Spec, **lost: float) -> Results:
    return gathered(controls(spec, lost), made_grid(spec, level_with(lambda sparsity, rewind: DEFICITS[sparsity])))


def by_claim(one: LevelVerdict) -> dict[tuple[str, str], Evidence]:
    return {(part.claim, part.other): part for part in one.evidence}


def test_winning_needs_all_and_matching_says_what_is_missing() -> None:
    spec = made_spec(grid=GRID)
    found = of(spec, world(spec, reinit=0.02, shuffled_mask=0.02))
    assert {place: one.word for place, one in found.items()} == {
        ("0", 0.5): "winning",
        ("0", 0.8): "winning",
        ("0", 0.9): "worse",
        ("2ep", 0.5): "matching",
        ("2ep", 0.8): "matching",
        ("2ep", 0.9): "worse",
    }
    assert found["0", 0.8].sentence == "At 80 % sparsity, rewound to 0, the verdict is: winning."
    assert not found["2ep", 0.8].missing


@pytest.mark.parametrize(
    ("lost", "missing"),
    [
        ({"reinit": 0.02, "shuffled_mask": 0.0}, "not shown to be better than the shuffled mask"),
        ({"reinit": -0.02, "shuffled_mask": 0.02}, "not shown to be better than reinit"),
        ({"reinit": 0.02}, "the shuffled mask is not trained on every seed"),
    ],
)
def test_a_ticket_that_does_not_beat_its_controls_is_matching(lost: dict[str, float], missing: str) -> None:
    spec = made_spec(grid=GRID)
    one = of(spec, world(spec, **lost))["0", 0.8]
    assert (one.word, one.missing) == ("matching", (missing,))
    assert one.sentence.endswith(f"the verdict is: matching, not winning: {missing}.")


def test_without_the_controls_in_the_grid_nothing_wins() -> None:
    spec = made_spec()
    one = of(spec, world(spec))["0", 0.5]
    assert (one.word, one.missing) == (
        "matching",
        ("reinit is not trained (grid.controls)", "the shuffled mask is not trained (grid.controls)"),
    )


def test_a_later_early_stop_is_not_winning() -> None:
    spec = made_spec(grid=GRID)
    results = world(spec, reinit=0.02, shuffled_mask=0.02)
    for seed in spec.seeds:
        results = changed(results, f"dense-seed{seed}", early_stop_step=700)
        results = changed(results, f"s0.8-r0-seed{seed}", early_stop_step=(600, 800, 900)[seed])
        results = changed(results, f"s0.5-r0-seed{seed}", early_stop_step=700)
        results = changed(results, f"s0.8-r2ep-seed{seed}", early_stop_step=(600, 800, 900)[seed], first_step=200)
    found = of(spec, results)
    assert (found["0", 0.8].word, found["0", 0.8].missing) == ("matching", ("its early stop is later than dense",))
    assert found["0", 0.5].word == "winning"
    later = found["2ep", 0.8].early_stop
    assert later is not None
    assert (later.n, later.other, later.difference) == (3, 700, pytest.approx(-400 / 3))


def test_the_tests_are_scipys_and_named() -> None:
    spec = made_spec(grid=GRID)
    results = world(spec, reinit=0.02, shuffled_mask=0.02)
    one = by_claim(of(spec, results)["0", 0.8])
    tickets, dense = [0.97 + wobble(seed, 1.5) for seed in range(3)], [0.97 + wobble(seed) for seed in range(3)]
    same = one["non_inferior", "dense"]
    shifted = [value + 0.01 for value in tickets]
    assert same.p == pytest.approx(scipy.stats.ttest_rel(shifted, dense, alternative="greater").pvalue)
    assert (same.test, same.alpha, same.held) == ("paired t", pytest.approx(0.025), True)
    assert same.correction == "fixed sequence from dense to sparse, Holm over 2 rewind points"
    better = one["superior", "reinit"]
    reinit = [0.95 + wobble(seed, -1.0) for seed in range(3)]
    t = scipy.stats.ttest_ind(tickets, reinit).statistic  # equal sizes: Welch's statistic
    assert better.p == pytest.approx(scipy.stats.t.sf(t, 2))
    assert better.test == "Welch's t, n - 1 degrees of freedom"
    assert better.correction == "both controls must be beaten; Holm over 2 levels"
    worse = by_claim(of(spec, results)["0", 0.9])["inferior", "dense"]
    low = [value - 0.05 + 0.01 for value in tickets]
    assert worse.p == pytest.approx(scipy.stats.ttest_rel(low, dense, alternative="less").pvalue)
    assert worse.sentence == (
        "worse than dense by more than 1.00 pp: −5.00 pp, upper bound −4.95 pp below −1.00 pp (paired t, 3 seeds, "
        "one-sided at 2.5 %: fixed sequence from sparse to dense, Holm over 2 rewind points)"
    )


def test_holm_over_the_levels_takes_the_larger_p_of_the_two_controls() -> None:
    """Three levels; the second smallest of the larger p-values fails at alpha / 2, so the third fails with it."""
    spec = made_spec(grid={**GRID, "rewind": ["0"]}, select__tolerance=0.05)
    leads, seeds = {0.5: 0.0008, 0.8: 0.02, 0.9: 0.002}, spec.seeds
    grid = made_grid(spec, level_with(lambda sparsity, rewind: 0.0))
    made = [
        network(seed, (level, START), 0.97 + wobble(seed, 1.5) - lead + wobble(seed, -2.0), control=name)
        for level, lead in leads.items()
        for name in ("reinit", "shuffled_mask")
        for seed in seeds
    ]
    found = of(spec, gathered(made, grid))
    tested = {level: by_claim(found["0", level])["superior", "reinit"] for level in leads}
    p = {level: one.p for level, one in tested.items()}
    assert p[0.8] < 0.05 / 3
    assert 0.05 / 2 > p[0.9] < p[0.5]
    assert [tested[level].alpha for level in (0.8, 0.9, 0.5)] == pytest.approx([0.05 / 3, 0.025, 0.05])
    assert [tested[level].held for level in (0.8, 0.9, 0.5)] == [True, True, p[0.5] < 0.05]


def noisy(deficit: dict[float, float]):
    return lambda sparsity, rewind, seed: 0.97 - deficit[sparsity] + wobble(seed, -20.0)


def test_undecided_says_how_many_seeds_would_decide() -> None:
    spec = made_spec(grid__rewind=["0"])
    found = of(spec, made_grid(spec, noisy({0.5: 0.0, 0.8: 0.0, 0.9: 0.03})))
    one = found["0", 0.5]
    test = by_claim(one)["non_inferior", "dense"]
    spread = math.sqrt(3) * (test.difference - test.bound) / scipy.stats.t.ppf(0.95, 2)
    distance = test.difference + 0.01
    wanted = next(n for n in range(3, 99) if scipy.stats.t.ppf(0.95, n - 1) * spread / math.sqrt(n) < distance)
    assert (one.word, one.needs) == ("undecided", wanted)
    assert f"the verdict is: undecided, needs about {wanted} seeds: lower bound −" in one.sentence
    assert found["0", 0.8].needs == wanted
    assert "not tested: the walk stopped at 50 %" in found["0", 0.8].sentence


def test_a_level_behind_a_worse_one_cannot_be_decided_by_seeds() -> None:
    spec = made_spec(grid__rewind=["0"])
    dip = {0.5: 0.05, 0.8: 0.0, 0.9: 0.0}
    found = of(spec, made_grid(spec, level_with(lambda sparsity, rewind: dip[sparsity])))
    assert [(one.word, one.needs) for one in found.values()] == [("undecided", None)] * 3
    assert by_claim(found["0", 0.5])["inferior", "dense"].bound < -0.01  # the way from sparse to dense stops before it


def test_unsound_levels_are_undecided_with_their_fault() -> None:
    spec = made_spec(grid=GRID)
    results = world(spec, reinit=0.02, shuffled_mask=0.02)
    lost = of(spec, failed(results, "s0.8-r0-seed1"))["0", 0.8]
    assert (lost.word, lost.needs, lost.reason) == ("undecided", None, "ticket of seed 1 failed")
    broken = of(spec, changed(results, "s0.9-r0-seed1", audit=BROKEN))["0", 0.9]
    assert broken.word == "undecided"
    missing = of(spec, without(results, *(f"s0.9-r0-seed{seed}" for seed in spec.seeds)))["0", 0.9]
    assert (missing.word, missing.evidence, missing.early_stop) == ("undecided", (), None)
    collapsed = of(spec, changed(results, "s0.9-r0-seed1", collapsed=("fc1.weight",)))["0", 0.9]
    assert collapsed.word == "worse"
    lame = changed(results, "s0.8-r0-seed1-reinit", audit=BROKEN)
    assert of(spec, lame)["0", 0.8].missing == ("reinit is not trained on every seed",)


def test_one_seed_decides_nothing() -> None:
    spec = made_spec(seeds=[0])
    found = of(spec, world(spec))
    assert {(one.word, one.reason) for one in found.values()} == {("undecided", "one seed has no interval")}


def test_a_tolerance_too_fine_for_the_examples_matches_nothing() -> None:
    spec = made_spec(grid=GRID)
    found = index(spec, world(spec))
    fine = {one.sparsity: one for one in verdicts(spec, found, walks(spec, found), 0.02)}
    assert (fine[0.5].word, fine[0.9].word) == ("undecided", "worse")
    assert fine[0.5].reason == "the validation examples cannot decide a tolerance below 2.00 pp"
    coarse = verdicts(spec, found, walks(spec, found), 0.06)
    assert {one.word for one in coarse} == {"undecided"}


def test_the_sentence_says_winning_only_where_it_is() -> None:
    spec = made_spec(grid={**GRID, "rewind": ["0"]})
    won = select_winner(spec, world(spec, reinit=0.02, shuffled_mask=0.02))
    assert (won.winning, won.as_json()["level_verdict"]) == (True, "winning")
    assert won.sentence.startswith("The winning ticket with 20 % of the prunable weights (28 % of all), rewound to 0,")
    matched = select_winner(spec, world(spec))
    assert (matched.winning, matched.verdict, matched.as_json()["level_verdict"]) == (False, "matching", "matching")
    assert matched.sentence.startswith("The matching ticket with 20 %")
    assert len(won.level_verdict.details) == 4
