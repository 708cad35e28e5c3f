"""Whole data are whole, and whatever is wrong with them is found and named."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lth.data.care.verify import Verdict, verify
from lth.data.manifest import identify, read_manifest, text
from lth.errors import DataError
from lth.runs.files import sha256_of


@pytest.fixture
def raw(raw_shards: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(raw_shards, tmp_path / "raw"))


@pytest.fixture
def jpeg(jpeg_shards: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(jpeg_shards, tmp_path / "jpeg"))


def named(verdict: Verdict) -> dict[str, str]:
    return {one.file: one.reason for one in verdict.findings}


def refit(folder: Path, name: str, change: Callable[[np.ndarray], None]) -> None:
    """Changes an npy file and fits the manifest to it: what a wrong program, not a wrong disk, would leave."""
    path = folder / name
    array = np.load(path)
    change(array)
    np.save(path, array)
    rewrite(folder, name)


def rewrite(folder: Path, name: str) -> None:
    content = read_manifest(folder).model_dump(mode="json")
    del content["dataset_id"]
    data = (folder / name).read_bytes()
    for file in (*content["shards"], content["labels"], content["source_index"], content["offsets"] or {}):
        if file.get("name") == name:
            file |= {"bytes": len(data), "sha256": sha256_of(data)}
    (folder / "manifest.json").write_text(text(identify(content)))


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("kind", ["raw_shards", "jpeg_shards"])
def test_whole_data_are_whole(request: pytest.FixtureRequest, kind: str, quick: bool) -> None:
    out, read = request.getfixturevalue(kind), []
    verdict = verify(out, quick=quick, jobs=2, told=read.append)
    assert named(verdict) == {}
    assert (verdict.parts, verdict.rows) == (("train", "test"), 114)
    total = sum(path.stat().st_size for path in out.glob("t*/*") if path.name != "manifest.json")
    assert verdict.bytes == total
    assert sum(read) == (0 if quick else total)
    assert verdict.as_json()["whole"] is True


def test_one_flipped_bit_in_any_file_is_found_and_named(raw: Path, jpeg: Path) -> None:
    for out in (raw, jpeg):
        for path in sorted(out.glob("t*/*")):
            whole = path.read_bytes()
            for at in {0, len(whole) // 2, len(whole) - 1}:
                path.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
                found = named(verify(out))
                assert list(found) == [str(path.relative_to(out))], (path, at, found)
            path.write_bytes(whole)
        assert named(verify(out)) == {}


def test_sizes_are_found_quickly(raw: Path) -> None:
    shard = raw / "train" / "shard-00001.npy"
    os.truncate(shard, shard.stat().st_size - 1)
    (raw / "test" / "labels.npy").unlink()
    (raw / "test" / "shard-00000.npy").unlink()
    (raw / "test" / "shard-00000.npy").mkdir()
    (raw / "train" / "stray").write_text("")
    (raw / "stray").mkdir()
    found = named(verify(raw, quick=True))
    assert "are expected" in found["train/shard-00001.npy"]
    assert found["test/labels.npy"] == "missing"
    assert found["test/shard-00000.npy"] == "not a plain file"
    assert found["train/stray"] == found["stray"] == "does not belong here"
    assert len(found) == 5
    assert set(named(verify(raw))) == set(found)


def test_what_the_files_say_of_each_other(raw: Path, jpeg: Path) -> None:
    def label(array: np.ndarray) -> None:
        array[7] = 3

    def swap(array: np.ndarray) -> None:
        array[[3, 4]] = array[[4, 3]]

    refit(raw / "train", "labels.npy", label)
    assert named(verify(raw, quick=True)) == {"train/labels.npy": "the label of row 7 is 3, outside 0..2"}
    refit(jpeg / "test", "offsets.npy", swap)
    assert "row 3 does not follow" in named(verify(jpeg, quick=True))["test/offsets.npy"]
    index = jpeg / "train" / "source_index.tsv"
    index.write_text(index.read_text().replace("\n", " \n", 2))
    rewrite(jpeg / "train", index.name)
    assert "line 1 is not" in named(verify(jpeg))["train/source_index.tsv"]
    index.write_text("a\t1\t1\n")
    rewrite(jpeg / "train", index.name)
    assert "1 lines" in named(verify(jpeg))["train/source_index.tsv"]


def test_a_shard_of_another_shape(raw: Path) -> None:
    path = raw / "test" / "shard-00000.npy"
    head = path.read_bytes()
    path.write_bytes(head.replace(b"(24, 16, 16, 3)", b"(24, 16, 48, 1)", 1))
    rewrite(raw / "test", path.name)
    assert "(24, 16, 48, 1)" in named(verify(raw, quick=True))["test/shard-00000.npy"]


def test_parts_and_plan(raw: Path, jpeg: Path) -> None:
    shutil.rmtree(raw / "test")
    assert named(verify(raw)) == {}, "a source without test images"
    shutil.copytree(jpeg / "test", raw / "test")
    assert "preprocessing" in named(verify(raw))["test/manifest.json"]
    shutil.rmtree(raw / "test")
    shutil.copytree(raw / "train", raw / "test")
    assert "'train'" in named(verify(raw))["test/manifest.json"]
    shutil.rmtree(raw / "train")
    assert named(verify(raw))["train"] == "missing"
    (jpeg / "plan.json").write_text("{")
    assert "damaged" in named(verify(jpeg))["plan.json"]
    (jpeg / "plan.json").write_text(json.dumps({"preprocessing": {}}))
    assert "another" in named(verify(jpeg))["plan.json"]
    with pytest.raises(DataError, match="no prepared data"):
        verify(raw / "nowhere")


@settings(max_examples=60)
@given(data=st.data())
def test_no_damage_is_more_than_a_finding(
    data: st.DataObject, jpeg_shards: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    out = tmp_path_factory.mktemp("any") / "out"
    shutil.copytree(jpeg_shards, out)
    path = data.draw(st.sampled_from(sorted(out.glob("t*/*"))))
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    assert str(path.relative_to(out)) in named(verify(out, jobs=1))
