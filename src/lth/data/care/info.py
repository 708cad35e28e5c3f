"""What prepared data are: classes, counts, statistics, how they were made."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from lth.data.care.contents import index_lines, labels_of
from lth.data.care.verify import part_folders
from lth.data.manifest import Manifest, read_manifest


@dataclass(frozen=True)
class Facts:
    """What one part holds. `counts` are its images by class; `width` and `height` the originals' means in pixels."""

    part: str
    n: int
    counts: dict[str, int]
    failures: int
    width: float | None
    height: float | None
    bytes: int
    shards: int
    mean: list[float]
    deviation: list[float]
    dataset_id: str

    def spread(self) -> tuple[int, float, int]:
        """Returns the smallest, median and largest number of images of a class."""
        counts = list(self.counts.values()) or [0]
        return min(counts), median(counts), max(counts)


@dataclass(frozen=True)
class Info:
    """What prepared data are: `made` is how, as the manifest of the training part tells it."""

    source: str
    classes: int
    made: dict[str, Any]
    parts: tuple[Facts, ...]

    def as_json(self) -> dict[str, Any]:
        """Returns it as JSON values, with the spread of the counts."""
        parts = [{**asdict(one), "count_min_median_max": list(one.spread())} for one in self.parts]
        return {**asdict(self), "parts": parts, "bytes": sum(one.bytes for one in self.parts)}


def read_info(out: Path) -> Info:
    """Returns what the prepared data in `out` are. Raises DataError where a file that tells of them is damaged."""
    found = {part: (folder, read_manifest(folder)) for part, folder in part_folders(out).items()}
    first = next(iter(found.values()))[1]
    parts = tuple(_facts(folder, manifest) for folder, manifest in found.values())
    return Info(first.source, len(first.classes), first.preprocessing.model_dump(mode="json"), parts)


def _facts(folder: Path, manifest: Manifest) -> Facts:
    labels = labels_of(folder, manifest)
    inside = labels[(labels >= 0) & (labels < len(manifest.classes))]
    counts = np.bincount(inside, minlength=len(manifest.classes)).tolist()
    sides = np.array([(w, h) for _, w, h in index_lines(folder / manifest.source_index.name)], np.int64).reshape(-1, 2)
    width, height = (float(one) for one in sides.mean(0)) if len(sides) else (None, None)
    return Facts(
        part=manifest.part,
        n=manifest.n,
        counts=_named(manifest.classes, counts),
        failures=len(manifest.failures),
        width=width,
        height=height,
        bytes=sum(file.bytes for file in manifest.files()),
        shards=len(manifest.shards),
        mean=manifest.mean,
        deviation=manifest.deviation,
        dataset_id=manifest.dataset_id,
    )


def _named(classes: list[str], counts: list[int]) -> dict[str, int]:
    """Returns counts by class name; of two classes with one name the later has its number added."""
    named: dict[str, int] = {}
    for number, (name, count) in enumerate(zip(classes, counts, strict=True)):
        named[f"{name} ({number})" if name in named else name] = count
    return named
