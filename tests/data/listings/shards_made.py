"""A directory of shards, made by hand from the description of the format."""

from __future__ import annotations

import hashlib
from io import BytesIO
from pathlib import Path

import numpy as np

from lth.data.manifest import File, Manifest, Shard, identify, text


def npy(array: np.ndarray, header: int = 0) -> bytes:
    """Returns an npy file whose header takes `header` bytes, or as many as it needs."""
    stream = BytesIO()
    np.save(stream, array)
    plain = stream.getvalue()
    if not header:
        return plain
    length = int.from_bytes(plain[8:10], "little")
    padded = plain[10 : 9 + length].ljust(header - 11) + b"\n"
    return plain[:8] + (header - 10).to_bytes(2, "little") + padded + plain[10 + length :]


def _index(part: str, rows: int) -> bytes:
    return "".join(f"{part}/{row}.png\t70\t60\n" for row in range(rows)).encode()


def write(folder: Path, part: str, labels: list[int], codec: str = "raw", size: int = 2, rows: int = 3) -> Manifest:
    """Returns the manifest of a part in `folder`, whose row i has pixels i, or is the JPEG b"jpeg i"."""
    (folder / part).mkdir(parents=True)

    def put(name: str, content: bytes) -> dict[str, object]:
        (folder / part / name).write_bytes(content)
        return {"name": name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}

    shards, places = [], []
    for number, start in enumerate(range(0, len(labels), rows)):
        ours = range(start, min(start + rows, len(labels)))
        if codec == "raw":
            pixels = np.stack([np.full((size, size, 3), row, np.uint8) for row in ours])
            shards.append(Shard(**put(f"shard-{number:05d}.npy", npy(pixels, 4096)), rows=len(ours)))  # pyright: ignore[reportArgumentType]
            continue
        streams = [b"jpeg %d" % row for row in ours]
        ends = np.cumsum([len(one) for one in streams])
        places += list(zip([0, *ends[:-1]], ends, strict=True))
        shards.append(Shard(**put(f"shard-{number:05d}.jpegs", b"".join(streams)), rows=len(ours)))  # pyright: ignore[reportArgumentType]
    offsets = File(**put("offsets.npy", npy(np.array(places, np.int64)))) if codec == "jpeg" else None  # pyright: ignore[reportArgumentType]
    manifest = identify(
        {
            "format_version": 1,
            "part": part,
            "source": "imagefolder",
            "n": len(labels),
            "channels": 3,
            "classes": ["cat", "dog"],
            "rows_per_shard": rows,
            "shards": [shard.model_dump() for shard in shards],
            "labels": put("labels.npy", npy(np.array(labels, np.int64))),
            "source_index": put("source_index", _index(part, len(labels))),
            "offsets": offsets and offsets.model_dump(),
            "preprocessing": {
                "size": size, "policy": "squash", "codec": codec, "quality": 90 if codec == "jpeg" else None,
                "filter": "bilinear", "decoder": "Pillow", "versions": {}, "rules": {},
            },
            "mean": [1.0, 1.0, 1.0],
            "deviation": [1.0, 1.0, 1.0],
            "failures": [],
        }
    )  # fmt: skip
    (folder / part / "manifest.json").write_text(text(manifest))
    return manifest
