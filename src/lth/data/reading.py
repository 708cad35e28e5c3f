"""Readers of the images of a source, one at a time and in any order, in any process. None needs torch.

A reader raises ValueError where this image cannot be had, which the images beside it say nothing about, and DataError
where the source itself is damaged or changed, so that to go on would give wrong data.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isqrt

import numpy as np

from lth.data.listing import Entry, Raw
from lth.data.spans import read_span, told
from lth.errors import DataError


def read_file(entry: Entry) -> Raw:
    """Returns the encoded image that is a file, or lies in one."""
    return Raw(read_span(entry.path, entry.offset, entry.size), entry.label)


def read_rows(entry: Entry) -> Raw:
    """Returns the pixels uint8 (s,s,3) of a row of a raw shard."""
    content = read_span(entry.path, entry.offset, entry.size)
    side = isqrt(len(content) // 3)
    if not side or side * side * 3 != len(content):
        raise DataError(f"{len(content)} bytes are no square image", at=f"{told(entry.path)}, offset {entry.offset}")
    return Raw(np.frombuffer(content, np.uint8).reshape(side, side, 3), entry.label)


def read_tfrecord(entry: Entry) -> Raw:
    """Returns the image and the label of a TFRecord, verified."""
    from lth.data.tfrecords.image import read_record_image

    return read_record_image(entry)


def read_pixels(entry: Entry) -> Raw:
    """Returns the pixels uint8 (h,w,c) of an image of a set that this process holds in memory."""
    from lth.data.listings.pixels import opened_part

    images, labels = opened_part(entry.path)
    return Raw(images[entry.offset], int(labels[entry.offset]))


def read_function(entry: Entry) -> Raw:
    """Returns what the sequence of a user's function gives for an image."""
    from lth.data.listings.functions import read_item

    return read_item(entry)


# What `Listing.kind` names -> the function that reads one of its entries.
READERS: dict[str, Callable[[Entry], Raw]] = {
    "imagefolder": read_file,
    "imagenet_tars": read_file,
    "tfrecord": read_tfrecord,
    "pixels": read_pixels,
    "shards": read_rows,
    "shards_jpeg": read_file,
    "function": read_function,
}
