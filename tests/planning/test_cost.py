"""What a run takes: counted by hand, and held against every ticket of any grid."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spec.documents import Document, documents, smallest

from lth.errors import DataError, SpecError
from lth.planning import Plan, Stage, plan
from lth.planning.cost import HEADER
from lth.spec import Spec, Step


def plan_of(train_examples: int | None = None, parameters: int | None = None, **changes: Any) -> Plan:
    return plan(Spec.model_validate(smallest(**changes)), train_examples=train_examples, parameters=parameters)


# 10 epochs; 4 sparsities, 2 rewind points, 3 seeds, 2 controls of which one starts afresh, 2 fresh seeds.
GRID: Document = {
    "seeds": [0, 1, 2],
    "grid": {"sparsities": [0.5, 0.6, 0.7, 0.8], "rewind": ["1ep", "4ep"], "controls": ["reinit", "random_mask"]},
    "select": {"confirm_seeds": 2},
}


def test_stages_by_hand() -> None:
    found = plan_of(**GRID)
    assert found.stages == (
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
    assert found.stages[2] == Stage("controls", 48, 4 * 3 * (10 + 9 + 10 + 6), None, None, False)
    assert found.longest_chain_epochs == 10 + 10 + 10 + 10
    assert found.most_at_once == 72


@pytest.mark.parametrize(("sparsities", "levels"), [([0.5], 1), ([0.5, 0.6], 2), ([0.5, 0.6, 0.7], 3)])
def test_a_short_grid_has_fewer_levels_around_the_knee(sparsities: list[float], levels: int) -> None:
    found = plan_of(grid={"sparsities": sparsities, "controls": ["reinit"]})
    assert found.stages[2].units == levels


def test_the_smallest_run() -> None:
    found = plan_of()
    assert [stage.units for stage in found.stages] == [1, 2, 0, 0, 0, 0]
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
    assert found.stages[2].steps == 90


def test_disk_is_weights_of_kept_moments_and_masks() -> None:
    found = plan_of(parameters=1001, **GRID)
    assert found.stages[0].disk_bytes == 3 * (4 * 4 * 1001 + 4 * 126)
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
    assert list(found)[3:] == ["stages", "longest_chain_epochs", "most_at_once", "time", "total"]
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
