"""What is planned: how many shards, which rows in which, and by what a preparation is known again."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from data.prepared import RAW
from hypothesis import given
from hypothesis import strategies as st

from lth.data.listing import UNKNOWN, Listing, Source
from lth.data.order import permutation
from lth.data.preparation.plan import SEED, Tasks, check_recipe, compare, listing_digest, make_plan, rows_per_shard
from lth.data.preparation.task import Recipe
from lth.errors import DataError, MissingExtraError


def listing(n: int, kind: str = "imagefolder", folder: str = "x") -> Listing:
    whole = np.full(n, UNKNOWN, np.int64)
    names = [f"train/a/{row}.jpg" for row in range(n)]
    files = tuple(f"{folder}/{name}" for name in names)
    return Listing(kind, files, names, np.arange(n, dtype=np.int32), np.zeros(n, np.int64), whole, np.arange(n) % 2)


def source(n: int, test: int = 3) -> Source:
    return Source("imagefolder", ("a", "b"), {"train": listing(n), "test": listing(test)})


@pytest.mark.parametrize(
    ("n", "size", "rows"),
    [(1, 227, 64), (4096, 227, 64), (4097, 227, 65), (10_000, 227, 157), (1_281_167, 227, 1736), (1_281_167, 64, 20019),
     (500, 1024, 64), (500, 1183, 63), (500, 4096, 5)],
)  # fmt: skip
def test_rows_per_shard(n: int, size: int, rows: int) -> None:
    assert rows_per_shard(n, size) == rows
    assert rows * size * size * 3 <= 256 << 20


@given(st.integers(1, 700), st.integers(1, 80))
def test_the_tasks_hold_every_image_once_in_the_fixed_order(n: int, test: int) -> None:
    tasks = Tasks(make_plan(source(n, test), RAW), Path("work"))
    assert len(tasks) == -(-n // 64) + -(-test // 64)
    for part, count in (("train", n), ("test", test)):
        mine = [task for task in tasks if task.part == part]
        assert [task.number for task in mine] == list(range(len(mine)))
        assert {len(task.entries) for task in mine[:-1]} <= {64}
        names = [entry.name for task in mine for entry in task.entries]
        assert names == [f"train/a/{row}.jpg" for row in permutation(SEED, 0, count)]
    assert tasks[-1] == list(tasks)[-1] == tasks[-1:][0]


def test_moved_data_are_the_same_data() -> None:
    assert listing_digest(listing(9)) == listing_digest(listing(9, folder="elsewhere"))


def test_other_names_labels_sizes_or_kinds_are_other_data() -> None:
    one = listing(9)
    others = [
        dataclasses.replace(one, kind="tfrecord"),
        dataclasses.replace(one, names=[*one.names[:-1], "b"]),
        dataclasses.replace(one, label=one.label[::-1].copy() + 1),
        dataclasses.replace(one, size=one.size + 9),
        listing(8),
    ]
    assert len({listing_digest(other) for other in (one, *others)}) == 6


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (Recipe(0, "center", "raw", None), r"--size: out of range \(found 0\)"),
        (Recipe(4097, "center", "raw", None), "out of range"),
        (Recipe(257, "keep256", "raw", None), r"cuts the square out of 256 pixels \(found 257\).*policy center"),
        (Recipe(9, "center", "raw", 90), "--quality: would be ignored"),
        (Recipe(9, "center", "jpeg", None), "--quality: out of range"),
        (Recipe(9, "center", "jpeg", 101), "--quality: out of range"),
    ],
)
def test_recipes_that_cannot_be_made(recipe: Recipe, message: str) -> None:
    with pytest.raises(DataError, match=message):
        check_recipe(recipe)


def test_a_source_without_images_is_refused() -> None:
    with pytest.raises(DataError, match="test: no images are listed"):
        make_plan(source(3, 0), RAW)


def test_without_pillow_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "lth.data.image", raising=False)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtraError, match=r"preparation of images needs the package 'Pillow'.*lth\[data\]"):
        make_plan(source(3), RAW)


def test_what_differs_is_named(tmp_path: Path) -> None:
    plan = make_plan(source(5), RAW)
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(plan.record))
    compare(path, plan, "cure")
    other = make_plan(source(6), dataclasses.replace(RAW, size=17, policy="squash"))
    with pytest.raises(DataError) as raised:
        compare(path, other, "Do this.")
    assert "parts.train.images: 5 there, 6 asked for" in str(raised.value)
    assert 'preprocessing.policy: "center" there, "squash" asked for' in str(raised.value)
    assert "preprocessing.size: 16 there, 17 asked for. Do this." in str(raised.value)
    for damage in ("", "[", "\xff"):
        path.write_bytes(damage.encode("latin-1"))
        with pytest.raises(DataError, match="cannot be read"):
            compare(path, plan, "cure")
    path.write_text("[]")
    with pytest.raises(DataError, match="another preparation"):
        compare(path, plan, "cure")
