"""Image and label of a tf.train.Example, as TensorFlow Datasets and the scripts for ImageNet name and write them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from math import isqrt

import numpy as np

from lth.data.example import Values, features, values
from lth.data.listing import Entry, Raw
from lth.data.spans import told
from lth.data.tfrecord import read_record, record_spans
from lth.errors import DataError

IMAGES = ("image/encoded", "image", "image_floats")
LABELS = ("image/class/label", "label", "image_class")
# Only the scripts for ImageNet write it, and they count classes from 1: 0 is their background.
FROM_ONE = "image/class/synset"
HEIGHTS, WIDTHS = ("image/height", "height"), ("image/width", "width")
# Black and white of floats, the narrowest first.
RANGES = ((0.0, 1.0), (-0.5, 0.5), (-1.0, 1.0), (0.0, 255.0))
JUDGED_RECORDS, JUDGED_BYTES = 256, 1 << 24
SCHEME = f"An image is named {', '.join(IMAGES[:2])} or {IMAGES[2]}, a label {', '.join(LABELS[:2])} or {LABELS[2]}."


def read_record_image(entry: Entry) -> Raw:
    """Returns image and label of the record at `entry`: encoded bytes, or pixels uint8 (h,w,c) of a list of numbers.

    Floats are black to white in [0, 1], [-0.5, 0.5], [-1, 1] or [0, 255], as the first records of the file tell.
    Raises DataError for a record that is damaged or of another scheme, ValueError for an image of no known shape.
    """
    found = _features(entry.path, entry.offset, entry.size)
    at = f"{told(entry.path)}, offset {entry.offset}"
    try:
        label = _label(found, at)
        image = values(found[_key(found, IMAGES, at)])
    except ValueError as problem:
        raise DataError(f"not a tf.train.Example: {problem}", at=at) from problem
    if isinstance(image, list):
        if len(image) != 1:
            raise DataError(f"{len(image)} byte strings where one image is expected", at=at, cure=SCHEME)
        return Raw(image[0], label)
    shape = _shape(found, len(image))
    if image.dtype == np.float32:
        return Raw(_grey_levels(image, entry.path, at).reshape(shape), label)
    if len(image) and not 0 <= image.min() <= image.max() <= 255:
        raise DataError("whole numbers outside 0..255 as pixels", at=at, value=(int(image.min()), int(image.max())))
    return Raw(image.astype(np.uint8).reshape(shape), label)


def _features(path: str, offset: int, size: int) -> dict[str, memoryview]:
    data = read_record(path, offset, size)
    try:
        return features(data)
    except ValueError as problem:
        raise DataError(f"not a tf.train.Example: {problem}", at=f"{told(path)}, offset {offset}") from problem


def _key(found: Mapping[str, memoryview], names: tuple[str, ...], at: str) -> str:
    for name in names:
        if name in found:
            return name
    what = f"the record has no feature {' or '.join(names)}"
    raise DataError(what, at=at, value=sorted(found)[:20], cure=SCHEME)


def _label(found: Mapping[str, memoryview], at: str) -> int:
    """Returns the label, from 0; raises ValueError for a feature that cannot be read."""
    name = _key(found, LABELS, at)
    label = _number(values(found[name]))
    least = 1 if FROM_ONE in found else 0
    if label is None or not least <= label < 1 << 31:
        counted = f" from {least} on" if least else ""
        cure = "Keep unlabelled records and those of the background in files of their own."
        raise DataError(f"{name} is not one class number{counted}", at=at, value=label, cure=cure)
    return label - least


def _number(given: Values) -> int | None:
    one = not isinstance(given, list) and given.dtype == np.int64 and len(given) == 1
    return int(given[0]) if one else None


def _shape(found: Mapping[str, memoryview], count: int) -> tuple[int, int, int]:
    """Returns height, width and channels of an image of `count` numbers: as the record says, else of a square."""
    height, width = (
        next((_number(values(found[name])) for name in names if name in found), None) for names in (HEIGHTS, WIDTHS)
    )
    for channels in (1, 3):
        if height and width and height > 0 < width and height * width * channels == count:
            return height, width, channels
        side = isqrt(count // channels)
        if (height is None or width is None) and count and side * side * channels == count:
            return side, side, channels
    raise ValueError(f"{count} numbers are no grey or RGB image of {height or 'any'} x {width or 'the same'} pixels")


def _grey_levels(image: np.ndarray, path: str, at: str) -> np.ndarray:
    if not np.isfinite(image).all():
        raise ValueError("pixels that are no numbers")
    black, white = judged_range(path, os.stat(path).st_ino)
    if image.min() < black or image.max() > white:
        what, found = f"pixels outside {black:g}..{white:g}, the range of the file's first records", _extremes(image)
        raise DataError(what, at=at, value=found, cure="Write them all in one range.")
    return np.rint((image.astype(np.float64) - black) * (255 / (white - black))).astype(np.uint8)


def _extremes(image: np.ndarray) -> tuple[float, float]:
    return float(image.min()), float(image.max())


@lru_cache(64)
def judged_range(path: str, inode: int) -> tuple[float, float]:
    """Returns black and white of the floats of a file, as its first records tell. Raises DataError for no known range.

    A file is judged as a whole, so that a dark image means the same as the one beside it.
    """
    least, most, taken = np.inf, -np.inf, 0
    for offset, size in record_spans(path, JUDGED_RECORDS).tolist():
        found = _features(path, offset, size)
        image = values(found[_key(found, IMAGES, f"{told(path)}, offset {offset}")])
        if not isinstance(image, list) and image.dtype == np.float32 and len(image) and np.isfinite(image).all():
            low, high = _extremes(image)
            least, most = min(least, low), max(most, high)
        taken += size
        if taken > JUDGED_BYTES:
            break
    for black, white in RANGES:
        if black <= least and most <= white:
            return black, white
    cure = "Write floats in [0, 1], [-0.5, 0.5], [-1, 1] or [0, 255]."
    raise DataError("floats in no range that is known", at=told(path), value=(least, most), cure=cure)
