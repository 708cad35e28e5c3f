"""Damaged shards are errors that name the file, when they are opened and while they are read."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data.shard_folders import npy, write_part, write_shards
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lth.data.manifest import identify, text
from lth.data.shards import open_shards
from lth.data.sources import Dataset
from lth.errors import DataError

PROGRAM = Path(__file__).with_name("reading_program.py")


@pytest.fixture(scope="module", params=["raw", "jpeg"])
def whole(colours: Dataset, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    parts = (colours.images, colours.labels), (colours.test_images, colours.test_labels)
    folder = tmp_path_factory.mktemp("shards") / request.param
    return write_shards(folder, *parts, colours.class_names, codec=request.param)


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / whole.name))


def first_shard(folder: Path, part: str = "train") -> Path:
    return min((folder / part).glob("shard-*"))


def rewrite(folder: Path, part: str, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / part / "manifest.json"
    content = json.loads(path.read_text())
    del content["dataset_id"]
    change(content)
    path.write_text(text(identify(content)))


def test_the_identity_is_that_of_both_parts(whole: Path, folder: Path) -> None:
    before = open_shards(whole).dataset_id
    assert open_shards(folder).dataset_id == before
    rewrite(folder, "test", lambda content: content.update(source="another"))
    assert open_shards(folder).dataset_id != before


@pytest.mark.parametrize("place", ["", "nowhere"])
def test_no_folder(tmp_path: Path, place: str) -> None:
    with pytest.raises(DataError, match=r"data\.source: no such folder .*Write shards:DIR"):
        open_shards(tmp_path / place if place else "")


def test_no_test_part(folder: Path) -> None:
    shutil.rmtree(folder / "test")
    with pytest.raises(DataError, match=r"no test part, .*Prepare a source that has a test part"):
        open_shards(folder)


def test_no_manifest(folder: Path) -> None:
    (folder / "train" / "manifest.json").unlink()
    with pytest.raises(DataError, match=r"train.manifest\.json: no shards here"):
        open_shards(folder)


@pytest.mark.parametrize("way", ["mmap", "pread"])
@pytest.mark.parametrize("size", [0, 100, 4096, -1])
def test_a_shortened_shard_is_found_when_it_is_opened(folder: Path, size: int, way: str) -> None:
    path = first_shard(folder)
    os.truncate(path, size if size >= 0 else path.stat().st_size - 1)
    with pytest.raises(DataError, match=rf"{path.name}: has \d+ bytes, and \d+ in the manifest"):
        open_shards(folder, way)


def test_a_missing_shard(folder: Path) -> None:
    first_shard(folder, "test").unlink()
    with pytest.raises(DataError, match=r"shard-00000\.\w+: cannot be opened: No such file"):
        open_shards(folder)


@pytest.mark.parametrize("name", ["labels.npy", "offsets.npy"])
def test_small_files_are_checked_to_the_bit(folder: Path, name: str) -> None:
    path = folder / "train" / name
    if not path.exists():
        pytest.skip("no offsets in raw shards")
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"{name}: its bytes are not those that the manifest records"):
        open_shards(folder)
    path.unlink()
    with pytest.raises(DataError, match=rf"{name}: cannot be read"):
        open_shards(folder)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"classes": ["only one"]}, "differ in classes"),
        ({"part": "test"}, "this is the test part, in the folder train"),
        ({"mean": [1.0]}, "not one a channel"),
        ({"deviation": [1.0, 0.0, 1.0]}, "not above 0"),
    ],
)
def test_manifests_that_do_not_fit(folder: Path, change: dict[str, Any], what: str) -> None:
    rewrite(folder, "train", lambda content: content.update(change))
    with pytest.raises(DataError, match=what):
        open_shards(folder)


def test_labels_beyond_the_classes(colours: Dataset, tmp_path: Path) -> None:
    labels = colours.labels.copy()
    labels[7] = 9
    parts = (colours.images, labels), (colours.test_images, colours.test_labels)
    folder = write_shards(tmp_path / "odd", *parts, colours.class_names)
    with pytest.raises(DataError, match=r"labels\.npy: labels lie outside 0\.\.4"):
        open_shards(folder)


def test_labels_of_another_kind(folder: Path) -> None:
    import hashlib

    content = npy(np.zeros(203, np.int32))
    (folder / "train/labels.npy").write_bytes(content)
    file = {"name": "labels.npy", "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    rewrite(folder, "train", lambda manifest: manifest.update(labels=file))
    with pytest.raises(DataError, match=r"labels\.npy: not int64 \(203,\) \(found 'int32"):
        open_shards(folder)


def test_parts_of_two_sizes(colours: Dataset, tmp_path: Path) -> None:
    write_part(tmp_path / "a/train", "train", colours.images, colours.labels, colours.class_names)
    write_part(tmp_path / "a/test", "test", colours.test_images[:, :6, :6], colours.test_labels, colours.class_names)
    with pytest.raises(DataError, match=r"differ in size \(found \(8, 6\)\)"):
        open_shards(tmp_path / "a")


@contextmanager
def flipped(path: Path, at: int, bit: int) -> Iterator[None]:
    """A file with one bit flipped, for a while."""
    content = path.read_bytes()
    path.write_bytes(content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :])
    yield
    path.write_bytes(content)


def taken(folder: Path, rows: np.ndarray) -> np.ndarray | str:
    try:
        return open_shards(folder).train.take(rows)
    except DataError as problem:
        return str(problem)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 4095), bit=st.integers(0, 7))
def test_a_flipped_bit_in_a_header_is_an_error_or_changes_nothing(folder: Path, at: int, bit: int) -> None:
    path, rows = first_shard(folder), np.arange(5)
    if path.suffix == ".npy":
        before = taken(folder, rows)
        with flipped(path, at, bit):
            found = taken(folder, rows)
        assert path.name in found if isinstance(found, str) else np.array_equal(found, before)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_flipped_bit_in_a_jpeg_is_an_error_or_an_image(folder: Path, at: int, bit: int) -> None:
    path = first_shard(folder)
    if path.suffix == ".jpegs":
        with flipped(path, at % path.stat().st_size, bit):
            found = taken(folder, np.arange(50))
        assert f"{path.name}: row" in found if isinstance(found, str) else found.shape == (50, 8, 8, 3)


def test_offsets_that_lead_nowhere(folder: Path) -> None:
    import hashlib

    path = folder / "train/offsets.npy"
    if not path.exists():
        return
    offsets = np.load(path)
    offsets[3] = (10, 1 << 40)
    offsets[4] = (10, 5)
    content = npy(offsets)
    path.write_bytes(content)
    file = {"name": "offsets.npy", "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    rewrite(folder, "train", lambda manifest: manifest.update(offsets=file))
    for row in (3, 4):
        with pytest.raises(DataError, match=r"shard-00000\.jpegs: has no bytes 10 to"):
            open_shards(folder).train.take(np.array([row]))


@pytest.mark.parametrize("way", ["mmap", "pread"])
@pytest.mark.parametrize("harm", ["truncate", "unlink"])
def test_a_shard_that_goes_away_in_use_is_an_error_and_no_signal(folder: Path, way: str, harm: str) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(PROGRAM), str(folder), way]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        for _ in range(20):
            assert process.stdout.readline().strip().isdigit()
        path = first_shard(folder)
        if harm == "truncate":
            os.truncate(path, 100)
        else:
            path.unlink()
        lines = process.stdout.read().splitlines()
        assert process.wait() == 2
    what = "has 100 bytes" if harm == "truncate" else "was deleted while it was in use"
    assert path.name in lines[-1]
    assert what in lines[-1] or "shortened" in lines[-1]
    assert "run the same command" in lines[-1]
