"""A contact sheet: 25 images of prepared data with the names of their classes, as PNG."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lth.data.care.contents import labels_of, offsets_of
from lth.data.manifest import HEADER_BYTES, Manifest, read_manifest
from lth.errors import DataError, MissingExtraError

if TYPE_CHECKING:
    from PIL import Image, ImageDraw, ImageFont

SIDE = 5
CELL, GAP, EDGE, CAPTION, TITLE = 192, 16, 28, 26, 34  # pixels
PAPER, INK, FAINT = (255, 255, 255), (32, 33, 36), (110, 114, 120)


def contact_sheet(folder: Path) -> bytes:
    """Returns a PNG of 25 images, or as many as there are, of the part in `folder`: the same for the same data.

    As many classes as possible are shown. Raises DataError for a damaged file, MissingExtraError without Pillow.
    """
    try:
        from PIL import Image, ImageDraw, ImageFont
    except ImportError as problem:
        raise MissingExtraError("Pillow", "data", "the contact sheet") from problem
    manifest = read_manifest(folder)
    labels = labels_of(folder, manifest)
    rows = choose(labels, SIDE * SIDE)
    lines = max(1, -(-len(rows) // SIDE))
    cell, blocks = _shown(manifest.preprocessing.size)
    scaling = Image.Resampling.NEAREST if blocks else Image.Resampling.LANCZOS
    width, step = 2 * EDGE + SIDE * cell + (SIDE - 1) * GAP, cell + CAPTION + GAP
    page = Image.new("RGB", (width, EDGE + TITLE + lines * step - GAP + EDGE), PAPER)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(15)
    draw.text((EDGE, EDGE - 4), _fitted(draw, font, _title(manifest), width - 2 * EDGE), INK, font)
    for place, row in enumerate(rows.tolist()):
        left, top = EDGE + place % SIDE * (cell + GAP), EDGE + TITLE + place // SIDE * step
        page.paste(_picture(folder, manifest, row).resize((cell, cell), scaling), (left, top))
        label = int(labels[row])
        name = manifest.classes[label] if 0 <= label < len(manifest.classes) else str(label)
        text = _fitted(draw, font, name, cell)
        draw.text((left + (cell - draw.textlength(text, font)) / 2, top + cell + 5), text, FAINT, font)
    stream = BytesIO()
    page.save(stream, "PNG", optimize=True)
    return stream.getvalue()


def choose(labels: np.ndarray, count: int) -> np.ndarray:
    """Returns up to `count` rows, by class: each class's first rows, of classes evenly spread where not all fit."""
    order = np.argsort(labels, kind="stable")
    classes, first, sizes = np.unique(labels[order], return_index=True, return_counts=True)
    if len(classes) > count:
        picked = np.arange(count) * len(classes) // count
        return order[first[picked]]
    turn = np.arange(len(order)) - np.repeat(first, sizes)  # 0 for the first row of each class, 1 for the second
    return order[np.sort(np.argsort(turn, kind="stable")[:count])]


def _title(manifest: Manifest) -> str:
    made = manifest.preprocessing
    how = f"{made.size} x {made.size} pixels, {made.policy}, {made.codec}"
    return f"{manifest.part}: {manifest.n} images, {len(manifest.classes)} classes, {how}, {manifest.dataset_id[:12]}"


def _picture(folder: Path, manifest: Manifest, row: int) -> Image.Image:
    """Returns one row as a picture. Raises DataError where its file is damaged."""
    from PIL import Image

    ends = np.cumsum([shard.rows for shard in manifest.shards])
    number = int(np.searchsorted(ends, row, side="right"))
    shard, side = manifest.shards[number], manifest.preprocessing.size
    path = folder / shard.name
    if manifest.preprocessing.codec == "jpeg":
        begin, end = (int(one) for one in offsets_of(folder, manifest)[row])
    else:
        begin = HEADER_BYTES + (row - int(ends[number]) + shard.rows) * side * side * 3
        end = begin + side * side * 3
    content = _bytes(path, begin, end, shard.bytes)
    try:
        if manifest.preprocessing.codec == "raw":
            return Image.frombytes("RGB", (side, side), content)
        with Image.open(BytesIO(content), formats=("JPEG",)) as image:
            if image.size != (side, side):
                raise ValueError(f"{image.width} x {image.height} pixels")
            return image.convert("RGB")
    except Exception as problem:  # Pillow's decoders let nearly any exception through when a file is damaged
        raise DataError(f"row {row} cannot be read: {problem}", at=path, cure="Run lth data verify.") from problem


def _bytes(path: Path, begin: int, end: int, size: int) -> bytes:
    if not 0 <= begin < end <= size:
        raise DataError(f"no bytes {begin} to {end} in a file of {size}", at=path, cure="Run lth data verify.")
    try:
        with path.open("rb") as file:
            file.seek(begin)
            content = file.read(end - begin)
    except OSError as problem:
        raise DataError(f"cannot be read: {problem.strerror}", at=path) from problem
    if len(content) < end - begin:
        raise DataError(f"cut short at byte {begin + len(content)}", at=path, cure="Run lth data verify.")
    return content


def _shown(size: int) -> tuple[int, bool]:
    """Returns the side that images of `size` are drawn with, and whether as blocks: small ones show their pixels."""
    times = CELL // size
    return (size * times, True) if times > 1 else (CELL, False)


def _fitted(
    draw: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, text: str, width: int
) -> str:
    """Returns the text, or as much of it as `width` pixels have room for."""
    text = "".join(letter if letter.isprintable() else "?" for letter in text[:200])
    if draw.textlength(text, font) <= width:
        return text
    while text and draw.textlength(text + "…", font) > width:
        text = text[:-1]
    return text + "…"
