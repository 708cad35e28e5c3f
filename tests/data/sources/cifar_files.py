"""CIFAR's files, made up: binary records, and pickles as Python 2 wrote them, byte by byte."""

from __future__ import annotations

import struct
import tarfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import numpy as np


def batch(count: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns rows uint8 (count, 3072) and labels (count,), from i modulo the classes."""
    return np.random.default_rng(seed).integers(0, 256, (count, 3072), np.uint8), (np.arange(count) + seed) % classes


def upright(rows: np.ndarray) -> np.ndarray:
    """Returns the images (n,32,32,3) of rows, pixel by pixel as the description of the format says it."""
    images = np.empty((len(rows), 32, 32, 3), np.uint8)
    for channel in range(3):
        for y in range(32):
            images[:, y, :, channel] = rows[:, channel * 1024 + y * 32 : channel * 1024 + y * 32 + 32]
    return images


def binary(rows: np.ndarray, *labels: np.ndarray) -> bytes:
    """Returns a binary batch: for each record its labels, one byte each, and its row."""
    return np.column_stack([*(one.astype(np.uint8) for one in labels), rows]).tobytes()


def text(value: str | bytes) -> bytes:
    value = value.encode() if isinstance(value, str) else value
    return b"U" + bytes([len(value)]) + value if len(value) < 256 else b"T" + struct.pack("<i", len(value)) + value


def number(value: int) -> bytes:
    return b"K" + bytes([value]) if 0 <= value < 256 else b"J" + struct.pack("<i", value)


def array(data: bytes, shape: tuple[int, ...], kind: str = "u1", columns: bool = False) -> bytes:
    """Returns the instructions by which numpy's arrays stand in a pickle of Python 2."""
    made = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n" + number(0) + b"\x85" + text("b") + b"\x87R"
    kinds = b"cnumpy\ndtype\n" + text(kind) + number(0) + number(1) + b"\x87R"
    order = text("|" if kind == "u1" else "<")
    kinds += b"(" + number(3) + order + b"NNN" + number(-1) + number(-1) + number(0) + b"tb"
    sizes = b"(" + b"".join(map(number, shape)) + b"t"
    return made + b"(" + number(1) + sizes + kinds + (b"\x88" if columns else b"\x89") + text(data) + b"tb"


def strings(values: list[str]) -> bytes:
    return b"](" + b"".join(map(text, values)) + b"e"


def numbers(values: np.ndarray) -> bytes:
    return b"](" + b"".join(number(int(one)) for one in values) + b"e"


def pickled(parts: Mapping[str, bytes]) -> bytes:
    """Returns the pickle, protocol 2, of a dictionary whose values are given as instructions."""
    memo = iter(range(256))
    items = b"".join(text(key) + b"q" + bytes([next(memo)]) + value for key, value in parts.items())
    return b"\x80\x02}q\xff(" + items + b"u."


def python2(rows: np.ndarray, labels: np.ndarray, key: str = "labels") -> bytes:
    """Returns a batch of the Python version."""
    names = strings([f"picture_{index}.png" for index in range(len(rows))])
    data = array(rows.tobytes(), rows.shape)
    return pickled({"batch_label": text("batch 1 of 5"), key: numbers(labels), "data": data, "filenames": names})


def archive(path: Path, contents: Mapping[str, bytes], mode: str = "w:gz") -> Path:
    """Returns the tar archive `path`, made of files by name; a name that ends in "/" is a folder."""
    with tarfile.open(path, mode) as tar:  # pyright: ignore[reportCallIssue, reportArgumentType]
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            if name.endswith("/"):
                member.type = tarfile.DIRTYPE
            member.size = len(content)
            tar.addfile(member, BytesIO(content))
    return path
