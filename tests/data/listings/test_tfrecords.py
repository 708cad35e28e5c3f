from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from data.listings.reading import contents, read_all
from data.tfrecords import message, write

from lth.data.listing import UNKNOWN
from lth.data.listings import open_listing
from lth.errors import DataError


def put(path: Path, *labels: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return write(path, *(message(image=b"%d" % label, label=label) for label in labels))


def parts(pattern: object) -> dict[str, list[str]]:
    return {part: list(listing.names) for part, listing in open_listing(f"tfrecord:{pattern}").parts.items()}


def test_a_file_of_no_part_is_for_training(tmp_path: Path) -> None:
    source = open_listing(f"tfrecord:{put(tmp_path / 'latest.tfrecord', 3, 1)}")  # "test" inside a word is no word
    assert (source.kind, source.classes, list(source.parts)) == ("tfrecord", None, ["train"])
    listing = source.parts["train"]
    assert contents(listing) == {"latest.tfrecord#0": (b"3", 3), "latest.tfrecord#1": (b"1", 1)}
    assert listing.label.tolist() == [UNKNOWN] * 2
    assert listing.names[-1:] == ["latest.tfrecord#1"]


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("cifar10-train.tfrecord-{}-of-00002", "cifar10-test.tfrecord-{}-of-00002"),
        ("train-{}-of-01024", "validation-{}-of-00128"),
        ("cifar10_train_{}.tfrecord", "cifar10_val_{}.tfrecord"),
        ("set_training.{}", "set_valid.{}"),
    ],
)
def test_parts_by_the_words_in_the_names(tmp_path: Path, train: str, test: str) -> None:
    for number in (1, 0):
        put(tmp_path / train.format(number), number, number)
        put(tmp_path / test.format(number), number)
    assert parts(tmp_path / "*") == {
        "train": [f"{train.format(number)}#{row}" for number in (0, 1) for row in (0, 1)],
        "test": [f"{test.format(number)}#0" for number in (0, 1)],
    }


def test_files_in_several_folders_and_empty_ones(tmp_path: Path) -> None:
    put(tmp_path / "b" / "train-0", 1, 2)
    put(tmp_path / "a" / "train-0")
    put(tmp_path / "a" / "train-1", 5)
    listing = open_listing(f"tfrecord:{tmp_path}/**/train-*").parts["train"]
    assert list(listing.names) == ["a/train-1#0", "b/train-0#0", "b/train-0#1"]
    assert [raw.label for raw in read_all(listing)] == [5, 1, 2]
    assert [entry.name for entry in listing.entries(np.array([2, 0]))] == ["b/train-0#1", "a/train-1#0"]


def test_names_of_classes_beside_the_files(tmp_path: Path) -> None:
    put(tmp_path / "x-train", 0)
    (tmp_path / "label.labels.txt").write_text("airplane\nautomobile\n")
    assert open_listing(f"tfrecord:{tmp_path}/x-*").classes == ("airplane", "automobile")
    (tmp_path / "label.labels.txt").write_bytes(b"\xff")
    with pytest.raises(DataError, match=r"label\.labels\.txt: not text"):
        open_listing(f"tfrecord:{tmp_path}/x-*")


def test_validation_is_not_read_where_there_is_a_test_set(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for part in ("train", "test", "validation"):
        put(tmp_path / f"{part}-0", 1)
    with caplog.at_level(logging.INFO, "lth"):
        assert parts(tmp_path / "*") == {"train": ["train-0#0"], "test": ["test-0#0"]}
    assert "files of test are the test set, those of validation are not read" in caplog.text


def test_files_that_are_missing_by_their_numbers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in (0, 2):
        put(tmp_path / f"train-0000{number}-of-00003", number)
    put(tmp_path / "test-00000-of-00001", 1)
    assert len(parts(tmp_path / "*")["train"]) == 2
    assert [record.getMessage() for record in caplog.records] == [f"{tmp_path}/train-*-of-3: 2 of 3 files are there"]


def test_what_is_refused(tmp_path: Path) -> None:
    def refused(pattern: object, expected: str) -> None:
        with pytest.raises(DataError, match=expected):
            open_listing(f"tfrecord:{pattern}")

    refused("", "no file matches")
    refused(tmp_path / "*", r"data\.source: no file matches .* Write tfrecord:PATTERN")
    put(tmp_path / "test-0", 1)
    refused(tmp_path / "*", r"there are no files of the training set \(found \['test'\]\)")
    put(tmp_path / "train-0")
    put(tmp_path / "train-1")
    refused(tmp_path / "train*", "the files hold no records")
    put(tmp_path / "train-test", 1)
    refused(tmp_path / "*", "train-test: its name says both train and test")
    (tmp_path / "train-test").rename(tmp_path / "notes")
    refused(tmp_path / "*", "notes: its name says neither train nor test")
    (tmp_path / "train-1").write_bytes(b"no records here")
    refused(tmp_path / "train*", "train-1, offset 0: not a TFRecord file, or a damaged one")


def test_the_real_files(test_data: Path) -> None:
    found = open_listing(f"tfrecord:{test_data / 'tfrecord'}/cifar10_*.tfrecord").parts
    assert {part: len(listing) for part, listing in found.items()} == {"train": 128, "test": 128}
    raws = read_all(found["test"])
    assert all(isinstance(raw.content, bytes) and raw.content.startswith(b"\x89PNG") for raw in raws)
    assert {raw.label for raw in raws} == set(range(10))
