from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data.record_files import message, write
from PIL import Image

from lth.data.listings.functions import called
from lth.data.sources import listed, open_source
from lth.errors import DataError, MissingExtraError


def pixels(seed: int, height: int = 4, width: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def png(image: np.ndarray) -> bytes:
    stream = BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()


def records(folder: Path, train: list[np.ndarray], test: list[np.ndarray], **extra: Any) -> str:
    """Returns the source of TFRecords that hold PNGs, labels being 0, 1, 2, ..."""
    for part, images in (("train", train), ("test", test)):
        rows = (message(image=png(image), label=label, **extra) for label, image in enumerate(images))
        write(folder / f"{part}.tfrecord", *rows)
    return f"tfrecord:{folder}/*"


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Returns a function that makes a source of a user's own of the parts it is given."""

    def own(**parts: Any) -> str:
        called.cache_clear()
        module = type(sys)("pets_at_home")
        module.make = lambda: parts  # pyright: ignore[reportAttributeAccessIssue]
        monkeypatch.setitem(sys.modules, "pets_at_home", module)
        return "pets_at_home:make"

    yield own
    called.cache_clear()


def test_files_in_tfrecords(tmp_path: Path) -> None:
    train, test = [pixels(0), pixels(1), pixels(2)], [pixels(3)]
    dataset = open_source(records(tmp_path, train, test))
    assert np.array_equal(dataset.images, train)
    assert np.array_equal(dataset.test_images, test)
    assert (dataset.labels.tolist(), dataset.test_labels.tolist(), dataset.class_names) == (
        [0, 1, 2],
        [0],
        ("0", "1", "2"),
    )
    (tmp_path / "label.labels.txt").write_text("cat\ndog\nemu\n")
    assert open_source(f"tfrecord:{tmp_path}/*.tfrecord").class_names == ("cat", "dog", "emu")
    assert open_source(f"tfrecord:{tmp_path}/*.tfrecord").dataset_id == dataset.dataset_id


def test_sizes_that_differ_need_an_image_size(tmp_path: Path) -> None:
    source = records(tmp_path, [pixels(0), pixels(1, 5, 9)], [pixels(2, 7, 7)])
    with pytest.raises(DataError, match=r"the images have 2 sizes.* Set data\.image_size"):
        open_source(source)
    dataset = open_source(source, image_size=4)
    assert (dataset.images.shape, dataset.test_images.shape) == ((2, 4, 4, 3), (1, 4, 4, 3))
    assert np.array_equal(dataset.images[0], pixels(0))


def test_pixels_stay_as_they_are_without_an_image_size_and_become_rgb_with_one(own: Any) -> None:
    grey = [(pixels(row)[..., 0], row % 2) for row in range(2500)]
    source = own(train=grey, test=grey[:3], classes=["cat", "dog"])
    dataset = open_source(source)
    assert np.array_equal(dataset.images[..., 0], [image for image, _ in grey])
    assert (dataset.images.shape, dataset.class_names) == ((2500, 4, 4, 1), ("cat", "dog"))
    same = open_source(own(train=grey[:10], test=grey[:3]), image_size=4)
    assert np.array_equal(same.images, dataset.images[:10].repeat(3, axis=3))
    assert open_source(own(train=grey[:10], test=grey[:3]), image_size=2).images.shape == (10, 2, 2, 3)


def test_what_is_refused(own: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, wide, torn = (pixels(0), 0), (pixels(1, 4, 6), 1), (b"torn", 1)

    def refused(message: str, source: str, image_size: int | None = None) -> None:
        with pytest.raises(DataError, match=message):
            open_source(source, image_size)

    refused("there is no test part .*pets_at_home:make.* Put images aside", own(train=[one]))
    refused(r"data\.image_size: out of range \(found 0\)", own(train=[one], test=[one]), 0)
    refused(
        r"train#1: pixels \(4, 6, 3\), those of the first .* Set data\.image_size", own(train=[one, wide], test=[one])
    )
    refused(r"make, train#1: files of images among pixels", own(train=[one, torn], test=[one]))
    refused("1 of 2 images cannot be decoded: train#1: not an image", own(train=[one, torn], test=[one]), 4)
    refused("test#0: pixels of more than 4 channels", own(train=[one], test=[(np.zeros((4, 4, 7), np.uint8), 0)]), 4)
    refused("training and test images differ in height", own(train=[one], test=[wide]))
    refused(r"training labels lie outside 0\.\.0", own(train=[(pixels(0), 1)], test=[one], classes=["cat"]))
    deep = (Image.new("F", (2, 2)), 0)
    for size in (None, 4):
        refused("train#0: an image that cannot be read: pixels of more than 8", own(train=[deep], test=[one]), size)
    monkeypatch.setattr(listed, "MOST_BYTES", 100)
    refused(r"3 images \(4, 4, 3\) take 0\.0 GiB, more than 8 GiB", own(train=[one] * 3, test=[one]))


def test_without_pillow(own: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    source = own(train=[(b"x", 0)], test=[(b"x", 0)])
    monkeypatch.setitem(sys.modules, "lth.data.sources.pictures", None)
    with pytest.raises(MissingExtraError, match=r"the source 'pets_at_home:make' needs the package 'Pillow'"):
        open_source(source)


def test_a_word_that_is_neither_a_source_nor_a_module() -> None:
    with pytest.raises(
        DataError, match=r"cannot import 'cifar'.* or was another source meant, such as imagefolder:PATH"
    ):
        open_source("cifar:data")


def test_the_real_files(test_data: Path) -> None:
    dataset = open_source(f"tfrecord:{test_data / 'tfrecord'}/cifar10_*.tfrecord")
    assert (dataset.images.shape, dataset.test_images.shape) == ((128, 32, 32, 3), (128, 32, 32, 3))
    assert len(dataset.class_names) == 10
