"""Controls: what is said of them follows from the interval of ticket - control."""

from __future__ import annotations

import pytest
from results.made import fresh, gathered, level_with, made_grid, made_spec, network, wobble

from lth.results.select import Selection, select_winner
from lth.runs.records import CellResult
from lth.spec.schema import Spec
from lth.spec.step import Step

START = Step()
CONTROLS = ["reinit", "shuffled_mask", "random_mask"]


def controlled(**changes) -> Spec:
    return made_spec(grid={"sparsities": [0.5, 0.8, 0.9], "rewind": ["0"], "controls": CONTROLS}, **changes)


def beside(spec: Spec, seeds: tuple[int, ...], deficits: dict[str, float], scale: float = 1.2) -> list[CellResult]:
    """The controls at every level, so far below the tickets of `level_with` on validation and of `fresh` on test."""
    places = [(name, level, seed) for name in deficits for level in spec.grid.sparsities for seed in seeds]
    made: list[CellResult] = []
    for name, level, seed in places:
        move = wobble(seed, scale) - deficits[name]
        made.append(network(seed, (level, START), 0.97 + move, 0.96 + move, control=name))
    return made


def selected(spec: Spec, deficits: dict[str, float], scale: float = 1.2) -> Selection:
    grid = made_grid(spec, level_with(lambda sparsity, rewind: 0.0 if sparsity < 0.9 else 0.03))
    return select_winner(spec, gathered(beside(spec, spec.seeds, deficits, scale), grid))


AS_GOOD = "is as good as the ticket within 1.00 pp"


@pytest.mark.parametrize(
    ("name", "lost", "scale", "said"),
    [
        ("reinit", 0.0, 1.2, f"Reinit {AS_GOOD}: the rewound weights do not matter here; the difference is "),
        ("reinit", 0.02, 1.2, "The ticket is better than reinit by 2.00 pp [+1."),
        ("reinit", -0.02, 1.2, "Reinit is better than the ticket: the difference is −2.00 pp [−2."),
        ("reinit", 0.0, -20.0, "No difference from reinit is shown, nor excluded: "),
        ("shuffled_mask", 0.0, 1.2, f"The shuffled mask {AS_GOOD}: which weights of a layer are kept does not matter"),
        ("random_mask", 0.0, 1.2, f"The random mask {AS_GOOD}: neither which weights are kept nor how many in each"),
    ],
)
def test_what_is_said_of_a_control(name: str, lost: float, scale: float, said: str) -> None:
    at = next(one for one in selected(controlled(), {name: lost}, scale).controls if one.sparsity == 0.8)
    assert at.sentence.startswith(said)
    assert at.sentence.endswith("(at 80 % sparsity, validation, 3 seeds, two-sided 95 % interval).")
    assert at.difference == pytest.approx(at.ticket - at.value)
    assert at.low < at.difference < at.high


def test_controls_stand_at_the_candidate_and_its_neighbours() -> None:
    controls = selected(controlled(), dict.fromkeys(CONTROLS, 0.02)).controls
    assert [(one.control, one.sparsity, one.data) for one in controls] == [
        (name, level, "validation") for name in CONTROLS for level in (0.5, 0.8, 0.9)
    ]


def test_fresh_seeds_come_first_and_on_test() -> None:
    spec = controlled(select__confirm_seeds=2)
    grid = made_grid(spec, level_with(lambda sparsity, rewind: 0.0 if sparsity < 0.9 else 0.03))
    deficits = {"reinit": 0.03}
    more = beside(spec, spec.seeds, deficits) + beside(spec, spec.confirmation_seeds, deficits)
    waiting = select_winner(spec, gathered(more, grid))
    assert {one.data for one in waiting.controls} == {"validation"}
    selection = select_winner(spec, gathered([*more, *fresh(spec, (0.8, START), 0.0)], grid))
    first, *others = selection.controls
    assert (first.sparsity, first.data, first.n) == (0.8, "test", 2)
    assert first.difference == pytest.approx(0.03, abs=1e-3)
    assert first.sentence.endswith("(at 80 % sparsity, test, 2 fresh seeds, two-sided 95 % interval).")
    assert {one.data for one in others} == {"validation"}
    assert {"s0.8-r0-seed3-reinit", "s0.8-r0-seed4-reinit"} < set(selection.shown)
    assert not any("s0.5" in name or "seed0" in name for name in selection.shown)


def test_one_seed_has_no_interval() -> None:
    at = selected(controlled(seeds=[0]), {"reinit": 0.02}).controls[0]
    assert (at.n, at.low, at.high) == (1, None, None)
    assert (
        at.sentence
        == "One seed puts the ticket +2.00 pp from reinit, without an interval (at 50 % sparsity, validation, 1 seed)."
    )
