"""Listing of the rows of a directory of shards, as `lth data prepare` made it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np

from lth.data.contents import index_lines
from lth.data.listing import Listing, Source
from lth.data.manifest import HEADER_BYTES, NAME, PARTS, Manifest, read_manifest
from lth.data.npy import read_array, read_shape
from lth.data.sources.files import unreadable
from lth.errors import DataError

AGAIN = "Prepare the data again, or copy them again from where they are whole."


def list_shards(rest: str) -> Source:
    """Returns the rows of the directory of shards `rest`, in their order: of the codec raw pixels, else JPEGs.

    Raises DataError where manifests are missing, do not fit each other, or do not fit the files beside them.
    """
    folder = Path(os.path.abspath(os.path.expanduser(rest)))
    if not rest or not folder.is_dir():
        cure = "Write shards:DIR, DIR being a directory that lth data prepare made."
        raise DataError("no such directory", at="data.source", value=f"shards:{rest}", cure=cure)
    manifests = {
        part: read_manifest(folder / part) for part in PARTS if part == "train" or (folder / part / NAME).exists()
    }
    if len({tuple(manifest.classes) for manifest in manifests.values()}) > 1:
        raise DataError("the parts have other classes", at=folder, cure=AGAIN)
    parts = {part: _listing(folder / part, manifest) for part, manifest in manifests.items()}
    return Source("shards", tuple(manifests["train"].classes), parts)


def _listing(folder: Path, manifest: Manifest) -> Listing:
    for file in (manifest.labels, manifest.source_index, manifest.offsets):
        if file is not None and _sha256(folder / file.name) != file.sha256:
            raise DataError("its sha256 is not that of the manifest", at=folder / file.name, cure=AGAIN)
    labels = read_array(folder / manifest.labels.name, np.dtype("<i8"), (manifest.n,))
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(manifest.classes):
        found = (int(labels.min()), int(labels.max()))
        what = f"labels outside 0..{len(manifest.classes) - 1}"
        raise DataError(what, at=folder / manifest.labels.name, value=found, cure=AGAIN)
    rows = [shard.rows for shard in manifest.shards]
    offset, size = _jpeg_places(folder, manifest) if manifest.offsets else _raw_places(folder, manifest)
    names = _names(folder / manifest.source_index.name, manifest.n)
    file = np.repeat(np.arange(len(rows), dtype=np.int32), rows)
    files = tuple(str(folder / shard.name) for shard in manifest.shards)
    kind = "shards_jpeg" if manifest.offsets else "shards"
    return Listing(kind, files, names, file, offset, size, labels)


def _names(path: Path, count: int) -> list[str]:
    """Returns the names that the rows had in the source they were made of."""
    names = [name for name, _, _ in index_lines(path)]
    if len(names) != count or len(set(names)) != count:
        raise DataError(f"it has not one name each for {count} rows", at=path, value=len(names), cure=AGAIN)
    return names


def _raw_places(folder: Path, manifest: Manifest) -> tuple[np.ndarray, np.ndarray]:
    side = manifest.preprocessing.size
    row = side * side * manifest.channels
    for shard in manifest.shards:
        path = folder / shard.name
        shape, begin = read_shape(path, np.dtype(np.uint8))
        if shape != (shard.rows, side, side, manifest.channels) or begin != HEADER_BYTES:
            what = f"an array {shape} at {begin}, not ({shard.rows}, {side}, {side}, 3) at {HEADER_BYTES}"
            raise DataError(what, at=f"{path}, offset 0", cure=AGAIN)
        _check_size(path, HEADER_BYTES + shard.rows * row)
    offset = np.concatenate([HEADER_BYTES + row * np.arange(shard.rows) for shard in manifest.shards] or [np.empty(0)])
    return offset.astype(np.int64), np.full(len(offset), row, np.int64)


def _jpeg_places(folder: Path, manifest: Manifest) -> tuple[np.ndarray, np.ndarray]:
    assert manifest.offsets, "of the codec jpeg"
    path = folder / manifest.offsets.name
    spans = read_array(path, np.dtype("<i8"), (manifest.n, 2))
    first = 0
    for shard in manifest.shards:
        _check_size(folder / shard.name, shard.bytes)
        begin, end = spans[first : first + shard.rows].T
        wrong = np.flatnonzero((begin < 0) | (end < begin) | (end > shard.bytes))
        if len(wrong):
            row = first + int(wrong[0])
            found = tuple(spans[row].tolist())
            raise DataError(f"row {row} lies outside {shard.name}", at=path, value=found, cure=AGAIN)
        first += shard.rows
    return spans[:, 0].copy(), spans[:, 1] - spans[:, 0]


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as problem:
        raise unreadable(path, problem) from problem


def _check_size(path: Path, expected: int) -> None:
    try:
        found = path.stat().st_size
    except OSError as problem:
        raise unreadable(path, problem) from problem
    if found != expected:
        raise DataError(f"{found} bytes, where {expected} are expected", at=path, cure=AGAIN)
