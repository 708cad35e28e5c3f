"""One shard: its bytes, what is left out of it, and that it can be made any number of times."""

from __future__ import annotations

import dataclasses
import io
import itertools
import warnings
from multiprocessing import Pipe
from pathlib import Path

import numpy as np
import pytest
from data.prepared import JPEG, RAW, hashes, image_folder
from PIL import Image

from lth.data.image import decode
from lth.data.listings import open_listing
from lth.data.preparation.plan import Tasks, make_plan, record_folder, shard_folder
from lth.data.preparation.shard_file import npy_header
from lth.data.preparation.shard_record import read_record
from lth.data.preparation.task import Recipe, Task, make_shard
from lth.errors import DataError


def tasks(tmp_path: Path, recipe: Recipe = RAW, train: int = 70, bad: tuple[int, ...] = ()) -> list[Task]:
    source = image_folder(tmp_path / "images", train, bad=bad)
    for part in ("train", "test"):
        shard_folder(tmp_path, part).mkdir(parents=True)
        record_folder(tmp_path, part).mkdir(parents=True)
    return list(Tasks(make_plan(open_listing(source), recipe), tmp_path))


def test_a_raw_shard_is_an_npy_file_whose_rows_begin_at_a_page(tmp_path: Path) -> None:
    task = tasks(tmp_path)[0]
    report = make_shard(task)
    assert (report.number, report.part, report.rows, report.failures, report.reused) == (0, "train", 64, 0, False)
    path = Path(task.folder) / "shard-00000.npy"
    assert path.stat().st_size == 4096 + 64 * 16 * 16 * 3
    rows = np.load(path, mmap_mode="r")
    assert isinstance(rows, np.memmap)
    assert (rows.offset, rows.shape, rows.dtype) == (4096, (64, 16, 16, 3), np.uint8)
    for row, entry in zip(rows, task.entries, strict=True):
        assert np.array_equal(row, decode(Path(entry.path).read_bytes(), 16))
    record = read_record(Path(task.records), 0)
    assert record is not None
    assert record.names == [entry.name for entry in task.entries]
    assert record.labels == [entry.label for entry in task.entries]
    exact = np.asarray(rows).astype(np.int64)
    assert record.sums == exact.sum((0, 1, 2)).tolist()
    assert record.squares == (exact**2).sum((0, 1, 2)).tolist()


def test_a_jpeg_shard_is_streams_end_to_end(tmp_path: Path) -> None:
    task = tasks(tmp_path, JPEG)[0]
    assert make_shard(task).rows == 64
    content = (Path(task.folder) / "shard-00000.jpegs").read_bytes()
    record = read_record(Path(task.records), 0)
    assert record is not None
    ends = [0, *(end for _, end in record.offsets)]
    assert [tuple(one) for one in record.offsets] == list(itertools.pairwise(ends))
    assert ends[-1] == len(content) == record.bytes
    for entry, (begin, end) in zip(task.entries, record.offsets, strict=True):
        with Image.open(io.BytesIO(content[begin:end])) as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (16, 16))
        again = io.BytesIO()
        Image.fromarray(decode(Path(entry.path).read_bytes(), 16, "squash")).save(again, "JPEG", quality=90)
        assert content[begin:end] == again.getvalue()


@pytest.mark.parametrize("recipe", [RAW, JPEG])
def test_images_that_cannot_be_decoded_are_left_out_and_listed(tmp_path: Path, recipe: Recipe) -> None:
    task = tasks(tmp_path, recipe, bad=(0, 5, 33))[0]
    report = make_shard(task)
    record = read_record(Path(task.records), 0)
    assert record is not None
    assert report.rows + report.failures == len(task.entries) == 64
    assert 1 <= report.failures <= 3
    bad = {f"train/{['cat', 'dog', 'eel'][number % 3]}/{number:05d}.jpg" for number in (0, 5, 33)}
    assert {name for name, _ in record.failures} <= bad
    assert all(reason.startswith("not an image, or of a kind") for _, reason in record.failures)
    if recipe is RAW:
        rows = np.load(Path(task.folder) / "shard-00000.npy", mmap_mode="r")
        assert rows.shape == (report.rows, 16, 16, 3)
        kept = [entry for entry in task.entries if entry.name in record.names]
        assert np.array_equal(rows[-1], decode(Path(kept[-1].path).read_bytes(), 16))


def test_a_shard_that_stands_is_kept_and_one_that_does_not_is_made_again(tmp_path: Path) -> None:
    task = tasks(tmp_path)[0]
    make_shard(task)
    path, record = Path(task.folder) / "shard-00000.npy", Path(task.records) / "shard-00000.json"
    first, inode = hashes(tmp_path / "data"), path.stat().st_ino
    assert make_shard(task).reused
    assert path.stat().st_ino == inode
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    for damage in (bytes(content), bytes(content[:-1]), None):
        path.unlink() if damage is None else path.write_bytes(damage)
        assert not make_shard(task).reused
        assert hashes(tmp_path / "data") == first
    whole = record.read_bytes()
    for damage in (whole.replace(b"cat", b"cow", 1), whole[:-9], b"[]", b"", None):
        record.unlink() if damage is None else record.write_bytes(damage)
        assert not make_shard(task).reused
        assert record.read_bytes() == whole
    assert {path.name for path in Path(task.folder).iterdir()} == {"shard-00000.npy"}, "no attempt stays"


def test_a_task_can_be_sent_away(tmp_path: Path) -> None:
    task = tasks(tmp_path)[0]
    here, there = Pipe()
    here.send(task)
    assert there.recv() == task


def test_a_file_that_is_gone_stops_the_shard_and_leaves_nothing(tmp_path: Path) -> None:
    task = tasks(tmp_path)[0]
    Path(task.entries[9].path).unlink()
    with pytest.raises(DataError, match=r"\d+\.jpg"):
        make_shard(task)
    assert list(Path(task.folder).iterdir()) == []


def test_another_version_of_the_decoder_is_refused(tmp_path: Path) -> None:
    task = dataclasses.replace(tasks(tmp_path)[0], versions={"pillow": "0.1"})
    with pytest.raises(DataError, match=r"this worker decodes with .*pillow .*, the preparation .* pillow 0\.1"):
        make_shard(task)


def test_reasons_hold_no_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = tasks(tmp_path)[0]

    def broken(*_: object) -> None:
        raise OSError("cannot identify image file <_io.BytesIO object at 0x7f4e1b90be20>")

    monkeypatch.setattr("lth.data.image.picture", broken)
    make_shard(task)
    record = read_record(Path(task.records), 0)
    assert record is not None
    assert record.failures[0][1] == "OSError: cannot identify image file <_io.BytesIO object>"
    assert not (Path(task.folder) / "shard-00000.npy").exists(), "a shard without rows has no file"


def test_what_pillow_warns_of_is_decoded_without_a_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lth.data import image

    task, picture = tasks(tmp_path)[0], image.picture

    def warning(*arguments: object) -> object:
        warnings.warn("Corrupt EXIF data", UserWarning, stacklevel=1)
        return picture(*arguments)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(image, "picture", warning)
    assert make_shard(task).failures == 0


@pytest.mark.parametrize(("rows", "size"), [(1, 1), (1736, 227), (10**9, 4096)])
def test_the_header_is_the_one_that_numpy_reads(rows: int, size: int) -> None:
    stream = io.BytesIO(npy_header(rows, size))
    assert np.lib.format.read_magic(stream) == (1, 0)
    assert np.lib.format.read_array_header_1_0(stream) == ((rows, size, size, 3), False, np.dtype("u1"))
    assert stream.tell() == 4096
