from __future__ import annotations

import tarfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from data.listings.reading import contents
from data.sources.cifar_files import archive

from lth.data.listings import open_listing
from lth.data.listings.imagenet_labels import validation_wnids
from lth.errors import DataError, MissingExtraError

KIT = "ILSVRC2012_devkit_t12"
# As in the kit: ids count in another order than the WordNet ids do, and ids of inner nodes come after the leaves'.
IDS = {1: "n02119789", 2: "n02100735", 3: "n01440764", 1001: "n09999999"}
WNIDS = ("n01440764", "n02100735", "n02119789")
TRUTH = [3, 1, 2, 1]
TRAIN = {
    "n02119789": {"n02119789_18.JPEG": b"fox 18", "n02119789_4.JPEG": b"fox 4"},
    "n01440764": {"n01440764_7.JPEG": b"tench 7" * 200},
    "n02100735": {"n02100735_1.JPEG": b"setter 1"},
}


def tar(files: dict[str, bytes]) -> bytes:
    stream = BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as made:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            made.addfile(member, BytesIO(content))
    return stream.getvalue()


def meta(ids: dict[int, str] = IDS) -> bytes:
    """Returns a meta.mat with the fields of the kit's own."""
    from scipy.io import savemat

    kinds = [("ILSVRC2012_ID", "f8"), ("WNID", "O"), ("words", "O"), ("num_children", "f8")]
    synsets = np.array([(number, wnid, "some words", 0) for number, wnid in ids.items()], kinds).reshape(-1, 1)
    stream = BytesIO()
    savemat(stream, {"synsets": synsets}, do_compression=True)
    return stream.getvalue()


def truth(numbers: list[int] = TRUTH) -> bytes:
    return "".join(f"{number}\n" for number in numbers).encode()


def mapping() -> bytes:
    return "".join(f"{wnid} {number} some_words\n" for number, wnid in IDS.items() if number <= 1000).encode()


def kit(**extra: bytes) -> dict[str, bytes]:
    files = {"readme.txt": b"hello", "data/meta.mat": meta(), "data/ILSVRC2012_validation_ground_truth.txt": truth()}
    return {f"{KIT}/{name}": content for name, content in (files | extra).items()}


@pytest.fixture
def imagenet(tmp_path: Path) -> Path:
    """Returns a folder of the three archives as they are distributed, with 4 training and 4 validation images."""
    images = {f"ILSVRC2012_val_{row:08d}.JPEG": f"validation {row}".encode() for row in (2, 1, 4, 3)}
    (tmp_path / "ILSVRC2012_img_train.tar").write_bytes(tar({f"{name}.tar": tar(one) for name, one in TRAIN.items()}))
    (tmp_path / "ILSVRC2012_img_val.tar").write_bytes(tar(images))
    archive(tmp_path / f"{KIT}.tar.gz", kit())
    return tmp_path


def test_the_archives_as_they_are_distributed(imagenet: Path) -> None:
    source = open_listing(f"imagenet_tars:{imagenet}")
    assert (source.kind, source.classes) == ("imagenet_tars", WNIDS)
    assert contents(source.parts["train"]) == {
        "train/n01440764/n01440764_7.JPEG": (b"tench 7" * 200, 0),
        "train/n02100735/n02100735_1.JPEG": (b"setter 1", 1),
        "train/n02119789/n02119789_18.JPEG": (b"fox 18", 2),
        "train/n02119789/n02119789_4.JPEG": (b"fox 4", 2),
    }
    assert contents(source.parts["test"]) == {
        f"val/ILSVRC2012_val_{row:08d}.JPEG": (f"validation {row}".encode(), WNIDS.index(IDS[TRUTH[row - 1]]))
        for row in (1, 2, 3, 4)
    }
    assert set(source.parts["train"].files) == {str(imagenet / "ILSVRC2012_img_train.tar")}


@pytest.mark.parametrize("form", ["kit unpacked", "kit's data", "files beside", "map in the kit"])
def test_the_labels_lie_in_many_places(imagenet: Path, form: str) -> None:
    expected = contents(open_listing(f"imagenet_tars:{imagenet}").parts["test"])
    (imagenet / f"{KIT}.tar.gz").unlink()
    match form:
        case "kit unpacked":
            (imagenet / KIT / "data").mkdir(parents=True)
            for name, content in kit().items():
                (imagenet / name).write_bytes(content)
        case "kit's data":
            (imagenet / "meta.mat").write_bytes(meta())
            (imagenet / "ILSVRC2012_validation_ground_truth.txt").write_bytes(truth())
        case "files beside":
            (imagenet / "map_clsloc.txt").write_bytes(mapping())
            (imagenet / "ILSVRC2012_validation_ground_truth.txt").write_bytes(truth())
        case "map in the kit":
            archive(imagenet / f"{KIT}.tar.gz", kit(**{"data/meta.mat": b"damaged", "data/map_clsloc.txt": mapping()}))
    assert contents(open_listing(f"imagenet_tars:{imagenet}").parts["test"]) == expected


def test_a_training_set_alone_will_do(imagenet: Path) -> None:
    (imagenet / "ILSVRC2012_img_val.tar").unlink()
    assert list(open_listing(f"imagenet_tars:{imagenet}").parts) == ["train"]
    (imagenet / "ILSVRC2012_img_train.tar").unlink()
    with pytest.raises(DataError, match=r"no ILSVRC2012_img_train\.tar there .* Write imagenet_tars:DIR"):
        open_listing(f"imagenet_tars:{imagenet}")


def test_labels_that_are_missing_or_wrong(imagenet: Path) -> None:
    def refused(message: str) -> None:
        with pytest.raises(DataError, match=message):
            open_listing(f"imagenet_tars:{imagenet}")

    packed = imagenet / f"{KIT}.tar.gz"
    ground = f"{KIT}/data/ILSVRC2012_validation_ground_truth.txt"
    for content, message in (
        (truth([3, 1, 2]), r"img_val\.tar: 4 images, numbered to 4, have 3 labels"),
        (truth([3, 1, 2, 7]), r"ground_truth\.txt, line 4: an id that stands for no class \(found 7\)"),
        (b"3\nx\n2\n1\n", r"ground_truth\.txt, line 2: not an id \(found 'x'\)"),
        (b"3\n\xff\n2\n1\n", r"ground_truth\.txt: not text"),
    ):
        archive(packed, kit() | {ground: content})
        refused(message)
    archive(packed, kit() | {f"{KIT}/data/meta.mat": b"MATLAB 5.0 no more"})
    refused(r"meta\.mat: not the kit's table of synsets")
    archive(packed, kit() | {f"{KIT}/data/meta.mat": meta(IDS | {2: "n02999999"})})
    refused(r"1 classes of the validation images are none of the training images .*n02999999")
    archive(packed, {ground: truth()})
    refused(r"nothing that says what its ids stand for\. Put ILSVRC2012_devkit_t12\.tar\.gz there")
    packed.unlink()
    refused(r"the labels of the validation images are missing\. Put ILSVRC2012_devkit_t12\.tar\.gz there, or")
    (imagenet / "ILSVRC2012_validation_ground_truth.txt").write_bytes(truth())
    (imagenet / "map_clsloc.txt").write_text("n02119789 1 a\nn02100735 1 b\n")
    refused(r"map_clsloc\.txt, line 2: the id 1 stands for two classes")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "holds no tars of classes"),
        ({"n01440764.zip": b""}, r"n01440764\.zip: is not the tar of a class"),
        ({"a/n01440764.tar": tar({"x.JPEG": b""}), "n01440764.tar": tar({"x.JPEG": b""})}, "is twice there"),
        ({"n01440764.tar": tar({})}, r"n01440764\.tar: holds no images"),
        ({"n01440764.tar": tar({"x.txt": b""})}, r"n01440764\.tar: holds no images"),
        ({"n01440764.tar": b""}, r"train\.tar, offset 512: not a tar archive"),
        ({"n01440764.tar": tar({"x.JPEG": b"x"})[:512]}, r"train\.tar, offset 512: not a tar archive"),
        ({"n01440764.tar": tar({"x.JPEG": bytes(999)})[:1200]}, r"train\.tar, offset 512: not a tar archive"),
        ({"n01440764.tar": tar({"a/../../x.JPEG": b""})}, r"train\.tar, offset 512: a name leads out of the archive"),
        ({"n01440764.tar": tar({"x.JPEG": b""}), "n01440765.tar": b"no tar"}, "not a tar archive, or a damaged one"),
    ],
)  # fmt: skip
def test_other_training_archives_are_refused(imagenet: Path, files: dict[str, bytes], message: str) -> None:
    (imagenet / "ILSVRC2012_img_train.tar").write_bytes(tar(files))
    with pytest.raises(DataError, match=message):
        open_listing(f"imagenet_tars:{imagenet}")


def test_links_in_an_inner_archive_are_refused(imagenet: Path) -> None:
    stream = BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as made:
        member = tarfile.TarInfo("n01440764_1.JPEG")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        made.addfile(member)
    (imagenet / "ILSVRC2012_img_train.tar").write_bytes(tar({"n01440764.tar": stream.getvalue()}))
    with pytest.raises(DataError, match=r"train\.tar, offset 512/n01440764_1\.JPEG: a link or a special file"):
        open_listing(f"imagenet_tars:{imagenet}")


def test_an_inner_archive_cannot_reach_into_the_next(imagenet: Path) -> None:
    inner = bytearray(tar({"x.JPEG": bytes(100)})[:1024])
    header = tarfile.TarInfo("x.JPEG")
    header.size = 4000
    inner[:512] = header.tobuf(tarfile.USTAR_FORMAT)
    files = {"n01440764.tar": bytes(inner), "n02100735.tar": tar({"y.JPEG": bytes(5000)})}
    (imagenet / "ILSVRC2012_img_train.tar").write_bytes(tar(files))
    with pytest.raises(DataError, match=r"train\.tar, offset 512: not a tar archive, or a damaged one"):
        open_listing(f"imagenet_tars:{imagenet}")


def test_other_validation_archives_are_refused(imagenet: Path) -> None:
    for name in ("ILSVRC2012_val_1.JPEG", "cat.JPEG"):
        (imagenet / "ILSVRC2012_img_val.tar").write_bytes(tar({name: b""}))
        with pytest.raises(DataError, match="is not named as ILSVRC2012_val_00000001"):
            open_listing(f"imagenet_tars:{imagenet}")


def test_without_scipy(imagenet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(MissingExtraError, match=r"meta\.mat needs the package 'scipy'.*lth\[data\]"):
        open_listing(f"imagenet_tars:{imagenet}")


def test_the_real_labels(test_data: Path) -> None:
    wnids = validation_wnids(test_data / "imagenet-meta")
    assert len(wnids) == 50000
    ranks = {wnid: rank for rank, wnid in enumerate(sorted(set(wnids)))}
    # The first validation image is a sea snake, 65 of the sorted WordNet ids, 490 of the kit.
    assert (len(ranks), wnids[0], ranks[wnids[0]]) == (1000, "n01751748", 65)
    assert np.bincount([ranks[wnid] for wnid in wnids]).tolist() == [50] * 1000
