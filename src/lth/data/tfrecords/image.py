"""Image and label of a tf.train.Example, as TensorFlow Datasets and the scripts for ImageNet name and write them."""

from __future__ import annotations

from functools import lru_cache
from math import isfinite, isqrt

import numpy as np

from lth.data.listing import Entry, Raw
from lth.data.spans import Opened, open_file, told
from lth.data.tfrecords.example import Example, Values, parse, values
from lth.data.tfrecords.records import read_record, record_spans
from lth.errors import DataError

IMAGES = ("image/encoded", "image", "image_floats")
LABELS = ("image/class/label", "label", "image_class")
# Only the scripts for ImageNet write it, and they count classes from 1: 0 is their background.
FROM_ONE = "image/class/synset"
SIZES = ("image/height", "height", "image/width", "width")
# Black and white of floats, the narrowest first.
RANGES = ((0.0, 1.0), (-0.5, 0.5), (-1.0, 1.0), (0.0, 255.0))
Place = tuple[str, int]  # path and offset
JUDGED_RECORDS, JUDGED_BYTES = 256, 1 << 24
SCHEME = f"An image is named {', '.join(IMAGES[:2])} or {IMAGES[2]}, a label {', '.join(LABELS[:2])} or {LABELS[2]}."


def read_record_image(entry: Entry) -> Raw:
    """Returns image and label of the record at `entry`: encoded bytes, or pixels uint8 (h,w,c) of a list of numbers.

    Floats are black to white in [0, 1], [-0.5, 0.5], [-1, 1] or [0, 255], as the first records of the file tell.
    Raises DataError for a record that is damaged or of another scheme, ValueError for an image of no known shape.
    """
    place = entry.path, entry.offset
    example = _example(*place, entry.size)
    label = _label(example, place)
    image = _values(example, _key(example, IMAGES, place), place)
    if isinstance(image, list):
        if len(image) != 1:
            raise DataError(f"{len(image)} byte strings where one image is expected", at=_at(place), cure=SCHEME)
        return Raw(image[0], label)
    shape = _shape(example, len(image), place)
    least, most = _extremes(image)
    if image.dtype == np.float32:
        return Raw(_grey_levels(image, least, most, place).reshape(shape), label)
    if least < 0 or most > 255:
        raise DataError("whole numbers outside 0..255 as pixels", at=_at(place), value=(least, most))
    return Raw(image.astype(np.uint8).reshape(shape), label)


def _at(place: Place) -> str:
    return f"{told(place[0])}, offset {place[1]}"


def _example(path: str, offset: int, size: int) -> Example:
    data = read_record(path, offset, size)
    try:
        return parse(data)
    except ValueError as problem:
        raise DataError(f"not a tf.train.Example: {problem}", at=_at((path, offset))) from problem


def _values(example: Example, name: str, place: Place) -> Values:
    try:
        return values(example, name)
    except ValueError as problem:
        raise DataError(f"not a tf.train.Example: {problem}", at=_at(place)) from problem


def _key(example: Example, names: tuple[str, ...], place: Place) -> str:
    for name in names:
        if name in example.features:
            return name
    what, found = f"the record has no feature {' or '.join(names)}", sorted(example.features)[:20]
    raise DataError(what, at=_at(place), value=found, cure=SCHEME)


def _label(example: Example, place: Place) -> int:
    """Returns the label, from 0."""
    name = _key(example, LABELS, place)
    label = _number(_values(example, name, place))
    least = 1 if FROM_ONE in example.features else 0
    if label is None or not least <= label < 1 << 31:
        counted = f" from {least} on" if least else ""
        cure = "Keep unlabelled records and those of the background in files of their own."
        raise DataError(f"{name} is not one class number{counted}", at=_at(place), value=label, cure=cure)
    return label - least


def _number(given: Values) -> int | None:
    one = not isinstance(given, list) and given.dtype == np.int64 and len(given) == 1
    return int(given[0]) if one else None


def _shape(example: Example, count: int, place: Place) -> tuple[int, int, int]:
    """Returns height, width and channels of an image of `count` numbers: as the record says, else of a square."""
    sizes = [_number(_values(example, name, place)) for name in SIZES if name in example.features]
    for channels in (1, 3):
        if len(sizes) == 2:
            height, width = (one or 0 for one in sizes)
        else:
            height = width = isqrt(count // channels)
        if height > 0 < width and height * width * channels == count:
            return height, width, channels
    raise ValueError(f"{count} numbers are no grey or RGB image of {sizes or 'equal'} height and width")


def _grey_levels(image: np.ndarray, least: float, most: float, place: Place) -> np.ndarray:
    if not isfinite(least + most):
        raise ValueError("pixels that are no numbers")
    black, white = judged_range(place[0], open_file(place[0]))
    if least < black or most > white:
        what = f"pixels outside {black:g}..{white:g}, the range of the file's first records"
        raise DataError(what, at=_at(place), value=(least, most), cure="Write them all in one range.")
    return np.rint((image.astype(np.float64) - black) * (255 / (white - black))).astype(np.uint8)


def _extremes(image: np.ndarray) -> tuple[float, float]:
    return image.min().item(), image.max().item()


@lru_cache(64)
def judged_range(path: str, opened: Opened) -> tuple[float, float]:
    """Returns black and white of the floats of a file, as its first records tell. Raises DataError for no known range.

    A file is judged as a whole, so that a dark image means the same as the one beside it.
    """
    least, most, taken = np.inf, -np.inf, 0
    for offset, size in record_spans(path, JUDGED_RECORDS).tolist():
        example = _example(path, offset, size)
        image = _values(example, _key(example, IMAGES, (path, offset)), (path, offset))
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
