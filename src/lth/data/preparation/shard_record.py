"""The record of one finished shard, in the work folder of a preparation: what the manifest is put together from."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lth.data.checksum import file_sha256
from lth.runs.files import atomic_write, sha256_of

ENDINGS = {"raw": "npy", "jpeg": "jpegs"}


@dataclass(frozen=True)
class Record:
    """A shard's rows, bytes and sha256, and row by row: label, name in the source, original width and height.

    `sums` and `squares` are those of each channel's grey levels over all pixels, exact. `offsets` are empty for raw
    shards. `failures` are names and reasons of the images that were left out.
    """

    rows: int
    bytes: int
    sha256: str
    labels: list[int]
    names: list[str]
    sizes: list[tuple[int, int]]
    sums: list[int]
    squares: list[int]
    offsets: list[tuple[int, int]]
    failures: list[tuple[str, str]]


def shard_name(number: int, codec: str) -> str:
    """Returns the file name of a shard, such as "shard-00007.npy"."""
    return f"shard-{number:05d}.{ENDINGS[codec]}"


def write_record(folder: Path, number: int, record: Record) -> None:
    """Returns nothing; the record is in `folder`, with its own checksum. Raises RunError on a full disk."""
    body = json.dumps(asdict(record), separators=(",", ":"))
    atomic_write(_path(folder, number), json.dumps({"sha256": sha256_of(body.encode()), "body": body}))


def read_record(folder: Path, number: int) -> Record | None:
    """Returns the record of a shard; None where there is none that is whole."""
    try:
        outer: dict[str, Any] = json.loads(_path(folder, number).read_bytes())
        if sha256_of(outer["body"].encode()) != outer["sha256"]:
            return None
        return Record(**json.loads(outer["body"]))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def stands(record: Record, shard: Path) -> bool:
    """Returns whether the file of the shard is the one that the record tells of, by its checksum."""
    try:
        return not record.rows or (shard.stat().st_size == record.bytes and file_sha256(shard) == record.sha256)
    except OSError:
        return False


def _path(folder: Path, number: int) -> Path:
    return folder / f"shard-{number:05d}.json"
