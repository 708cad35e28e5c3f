"""Planted truth: how often a selection errs, and how often it finds what is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lth.results.select import Selection, candidate, select_winner
from lth.results.worlds import Planted, World, play
from lth.runs.records import CellResult
from lth.spec.schema import Spec
from lth.spec.step import Step

TOLERANCE = 0.005
SPARSITIES = [
    0.65, 0.70, 0.75, 0.80, 0.82, 0.84, 0.86, 0.88, 0.90, 0.91,
    0.92, 0.93, 0.94, 0.95, 0.96, 0.97, 0.975, 0.98, 0.985, 0.99,
]  # fmt: skip
INDEPENDENT, COMMON = {"own_sd": 0.0023, "seed_sd": 0.0}, {"own_sd": 0.0016, "seed_sd": 0.0016}
QUIET = {"own_sd": 0.0005, "seed_sd": 0.0023}
WORLDS = 140  # a world; 3 no-ticket worlds make 420


def twenty_by_five(confirm_seeds: int = 5) -> Spec:
    return Spec.model_validate(
        {
            "name": "planted",
            "seeds": [0, 1, 2, 3, 4],
            "data": {"source": "synthetic", "batch_size": 8},
            "model": {"name": "lenet_300_100"},
            "train": {"epochs": 10, "optimizer": {"name": "sgd", "lr": 0.1}},
            "grid": {"sparsities": SPARSITIES, "rewind": ["0", "1ep", "2ep", "3ep", "5ep"]},
            "select": {"tolerance": TOLERANCE, "confirm_seeds": confirm_seeds},
        }
    )


def no_ticket(sparsity: float, rewind: Step) -> float:
    return TOLERANCE + 1e-9


def knee(sparsity: float, rewind: Step) -> float:
    """A ticket as good as dense up to 90 %, and just not good enough beyond: the world most likely to mislead."""
    return 0.0 if sparsity <= 0.9 else TOLERANCE + 1e-9


def played(deficit: Callable[[float, Step], float], noise: dict[str, Any], worlds: int, seed: int) -> list[Selection]:
    planted, draw = Planted(twenty_by_five(), World(deficit, **noise)), np.random.default_rng(seed)
    return [play(planted, draw)[1] for _ in range(worlds)]


def test_worlds_without_a_ticket_are_called_matching_in_at_most_5_percent() -> None:
    selections = [
        one for seed, noise in enumerate((INDEPENDENT, COMMON, QUIET)) for one in played(no_ticket, noise, WORLDS, seed)
    ]
    named = sum(one.sparsity is not None for one in selections)
    matching = sum(one.verdict == "matching" for one in selections)
    assert len(selections) >= 400
    assert named / len(selections) <= 0.07  # 5 % expected; 420 worlds measure it to 1.1 %
    assert matching / len(selections) <= 0.01
    assert {one.verdict for one in selections} <= {"none", "not_confirmed", "matching"}


@pytest.mark.parametrize("noise", [COMMON, QUIET])
def test_a_knee_is_found_and_not_overrun(noise: dict[str, float]) -> None:
    selections = played(knee, noise, WORLDS // 2, 3)
    named = [one.sparsity for one in selections if one.sparsity is not None]
    assert len(named) > 0.75 * len(selections)
    assert sum(one.verdict == "matching" for one in selections) > 0.6 * len(selections)
    assert sum(sparsity > 0.9 for sparsity in named) <= 0.07 * len(selections)
    overrun = [one for one in selections if one.verdict == "matching" and (one.sparsity or 0) > 0.9]
    assert len(overrun) <= 0.02 * len(selections)


def test_with_enough_examples_the_knee_itself_is_named() -> None:
    selections = played(knee, {**QUIET, "validation": 50_000}, 40, 3)
    assert np.mean([one.sparsity == 0.9 and one.verdict == "matching" for one in selections]) > 0.85


def test_the_interval_of_the_confirmation_covers_the_truth() -> None:
    """A candidate is a lucky draw, so its interval on the grid's seeds runs high; on fresh seeds it covers."""
    selections = played(lambda sparsity, rewind: 0.004 * sparsity**2, QUIET, 110, 4)
    known = [(one.confirmation, 0.004 * one.sparsity**2) for one in selections if one.sparsity is not None]
    covered = [fresh.low <= -deficit <= fresh.high for fresh, deficit in known if fresh and fresh.low and fresh.high]
    assert len(covered) > 40
    assert np.mean(covered) > 0.9


def test_rewind_points_that_do_not_differ_are_rarely_said_to() -> None:
    selections = played(knee, COMMON, 100, 5)
    said = [
        one.rewind_axis.flat is False or "better than" in one.rewind_axis.sentence
        for one in selections
        if one.rewind_axis
    ]
    assert len(said) == 100
    assert np.mean(said) <= 0.1


def test_a_rewind_effect_is_seen() -> None:
    def late(sparsity: float, rewind: Step) -> float:
        return 0.01 if rewind == Step() else 0.0

    sentences = [one.rewind_axis.sentence for one in played(late, QUIET, 10, 6) if one.rewind_axis]
    assert sum("is better than 0 by" in sentence for sentence in sentences) == 10


def test_planted_numbers_are_those_of_the_world() -> None:
    world = World(knee, dense=0.9, own_sd=0.01, seed_sd=0.02, validation=1000, test=4000)
    planted, draw = Planted(twenty_by_five(), world), np.random.default_rng(7)
    draws = [planted.grid(draw) for _ in range(60)]

    def column(name: str, field: str) -> np.ndarray:
        return np.array([getattr(results.done[name], field) for results in draws])

    dense, ticket = column("dense-seed0", "validation_top1"), column("s0.8-r0-seed0", "validation_top1")
    assert dense.mean() == pytest.approx(0.9, abs=0.01)
    assert dense.std(ddof=1) == pytest.approx(np.sqrt(0.01**2 + 0.02**2 + 0.9 * 0.1 / 1000), rel=0.3)
    shared = 0.02**2 / (0.01**2 + 0.02**2 + 0.9 * 0.1 / 1000)
    assert np.corrcoef(dense, ticket)[0, 1] == pytest.approx(shared, abs=0.25)
    assert np.all(np.round(dense * 1000, 9) % 1 == 0)
    assert len(draws[0].done) == 505
    again = planted.grid(np.random.default_rng(8))
    assert again == planted.grid(np.random.default_rng(8))
    assert all(CellResult.model_validate(one.model_dump(mode="json")) == one for one in list(again.done.values())[:20])


def test_playing_confirms_the_candidate_of_the_grid() -> None:
    planted = Planted(twenty_by_five(), World(knee, **QUIET))
    results, selection = play(planted, np.random.default_rng(9))
    grid = planted.grid(np.random.default_rng(9))
    assert candidate(planted.spec, grid) == (selection.sparsity, selection.rewind)
    assert results.done.keys() - grid.done.keys() == set(selection.shown)
    assert select_winner(planted.spec, results) == selection
