"""A group in training: one ticket's failure leaves its companions' bits alone; the guard stops what does not learn."""

from __future__ import annotations

from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lth.data.loader import Resident, Stream
from lth.data.sources import open_source
from lth.errors import NotLearningError, TrainingError
from lth.pruning.score import magnitude_masks
from lth.spec.recipe import Train
from lth.spec.schema import Data
from lth.training.checkpoint import load_resume, state_of, weights_hash
from lth.training.fit import Course, Pace, fit
from lth.training.numerics import numerics_class
from lth.training.trainee import Trainee

DATA = Data.model_validate(
    {"source": "synthetic:examples=200,test_examples=50,size=4", "batch_size": 12, "validation": {"fraction": 0.4}}
)


RECIPE = Train.model_validate({"epochs": 3, "optimizer": {"name": "sgd", "lr": 0.1}})


def make_stream() -> Stream:
    return Stream(Resident(open_source(DATA.source), DATA, 0, torch.device("cpu")), 1, 2)


def course(folder: Path, name: str, lr: float = 0.1, sparsity: float = 0.5, epochs: int = 3, **options: Any) -> Course:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 4))
    recipe = Train.model_validate({"epochs": epochs, "optimizer": {"name": "sgd", "lr": lr}, "guard_epochs": 1})
    mask = magnitude_masks(model, [sparsity])[sparsity]
    trainee = Trainee(name, model, recipe, make_stream().resident.steps_per_epoch, mask=mask)
    return Course(trainee, name, {}, folder / f"{name}-resume", folder / name, **options)


def test_a_state_saved_in_this_numerics_class_is_resumed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    numerics = numerics_class(torch.device("cpu"), RECIPE, channels_last=False)
    first = course(tmp_path, "a")
    first.numerics = numerics

    class After(Event):
        def is_set(self) -> bool:
            return first.trainee.step >= 15

    fit([first], make_stream(), After(), Pace(1e9))
    second = course(tmp_path, "a")
    second.numerics = numerics
    with caplog.at_level("INFO", "lth"):
        fit([second], make_stream(), Event(), Pace(1e9))
    assert "a goes on at step 15" in caplog.text
    assert "starts over" not in caplog.text


def curve(one: Course) -> list[dict[str, Any]]:
    """What the rows of a training say of the network, without what they say of the time it took."""
    known = ("step", "epoch", "train_loss", "validation_loss", "validation_top1")
    return [{key: row[key] for key in known} for row in one.metrics]


def bits(one: Course) -> str:
    return weights_hash(state_of(one.trainee))


def test_a_nan_fails_its_own_course_at_its_step_and_nothing_else(tmp_path: Path) -> None:
    alone = course(tmp_path / "1", "good")
    fit([alone], make_stream(), Event(), Pace(1e9))
    good, bad = course(tmp_path / "2", "good"), course(tmp_path / "2", "bad", lr=1e30)
    fit([bad, good], make_stream(), Event(), Pace(1e9))
    assert isinstance(bad.failure, TrainingError)
    assert not bad.done
    step = int(str(bad.failure.at).rpartition("step ")[2])
    assert 1 <= step <= 3, "a rate of 1e30 overflows within three steps"
    assert good.done
    assert bits(good) == bits(alone)


def test_the_curve_has_a_row_an_epoch(tmp_path: Path) -> None:
    one = course(tmp_path, "a")
    fit([one], make_stream(), Event(), Pace(1e9))
    assert [row["step"] for row in one.metrics] == [10, 20, 30]
    assert [row["epoch"] for row in one.metrics] == [1, 2, 3]
    assert all(
        np.isfinite([row["train_loss"], row["validation_loss"], row["validation_top1"]]).all() for row in one.metrics
    )
    assert one.metrics[-1]["train_loss"] < one.metrics[0]["train_loss"]


def test_the_guard_stops_a_network_that_does_not_learn_and_no_other(tmp_path: Path) -> None:
    still, learning = course(tmp_path, "a", lr=1e-12, guarded=True), course(tmp_path, "b", lr=0.3, guarded=True)
    fit([still, learning], make_stream(), Event(), Pace(1e9))
    assert isinstance(still.failure, NotLearningError)
    assert "step 10" in str(still.failure)
    assert learning.done


def test_a_stopped_group_goes_on_to_the_same_bits_and_the_same_curve(tmp_path: Path) -> None:
    whole = [course(tmp_path / "1", "a"), course(tmp_path / "1", "b", sparsity=0.8)]
    fit(whole, make_stream(), Event(), Pace(1e9))

    class Soon(Event):
        looks = 0

        def is_set(self) -> bool:
            self.looks += 1
            return self.looks >= 13

    (tmp_path / "2").mkdir()
    first = [course(tmp_path / "2", "a"), course(tmp_path / "2", "b", sparsity=0.8)]
    fit(first, make_stream(), Soon(), Pace(1e9))
    assert not any(one.done for one in first)
    second = [course(tmp_path / "2", "a"), course(tmp_path / "2", "b", sparsity=0.8)]
    fit(second, make_stream(), Event(), Pace(1e9))
    assert [bits(one) for one in second] == [bits(one) for one in whole]
    assert [curve(one) for one in second] == [curve(one) for one in whole]


def test_the_curve_of_a_ticket_that_boards_later_tells_nothing_of_its_company(tmp_path: Path) -> None:
    def late(folder: Path) -> Course:
        made = course(folder, "late")
        made.trainee.step = made.trainee.first_step = made.tally.since = 10
        return made

    alone = late(tmp_path / "1")
    fit([alone], make_stream(), Event(), Pace(1e9))
    (tmp_path / "2").mkdir()
    first, together = course(tmp_path / "2", "first"), late(tmp_path / "2")
    fit([first, together], make_stream(), Event(), Pace(1e9, 1))
    assert [row["step"] for row in together.metrics] == [20, 30]
    assert curve(together) == curve(alone)
    assert bits(together) == bits(alone)


def test_kept_states_survive_an_interruption_or_the_training_starts_over(tmp_path: Path) -> None:
    def dense(attempt: str) -> Course:
        made = course(tmp_path, "dense", sparsity=0.0, keep={0: "0ep", 10: "1ep", 30: "3ep"})
        made.folder = tmp_path / f"attempt-{attempt}"
        return made

    first, stop = dense("1"), Event()
    tmp_path.mkdir(exist_ok=True)

    class After(Event):
        def is_set(self) -> bool:
            return first.trainee.step >= 13

    fit([first], make_stream(), After(), Pace(1e9))
    second = dense("2")
    fit([second], make_stream(), stop, Pace(1e9))
    assert set(second.kept) == {"0ep.safetensors", "1ep.safetensors", "3ep.safetensors"}
    assert all((second.folder / name).exists() for name in second.kept)
    (tmp_path / "attempt-1" / "0ep.safetensors").write_bytes(b"damaged")
    (tmp_path / "attempt-2" / "0ep.safetensors").unlink()
    third = dense("3")
    fit([third], make_stream(), stop, Pace(1e9))
    assert third.trainee.first_step == 0
    assert bits(third) == bits(second)


@pytest.mark.parametrize(
    ("pace", "saved"), [(Pace(1e-9), 29), (Pace(1e9), None), (Pace(1e9, 1), 20), (Pace(1e9, 2), 20)]
)
def test_a_training_is_saved_by_time_at_any_step_and_by_epochs(tmp_path: Path, pace: Pace, saved: int | None) -> None:
    one = course(tmp_path, "a")
    fit([one], make_stream(), Event(), pace)
    content, _ = load_resume(one.resume_path, "a", {})
    assert (None if content is None else content["step"]) == saved
