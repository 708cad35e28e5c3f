"""Directories of shards, written by hand from the format's description."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lth.data.manifest import HEADER_BYTES, NAME, identify, text
from lth.data.normalize import channel_statistics

Part = tuple[np.ndarray, np.ndarray]


def header(shape: tuple[int, ...]) -> bytes:
    """Returns the npy header of uint8 rows, padded so that they begin at a page."""
    content = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + (HEADER_BYTES - 10).to_bytes(2, "little") + content.ljust(HEADER_BYTES - 11) + b"\n"


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def file_of(path: Path, content: bytes) -> dict[str, Any]:
    path.write_bytes(content)
    return {"name": path.name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def jpegs(images: np.ndarray) -> list[bytes]:
    found = []
    for image in images:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=90)
        found.append(file.getvalue())
    return found


def decoded(images: np.ndarray) -> np.ndarray:
    """Returns the images as they come back from JPEG."""
    return np.stack([np.asarray(Image.open(io.BytesIO(one))) for one in jpegs(images)])


def write_part(
    folder: Path, part: str, images: np.ndarray, labels: np.ndarray, classes: Sequence[str],
    *, codec: str = "raw", rows: int = 50, **other: Any,
) -> None:  # fmt: skip
    """Writes one part; `other` replaces fields of its manifest."""
    folder.mkdir(parents=True)
    shards, offsets = [], []
    for number, first in enumerate(range(0, len(images), rows)):
        piece = images[first : first + rows]
        if codec == "raw":
            name, content = f"shard-{number:05}.npy", header(piece.shape) + piece.tobytes()
        else:
            name, streams = f"shard-{number:05}.jpegs", jpegs(piece)
            ends = np.cumsum([len(one) for one in streams])
            offsets += [[end - len(one), end] for one, end in zip(streams, ends.tolist(), strict=True)]
            content = b"".join(streams)
        shards.append({**file_of(folder / name, content), "rows": len(piece)})
    mean, deviation = channel_statistics(images if codec == "raw" else decoded(images))
    index = "".join(f"{part}/{row}.png\t8\t8\n" for row in range(len(images)))
    content: dict[str, Any] = {
        "format_version": 1,
        "part": part,
        "source": "made by a test",
        "n": len(images),
        "channels": 3,
        "classes": list(classes),
        "rows_per_shard": rows,
        "shards": shards,
        "labels": file_of(folder / "labels.npy", npy(labels.astype(np.int64))),
        "source_index": file_of(folder / "source_index", index.encode()),
        "offsets": file_of(folder / "offsets.npy", npy(np.array(offsets, np.int64))) if codec == "jpeg" else None,
        "preprocessing": {
            "size": images.shape[1], "policy": "center", "codec": codec, "quality": 90 if codec == "jpeg" else None,
            "filter": "none", "decoder": "none", "versions": {}, "rules": {},
        },
        "mean": mean.tolist(),
        "deviation": deviation.tolist(),
        "failures": [],
    }  # fmt: skip
    (folder / NAME).write_text(text(identify({**content, **other})))


def write_shards(folder: Path, train: Part, test: Part, classes: Sequence[str], **how: Any) -> Path:
    """Returns the folder, with both parts of a data set in it."""
    write_part(folder / "train", "train", *train, classes, **how)
    write_part(folder / "test", "test", *test, classes, **how)
    return folder
