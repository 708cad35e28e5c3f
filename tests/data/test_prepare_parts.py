"""From records to manifests: labels that only the records tell, names that hold anything."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from data.prepared import RAW, here
from hypothesis import given
from hypothesis import strategies as st

from lth.data.listing import UNKNOWN, Entry, Listing, Raw, Source
from lth.data.manifest import read_manifest
from lth.data.prepare import Summary, prepare
from lth.data.prepare_parts import npy_bytes, written
from lth.data.reading import READERS
from lth.errors import DataError


def made_up(labels: list[int], known: bool = False) -> Listing:
    n = len(labels)
    names = [f"made/{row}\t{label}" for row, label in enumerate(labels)]
    label = np.array(labels) if known else np.full(n, UNKNOWN)
    return Listing("made", ("",), names, np.zeros(n, np.int32), np.arange(n), np.array(labels), label)


def read(entry: Entry) -> Raw:
    """The size of an entry stands for what its record says of the label."""
    return Raw(np.full((3, 4, 1), entry.offset % 256, np.uint8), entry.size)


def outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: Source) -> Summary:
    monkeypatch.setitem(READERS, "made", read)
    return prepare("made:", tmp_path / "out", RAW, run=here, listing=lambda _: source)


def test_labels_that_the_records_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = [row % 3 * 2 for row in range(70)]
    parts = {"train": made_up(labels), "test": made_up([1, 0])}
    manifests = outcome(tmp_path, monkeypatch, Source("made", None, parts)).manifests
    assert manifests["train"].classes == manifests["test"].classes == ["0", "1", "2", "3", "4"]
    found = np.load(tmp_path / "out" / "train" / "labels.npy")
    lines = (tmp_path / "out" / "train" / "source_index.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in lines] == [
        f"made/{labels_row(line)}\\x{{9}}{label}" for line, label in zip(lines, found, strict=True)
    ]
    assert sorted(found) == sorted(labels)
    assert {line.split("\t", 1)[1] for line in lines} == {"4\t3"}
    assert read_manifest(tmp_path / "out" / "test").n == 2


def labels_row(line: str) -> str:
    return line.removeprefix("made/").partition("\\")[0]


def test_a_label_that_is_listed_goes_before_the_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listing = made_up([0, 1, 1], known=True)
    object.__setattr__(listing, "size", np.array([9, 9, 9]))
    manifest = outcome(tmp_path, monkeypatch, Source("made", ("a", "b"), {"train": listing})).manifests["train"]
    assert sorted(np.load(tmp_path / "out" / "train" / "labels.npy")) == [0, 1, 1]
    assert manifest.classes == ["a", "b"]


def test_labels_outside_the_classes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source("made", ("a", "b"), {"train": made_up([0, 1, 2])})
    with pytest.raises(DataError, match=r"made, train: made/2\\x\{9\}2 has a label outside 0\.\.1 \(found 2\)"):
        outcome(tmp_path, monkeypatch, source)
    with pytest.raises(DataError, match=r"has no label from 0 on \(found -1\)"):
        outcome(tmp_path / "b", monkeypatch, Source("made", None, {"train": made_up([0, UNKNOWN])}))
    assert not (tmp_path / "out").exists()


@given(st.text(st.characters()))
def test_a_text_is_written_as_one_line_of_utf8(text: str) -> None:
    line = written(text)
    assert len(line.splitlines()) <= 1
    assert "\t" not in line
    line.encode()
    assert written(line) == line
    assert text.isprintable() <= (line == text)


def test_arrays_are_npy_files_of_version_1(tmp_path: Path) -> None:
    array = np.arange(6, dtype=np.int64).reshape(3, 2)
    content = npy_bytes(array)
    assert content.startswith(b"\x93NUMPY\x01\x00")
    (tmp_path / "a.npy").write_bytes(content)
    assert np.array_equal(np.load(tmp_path / "a.npy"), array)
    assert npy_bytes(array.astype(">i8").astype("<i8")) == content
