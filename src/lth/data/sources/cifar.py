"""CIFAR-10 and CIFAR-100, in the binary or the Python version, in a folder or in the archive as it is distributed."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from lth.data.sources.cifar_batches import Batch, read_lines, read_pickled, read_pickled_names, read_records
from lth.data.sources.dataset import Dataset, make_dataset
from lth.data.sources.files import Files, common_folder, folder_files, tar_files, unpacked
from lth.errors import DataError

TEN = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@dataclass(frozen=True)
class Version:
    """How one version of a set is distributed; `train` is a pattern whose group is the number of the file."""

    folder: str
    archive: str
    train: str
    test: str
    names: str
    names_key: str
    read: Callable[[bytes, str], Batch]
    read_names: Callable[[bytes, str, str], list[str]]


BINARY_10 = Version(
    "cifar-10-batches-bin", "cifar-10-binary.tar.gz", r"data_batch_(0|[1-9]\d{0,3})\.bin", "test_batch.bin",
    "batches.meta.txt", "", partial(read_records, ceilings=(10,)), read_lines,
)  # fmt: skip
PYTHON_10 = Version(
    "cifar-10-batches-py", "cifar-10-python.tar.gz", r"data_batch_(0|[1-9]\d{0,3})", "test_batch",
    "batches.meta", "label_names", partial(read_pickled, key="labels", classes=10), read_pickled_names,
)  # fmt: skip
BINARY_100 = Version(
    "cifar-100-binary", "cifar-100-binary.tar.gz", r"train()\.bin", "test.bin",
    "fine_label_names.txt", "", partial(read_records, ceilings=(20, 100)), read_lines,
)  # fmt: skip
PYTHON_100 = Version(
    "cifar-100-python", "cifar-100-python.tar.gz", r"train()", "test",
    "meta", "fine_label_names", partial(read_pickled, key="fine_labels", classes=100), read_pickled_names,
)  # fmt: skip
Versions = tuple[Version, ...]
VERSIONS: dict[int, Versions] = {10: (BINARY_10, PYTHON_10), 100: (BINARY_100, PYTHON_100)}


def open_cifar(rest: str, classes: int) -> Dataset:
    """Returns CIFAR-10 or CIFAR-100 (its fine labels) from the folder, or the archive, `rest`.

    Raises DataError where no version of it is there, or one is incomplete, damaged or another set.
    """
    path = Path(os.path.expanduser(rest))
    if not rest or not os.path.exists(path):
        cure = f"Write cifar{classes}:DIR, DIR being the folder that holds the batches or their archive."
        raise DataError("no such folder", at="data.source", value=f"cifar{classes}:{rest}", cure=cure)
    for versions, place in _places(path, VERSIONS[classes]):
        with place as files:
            for version in versions:
                if batches := _numbered(files, version.train):
                    return _dataset(files, version, batches, classes)
    looked = [name for one in VERSIONS[classes] for name in (one.test, f"{one.folder}/", one.archive)]
    raise DataError(f"no CIFAR-{classes} there", at=path, cure=f"It should hold one of: {', '.join(looked)}.")


def _places(path: Path, versions: Versions) -> Iterator[tuple[Versions, AbstractContextManager[Files]]]:
    """Yields where which versions may lie, the preferred one first."""
    if path.is_file():
        yield versions, tar_files(path)
        return
    yield versions, nullcontext(folder_files(path))
    for version in versions:
        if (path / version.folder).is_dir():
            yield (version,), nullcontext(folder_files(path / version.folder))
    for version in versions:
        if (path / version.archive).is_file():
            yield (version,), tar_files(path / version.archive)


def _dataset(files: Files, version: Version, batches: dict[int, bytes], classes: int) -> Dataset:
    numbers = sorted(batches)
    if gaps := sorted(set(range(numbers[0], numbers[-1])) - set(numbers)):
        what = f"of the training batches {numbers[0]} to {numbers[-1]}, these are missing: {gaps[:10]}"
        raise DataError(what, at=files.place, cure="Put them there.")
    tests = _numbered(files, f"(){re.escape(version.test)}")
    if not tests:
        cure = f"Put {version.test} (or {version.test}.gz) there."
        raise DataError(f"the test set is missing: no {version.test}", at=files.place, cure=cure)
    wanted = [*(batches[number] for number in numbers), tests[0]]
    # In the order of the archive: going back in one that is packed means unpacking it again.
    read = {name: version.read(*_content(files, name)) for name in files.names if name in wanted}
    images, labels = zip(*(read[name] for name in wanted[:-1]), strict=True)
    train = np.concatenate(images), np.concatenate(labels)
    return make_dataset(f"cifar{classes}", train, read[tests[0]], _class_names(files, version, classes))


def _class_names(files: Files, version: Version, classes: int) -> list[str]:
    found = _numbered(files, f"(){re.escape(version.names)}")
    if not found:
        return list(TEN) if classes == 10 else [str(label) for label in range(classes)]
    content, at = _content(files, found[0])
    names = version.read_names(content, at, version.names_key)
    if len(names) != classes:
        raise DataError(f"{classes} classes have {len(names)} names", at=at, cure="Take the file of this set.")
    return names


def _numbered(files: Files, pattern: str) -> dict[int, bytes]:
    """Returns the files that match, by number (0 where a name has none); what is not packed goes before what is."""
    folder, found = common_folder(files.names), {}
    # "x.gz" comes after "x" in the alphabet.
    for name in sorted(files.names, reverse=True):
        if match := re.fullmatch(rf"{pattern}(\.gz)?".encode(), name.removeprefix(folder)):
            found[int(match[1] or 0)] = name
    return found


def _content(files: Files, name: bytes) -> tuple[bytes, str]:
    """Returns the content of a file, unpacked, and its place for messages."""
    content, at = files.read(name), files.where(name)
    return (unpacked(content, at) if name.endswith(b".gz") else content), at
