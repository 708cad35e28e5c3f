"""Small sets of image files, one folder a class, in a folder or in a tar archive."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from lth.data.sources.class_folders import TESTS, TRAIN, arrange
from lth.data.sources.dataset import Dataset, make_dataset
from lth.data.sources.files import Files, folder_files, tar_files
from lth.errors import DataError, MissingExtraError

MOST_SIZE = 4096


def open_imagefolder(rest: str, image_size: int | None = None) -> Dataset:
    """Returns the RGB images of train/CLASS/ and test/CLASS/ (or val/CLASS/) in the folder or tar archive `rest`.

    Raises DataError where parts are missing, images cannot be decoded, or, without `image_size`, differ in size;
    MissingExtraError without Pillow.
    """
    path = Path(os.path.expanduser(rest))
    if not rest or not os.path.exists(path):
        cure = "Write imagefolder:PATH, PATH being a folder, or a tar archive, that holds train/ and test/."
        raise DataError("no such folder or archive", at="data.source", value=f"imagefolder:{rest}", cure=cure)
    if image_size is not None and not 1 <= image_size <= MOST_SIZE:
        raise DataError("out of range", at="data.image_size", value=image_size, cure=f"Take 1 to {MOST_SIZE}.")
    try:
        from lth.data.sources.pictures import decode_pictures
    except ImportError as problem:
        raise MissingExtraError("Pillow", "data", "the source 'imagefolder'") from problem
    with _files(path) as files:
        plan = arrange(files.names, files.place)
        images = decode_pictures(files, [name for name, _ in plan.train + plan.test], image_size)
    labels = np.array([label for _, label in plan.train + plan.test])
    train = len(plan.train)
    name = path.resolve().name.removesuffix(".gz").removesuffix(".tgz").removesuffix(".tar")
    parts = (images[:train], labels[:train]), (images[train:], labels[train:])
    return make_dataset(name, *parts, plan.classes)


@contextmanager
def _files(path: Path) -> Iterator[Files]:
    """Yields the files of an archive or a folder."""
    if path.is_file():
        with tar_files(path) as files:
            yield files
        return
    yield picture_folder(path)


def picture_folder(path: Path) -> Files:
    """Returns the files of a folder, or of its only subfolder, that matter. Raises DataError."""
    parts = [part.decode() for part in (TRAIN, *TESTS)]
    if not (path / parts[0]).is_dir():
        inner = [name for name in next(os.walk(path), ("", [], []))[1] if not name.startswith(".")]
        path = path / inner[0] if len(inner) == 1 else path
    return folder_files(path, [part for part in parts if (path / part).is_dir()])
