"""The files of published results: which there are, which are gone, and what kind each is of."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lth.runs.files import read_json
from lth.runs.known import DAMAGED
from lth.runs.run import Run

# What an archive leaves out unless asked, and what a result needs it for.
HEAVY: dict[str, str] = {
    "checkpoints": "dense weights at the rewind points and at the end, which new tickets start from",
    "weights": "trained weights of tickets and controls",
    "masks": "masks of tickets, made from the dense weights in a moment",
    "predictions": "predicted class and confidence of every evaluation example",
}
LIGHT = "metrics"


@dataclass(frozen=True)
class Published:
    """A unit's published result: its `folder` in the run directory and the content of its result.json."""

    folder: str
    record: dict[str, Any]

    @property
    def id(self) -> str:
        """Returns the unit's id."""
        return str(self.record.get("id"))

    @property
    def files(self) -> dict[str, str]:
        """Returns the sha256 of every file of the result, by name."""
        return self.record.get("files", {})

    def attempt(self, root: Path) -> Path:
        """Returns the folder of the files in the run directory `root`."""
        return root / self.folder / f"attempt-{self.record.get('attempt')}"

    def missing(self, root: Path) -> list[str]:
        """Returns the names of the files that are gone from the run directory `root`."""
        if not self.files:
            return []
        try:
            there = set(os.listdir(self.attempt(root)))
        except (FileNotFoundError, NotADirectoryError):
            there = set[str]()
        return sorted(self.files.keys() - there)


def published(run: Run) -> Iterator[Published]:
    """Yields every published network of the run in the order of its folders: dense, checkpoints, tickets, controls.

    Raises RunError on a damaged record.
    """
    for group in ("dense", "cells"):
        parent = run.path / group
        for name in sorted(os.listdir(parent)) if parent.is_dir() else ():
            if (one := published_in(run, f"{group}/{name}")) is not None:
                yield one


def published_in(run: Run, folder: str) -> Published | None:
    """Returns the result in one unit's folder, None where there is none. Raises RunError where it is damaged."""
    path = run.layout.result(folder)
    return Published(folder, read_json(path, DAMAGED)) if path.exists() else None


def kind_of(folder: str, name: str) -> str:
    """Returns the kind of a result's file: "metrics", or one of HEAVY."""
    if name.startswith("predictions."):
        return "predictions"
    if name.startswith("mask."):
        return "masks"
    if not name.endswith(".safetensors"):
        return LIGHT
    return "checkpoints" if folder.startswith("dense/") else "weights"


def lost(run: Run) -> dict[str, list[tuple[str, str]]]:
    """Returns what is gone of the published results: by kind, the (folder, file name) of each file."""
    found: dict[str, list[tuple[str, str]]] = {}
    for one in published(run):
        for name in one.missing(run.path):
            found.setdefault(kind_of(one.folder, name), []).append((one.folder, name))
    return found
