"""Every reader against damage: an LthError that names the file, or a correct read, in little memory; nothing else."""

from __future__ import annotations

import gzip
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from data.listings.shards_made import write as write_shards
from data.listings.test_imagenet import TRAIN, kit, mapping, meta, tar, truth
from data.sources.cifar_files import archive, batch, binary, python2
from data.tfrecords import message
from data.tfrecords import write as write_records

from lth.data.listings import open_listing
from lth.data.listings.pixels import _opened
from lth.data.reading import READERS
from lth.errors import LthError

Found = dict[str, tuple[bytes, int]]  # by part and name: the bytes of the image, and its label
ROUNDS = 60


def imagefolder(folder: Path) -> str:
    names = [f"{part}/{name}/{row}.png" for part in ("train", "test") for name in ("a", "b") for row in range(2)]
    return f"imagefolder:{archive(folder / 'x.tar', {name: name.encode() * 30 for name in names}, 'w')}"


def imagenet(folder: Path) -> str:
    images = {f"ILSVRC2012_val_{row:08d}.JPEG": b"validation %d" % row for row in (1, 2, 3, 4)}
    (folder / "ILSVRC2012_img_train.tar").write_bytes(tar({f"{name}.tar": tar(one) for name, one in TRAIN.items()}))
    (folder / "ILSVRC2012_img_val.tar").write_bytes(tar(images))
    archive(folder / "ILSVRC2012_devkit_t12.tar.gz", kit())
    return f"imagenet_tars:{folder}"


def imagenet_labels(folder: Path) -> str:
    imagenet(folder)
    (folder / "map_clsloc.txt").write_bytes(mapping())
    (folder / "ILSVRC2012_validation_ground_truth.txt").write_bytes(truth())
    return f"imagenet_tars:{folder}"


def imagenet_meta(folder: Path) -> str:
    imagenet(folder)
    (folder / "meta.mat").write_bytes(meta())
    (folder / "ILSVRC2012_validation_ground_truth.txt").write_bytes(truth())
    return f"imagenet_tars:{folder}"


def tfrecord(folder: Path) -> str:
    floats = [np.linspace(0, 1, 16), np.linspace(1, 0, 16)]
    write_records(folder / "train", *(message(image=b"\x89PNG" * row, label=row) for row in range(9)))
    write_records(folder / "test", *(message(image_floats=one, image_class=300) for one in floats))
    return f"tfrecord:{folder}/t*"


def shards(folder: Path) -> str:
    write_shards(folder, "train", [0, 1, 1, 0])
    return f"shards:{folder}"


def shards_jpeg(folder: Path) -> str:
    write_shards(folder, "train", [0, 1, 1, 0], "jpeg")
    return f"shards:{folder}"


def idx(folder: Path) -> str:
    for part in ("train", "t10k"):
        head = bytes([0, 0, 8, 3]) + b"".join(size.to_bytes(4, "big") for size in (6, 3, 5))
        (folder / f"{part}-images-idx3-ubyte").write_bytes(head + bytes(90))
        labels = gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 6]) + bytes(range(6)), mtime=0)
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(labels)
    return f"mnist:{folder}"


def cifar(folder: Path) -> str:
    (folder / "data_batch_1.bin").write_bytes(binary(*batch(3, 10, 0)))
    (folder / "test_batch.bin").write_bytes(binary(*batch(2, 10, 1)))
    return f"cifar10:{folder}"


def cifar_python(folder: Path) -> str:
    (folder / "train").write_bytes(python2(*batch(2, 100, 0), "fine_labels"))
    (folder / "test").write_bytes(python2(*batch(2, 100, 1), "fine_labels"))
    return f"cifar100:{folder}"


MADE: dict[str, Callable[[Path], str]] = {
    made.__name__: made
    for made in (
        imagefolder, imagenet, imagenet_labels, imagenet_meta, tfrecord, shards, shards_jpeg, idx, cifar, cifar_python,
    )
}  # fmt: skip
# These have no checksums over labels, or over pixels; what they have over the rest must hold.
LABELS_MAY_CHANGE = ("imagenet_labels", "imagenet_meta", "idx", "cifar", "cifar_python")
BYTES_MAY_CHANGE = ("imagefolder", "imagenet", "shards", "shards_jpeg", *LABELS_MAY_CHANGE)


def read(source: str) -> Found:
    _opened.cache_clear()
    found: Found = {}
    for part, listing in open_listing(source).parts.items():
        for entry in listing.entries(np.arange(len(listing))):
            raw = READERS[listing.kind](entry)
            content = raw.content if isinstance(raw.content, bytes) else raw.content.tobytes()
            found[f"{part} {entry.name}"] = content, raw.label
    return found


def check(kind: str, source: str, folder: Path, whole: Found) -> bool:
    """Returns whether the damage was found."""
    try:
        found = read(source)
    except LthError as problem:
        told = str(problem)
        assert str(folder) in told, told
        assert len(told) < 1000
        return True
    if kind in ("idx", "cifar", "cifar_python"):
        return False
    if kind == "tfrecord" and len(found) < len(whole):  # cut between two records, which nothing can tell
        assert found.items() < whole.items()
        return False
    assert found.keys() == whole.keys()
    assert {name: len(content) for name, (content, _) in found.items()} == {
        name: len(content) for name, (content, _) in whole.items()
    }
    if kind not in LABELS_MAY_CHANGE:
        assert {name: label for name, (_, label) in found.items()} == {
            name: label for name, (_, label) in whole.items()
        }
    if kind not in BYTES_MAY_CHANGE:
        assert found == whole
    return False


def damaged(kind: str, folder: Path, damage: Callable[[bytearray, np.random.Generator], None]) -> int:
    """Returns how often damage to one file of a set was found; memory stays small all the while."""
    folder.mkdir()
    source, random, count = MADE[kind](folder), np.random.default_rng(len(kind)), 0
    whole = read(source)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    tracemalloc.start()
    for turn in range(ROUNDS):
        path = files[turn % len(files)]
        content = path.read_bytes()
        data = bytearray(content)
        damage(data, random)
        path.write_bytes(data)
        count += check(kind, source, folder, whole)
        path.write_bytes(content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 << 20
    assert read(source) == whole
    shutil.rmtree(folder)
    return count


def cut(data: bytearray, random: np.random.Generator) -> None:
    del data[int(random.integers(len(data))) if data else 0 :]


def flip(data: bytearray, random: np.random.Generator) -> None:
    if data:
        data[int(random.integers(len(data)))] ^= 1 << int(random.integers(8))


def flip_the_head(data: bytearray, random: np.random.Generator) -> None:
    """Flips a bit where nearly every format says what follows."""
    if data:
        data[int(random.integers(min(len(data), 160)))] ^= 1 << int(random.integers(8))


def noise(data: bytearray, random: np.random.Generator) -> None:
    if data:
        start = int(random.integers(len(data)))
        piece = random.bytes(int(random.integers(1, 200)))
        data[start : start + len(piece)] = piece


@pytest.mark.parametrize("kind", MADE)
@pytest.mark.parametrize("damage", [cut, flip, flip_the_head, noise])
def test_damage_is_an_error_or_does_no_harm(
    tmp_path: Path, kind: str, damage: Callable[[bytearray, np.random.Generator], None]
) -> None:
    found = damaged(kind, tmp_path / "set", damage)
    if kind == "tfrecord" and damage is not cut:  # a cut between two records leaves a whole file
        assert found == ROUNDS
    assert found or damage is not cut


@pytest.mark.parametrize("kind", MADE)
def test_a_file_that_is_empty(tmp_path: Path, kind: str) -> None:
    found = damaged(kind, tmp_path / "set", lambda data, _: data.clear())
    assert found
