"""Small data sets and idx files made on the spot."""

from __future__ import annotations

import gzip
import math
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lth.data.sources import Dataset, open_source


def idx_bytes(array: np.ndarray, kind: int = 8) -> bytes:
    """Returns the idx file of an array, written by hand from the format's description."""
    return bytes([0, 0, kind, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def pixels(*shape: int) -> np.ndarray:
    """Returns images whose bytes all differ from their neighbours'."""
    return (np.arange(math.prod(shape)) * 37 % 251).astype(np.uint8).reshape(shape)


@pytest.fixture(scope="session")
def as_idx() -> Callable[..., bytes]:
    return idx_bytes


@pytest.fixture(scope="session")
def picture() -> Callable[..., np.ndarray]:
    return pixels


@pytest.fixture
def idx_folder(tmp_path: Path) -> Path:
    """Returns a folder of four idx files: 6 training and 4 test images of 3 x 5, labels 0..2, two of them gzipped."""
    for part, count, packed in (("train", 6, False), ("t10k", 4, True)):
        images = idx_bytes(pixels(count, 3, 5))
        labels = idx_bytes((np.arange(count) % 3).astype(np.uint8))
        for name, data in ((f"{part}-images-idx3-ubyte", images), (f"{part}-labels-idx1-ubyte", labels)):
            (tmp_path / (name + ".gz" * packed)).write_bytes(gzip.compress(data) if packed else data)
    return tmp_path


@pytest.fixture(scope="session")
def colours() -> Dataset:
    """Returns 203 training and 31 test images of 3 channels and 8 x 8 pixels, 5 classes."""
    return open_source("synthetic:examples=203,test_examples=31,classes=5,channels=3,seed=4")


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns an image folder of 90 training and 24 test pictures of 3 classes."""
    from data.shards import draw

    return draw(tmp_path_factory.mktemp("drawn"))


@pytest.fixture(scope="session")
def raw_shards(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns these pictures as raw shards; to be copied before they are changed."""
    from data.shards import prepared

    return prepared(drawn, tmp_path_factory.mktemp("shards") / "raw")


@pytest.fixture(scope="session")
def jpeg_shards(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns these pictures as shards of JPEG streams; to be copied before they are changed."""
    from data.shards import prepared

    return prepared(drawn, tmp_path_factory.mktemp("shards") / "jpeg", codec="jpeg", quality=90)
