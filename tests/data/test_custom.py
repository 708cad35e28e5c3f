"""A user's own augmentation: taken where it is pure, refused with what is wrong where it is not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lth.data.augment import Moves
from lth.data.custom import apply, check_pure, custom_function
from lth.data.loader import Resident, Stream
from lth.data.sources import Dataset
from lth.errors import DataError
from lth.spec.schema import Augment, Data, Resized, Validation

CPU = torch.device("cpu")
PAGE = Path(__file__).parents[2] / "docs" / "loader.md"
NAMES = ("shifted", "in_place")


def stream(colours: Dataset, name: str, batch_size: int = 16, **augment: object) -> Stream:
    made = Augment.model_validate({**augment, "custom": f"data.custom_examples:{name}"})
    data = Data(source="synthetic", batch_size=batch_size, validation=Validation(count=40), augment=made)
    return Stream(Resident(colours, data, 0, CPU), 1, 2)


def test_it_is_given_grey_levels_and_what_it_makes_is_normalised(colours: Dataset) -> None:
    batches = stream(colours, "in_place")
    x, _ = batches.batch_at(0)
    images = torch.from_numpy(colours.images[batches.ids(0)[:16]]).permute(0, 3, 1, 2)
    assert torch.equal(x, batches.resident.normalize(images * 0.5))


def test_it_sees_resized_crops(colours: Dataset) -> None:
    plain = Augment(resized=Resized())
    data = Data(source="synthetic", batch_size=16, validation=Validation(count=40), augment=plain)
    resident = Resident(colours, data, 0, CPU)
    x, _ = stream(colours, "in_place", resized={}).batch_at(3)
    y, _ = Stream(resident, 1, 2).batch_at(3)
    normal = resident.normalize
    torch.testing.assert_close(x * normal.deviation + normal.mean, (y * normal.deviation + normal.mean) / 2)


def test_evaluation_is_not_augmented(colours: Dataset) -> None:
    assert torch.equal(
        stream(colours, "shifted").resident.validation[0], stream(colours, "in_place").resident.validation[0]
    )


def test_an_example_is_augmented_alike_in_any_batch(colours: Dataset) -> None:
    one, other = stream(colours, "shifted"), stream(colours, "shifted", batch_size=5)

    def epoch(of: Stream) -> dict[int, torch.Tensor]:
        images = torch.cat([of.batch_at(step)[0] for step in range(of.resident.steps_per_epoch)])
        return dict(zip(of.ids(0).tolist(), images, strict=True))

    first, second = epoch(one), epoch(other)
    shared = first.keys() & second.keys()
    assert len(shared) > 100
    assert all(torch.equal(first[i], second[i]) for i in shared)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("careless", "its images depend on more than pixels, id, epoch and seed. Make it a function"),
        ("batchwise", "its images depend on more than pixels, id, epoch and seed. Make it a function"),
        ("shrunk", r"it gave something else than images \(found \(torch\.Size\(\[8, 3, 7, 8\]\)"),
        ("broken", "it raised KeyError: 'hue'"),
    ],
)
def test_what_is_no_augmentation(colours: Dataset, name: str, what: str) -> None:
    with pytest.raises(DataError, match=rf"data\.augment\.custom: {what}"):
        stream(colours, name).batch_at(0)


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("no_such_package:f", "cannot import 'no_such_package'"),
        ("data.custom_examples:shift", "has no function 'shift'.*Its functions are: .*shifted"),
        ("data.custom_examples:short", r"cannot be called with four arguments.*Write def short\(images, ids, epoch"),
    ],
)
def test_a_function_that_cannot_be_had(path: str, what: str) -> None:
    with pytest.raises(DataError, match=what):
        custom_function(path)


def test_ids_are_numpy(colours: Dataset) -> None:
    assert isinstance(stream(colours, "shifted").ids(0), np.ndarray)


def test_the_function_on_the_page_is_one(colours: Dataset) -> None:
    made: dict[str, Any] = {}
    exec(re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)[0], made)
    images = torch.from_numpy(colours.images[:6].copy()).permute(0, 3, 1, 2).to(torch.float32).contiguous()
    zero = torch.zeros(6, dtype=torch.int64)
    moved = Moves(zero, zero, zero.bool(), None, np.arange(6), 3, 4)
    check_pure(made["brighter"], images, moved)
    assert not torch.equal(apply(made["brighter"], images, moved), images)
