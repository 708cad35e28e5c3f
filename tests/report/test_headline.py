"""The page says "winning ticket" only of a level whose verdict is winning."""

from __future__ import annotations

import pytest
from results.made import gathered, level_with, made_grid, made_spec, network, wobble

from lth.report.headline import badge, keys
from lth.report.summary import groups
from lth.results.select import select_winner
from lth.spec.step import Step


@pytest.mark.parametrize(("lost", "name"), [(0.02, "Winning ticket"), (0.0, "Matching ticket")])
def test_badge_and_key_figure_name_the_ticket_by_its_verdict(lost: float, name: str) -> None:
    spec = made_spec(grid={"sparsities": [0.5], "rewind": ["0"], "controls": ["reinit", "shuffled_mask"]})
    controls = [
        network(seed, (0.5, Step()), 0.97 - lost + wobble(seed, -1.0), control=control)
        for control in spec.grid.controls
        for seed in spec.seeds
    ]
    results = gathered(controls, made_grid(spec, level_with(lambda sparsity, rewind: 0.0)))
    selection = select_winner(spec, results)
    assert badge(selection) == (f"{name}, not tried on fresh seeds", "good")
    assert keys(groups(spec, results), selection)[0].name == name


def test_nothing_that_matches_has_no_ticket() -> None:
    spec = made_spec()
    selection = select_winner(spec, made_grid(spec, level_with(lambda sparsity, rewind: 0.1)))
    assert badge(selection) == ("No matching ticket", "caution")
