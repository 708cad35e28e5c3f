"""TFRecord files as a Python data source of Spark."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from data.prepared import RAW, hashes, prepared
from data.record_files import message, write
from PIL import Image

from lth.data.listings import open_listing
from lth.data.preparation.plan import listing_digest
from lth.data.preparation.prepare import prepare
from lth.data.spark.engine import spark_engine
from lth.data.spark.tfrecords import TFRecordSource, record_spans_of
from lth.data.tfrecords.records import record_spans
from lth.errors import DataError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.long


def png(number: int) -> bytes:
    stream = BytesIO()
    Image.fromarray(np.full((9, 9, 3), number * 5 % 256, np.uint8)).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """Returns a folder of three files for training, one of them empty, and one of test data."""
    folder = tmp_path / "records"
    folder.mkdir()
    for name, first, count in (("train-0", 0, 70), ("train-1", 70, 0), ("train-2", 70, 9), ("test-0", 79, 5)):
        images = [message(image=png(number), label=number % 4) for number in range(first, first + count)]
        write(folder / f"{name}.tfrecord", *images)
    return folder


@pytest.fixture
def spark(local_spark: SparkSession) -> SparkSession:
    local_spark.dataSource.register(TFRecordSource)
    return local_spark


def test_devices_are_those_of_the_local_walk(spark: SparkSession, records: Path):
    files = sorted(map(str, records.glob("train*")))
    for there, here in zip(record_spans_of(spark, files), map(record_spans, files), strict=True):
        np.testing.assert_array_equal(there, here)


def test_a_listing_made_on_spark_is_the_local_one(spark: SparkSession, records: Path, tmp_path: Path):
    source = f"tfrecord:{records}/*.tfrecord"
    with spark_engine() as engine:
        there, here = engine.listing(source), open_listing(source)
        for part in ("train", "test"):
            assert listing_digest(there.parts[part]) == listing_digest(here.parts[part])
            assert there.parts[part].files == here.parts[part].files
            np.testing.assert_array_equal(there.parts[part].offset, here.parts[part].offset)
        prepare(source, tmp_path / "there", RAW, run=engine, listing=engine.listing)
    prepared(source, tmp_path / "here")
    assert hashes(tmp_path / "there") == hashes(tmp_path / "here")


def test_people_read_names_places_images_and_labels(spark: SparkSession, records: Path):
    frame = spark.read.format("tfrecord").option("images", "true").load(f"{records}/t*-[02].tfrecord")
    assert frame.columns == ["name", "path", "file", "offset", "length", "image", "label"]
    rows = frame.orderBy("path", "offset").collect()
    assert [row.name for row in rows[:2]] == ["test-0.tfrecord#0", "test-0.tfrecord#1"]
    assert rows[-1].path == str(records / "train-2.tfrecord")
    order = [*range(79, 84), *range(70), *range(70, 79)]
    assert [bytes(row.image) for row in rows] == [png(number) for number in order]
    assert [row.label for row in rows] == [number % 4 for number in order]
    assert spark.read.format("tfrecord").load(f"{records}/*").count() == 84


def test_pixels_come_as_png(spark: SparkSession, tmp_path: Path):
    pixels = np.arange(64, dtype=np.float32).reshape(8, 8)
    write(tmp_path / "x.tfrecord", message(image_floats=pixels.ravel() / 64, image_class=3))
    (row,) = spark.read.format("tfrecord").option("images", "true").load(f"{tmp_path}/x.tfrecord").collect()
    np.testing.assert_array_equal(np.asarray(Image.open(BytesIO(row.image))), np.rint(pixels / 64 * 255))
    assert row.label == 3


@pytest.mark.parametrize(("place", "images"), [(8, False), (300, True)])
def test_a_flipped_byte_is_an_error_that_names_the_file(spark: SparkSession, records: Path, place: int, images: bool):
    path = records / "train-0.tfrecord"
    content = bytearray(path.read_bytes())
    content[place] ^= 4
    path.write_bytes(content)
    with pytest.raises(Exception, match=r"lth\.errors\.DataError: .*train-0\.tfrecord, offset .* checksum"):
        spark.read.format("tfrecord").option("images", str(images)).load(str(path)).collect()
    if not images:
        with pytest.raises(DataError) as here:
            record_spans(str(path))
        with pytest.raises(DataError) as there:
            record_spans_of(spark, [str(path)])
        assert str(there.value) == str(here.value)


def test_no_file_is_an_error(spark: SparkSession, tmp_path: Path):
    with pytest.raises(Exception, match="no file matches"):
        spark.read.format("tfrecord").load(f"{tmp_path}/none*").collect()
