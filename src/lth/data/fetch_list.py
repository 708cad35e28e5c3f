"""Files on the web, each an address with the checksum of what lies there; any number brought at once.

Standard library alone, and what is passed is picklable: worker processes of Spark run `fetch_item`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Literal

from lth.data.checksum import Told, file_sha256, quiet
from lth.data.download import PATIENT, Patience, download
from lth.errors import DataError, LthError
from lth.runs.files import make_folder

PART = ".part"
AHEAD = 4


@dataclass(frozen=True, slots=True)
class Item:
    """A file to bring: its address, the sha256 of its content, and its name below the folder, "/" between folders."""

    url: str
    sha256: str
    name: str


@dataclass(frozen=True, slots=True)
class FetchReport:
    """What became of one file. `brought` bytes came over the network; `reason` tells why it "failed"."""

    name: str
    url: str
    state: Literal["fetched", "there", "failed"]
    reason: str | None
    brought: int
    seconds: float


def fetch_all(
    items: Sequence[Item], folder: Path, jobs: int = 4, patience: Patience = PATIENT, told: Told = quiet
) -> Iterator[FetchReport]:
    """Yields a report of each file as it is done, `jobs` under way at once. Closing it, or Ctrl-C, stops them all."""
    stop, waiting = threading.Event(), iter(items)
    with ThreadPoolExecutor(jobs) as pool:
        try:
            under_way: set[Future[FetchReport]] = set()
            while True:  # few at once are handed to the pool: a list may name millions
                fresh = islice(waiting, AHEAD * jobs - len(under_way))
                under_way |= {pool.submit(fetch_item, one, folder, patience, told, stop) for one in fresh}
                if not under_way:
                    return
                done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                yield from (task.result() for task in done)
        finally:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)


def fetch_item(
    item: Item,
    folder: Path,
    patience: Patience = PATIENT,
    told: Told = quiet,
    stop: threading.Event | None = None,
) -> FetchReport:
    """Returns what became of one file, which is in `folder` under its name only when it is whole and checked.

    A file that is there with the right checksum is not asked for; another of that name is replaced. Until then the
    bytes are in `NAME.part`, from which a later call goes on; one that proves wrong is removed. Never raises for what
    a server, a network or a disk does.
    """
    began, count = time.monotonic(), [0]

    def hear(size: int) -> None:
        count[0] += size
        told(size)

    state, reason = "failed", None
    try:
        state = _bring(item, folder / item.name, patience, hear, stop)
    except LthError as problem:
        reason = str(problem)
    except OSError as problem:
        reason = f"{problem.filename or item.name}: {problem.strerror or problem}"
    return FetchReport(item.name, item.url, state, reason, count[0], time.monotonic() - began)


def _bring(
    item: Item, path: Path, patience: Patience, told: Told, stop: threading.Event | None
) -> Literal["fetched", "there"]:
    if _whole(path, item.sha256):
        return "there"
    make_folder(path.parent)
    part = path.with_name(path.name + PART)
    with _locked(part) as file:
        if _whole(path, item.sha256):  # somebody else has brought it meanwhile
            part.unlink(missing_ok=True)
            return "there"
        resumed = file.seek(0, os.SEEK_END) > 0
        while True:
            download(item.url, file, patience, told, stop)
            os.fsync(file.fileno())
            found = file_sha256(part)
            if found == item.sha256:
                os.replace(part, path)
                return "fetched"
            if not resumed:
                part.unlink()
                raise DataError(f"the checksum is wrong: sha256 {found}, {item.sha256} is wanted", at=item.url)
            resumed = False  # what an earlier attempt left may be to blame: once more, from the beginning
            file.truncate(0)


def _whole(path: Path, sha256: str) -> bool:
    try:
        return path.is_file() and file_sha256(path) == sha256
    except OSError:
        return False


@contextmanager
def _locked(part: Path) -> Iterator[BinaryIO]:
    """Yields the open file `part`, which no other process writes meanwhile: it is waited for."""
    while True:
        with open(part, "a+b", buffering=0) as file:
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(file, fcntl.LOCK_EX)
            if _same(part, file):  # and not what another process has just made the whole file of, or removed
                try:
                    yield file
                finally:
                    if not file.closed and _same(part, file) and not file.seek(0, os.SEEK_END):
                        part.unlink()  # nothing came
                return


def _same(path: Path, file: BinaryIO) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
