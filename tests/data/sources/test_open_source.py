from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from data.sources.cifar_files import batch, binary
from data.tfrecords import message, write
from PIL import Image

from lth.data.listings import open_listing
from lth.data.listings.functions import called
from lth.data.sources import SOURCES, open_source
from lth.errors import DataError

PAGE = Path(__file__).parents[3] / "docs" / "data-sources.md"


def test_the_sources() -> None:
    assert set(SOURCES) == {"digits", "mnist", "cifar10", "cifar100", "imagefolder", "synthetic", "tfrecord"}


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
    records = tmp_path_factory.mktemp("records")
    for part in ("train", "test"):
        write(records / f"cifar10-{part}.tfrecord", message(image=bytes_of(Image.new("RGB", (40, 30))), label=0))
    places = {"mnist": idx_folder, "cifar10": ten, "cifar100": hundred, "imagefolder": folder}
    return {**places, "tfrecord": records / "*.tfrecord*"}


def bytes_of(image: Image.Image) -> bytes:
    stream = BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def my_pets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Makes the module of the documentation, and its images, in a folder that is the current one and on the path."""
    (module,) = re.findall(r"^```python\n(# my_pets\.py.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "my_pets.py").write_text(module)
    for name in ("train/cat_1.png", "train/dog_17.png", "test/dog_2.png"):
        (tmp_path / "pets" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (70, 90)).save(tmp_path / "pets" / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    called.cache_clear()
    yield
    sys.modules.pop("my_pets", None)
    called.cache_clear()


@pytest.mark.usefixtures("my_pets")
def test_every_source_in_the_documentation_opens(places: dict[str, Path]) -> None:
    found = re.findall(r'^source = "(.+?)"(?:.*\nimage_size = (\d+))?', PAGE.read_text(), re.MULTILINE)
    kinds = [source.partition(":")[0] for source, _ in found]
    assert set(kinds) == {*SOURCES, "my_pets"}
    for kind, (source, size) in zip(kinds, found, strict=True):
        source = f"{kind}:{places[kind]}" if kind in places else source
        assert len(open_source(source, int(size) if size else None).labels)


@pytest.mark.usefixtures("my_pets")
def test_the_module_in_the_documentation() -> None:
    source = open_listing("my_pets:pets")
    assert source.classes == ("cat", "dog")
    assert list(source.parts["train"].names) == ["train/cat_1.png", "train/dog_17.png"]
    dataset = open_source("my_pets:pets", image_size=64)
    assert (dataset.labels.tolist(), dataset.test_labels.tolist()) == ([0, 1], [1])
