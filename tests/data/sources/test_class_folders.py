from __future__ import annotations

import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lth.data.sources.class_folders import TESTS, arrange
from lth.errors import DataError

PLACE = Path("place")
NAMES = ["train/dog/2.jpg", "train/cat/b.PNG", "train/cat/a.jpeg", "test/dog/x.jpg", "test/cat/y.jpg"]


def encoded(names: list[str]) -> list[bytes]:
    return [name.encode() for name in names]


def test_classes_and_images_are_in_alphabetical_order() -> None:
    plan = arrange(encoded(NAMES), PLACE)
    assert plan.classes == ("cat", "dog")
    assert plan.train == ((b"train/cat/a.jpeg", 0), (b"train/cat/b.PNG", 0), (b"train/dog/2.jpg", 1))
    assert plan.test == ((b"test/cat/y.jpg", 0), (b"test/dog/x.jpg", 1))


@given(st.permutations(NAMES), st.sampled_from(["", "set/", "train.d/"]), st.sampled_from(TESTS))
def test_neither_order_nor_one_more_folder_nor_the_name_of_the_test_set_matter(
    names: list[str], folder: str, test: bytes
) -> None:
    moved = [name.replace(b"test/", test + b"/") for name in encoded([folder + name for name in names] + ["README"])]
    plan, plain = arrange(moved, PLACE), arrange(encoded(NAMES), PLACE)
    assert plan.classes == plain.classes
    for part, other in ((plan.train, plain.train), (plan.test, plain.test)):
        assert [label for _, label in part] == [label for _, label in other]
        assert [name.rpartition(b"/")[2] for name, _ in part] == [name.rpartition(b"/")[2] for name, _ in other]


def test_order_is_by_bytes() -> None:
    names = ["train/b/1.jpg", "train/B/1.jpg", "train/é/1.jpg", "train/a/10.jpg", "train/a/9.jpg", "test/a/1.jpg"]
    plan = arrange(encoded(names), PLACE)
    assert plan.classes == ("B", "a", "b", "é")
    assert [name for name, label in plan.train if label == 1] == [b"train/a/10.jpg", b"train/a/9.jpg"]


def test_images_may_lie_deeper_in_their_class() -> None:
    plan = arrange(encoded(["train/a/images/1.jpg", "train/a/images/2.txt", "test/a/1.jpg"]), PLACE)
    assert plan.train == ((b"train/a/images/1.jpg", 0),)


def test_test_goes_before_val_and_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="lth")
    plan = arrange(encoded([*NAMES, "val/cat/v.jpg", "valid/bird/v.jpg"]), PLACE)
    assert [name for name, _ in plan.test] == [b"test/cat/y.jpg", b"test/dog/x.jpg"]
    assert caplog.messages == ["place: test/ is the test set, val/, valid/ is not read"]


def test_files_that_are_no_images_are_passed_over_with_a_line(caplog: pytest.LogCaptureFixture) -> None:
    names = encoded([*NAMES, "train/cat/list.txt", "train/dog/x", "train/names.csv", "other/x.jpg"])
    assert arrange(names, PLACE) == arrange(encoded(NAMES), PLACE)
    assert caplog.messages == ["place: 2 files are no images by their names: train/cat/list.txt, train/dog/x"]


def test_names_that_are_not_utf_8() -> None:
    plan = arrange([b"train/\xff/\xfe.jpg", b"train/\xc3\xa9/1.jpg", b"test/\xff/1.jpg"], PLACE)
    assert plan.classes == ("é", "\\xff")
    assert plan.train[1] == (b"train/\xff/\xfe.jpg", 1)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], r"there is no train folder \(found \[\]\)\. Images lie in train/CLASS/"),
        (["Train/a/1.jpg", "Test/a/1.jpg"], r"there is no train folder \(found \['Test', 'Train'\]\)"),
        (["x/y/train/a/1.jpg", "x/y/test/a/1.jpg"], r"there is no train folder \(found \['y'\]\)"),
        (["train", "test"], "there is no train folder"),
        (["train/a/1.jpg", "test"], r"there is no test or val folder \(found \['train'\]\)\. Put images aside"),
        (["train/a/1.jpg", "test/", "test/1.jpg", "test/2.JPG"], r"2 images lie in test/ itself, .*\['test/1\.jpg', "),
        (["train/1.jpg", "train/a/1.jpg", "test/a/1.jpg"], "1 images lie in train/ itself, in no class folder"),
        (["train/x.txt", "test/a/1.jpg"], "train/ holds no class folders"),
        (
            [*NAMES, "train/owl/", "train/emu/x.txt"],
            r"2 class folders of train/ hold no images \(found \['emu', 'owl'\]",
        ),
        ([*NAMES, "test/owl/1.jpg"], r"test/ has 1 classes that train/ has not \(found \['owl'\]\)"),
        (["train/a/1.jpg", "val/a/", "val/a/x.txt"], "val/ holds no images"),
    ],
)
def test_what_is_missing_is_named(names: list[str], message: str) -> None:
    with pytest.raises(DataError, match=f"^place: {message}"):
        arrange(encoded(names), PLACE)
