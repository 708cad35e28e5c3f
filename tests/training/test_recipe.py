"""The learning rate of every step, against values worked out by hand."""

from __future__ import annotations

import pytest

from lth.spec.recipe import Constant, Cosine, StepSchedule
from lth.training.recipe import learning_rate


def rates(schedule, steps: int = 20, steps_per_epoch: int = 5) -> list[float]:
    return [learning_rate(step, steps, steps_per_epoch, 1.0, schedule) for step in range(steps)]


def test_constant_with_warmup_rises_linearly_to_the_base() -> None:
    assert rates(Constant(name="constant", warmup_epochs=1))[:7] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0, 1.0])


def test_step_falls_at_its_milestones() -> None:
    schedule = StepSchedule.model_validate({"name": "step", "milestones": ["1ep", "2ep3it"], "gamma": 0.1})
    values = rates(schedule)
    assert values[4] == 1.0
    assert values[5] == values[12] == pytest.approx(0.1)
    assert values[13] == values[19] == pytest.approx(0.01)


def test_cosine_falls_to_its_final_rate() -> None:
    values = rates(Cosine(name="cosine", warmup_epochs=1, final_lr=0.1))
    assert values[5] == pytest.approx(1.0)
    assert values[5 + 7] == pytest.approx(0.55, abs=0.06)
    assert values[5:] == sorted(values[5:], reverse=True)
    assert values[-1] == pytest.approx(0.1, abs=0.02)


def test_a_rewound_network_enters_the_schedule_where_it_is_and_sees_no_second_warmup() -> None:
    schedule = Cosine(name="cosine", warmup_epochs=1)
    assert learning_rate(8, 20, 5, 0.4, schedule) == 0.4 * rates(schedule)[8]
