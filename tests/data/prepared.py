"""Made-up images in folders, and ways of preparing them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from lth.data.preparation.prepare import Summary, prepare
from lth.data.preparation.task import Recipe, Report, Task, make_shard

RAW = Recipe(16, "center", "raw", None)
JPEG = Recipe(16, "squash", "jpeg", 90)
SOURCE_NAMES = ("cat", "dog", "eel")


def image_folder(folder: Path, train: int, test: int = 9, bad: Sequence[int] = (), side: int = 40) -> str:
    """Returns the source of a folder of images of many sizes and kinds in three classes; the `bad` are no images."""
    draws = np.random.default_rng(3)
    contents = [_content(draws, number, side) for number in range(12)]
    for part, count in (("train", train), ("test", test)):
        for name in SOURCE_NAMES:
            (folder / part / name).mkdir(parents=True)
        for number in range(count):
            content = contents[number % 12] if part == "test" or number not in bad else b"\xff\xd8 no image"
            (folder / part / SOURCE_NAMES[number % 3] / f"{number:05d}.jpg").write_bytes(content)
    return f"imagefolder:{folder}"


def _content(draws: np.random.Generator, number: int, side: int) -> bytes:
    coarse = draws.integers(0, 256, (6, 7, 3), np.uint8)
    image = Image.fromarray(coarse).resize((side + 7 * number, side + 3))
    stream = BytesIO()
    image.convert("L" if number % 4 == 3 else "RGB").save(stream, "PNG" if number % 3 == 1 else "JPEG")
    return stream.getvalue()


def here(tasks: Sequence[Task]) -> Iterator[Report]:
    """Yields the reports of shards made in this process, one after the other."""
    return map(make_shard, tasks)


def backwards(tasks: Sequence[Task]) -> Iterator[Report]:
    """Yields the reports of shards made in this process, the last first."""
    return map(make_shard, list(tasks)[::-1])


def prepared(source: str, out: Path, recipe: Recipe = RAW, max_failures: int | float = 0) -> Summary:
    """Returns the summary of a preparation in this process."""
    return prepare(source, out, recipe, run=here, max_failures=max_failures)


def hashes(folder: Path) -> dict[str, str]:
    """Returns the sha256 of every file below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


class Stopped(Exception):
    """What ends an engine in the middle."""


def some(count: int, tasks: Sequence[Task]) -> Iterator[Report]:
    """Yields so many reports, then stops."""
    for task in tasks[:count]:
        yield make_shard(task)
    raise Stopped
