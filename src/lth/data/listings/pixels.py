"""Listing of the small sets that are read into memory as a whole: each process opens them once."""

from __future__ import annotations

import os
from functools import lru_cache

import numpy as np

from lth.data.listing import Listing, Source
from lth.data.listings.names import Numbered
from lth.data.sources.dataset import Dataset

NO_PATH = ("digits", "synthetic")


def list_pixels(kind: str, rest: str) -> Source:
    """Returns the images of a set that is named by digits, mnist:DIR, cifar10:PATH, cifar100:PATH or synthetic:OPTIONS.

    Raises what opening it raises: DataError, MissingExtraError.
    """
    if rest and kind not in NO_PATH:
        rest = os.path.abspath(os.path.expanduser(rest))
    source = f"{kind}:{rest}" if rest else kind
    dataset = _opened(source)
    counts = {"train": dataset.labels, "test": dataset.test_labels}
    parts = {part: _listing(source, part, labels) for part, labels in counts.items()}
    return Source(kind, dataset.class_names, parts)


def opened_part(path: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns images uint8 (n,h,w,c) and labels int64 (n,) of "train:SOURCE" or "test:SOURCE"."""
    part, _, source = path.partition(":")
    dataset = _opened(source)
    return (dataset.images, dataset.labels) if part == "train" else (dataset.test_images, dataset.test_labels)


@lru_cache(1)
def _opened(source: str) -> Dataset:
    from lth.data.sources import open_source

    return open_source(source)


def _listing(source: str, part: str, labels: np.ndarray) -> Listing:
    count = len(labels)
    names = Numbered((part,), np.array([0, count]))
    rows, file = np.arange(count), np.zeros(count, np.int32)
    return Listing("pixels", (f"{part}:{source}",), names, file, rows, np.ones(count, np.int64), labels)
