from __future__ import annotations

import numpy as np
import pytest

from lth.data.sources import open_source
from lth.data.sources import synthetic as module
from lth.errors import DataError

TINY = "synthetic:examples=5,test_examples=3,classes=2,channels=3,size=4,seed=9,noise=0.25"


def nearest_mean_accuracy(source: str) -> float:
    dataset = open_source(source)
    x, test = (images.reshape(len(images), -1).astype(float) for images in (dataset.images, dataset.test_images))
    means = np.stack([x[dataset.labels == label].mean(0) for label in range(len(dataset.class_names))])
    nearest = ((test[:, None] - means) ** 2).sum(2).argmin(1)
    return float((nearest == dataset.test_labels).mean())


def test_defaults_and_options() -> None:
    dataset = open_source("synthetic")
    assert (dataset.images.shape, len(dataset.class_names)) == ((2000, 8, 8, 1), 4)
    assert np.bincount(dataset.test_labels).tolist() == [125] * 4
    tiny = open_source(TINY)
    assert (tiny.images.shape, tiny.test_images.shape, len(tiny.class_names)) == ((5, 4, 4, 3), (3, 4, 4, 3), 2)


def test_golden_content() -> None:
    tiny = open_source(TINY)
    assert tiny.images[0, 0].ravel().tolist() == [194, 116, 104, 50, 65, 138, 24, 121, 198, 147, 193, 110]
    assert tiny.dataset_id == "99bb3bb86eeeba31539e55c1428c98064644fd9e7d8b0b0570f01387fa98f6c8"
    assert open_source("synthetic").dataset_id == "00a55bd8597eb04a7f79e59f38cab39255f64f94919a0c864d842223d9b1f9a6"


def test_it_can_be_learned_as_far_as_noise_allows() -> None:
    assert nearest_mean_accuracy("synthetic:classes=10") > 0.99
    assert nearest_mean_accuracy("synthetic:classes=10,noise=1") < 0.2
    assert nearest_mean_accuracy("synthetic:classes=10,noise=0") == 1.0


def test_seeds_and_parts_differ() -> None:
    one, other = open_source("synthetic:seed=1"), open_source("synthetic:seed=2")
    assert one.dataset_id != other.dataset_id
    assert not np.array_equal(one.images[:500], one.test_images)


@pytest.mark.parametrize("size", [3, 8])
def test_pieces_change_nothing(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    whole = open_source(f"synthetic:examples=101,size={size}")
    monkeypatch.setattr(module, "PIECE", 300)
    assert open_source(f"synthetic:examples=101,size={size}").dataset_id == whole.dataset_id


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("colour=3", r"no such option .*colour=3.*Options are: examples, test_examples, classes"),
        ("examples", "not a number"),
        ("size=8.5", "not a number"),
        ("noise=much", "not a number"),
        ("noise=nan", "out of range"),
        ("noise=1.5", r"out of range .*from 0 to 1\b"),
        ("examples=0", "out of range"),
        ("classes=1", "out of range"),
        ("seed=-1", "out of range"),
        ("size=4,size=4", "given twice"),
        ("examples=8000000000,size=4096", "would take more than"),
    ],
)
def test_bad_options(options: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_source(f"synthetic:{options}")
