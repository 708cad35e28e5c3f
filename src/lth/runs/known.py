"""What a process knows of a run's units: read from their folders, or told by the journal."""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from lth.errors import RunError
from lth.runs.files import read_json
from lth.runs.journal import Journal, line
from lth.runs.layout import UNIT_FOLDERS, Layout
from lth.runs.records import FORMAT_VERSION, CellResult, Failure, Results

R = TypeVar("R", CellResult, Failure)
LISTED_SECONDS = 120.0  # a listing may be so old: NFS keeps one for up to a minute
DAMAGED = "Delete the folder to have that unit done again."


class Known:
    """The settled units of a run by folder, as the folders show them; `attempts` failures settle a unit too."""

    def __init__(self, layout: Layout, attempts: int):
        self.layout, self.attempts = layout, attempts
        self.records: dict[str, CellResult | str] = {}  # trained networks; of other units the id
        self.failed: dict[str, Failure] = {}
        self.fatal: set[str] = set()  # folders of unsettled units whose worker has died before

    def results(self) -> Results:
        """Returns what is known, without looking."""
        records = self.records.values()
        return Results(
            {record.id: record for record in records if isinstance(record, CellResult)},
            frozenset(record for record in records if isinstance(record, str)),
            {failure.id: failure for failure in self.failed.values()},
        )

    def settled(self, folder: str) -> bool:
        """Returns whether the unit of that folder is known to be done or given up, without looking."""
        return folder in self.records or folder in self.failed

    def look_everywhere(self) -> None:
        """Returns nothing; what is known is what the folders hold now. Raises RunError on a damaged record.

        Records already read are kept, so it costs three listings and a look into each folder without a result.
        """
        present = self._present()
        for gone in self.records.keys() - present:
            del self.records[gone]
        self.failed.clear()
        self.fatal.clear()
        for folder in present - self.records.keys():
            self.look_into(folder)

    def look_into(self, folder: str) -> bool:
        """Returns whether the unit of that folder is settled there. Raises RunError on a damaged record."""
        names = _listing(self.layout.root / folder)
        if "result.json" in names:
            self._hold(folder, read_json(self.layout.result(folder), DAMAGED), self.layout.result(folder))
            return True
        if "died-1.json" in names:
            self.fatal.add(folder)
        numbered = sorted(name for name in names if name.startswith("failed-") and name.endswith(".json"))
        paths = [self.layout.root / folder / name for name in numbered]
        failures = [record_of(Failure, read_json(path, DAMAGED), path) for path in paths]
        if failures and self.settles(failures[-1], len(failures)):
            self.failed[folder] = failures[-1]
        return folder in self.failed

    def trained(self, folder: str) -> CellResult:
        """Returns the result of a network that is done. Raises RunError where its folder holds none."""
        if folder not in self.records:
            self.look_into(folder)
        record = self.records.get(folder)
        if not isinstance(record, CellResult):
            raise RunError("no trained network's result is here", at=self.layout.result(folder), cure=DAMAGED)
        return record

    def settles(self, failure: Failure, number: int) -> bool:
        """Returns whether a unit is given up with this failure, its `number`-th."""
        return failure.final or number >= self.attempts

    def _present(self) -> set[str]:
        return {f"{group}/{name}" for group in UNIT_FOLDERS for name in _listing(self.layout.root / group)}

    def _hold(self, folder: str, value: dict[str, Any], path: Path) -> None:
        check_format(value, path)
        trained = value.get("kind") in ("dense", "cell")
        self.records[folder] = record_of(CellResult, value, path) if trained else str(value.get("id"))
        self.failed.pop(folder, None)


class Told(Known):
    """The settled units as the journal tells them, which a worker trusts where the unit's folder is there."""

    def __init__(self, layout: Layout, attempts: int):
        super().__init__(layout, attempts)
        self.journal = Journal(layout.journal)
        self._heard: dict[str, float] = {}  # when a unit was told of or seen, by this process's clock

    def listen(self) -> None:
        """Returns nothing; takes in what came since. A line that is no record of a unit is passed over."""
        for told in self.journal.news():
            folder = told["folder"]
            self._heard[folder] = time.monotonic()
            with contextlib.suppress(RunError, AttributeError):
                if "result" in told:
                    self._hold(folder, told["result"], self.journal.path)
                elif "failure" in told and folder not in self.records:
                    self.failed[folder] = record_of(Failure, told["failure"], self.journal.path)
                elif "gone" in told:
                    self._forget(folder)

    def look_everywhere(self) -> None:
        """Returns nothing; the folders that the journal does not tell of are looked into, those told of need only be
        there, once a listing must show it. One that is not is told as gone, before anyone does its unit again."""
        self.listen()
        present = self._present()
        long_ago = time.monotonic() - LISTED_SECONDS
        for folder in (self.records.keys() | self.failed.keys()) - present:
            if self._heard.get(folder, 0.0) > long_ago:
                continue
            self._forget(folder)
            self.journal.append(folder, "gone", "true")
        for folder in present - self.records.keys() - self.failed.keys():
            self.look_into(folder)

    def look_into(self, folder: str) -> bool:
        """Returns whether the unit of that folder is settled there. Raises RunError on a damaged record."""
        self._heard[folder] = time.monotonic()
        return super().look_into(folder)

    def correct(self, truth: Known) -> None:
        """Returns nothing; the journal is written anew where it has told something else than `truth`."""
        if (self.records, self.failed) == (truth.records, truth.failed):
            return
        results = (line(folder, "result", _text(record)) for folder, record in truth.records.items())
        failures = (line(folder, "failure", one.model_dump_json()) for folder, one in truth.failed.items())
        self.journal.rewrite([*results, *failures])
        self.records, self.failed, self._heard = {**truth.records}, {**truth.failed}, {}

    def _forget(self, folder: str) -> None:
        self.records.pop(folder, None)
        self.failed.pop(folder, None)


def _text(record: CellResult | str) -> str:
    if isinstance(record, CellResult):
        return record.model_dump_json()
    return json.dumps({"format_version": FORMAT_VERSION, "id": record})


def check_format(value: dict[str, Any], path: Path) -> None:
    """Returns nothing. Raises RunError where a record is of a later format than this lth reads."""
    version = value.get("format_version")
    if not isinstance(version, int) or version > FORMAT_VERSION:
        cure = "Update lth: pip install --upgrade lth"
        raise RunError(
            f"format_version is not one this lth reads (up to {FORMAT_VERSION})", at=path, value=version, cure=cure
        )


def record_of(kind: type[R], value: dict[str, Any], path: Path) -> R:
    """Returns the record in a JSON value. Raises RunError that names the first wrong key."""
    try:
        return kind.model_validate(value)
    except ValidationError as problem:
        first = problem.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise RunError(f"{key}: {first['msg']}", at=path, value=first.get("input"), cure=DAMAGED) from problem


def _listing(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
