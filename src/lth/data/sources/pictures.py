"""Many image files as one array, decoded on several threads."""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

import numpy as np

from lth.data.image import decode
from lth.data.sources.files import Files, shown
from lth.errors import DataError

log = logging.getLogger("lth")

LARGEST = 8 << 30  # bytes of all images
EVERY = 10.0  # seconds between two lines in the log
MOST_THREADS = 8
NAMED = 5

Outcome = np.ndarray | str  # an image, or why there is none
Task = tuple[bytes, Future[Outcome]]


def decode_pictures(files: Files, names: Sequence[bytes], size: int | None) -> np.ndarray:
    """Returns uint8 (n,h,w,3), the images `names` of `files` in that order, h = w = `size` where it is given.

    Raises DataError naming the files that cannot be decoded and why, or where sizes differ and `size` is not given,
    or where the images would take more than 8 GiB.
    """
    slots = {name: slot for slot, name in enumerate(names)}
    images = None if size is None else _room(files, len(names), (size, size, 3))
    bad: dict[bytes, str] = {}
    sizes: list[tuple[int, int]] = []
    threads = min(MOST_THREADS, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1)
    # What Pillow warns of (a damaged EXIF block, an odd palette) it has decoded all the same.
    with warnings.catch_warnings(), ThreadPoolExecutor(threads) as pool:
        warnings.simplefilter("ignore")
        tasks = ((name, pool.submit(_outcome, files.read(name), size)) for name in files.names if name in slots)
        for name, outcome in _logged(files, _finished(tasks, 4 * threads), len(names)):
            if isinstance(outcome, str):
                bad[name] = outcome
                continue
            sizes.append((outcome.shape[1], outcome.shape[0]))
            if images is None:
                images = _room(files, len(names), outcome.shape)
            if outcome.shape == images.shape[1:]:
                images[slots[name]] = outcome
    if bad:
        raise _undecodable(files, bad, len(names))
    if len(set(sizes)) > 1:
        raise _unequal(files, sizes)
    assert images is not None, "at least one image"
    return images


def _finished(tasks: Iterator[Task], ahead: int) -> Iterator[tuple[bytes, Outcome]]:
    """Yields what the tasks return, in order; `ahead` are under way, so that few images wait in memory."""
    waiting: deque[Task] = deque(islice(tasks, ahead))
    while waiting:
        name, outcome = waiting.popleft()
        waiting.extend(islice(tasks, 1))
        yield name, outcome.result()


def _outcome(content: bytes, size: int | None) -> Outcome:
    try:
        return decode(content, size)
    # Pillow's decoders let nearly any exception through when a file is damaged.
    except Exception as problem:
        return str(problem) if type(problem) is ValueError else f"{type(problem).__name__}: {problem}"[:200]


def _logged(files: Files, outcomes: Iterator[tuple[bytes, Outcome]], total: int) -> Iterator[tuple[bytes, Outcome]]:
    """Yields the outcomes, and writes a line to the log now and then."""
    last = time.monotonic()
    for done, outcome in enumerate(outcomes, 1):
        yield outcome
        if time.monotonic() - last >= EVERY:
            last = time.monotonic()
            log.info("%s: %d of %d images decoded", files.place, done, total)


def _room(files: Files, count: int, shape: tuple[int, ...]) -> np.ndarray:
    total = count * int(np.prod(shape))
    if total > LARGEST:
        what = f"{count} images of {shape[1]} x {shape[0]} pixels take {total / 2**30:.1f} GiB, more than 8 GiB"
        raise DataError(what, at=files.place, cure="Set data.image_size to a smaller number of pixels.")
    return np.empty((count, *shape), np.uint8)


def _undecodable(files: Files, bad: Mapping[bytes, str], total: int) -> DataError:
    first = "; ".join(f"{shown(name)}: {bad[name]}" for name in sorted(bad)[:NAMED])
    more = f"; and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
    cure = "Mend them or take them away."
    return DataError(f"{len(bad)} of {total} images cannot be decoded: {first}{more}", at=files.place, cure=cure)


def _unequal(files: Files, sizes: Sequence[tuple[int, int]]) -> DataError:
    ordered = sorted(sizes, key=lambda one: (one[0] * one[1], one))
    (w, h), (wide, high) = ordered[0], ordered[len(ordered) // 2]
    what = f"the images have {len(set(sizes))} sizes, the smallest {w} x {h}, the median {wide} x {high} pixels"
    shorter = sorted(min(one) for one in sizes)[len(sizes) // 2]
    cure = f"Set data.image_size, the side of the square that is made of each; half of them have {shorter} or more."
    return DataError(what, at=files.place, cure=cure)
