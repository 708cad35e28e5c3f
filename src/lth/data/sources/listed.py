"""Sets that fit into memory, read through the listings and readers that the preparation of shards goes by."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from math import prod
from pathlib import Path

import numpy as np

from lth.data.listing import Entry, Listing, Raw
from lth.data.sources.dataset import Dataset, make_dataset
from lth.data.sources.files import Files
from lth.errors import DataError, MissingExtraError

MOST_BYTES = 8 << 30
MOST_SIZE = 4096
PIECE = 1024
Reader = Callable[[Entry], Raw]
Part = tuple[np.ndarray, np.ndarray]


def open_listed(source: str, image_size: int | None = None) -> Dataset:
    """Returns the images of tfrecord:GLOB or package.module:function, of training and test, all of one size.

    With `image_size` every image becomes RGB of that height and width, as those of imagefolder do. Without it pixels
    stay as they are. Raises DataError where there is no test part, images cannot be read, or they differ in size.
    """
    from lth.data.listings import open_listing

    if image_size is not None and not 1 <= image_size <= MOST_SIZE:
        raise DataError("out of range", at="data.image_size", value=image_size, cure=f"Take 1 to {MOST_SIZE}.")
    listed = open_listing(source)
    if "test" not in listed.parts:
        cure = "Put images aside that no training sees, and give them the name test."
        raise DataError("there is no test part", at="data.source", value=source, cure=cure)
    train, test = (_part(source, listed.parts[part], image_size) for part in ("train", "test"))
    return make_dataset(listed.kind, train, test, listed.classes or _classes(train, test))


def _classes(train: Part, test: Part) -> int:
    return int(max(train[1].max(), test[1].max())) + 1


def _part(source: str, listing: Listing, image_size: int | None) -> Part:
    """Returns images and labels of a part."""
    from lth.data.reading import READERS

    read = READERS[listing.kind]
    (first,) = listing.entries(np.arange(1))
    if image_size is None and isinstance(_read(source, read, first).content, np.ndarray):
        return _pixels(source, read, listing)
    try:
        from lth.data.sources.pictures import decode_pictures
    except ImportError as problem:
        raise MissingExtraError("Pillow", "data", f"the source {source!r}") from problem
    labels = np.empty(len(listing), np.int64)
    rows = {name.encode(): row for row, name in enumerate(listing.names)}

    def content(name: bytes) -> bytes:
        (entry,) = listing.entries(np.array([rows[name]]))
        raw = _read(source, read, entry)
        labels[rows[name]] = raw.label
        return raw.content if isinstance(raw.content, bytes) else _png(raw.content, f"{source}, {entry.name}")

    return decode_pictures(Files(Path(source), list(rows), content), list(rows), image_size), labels


def _pixels(source: str, read: Reader, listing: Listing) -> Part:
    """Returns images uint8 (n,h,w,c) as they are, and labels."""
    images, labels = np.empty(0, np.uint8), np.empty(len(listing), np.int64)
    for start in range(0, len(listing), PIECE):
        for row, entry in enumerate(listing.entries(np.arange(start, min(start + PIECE, len(listing)))), start):
            raw = _read(source, read, entry)
            if not isinstance(raw.content, np.ndarray):
                cure = "Set data.image_size, the side of the square that is made of each."
                raise DataError("files of images among pixels", at=f"{source}, {entry.name}", cure=cure)
            if not row:
                images = _room(source, (len(listing), *raw.content.shape))
            if raw.content.shape != images.shape[1:]:
                what = f"pixels {raw.content.shape}, those of the first image are {images.shape[1:]}"
                cure = "Set data.image_size, the side of the square that is made of each."
                raise DataError(what, at=f"{source}, {entry.name}", cure=cure)
            images[row], labels[row] = raw.content, raw.label
    return images, labels


def _read(source: str, read: Reader, entry: Entry) -> Raw:
    try:
        return read(entry)
    except ValueError as problem:
        cure = "Mend it or take it away."
        raise DataError(
            f"an image that cannot be read: {problem}", at=f"{source}, {entry.name}", cure=cure
        ) from problem


def _room(source: str, shape: tuple[int, ...]) -> np.ndarray:
    if prod(shape) > MOST_BYTES:
        what = f"{shape[0]} images {shape[1:]} take {prod(shape) / 2**30:.1f} GiB, more than 8 GiB"
        raise DataError(what, at=source, cure="Set data.image_size to a smaller number of pixels.")
    return np.empty(shape, np.uint8)


def _png(pixels: np.ndarray, at: str) -> bytes:
    """Returns a file of pixels (h,w,c), which goes the way of every other file."""
    from PIL import Image

    if pixels.shape[2] not in (1, 2, 3, 4):
        what, cure = "pixels of more than 4 channels, of which no picture can be made", "Leave data.image_size away."
        raise DataError(what, at=at, value=pixels.shape, cure=cure)
    stream = BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(stream, "PNG", compress_level=0)
    return stream.getvalue()
