"""What a run takes: counted by hand, and held against every ticket of any grid."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spec.documents import Document, documents, smallest

from lth.errors import DataError, SpecError
from lth.grid.plan import plan
from lth.planning import Plan, Stage
from lth.planning.cost import HEADER
from lth.spec import Spec, Step


def plan_of(train_examples: int | None = None, parameters: int | None = None, **changes: Any) -> Plan:
    return plan(Spec.model_validate(smallest(**changes)), train_examples=train_examples, parameters=parameters)


def used(found: Plan) -> tuple[Stage, ...]:
    """Returns the stages that train anything."""
    return tuple(stage for stage in found.stages if stage.units)


def stage(found: Plan, kind: str) -> Stage:
    return next(stage for stage in found.stages if stage.kind == kind)


# 10 epochs; 4 sparsities, 2 rewind points, 3 seeds, 2 controls of which one starts afresh, 2 fresh seeds.
GRID: Document = {
    "seeds": [0, 1, 2],
    "grid": {"sparsities": [0.5, 0.6, 0.7, 0.8], "rewind": ["1ep", "4ep"], "controls": ["reinit", "random_mask"]},
    "select": {"confirm_seeds": 2},
}


def test_stages_by_hand() -> None:
    found = plan_of(**GRID)
    assert used(found) == (
        Stage("dense", 3, 30, None, None, False),
        Stage("tickets", 24, 4 * 3 * (9 + 6), None, None, False),
        Stage("controls", 18, 3 * 3 * (10 + 9), None, None, True),
        Stage("confirmation dense", 2, 20, None, None, True),
        Stage("confirmation tickets", 2, 18, None, None, True),
        Stage("confirmation controls", 4, 2 * (10 + 9), None, None, True),
    )
    assert found.total == Stage("total", 53, 457, None, None, True)
    assert found.longest_chain_epochs == 10 + 9 + 10 + 10
    assert found.most_at_once == 24


def test_controls_beside_every_ticket() -> None:
    found = plan_of(**{**GRID, "grid": {**GRID["grid"], "controls_at": "all"}})
    shared = 10  # a reinitialisation is one network for both rewind points, whose mask is the same
    assert stage(found, "controls") == Stage("controls", 36, 4 * 3 * (shared + 9 + 6), None, None, False)
    assert found.longest_chain_epochs == 10 + 10 + 10 + 10
    assert found.most_at_once == 24 + 36


@pytest.mark.parametrize(("sparsities", "levels"), [([0.5], 1), ([0.5, 0.6], 2), ([0.5, 0.6, 0.7], 3)])
def test_a_short_grid_has_fewer_levels_around_the_knee(sparsities: list[float], levels: int) -> None:
    found = plan_of(grid={"sparsities": sparsities, "controls": ["reinit"]})
    assert stage(found, "controls").units == levels


def test_the_smallest_run() -> None:
    found = plan_of()
    assert [(stage.kind, stage.units) for stage in used(found)] == [("dense", 1), ("tickets", 2)]
    assert found.total == Stage("total", 3, 30, None, None, False)
    assert found.longest_chain_epochs == 20
    assert found.most_at_once == 2


def test_steps_are_whole_batches() -> None:
    found = plan_of(train_examples=64 * 7 + 63, grid__rewind=["0", "1ep3it"])
    assert found.steps_per_epoch == 7
    dense, tickets = found.stages[:2]
    assert dense.steps == 70
    assert tickets.steps == 2 * (70 + 60)
    assert tickets.ticket_epochs == pytest.approx(260 / 7, abs=1e-6)


def test_iterations_count_as_nothing_until_the_data_are_known() -> None:
    assert plan_of(grid__rewind=["5it"]).stages[1].ticket_epochs == 20
    assert plan_of(train_examples=640, grid__rewind=["5it"]).stages[1].ticket_epochs == 19


def test_the_dearest_moment_stands_for_the_candidate() -> None:
    """With 10 steps an epoch, "99it" is later than "1ep", although it is written with fewer epochs."""
    controls = ["random_mask"]
    found = plan_of(train_examples=640, grid={"sparsities": [0.5], "rewind": ["99it", "1ep"], "controls": controls})
    assert stage(found, "controls").steps == 90


ITERATIVE: Document = {
    "seeds": [0, 1, 2],
    "prune": {"method": "iterative", "rate": 0.2},
    "grid": {"levels": 4, "rewind": ["0", "1ep"], "controls": ["reinit", "shuffled_mask"], "arms": ["lrr"]},
    "select": {"confirm_seeds": 2},
}


def test_chains_of_levels_are_trained_one_level_after_the_other() -> None:
    """10 epochs: 4 levels of 3 seeds and 2 rewind points; the last level is confirmed by whole chains."""
    found = plan_of(**ITERATIVE, parameters=800)
    chains = 3 * 4 * (10 + 9)
    assert [(one.kind, one.units, one.ticket_epochs) for one in used(found)] == [
        ("dense", 3, 30),
        ("tickets", 24, chains),
        ("arms", 24, chains),
        ("controls", 3 * 3 * 2, 3 * 3 * (10 + 10)),
        ("confirmation dense", 2, 20),
        ("confirmation tickets", 2 * 4, 2 * 4 * 10),
        ("confirmation controls", 2 * 2, 2 * 2 * 10),
    ]
    assert found.longest_chain_epochs == 10 + 4 * 10 + 10 + 4 * 10
    assert found.most_at_once == 3 * 3 * 2 + 2, "the controls beside the knee and the dense networks that confirm it"
    assert stage(found, "tickets").disk_bytes == 24 * (4 * 800 + 100), "each with the mask of its level"
    assert stage(found, "controls").disk_bytes == 18 * (4 * 800 + 100)
    assert [one.at_most for one in used(found)] == 3 * [False] + 4 * [True]


def test_chains_that_may_end_early_are_at_most() -> None:
    found = plan_of(**{**ITERATIVE, "grid": {**ITERATIVE["grid"], "min_accuracy": 0.5}})
    assert stage(found, "tickets").at_most
    assert not stage(found, "dense").at_most


def test_an_adaptive_search_trains_at_most_the_full_grid() -> None:
    full, adaptive = plan_of(**GRID), plan_of(**{**GRID, "grid": {**GRID["grid"], "search": "adaptive"}})
    assert [(one.kind, one.units) for one in used(full)] == [(one.kind, one.units) for one in used(adaptive)]
    assert [one.at_most for one in used(adaptive)][:2] == [False, True]
    assert full.searched_tickets is None
    assert 0 < (adaptive.searched_tickets or 0) <= stage(adaptive, "tickets").units
    assert adaptive.longest_chain_epochs is not None
    assert adaptive.longest_chain_epochs > (full.longest_chain_epochs or 0), "its turns come one after the other"


def test_an_adaptive_search_of_many_levels_takes_a_fraction_of_the_grid() -> None:
    grid = {"sparsities": [round(0.5 + place / 50, 2) for place in range(20)], "search": "adaptive"}
    found = plan_of(seeds=[0, 1, 2, 3, 4], grid=grid)
    assert stage(found, "tickets").units == 100
    assert 10 < (found.searched_tickets or 0) < 50


def test_methods_checkpoints_and_long_controls_by_hand() -> None:
    """Trained to k, a reinitialisation needs a dense training to there; gradual pruning costs what a search does."""
    controls = ["reinit", "reinit_k", "dense_long"]
    grid = {"sparsities": [0.5, 0.8], "rewind": ["0", "1ep"], "methods": ["snip", "gradual"], "thresholds": [0.02]}
    found = plan_of(parameters=1000, grid={**grid, "controls": controls, "controls_at": [0.8]})
    assert [(one.kind, one.units, one.ticket_epochs, one.at_most) for one in used(found)] == [
        ("dense", 1, 10, False),
        ("tickets", 4 + 2, 3 * (10 + 9), False),
        ("methods", 4, 2 * (10 + 20), False),
        ("checkpoints", 1, 1, False),
        ("controls", 1 + 1 + 1, 10 + 9 + 20, False),
    ]
    assert stage(found, "methods").disk_bytes == 4 * 4000 + 2 * 125, "only gradual pruning ends with a mask of its own"
    assert found.longest_chain_epochs == 10 + 20, "dense, then dense_long, which stands beside 0.5"


def test_smaller_networks_take_less_disk() -> None:
    found = plan_of(
        parameters=1000, grid={"sparsities": [0.5, 0.75], "controls": ["small_dense"], "controls_at": "all"}
    )
    assert stage(found, "controls").disk_bytes == 4 * (500 + 250)


def test_training_counted_in_iterations() -> None:
    train = {"iterations": 50, "optimizer": {"name": "adam", "lr": 0.001}}
    grid = {"sparsities": [0.5], "rewind": ["20it", "1ep"]}
    unknown = plan_of(train=train, grid=grid)
    assert [(one.steps, one.ticket_epochs) for one in used(unknown)] == [(50, None), (30 + 50, None)]
    assert (unknown.epochs, unknown.longest_chain_epochs, unknown.longest_chain_steps) == (None, None, 100)
    assert unknown.rows()[1] == ("dense", "1", "", "50", "")
    known = plan_of(train_examples=1600, parameters=100, train=train, grid=grid)
    assert [(one.steps, one.ticket_epochs) for one in used(known)] == [(50, 2), (30 + 25, 2.2)]
    assert (known.epochs, known.longest_chain_epochs, known.longest_chain_steps) == (2, 3.2, 80)
    adam = 2  # two moments a weight, beside each of the two states that lie between start and end
    assert used(known)[0].disk_bytes == 4 * 100 * (4 + 2 * adam) + 13


def test_disk_is_weights_of_kept_moments_and_masks() -> None:
    found = plan_of(parameters=1001, **GRID)
    moments, momentum = 4, 0  # 0, 1ep, 4ep, the end; this recipe has no momentum to keep for a replay
    assert found.stages[0].disk_bytes == 3 * (4 * (moments + momentum) * 1001 + 4 * 126)
    assert found.stages[1].disk_bytes == 24 * 4 * 1001
    sizes = [stage.disk_bytes or 0 for stage in found.stages]
    assert found.total.disk_bytes == sum(sizes)


def test_a_batch_larger_than_the_training_set_is_refused() -> None:
    with pytest.raises(
        DataError, match=r"^data\.batch_size: .* of 63 examples \(found 64\)\. Set data\.batch_size to 63"
    ):
        plan_of(train_examples=63)


def test_a_moment_after_the_end_is_refused_once_the_data_are_known() -> None:
    assert plan_of(grid__rewind=["100it"]).total.units == 3
    with pytest.raises(SpecError, match=r"grid\.rewind: not before the end of training, at step 100 = 10 x 10"):
        plan_of(train_examples=640, grid__rewind=["100it"])


def test_rows_are_a_table_of_text() -> None:
    rows = plan_of(train_examples=6400, parameters=266_610, **GRID).rows()
    assert rows == [
        HEADER,
        ("dense", "3", "30", "3,000", "13.2 MB"),
        ("tickets", "24", "180", "18,000", "25.6 MB"),
        ("controls", "up to 18", "171", "17,100", "19.2 MB"),
        ("confirmation dense", "up to 2", "20", "2,000", "8.8 MB"),
        ("confirmation tickets", "up to 2", "18", "1,800", "2.13 MB"),
        ("confirmation controls", "up to 4", "38", "3,800", "4.27 MB"),
        ("total", "up to 53", "457", "45,700", "73.2 MB"),
    ]
    assert [row[0] for row in plan_of().rows()] == ["stage", "dense", "tickets", "total"]


def test_json() -> None:
    found = plan_of(train_examples=640, parameters=10).as_json()
    assert json.loads(json.dumps(found)) == found
    assert list(found)[:3] == ["name", "epochs", "steps_per_epoch"]
    assert list(found)[3:-3] == ["stages", "longest_chain_epochs", "longest_chain_steps", "most_at_once"]
    assert list(found)[-3:] == ["searched_tickets", "time", "total"]
    assert found["total"] == {
        "kind": "total",
        "units": 3,
        "ticket_epochs": 30,
        "steps": 300,
        "disk_bytes": 3 * 40 + 2 * 2 + 40,
        "at_most": False,
    }


@settings(max_examples=60)
@given(documents(), st.none() | st.integers(10**6, 10**7))
def test_any_grid_is_its_tickets_added_up(document: Document, train_examples: int | None) -> None:
    spec = Spec.model_validate(document)
    try:
        found = plan(spec, train_examples=train_examples, parameters=1000)
    except SpecError:
        return
    per_epoch = found.steps_per_epoch
    length = spec.train.epochs * (per_epoch or 1)
    tickets = [
        length - (moment.epochs if per_epoch is None else moment.index(per_epoch))
        for _ in spec.seeds
        for moment in spec.grid.rewind
        for _ in spec.grid.sparsities
    ]
    assert found.stages[1].units == len(tickets)
    assert found.stages[1].ticket_epochs == pytest.approx(sum(tickets) / (per_epoch or 1), abs=1e-5)
    assert found.stages[1].steps == (None if per_epoch is None else sum(tickets))
    assert all(0 <= stage.ticket_epochs <= stage.units * spec.train.epochs for stage in found.stages)
    assert found.longest_chain_epochs <= 4 * spec.train.epochs
    assert max(stage.units for stage in found.stages) <= found.most_at_once <= found.total.units
    assert found.stages[0].ticket_epochs == len(spec.seeds) * spec.train.epochs
    assert Step() not in spec.grid.rewind or found.longest_chain_epochs >= 2 * spec.train.epochs
