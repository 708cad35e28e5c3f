"""What prepared data are said to be, and the pictures shown of them."""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from data.shards import draw, prepared
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lth.data.care.info import read_info
from lth.data.care.sheet import choose, contact_sheet
from lth.data.manifest import read_manifest
from lth.errors import DataError, MissingExtraError


def test_facts_are_those_of_the_pictures(raw_shards: Path) -> None:
    info = read_info(raw_shards)
    train, test = info.parts
    assert (train.part, train.n, train.counts) == ("train", 90, {"apple": 30, "bear": 30, "chair": 30})
    assert (test.part, test.n, test.spread()) == ("test", 24, (8, 8, 8))
    assert train.width == pytest.approx(np.mean([20 + number % 7 for number in range(90)]))
    assert train.height == pytest.approx(np.mean([18 + number % 5 for number in range(90)]))
    pixels = np.concatenate([np.load(path) for path in sorted((raw_shards / "train").glob("shard-*.npy"))])
    assert train.mean == pytest.approx(pixels.mean((0, 1, 2)))
    assert train.deviation == pytest.approx(pixels.std((0, 1, 2)))
    assert train.dataset_id == read_manifest(raw_shards / "train").dataset_id
    facts = json.loads(json.dumps(info.as_json()))
    assert facts["made"]["policy"] == "center"
    assert facts["parts"][0]["count_min_median_max"] == [30, 30, 30]
    assert facts["bytes"] == sum(one.bytes for one in info.parts)


def test_failures_are_counted(tmp_path: Path) -> None:
    source = draw(tmp_path / "source", train=6, test=3)
    (source / "train" / "bear" / "bad.png").write_bytes(b"not a picture")
    from lth.data.preparation.prepare import prepare
    from lth.data.preparation.task import Recipe, make_shard

    recipe = Recipe(8, "squash", "raw", None)
    out = tmp_path / "out"
    prepare(f"imagefolder:{source}", out, recipe, run=lambda tasks: map(make_shard, tasks), max_failures=1)
    assert [one.failures for one in read_info(out).parts] == [1, 0]


@pytest.mark.parametrize("kind", ["raw_shards", "jpeg_shards"])
def test_a_sheet_shows_25_images_by_class_and_is_the_same_again(request: pytest.FixtureRequest, kind: str) -> None:
    folder = request.getfixturevalue(kind) / "train"
    png = contact_sheet(folder)
    assert png == contact_sheet(folder)
    with Image.open(io.BytesIO(png)) as sheet:
        assert sheet.format == "PNG"
        pixels = np.asarray(sheet.convert("RGB")).astype(int)
    cell, gap, edge, top, step = 192, 16, 28, 28 + 34, 192 + 26 + 16
    found = [
        pixels[top + row * step : top + row * step + cell, edge + x : edge + x + cell].mean((0, 1)).argmax()
        for row in range(5)
        for x in range(0, 5 * (cell + gap), cell + gap)
    ]
    assert found == 9 * [0] + 8 * [1] + 8 * [2], "the colour of a picture tells its class"


def test_a_sheet_of_few_images_and_long_names(tmp_path: Path) -> None:
    names = ("a" * 60, "b\x1b[31m", "c")
    out = prepared(draw(tmp_path / "source", train=3, test=3, classes=names), tmp_path / "out", size=300)
    assert contact_sheet(out / "train")


def test_a_damaged_shard_is_named(jpeg_shards: Path, raw_shards: Path, tmp_path: Path) -> None:
    jpeg, raw = (
        Path(shutil.copytree(out / "train", tmp_path / str(n))) for n, out in enumerate((jpeg_shards, raw_shards))
    )
    (jpeg / "shard-00000.jpegs").write_bytes(bytes((jpeg / "shard-00000.jpegs").stat().st_size))
    with pytest.raises(DataError, match=r"shard-00000\.jpegs: row \d+ cannot be read.*verify"):
        contact_sheet(jpeg)
    (raw / "shard-00000.npy").write_bytes(b"short")
    with pytest.raises(DataError, match=r"shard-00000\.npy: cut short"):
        contact_sheet(raw)
    (raw / "shard-00000.npy").unlink()
    with pytest.raises(DataError, match=r"shard-00000\.npy: cannot be read"):
        contact_sheet(raw)


def test_without_pillow_the_line_that_installs_it_is_told(raw_shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtraError, match=r"lth\[data\]"):
        contact_sheet(raw_shards / "train")


@given(st.lists(st.integers(0, 40), max_size=200), st.integers(1, 30))
def test_the_choice_is_fair(labels: list[int], count: int) -> None:
    column = np.array(labels, np.int64)
    rows = choose(column, count)
    assert len(set(rows.tolist())) == len(rows) == min(count, len(labels))
    shown = column[rows]
    assert (np.diff(shown) >= 0).all(), "by class"
    assert len(set(shown.tolist())) == min(count, len(set(labels)))
    assert (rows == choose(column, count)).all()
