"""Sources of images, one reader a file; `data.source` of a spec names one."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

from lth.data.sources.cifar import open_cifar
from lth.data.sources.dataset import Dataset
from lth.data.sources.digits import open_digits
from lth.data.sources.imagefolder import open_imagefolder
from lth.data.sources.listed import open_listed
from lth.data.sources.mnist import open_mnist
from lth.data.sources.synthetic import open_synthetic
from lth.errors import DataError
from lth.spec.values import FUNCTION

__all__ = ["SOURCES", "Dataset", "open_source"]


def _open_shards(rest: str) -> Dataset:
    from lth.data.shards import open_shards

    return open_shards(rest).load()


# What stands before the first colon of data.source -> the function that reads the rest.
SOURCES: dict[str, Callable[[str], Dataset]] = {
    "digits": open_digits,
    "mnist": open_mnist,
    "cifar10": partial(open_cifar, classes=10),
    "cifar100": partial(open_cifar, classes=100),
    "imagefolder": open_imagefolder,
    "synthetic": open_synthetic,
    "shards": _open_shards,
    "tfrecord": lambda rest: open_listed(f"tfrecord:{rest}"),
}


def open_source(source: str, image_size: int | None = None) -> Dataset:
    """Returns the data set that "digits", "mnist:DIR", "synthetic:classes=4" or "package.module:function" names.

    `image_size` is the height = width in pixels that is made of images whose sizes may differ. Raises DataError for a
    source that does not exist or cannot be read, MissingExtraError for one that needs a package that is missing.
    """
    kind, _, rest = source.partition(":")
    if kind == "tfrecord" or (kind not in SOURCES and re.match(FUNCTION, source)):
        return open_listed(source, image_size)
    if kind not in SOURCES:
        own = 'your own as "package.module:function"'
        cure = f"Take one of: {', '.join(SOURCES)}; or {own}; for a folder of idx files write mnist:DIR."
        raise DataError("no such source", at="data.source", value=source, cure=cure)
    if kind == "imagefolder":
        return open_imagefolder(rest, image_size)
    if image_size is not None:
        what = f"would be ignored: {kind} has images of one size"
        raise DataError(what, at="data.image_size", value=image_size, cure="Take the line away.")
    return SOURCES[kind](rest)
