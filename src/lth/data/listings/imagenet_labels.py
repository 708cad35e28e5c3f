"""Labels of ImageNet's validation images: ids of the development kit, and the WordNet ids that they stand for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from lth.data.sources.files import Files, folder_files, tar_files
from lth.errors import DataError, MissingExtraError

KIT = "ILSVRC2012_devkit_t12"
ARCHIVE = f"{KIT}.tar.gz"
TRUTH, META, MAP = "ILSVRC2012_validation_ground_truth.txt", "meta.mat", "map_clsloc.txt"
CURE = f"Put {ARCHIVE} there, or {TRUTH} and {MAP}."
LEAVES = 1000
LONGEST = 1 << 24


def validation_wnids(folder: Path) -> list[str]:
    """Returns the WordNet id of each validation image, the first being that of ILSVRC2012_val_00000001.JPEG.

    The ids of the kit (1 is the kit fox) are neither labels nor in the order of the WordNet ids. They are read in the
    folder itself, in the kit's folder or in its archive. Raises DataError where files are missing or damaged, and
    MissingExtraError where a meta.mat has to be read without SciPy.
    """
    for place in _places(folder):
        with place as files:
            truth = _find(files, TRUTH)
            if truth is None:
                continue
            names = _mapping(files)
            if names is None:
                what = f"{TRUTH} is there, but nothing that says what its ids stand for"
                raise DataError(what, at=files.place, cure=CURE)
            return [_wnid(names, line, files.where(truth), row) for row, line in enumerate(_lines(files, truth), 1)]
    raise DataError("the labels of the validation images are missing", at=folder, cure=CURE)


def _places(folder: Path) -> Iterator[Any]:
    """Yields where the files may lie, the preferred place first."""
    for place in (folder, folder / KIT / "data", folder / KIT):
        if place.is_dir():
            yield _folder(place)
    if (folder / ARCHIVE).is_file():
        yield tar_files(folder / ARCHIVE)


@contextmanager
def _folder(place: Path) -> Iterator[Files]:
    yield folder_files(place)


def _mapping(files: Files) -> dict[int, str] | None:
    """Returns WordNet ids by the kit's ids."""
    if name := _find(files, MAP):
        found: dict[int, str] = {}
        for row, line in enumerate(_lines(files, name), 1):
            wnid, _, rest = line.partition(" ")
            number = _number(rest.split(" ")[0], f"{files.where(name)}, line {row}")
            if found.setdefault(number, wnid) != wnid:
                raise DataError(f"the id {number} stands for two classes", at=f"{files.where(name)}, line {row}")
        return found
    if name := _find(files, META):
        return _matlab(files.read(name), files.where(name))
    return None


def _matlab(content: bytes, at: str) -> dict[int, str]:
    """Returns the WordNet ids of the leaves in the kit's meta.mat, by the kit's ids."""
    try:
        from scipy.io import loadmat
    except ImportError as problem:
        raise MissingExtraError("scipy", "data", f"the kit's {META}") from problem
    try:
        synsets = loadmat(BytesIO(content), variable_names=["synsets"], squeeze_me=True)["synsets"]
        rows = zip(synsets["ILSVRC2012_ID"], synsets["WNID"], strict=True)
        found = {int(number): str(wnid) for number, wnid in rows if int(number) <= LEAVES}
    # SciPy lets nearly any exception through when a file is damaged, MemoryError among them.
    except Exception as problem:
        what = f"not the kit's table of synsets: {type(problem).__name__}: {problem}"
        raise DataError(what[:300], at=at, cure="Fetch the file again.") from problem
    return found


def _wnid(names: dict[int, str], line: str, at: str, row: int) -> str:
    number = _number(line, f"{at}, line {row}")
    if number not in names:
        raise DataError("an id that stands for no class", at=f"{at}, line {row}", value=number, cure=CURE)
    return names[number]


def _number(text: str, at: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise DataError("not an id", at=at, value=text, cure="Fetch the file again.")
    return int(text)


def _lines(files: Files, name: bytes) -> list[str]:
    content = files.read(name)
    if len(content) > LONGEST:
        raise DataError(f"more than {LONGEST} bytes", at=files.where(name), value=len(content), cure=CURE)
    try:
        return [line.strip() for line in content.decode("ascii").splitlines() if line.strip()]
    except UnicodeDecodeError as problem:
        raise DataError(f"not text: {problem}", at=files.where(name)) from problem


def _find(files: Files, name: str) -> bytes | None:
    """Returns the file that is named so, in whatever folder."""
    return next((one for one in files.names if one.rpartition(b"/")[2] == name.encode()), None)
