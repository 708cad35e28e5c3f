"""The sha256 of a file, read in pieces."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

PIECE = 1 << 20

Told = Callable[[int], None]  # hears of bytes that were read or written, as they are


def quiet(_: int) -> None:
    """Returns nothing: the one to tell where nobody listens."""


def file_sha256(path: Path, told: Told = quiet) -> str:
    """Returns the hexadecimal sha256 of the file, whose bytes `told` hears of. Raises OSError."""
    digest, buffer = hashlib.sha256(), bytearray(PIECE)
    view = memoryview(buffer)
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(view):
            digest.update(view[:count])
            told(count)
    return digest.hexdigest()
