"""What a preparation is going to make: its shards, and the record by which it is known again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast, overload

import numpy as np

from lth.data.listing import Listing, Source
from lth.data.order import permutation
from lth.data.preparation.task import Recipe, Task
from lth.errors import DataError, MissingExtraError
from lth.spec.identity import canonical, digest

FORMAT = 1
PLAN = "plan.json"
SEED = 2021  # of the order of the rows, in every part of every data set
SHARDS = 64  # about so many, whatever the size of the data ...
FEWEST_ROWS = 64  # ... as long as a shard has so many rows ...
LARGEST_SHARD = 256 << 20  # ... and takes no more bytes as pixels
MOST_SIZE = 4096
KEPT = 256


@dataclass(frozen=True)
class Plan:
    """All that the shards depend on; `record` is it as JSON values, kept beside them as plan.json."""

    source: Source
    recipe: Recipe
    versions: dict[str, str]
    record: dict[str, Any]

    @property
    def images(self) -> int:
        """Returns the number of images listed, in all parts."""
        return sum(len(listing) for listing in self.source.parts.values())


def make_plan(source: Source, recipe: Recipe) -> Plan:
    """Returns the plan of a preparation: a pure function of what the source lists, the recipe and the decoder.

    Raises DataError for a recipe that cannot be made or a source without images, MissingExtraError without Pillow.
    """
    check_recipe(recipe)
    try:
        from lth.data.image import DECODER, FILTER, RULES, versions
    except ImportError as problem:
        raise MissingExtraError("Pillow", "data", "the preparation of images") from problem
    if empty := [part for part, listing in source.parts.items() if not len(listing)]:
        raise DataError("no images are listed", at=f"{source.kind}, {empty[0]}", cure="Name a source that holds some.")
    found = versions()
    preprocessing = {**asdict(recipe), "filter": FILTER, "decoder": DECODER, "versions": found, "rules": dict(RULES)}
    parts = {
        part: {"images": len(listing), "rows_per_shard": rows_per_shard(len(listing), recipe.size), "listing": of}
        for part, listing in source.parts.items()
        for of in [listing_digest(listing)]
    }
    classes = None if source.classes is None else digest(list(source.classes))
    record = {"format": FORMAT, "source": source.kind, "classes": classes, "parts": parts}
    return Plan(source, recipe, found, {**record, "preprocessing": preprocessing})


def check_recipe(recipe: Recipe) -> None:
    """Returns nothing. Raises DataError for a recipe that cannot be made."""
    if not 1 <= recipe.size <= MOST_SIZE:
        raise DataError("out of range", at="--size", value=recipe.size, cure=f"Take 1 to {MOST_SIZE}.")
    if recipe.policy == "keep256" and recipe.size > KEPT:
        cure = f"Take a size up to {KEPT}, or the policy center."
        raise DataError(f"keep256 cuts the square out of {KEPT} pixels", at="--size", value=recipe.size, cure=cure)
    if recipe.codec == "raw" and recipe.quality is not None:
        cure = "Add --codec jpeg, or drop it."
        raise DataError("would be ignored by the codec raw", at="--quality", value=recipe.quality, cure=cure)
    if recipe.codec == "jpeg" and not 1 <= (recipe.quality or 0) <= 100:
        raise DataError("out of range", at="--quality", value=recipe.quality, cure="Take 1 to 100.")


def rows_per_shard(n: int, size: int) -> int:
    """Returns clamp(ceil(n / 64), 64, 256 MiB of rows): how many of n listed images go into a shard."""
    most = max(1, LARGEST_SHARD // (3 * size * size))
    return min(max(-(-n // SHARDS), FEWEST_ROWS), most)


def listing_digest(listing: Listing) -> str:
    """Returns the sha256 of what a part lists: names, sizes and labels, but not where the files lie."""
    digest = hashlib.sha256(f"{listing.kind}\n{len(listing)}\n".encode())
    for column in (listing.size, listing.label):
        digest.update(np.ascontiguousarray(column, "<i8").tobytes())
    for name in listing.names:
        digest.update(name.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()


class Tasks(Sequence[Task]):
    """The tasks of a plan, all parts, each made when it is asked for: a million entries are never in memory at once."""

    def __init__(self, plan: Plan, work: Path):
        self._plan, self._work = plan, work

    @cached_property
    def places(self) -> list[tuple[str, int, int]]:
        """Returns part, number and listed rows of every shard."""
        return [
            (part, number, min(rows, images - number * rows))
            for part, of in self._plan.record["parts"].items()
            for images, rows in [(of["images"], of["rows_per_shard"])]
            for number in range(-(-images // rows))
        ]

    @cached_property
    def _orders(self) -> dict[str, np.ndarray]:
        return {part: permutation(SEED, 0, len(listing)) for part, listing in self._plan.source.parts.items()}

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, index: int) -> Task: ...
    @overload
    def __getitem__(self, index: slice) -> list[Task]: ...
    def __getitem__(self, index: int | slice) -> Task | list[Task]:
        if isinstance(index, slice):
            return [self._task(part, number) for part, number, _ in self.places[index]]
        part, number, _ = self.places[index]
        return self._task(part, number)

    def __iter__(self) -> Iterator[Task]:
        return (self._task(part, number) for part, number, _ in self.places)

    def _task(self, part: str, number: int) -> Task:
        plan, listing = self._plan, self._plan.source.parts[part]
        rows = plan.record["parts"][part]["rows_per_shard"]
        entries = tuple(listing.entries(self._orders[part][number * rows : (number + 1) * rows]))
        folders = str(shard_folder(self._work, part)), str(record_folder(self._work, part))
        return Task(number, part, listing.kind, entries, plan.recipe, *folders, plan.versions)


def shard_folder(work: Path, part: str) -> Path:
    """Returns where the shards of a part are made; `work`/data becomes the data set."""
    return work / "data" / part


def record_folder(work: Path, part: str) -> Path:
    """Returns where the records of the shards of a part are, as long as the work lasts."""
    return work / "records" / part


def compare(path: Path, plan: Plan, cure: str) -> None:
    """Returns nothing where the record in `path` is that of `plan`. Raises DataError naming what differs."""
    try:
        there = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as problem:
        raise DataError(f"cannot be read: {problem}", at=path, cure=cure) from problem
    mine, found = dict(_leaves(plan.record)), dict(_leaves(there))
    differing = [
        f"{key}: {canonical(found.get(key))} there, {canonical(mine.get(key))} asked for"
        for key in sorted(mine.keys() | found.keys())
        if canonical(found.get(key)) != canonical(mine.get(key))
    ]
    if differing:
        raise DataError(f"another preparation is here; {'; '.join(differing)}", at=path.parent, cure=cure)


def _leaves(value: object, above: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        for key, below in cast(Mapping[str, object], value).items():
            yield from _leaves(below, f"{above}.{key}" if above else key)
    else:
        yield above, value
