from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from data.listings import shards_made
from data.listings.reading import contents, read_all
from data.listings.shards_made import npy, write

from lth.data.listings import open_listing
from lth.errors import DataError


def test_raw_rows(tmp_path: Path) -> None:
    write(tmp_path, "train", [0, 1, 1, 0])
    write(tmp_path, "test", [1])
    source = open_listing(f"shards:{tmp_path}")
    assert (source.kind, source.classes, list(source.parts)) == ("shards", ("cat", "dog"), ["train", "test"])
    raws = read_all(source.parts["train"])
    assert np.array_equal([raw.content for raw in raws], [np.full((2, 2, 3), row) for row in range(4)])
    assert [raw.label for raw in raws] == [0, 1, 1, 0]
    assert list(source.parts["train"].names) == [f"train/{row}.png" for row in range(4)]
    assert source.parts["train"].offset.tolist() == [4096, 4108, 4120, 4096]


def test_jpegs(tmp_path: Path) -> None:
    write(tmp_path, "train", [0, 1, 1, 0], "jpeg")
    source = open_listing(f"shards:{tmp_path}")
    assert contents(source.parts["train"]) == {
        "train/0.png": (b"jpeg 0", 0),
        "train/1.png": (b"jpeg 1", 1),
        "train/2.png": (b"jpeg 2", 1),
        "train/3.png": (b"jpeg 3", 0),
    }


def test_nothing_there(tmp_path: Path) -> None:
    for rest in ("", tmp_path / "absent"):
        with pytest.raises(DataError, match=r"no such directory .* Write shards:DIR"):
            open_listing(f"shards:{rest}")
    with pytest.raises(DataError, match=r"train/manifest\.json: no shards here"):
        open_listing(f"shards:{tmp_path}")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("labels.npy", npy(np.array([0, 1, 1, 1])), r"labels\.npy: its sha256 is not that of the manifest"),
        ("source_index", b"x", r"source_index: its sha256 is not that of the manifest"),
        ("labels.npy", None, r"labels\.npy: cannot be read: No such file"),
        ("shard-00001.npy", None, r"shard-00001\.npy: cannot be read: No such file"),
        ("shard-00001.npy", b"", r"shard-00001\.npy, offset 0: not an npy file"),
        (
            "shard-00001.npy",
            npy(np.zeros((2, 2, 2, 3), np.uint8), 4096),
            "offset 0: an array .2, 2, 2, 3. at 4096, not",
        ),
        ("shard-00001.npy", npy(np.zeros((1, 2, 2, 3), np.uint8)), "offset 0: an array .* at 128, not"),
        ("shard-00001.npy", npy(np.zeros((1, 2, 2, 3), np.int8), 4096), r"offset 10: not an array of \|u1 in C order"),
        ("shard-00001.npy", npy(np.zeros((1, 2, 2, 3), np.uint8), 4096)[:-1], "4107 bytes, where 4108 are expected"),
    ],
)
def test_files_that_do_not_fit_the_manifest(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    write(tmp_path, "train", [0, 1, 1, 0])
    (tmp_path / "train" / name).unlink()
    if content is not None:
        (tmp_path / "train" / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        open_listing(f"shards:{tmp_path}")


def test_a_shard_of_jpegs_that_is_cut(tmp_path: Path) -> None:
    write(tmp_path, "train", [0, 1, 1, 0], "jpeg")
    os.truncate(tmp_path / "train" / "shard-00001.jpegs", 5)
    with pytest.raises(DataError, match=r"shard-00001\.jpegs: 5 bytes, where 6 are expected"):
        open_listing(f"shards:{tmp_path}")


def test_names_that_do_not_fit_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for index in (b"a\t1\t1\n", b"a\t1\t1\na\t1\t1\n"):
        monkeypatch.setattr(shards_made, "_index", lambda part, rows, index=index: index)
        write(tmp_path / str(len(index)), "train", [0, 1])
        with pytest.raises(DataError, match=r"source_index: it has not one name each for 2 rows \(found \d\)"):
            open_listing(f"shards:{tmp_path / str(len(index))}")
