"""One file from a web server into a neighbour `NAME.part`, going on from where an earlier attempt ended.

Standard library alone: worker processes of Spark run it.
"""

from __future__ import annotations

import email.utils
import errno
import http.client
import os
import re
import shutil
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from lth.data.checksum import PIECE, Told, quiet
from lth.data.opener import opener
from lth.errors import DataError
from lth.version import __version__

# RFC 9110: what may be otherwise a moment later.
PASSING = {408, 425, 429, 500, 502, 503, 504}
RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


@dataclass(frozen=True)
class Patience:
    """How long to bear with a server; seconds. A try that brings a MiB or more does not count as one."""

    tries: int = 6
    timeout: float = 30.0  # of one wait for bytes, and the time in which `least` bytes must come
    least: int = 1 << 12
    first_wait: float = 1.0  # between tries, doubled each time
    longest_wait: float = 60.0


PATIENT = Patience()


class Again(Exception):
    """What went wrong with one try, and for how long the server asks to be left alone."""

    def __init__(self, reason: str, wait: float | None = None):
        self.wait = wait
        super().__init__(reason)


def download(
    url: str,
    part: BinaryIO,
    patience: Patience = PATIENT,
    told: Told = quiet,
    stop: threading.Event | None = None,
) -> int:
    """Returns how many bytes were brought; `part`, open for appending without a buffer, then holds all that `url` has.

    What it holds already is taken for the beginning of the file, and only the rest is asked for (RFC 9110, Range).
    Raises DataError where the server refuses, or fails too often; `part` then keeps what came. Raises
    InterruptedError once `stop` is set.
    """
    stop = stop or threading.Event()
    brought, tried = 0, 0
    while True:
        before = part.seek(0, os.SEEK_END)
        try:
            brought += _try(url, part, patience, told, stop)
            return brought
        except Again as problem:
            gained = part.seek(0, os.SEEK_END) - before
            brought += max(0, gained)
            tried = 1 if gained >= PIECE else tried + 1
            if tried >= patience.tries:
                raise DataError(f"given up after {tried} tries: {problem}", at=url) from problem
            wait = problem.wait if problem.wait is not None else patience.first_wait * 2 ** (tried - 1)
            if stop.wait(min(wait, patience.longest_wait)):
                raise InterruptedError("told to stop") from problem


def _try(url: str, part: BinaryIO, patience: Patience, told: Told, stop: threading.Event) -> int:
    """Returns the bytes of one answer, after appending them to `part`. Raises Again where it was no good."""
    have = part.seek(0, os.SEEK_END)
    # identity: the checksum is that of the file, not of a packed copy of it.
    headers = {"User-Agent": f"lth/{__version__}", "Accept-Encoding": "identity"}
    request = urllib.request.Request(url, headers=headers | ({"Range": f"bytes={have}-"} if have else {}))
    with _translated(url):
        try:
            answer = opener().open(request, timeout=patience.timeout)
        except urllib.error.HTTPError as problem:
            with problem:
                if problem.code == 416 and have:
                    return _beyond(problem, part, have)
                raise _refusal(url, problem) from problem
        with answer:
            whole = _fit(answer, part, have)
            begin = part.seek(0, os.SEEK_END)
            _space(url, part, whole, begin)
            _receive(answer, part, patience, told, stop)
        if whole is not None and (now := part.tell()) != whole:
            raise Again(f"the answer ended after {now} of {whole} bytes")
        return part.tell() - begin


@contextmanager
def _translated(url: str) -> Iterator[None]:
    """Turns what networks and disks do into Again, or into DataError where trying again is no use."""
    try:
        yield
    except (http.client.HTTPException, urllib.error.URLError, ConnectionError, TimeoutError, EOFError) as problem:
        reason = getattr(problem, "reason", None) or problem
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise DataError(f"the server cannot prove who it is: {reason.verify_message}", at=url) from problem
        raise Again(str(reason) or type(reason).__name__) from problem
    except InterruptedError:
        raise
    except OSError as problem:
        raise Again(problem.strerror or str(problem)) from problem
    except (ValueError, UnicodeError) as problem:  # of an address, or of headers, that are none
        raise DataError(f"cannot be asked for: {problem}", at=url) from problem


def _fit(answer: http.client.HTTPResponse, part: BinaryIO, have: int) -> int | None:
    """Returns how long the whole file is, None where that is not told; `part` is cut so that the answer fits it."""
    length = answer.headers.get("Content-Length", "")
    rest = int(length) if length.isascii() and length.isdigit() else None
    if answer.status == 200:
        _anew(part)
        return rest
    found = RANGE.fullmatch(answer.headers.get("Content-Range", "").strip())
    if answer.status != 206 or found is None or int(found[1]) != have or not have:
        _anew(part)  # and ask for all of it
        seen = answer.headers.get("Content-Range")
        raise Again(f"asked for bytes from {have}, answered with status {answer.status}, Content-Range {seen!r}", 0.0)
    end = int(found[2]) + 1
    if (rest is not None and rest != end - have) or (found[3] != "*" and int(found[3]) < end):
        _anew(part)
        raise Again(f"Content-Range {found[0]!r} does not fit a Content-Length of {rest}", 0.0)
    return None if found[3] == "*" else int(found[3])


def _beyond(problem: urllib.error.HTTPError, part: BinaryIO, have: int) -> int:
    """Returns 0 where the server says that nothing is left of the file; else `part` begins anew."""
    if problem.headers.get("Content-Range", "").replace(" ", "") == f"bytes*/{have}":
        return 0
    _anew(part)
    raise Again(f"no bytes from {have} on", 0.0)


def _refusal(url: str, problem: urllib.error.HTTPError) -> Exception:
    told = f"{problem.code} {problem.reason}".strip()
    if problem.code in PASSING:
        return Again(told, retry_after(problem.headers.get("Retry-After")))
    return DataError(f"the server says: {told}", at=url)


def retry_after(value: str | None) -> float | None:
    """Returns the seconds that a Retry-After header asks for, as a number or as a date (RFC 9110, 10.2.3)."""
    if value is None:
        return None
    if value.strip().isascii() and value.strip().isdigit():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def _space(url: str, part: BinaryIO, whole: int | None, have: int) -> None:
    free = shutil.disk_usage(Path(part.name).parent).free
    if whole is not None and whole - have > free:
        what = f"{whole - have} bytes are to come, {free} are free in {Path(part.name).parent}"
        raise DataError(what, at=url, cure="Free some space and run the same command again.")


def _receive(
    answer: http.client.HTTPResponse, part: BinaryIO, patience: Patience, told: Told, stop: threading.Event
) -> None:
    since, came = time.monotonic(), 0
    while piece := answer.read1(PIECE):
        _append(part, piece)
        told(len(piece))
        came += len(piece)
        if stop.is_set():
            raise InterruptedError("told to stop")
        if (now := time.monotonic()) - since > patience.timeout:
            if came < patience.least:
                raise Again(f"only {came} bytes came in {now - since:.0f} s")
            since, came = now, 0


def _append(part: BinaryIO, piece: bytes) -> None:
    with _disk(part):
        rest = memoryview(piece)
        while len(rest):
            rest = rest[part.write(rest) :]


def _anew(part: BinaryIO) -> None:
    with _disk(part):
        part.truncate(0)


@contextmanager
def _disk(part: BinaryIO) -> Iterator[None]:
    """Tells the disk's errors from the network's: trying again is no use."""
    try:
        yield
    except OSError as problem:
        full = problem.errno in (errno.ENOSPC, errno.EDQUOT)
        what = "the disk or the quota is full" if full else f"cannot be written: {problem.strerror}"
        cure = "Free some space and run the same command again; what came is kept." if full else None
        raise DataError(what, at=part.name, cure=cure) from problem
