"""What the files of one part say of each other: headers, labels, offsets, names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from lth.data.manifest import HEADER_BYTES, Manifest
from lth.data.npy import read_array, read_shape
from lth.errors import DataError

INT64 = np.dtype("<i8")
LONGEST_LINE = 1 << 16

Problem = tuple[str, str]  # a file's name, and what is wrong with it


def check_contents(folder: Path, manifest: Manifest, bad: set[str], quick: bool) -> list[Problem]:
    """Returns what is wrong with the contents of the files but `bad` ones; `quick` leaves the names of images out."""
    found: list[Problem] = []
    if manifest.preprocessing.codec == "raw":
        for shard in manifest.shards:
            if shard.name not in bad:
                found += _told(shard.name, lambda shard=shard: _pixels(folder / shard.name, shard.rows, manifest))
    if manifest.labels.name not in bad:
        found += _told(manifest.labels.name, lambda: _labels(folder / manifest.labels.name, manifest))
    if manifest.offsets is not None and manifest.offsets.name not in bad:
        name = manifest.offsets.name
        found += _told(name, lambda: _offsets(folder / name, manifest))
    if not quick and manifest.source_index.name not in bad:
        name = manifest.source_index.name
        found += _told(name, lambda: _index(folder / name, manifest.n))
    return found


def _told(name: str, look: Callable[[], None]) -> list[Problem]:
    try:
        look()
    except DataError as problem:
        return [(name, problem.what)]
    except OSError as problem:
        return [(name, f"cannot be read: {problem.strerror}")]
    return []


def _pixels(path: Path, rows: int, manifest: Manifest) -> None:
    shape, begin = read_shape(path, np.dtype(np.uint8))
    side = manifest.preprocessing.size
    wanted = (rows, side, side, manifest.channels)
    if shape != wanted or begin != HEADER_BYTES:
        raise DataError(f"holds {shape} from byte {begin} on, not {wanted} from byte {HEADER_BYTES} on", at=path)


def labels_of(folder: Path, manifest: Manifest) -> np.ndarray:
    """Returns the labels of a part, int64 (n,). Raises DataError where the file is damaged."""
    return read_array(folder / manifest.labels.name, INT64, (manifest.n,))


def offsets_of(folder: Path, manifest: Manifest) -> np.ndarray:
    """Returns begin and end of every row within its shard, int64 (n,2). Raises DataError where the file is damaged."""
    assert manifest.offsets is not None, "offsets belong to the codec jpeg"
    return read_array(folder / manifest.offsets.name, INT64, (manifest.n, 2))


def _labels(path: Path, manifest: Manifest) -> None:
    labels, classes = read_array(path, INT64, (manifest.n,)), len(manifest.classes)
    outside = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(outside):
        row = int(outside[0])
        raise DataError(f"the label of row {row} is {int(labels[row])}, outside 0..{classes - 1}", at=path)


def _offsets(path: Path, manifest: Manifest) -> None:
    offsets, first = read_array(path, INT64, (manifest.n, 2)), 0
    for shard in manifest.shards:
        begin, end = offsets[first : first + shard.rows].T
        joined = np.concatenate([[0], end])
        apart = np.flatnonzero((begin != joined[:-1]) | (end <= begin))
        if len(apart):
            raise DataError(f"row {first + int(apart[0])} does not follow the row before it in {shard.name}")
        if joined[-1] != shard.bytes:
            raise DataError(f"the last row of {shard.name} ends at {int(joined[-1])}, not at {shard.bytes}")
        first += shard.rows


def index_lines(path: Path) -> Iterator[tuple[str, int, int]]:
    """Yields the name in the source, width and height of every row. Raises DataError where a line is none."""
    with path.open("rb") as file:
        number = 0
        while line := file.readline(LONGEST_LINE):
            number += 1
            with suppress(ValueError):
                name, width, height = line.decode().removesuffix("\n").rsplit("\t", 2)
                if line.endswith(b"\n") and width.isdecimal() and height.isdecimal() and name:
                    yield name, int(width), int(height)
                    continue
            raise DataError(f"line {number} is not: name, tab, width, tab, height", at=path)


def _index(path: Path, rows: int) -> None:
    found = sum(1 for _ in index_lines(path))
    if found != rows:
        raise DataError(f"{found} lines, one for each of {rows} rows is expected", at=path)
