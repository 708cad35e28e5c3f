"""Trainings whose mask moves, whose schedule is stretched or held, and that look at test data on the way."""

from __future__ import annotations

from pathlib import Path
from threading import Event

import pytest
import torch
from torch import nn
from training.test_fit import bits, curve, make_stream

from lth.pruning.gradual import regrow_free_mask
from lth.pruning.mask import Mask
from lth.spec.recipe import Train
from lth.training.fit import Course, Pace, fit
from lth.training.trainee import Timing, Trainee

MOMENTS = {12: 0.3, 15: 0.5, 21: 0.8}
STEPS = 10


def course(folder: Path, optimizer: str = "sgd", **recipe: object) -> Course:
    """A network that is pruned at three moments of a training twice as long as its schedule."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 4))
    given = {"name": optimizer, "lr": 0.05, **({"momentum": 0.9} if optimizer == "sgd" else {})}
    schedule = {"name": "cosine", "final_lr": 0.01}
    spec = Train.model_validate({"epochs": 2, "optimizer": given, "schedule": schedule, **recipe})
    names = ("1.weight", "3.weight")
    whole = Mask({name: torch.ones_like(value).bool() for name, value in model.named_parameters() if name in names})
    trainee = Trainee("a", model, spec, STEPS, timing=Timing(0, 4 * STEPS), mask=whole)

    def at(sparsity: float):
        def remade(network: Trainee) -> Mask:
            assert network.mask is not None
            weights, kept = network.named(network.weights), network.named(network.mask)
            before = Mask({name: kept[name].bool() for name in names})
            return regrow_free_mask(before, {name: weights[name] for name in names}, sparsity, "global")

        return remade

    remask = {step: at(sparsity) for step, sparsity in MOMENTS.items()}
    return Course(trainee, "a", {}, folder / "resume", folder / "a", remask=remask)


def pruned(one: Course) -> float:
    assert one.trainee.mask is not None
    kept = one.trainee.named(one.trainee.mask)
    left = sum(int(kept[name].count_nonzero()) for name in ("1.weight", "3.weight"))
    return round(1 - left / (16 * 12 + 12 * 4), 6)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("stop_at", [3, 12, 13, 15, 20, 21, 33])
def test_a_moving_mask_resumes_to_the_bits_of_an_undisturbed_training(
    tmp_path: Path, optimizer: str, stop_at: int
) -> None:
    whole = course(tmp_path / "whole", optimizer)
    fit([whole], make_stream(), Event(), Pace(1e9))
    first = course(tmp_path / "killed", optimizer)

    class Stop(Event):
        def is_set(self) -> bool:
            return first.trainee.step >= stop_at

    (tmp_path / "killed").mkdir()
    fit([first], make_stream(), Stop(), Pace(1e9))
    assert first.trainee.step == stop_at
    second = course(tmp_path / "killed", optimizer)
    fit([second], make_stream(), Event(), Pace(1e9))
    assert second.done
    assert (bits(second), curve(second)) == (bits(whole), curve(whole))
    assert pruned(second) == 0.8


def test_pruned_weights_and_their_optimizer_state_are_zero_from_their_moment_on(tmp_path: Path) -> None:
    one = course(tmp_path)
    seen: list[float] = []

    class Look(Event):
        def is_set(self) -> bool:
            trainee = one.trainee
            assert trainee.mask is not None
            gone = trainee.mask == 0
            seen.append(pruned(one))
            for value in (trainee.weights, *(state for state in trainee.state.values() if state.dim())):
                assert not value[gone].any()
            return False

    fit([one], make_stream(), Look(), Pace(1e9))
    assert sorted(set(seen)) == [0.0, 0.3, 0.5, 0.8]


def test_a_stretched_schedule_and_one_that_is_held() -> None:
    stretched, held, usual = Timing(0, 40), Timing(5, 20, held=True), Timing(5)
    assert [stretched.position(step, 20) for step in (0, 1, 2, 39)] == [0, 0, 1, 19]
    assert [held.position(step, 20) for step in (5, 19)] == [19, 19]
    assert [usual.position(step, 20) for step in (5, 19)] == [5, 19]


def test_test_data_are_looked_at_at_their_own_pace(tmp_path: Path) -> None:
    one = course(tmp_path, evaluate_every="6it", test_every="8it")
    fit([one], make_stream(), Event(), Pace(1e9))
    tested = [row["step"] for row in one.metrics if "test_top1" in row]
    assert tested == [8, 16, 24, 32, 40]
    assert [row["step"] for row in one.metrics] == sorted({*range(6, 40, 6), *tested})
    assert all(0 <= row["test_top1"] <= 1 and row["test_loss"] > 0 for row in one.metrics if row["step"] in tested)
