from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from data.record_files import Value, field, message, write

from lth.data.listing import Raw
from lth.data.listings import open_listing
from lth.data.reading import READERS
from lth.errors import DataError

GREY = np.arange(0, 256, 16, dtype=np.uint8).reshape(4, 4)


def read(path: Path) -> list[Raw]:
    listing = open_listing(f"tfrecord:{path}").parts["train"]
    return [READERS[listing.kind](entry) for entry in listing.entries(np.arange(len(listing)))]


def one(path: Path, **features: Value) -> Raw:
    return read(write(path / "x", message(**features)))[0]


def refused(path: Path, expected: str, **features: Value) -> None:
    with pytest.raises(DataError, match=rf"x, offset 0: {expected}"):
        one(path, **features)


def test_as_tensorflow_datasets_writes_it(tmp_path: Path) -> None:
    assert one(tmp_path, id=b"train_1", image=b"\x89PNG", label=7) == Raw(b"\x89PNG", 7)
    assert one(tmp_path, image=b"\x89PNG", label=0, file_name=b"n1.JPEG") == Raw(b"\x89PNG", 0)


def test_as_the_scripts_for_imagenet_write_it_classes_count_from_1(tmp_path: Path) -> None:
    plain: dict[str, Value] = {"image__encoded": b"\xff\xd8", "image__height": 3, "image__width": 2}
    assert one(tmp_path, **plain, image__class__label=1000, image__class__synset=b"n15075141") == Raw(b"\xff\xd8", 999)
    assert one(tmp_path, **plain, image__class__label=1, image__class__synset=b"n01440764") == Raw(b"\xff\xd8", 0)
    assert one(tmp_path, **plain, image__class__label=0) == Raw(b"\xff\xd8", 0)  # other scripts have the same names
    expected = r"image/class/label is not one class number from 1 on \(found 0\)"
    refused(tmp_path, expected, **plain, image__class__label=0, image__class__synset=b"background")


@pytest.mark.parametrize(("black", "white"), [(0, 1), (-0.5, 0.5), (-1, 1), (0, 255)])
def test_floats_of_every_range(tmp_path: Path, black: float, white: float) -> None:
    levels = (GREY.astype(np.float64) / 255 * (white - black) + black).astype(np.float32)
    full = np.array([black, white] * 8, np.float32)
    raws = read(write(tmp_path / "x", *(message(image_floats=one, image_class=2) for one in (levels.ravel(), full))))
    assert np.array_equal(raws[0].content, GREY[..., None])
    assert np.array_equal(np.ravel(raws[1].content), [0, 255] * 8)
    assert raws[0].label == 2


def test_a_dark_image_means_the_same_as_the_one_beside_it(tmp_path: Path) -> None:
    dark, bright = np.full(4, 0.5), np.array([0, 255, 1, 2])
    raws = read(write(tmp_path / "x", *(message(image=one, label=0) for one in (dark, bright))))
    assert np.ravel(raws[0].content).tolist() == [0] * 4


def test_whole_numbers_are_pixels(tmp_path: Path) -> None:
    raw = one(tmp_path, image=GREY.ravel().tolist(), label=1)
    assert isinstance(raw.content, np.ndarray)
    assert raw.content.dtype == np.uint8
    assert np.array_equal(raw.content, GREY[..., None])
    refused(tmp_path, "whole numbers outside 0..255 as pixels", image=[1, 2, 3, 256], label=1)


def test_the_shape_of_a_list(tmp_path: Path) -> None:
    def shape(count: int, **sizes: Value) -> tuple[int, ...]:
        return np.shape(one(tmp_path, image=[0] * count, label=1, **sizes).content)

    assert shape(9) == (3, 3, 1)
    assert shape(12) == (2, 2, 3)
    assert shape(12, height=3, width=4) == (3, 4, 1)
    assert shape(12, image__height=1, image__width=4) == (1, 4, 3)


@pytest.mark.parametrize(
    ("count", "sizes"), [(10, {}), (0, {}), (12, {"height": 5, "width": 2}), (4, {"height": 0, "width": 2})]
)
def test_an_image_of_no_shape_is_that_images_trouble(tmp_path: Path, count: int, sizes: dict[str, Value]) -> None:
    with pytest.raises(ValueError, match=f"{count} numbers are no grey or RGB image"):
        one(tmp_path, image=[0] * count, label=1, **sizes)


def test_an_image_that_is_not_all_numbers_is_that_images_trouble(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="pixels that are no numbers"):
        one(tmp_path, image=np.array([0, 1, np.nan, 1]), label=1)


def test_records_of_another_scheme(tmp_path: Path) -> None:
    refused(
        tmp_path,
        r"the record has no feature image/encoded .*\(found \['picture'\]\)|the record has no feature image/class",
        picture=b"",
    )
    refused(tmp_path, "the record has no feature image/class/label or label", image=b"x")
    refused(tmp_path, r"the record has no feature image/encoded or image or .* \(found \['label'\]\)", label=1)
    for label in (-1, [1, 2], [], 1 << 31, b"3", np.array([1.0])):
        refused(tmp_path, "label is not one class number", image=b"x", label=label)
    two = field(1, field(1, field(1, b"image") + field(2, field(1, field(1, b"a") + field(1, b"b")))))
    with pytest.raises(DataError, match="2 byte strings where one image is expected"):
        read(write(tmp_path / "x", message(label=1) + two))
    with pytest.raises(DataError, match=r"x, offset 0: not a tf\.train\.Example"):
        read(write(tmp_path / "x", b"\xff\xff"))


def test_floats_of_no_range_and_outside_the_range_of_the_first(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"x: floats in no range that is known \(found \(-3\.0, 1\.0\)\)"):
        one(tmp_path, image=np.array([-3, 1, 0, 0]), label=1)
    inside, outside = (message(image=np.full(4, value), label=1) for value in (0.5, 0.75))
    path = write(tmp_path / "y", *[inside] * 300, message(image=np.full(4, -0.25), label=1), outside)
    with pytest.raises(DataError, match=r"y, offset \d+: pixels outside 0\.\.1, the range of the file's first records"):
        read(path)


def test_the_real_files(test_data: Path) -> None:
    from lth.data.sources import open_source

    raws = read(test_data / "tfrecord" / "mnist.tfrecord")
    mnist = open_source(f"mnist:{test_data / 'mnist'}")
    labels = {
        image.tobytes(): int(label)
        for images, numbers in ((mnist.images, mnist.labels), (mnist.test_images, mnist.test_labels))
        for image, label in zip(images, numbers, strict=True)
    }
    assert len(raws) == 1000
    assert all(labels[np.asarray(raw.content).tobytes()] == raw.label for raw in raws)
