from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lth.data.sources import Dataset
from lth.data.sources.dataset import make_dataset
from lth.errors import DataError


def small(classes: int = 3) -> Dataset:
    images = np.arange(2 * 4 * 5, dtype=np.uint8).reshape(2, 4, 5)
    return make_dataset("small", (images, np.array([0, 2])), (images[:1], np.array([1], np.uint8)), classes)


def test_grey_images_get_a_channel_and_classes_their_numbers() -> None:
    dataset = small()
    assert (dataset.images.shape, dataset.test_images.shape) == ((2, 4, 5, 1), (1, 4, 5, 1))
    assert (dataset.labels.dtype, dataset.test_labels.dtype) == (np.int64, np.int64)
    assert dataset.class_names == ("0", "1", "2")


def test_classes_may_have_names_which_are_no_part_of_the_id() -> None:
    dataset = small()
    arrays = (dataset.images, dataset.labels), (dataset.test_images, dataset.test_labels)
    named = make_dataset("small", *arrays, ["cat", "dog", "emu"])
    assert named.class_names == ("cat", "dog", "emu")
    assert named.dataset_id == dataset.dataset_id


def test_arrays_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="read-only"):
        small().images[0] = 1


def test_the_id_is_of_the_content_alone() -> None:
    dataset = small()
    arrays = (dataset.images, dataset.labels), (dataset.test_images, dataset.test_labels)
    assert make_dataset("another name", *arrays, 3).dataset_id == dataset.dataset_id
    assert len(dataset.dataset_id) == 64
    ids = {dataset.dataset_id, small(4).dataset_id}
    for at in range(4):
        changed = [array.copy() for pair in arrays for array in pair]
        changed[at].flat[0] ^= 1
        ids.add(make_dataset("small", (changed[0], changed[1]), (changed[2], changed[3]), 3).dataset_id)
    wide = [images.reshape(len(images), 5, 4, 1) for images in (dataset.images, dataset.test_images)]
    ids.add(make_dataset("small", (wide[0], dataset.labels), (wide[1], dataset.test_labels), 3).dataset_id)
    assert len(ids) == 7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": np.array([0, 1, 2])}, "small: 2 training images have 3 labels"),
        ({"labels": np.array([0, 3])}, r"training labels lie outside 0\.\.2"),
        ({"labels": np.array([0, -1])}, r"training labels lie outside 0\.\.2"),
        ({"test_labels": np.array([0], np.int32)}, "test data are not uint8"),
        ({"images": np.zeros((2, 4, 5, 1))}, "training data are not uint8"),
        ({"images": np.zeros((2, 4, 5), np.uint8)}, "training data are not uint8"),
        ({"images": np.zeros((0, 4, 5, 1), np.uint8), "labels": np.zeros(0, np.int64)}, "training data hold no pixels"),
        ({"test_images": np.zeros((1, 0, 5, 1), np.uint8)}, "test data hold no pixels"),
        ({"test_images": np.zeros((1, 5, 4, 1), np.uint8)}, "training and test images differ"),
    ],
)
def test_parts_that_do_not_fit(change: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(DataError, match=message):
        replace(small(), **change)
