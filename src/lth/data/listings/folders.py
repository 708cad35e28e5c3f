"""Listing of image files, one folder a class, in a folder or in a tar archive."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from lth.data.listing import UNKNOWN, Listing, Source
from lth.data.listings.names import Below, escaped
from lth.data.sources.class_folders import Arrangement, arrange
from lth.data.sources.files import Files, tar_spans
from lth.data.sources.imagefolder import picture_folder
from lth.errors import DataError

Images = tuple[tuple[bytes, int], ...]
Spans = dict[bytes, tuple[int, int]]


def list_imagefolder(rest: str) -> Source:
    """Returns the images of train/CLASS/ and, where it is there, test/CLASS/ (or val/CLASS/) in a folder or a .tar.

    Raises DataError where train/ is missing or holds no images, and for a compressed archive.
    """
    path = Path(os.path.abspath(os.path.expanduser(rest)))
    if not rest or not path.exists():
        cure = "Write imagefolder:PATH, PATH being a folder, or a .tar, that holds train/ and perhaps test/."
        raise DataError("no such folder or archive", at="data.source", value=f"imagefolder:{rest}", cure=cure)
    if path.is_file():
        spans = tar_spans(path)
        plan = arrange(list(spans), path, test_needed=False)
        parts = {part: tar_part("imagefolder", path, spans, images, plan.folder) for part, images in _parts(plan)}
    else:
        files = picture_folder(path)
        plan = arrange(files.names, files.place, test_needed=False)
        parts = {part: _folder_part(files, images, plan.folder) for part, images in _parts(plan)}
    return Source("imagefolder", plan.classes, parts)


def tar_part(kind: str, path: Path, spans: Spans, images: Images, folder: bytes = b"") -> Listing:
    """Returns the listing of `images`, (name, label) each, of the archive `path`, where they lie at `spans`."""
    places = np.array([spans[name] for name, _ in images], np.int64).reshape(-1, 2)
    names = [escaped(name.removeprefix(folder)) for name, _ in images]
    labels = np.array([label for _, label in images], np.int64)
    file = np.zeros(len(images), np.int32)
    return Listing(kind, (str(path),), names, file, places[:, 0].copy(), places[:, 1].copy(), labels)


def _folder_part(files: Files, images: Images, folder: bytes) -> Listing:
    root = os.path.join(os.fsencode(files.place), b"")
    paths = tuple(os.fsdecode(root + name) for name, _ in images)
    labels = np.array([label for _, label in images], np.int64)
    count = len(images)
    whole = np.full(count, UNKNOWN, np.int64)
    file = np.arange(count, dtype=np.int32)
    return Listing("imagefolder", paths, Below(paths, root + folder), file, np.zeros(count, np.int64), whole, labels)


def _parts(plan: Arrangement) -> list[tuple[str, Images]]:
    return [("train", plan.train), *([("test", plan.test)] if plan.test else [])]
