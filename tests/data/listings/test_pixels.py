from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from data.listings.reading import read_all
from data.sources.cifar_files import batch, binary, upright

from lth.data.listings import open_listing
from lth.data.sources import open_source
from lth.errors import DataError


@pytest.mark.parametrize("source", ["digits", "synthetic", "synthetic:examples=30,channels=3,classes=3"])
def test_the_rows_are_those_of_the_set_in_memory(source: str) -> None:
    dataset, listed = open_source(source), open_listing(source)
    assert (listed.kind, listed.classes) == (source.partition(":")[0], dataset.class_names)
    expected = {"train": (dataset.images, dataset.labels), "test": (dataset.test_images, dataset.test_labels)}
    for part, (images, labels) in expected.items():
        raws = read_all(listed.parts[part])
        assert np.array_equal([raw.content for raw in raws], images)
        assert [raw.label for raw in raws] == labels.tolist() == listed.parts[part].label.tolist()
        assert list(listed.parts[part].names[:2]) == [f"{part}#0", f"{part}#1"]


def test_mnist_by_an_absolute_path(idx_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(idx_folder.parent)
    listing = open_listing(f"mnist:{idx_folder.name}").parts["train"]
    monkeypatch.chdir("/")
    assert np.array_equal([raw.content for raw in read_all(listing)], open_source(f"mnist:{idx_folder}").images)


def test_cifar(tmp_path: Path) -> None:
    rows, labels = batch(6, 10, 0)
    for name in ("data_batch_1.bin", "test_batch.bin"):
        (tmp_path / name).write_bytes(binary(rows, labels))
    source = open_listing(f"cifar10:{tmp_path}")
    assert source.classes is not None
    assert (source.kind, source.classes[0]) == ("cifar10", "airplane")
    assert np.array_equal([raw.content for raw in read_all(source.parts["test"])], upright(rows))


@pytest.mark.parametrize("source", ["mnist:absent", "cifar100:absent", "digits:x", "synthetic:size=0"])
def test_what_cannot_be_opened(source: str) -> None:
    with pytest.raises(DataError):
        open_listing(source)
