"""The rules that bind the keys of the images together: their size, their augmentation, how they are read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic_core import PydanticCustomError

from lth.spec.values import FUNCTION, refused

if TYPE_CHECKING:
    from lth.spec.schema import Spec

# Sources whose images have one size; what looks like "module:function" and is none of them is a user's own.
ONE_SIZE = ("digits", "mnist", "cifar10", "cifar100", "synthetic", "shards", "imagenet_tars")


def broken_in_images(spec: Spec) -> Iterator[PydanticCustomError]:
    """Returns an error for each rule about images that `spec` breaks."""
    yield from _image_size(spec)
    yield from _crop_size(spec)
    yield from _resized(spec)
    yield from _loader(spec)


def _image_size(spec: Spec) -> Iterator[PydanticCustomError]:
    if spec.data.image_size is not None and not _resizes(spec.data.source):
        cure = "Drop it; only imagefolder:PATH, tfrecord:GLOB and package.module:function resize their images"
        what = "would be ignored: the source has images of one size"
        yield refused(what, cure, key="data.image_size", value=spec.data.image_size, needs=("data.source",))


def _resizes(source: str) -> bool:
    kind = source.partition(":")[0]
    return kind in ("imagefolder", "tfrecord") or (kind not in ONE_SIZE and re.match(FUNCTION, source) is not None)


def _crop_size(spec: Spec) -> Iterator[PydanticCustomError]:
    stored, seen = spec.data.image_size, spec.data.crop_size
    if stored is not None and seen is not None and seen > stored:
        what, cure = f"larger than data.image_size = {stored}", "Lower it, or raise image_size"
        yield refused(what, cure, key="data.crop_size", value=seen, needs=("data.image_size",))


def _resized(spec: Spec) -> Iterator[PydanticCustomError]:
    augment, key = spec.data.augment, "data.augment.resized"
    if augment.resized is None:
        return
    if augment.crop:
        what = "given beside data.augment.crop"
        yield refused(what, "Keep one of them", key=key, needs=("data.augment.crop",))
    whole = augment.resized.scale == augment.resized.ratio == (1, 1)
    if whole and spec.data.crop_size is None:
        what, cure = "would be ignored: it takes the whole image", "Widen scale or ratio, set crop_size, or drop it"
        yield refused(what, cure, key=key, needs=("data.crop_size",))


def _loader(spec: Spec) -> Iterator[PydanticCustomError]:
    if spec.execute.loader != "auto" and not spec.data.source.startswith("shards:"):
        what, cure = "would be ignored: only shards:DIR is read while training", "Drop it"
        yield refused(what, cure, key="execute.loader", value=spec.execute.loader, needs=("data.source",))
