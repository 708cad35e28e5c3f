"""What the sources hold, before any image is read; `lth data prepare` goes by it."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

from lth.data.listing import Source
from lth.data.listings.folders import list_imagefolder
from lth.data.listings.functions import list_function
from lth.data.listings.imagenet import list_imagenet_tars
from lth.data.listings.pixels import list_pixels
from lth.data.listings.shards import list_shards
from lth.data.listings.tfrecords import list_tfrecord
from lth.errors import DataError
from lth.spec.values import FUNCTION

__all__ = ["LISTINGS", "open_listing"]

# What stands before the first colon of a source -> the function that lists the rest.
LISTINGS: dict[str, Callable[[str], Source]] = {
    "imagefolder": list_imagefolder,
    "imagenet_tars": list_imagenet_tars,
    "tfrecord": list_tfrecord,
    "shards": list_shards,
    **{kind: partial(list_pixels, kind) for kind in ("cifar10", "cifar100", "mnist", "digits", "synthetic")},
}


def open_listing(source: str) -> Source:
    """Returns what "imagefolder:PATH", "tfrecord:GLOB", "package.module:function" or any other source holds.

    Paths in it are absolute. Raises DataError for a source that does not exist or cannot be read, MissingExtraError for
    one that needs a package that is not installed.
    """
    kind, _, rest = source.partition(":")
    if kind in LISTINGS:
        return LISTINGS[kind](rest)
    if re.match(FUNCTION, source):
        return list_function(source)
    cure = f'Take one of: {", ".join(LISTINGS)}; or your own as "package.module:function".'
    raise DataError("no such source", at="data.source", value=source, cure=cure)
