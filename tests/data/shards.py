"""Small prepared data, made by the real preparation from pictures drawn on the spot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lth.data.preparation.prepare import prepare
from lth.data.preparation.task import Recipe, make_shard

CLASSES = ("apple", "bear", "chair")


def draw(folder: Path, *, train: int = 90, test: int = 24, classes: tuple[str, ...] = CLASSES) -> Path:
    """Returns an image folder of so many pictures of several sizes, whose colours tell their class."""
    draws = np.random.default_rng(3)
    for part, count in (("train", train), ("test", test)):
        for number in range(count):
            label = number % len(classes)
            width, height = 20 + number % 7, 18 + number % 5
            pixels = draws.integers(0, 60, (height, width, 3), np.uint8)
            pixels[..., label % 3] += np.uint8(150)
            path = folder / part / classes[label] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    return folder


def prepared(source: Path, out: Path, **changes: Any) -> Path:
    """Returns `out`, the pictures of an image folder as shards of 16 pixels, raw where nothing else is said."""
    recipe = Recipe(**{"size": 16, "policy": "center", "codec": "raw", "quality": None, **changes})
    prepare(f"imagefolder:{source}", out, recipe, run=lambda tasks: map(make_shard, tasks))
    return out
