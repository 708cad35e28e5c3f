"""Made-up images that can be learned: one random pattern a class, blended with noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from lth.data.order import stream_seed
from lth.data.sources.dataset import Dataset, make_dataset
from lth.errors import DataError

LARGEST = 8 << 30
PIECE = 1 << 24


@dataclass(frozen=True)
class Options:
    """Numbers of examples, classes and channels, height = width in pixels, seed, and the share of noise in a pixel."""

    examples: int = 2000
    test_examples: int = 500
    classes: int = 4
    channels: int = 1
    size: int = 8
    seed: int = 0
    noise: float = 0.5


LEAST = {"examples": 1, "test_examples": 1, "classes": 2, "channels": 1, "size": 1, "seed": 0, "noise": 0}
MOST = {"classes": 100_000, "channels": 64, "size": 4096, "seed": 2**31 - 1, "noise": 1}


def open_synthetic(rest: str) -> Dataset:
    """Returns the data set of options such as "examples=2000,classes=4"; example i has label i modulo the classes.

    A pixel is (1 - noise) * pattern + noise * random byte, noise in 256ths. Raises DataError for an option
    that is unknown, given twice or out of range.
    """
    options = _parse(rest)
    shape = (options.size, options.size, options.channels)
    pixels = options.size**2 * options.channels
    total = (options.classes + options.examples + options.test_examples) * pixels
    if total > LARGEST:
        cure = "Ask for fewer or smaller images."
        raise DataError(f"the images would take more than {LARGEST} bytes", at="data.source", value=total, cure=cure)
    patterns = _bytes(_draws(options, "patterns"), options.classes * pixels).reshape(-1, pixels)
    parts = []
    for name, count in (("train", options.examples), ("test", options.test_examples)):
        labels = np.arange(count) % options.classes
        parts.append((_blend(options, name, patterns, labels).reshape(count, *shape), labels))
    return make_dataset("synthetic", parts[0], parts[1], options.classes)


def _blend(options: Options, name: str, patterns: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns uint8 (n, pixels): the pattern of each label, with noise."""
    images = np.empty((len(labels), patterns.shape[1]), np.uint8)
    noise = np.uint16(round(options.noise * 256))
    draws = _draws(options, name)
    # A draw gives 8 bytes: with 8 images at a time none is cut, and the size of a piece changes no pixel.
    rows = 8 * max(1, PIECE // (8 * patterns.shape[1]))
    for start in range(0, len(labels), rows):
        piece = patterns[labels[start : start + rows]]
        random = _bytes(draws, piece.size).reshape(piece.shape)
        mixed = piece * (np.uint16(256) - noise) + random * noise + np.uint16(128)
        images[start : start + rows] = mixed >> np.uint16(8)
    return images


def _draws(options: Options, name: str) -> np.random.Philox:
    return np.random.Philox(key=stream_seed(options.seed, f"synthetic-{name}"))


def _bytes(draws: np.random.Philox, count: int) -> np.ndarray:
    return draws.random_raw(-(-count // 8)).astype("<u8", copy=False).view(np.uint8)[:count]


def _parse(rest: str) -> Options:
    kinds: dict[str, Callable[[str], int | float]] = {
        one.name: float if one.name == "noise" else int for one in fields(Options)
    }
    given: dict[str, Any] = {}
    for text in filter(None, rest.split(",")):
        name, _, value = (part.strip() for part in text.partition("="))
        if name not in kinds:
            raise _refuse("no such option of synthetic", text, f"Options are: {', '.join(kinds)}.")
        if name in given:
            raise _refuse("the option is given twice", text, "Keep one of them.")
        least, most = LEAST[name], MOST.get(name, LARGEST)
        try:
            given[name] = kinds[name](value)
        except ValueError:
            raise _refuse("not a number", text, f"Write {name}={getattr(Options, name)}, for example.") from None
        if not least <= given[name] <= most:
            raise _refuse("out of range", text, f"Take {name} from {least} to {most}.")
    return Options(**given)


def _refuse(what: str, text: str, cure: str) -> DataError:
    return DataError(what, at="data.source", value=text, cure=cure)
