"""A data set in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lth.errors import DataError


@dataclass(frozen=True)
class Dataset:
    """Images uint8 (n,h,w,c) and labels int64 (n,), for training and for test; arrays are made read-only.

    `statistics` are mean and deviation of the training images' channels where they were recorded, else None.
    `dataset_id` is `content_id` of the rest: it knows nothing of names and places. Raises DataError where the
    parts do not fit each other.
    """

    name: str
    images: np.ndarray
    labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    class_names: tuple[str, ...]
    dataset_id: str
    statistics: tuple[Sequence[float], Sequence[float]] | None = None

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of every image."""
        height, width, channels = self.images.shape[1:]
        return height, width, channels

    def __post_init__(self) -> None:
        _check(self.name, "training", self.images, self.labels, len(self.class_names))
        _check(self.name, "test", self.test_images, self.test_labels, len(self.class_names))
        if self.images.shape[1:] != self.test_images.shape[1:]:
            found = self.images.shape[1:], self.test_images.shape[1:]
            raise DataError("training and test images differ in height, width or channels", at=self.name, value=found)
        for array in (self.images, self.labels, self.test_images, self.test_labels):
            array.flags.writeable = False


def make_dataset(
    name: str,
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    classes: int | Sequence[str],
) -> Dataset:
    """Returns the data set of (images, labels) for training and test; `classes` are the names, or their number.

    Images are uint8 (n,h,w) or (n,h,w,c); labels are any whole numbers below the number of classes. Names are
    no part of `dataset_id`.
    """
    images, test_images = (one[..., None] if one.ndim == 3 else one for one in (train[0], test[0]))
    labels, test_labels = (one.astype(np.int64) for one in (train[1], test[1]))
    class_names = tuple(map(str, range(classes)) if isinstance(classes, int) else classes)
    dataset_id = content_id([images, labels, test_images, test_labels], len(class_names))
    return Dataset(name, images, labels, test_images, test_labels, class_names, dataset_id)


def content_id(arrays: list[np.ndarray], classes: int) -> str:
    """Returns the sha256 over the number of classes and the shape, kind and bytes of each array, in hexadecimal."""
    digest = hashlib.sha256(f"classes={classes}".encode())
    for array in arrays:
        little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        digest.update(f"|{little.dtype.str}{little.shape}|".encode())
        digest.update(little.data)
    return digest.hexdigest()


def _check(name: str, part: str, images: np.ndarray, labels: np.ndarray, classes: int) -> None:
    if images.dtype != np.uint8 or images.ndim != 4 or labels.dtype != np.int64 or labels.ndim != 1:
        found = f"{images.dtype} {images.shape}, {labels.dtype} {labels.shape}"
        raise DataError(f"the {part} data are not uint8 (n,h,w,c) with int64 (n,)", at=name, value=found)
    if len(images) != len(labels):
        what = f"{len(images)} {part} images have {len(labels)} labels"
        raise DataError(what, at=name, cure="Take image and label files of the same set.")
    if not images.size:
        raise DataError(f"the {part} data hold no pixels", at=name, value=images.shape)
    if labels.min() < 0 or labels.max() >= classes:
        found = (int(labels.min()), int(labels.max()))
        raise DataError(f"{part} labels lie outside 0..{classes - 1}", at=name, value=found)
