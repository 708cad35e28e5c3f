"""Room on the disk: looked at before, and missing midway."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest
from data.prepared import RAW, Stopped, hashes, image_folder, prepared, some
from small_disk import SmallDisk

from lth.data.preparation.prepare import prepare
from lth.data.preparation.space import bytes_needed
from lth.data.preparation.task import Recipe
from lth.errors import DataError, RunError

Usage = namedtuple("Usage", "total used free")


def test_too_little_room_is_said_before_anything_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = image_folder(tmp_path / "images", 100)
    recipe = Recipe(64, "center", "raw", None)
    jpeg = bytes_needed(109, replace(recipe, codec="jpeg", quality=90))
    for free, cure in ((jpeg + 1, "Take --codec jpeg, which needs about 297.0 kB"), (jpeg - 1, "Free some space")):
        monkeypatch.setattr("shutil.disk_usage", lambda _, free=free: Usage(0, 0, free))
        with pytest.raises(DataError, match=rf"109 rows take about 1\.4 MB, and .* are free here\. {cure}"):
            prepare(source, tmp_path / "out", recipe, run=lambda _: iter(()))
    monkeypatch.undo()

    class Few:
        f_files, f_favail, f_frsize, f_blocks, f_bfree, f_bavail = 10, 3, 1, 1 << 40, 1 << 40, 1 << 40

    monkeypatch.setattr("os.statvfs", lambda _: Few)
    with pytest.raises(DataError, match="36 files are to be made, and the disk has room for 3"):
        prepare(source, tmp_path / "out", recipe, run=lambda _: iter(()))
    monkeypatch.setattr(Few, "f_files", 0)  # a file system that counts none
    assert prepared(source, tmp_path / "out", recipe).manifests["train"].n == 100


def test_shards_that_are_there_need_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = image_folder(tmp_path / "images", 100)
    with pytest.raises(Stopped):
        prepare(source, tmp_path / "out", RAW, run=lambda tasks: some(2, tasks))
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(0, 0, bytes_needed(9, RAW)))
    assert prepared(source, tmp_path / "out").manifests["train"].n == 100


def test_a_disk_that_fills_up_keeps_finished_shards(
    tmp_path: Path, small_disk: SmallDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = image_folder(tmp_path / "images", 300)
    recipe = Recipe(64, "center", "raw", None)
    prepared(source, tmp_path / "out", recipe)
    small = small_disk("size=2m")
    with pytest.raises(DataError, match="are free here"):
        prepared(source, small / "out", recipe)
    with monkeypatch.context() as others:  # another program takes the room that was free
        others.setattr("shutil.disk_usage", lambda _: Usage(0, 0, 1 << 40))
        with pytest.raises(RunError, match=r"disk or the quota is full.*Free some space"):
            prepared(source, small / "out", recipe)
    there = sorted(path.name for path in (small / "out.partial" / "data" / "train").iterdir())
    assert there == ["shard-00000.npy", "shard-00001.npy"], "finished shards stay, the attempt is gone"
    small_disk("size=50m")
    prepared(source, small / "out", recipe)
    assert hashes(small / "out") == hashes(tmp_path / "out")
