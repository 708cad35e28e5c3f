"""Images read from shards while they are trained on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lth.data.augment import Frame, Moves, moves
from lth.data.finish import Finish, check_sizes
from lth.data.kernel import CHANNELS, cut
from lth.data.normalize import Normalizer
from lth.data.order import Order
from lth.data.ring import Ring
from lth.data.rows import Rows
from lth.data.shards import Shards
from lth.data.splits import Part, split
from lth.spec.schema import Data

DEPTH = 4  # steps that are filled ahead, and, beyond these, whose rows are asked for ahead
MOST_THREADS = 4
READ_AT_ONCE = 16  # rows that are read before they are cut: their copy stays in the cache
CPU = torch.device("cpu")


@dataclass
class Batch:
    """A buffer of uint8 images (B,h,w,3), pinned for a GPU; `copied` says when the GPU has them."""

    images: Tensor
    pixels: np.ndarray
    copied: torch.cuda.Event | None = None

    @classmethod
    def of(cls, size: int, sides: tuple[int, int], device: torch.device) -> Batch:
        """Returns an empty buffer."""
        images = torch.empty((size, *sides, CHANNELS), dtype=torch.uint8, pin_memory=device.type == "cuda")
        return cls(images, images.numpy())

    def on(self, device: torch.device, size: int) -> Tensor:
        """Returns its first images on the device, (size,C,H,W) with the channels last; the buffer may then be reused.

        Which is to say that whoever fills it next waits for a copy that is still under way.
        """
        images = self.images[:size].permute(0, 3, 1, 2)
        if device.type == "cpu":
            return images
        moved = images.to(device, non_blocking=True)
        self.copied = torch.cuda.Event()
        self.copied.record(torch.cuda.current_stream(device))
        return moved

    def wait(self) -> None:
        """Returns nothing, once no copy of it is under way."""
        if self.copied is not None:
            self.copied.synchronize()


class Streamed:
    """Shards split for one seed, with the interface and, bit for bit, the batches of `Resident`.

    `threads` copy rows out of the shards, cut and flipped, into buffers that are used again and again, `depth`
    steps ahead of training; what else is done to images is done on the device.
    """

    def __init__(
        self, shards: Shards, data: Data, seed: int, device: torch.device,
        *, channels_last: bool = False, threads: int | None = None, depth: int = DEPTH,
    ):  # fmt: skip
        height, width, channels = shards.image_shape
        self.data, self.device, self.classes = data, device, len(shards.class_names)
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        self.split = split(len(shards.labels), data, seed)
        self.train_examples = len(self.split.train)
        self.steps_per_epoch = self.train_examples // data.batch_size
        check_sizes(data, self.train_examples, (height, width))
        self.frame = Frame.of((height, width), data.crop_size)
        self.input_shape = (channels, *self.frame.seen)
        self.normalize = Normalizer.of_statistics(shards.mean, shards.deviation, device)
        self.threads, self.depth = threads or threads_for(device), depth
        self._finish = Finish.of(data, self.frame, self.normalize, self.layout)
        self._rows = {"train": shards.train, "validation": shards.train, "test": shards.test}
        self._ids = {
            "train": self.split.train, "validation": self.split.validation, "test": np.arange(len(shards.test_labels)),
        }  # fmt: skip
        labels = {"train": shards.labels, "validation": shards.labels, "test": shards.test_labels}
        self._labels = {part: torch.from_numpy(labels[part][ids]).to(device) for part, ids in self._ids.items()}
        self.backend, self._cut = cut()
        sides = self.frame.stored if data.augment.resized else self.frame.seen
        self.buffer_bytes = (depth + 1) * data.batch_size * sides[0] * sides[1] * channels
        self._idle: dict[tuple[int, tuple[int, int]], list[list[Batch]]] = {}

    def batches(self, part: Part, size: int, rank: int = 0, world: int = 1) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields the images and labels of a part in order, `size` at a time, as `Resident.batches`."""
        ids, labels = self._ids[part], self._labels[part].split(size)
        first, last = len(labels) * rank // world, len(labels) * (rank + 1) // world

        def fill(step: int, piece: int, batch: Batch) -> None:
            here = ids[step * size : (step + 1) * size]
            self._fill(self._rows[part], here, self._piece(len(here), piece), None, batch)

        buffers = [Batch.of(min(size, len(ids)), self.frame.seen, self.device) for _ in range(min(2, last - first))]
        ring = Ring(fill, buffers, self.threads, pieces=self.threads, end=last)
        try:
            for step in range(first, last):
                x = ring.take(step).on(self.device, len(labels[step]))
                yield self._finish(x, None, cut=True), labels[step]
        finally:
            ring.close()

    def gather(self, positions: Tensor, moved: Moves | None) -> Tensor:
        """Returns the normalised training images at `positions` (B,) among the training ids, moved if so told."""
        ids = self.split.train[positions.cpu().numpy()]
        batch = Batch.of(len(ids), self._sides(moved), self.device)
        self._fill(self._rows["train"], ids, slice(0, len(ids)), moved, batch)
        return self._finish(batch.on(self.device, len(ids)), moved, cut=True)

    def labels(self, part: Part) -> Tensor:
        """Returns the labels of a part, int64, by increasing id."""
        return self._labels[part]

    def feed(self, order: Order, augment_seed: int) -> Callable[[int], tuple[Tensor, Tensor]]:
        """Returns what gives the images and labels of a step of `order`, and has the next ones made meanwhile.

        Its threads end when it is forgotten.
        """
        rows, share = self._rows["train"], order.share_size
        ask = self.depth * bool(share)

        def drawn(number: int, ids: np.ndarray, device: torch.device) -> Moves | None:
            return moves(self.data.augment, augment_seed, number, ids, device, self.frame)

        def fill(step: int, piece: int, batch: Batch) -> None:
            number, ids, _ = order.share(step)
            part = self._piece(share, piece)
            rows.expect(ids[part])
            rows.expect(order.share(step + ask)[1][part])
            self._fill(rows, ids, part, drawn(number, ids[part], CPU), batch)

        sides = self.frame.stored if self.data.augment.resized else self.frame.seen
        buffers, idle = self._buffers(share, sides)
        ring = Ring(fill, buffers, self.threads, pieces=self.threads, ended=lambda: idle.append(buffers))

        def batch(step: int) -> tuple[Tensor, Tensor]:
            number, ids, positions = order.share(step)
            moved = drawn(number, ids, self.device)
            x = self._finish(ring.take(step).on(self.device, share), moved, cut=True)
            return x, self._labels["train"].index_select(0, torch.from_numpy(positions).to(self.device))

        return batch

    def _buffers(self, size: int, sides: tuple[int, int]) -> tuple[list[Batch], list[list[Batch]]]:
        """Buffers for a training, and where to put them in the end: pinned memory is slow to get, so others take it."""
        idle = self._idle.setdefault((size, sides), [])
        if idle:
            return idle.pop(), idle
        return [Batch.of(size, sides, self.device) for _ in range(self.depth + 1)], idle

    def _sides(self, moved: Moves | None) -> tuple[int, int]:
        return self.frame.seen if moved is None or moved.boxes is None else self.frame.stored

    def _piece(self, size: int, piece: int) -> slice:
        return slice(size * piece // self.threads, size * (piece + 1) // self.threads)

    def _fill(self, rows: Rows, ids: np.ndarray, part: slice, moved: Moves | None, batch: Batch) -> None:
        """Copies the images `ids[part]` to their places in a buffer, cut and flipped; `moved` is of these alone."""
        here, into = ids[part], batch.pixels[part]
        batch.wait()
        tops, lefts, flips = self._offsets(len(here), moved)
        few = max(1, len(here)) if rows.way == "mmap" else READ_AT_ONCE
        for first in range(0, len(here), few):
            some = slice(first, first + few)
            addresses, kept = rows.locate(here[some])
            self._cut(addresses, *self.frame.stored, tops[some], lefts[some], flips[some], into[some])
            del kept

    def _offsets(self, count: int, moved: Moves | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if moved is None:
            down, across = (room // 2 for room in self.frame.room)
            return np.full(count, down), np.full(count, across), np.zeros(count, np.bool_)
        if moved.boxes is not None:  # cut and flipped on the device
            return np.zeros(count, np.int64), np.zeros(count, np.int64), np.zeros(count, np.bool_)
        crop = self.data.augment.crop
        tops, lefts, flips = (one.cpu().numpy() for one in (moved.rows, moved.columns, moved.flips))
        return tops - crop, lefts - crop, flips


def threads_for(device: torch.device) -> int:
    """Returns how many threads copy rows: one beside a training on the CPU; beside a GPU half the cores, at most 4."""
    if device.type == "cpu":
        return 1
    return max(1, min(MOST_THREADS, len(os.sched_getaffinity(0)) // 2))
