"""The end of a preparation: records of shards become labels, names, offsets and the manifest of a part."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from lth.data.manifest import FORMAT_VERSION, NAME, Manifest, identify, text
from lth.data.preparation.plan import Plan, record_folder, shard_folder
from lth.data.preparation.shard_record import Record, read_record, shard_name
from lth.data.statistics import statistics_of_sums
from lth.errors import DataError
from lth.runs.files import atomic_write, sha256_of

LABELS, SOURCE_INDEX, OFFSETS = "labels.npy", "source_index.tsv", "offsets.npy"
ODD = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
AGAIN = "Run the same command again."


def write_parts(plan: Plan, work: Path) -> dict[str, Manifest]:
    """Returns the manifests of all parts, now written in `work`, every one after what it speaks of.

    Raises DataError for labels outside the classes, or a part of which no image could be decoded.
    """
    records = {part: part_records(plan, work, part) for part in plan.source.parts}
    classes = plan.source.classes
    if classes is None:
        most = max(max(record.labels, default=-1) for part in records.values() for record in part)
        classes = tuple(map(str, range(most + 1)))
    return {part: _write_part(plan, work, part, records[part], classes) for part in records}


def part_records(plan: Plan, work: Path, part: str) -> list[Record]:
    """Returns the records of all shards of a part, in order. Raises DataError where one is missing or damaged."""
    records = found_records(plan, work, part)
    whole = [record for record in records if record is not None]
    if len(whole) < len(records):
        what = f"the record of shard {records.index(None)} is missing or damaged"
        raise DataError(what, at=record_folder(work, part), cure=AGAIN)
    return whole


def found_records(plan: Plan, work: Path, part: str) -> list[Record | None]:
    """Returns the records of the shards of a part, in order; None for one that is not there."""
    of = plan.record["parts"][part]
    shards = -(-of["images"] // of["rows_per_shard"])
    return [read_record(record_folder(work, part), number) for number in range(shards)]


def _write_part(plan: Plan, work: Path, part: str, records: Sequence[Record], classes: Sequence[str]) -> Manifest:
    folder, codec = shard_folder(work, part), plan.recipe.codec
    rows = sum(record.rows for record in records)
    if not rows:
        first = next(chain.from_iterable(record.failures for record in records))
        raise DataError(f"none of the images can be decoded; {written(first[0])}: {first[1]}", at=f"{work}, {part}")
    _check_labels(records, classes, f"{plan.source.kind}, {part}")
    labels = np.fromiter(chain.from_iterable(record.labels for record in records), np.int64, rows)
    manifest = identify(
        {
            "format_version": FORMAT_VERSION,
            "part": part,
            "source": plan.source.kind,
            "n": rows,
            "channels": 3,
            "classes": [written(name) for name in classes],
            "rows_per_shard": plan.record["parts"][part]["rows_per_shard"],
            "shards": _shards(records, codec),
            "labels": _file(folder, LABELS, npy_bytes(labels)),
            "source_index": _file(folder, SOURCE_INDEX, "".join(map(_lines, records)).encode()),
            "offsets": _file(folder, OFFSETS, npy_bytes(_offsets(records))) if codec == "jpeg" else None,
            "preprocessing": plan.record["preprocessing"],
            **_statistics(records, rows * plan.recipe.size**2),
            "failures": [
                {"source": written(name), "reason": written(reason)}
                for record in records
                for name, reason in record.failures
            ],
        }
    )
    atomic_write(folder / NAME, text(manifest))
    return manifest


def _check_labels(records: Iterable[Record], classes: Sequence[str], place: str) -> None:
    for record in records:
        for label, name in zip(record.labels, record.names, strict=True):
            if label >= len(classes):
                what = f"{written(name)} has a label outside 0..{len(classes) - 1}"
                raise DataError(what, at=place, value=label, cure="Mend the labels of the source.")


def _shards(records: Iterable[Record], codec: str) -> list[dict[str, Any]]:
    """A shard of whose images none could be decoded has no file, and is not listed."""
    return [
        {"name": shard_name(number, codec), "rows": record.rows, "bytes": record.bytes, "sha256": record.sha256}
        for number, record in enumerate(records)
        if record.rows
    ]


def _file(folder: Path, name: str, data: bytes) -> dict[str, Any]:
    atomic_write(folder / name, data)
    return {"name": name, "bytes": len(data), "sha256": sha256_of(data)}


def _offsets(records: Iterable[Record]) -> np.ndarray:
    return np.array(list(chain.from_iterable(record.offsets for record in records)), np.int64).reshape(-1, 2)


def _lines(record: Record) -> str:
    rows = zip(record.names, record.sizes, strict=True)
    return "".join(f"{written(name)}\t{width}\t{height}\n" for name, (width, height) in rows)


def _statistics(records: Sequence[Record], pixels: int) -> dict[str, list[float]]:
    sums, squares = ([sum(channel) for channel in zip(*rows, strict=True)] for rows in _sums(records))
    mean, deviation = statistics_of_sums(pixels, sums, squares)
    return {"mean": mean, "deviation": deviation}


def _sums(records: Iterable[Record]) -> tuple[list[list[int]], list[list[int]]]:
    return [record.sums for record in records], [record.squares for record in records]


def npy_bytes(array: np.ndarray) -> bytes:
    """Returns an array as an npy file, version 1.0, whatever the version of NumPy."""
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.ascontiguousarray(array, array.dtype.newbyteorder("<")), version=(1, 0))
    return stream.getvalue()


def written(text: str) -> str:
    """Returns a text as one line of UTF-8: controls and lone surrogates become escapes, as listings have them."""
    return ODD.sub(lambda found: f"\\x{{{ord(found[0]):x}}}", text)
