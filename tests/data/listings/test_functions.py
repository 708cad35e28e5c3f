from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data.listings.reading import contents, read_all
from PIL import Image

from lth.data.listing import UNKNOWN
from lth.data.listings import open_listing
from lth.data.listings.functions import called
from lth.errors import DataError

PIXELS = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)


@dataclass
class Rows:
    """A user's sequence, which has nothing but what is asked of it."""

    items: list[Any]
    names: Any = None

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, row: int) -> Any:
        item = self.items[row]
        if isinstance(item, Exception):
            raise item
        return item


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    called.cache_clear()
    yield
    called.cache_clear()


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Returns a function that makes `pets_at_home:make` return what it is given."""

    def serve(made: Any) -> str:
        called.cache_clear()
        module = type(sys)("pets_at_home")
        module.make = lambda: made  # pyright: ignore[reportAttributeAccessIssue]
        monkeypatch.setitem(sys.modules, "pets_at_home", module)
        return "pets_at_home:make"

    return serve


def test_images_of_every_form(serve: Any) -> None:
    images = [b"\xff\xd8", PIXELS, PIXELS[..., 0], Image.fromarray(PIXELS), Image.new("L", (3, 2), 7)]
    source = open_listing(serve({"train": Rows([(image, np.int32(row)) for row, image in enumerate(images)])}))
    assert (source.kind, source.classes, list(source.parts)) == ("function", None, ["train"])
    listing = source.parts["train"]
    assert list(listing.names) == [f"train#{row}" for row in range(5)]
    assert listing.label.tolist() == [UNKNOWN] * 5
    raws = read_all(listing)
    expected = [b"\xff\xd8", PIXELS, PIXELS[..., :1], PIXELS, np.full((2, 3, 3), 7)]
    assert all(np.array_equal(raw.content, one) for raw, one in zip(raws, expected, strict=True))
    assert [raw.label for raw in raws] == [0, 1, 2, 3, 4]


def test_names_and_classes(serve: Any) -> None:
    parts = {"train": Rows([(b"a", 0), (b"b", 1)], ["rex\n.jpg", "ü"]), "test": Rows([(b"c", 1)])}
    source = open_listing(serve({**parts, "classes": ["cat", "dog"]}))
    assert source.classes == ("cat", "dog")
    assert contents(source.parts["train"]) == {"train/rex\\x{a}.jpg": (b"a", 0), "train/ü": (b"b", 1)}
    assert contents(source.parts["test"]) == {"test#0": (b"c", 1)}


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (None, "returned no mapping that has train .*NoneType"),
        ({"test": Rows([1])}, r"returned no mapping that has train \(found \['test'\]\)"),
        ({"train": Rows([1]), "valid": Rows([1])}, r"keys that mean nothing \(found \['valid'\]\)"),
        ({"train": iter([1])}, "train is no sequence"),
        ({"train": {0: 1}}, "train is no sequence"),
        ({"train": Rows([])}, "train is empty"),
        ({"train": Rows([1]), "classes": "cat"}, "classes is not a list of names"),
        ({"train": Rows([1]), "classes": [1]}, "classes is not a list of names"),
        ({"train": Rows([1, 2], ["a"])}, "the 1 names of train are not one each for 2 images"),
        ({"train": Rows([1, 2], ["a", "a"])}, "the 2 names of train are not one each for 2 images"),
    ],
)
def test_what_is_no_set(serve: Any, made: Any, message: str) -> None:
    with pytest.raises(DataError, match=f"pets_at_home:make: .*{message}"):
        open_listing(serve(made))


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (b"x", r"the sequence gave no pair \(found 'bytes'\)"),
        ((b"x", 1, 2), "the sequence gave no pair"),
        ((b"x", -1), "a label that is no class number"),
        ((b"x", True), "a label that is no class number"),
        ((b"x", "1"), "a label that is no class number"),
        ((b"x", 1 << 31), "a label that is no class number"),
        (("x.jpg", 1), r"the sequence gave no image \(found 'str'\)"),
        ((PIXELS / 255, 1), r"the sequence gave no image \(found 'float64"),
        ((np.zeros((0, 2, 3), np.uint8), 1), "the sequence gave no image"),
        (KeyError("gone"), "the sequence raised KeyError: 'gone'"),
    ],
)
def test_what_is_no_item(serve: Any, item: Any, message: str) -> None:
    with pytest.raises(DataError, match=f"pets_at_home:make, train#0: {message}"):
        read_all(open_listing(serve({"train": Rows([item])})).parts["train"])


@pytest.mark.parametrize(
    "item", [ValueError("torn in half"), (Image.new("I;16", (2, 2)), 1), (Image.new("F", (2, 2)), 1)]
)
def test_an_image_that_cannot_be_had_is_that_images_trouble(serve: Any, item: Any) -> None:
    listing = open_listing(serve({"train": Rows([item])})).parts["train"]
    with pytest.raises(ValueError, match=r"torn in half|pixels of more than 8 bits"):
        read_all(listing)


def test_what_cannot_be_imported_or_called(serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(source: str, message: str) -> None:
        with pytest.raises(DataError, match=message):
            open_listing(source)

    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "exits_at_once.py").write_text("raise SystemExit(3)")
    refused("no_such_pets:make", "cannot import 'no_such_pets': ModuleNotFoundError.*was another source meant")
    refused("exits_at_once:make", "cannot import 'exits_at_once': SystemExit: 3")
    serve({})
    refused("pets_at_home:other", r"pets_at_home has no function 'other'.*Its functions are: make\.")
    monkeypatch.setattr(sys.modules["pets_at_home"], "make", lambda: 1 / 0)
    refused("pets_at_home:make", "pets_at_home:make: the function raised ZeroDivisionError")
