"""A preparation from source to manifest: what comes out, going on after a stop, and whatever is refused."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from data.prepared import JPEG, RAW, Stopped, backwards, hashes, here, image_folder, prepared, some
from PIL import Image

from lth.data.image import decode
from lth.data.manifest import read_manifest
from lth.data.preparation.local import local_engine
from lth.data.preparation.prepare import FailuresError, prepare
from lth.data.preparation.shard_file import open_shard
from lth.data.preparation.task import Recipe, Report, Task, make_shard
from lth.data.statistics import statistics_of_sums
from lth.errors import DataError, RunError
from lth.runs import claim


def test_what_a_preparation_makes(tmp_path: Path) -> None:
    source = image_folder(tmp_path / "images", 150)
    out = tmp_path / "shards"
    summary = prepared(source, out)
    assert sorted(os.listdir(tmp_path)) == ["images", "shards"], "the work folder is gone"
    assert sorted(os.listdir(out)) == ["plan.json", "test", "train"]
    shards = [f"shard-{number:05d}.npy" for number in range(3)]
    assert sorted(os.listdir(out / "train")) == ["labels.npy", "manifest.json", *shards, "source_index.tsv"]
    manifest = read_manifest(out / "train")
    assert manifest == summary.manifests["train"]
    assert (manifest.n, manifest.rows_per_shard, [shard.rows for shard in manifest.shards]) == (150, 64, [64, 64, 22])
    assert (manifest.part, manifest.source, manifest.classes) == ("train", "imagefolder", ["cat", "dog", "eel"])
    assert hashes(out / "train") == {
        **{file.name: file.sha256 for file in manifest.files()},
        "manifest.json": hashes(out / "train")["manifest.json"],
    }
    assert all((out / "train" / file.name).stat().st_size == file.bytes for file in manifest.files())
    labels = np.load(out / "train" / "labels.npy")
    rows = np.concatenate([np.load(out / "train" / shard, mmap_mode="r") for shard in shards])
    lines = (out / "train" / "source_index.tsv").read_text().splitlines()
    assert (labels.dtype, len(labels), len(lines)) == (np.int64, 150, 150)
    for row, label, line in zip(rows, labels, lines, strict=True):
        name, width, height = line.split("\t")
        assert manifest.classes[label] == name.split("/")[1]
        content = (tmp_path / "images" / name).read_bytes()
        assert decode(content, None).shape == (int(height), int(width), 3)
        assert np.array_equal(row, decode(content, 16))
    pixels = rows.reshape(-1, 3).astype(np.int64)
    mean, deviation = statistics_of_sums(len(pixels), pixels.sum(0).tolist(), (pixels**2).sum(0).tolist())
    assert (manifest.mean, manifest.deviation) == (mean, deviation)
    assert read_manifest(out / "test").n == 9
    assert (summary.images, summary.already) == (159, False)


def test_a_jpeg_preparation_has_offsets(tmp_path: Path) -> None:
    out = tmp_path / "shards"
    manifest = prepared(image_folder(tmp_path / "images", 100, bad=[3]), out, JPEG, max_failures=1).manifests["train"]
    assert manifest.offsets is not None
    offsets = np.load(out / "train" / "offsets.npy")
    assert (offsets.dtype, offsets.shape) == (np.int64, (99, 2))
    row = 0
    for shard in manifest.shards:
        content = (out / "train" / shard.name).read_bytes()
        mine = offsets[row : row + shard.rows]
        assert (mine[0, 0], mine[-1, 1]) == (0, len(content))
        assert all(content[begin : begin + 2] == b"\xff\xd8" for begin, _ in mine)
        row += shard.rows
    assert [failure.source for failure in manifest.failures] == ["train/cat/00003.jpg"]


@pytest.mark.parametrize("recipe", [RAW, JPEG, replace(RAW, policy="squash"), Recipe(8, "keep256", "raw", None)])
def test_order_and_interruptions_change_no_byte(tmp_path: Path, recipe: Recipe) -> None:
    source = image_folder(tmp_path / "images", 200, bad=[7])
    prepared(source, tmp_path / "a", recipe, max_failures=1)
    prepare(source, tmp_path / "b", recipe, run=backwards, max_failures=1)
    for count in (0, 1, 3):
        with pytest.raises(Stopped):
            prepare(source, tmp_path / "c", recipe, run=lambda tasks, n=count: some(n, tasks), max_failures=1)
        assert not (tmp_path / "c").exists()
    again = prepared(source, tmp_path / "c", recipe, max_failures=1)
    assert again.images < 209, "finished shards were not made again"
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b") == hashes(tmp_path / "c")


def test_a_second_call_finds_everything_done(tmp_path: Path) -> None:
    source = image_folder(tmp_path / "images", 70)
    first = prepared(source, tmp_path / "out")
    before = hashes(tmp_path / "out")

    def never(_: object) -> Iterator[Report]:
        raise AssertionError("no shard is to be made")

    second = prepare(source, tmp_path / "out", RAW, run=never)
    assert (second.already, second.images, second.images_per_second) == (True, 0, None)
    assert second.manifests == first.manifests
    (tmp_path / "out.partial").mkdir()  # as when the last step was interrupted
    assert prepare(source, tmp_path / "out", RAW, run=never).already
    assert not (tmp_path / "out.partial").exists()
    assert hashes(tmp_path / "out") == before


def test_another_content_is_refused_with_what_differs(tmp_path: Path) -> None:
    source = image_folder(tmp_path / "images", 70)
    prepared(source, tmp_path / "out")
    with pytest.raises(DataError, match=r"out: another preparation.*size: 16 there, 17 asked for.*Choose another"):
        prepared(source, tmp_path / "out", replace(RAW, size=17))
    with pytest.raises(Stopped):
        prepare(source, tmp_path / "b", RAW, run=lambda tasks: some(1, tasks))
    before = hashes(tmp_path / "b.partial")
    (tmp_path / "images" / "train" / "cat" / "00000.jpg").unlink()
    with pytest.raises(DataError, match=r"train\.images: 70 there, 69 asked for.*or remove .*b\.partial to begin"):
        prepared(source, tmp_path / "b")
    assert hashes(tmp_path / "b.partial") == before


def test_a_directory_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    source = image_folder(tmp_path / "images", 5)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("a file")
    with pytest.raises(DataError, match=r"cannot be read.*Choose another directory"):
        prepared(source, tmp_path / "full")
    with pytest.raises(DataError, match="a file stands where"):
        prepared(source, tmp_path / "file")
    with pytest.raises(RunError, match="a file stands where"):
        prepared(source, tmp_path / "file" / "below")
    assert hashes(tmp_path / "full").keys() == {"mine.txt"}
    assert prepared(source, tmp_path / "empty").manifests["train"].n == 5


def test_a_link_to_an_empty_directory_and_a_mount_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = image_folder(tmp_path / "images", 5)
    (tmp_path / "big" / "empty").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "big" / "empty")
    prepared(source, tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert sorted(os.listdir(tmp_path / "big" / "empty")) == ["plan.json", "test", "train"]
    (tmp_path / "top").mkdir()
    monkeypatch.setattr("os.path.ismount", lambda _: True)
    with pytest.raises(DataError, match=r"top: the top of a file system.*Name a folder below it"):
        prepared(source, tmp_path / "top")


def test_whoever_was_taken_for_dead_ends_in_peace(tmp_path: Path) -> None:
    """The claim was stolen, and the thief has finished first: the directory is there, and the same."""
    source = image_folder(tmp_path / "images", 70)

    def late(tasks: Sequence[Task]) -> Iterator[Report]:
        yield from here(tasks)
        shutil.copytree(tmp_path / "thief", tmp_path / "out")

    prepared(source, tmp_path / "thief")
    summary = prepare(source, tmp_path / "out", RAW, run=late)
    assert hashes(tmp_path / "out") == hashes(tmp_path / "thief")
    assert not (tmp_path / "out.partial").exists()
    assert summary.manifests["train"].n == 70


def test_an_attempt_that_was_cleared_away_is_an_error(tmp_path: Path) -> None:
    with open_shard(tmp_path / "a.npy", 2, None, 1) as shard:
        shard.add(Image.new("RGB", (2, 2)))
        next(tmp_path.glob(".*.tmp")).unlink()
        with pytest.raises(RunError, match="somebody else cleared"):
            shard.commit()


def test_too_many_failures_stop_with_the_first_named(tmp_path: Path) -> None:
    source = image_folder(tmp_path / "images", 150, bad=[1, 2, 80, 81, 82, 83, 84])
    for limit, allowed in ((0.001, 0), (2, 2), (0.03, 4)):
        with pytest.raises(FailuresError) as raised:
            prepared(source, tmp_path / "out", max_failures=limit)
        assert f"more than the {allowed} of 159 allowed: train/" in str(raised.value)
        assert "not an image" in str(raised.value)
        assert (tmp_path / "out.partial" / "data" / "train" / "shard-00000.npy").exists(), "what is finished stays"
    manifest = prepared(source, tmp_path / "out", max_failures=7).manifests["train"]
    assert (manifest.n, len(manifest.failures)) == (143, 7)


def test_a_part_without_one_good_image_is_refused(tmp_path: Path) -> None:
    source = image_folder(tmp_path / "images", 3, bad=[0, 1, 2])
    with pytest.raises(DataError, match=r"train: none of the images can be decoded; train/\w+/\d+.jpg: not an image"):
        prepared(source, tmp_path / "out", max_failures=1.0)
    assert not (tmp_path / "out").exists()


def test_an_engine_that_gives_too_little_is_noticed(tmp_path: Path) -> None:
    source = image_folder(tmp_path / "images", 70)
    with pytest.raises(DataError, match="1 shards were not made, the first of them train, 1"):
        prepare(
            source, tmp_path / "out", RAW, run=lambda tasks: (make_shard(task) for task in tasks if not task.number)
        )


def test_attempts_of_killed_processes_are_cleared(tmp_path: Path) -> None:
    source = image_folder(tmp_path / "images", 70)
    with pytest.raises(Stopped):
        prepare(source, tmp_path / "out", RAW, run=lambda tasks: some(1, tasks))
    left = tmp_path / "out.partial" / "data" / "train" / ".shard-00001.npy.0123456789ab.tmp"
    left.write_bytes(b"half a shard")
    prepared(source, tmp_path / "out")
    assert not list((tmp_path / "out").rglob(".*"))


def test_of_two_preparations_one_wins_and_the_other_says_so(tmp_path: Path) -> None:
    source = image_folder(tmp_path / "images", 70)
    refused = []

    def busy(tasks: Sequence[Task]) -> Iterator[Report]:
        with pytest.raises(RunError) as raised:
            prepared(source, tmp_path / "out")
        refused.append(str(raised.value))
        yield from here(tasks)

    assert prepare(source, tmp_path / "out", RAW, run=busy).manifests["train"].n == 70
    assert f"another preparation is at work here: process {os.getpid()} on {socket.gethostname()!r}" in refused[0]


def test_the_claim_of_a_dead_process_is_taken_over(tmp_path: Path) -> None:
    source = image_folder(tmp_path / "images", 70)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    folder = tmp_path / "out.partial" / "claims"
    folder.mkdir(parents=True)
    owner = claim.Owner.here()
    held = {"host": owner.host, "boot": owner.boot, "pid": dead.pid, "started": "1"}
    (folder / "preparation").write_text(json.dumps(held))
    assert prepared(source, tmp_path / "out").manifests["train"].n == 70


def test_the_odd_images_are_rows_or_failures_with_reasons(test_data: Path, tmp_path: Path) -> None:
    """All 160 as one class: what is no row is listed, and the same in every process."""
    odd = test_data / "odd-images"
    for part in ("train", "test"):
        folder = tmp_path / "images" / part / "odd"
        folder.mkdir(parents=True)
        for path in sorted(odd.rglob("*")):
            if path.is_file() and "as-imagenet" not in path.parts and path.name != "EXPECTED.csv":
                shutil.copy(path, folder / f"{path.name}.jpg")
    source = f"imagefolder:{tmp_path / 'images'}"
    one = prepared(source, tmp_path / "a", max_failures=0.5)
    with local_engine(2) as run:
        prepare(source, tmp_path / "b", RAW, run=run, max_failures=0.5)
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")
    manifest = one.manifests["test"]
    assert manifest.n + len(manifest.failures) == len(list((tmp_path / "images" / "test" / "odd").iterdir()))
    assert len(manifest.failures) >= 60
    assert all(failure.reason and "0x" not in failure.reason for failure in manifest.failures)
