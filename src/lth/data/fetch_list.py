"""Lists of files on the web: each address with the checksum of what lies there; any number brought at once.

Standard library alone, and what is passed is picklable: worker processes of Spark run `fetch_item`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Literal
from urllib.parse import unquote, urlsplit

from lth.data.checksum import Told, file_sha256, quiet
from lth.data.download import PATIENT, SCHEMES, Patience, download
from lth.errors import DataError, LthError
from lth.runs.files import make_folder

PART = ".part"
LONGEST_NAME = 200
SHOWN = 20
AHEAD = 4
SHA256 = re.compile(r"[0-9a-f]{64}")


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


def read_list(path: Path) -> list[Item]:
    """Returns the files that the lines "URL SHA256 [NAME]" of a list name; empty lines and those from "#" say nothing.

    Without NAME it is the last part of the address. Raises DataError with all lines that cannot be used: another
    scheme than http or https, no checksum, a name that leads out of the folder or is another's too.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as problem:
        raise DataError(f"cannot be read: {problem.strerror}", at=path) from problem
    items: list[Item] = []
    problems: list[str] = []
    for number, line in enumerate(lines, 1):
        try:
            text = line.decode().strip()
            if text and not text.startswith("#"):
                items.append(_item(text))
        except ValueError as problem:
            problems.append(f"line {number}: {problem}")
    problems += _collisions(items)
    if problems:
        more = [f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
        told = "\n  ".join(["lines that cannot be used:", *problems[:SHOWN], *more])
        raise DataError(told, at=path, cure="\nWrite a line for each file: URL SHA256 [NAME].")
    if not items:
        raise DataError("no file is named", at=path, cure="Write a line for each file: URL SHA256 [NAME].")
    return items


def _item(line: str) -> Item:
    """Returns the item of one line. Raises ValueError."""
    url, *rest = line.split(None, 2)
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES or not parts.hostname:
        raise ValueError(f"not an http or https address: {url[:100]!r}")
    if not url.isascii() or not url.isprintable():
        raise ValueError(f"an address of other letters than ASCII, write them as %XX: {url[:100]!r}")
    if "@" in parts.netloc:
        raise ValueError("a user name in the address is not supported")
    parts.port  # noqa: B018  # raises ValueError for one that is none
    if not rest or not SHA256.fullmatch(rest[0].lower()):
        raise ValueError("the sha256, 64 hexadecimal digits, must follow the address")
    name = rest[1] if len(rest) > 1 else unquote(parts.path.rpartition("/")[2])
    return Item(url, rest[0].lower(), checked_name(name))


def checked_name(name: str) -> str:
    """Returns `name`, that of a file below a folder. Raises ValueError where it may lead elsewhere or is not usable."""
    pieces = name.split("/")
    if not name or any(piece in ("", ".", "..") for piece in pieces):
        raise ValueError(f"a name that is empty or leads out of the folder: {name[:100]!r}")
    if not name.isprintable() or "\\" in name or any(one.startswith(".") or one.endswith(PART) for one in pieces):
        raise ValueError(f"a name that is hidden, ends in {PART}, or has odd letters: {name[:100]!r}")
    if max(len(piece.encode()) for piece in pieces) > LONGEST_NAME or len(pieces) > 16:
        raise ValueError(f"a name that is too long: {name[:100]!r}")
    return name


def _collisions(items: Sequence[Item]) -> list[str]:
    """Returns what is wrong with names that are fine by themselves: one file twice, or a file that is a folder too."""
    names: set[str] = set()
    problems = []
    for item in items:
        if item.name in names:
            problems.append(f"two files have the name {item.name!r}")
        names.add(item.name)
    folders = {"/".join(item.name.split("/")[:end]) for item in items for end in range(1, item.name.count("/") + 1)}
    return problems + [f"{name!r} is a file and a folder" for name in sorted(names & folders)]


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
            file.flush()
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
        with open(part, "a+b") as file:
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
