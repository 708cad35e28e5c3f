"""Prepared images as a data set: the manifests of both parts, their labels, and their rows."""

from __future__ import annotations

import hashlib
import io
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lth.data.manifest import HEADER_BYTES, File, Manifest, read_manifest
from lth.data.rows import Rows, Shelf, open_rows
from lth.data.sources.dataset import Dataset
from lth.errors import DataError
from lth.spec.identity import digest

CURE = "Copy the shards again from where they are whole (lth data verify finds what is damaged), or prepare them again."
MOST_LABELS = 1 << 32


@dataclass(frozen=True)
class Shards:
    """A data set as shards, both parts, whose images are read when they are wanted.

    As `Dataset`, but for the images: labels int64 (n,), `image_shape` (h,w,3); `train` and `test` are the rows.
    `mean` and `deviation` are those of the channels over all training rows, in grey levels 0..255.
    """

    name: str
    train: Rows
    test: Rows
    labels: np.ndarray
    test_labels: np.ndarray
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    dataset_id: str

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of every image."""
        return self.train.shape

    @property
    def bytes(self) -> int:
        """The bytes of all images as pixels, of both parts."""
        return (len(self.labels) + len(self.test_labels)) * int(np.prod(self.image_shape))

    def load(self) -> Dataset:
        """Returns the data set with its images in memory, in the order of the rows. Raises DataError as rows do."""
        images, test_images = (rows.take(np.arange(rows.count)) for rows in (self.train, self.test))
        parts = images, self.labels, test_images, self.test_labels
        return Dataset(self.name, *parts, self.class_names, self.dataset_id, (self.mean, self.deviation))


def open_shards(folder: str | os.PathLike[str], way: str = "auto") -> Shards:
    """Returns the data set in the folder that `lth data prepare` made; nothing of an image is read.

    `way` is "mmap", "pread", or "auto" (`rows.way_of`). Raises DataError where files are missing, have another size
    than the manifest says, or do not fit each other.
    """
    path = Path(os.path.expanduser(folder))
    if not os.fspath(folder) or not path.is_dir():
        cure = "Write shards:DIR, DIR being a folder that lth data prepare made."
        raise DataError("no such folder", at="data.source", value=f"shards:{folder}", cure=cure)
    parts = {part: _manifest(path, part) for part in ("train", "test")}
    train, test = parts["train"], parts["test"]
    for what, one, other in (
        ("classes", train.classes, test.classes), ("size", train.preprocessing.size, test.preprocessing.size),
    ):  # fmt: skip
        if one != other:
            raise DataError(f"training and test images differ in {what}", at=path, value=(one, other), cure=CURE)
    rows = {part: open_rows(_shelf(path / part, manifest), way) for part, manifest in parts.items()}
    labels = {part: _labels(path / part, manifest) for part, manifest in parts.items()}
    return Shards(
        path.resolve().name, rows["train"], rows["test"], labels["train"], labels["test"], tuple(train.classes),
        tuple(train.mean), tuple(train.deviation), digest({part: one.dataset_id for part, one in parts.items()}),
    )  # fmt: skip


def _manifest(path: Path, part: str) -> Manifest:
    if part == "test" and (path / "train").is_dir() and not (path / "test").is_dir():
        cure = "Prepare a source that has a test part (test/, val/ or the validation archive) beside its training part."
        raise DataError("these shards have no test part, and tickets are judged on one", at=path, cure=cure)
    manifest = read_manifest(path / part)
    at = path / part / "manifest.json"
    if manifest.part != part:
        raise DataError(f"this is the {manifest.part} part, in the folder {part}", at=at, cure=CURE)
    if not manifest.n or not manifest.classes:
        raise DataError(f"the {part} part holds no images", at=at, cure="Prepare it from a source that has some.")
    if len(manifest.mean) != manifest.channels or len(manifest.deviation) != manifest.channels:
        raise DataError("mean and deviation are not one a channel", at=at, cure=CURE)
    if not all(one > 0 for one in manifest.deviation):
        raise DataError("a deviation is not above 0", at=at, value=manifest.deviation, cure=CURE)
    return manifest


def _shelf(folder: Path, manifest: Manifest) -> Shelf:
    size, codec = manifest.preprocessing.size, manifest.preprocessing.codec
    paths = [folder / shard.name for shard in manifest.shards]
    counts = np.array([shard.rows for shard in manifest.shards], np.int64)
    sizes = [shard.bytes for shard in manifest.shards]
    offsets = None
    if codec == "raw":
        for path, shard in zip(paths, manifest.shards, strict=True):
            if shard.bytes != HEADER_BYTES + shard.rows * size * size * manifest.channels:
                what = f"{shard.bytes} bytes are not {shard.rows} rows of {size} x {size} pixels behind the header"
                raise DataError(what, at=path, cure=CURE)
    elif manifest.offsets is not None:
        offsets = _array(folder, manifest.offsets, (manifest.n, 2))
    return Shelf(paths, counts, sizes, (size, size, manifest.channels), offsets)


def _labels(folder: Path, manifest: Manifest) -> np.ndarray:
    labels = _array(folder, manifest.labels, (manifest.n,))
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(manifest.classes):
        found = int(labels.min()), int(labels.max())
        what = f"labels lie outside 0..{len(manifest.classes) - 1}"
        raise DataError(what, at=folder / manifest.labels.name, value=found, cure=CURE)
    return labels


def _array(folder: Path, file: File, shape: tuple[int, ...]) -> np.ndarray:
    """The npy file int64 `shape`, whose checksum is looked at: it is small, and all depends on it."""
    path = folder / file.name
    try:
        if os.path.getsize(path) != file.bytes:
            raise DataError("has another size than the manifest says", at=path, value=os.path.getsize(path), cure=CURE)
        content = path.read_bytes()
    except OSError as problem:
        raise DataError(f"cannot be read: {problem.strerror}", at=path, cure=CURE) from problem
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise DataError("its bytes are not those that the manifest records", at=path, cure=CURE)
    try:
        array = np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError, OSError) as problem:
        raise DataError(f"not an npy file: {problem}", at=path, cure=CURE) from problem
    if array.dtype != np.int64 or array.shape != shape:
        found = f"{array.dtype} {array.shape}"
        raise DataError(f"not int64 {shape}", at=path, value=found, cure=CURE)
    array.flags.writeable = False
    return array
