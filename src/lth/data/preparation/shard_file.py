"""The file of one shard while it is written: rows one by one, never more than one in memory."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import struct
from collections.abc import Generator
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from lth.data.checksum import file_sha256
from lth.data.manifest import HEADER_BYTES
from lth.errors import RunError
from lth.runs.files import disk_errors

if TYPE_CHECKING:
    from PIL import Image


def npy_header(rows: int, size: int) -> bytes:
    """Returns the first 4096 bytes of an npy file uint8 (rows,size,size,3). Source: NumPy, NEP 1, version 1.0."""
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({rows}, {size}, {size}, 3), }}"
    start = b"\x93NUMPY\x01\x00" + struct.pack("<H", HEADER_BYTES - 10)
    return start + text.encode().ljust(HEADER_BYTES - 11) + b"\n"


class ShardFile:
    """An attempt at a shard: rows are added to a private file, which `commit` gives its name.

    `offsets` are begin and end of every row in the file, for JPEG streams alone.
    """

    def __init__(self, path: Path, file: IO[bytes], size: int, quality: int | None, expected: int):
        self.path, self.offsets = path, list[tuple[int, int]]()
        self._file, self._size, self._quality = file, size, quality
        self._rows, self._expected, self._end = 0, expected, 0
        self._digest = hashlib.sha256()
        if quality is None:
            self._write(npy_header(expected, size))

    def add(self, image: Image.Image) -> None:
        """Returns nothing; the image, RGB of the shard's size, is the next row."""
        begin = self._end
        self._write(image.tobytes() if self._quality is None else _jpeg(image, self._quality))
        self._rows += 1
        if self._quality is not None:
            self.offsets.append((begin, self._end))

    def commit(self) -> tuple[str, int]:
        """Returns sha256 and bytes of the shard, which now stands under its name; one without rows leaves no file."""
        header = self._quality is None and self._rows != self._expected
        if header:
            self._file.seek(0)
            self._file.write(npy_header(self._rows, self._size))
        self._file.flush()  # not synced: a shard that a power cut leaves half written is not what its record says
        sha256 = file_sha256(Path(self._file.name)) if header else self._digest.hexdigest()
        if self._rows:
            self._rename()
        return sha256, self._end

    def _rename(self) -> None:
        try:
            os.replace(self._file.name, self.path)
        except FileNotFoundError as problem:
            cure = "Run the same command again, alone."
            raise RunError("somebody else cleared this attempt away", at=self.path, cure=cure) from problem

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._digest.update(data)
        self._end += len(data)


@contextlib.contextmanager
def open_shard(path: Path, size: int, quality: int | None, expected: int) -> Generator[ShardFile]:
    """Yields the attempt at a shard of `expected` rows, fewer where images are left out; pixels without `quality`.

    What was written goes away unless it was committed. Raises RunError on a full disk.
    """
    attempt = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    with disk_errors(path):
        try:
            with open(attempt, "xb") as file:
                yield ShardFile(path, file, size, quality, expected)
        finally:
            attempt.unlink(missing_ok=True)


def _jpeg(image: Image.Image, quality: int) -> bytes:
    stream = BytesIO()
    options: dict[str, Any] = {"subsampling": "4:2:0", "optimize": False, "progressive": False}
    image.save(stream, "JPEG", quality=quality, **options)
    return stream.getvalue()
