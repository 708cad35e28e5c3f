from __future__ import annotations

import re
from pathlib import Path

import pytest
from data.sources.cifar_files import batch, binary
from PIL import Image

from lth.data.sources import SOURCES, open_source
from lth.errors import DataError


def test_the_sources() -> None:
    assert set(SOURCES) == {"digits", "mnist", "cifar10", "cifar100", "imagefolder", "synthetic"}


@pytest.mark.parametrize("source", ["cifar", "", "Digits", ":x", "synthetics:size=4"])
def test_an_unknown_source_names_the_known_ones(source: str) -> None:
    with pytest.raises(
        DataError, match=r"data\.source: no such source .*digits, mnist, cifar10, cifar100, imagefolder, synth"
    ):
        open_source(source)


@pytest.mark.parametrize("source", ["digits", "synthetic", "mnist:x", "cifar10:x", "cifar100:x"])
def test_an_image_size_that_would_be_ignored_is_refused(source: str) -> None:
    with pytest.raises(DataError, match=r"data\.image_size: would be ignored: .* \(found 8\)\. Take the line away"):
        open_source(source, image_size=8)


@pytest.fixture
def places(idx_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Returns a small set for each source that reads files."""
    ten, hundred, folder = (tmp_path_factory.mktemp(name) for name in ("ten", "hundred", "folder"))
    rows, labels = batch(6, 10, 0)
    for name in ("data_batch_1.bin", "test_batch.bin"):
        (ten / name).write_bytes(binary(rows, labels))
    for name in ("train.bin", "test.bin"):
        (hundred / name).write_bytes(binary(rows, labels, labels))
    for name in ("train/cat", "val/cat"):
        (folder / name).mkdir(parents=True)
        Image.new("RGB", (12, 9)).save(folder / name / "1.png")
    return {"mnist": idx_folder, "cifar10": ten, "cifar100": hundred, "imagefolder": folder}


def test_every_source_in_the_documentation_opens(places: dict[str, Path]) -> None:
    page = Path(__file__).parents[3] / "docs" / "data-sources.md"
    found = re.findall(r'^source = "(.+?)"(?:.*\nimage_size = (\d+))?', page.read_text(), re.MULTILINE)
    kinds = [source.partition(":")[0] for source, _ in found]
    assert set(kinds) == set(SOURCES)
    for kind, (source, size) in zip(kinds, found, strict=True):
        source = f"{kind}:{places[kind]}" if kind in places else source
        assert len(open_source(source, int(size) if size else None).labels)
