"""The predicted wall time: by hand, its bounds for any grid, and the settings that measure what it needs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spec.documents import Document, documents, smallest

from lth.errors import DataError, SpecError
from lth.grid.plan import plan
from lth.planning import Plan
from lth.planning.wall import mismatch, settings_to_measure, tickets_together
from lth.spec import Spec
from lth.spec.load import load_spec
from lth.spec.overrides import apply
from lth.spec.presets import PRESETS, preset_text

TIMES = {"seconds_per_step": 0.5, "data_share": 0.0, "evaluation_seconds": 2.0, "overhead_seconds": 10.0}
NUMERICS = {"device": "Abacus", "precision": "fp32", "compile": False}


def facts(**measured: Any) -> dict[str, Any]:
    """Returns the facts of 640 training examples in 10 batches of 64; times as in TIMES, changed as told."""
    found = {kind.replace("_", "-"): {**TIMES, "numerics": NUMERICS, **changes} for kind, changes in measured.items()}
    return {"train_examples": 640, "steps_per_epoch": 10, "parameters": 1000, "measured": found}


def plan_of(facts: dict[str, Any], workers: int = 1, **changes: Any) -> Plan:
    return plan(Spec.model_validate(smallest(**changes)), facts=facts, workers=workers)


def test_by_hand() -> None:
    """One dense network and four tickets of 10 epochs: 100 steps, 10 evaluations and the overhead are 80 s each."""
    grid = {"sparsities": [0.5, 0.6, 0.7, 0.8]}
    time = plan_of(facts(dense={}), grid=grid).time
    assert time is not None
    assert time.dense_seconds == 80
    assert time.serial_seconds == time.seconds == 400
    assert time.longest_chain_seconds == 140, "dense, then a ticket: 200 steps and their evaluations"
    assert (time.device, time.workers) == ("Abacus", 1)
    three = plan_of(facts(dense={}), 3, grid=grid).time
    assert three is not None
    assert three.serial_seconds == 400
    assert three.seconds == 80 + 2 * 80, "ceil(4 / 3) waves of tickets after one of the dense network"
    many = plan_of(facts(dense={"overhead_seconds": -40}), 100, grid=grid).time
    assert many is not None
    assert many.seconds == many.longest_chain_seconds == 140, "no number of workers beats the longest chain"


def test_tickets_take_what_tickets_took_and_less_data_time_in_more_company() -> None:
    grid = {"sparsities": [0.5, 0.6, 0.7, 0.8]}
    slower = plan_of(facts(dense={}, tickets_4={"seconds_per_step": 1.0}), grid=grid).time
    assert slower is not None
    assert slower.serial_seconds == 80 + 4 * 130
    waiting = {"seconds_per_step": 1.0, "data_share": 0.8}
    alone = plan_of(facts(dense={}, tickets_1=waiting), grid=grid).time
    assert alone is not None
    assert alone.tickets_together == 4
    assert alone.seconds_per_step == pytest.approx(0.2 + 0.8 / 4), "one batch for four tickets"
    both = plan_of(facts(dense={}, tickets_1=waiting, tickets_4={"seconds_per_step": 0.7}), grid=grid).time
    assert both is not None
    assert both.seconds_per_step == 0.7, "what was measured with the same company counts"


def test_facts_bring_the_sizes_along_and_nothing_measured_is_no_time() -> None:
    found = plan_of(facts())
    assert (found.steps_per_epoch, found.total.steps, found.time) == (10, 300, None)
    assert found.total.disk_bytes == plan(Spec.model_validate(smallest()), parameters=1000).total.disk_bytes
    assert json.loads(json.dumps(found.as_json()))["time"] is None
    timed = plan_of(facts(dense={})).as_json()
    assert json.loads(json.dumps(timed)) == timed
    assert timed["time"]["serial_seconds"] == 240


def test_a_rarer_evaluation_costs_less() -> None:
    time = plan_of(facts(dense={}), train__evaluate_every="5ep").time
    assert time is not None
    assert time.dense_seconds == 50 + 2 * 2 + 10


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"data__batch_size": 32}, "steps an epoch: 10 there, 20 here"),
        ({"train__precision": "bf16"}, "train.precision: fp32 there, bf16 here"),
        ({"train__compile": True}, "train.compile: False there, True here"),
    ],
)
def test_facts_of_another_experiment_are_refused(changes: Document, said: str) -> None:
    with pytest.raises(DataError, match=rf"facts\.json: .*{said}.*Take those of a run of the same data"):
        plan_of(facts(dense={}), **changes)
    with pytest.raises(DataError, match="parameters: 1000 there, 1001 here"):
        plan(Spec.model_validate(smallest()), parameters=1001, facts=facts(dense={}))
    assert (
        mismatch(Spec.model_validate(smallest(name="other", grid__sparsities=[0.1])), facts(dense={}), 640, 1000) == ""
    )


times = st.fixed_dictionaries(
    {
        "seconds_per_step": st.floats(1e-5, 10),
        "data_share": st.floats(0, 1),
        "evaluation_seconds": st.floats(0, 100),
        "overhead_seconds": st.floats(0, 100),
    }
)


@settings(max_examples=60)
@given(documents(), times, times, st.integers(1, 64), st.integers(1, 100))
def test_bounds_for_any_grid(
    document: Document, dense: dict[str, float], ticket: dict[str, float], company: int, workers: int
) -> None:
    spec = Spec.model_validate(document)
    known = facts(dense=dense, **{f"tickets_{company}": ticket})
    known["train_examples"] = 1000 * spec.data.batch_size
    known["steps_per_epoch"] = 1000
    known["measured"]["dense"]["numerics"] = {}
    try:
        found = plan(spec, facts=known, workers=workers)
        one = plan(spec, facts=known)
    except SpecError:
        return
    assert found.time is not None
    assert one.time is not None
    assert found.time.longest_chain_seconds <= found.time.seconds
    assert found.time.dense_seconds <= found.time.serial_seconds + 1e-3
    assert one.time.seconds == max(one.time.serial_seconds, one.time.longest_chain_seconds)
    assert 1 <= tickets_together(spec, found.stages[1].units, workers) <= spec.execute.tickets_per_worker


@settings(max_examples=60)
@given(documents())
def test_the_settings_that_measure_make_a_valid_spec_of_few_short_tickets(document: Document) -> None:
    levels = len(document["grid"]["sparsities"])
    for setting in settings_to_measure(Spec.model_validate(document)):
        apply(document, setting)
    found = plan(Spec.model_validate(document))
    assert [stage.units for stage in found.stages if stage.units] == [1, min(4, levels)]


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_can_be_measured_in_fewer_epochs(preset: str, tmp_path: Any) -> None:
    (tmp_path / "spec.toml").write_text(preset_text(preset))
    spec = load_spec(tmp_path / "spec.toml")
    short = load_spec(tmp_path / "spec.toml", settings_to_measure(spec, 50))
    assert 4 <= short.train.epochs <= spec.train.epochs, "at least 200 steps"
    assert mismatch(short, {}, None, None) == ""
