"""The batch of every training step, whether images are in memory or read from shards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from lth.data.augment import Moves
from lth.data.normalize import Normalizer
from lth.data.order import Order
from lth.data.resident import Resident
from lth.data.shards import Shards
from lth.data.sources import Dataset, open_source
from lth.data.splits import Part, Split
from lth.data.streamed import Streamed
from lth.spec.schema import Data

__all__ = ["Images", "Part", "Resident", "Stream", "Streamed", "images_of", "open_data"]

RESIDENT_LIMIT = 1 << 30  # bytes of pixels; larger shards are read while they are trained on


class Images(Protocol):
    """A data set split for one seed: `Resident` or `Streamed`, which give the same bits."""

    data: Data
    device: torch.device
    classes: int
    layout: torch.memory_format
    input_shape: tuple[int, int, int]
    split: Split
    train_examples: int
    steps_per_epoch: int
    normalize: Normalizer
    buffer_bytes: int  # that will be taken of the host's memory beside what is taken already

    def batches(self, part: Part, size: int, rank: int = 0, world: int = 1) -> Iterator[tuple[Tensor, Tensor]]: ...

    def gather(self, positions: Tensor, moved: Moves | None) -> Tensor: ...

    def labels(self, part: Part) -> Tensor: ...

    def feed(self, order: Order, augment_seed: int) -> Callable[[int], tuple[Tensor, Tensor]]: ...


@dataclass(frozen=True)
class Stream:
    """The batches of a training; a function of the two seeds and the step, whoever asks and in whatever order.

    Of `world` processes that train one network each gets an equal, contiguous share of every batch.
    """

    resident: Images
    order_seed: int
    augment_seed: int
    rank: int = 0
    world: int = 1

    @cached_property
    def order(self) -> Order:
        """Returns which examples stand in which step."""
        images = self.resident
        return Order(images.split.train, images.data.batch_size, self.order_seed, self.rank, self.world)

    @cached_property
    def _feed(self) -> Callable[[int], tuple[Tensor, Tensor]]:
        return self.resident.feed(self.order, self.augment_seed)

    def batch_at(self, step: int) -> tuple[Tensor, Tensor]:
        """Returns images (G / world,C,H,W) and labels of a step, counted from the start of training."""
        return self._feed(step)

    def ids(self, epoch: int) -> np.ndarray:
        """Returns the example ids an epoch delivers, in order: int64 (steps_per_epoch * batch_size,), all distinct."""
        return self.order.epoch(epoch).ids

    def fingerprint(self, epoch: int) -> str:
        """Returns the sha256 of the ids an epoch delivers, for two trainings to show that they saw the same data."""
        return self.order.epoch(epoch).fingerprint


def open_data(data: Data, way: str = "auto", limit: int = RESIDENT_LIMIT) -> Dataset | Shards:
    """Returns the data set that `data.source` names: in memory, or, of shards of more than `limit` bytes, their rows.

    A `way` other than "auto" ("mmap", "pread") has shards of any size read that way. Raises as `open_source`.
    """
    if not data.source.startswith("shards:"):
        return open_source(data.source, data.image_size)
    from lth.data.shards import open_shards

    shards = open_shards(data.source.partition(":")[2], way)
    return shards.load() if way == "auto" and shards.bytes <= limit else shards


def images_of(
    dataset: Dataset | Shards, data: Data, seed: int, device: torch.device, *, channels_last: bool = False
) -> Images:
    """Returns the data set split for one seed."""
    if isinstance(dataset, Shards):
        return Streamed(dataset, data, seed, device, channels_last=channels_last)
    return Resident(dataset, data, seed, device, channels_last=channels_last)
