from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lth.data.normalize import channel_statistics
from lth.data.sources import open_source
from lth.errors import DataError

AsIdx = Callable[..., bytes]
Picture = Callable[..., np.ndarray]


def test_a_folder_of_idx_files(idx_folder: Path, picture: Picture) -> None:
    dataset = open_source(f"mnist:{idx_folder}")
    assert dataset.name == idx_folder.name
    assert np.array_equal(dataset.images[..., 0], picture(6, 3, 5))
    assert np.array_equal(dataset.test_images[..., 0], picture(4, 3, 5))
    assert dataset.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert dataset.test_labels.tolist() == [0, 1, 2, 0]
    assert dataset.class_names == ("0", "1", "2")


def test_names_compression_and_place_change_nothing(idx_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("elsewhere")
    for path in idx_folder.iterdir():
        content = path.read_bytes()
        name = path.name.replace("-idx", ".idx")
        if path.suffix == ".gz":
            (other / name.removesuffix(".gz")).write_bytes(gzip.decompress(content))
        else:
            (other / f"{name}.gz").write_bytes(gzip.compress(content))
    assert open_source(f"mnist:{other}").dataset_id == open_source(f"mnist:{idx_folder}").dataset_id


def test_colour_images_have_four_dimensions(idx_folder: Path, as_idx: AsIdx, picture: Picture) -> None:
    for part, count in (("train", 6), ("t10k", 4)):
        for old in idx_folder.glob(f"{part}-images*"):
            old.unlink()
        (idx_folder / f"{part}-images-idx4-ubyte").write_bytes(as_idx(picture(count, 2, 5, 3)))
    assert np.array_equal(open_source(f"mnist:{idx_folder}").images, picture(6, 2, 5, 3))


def test_classes_go_up_to_the_largest_label(idx_folder: Path, as_idx: AsIdx) -> None:
    labels = np.array([0, 1, 2, 0, 1, 255], np.uint8)
    (idx_folder / "train-labels-idx1-ubyte").write_bytes(as_idx(labels))
    assert len(open_source(f"mnist:{idx_folder}").class_names) == 256


def test_missing_files_are_all_named_with_what_was_looked_for(idx_folder: Path) -> None:
    (idx_folder / "train-images-idx3-ubyte").unlink()
    (idx_folder / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError) as caught:
        open_source(f"mnist:{idx_folder}")
    for name in ("train-images-idx3-ubyte", "train-images.idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"):
        assert name in str(caught.value)
    assert "train-labels" not in str(caught.value)


@pytest.mark.parametrize("rest", ["", ":", ":/no/such/folder", ":~no-such-user/x", ":\0"])
def test_no_folder(rest: str) -> None:
    with pytest.raises(DataError, match=r"data\.source: no such folder .*Write mnist:DIR"):
        open_source(f"mnist{rest}")


def test_images_and_labels_of_different_sets(idx_folder: Path, as_idx: AsIdx) -> None:
    (idx_folder / "train-labels-idx1-ubyte").write_bytes(as_idx(np.zeros(7, np.uint8)))
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte: 6 images, but 7 labels in train-labels-idx1-ubyte"):
        open_source(f"mnist:{idx_folder}")


def test_training_and_test_images_of_different_sizes(idx_folder: Path, as_idx: AsIdx, picture: Picture) -> None:
    (idx_folder / "train-images-idx3-ubyte").write_bytes(as_idx(picture(6, 5, 3)))
    with pytest.raises(DataError, match="training and test images differ"):
        open_source(f"mnist:{idx_folder}")


@pytest.mark.parametrize(
    ("name", "mean", "deviation", "first"),
    [("mnist", 0.1307, 0.3081, [5, 0, 4, 1, 9]), ("fashion-mnist", 0.2860, 0.3530, [9, 0, 0, 3, 0])],
)
def test_the_real_sets(test_data: Path, name: str, mean: float, deviation: float, first: list[int]) -> None:
    dataset = open_source(f"mnist:{test_data / name}")
    assert dataset.name == name
    assert (dataset.images.nbytes, dataset.test_images.nbytes) == (60_000 * 784, 10_000 * 784)
    assert (dataset.labels[:5].tolist(), len(dataset.class_names)) == (first, 10)
    found = channel_statistics(dataset.images)
    assert round(float(found[0][0]) / 255, 4) == mean
    assert round(float(found[1][0]) / 255, 4) == deviation
