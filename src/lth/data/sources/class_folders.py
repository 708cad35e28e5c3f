"""Which image belongs to which class and part, by the names of folders alone."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lth.data.sources.files import common_folder, shown
from lth.errors import DataError

log = logging.getLogger("lth")

TRAIN = b"train"
# The first of them that is there is the test set.
TESTS = (b"test", b"val", b"validation", b"valid")
ENDINGS = (b".jpg", b".jpeg", b".png", b".bmp", b".gif", b".webp", b".ppm", b".pgm", b".tif", b".tiff")
STRUCTURE = "Images lie in train/CLASS/ and test/CLASS/ (or val/CLASS/)."


@dataclass(frozen=True)
class Arrangement:
    """Class names in the order of the labels, and name and label of every image, both parts in order.

    All the images' names begin with `folder`, which is empty or ends in "/".
    """

    classes: tuple[str, ...]
    train: tuple[tuple[bytes, int], ...]
    test: tuple[tuple[bytes, int], ...]
    folder: bytes


def arrange(names: Sequence[bytes], place: Path, test_needed: bool = True) -> Arrangement:
    """Returns the arrangement of the files `names` ("/" between folders, a folder's name ends in "/") of `place`.

    Classes are the folders in train/, in the order of their bytes, and so are the images of a class. All of it may
    lie in one more folder. Raises DataError for a part, a class or images that are missing or lie elsewhere; the test
    part may be missing, and is then empty, where it is not `test_needed`.
    """
    folder = b"" if any(name.startswith(TRAIN + b"/") for name in names) else common_folder(names)
    inside = [name.removeprefix(folder) for name in names if name.startswith(folder)]
    parts = {name.partition(b"/")[0] for name in inside if b"/" in name}
    tests = [part for part in TESTS if part in parts]
    if TRAIN not in parts or (test_needed and not tests):
        what = f"there is no {'train' if TRAIN not in parts else 'test or val'} folder"
        cure = STRUCTURE if TRAIN not in parts else f"Put images aside that no training sees. {STRUCTURE}"
        raise DataError(what, at=place, value=[shown(part) for part in sorted(parts)], cure=cure)
    if len(tests) > 1:
        log.info(
            "%s: %s/ is the test set, %s is not read", place, shown(tests[0]), shown(b"/, ".join(tests[1:]) + b"/")
        )
    train = _by_class(names, folder + TRAIN + b"/", place)
    test = _by_class(names, folder + tests[0] + b"/", place) if tests else {}
    classes = {name: label for label, name in enumerate(sorted(train))}
    if strange := sorted(set(test) - set(classes)):
        what = f"{shown(tests[0])}/ has {len(strange)} classes that train/ has not"
        raise DataError(what, at=place, value=_first(strange), cure="Give both parts the same class folders.")
    if empty := sorted(name for name, images in train.items() if not images):
        what = f"{len(empty)} class folders of train/ hold no images"
        raise DataError(what, at=place, value=_first(empty), cure="Fill them or take them away.")
    if tests and not any(test.values()):
        raise DataError(f"{shown(tests[0])}/ holds no images", at=place, cure=STRUCTURE)
    labelled_train, labelled_test = (
        tuple((image, label) for name, label in classes.items() for image in sorted(part.get(name, ())))
        for part in (train, test)
    )
    return Arrangement(tuple(map(shown, classes)), labelled_train, labelled_test, folder)


def _by_class(names: Sequence[bytes], part: bytes, place: Path) -> dict[bytes, list[bytes]]:
    """Returns the images below the folder `part` (its name ends in "/") by class."""
    found: dict[bytes, list[bytes]] = {}
    others, outside = [], []
    for name in names:
        if not name.startswith(part):
            continue
        head, slash, rest = name.removeprefix(part).partition(b"/")
        if slash:
            images = found.setdefault(head, [])
            if rest.lower().endswith(ENDINGS):
                images.append(name)
            elif rest and not rest.endswith(b"/"):
                others.append(name)
        elif head.lower().endswith(ENDINGS):
            outside.append(name)
    if outside:
        what = f"{len(outside)} images lie in {shown(part)} itself, in no class folder"
        raise DataError(what, at=place, value=_first(outside), cure=STRUCTURE)
    if not found:
        raise DataError(f"{shown(part)} holds no class folders", at=place, cure=STRUCTURE)
    if others:
        log.warning("%s: %d files are no images by their names: %s", place, len(others), ", ".join(_first(others)))
    return found


def _first(names: Sequence[bytes]) -> list[str]:
    return [shown(name) for name in names[:3]]
