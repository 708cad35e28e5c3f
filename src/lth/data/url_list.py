"""Lists of addresses with checksums, read with suspicion: who wrote one may not be who runs it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from lth.data.fetch_list import PART, Item
from lth.data.opener import SCHEMES
from lth.errors import DataError

LONGEST_NAME = 200
DEEPEST = 16
SHOWN = 20
SHA256 = re.compile(r"[0-9a-f]{64}")


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
    if max(len(piece.encode()) for piece in pieces) > LONGEST_NAME or len(pieces) > DEEPEST:
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
