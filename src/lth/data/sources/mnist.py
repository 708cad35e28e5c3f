"""MNIST, Fashion-MNIST and other sets in four idx files."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from lth.data.sources.dataset import Dataset, make_dataset
from lth.data.sources.idx import read_idx
from lth.errors import DataError

# Images are (n,h,w) or (n,h,w,c), labels (n,).
IMAGE_DIMS, LABEL_DIMS = (3, 4), (1,)
PARTS = ("train-images", "train-labels", "t10k-images", "t10k-labels")


def open_mnist(rest: str) -> Dataset:
    """Returns the data set in the folder `rest`, with as many classes as the largest label plus one.

    Each of the files train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and
    t10k-labels-idx1-ubyte may be gzip-compressed (.gz) and may have a dot before "idx". Raises DataError
    where one is missing or damaged, or where they do not fit each other.
    """
    folder = Path(os.path.expanduser(rest))
    if not rest or not folder.is_dir():
        cure = "Write mnist:DIR, DIR being the folder that holds the idx files."
        raise DataError("no such folder", at="data.source", value=f"mnist:{rest}", cure=cure)
    files = {part: path for part in PARTS if (path := _find(folder, part))}
    missing = [f"{part} ({', '.join(_names(part))})" for part in PARTS if part not in files]
    if missing:
        raise DataError(f"the folder lacks {'; '.join(missing)}", at=folder, cure="Put one file of each kind there.")
    train, test = (_pair(files[f"{part}-images"], files[f"{part}-labels"]) for part in ("train", "t10k"))
    classes = int(max(train[1].max(), test[1].max())) + 1
    return make_dataset(folder.resolve().name, train, test, classes)


def _pair(images: Path, labels: Path) -> tuple[np.ndarray, np.ndarray]:
    pair = read_idx(images, IMAGE_DIMS), read_idx(labels, LABEL_DIMS)
    if len(pair[0]) != len(pair[1]):
        what = f"{len(pair[0])} images, but {len(pair[1])} labels in {labels.name}"
        raise DataError(what, at=images, cure="Take image and label files of the same set.")
    return pair


def _find(folder: Path, part: str) -> Path | None:
    return next((folder / name for name in _names(part) if (folder / name).is_file()), None)


def _names(part: str) -> list[str]:
    """Returns the names a file may have, the preferred one first."""
    dims = IMAGE_DIMS if part.endswith("images") else LABEL_DIMS
    return [f"{part}{dot}idx{n}-ubyte{end}" for n in dims for dot in "-." for end in ("", ".gz")]
