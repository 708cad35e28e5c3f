"""Whether the disk has room for what a preparation is going to write."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

from lth.data.preparation.plan import Tasks, shard_folder
from lth.data.preparation.shard_record import shard_name
from lth.data.preparation.task import Recipe
from lth.errors import DataError

JPEG_SHARE, JPEG_BYTES = 0.12, 1000  # of the pixels, and for every image: a little more than photographs take
QUALITY = 90
ROW_BYTES = 250  # a row's lines in labels, source index and record
FILES = 30  # beside the shards and their records


def bytes_needed(rows: int, recipe: Recipe) -> int:
    """Returns how many bytes so many rows take, about, with their labels and names."""
    pixels = 3 * recipe.size**2
    return int(rows * (ROW_BYTES + (pixels if recipe.codec == "raw" else JPEG_SHARE * pixels + JPEG_BYTES)))


def check_space(tasks: Tasks, recipe: Recipe, work: Path) -> None:
    """Returns nothing where the disk of `work` has room for the shards that are not there yet.

    Raises DataError where it lacks bytes, proposing JPEG where that would fit, or inodes.
    """
    left = [
        rows
        for part, number, rows in tasks.places
        if not (shard_folder(work, part) / shard_name(number, recipe.codec)).exists()
    ]
    needed, free = bytes_needed(sum(left), recipe), shutil.disk_usage(work).free
    if needed > free:
        what = f"{sum(left)} rows take about {_shown(needed)}, and {_shown(free)} are free here"
        raise DataError(what, at=work.parent, cure=_cure(sum(left), recipe, free))
    files, found = 2 * len(left) + FILES, os.statvfs(work)
    if found.f_files and files > found.f_favail:  # some file systems count none
        what = f"{files} files are to be made, and the disk has room for {found.f_favail}"
        raise DataError(what, at=work.parent, cure="Take away files that are not needed, or choose another disk.")


def _cure(rows: int, recipe: Recipe, free: int) -> str:
    jpeg = bytes_needed(rows, replace(recipe, codec="jpeg", quality=QUALITY))
    if recipe.codec == "raw" and jpeg <= free:
        return f"Take --codec jpeg, which needs about {_shown(jpeg)}, or a smaller --size, or another disk."
    return "Free some space, or take a smaller --size, or another disk."


def _shown(count: int) -> str:
    for unit, size in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count / 1000:.1f} kB"
