from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from data.listings.reading import contents, read_all
from data.sources.cifar_files import archive

from lth.data.listing import UNKNOWN
from lth.data.listings import open_listing
from lth.data.listings.names import escaped
from lth.errors import DataError

FILES = {"train/b/1.png": b"b1", "train/a/2.jpg": b"a2", "train/a/1.JPEG": b"a1", "val/b/9.png": b"b9"}
TRAIN = {"train/a/1.JPEG": (b"a1", 0), "train/a/2.jpg": (b"a2", 0), "train/b/1.png": (b"b1", 1)}
TEST = {"val/b/9.png": (b"b9", 1)}


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("form", ["folder", "inner folder", "tar", "tar of a folder"])
def test_every_form_lists_the_same(tmp_path: Path, form: str) -> None:
    inner = {f"pets/{name}": content for name, content in FILES.items()}
    match form:
        case "folder":
            write(tmp_path / "x", FILES | {".DS_Store": b"", "train/a/._1.JPEG": b""})
        case "inner folder":
            write(tmp_path / "x", inner)
        case "tar":
            archive(tmp_path / "x", FILES, "w")
        case "tar of a folder":
            archive(tmp_path / "x", inner, "w")
    source = open_listing(f"imagefolder:{tmp_path / 'x'}")
    assert (source.kind, source.classes, list(source.parts)) == ("imagefolder", ("a", "b"), ["train", "test"])
    assert contents(source.parts["train"]) == TRAIN
    assert contents(source.parts["test"]) == TEST
    assert list(source.parts["train"].names) == list(TRAIN)


def test_a_training_set_alone_will_do(tmp_path: Path) -> None:
    only = {name: content for name, content in FILES.items() if name.startswith("train")}
    for place in (write(tmp_path / "folder", only), archive(tmp_path / "tar", only, "w")):
        assert list(open_listing(f"imagefolder:{place}").parts) == ["train"]
    shutil.rmtree(tmp_path / "folder" / "train")
    write(tmp_path / "folder", {"test/a/1.png": b""})
    with pytest.raises(DataError, match="there is no train folder"):
        open_listing(f"imagefolder:{tmp_path / 'folder'}")


def test_paths_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(write(tmp_path / "x", FILES))
    listing = open_listing("imagefolder:.").parts["train"]
    assert listing.files[0] == str(tmp_path / "x" / "train" / "a" / "1.JPEG")
    assert set(listing.size.tolist()) == {UNKNOWN}
    assert listing.names[1:] == ["train/a/2.jpg", "train/b/1.png"]


def test_a_place_in_an_archive(tmp_path: Path) -> None:
    path = archive(tmp_path / "x.tar", FILES, "w")
    listing = open_listing(f"imagefolder:{path}").parts["train"]
    whole = path.read_bytes()
    (entry,) = listing.entries(np.array([2]))
    assert (entry.name, entry.path, entry.size, entry.label) == ("train/b/1.png", str(path), 2, 1)
    assert whole[entry.offset : entry.offset + 2] == b"b1"


def test_a_compressed_archive_has_no_places(tmp_path: Path) -> None:
    path = archive(tmp_path / "x.tar.gz", FILES, "w:gz")
    with pytest.raises(DataError, match=r"x\.tar\.gz: a compressed archive\. Unpack it first, with gunzip"):
        open_listing(f"imagefolder:{path}")


@pytest.mark.parametrize("rest", ["", "absent"])
def test_nothing_there(tmp_path: Path, rest: str) -> None:
    with pytest.raises(DataError, match=r"data\.source: no such folder or archive .* Write imagefolder:PATH"):
        open_listing(f"imagefolder:{rest and tmp_path / rest}")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_links_and_names_that_lead_out_are_refused(tmp_path: Path, kind: bytes) -> None:
    with tarfile.open(tmp_path / "x", "w") as tar:
        member = tarfile.TarInfo("train/a/1.png")
        member.type, member.linkname = kind, "/etc/passwd"
        tar.addfile(member)
    with pytest.raises(DataError, match=r"x/train/a/1\.png: a link or a special file"):
        open_listing(f"imagefolder:{tmp_path / 'x'}")
    archive(tmp_path / "y", {"train/a/../../../1.png": b""}, "w")
    with pytest.raises(DataError, match=r"y: a name leads out of the archive"):
        open_listing(f"imagefolder:{tmp_path / 'y'}")


def test_an_archive_that_shrank_and_a_file_that_went(tmp_path: Path) -> None:
    path = archive(tmp_path / "x", FILES, "w")
    listing = open_listing(f"imagefolder:{path}").parts["train"]
    os.truncate(path, 600)
    with pytest.raises(DataError, match=r"x, offset \d+: cut short: 2 bytes are promised, 0 found"):
        read_all(listing)
    folder = write(tmp_path / "y", FILES)
    listing = open_listing(f"imagefolder:{folder}").parts["train"]
    (folder / "train" / "a" / "2.jpg").unlink()
    with pytest.raises(DataError, match=r"y/train/a/2\.jpg: cannot be read: No such file"):
        read_all(listing)


def test_a_file_that_is_no_image_by_its_size(tmp_path: Path) -> None:
    folder = write(tmp_path / "x", FILES)
    os.truncate(folder / "train" / "a" / "1.JPEG", (1 << 29) + 1)
    with pytest.raises(ValueError, match="536870913 bytes are more than 536870912"):
        read_all(open_listing(f"imagefolder:{folder}").parts["train"])


def test_names_of_any_bytes_are_one_line_each_and_differ(tmp_path: Path) -> None:
    odd = [b"\xff.png", rb"\xff.png", b"a\nb.png", b"a\tb.png", "ü.png".encode(), rb"a\x{a}b.png"]
    root = os.fsencode(tmp_path) + b"/train/a/"
    os.makedirs(root)
    for name in odd:
        Path(os.fsdecode(root + name)).write_bytes(name)
    found = contents(open_listing(f"imagefolder:{tmp_path}").parts["train"])
    assert sorted(content for content, _ in found.values()) == sorted(odd)  # pyright: ignore[reportArgumentType]
    assert len(found) == len(odd)
    for name in found:
        name.encode()
        assert len(name.splitlines()) == 1
        assert "\t" not in name
    assert escaped(b"plain/ok 1.JPEG") == "plain/ok 1.JPEG"


def test_the_real_files(test_data: Path) -> None:
    source = open_listing(f"imagefolder:{test_data / 'imagenet-sample' / 'imagenet-sample-1000.tar'}")
    assert source.classes is not None
    assert (len(source.classes), source.classes[0], list(source.parts)) == (1000, "n01440764", ["train"])
    listing = source.parts["train"]
    assert sorted(listing.label.tolist()) == list(range(1000))
    assert all(np.asarray(bytearray(raw.content[:2])).tolist() == [255, 216] for raw in read_all(listing))
    mini = open_listing(f"imagefolder:{test_data / 'imagenette-mini-224' / 'imagenette-mini-224.tar'}")
    assert {part: len(one) for part, one in mini.parts.items()} == {"train": 2500, "test": 800}
