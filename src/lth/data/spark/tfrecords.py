"""TFRecord files on Spark: a Python data source, one partition a file, every checksum verified.

spark.dataSource.register(TFRecordSource)
spark.read.format("tfrecord").option("images", "true").load("data/train-*.tfrecord")
"""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from pyspark.sql.datasource import DataSource, DataSourceReader, InputPartition

from lth.data.listing import UNKNOWN, Entry
from lth.data.listings.names import escaped
from lth.data.tfrecords.records import record_spans
from lth.errors import DataError

if TYPE_CHECKING:
    from pyarrow import RecordBatch
    from pyspark.sql import SparkSession

PLACES = "name string, path string, file int, offset bigint, length bigint"
IMAGES = f"{PLACES}, image binary, label bigint"
BATCH_ROWS, BATCH_BYTES = 8192, 16 << 20


class TFRecordSource(DataSource):
    """The records of TFRecord files: name ("FILE#17"), path, number of the file, offset and length of the record.

    With the option `images` also the encoded image (PNG, where the record holds pixels) and the label. `load` takes a
    pattern, or several. A damaged file is a DataError of the job that reads it.
    """

    @classmethod
    def name(cls) -> str:
        """Returns the name of the format."""
        return "tfrecord"

    def schema(self) -> str:
        """Returns the columns."""
        return IMAGES if self._images() else PLACES

    def reader(self, schema: Any) -> TFRecordReader:
        """Returns what reads them."""
        return TFRecordReader(_files(self.options), self._images())

    def _images(self) -> bool:
        return str(self.options.get("images", "false")).lower() == "true"


@dataclass
class FilePartition(InputPartition):
    """One file, its number among all of them, and its name in theirs."""

    path: str
    number: int
    label: str


class TFRecordReader(DataSourceReader):
    """Reads one file after the other, in any number of processes."""

    def __init__(self, files: Sequence[str], images: bool):
        self.files, self.images = files, images

    def partitions(self) -> list[FilePartition]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Returns one partition a file, in the order of their names."""
        folder = os.path.commonpath([os.path.dirname(path) for path in self.files])
        names = [escaped(os.fsencode(os.path.relpath(path, folder))) for path in self.files]
        return [FilePartition(path, number, names[number]) for number, path in enumerate(self.files)]

    def read(self, partition: FilePartition) -> Iterator[RecordBatch]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Yields the records of a file, some thousand at a time."""
        spans = record_spans(partition.path)
        rows = (
            min(BATCH_ROWS, max(1, BATCH_BYTES // int(spans[:, 1].max()))) if self.images and len(spans) else BATCH_ROWS
        )
        for first in range(0, len(spans), rows):
            yield _batch(partition, first, spans[first : first + rows], self.images)


def record_spans_of(session: SparkSession, files: Sequence[str]) -> list[np.ndarray]:
    """Returns offset and size of the records of each file, int64 (n,2), as `record_spans` does, found on Spark.

    Raises DataError for a damaged file.
    """
    session.dataSource.register(TFRecordSource)
    reader = session.read.format("tfrecord").option("paths", json.dumps([glob.escape(path) for path in files]))
    try:
        table = reader.load().select("file", "offset", "length").toArrow()
    except Exception as problem:  # of pyspark or py4j, with the worker's traceback as its text
        raise _told(problem) from problem
    columns = (table.column(name).to_numpy() for name in ("file", "offset", "length"))
    file, offset, length = (np.asarray(column, np.int64) for column in columns)
    order = np.lexsort((offset, file))
    ends = np.searchsorted(file[order], np.arange(1, len(files)))
    return np.split(np.stack([offset[order], length[order]], axis=1), ends)


def _files(options: Any) -> list[str]:
    given = json.loads(options["paths"]) if "paths" in options else [options.get("path", "")]
    found = {os.path.abspath(path) for one in given for path in glob.glob(os.path.expanduser(one), recursive=True)}
    files = sorted(path for path in found if os.path.isfile(path))
    if not files:
        raise DataError("no file matches", at="load", value=given, cure="Load a pattern of TFRecord files.")
    return files


def _batch(partition: FilePartition, first: int, spans: np.ndarray, images: bool) -> RecordBatch:
    import pyarrow

    count = len(spans)
    columns: list[Any] = [
        pyarrow.array([f"{partition.label}#{number}" for number in range(first, first + count)], pyarrow.string()),
        pyarrow.array([partition.path] * count, pyarrow.string()),
        pyarrow.array(np.full(count, partition.number, np.int32)),
        pyarrow.array(np.ascontiguousarray(spans[:, 0])),
        pyarrow.array(np.ascontiguousarray(spans[:, 1])),
    ]
    names = ["name", "path", "file", "offset", "length"]
    if images:
        read = [_image(partition.path, *span) for span in spans.tolist()]
        columns += [pyarrow.array([image for image, _ in read], pyarrow.binary())]
        columns += [pyarrow.array([label for _, label in read], pyarrow.int64())]
        names += ["image", "label"]
    return pyarrow.RecordBatch.from_arrays(columns, names)


def _image(path: str, offset: int, size: int) -> tuple[bytes, int]:
    from lth.data.tfrecords.image import read_record_image

    raw = read_record_image(Entry("", path, offset, size, UNKNOWN))
    if isinstance(raw.content, bytes):
        return raw.content, raw.label
    from PIL import Image

    pixels = raw.content[:, :, 0] if raw.content.shape[2] == 1 else raw.content
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue(), raw.label


def _told(problem: Exception) -> DataError:
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    ours = [line for line in lines if line.startswith("lth.errors.")]
    text = ours[-1].partition(": ")[2] if ours else (lines or [type(problem).__name__])[0]
    return DataError(text)
