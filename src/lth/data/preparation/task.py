"""One shard: read, decoded, resized and written by whatever process an engine gives it to."""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from lth.data.listing import UNKNOWN, Entry, Raw
from lth.data.preparation.shard_file import ShardFile, open_shard
from lth.data.preparation.shard_record import Record, read_record, shard_name, stands, write_record
from lth.errors import DataError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable

    from lth.data.image import Picture

LONGEST_REASON = 200


@dataclass(frozen=True)
class Recipe:
    """What is made of every image: a square of `size` pixels by `policy`, kept as pixels or as JPEG of `quality`."""

    size: int
    policy: Literal["squash", "center", "keep256"]
    codec: Literal["raw", "jpeg"]
    quality: int | None


@dataclass(frozen=True)
class Task:
    """One shard to be made: the images `entries`, in the order of its rows, of the kind `kind`.

    The shard goes to `folder`, its record to `records`. `versions` of the decoder are those that every shard of the
    preparation is made with. Holds no open file and no pixels: it can be sent to another machine.
    """

    number: int
    part: str
    kind: str
    entries: tuple[Entry, ...]
    recipe: Recipe
    folder: str
    records: str
    versions: dict[str, str]


@dataclass(frozen=True)
class Report:
    """What came of a task: rows written, images left out, seconds it took; `reused` where the shard was there."""

    number: int
    part: str
    rows: int
    failures: int
    seconds: float
    reused: bool


@dataclass
class _Rows:
    """What is known of the rows so far; the histogram is int64 (3,256)."""

    labels: list[int] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)
    histogram: np.ndarray = field(default_factory=lambda: np.zeros((3, 256), np.int64))


def make_shard(task: Task) -> Report:
    """Returns the report of a shard that is now in its folder, with its record; the same task gives the same bytes.

    A shard that is there already, and whole, is left as it is. Everything is written to files of this attempt alone,
    and renamed, so that any number of processes may do the same task at once. Images that cannot be decoded
    are left out and listed in the record. Raises DataError for a source that cannot be read and for another version
    of the decoder, RunError on a full disk, MissingExtraError without Pillow.
    """
    began = time.perf_counter()
    folder, records = Path(task.folder), Path(task.records)
    record = read_record(records, task.number)
    reused = record is not None and stands(record, folder / shard_name(task.number, task.recipe.codec))
    if record is None or not reused:
        _check_versions(task)
        record = _make(task, folder)
        write_record(records, task.number, record)
    seconds = time.perf_counter() - began
    return Report(task.number, task.part, record.rows, len(record.failures), seconds, reused)


def _make(task: Task, folder: Path) -> Record:
    recipe, rows = task.recipe, _Rows()
    path = folder / shard_name(task.number, recipe.codec)
    with warnings.catch_warnings(), open_shard(path, recipe.size, recipe.quality, len(task.entries)) as shard:
        # What Pillow warns of (a damaged EXIF block, an odd palette) it has decoded all the same.
        warnings.simplefilter("ignore")
        for entry, picture, label in _pictures(task, rows):
            shard.add(picture.image)
            rows.labels.append(label)
            rows.names.append(entry.name)
            rows.sizes.append((picture.width, picture.height))
            rows.histogram += np.array(picture.image.histogram(), np.int64).reshape(3, 256)
        sha256, size = shard.commit()
    return _record(rows, shard, size, sha256)


def _pictures(task: Task, rows: _Rows) -> Iterator[tuple[Entry, Picture, int]]:
    """Yields what can be decoded; what cannot is noted among the failures."""
    from lth.data.reading import READERS

    read = READERS[task.kind]
    for entry in task.entries:
        try:
            raw = _read(read, entry)
        except ValueError as problem:
            rows.failures.append((entry.name, _reason(problem)))
            continue
        made = _decoded(raw, entry, task.recipe)
        if isinstance(made, str):
            rows.failures.append((entry.name, made))
        else:
            yield entry, made, _label(entry, raw)


def _read(read: Callable[[Entry], Raw], entry: Entry) -> Raw:
    try:
        return read(entry)
    except OSError as problem:
        cure = "See that every worker can read it, and run the same command again."
        raise DataError(f"{entry.name} cannot be read: {problem}", at=entry.path, cure=cure) from problem
    except MemoryError as problem:
        raise _memory(entry) from problem


def _decoded(raw: Raw, entry: Entry, recipe: Recipe) -> Picture | str:
    """Returns the image of the row, or why there is none."""
    from lth.data.image import picture

    try:
        return picture(raw.content, recipe.size, recipe.policy)
    except MemoryError as problem:  # tells of the machine, not of the image
        raise _memory(entry) from problem
    # Pillow's decoders let nearly any exception through when a file is damaged.
    except Exception as problem:
        return _reason(problem)


def _memory(entry: Entry) -> DataError:
    return DataError("not enough memory for the image", at=entry.name, cure="Use fewer workers on this machine.")


def _label(entry: Entry, raw: Raw) -> int:
    label = raw.label if entry.label == UNKNOWN else entry.label
    if not 0 <= label < 1 << 31:
        raise DataError(f"{entry.name} has no label from 0 on", at=entry.path, value=label)
    return int(label)


def _reason(problem: Exception) -> str:
    """Returns why an image is left out, the same words in every process: no addresses of its memory."""
    text = str(problem) if type(problem) is ValueError else f"{type(problem).__name__}: {problem}"
    return re.sub(r" at 0x[0-9a-f]+", "", text)[:LONGEST_REASON]


def _record(rows: _Rows, shard: ShardFile, size: int, sha256: str) -> Record:
    levels = np.arange(256)
    return Record(
        rows=len(rows.labels),
        bytes=size,
        sha256=sha256,
        labels=rows.labels,
        names=rows.names,
        sizes=rows.sizes,
        sums=(rows.histogram @ levels).tolist(),
        squares=(rows.histogram @ levels**2).tolist(),
        offsets=shard.offsets,
        failures=rows.failures,
    )


def _check_versions(task: Task) -> None:
    try:
        from lth.data.image import versions
    except ImportError as problem:
        raise MissingExtraError("Pillow", "data", "the preparation of images") from problem
    if (found := versions()) != task.versions:
        what = f"this worker decodes with {_shown(found)}, the preparation was begun with {_shown(task.versions)}"
        cure = "Install the same version on every machine."
        raise DataError(what, at=f"{task.part}, shard {task.number}", cure=cure)


def _shown(found: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(found.items()))
