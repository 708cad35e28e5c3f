"""The rules between keys: each is broken by one spec and kept by its neighbour."""

from __future__ import annotations

import pytest
from spec.documents import Document, smallest

from lth.errors import SpecError
from lth.spec import Spec
from lth.spec.problems import check
from lth.spec.rules import check_moments

SGD, STEP = {"name": "sgd", "lr": 0.1}, {"name": "step"}


@pytest.mark.parametrize(
    ("wrong", "right", "line"),
    [
        (
            {"grid__rewind": ["0", "10ep", "11ep"]},
            {"grid__rewind": ["0", "9ep"]},
            'grid.rewind: not before the end of training, at train.epochs = 10 (found ["10ep", "11ep"]). '
            "Use moments before 10ep, or raise train.epochs",
        ),
        (
            {"train__schedule": {**STEP, "milestones": ["10ep"]}},
            {"train__schedule": {**STEP, "milestones": ["9ep"]}},
            'train.schedule.milestones: not before the end of training, at train.epochs = 10 (found ["10ep"]). '
            "Use moments before 10ep, or raise train.epochs",
        ),
        (
            {"train__schedule": {"name": "cosine", "warmup_epochs": 10}},
            {"train__schedule": {"name": "cosine", "warmup_epochs": 9}},
            "train.schedule.warmup_epochs: warm-up does not end before training does, at train.epochs = 10 (found 10). "
            "Set warmup_epochs below 10, or raise train.epochs",
        ),
        (
            {"train__optimizer": {**SGD, "nesterov": True}},
            {"train__optimizer": {**SGD, "nesterov": True, "momentum": 0.9}},
            "train.optimizer.nesterov: nesterov needs momentum (found true). Set momentum = 0.9",
        ),
        (
            {"grid__controls_at": "all"},
            {"grid__controls_at": "all", "grid__controls": ["reinit"]},
            'grid.controls_at: would be ignored: there are no controls (found "all"). '
            'Add controls = ["reinit"], or drop controls_at',
        ),
    ],
)
def test_a_rule(wrong: Document, right: Document, line: str) -> None:
    assert check(smallest(**wrong)) == [line]
    assert isinstance(check(smallest(**right)), Spec)


def test_moments_in_iterations_are_held_against_the_data() -> None:
    schedule = {**STEP, "milestones": ["2ep", "9ep60it"]}
    spec = Spec.model_validate(smallest(grid__rewind=["0", "500it"], train__schedule=schedule))
    check_moments(spec, 61)
    with pytest.raises(SpecError) as caught:
        check_moments(spec, 50, at="spec.toml")
    where, cure = "at step 500 = 10 x 50", "Use earlier moments, or raise train.epochs"
    assert caught.value.problems == [
        f'train.schedule.milestones: not before the end of training, {where} (found ["9ep60it"]). {cure}',
        f'grid.rewind: not before the end of training, {where} (found ["500it"]). {cure}',
    ]
