from __future__ import annotations

import logging
import sys
import tarfile
import threading
import warnings
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from data.sources.cifar_files import archive
from PIL import Image

from lth.data.sources import open_source, pictures
from lth.errors import DataError, MissingExtraError

Contents = dict[str, bytes]


def png(seed: int, height: int = 6, width: int = 5) -> bytes:
    stream = BytesIO()
    Image.fromarray(pixels(seed, height, width)).save(stream, "PNG")
    return stream.getvalue()


def pixels(seed: int, height: int = 6, width: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


# Seeds in the order of the labels and names.
TRAIN = {"cat/1.png": 0, "cat/2.png": 1, "dog/1.png": 2, "dog/2.png": 3, "emu/a.png": 4}
TEST = {"cat/9.png": 5, "dog/9.png": 6}


def contents(test: str = "test", folder: str = "") -> Contents:
    """Returns the files of a set, those of the test set first."""
    parts = {f"{folder}{test}/{name}": png(seed) for name, seed in TEST.items()}
    return parts | {f"{folder}train/{name}": png(seed) for name, seed in reversed(TRAIN.items())}


def write(folder: Path, files: Contents) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_a_folder(tmp_path: Path) -> None:
    dataset = open_source(f"imagefolder:{write(tmp_path / 'pets', contents())}")
    assert (dataset.name, dataset.class_names) == ("pets", ("cat", "dog", "emu"))
    assert np.array_equal(dataset.images, [pixels(seed) for seed in TRAIN.values()])
    assert np.array_equal(dataset.test_images, [pixels(seed) for seed in TEST.values()])
    assert dataset.labels.tolist() == [0, 0, 1, 1, 2]
    assert dataset.test_labels.tolist() == [0, 1]
    assert not dataset.images.flags.writeable


@pytest.mark.parametrize("form", ["val", "inner folder", "hidden files", "tar", "tar of a folder", "tar.gz"])
def test_every_form_gives_the_same_data(tmp_path: Path, form: str) -> None:
    expected = open_source(f"imagefolder:{write(tmp_path / 'plain', contents())}")
    place = tmp_path / "other"
    clutter = {".DS_Store": b"x", "train/._cat": b"x", "train/cat/._1.png": b"x", "train/.cache/1.png": b"x"}
    match form:
        case "val":
            write(place, contents("val"))
        case "inner folder":
            write(place, contents("val", "pets/") | {"LICENSE": b"", ".git/x": b""})
        case "hidden files":
            write(place, contents() | clutter)
        case "tar":
            archive(place, contents() | clutter, "w")
        case "tar of a folder":
            archive(place, contents("validation", "./pets/") | {"__MACOSX/._pets": b"x"}, "w")
        case "tar.gz":
            archive(place, contents())
    dataset = open_source(f"imagefolder:{place}")
    assert dataset.dataset_id == expected.dataset_id
    assert dataset.class_names == expected.class_names


@pytest.mark.parametrize(
    ("name", "expected"), [("pets.tar", "pets"), ("pets.tar.gz", "pets"), ("pets.tgz", "pets"), ("a.b", "a.b")]
)
def test_the_name_is_that_of_the_archive(tmp_path: Path, name: str, expected: str) -> None:
    assert open_source(f"imagefolder:{archive(tmp_path / name, contents())}").name == expected


def test_with_a_size_images_become_squares(tmp_path: Path) -> None:
    files = contents() | {"train/dog/1.png": png(2, 30, 50), "test/dog/9.png": png(3, 4, 4)}
    dataset = open_source(f"imagefolder:{write(tmp_path, files)}", image_size=4)
    assert (dataset.images.shape, dataset.test_images.shape) == ((5, 4, 4, 3), (2, 4, 4, 3))
    assert np.array_equal(dataset.test_images[1], pixels(3, 4, 4))


def test_images_of_several_sizes_need_a_size(tmp_path: Path) -> None:
    files = contents() | {"train/dog/1.png": png(2, 30, 50), "test/dog/9.png": png(3, 2, 3)}
    with pytest.raises(DataError) as caught:
        open_source(f"imagefolder:{write(tmp_path, files)}")
    assert str(caught.value) == (
        f"{tmp_path}: the images have 3 sizes, the smallest 3 x 2, the median 5 x 6 pixels. "
        "Set data.image_size, the side of the square that is made of each; half of them have 5 or more."
    )


def test_images_that_cannot_be_decoded_are_counted_and_named(tmp_path: Path) -> None:
    bad = {f"train/cat/bad{index}.png": b"junk" for index in range(6)} | {"test/dog/1.jpg": b""}
    with pytest.raises(DataError) as caught:
        open_source(f"imagefolder:{archive(tmp_path / 'x.tar', contents() | bad)}", 4)
    said = str(caught.value)
    assert "x.tar: 7 of 14 images cannot be decoded: test/dog/1.jpg: empty; train/cat/bad0.png: not an image" in said
    assert "bad3.png" in said
    assert "bad4.png" not in said
    assert said.endswith("; and 2 more. Mend them or take them away.")


def test_images_beyond_8_gib_are_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, contents() | {"train/cat/1.png": b"junk"})
    monkeypatch.setattr(pictures, "LARGEST", 7 * 4 * 4 * 3 - 1)
    with pytest.raises(
        DataError, match=r"7 images of 4 x 4 pixels take 0\.0 GiB, more than 8 GiB\. Set data\.image_size"
    ):
        open_source(f"imagefolder:{path}", 4)
    monkeypatch.setattr(pictures, "LARGEST", 7 * 4 * 4 * 3)
    with pytest.raises(DataError, match="1 of 7 images cannot be decoded"):
        open_source(f"imagefolder:{path}", 4)


@pytest.mark.parametrize("size", [0, -1, 5000])
def test_sizes_out_of_range(tmp_path: Path, size: int) -> None:
    with pytest.raises(DataError, match=r"data\.image_size: out of range .*Take 1 to 4096"):
        open_source(f"imagefolder:{write(tmp_path, contents())}", size)


@pytest.mark.parametrize("rest", ["", ":", ":/no/such/folder", ":~no-such-user/x", ":\0"])
def test_no_folder(rest: str) -> None:
    with pytest.raises(DataError, match=r"data\.source: no such folder or archive .*Write imagefolder:PATH"):
        open_source(f"imagefolder{rest}")


def test_without_a_test_set_the_cure_is_named(tmp_path: Path) -> None:
    files = {name: content for name, content in contents().items() if name.startswith("train")}
    with pytest.raises(DataError, match=r"there is no test or val folder \(found \['train'\]\)\. Put images aside"):
        open_source(f"imagefolder:{write(tmp_path, files)}")
    with pytest.raises(DataError, match="there is no train folder"):
        open_source(f"imagefolder:{tmp_path / 'train' / 'cat'}")


def test_links_in_archives_are_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "x.tar", contents(), "w")
    with tarfile.open(path, "a") as tar:
        member = tarfile.TarInfo("train/cat/3.png")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(member)
    with pytest.raises(DataError, match=r"x\.tar/train/cat/3\.png: a link"):
        open_source(f"imagefolder:{path}")


def test_without_pillow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, contents())
    monkeypatch.delitem(sys.modules, "lth.data.sources.pictures", raising=False)
    monkeypatch.delitem(sys.modules, "lth.data.image", raising=False)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtraError, match=r"'imagefolder' needs the package 'Pillow'.*lth\[data\]"):
        open_source(f"imagefolder:{path}")


def test_a_long_decoding_writes_to_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="lth")
    path = write(tmp_path, contents())
    open_source(f"imagefolder:{path}")
    assert not caplog.messages
    monkeypatch.setattr(pictures, "EVERY", 0.0)
    open_source(f"imagefolder:{path}")
    assert caplog.messages == [f"{path}: {done} of 7 images decoded" for done in range(1, 8)]


def test_nothing_is_left_changed(tmp_path: Path) -> None:
    path = write(tmp_path, contents() | {"train/cat/1.png": b"junk"})
    filters, threads = list(warnings.filters), threading.active_count()
    with pytest.raises(DataError):
        open_source(f"imagefolder:{path}")
    assert list(warnings.filters) == filters
    assert threading.active_count() == threads


def test_real_images_of_odd_kinds(test_data: Path, tmp_path: Path) -> None:
    odd = test_data / "odd-images" / "as-imagenet" / "train"
    for part in ("train", "test"):
        (tmp_path / part).symlink_to(odd)
    with pytest.raises(DataError, match=r"4 of 20 images cannot be decoded: .*_3\.JPEG: .*truncated.*_8\.JPEG: empty"):
        open_source(f"imagefolder:{tmp_path}", 32)
    good = {
        f"{part}/{path.parent.name}/{path.name}": path.read_bytes()
        for part in ("train", "test")
        for path in odd.glob("*/*.JPEG")
        if not path.stem.endswith(("_3", "_8"))
    }
    dataset = open_source(f"imagefolder:{archive(tmp_path / 'good.tar', good)}", 32)
    assert dataset.images.shape == (8, 32, 32, 3)
    assert np.array_equal(dataset.images, dataset.test_images)
    grey = dataset.images[dataset.labels == 1][0]  # n02105855_1 is grey
    assert (grey == grey[..., :1]).all()


def test_a_real_archive(test_data: Path) -> None:
    path = test_data / "imagenette-mini-224" / "imagenette-mini-224.tar"
    dataset = open_source(f"imagefolder:{path}", 16)
    assert dataset.name == "imagenette-mini-224"
    assert (dataset.images.shape, dataset.test_images.shape) == ((2500, 16, 16, 3), (800, 16, 16, 3))
    assert np.bincount(dataset.labels).tolist() == [250] * 10
    assert (dataset.class_names[0], len(dataset.class_names)) == ("n01440764", 10)


@pytest.mark.long
def test_cifar_10_as_jpeg_files(test_data: Path) -> None:
    dataset = open_source(f"imagefolder:{test_data / 'cifar10' / 'cifar-10-images-jpeg.tar.gz'}")
    assert (dataset.images.shape, dataset.test_images.shape) == ((50_000, 32, 32, 3), (10_000, 32, 32, 3))
    means = [dataset.images[..., channel].mean() / 255 for channel in range(3)]
    assert np.allclose(means, [0.4913, 0.4821, 0.4465], atol=5e-5)
    deviations = [dataset.images[..., channel].std() / 255 for channel in range(3)]
    assert np.allclose(deviations, [0.2452, 0.2428, 0.2606], atol=5e-5)
