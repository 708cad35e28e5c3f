"""Listing of a set of a user's own: what a function "package.module:function" returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from lth.data.listing import UNKNOWN, Entry, Listing, Raw, Source
from lth.data.listings.names import Numbered, escaped
from lth.data.manifest import PARTS
from lth.errors import DataError, LthError
from lth.spec.imported import imported_function

CURE = 'Return {"train": sequence, "test": sequence, "classes": names}, the last two as you like.'
OTHERWISE = "Put the module's folder on PYTHONPATH; or was another source meant, such as imagefolder:PATH?"
ITEM = "An item is (image, label); an image is bytes of a file, uint8 (h,w) or (h,w,c), or a PIL image."


def list_function(source: str) -> Source:
    """Returns the images of the mapping that the function `source` returns; labels are UNKNOWN until they are read.

    Raises DataError where it cannot be imported or called, or returns something else.
    """
    made = called(source)
    if not isinstance(made, Mapping) or PARTS[0] not in made:
        found = sorted(map(str, made)) if isinstance(made, Mapping) else type(made).__name__
        raise DataError("the function returned no mapping that has train", at=source, value=found, cure=CURE)
    if strange := sorted(str(key) for key in made if key not in (*PARTS, "classes")):
        raise DataError("the mapping has keys that mean nothing", at=source, value=strange, cure=CURE)
    parts = {part: _listing(source, part, made[part]) for part in PARTS if part in made}
    return Source("function", _class_names(source, made.get("classes")), parts)


def read_item(entry: Entry) -> Raw:
    """Returns image and label that the sequence gives for `entry`.

    A ValueError of the sequence's own is that of this image; any other exception is a DataError.
    """
    part, _, source = entry.path.partition(":")
    at = f"{source}, {entry.name}"
    try:
        item = called(source)[part][entry.offset]
    except (LthError, ValueError, MemoryError):
        raise
    except Exception as problem:
        raise DataError(f"the sequence raised {type(problem).__name__}: {problem}", at=at) from problem
    if not isinstance(item, tuple) or len(item) != 2:
        raise DataError("the sequence gave no pair", at=at, value=type(item).__name__, cure=ITEM)
    image, label = item
    if isinstance(label, bool) or not isinstance(label, int | np.integer) or not 0 <= label < 1 << 31:
        raise DataError("a label that is no class number from 0 on", at=at, value=label, cure=ITEM)
    return Raw(_content(image, at), int(label))


@lru_cache(1)
def called(source: str) -> Any:
    """Returns what the function "package.module:function" returns. Raises DataError where it cannot be had."""

    def refused(what: str, cure: str) -> DataError:
        return DataError(what, at="data.source", value=source, cure=cure)

    found = imported_function(source, refused, (), OTHERWISE)
    try:
        return found()
    except (LthError, MemoryError):
        raise
    except Exception as problem:
        raise DataError(f"the function raised {type(problem).__name__}: {problem}", at=source) from problem


def _content(image: Any, at: str) -> bytes | np.ndarray:
    if isinstance(image, bytes):
        return image
    if not isinstance(image, np.ndarray) and hasattr(image, "convert"):
        # Pillow's own conversion would cut what has more than 8 bits.
        if image.mode.startswith(("I", "F")):
            raise ValueError(f"pixels of more than 8 bits (mode {image.mode})")
        image = np.asarray(image.convert("RGB"))
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim not in (2, 3) or not image.size:
        found = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise DataError("the sequence gave no image", at=at, value=found, cure=ITEM)
    return image[..., None] if image.ndim == 2 else image


def _listing(source: str, part: str, images: Any) -> Listing:
    if not hasattr(images, "__len__") or not hasattr(images, "__getitem__") or isinstance(images, Mapping):
        raise DataError(f"{part} is no sequence", at=source, value=type(images).__name__, cure=CURE)
    count = len(images)
    if not count:
        raise DataError(f"{part} is empty", at=source, cure=CURE)
    rows, file = np.arange(count), np.zeros(count, np.int32)
    labels = np.full(count, UNKNOWN, np.int64)
    names = _names(source, part, getattr(images, "names", None), count)
    return Listing("function", (f"{part}:{source}",), names, file, rows, np.ones(count, np.int64), labels)


def _names(source: str, part: str, given: Any, count: int) -> Sequence[str]:
    """Returns the names that the sequence has for its images, else "train#17"."""
    if given is None or callable(given):
        return Numbered((part,), np.array([0, count]))
    names = [f"{part}/{escaped(str(name).encode('utf-8', 'backslashreplace'))}" for name in given]
    if len(names) != count or len(set(names)) != count:
        what = f"the {len(names)} names of {part} are not one each for {count} images"
        raise DataError(what, at=source, cure="Give every image a name of its own, or leave `names` away.")
    return names


def _class_names(source: str, given: Any) -> tuple[str, ...] | None:
    if given is None:
        return None
    if isinstance(given, str) or not isinstance(given, Sequence) or not all(isinstance(one, str) for one in given):
        raise DataError("classes is not a list of names", at=source, value=given, cure=CURE)
    return tuple(given) or None
