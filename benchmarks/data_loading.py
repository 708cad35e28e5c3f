"""The arms of the comparison of loaders that run everywhere: each delivers cropped, flipped, shuffled uint8 batches."""

from __future__ import annotations

import io
import itertools
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image

from lth.data.augment import Frame, moves
from lth.data.hashing import hashed, nth, spread
from lth.data.kernel import cut
from lth.data.order import Order
from lth.data.ring import Ring
from lth.data.shards import Shards
from lth.data.streamed import DEPTH
from lth.spec.schema import Augment

CROP = 224
FLIPPED = Augment(flip=True)


@dataclass
class Rows:
    """The rows of shards, repeated up to `count`: row i of the benchmark is row i % n of the training part."""

    shards: Shards
    count: int
    batch: int
    arrays: list[np.ndarray] = field(default_factory=list)
    streams: list[bytes] = field(default_factory=list)

    @property
    def side(self) -> int:
        return self.shards.image_shape[0]

    @property
    def crop(self) -> int:
        return min(CROP, self.side)

    def row(self, number: int) -> np.ndarray:
        """Returns a row out of the page cache, uint8 (h,w,3), as np.load(mmap_mode="r") gives it."""
        number %= len(self.shards.labels)
        for array in self.arrays:
            if number < len(array):
                return array[number]
            number -= len(array)
        raise IndexError(number)


class Pixels(torch.utils.data.Dataset[torch.Tensor]):
    """What most people write: a row of a memory map, cropped and flipped by a random number of the worker's."""

    def __init__(self, rows: Rows):
        self.rows = rows

    def __len__(self) -> int:
        return self.rows.count

    def __getitem__(self, number: int) -> torch.Tensor:
        return self.cut(self.rows.row(number))

    def cut(self, image: np.ndarray) -> torch.Tensor:
        """Returns the random crop of an image, perhaps flipped."""
        room = self.rows.side - self.rows.crop + 1
        top, left, flip = torch.randint(room, ()), torch.randint(room, ()), torch.rand(()) < 0.5
        cropped = image[top : top + self.rows.crop, left : left + self.rows.crop]
        return torch.from_numpy(np.ascontiguousarray(cropped[:, ::-1] if flip else cropped))


class Files(Pixels):
    """The same of JPEG files of the stored size (in memory, so that no disk is measured)."""

    def __getitem__(self, number: int) -> torch.Tensor:
        content = self.rows.streams[number % len(self.rows.streams)]
        return self.cut(np.asarray(Image.open(io.BytesIO(content)).convert("RGB")))


def ours(rows: Rows, threads: int, *, expect: bool = True) -> Iterator[np.ndarray]:
    """Yields the batches of the loader's own parts: order, moves, rows, kernel, ring."""
    order = Order(np.arange(rows.count), rows.batch, 1)
    stored, known = rows.shards.train, len(rows.shards.labels)
    frame = Frame((rows.side, rows.side), (rows.crop, rows.crop))
    _, kernel = cut()

    def fill(step: int, piece: int, buffer: np.ndarray) -> None:
        number, ids, _ = order.share(step)
        part = slice(rows.batch * piece // threads, rows.batch * (piece + 1) // threads)
        moved = moves(FLIPPED, 2, number, ids[part], torch.device("cpu"), frame)
        assert moved is not None
        if expect:
            stored.expect(ids[part] % known)
            stored.expect(order.share(step + DEPTH)[1][part] % known)
        addresses, kept = stored.locate(ids[part] % known)
        tops, lefts, flips = (one.numpy() for one in (moved.rows, moved.columns, moved.flips))
        kernel(addresses, rows.side, rows.side, tops, lefts, flips, buffer[part])
        del kept

    buffers = [np.empty((rows.batch, rows.crop, rows.crop, 3), np.uint8) for _ in range(DEPTH + 1)]
    ring = Ring(fill, buffers, threads, pieces=threads)
    try:
        yield from map(ring.take, itertools.count())
    finally:
        ring.close()


def fused(rows: Rows) -> Iterator[np.ndarray]:
    """Yields batches of the kernel alone, in this thread."""
    known, (_, kernel) = len(rows.shards.labels), cut()
    out = np.empty((rows.batch, rows.crop, rows.crop, 3), np.uint8)
    for step in itertools.count():
        draws = hashed(1, 0, np.arange(step * rows.batch, (step + 1) * rows.batch))
        room = rows.side - rows.crop + 1
        addresses, kept = rows.shards.train.locate(spread(draws, known))
        flips = nth(draws, 1) >> np.uint64(63) == 1
        kernel(addresses, rows.side, rows.side, spread(nth(draws, 2), room), spread(nth(draws, 3), room), flips, out)
        del kept
        yield out


def copied(rows: Rows) -> Iterator[np.ndarray]:
    """Yields a copy of as many bytes as a batch has: the limit of one thread."""
    source = np.ones((2, rows.batch, rows.crop, rows.crop, 3), np.uint8)
    out = np.empty_like(source[0])
    for step in itertools.count():
        np.copyto(out, source[step % 2])
        yield out


def gathered(rows: Rows) -> Iterator[np.ndarray]:
    """Yields whole rows gathered out of the page cache, neither cut nor flipped."""
    known = len(rows.shards.labels)
    out = np.empty((rows.batch, rows.side, rows.side, 3), np.uint8)
    for step in itertools.count():
        draws = hashed(1, 0, np.arange(step * rows.batch, (step + 1) * rows.batch))
        for into, number in zip(out, spread(draws, known).tolist(), strict=True):
            into[...] = rows.row(number)
        yield out


def data_loader(data: Pixels, workers: int) -> Iterator[torch.Tensor]:
    """Yields batches of a torch DataLoader, epoch after epoch."""
    loader = torch.utils.data.DataLoader(
        data, data.rows.batch, shuffle=True, num_workers=workers, drop_last=True, persistent_workers=workers > 0
    )
    while True:
        yield from loader


def arms(rows: Rows) -> dict[str, Callable[[], Iterator[Any]]]:
    """Returns the arms that run everywhere: ours, the limits of the machine, and torch's DataLoader."""
    return {
        "memcpy, 1 thread": partial(copied, rows),
        "page-cache gather, 1 thread": partial(gathered, rows),
        "fused kernel, 1 thread": partial(fused, rows),
        "lth, 1 thread": partial(ours, rows, 1),
        "lth, 2 threads": partial(ours, rows, 2),
        "DataLoader on the memmap, 2 workers": partial(data_loader, Pixels(rows), 2),
        "DataLoader on JPEG files, 2 workers": partial(data_loader, Files(rows), 2),
    }


def drop_cached(shards: Shards) -> None:
    """Returns nothing; asks the kernel to forget the files of the training part."""
    for number in shards.train.files():
        os.fsync(number)
        os.posix_fadvise(number, 0, 0, os.POSIX_FADV_DONTNEED)


def cold(rows: Rows, batches: int, *, expect: bool) -> float:
    """Returns the images a second of one thread whose files are not in memory, with or without asking ahead."""
    drop_cached(rows.shards)
    feed = ours(rows, 1, expect=expect)
    began = time.perf_counter()
    for _ in range(batches):
        next(feed)
    seconds = time.perf_counter() - began
    feed.close()  # type: ignore[attr-defined]
    return batches * rows.batch / seconds
