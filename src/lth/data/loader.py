"""Images in memory, and the batch of every training step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from lth.data.augment import Moves, move, moves
from lth.data.normalize import Normalizer
from lth.data.order import fingerprint, permutation
from lth.data.sources import Dataset
from lth.data.splits import split
from lth.errors import DataError
from lth.spec.schema import Data

FLOAT_LIMIT = 2 << 30
DEVICE_SHARE = 0.25  # of a GPU's free memory; data that would take more stay in the host's
PIECE = 1 << 18
Part = Literal["train", "validation", "test"]


class Resident:
    """A data set split for one seed, in memory on the device: images as NCHW, normalised by the channel mean
    and deviation of all training and validation images; labels int64.

    Normalised float32 images are made once; where they would take more than `limit` bytes the images stay
    uint8 and are normalised batch by batch, to the same bits. Where those are too many for a GPU they stay
    in the host's memory (`home`), and each batch is copied through pinned memory while the GPU computes.
    """

    def __init__(
        self, dataset: Dataset, data: Data, seed: int, device: torch.device,
        *, limit: int = FLOAT_LIMIT, channels_last: bool = False, home: torch.device | None = None,
    ):  # fmt: skip
        _, height, width, channels = dataset.images.shape
        self.data, self.device, self.classes = data, device, len(dataset.class_names)
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        self.home = _home(dataset, device) if home is None else home
        self.input_shape = (channels, height, width)
        self.split = split(len(dataset.labels), data, seed)
        self.train_examples = len(self.split.train)
        self.steps_per_epoch = self.train_examples // data.batch_size
        _check(data, self.train_examples, self.input_shape)
        self.normalize = Normalizer.of(dataset.images, device)
        at_home = self.home == device
        self.as_float = at_home and 4 * (dataset.images.size + dataset.test_images.size) <= limit
        black = torch.zeros(channels, 1, 1, dtype=torch.uint8, device=device)
        self._black = self.normalize(black) if self.as_float else black
        self._parts = {
            "train": self._load(dataset.images, dataset.labels, self.split.train),
            "validation": self._load(dataset.images, dataset.labels, self.split.validation),
            "test": self._load(dataset.test_images, dataset.test_labels, np.arange(len(dataset.test_labels))),
        }

    @property
    def train(self) -> tuple[Tensor, Tensor]:
        """The training images, float32 (n,C,H,W), and labels, by increasing id (made anew where kept as uint8)."""
        return self._whole("train")

    @property
    def validation(self) -> tuple[Tensor, Tensor]:
        """The validation images and labels, as `train`."""
        return self._whole("validation")

    @property
    def test(self) -> tuple[Tensor, Tensor]:
        """The test images and labels, as `train`."""
        return self._whole("test")

    def batches(self, part: Part, size: int, rank: int = 0, world: int = 1) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields the images and labels of a part in order, `size` at a time: no more is normalised at once.

        Of `world` processes each gets a run of whole batches, so that all of them together have the part in order.
        """
        pairs = list(zip(*(one.split(size) for one in self._parts[part]), strict=True))
        for images, labels in pairs[len(pairs) * rank // world : len(pairs) * (rank + 1) // world]:
            images = images.to(self.device)
            x = images if self.as_float else self.normalize(images)
            yield x.contiguous(memory_format=self.layout), labels

    def gather(self, positions: Tensor, moved: Moves | None) -> Tensor:
        """Returns the normalised training images at `positions` (B,) among the training ids, moved if so told."""
        images = self._parts["train"][0]
        if self.home == self.device:
            x = images.index_select(0, positions)
        else:
            pinned = torch.empty((len(positions), *self.input_shape), dtype=torch.uint8, pin_memory=True)
            torch.index_select(images, 0, positions.to(self.home), out=pinned)
            x = pinned.to(self.device, non_blocking=True)
        if moved is not None:
            x = move(x, moved, self.data.augment.crop, self._black)
        return (x if self.as_float else self.normalize(x)).contiguous(memory_format=self.layout)

    def labels(self, positions: Tensor) -> Tensor:
        """Returns the labels of the training images at `positions` (B,)."""
        return self._parts["train"][1].index_select(0, positions)

    def _whole(self, part: Part) -> tuple[Tensor, Tensor]:
        x, y = self._parts[part]
        return (x if self.as_float else self.normalize(x.to(self.device))), y

    def _load(self, images: np.ndarray, labels: np.ndarray, ids: np.ndarray) -> tuple[Tensor, Tensor]:
        dtype = torch.float32 if self.as_float else torch.uint8
        x = torch.empty((len(ids), *self.input_shape), dtype=dtype, device=self.home)
        rows = max(1, PIECE // images[0].size)
        for first in range(0, len(ids), rows):
            piece = torch.from_numpy(images[ids[first : first + rows]]).to(self.home).permute(0, 3, 1, 2)
            x[first : first + rows] = self.normalize(piece) if self.as_float else piece
        return x, torch.from_numpy(labels[ids]).to(self.device)


@dataclass(frozen=True)
class Epoch:
    """One epoch of a stream in the order of delivery: ids, their positions among the training ids, labels, moves."""

    ids: np.ndarray
    positions: Tensor
    labels: Tensor
    moves: Moves | None


@dataclass(frozen=True)
class Stream:
    """The batches of a training; a function of the two seeds and the step, whoever asks and in whatever order.

    Of `world` processes that train one network each gets an equal, contiguous share of every batch.
    """

    resident: Resident
    order_seed: int
    augment_seed: int
    rank: int = 0
    world: int = 1
    _latest: dict[int, Epoch] = field(default_factory=dict, init=False, repr=False, compare=False)

    def batch_at(self, step: int) -> tuple[Tensor, Tensor]:
        """Returns images (G / world,C,H,W) and labels of a step, counted from the start of training."""
        number, at = divmod(step, self.resident.steps_per_epoch)
        epoch = self._epoch(number)
        share = self.resident.data.batch_size // self.world
        first = at * self.resident.data.batch_size + self.rank * share
        part = slice(first, first + share)
        moved = None if epoch.moves is None else epoch.moves[part]
        return self.resident.gather(epoch.positions[part], moved), epoch.labels[part]

    def ids(self, epoch: int) -> np.ndarray:
        """Returns the example ids an epoch delivers, in order: int64 (steps_per_epoch * batch_size,), all distinct."""
        return self._epoch(epoch).ids

    def fingerprint(self, epoch: int) -> str:
        """Returns the sha256 of the ids an epoch delivers, for two trainings to show that they saw the same data."""
        return fingerprint(self.ids(epoch))

    def _epoch(self, number: int) -> Epoch:
        if number not in self._latest:
            resident = self.resident
            delivered = resident.steps_per_epoch * resident.data.batch_size
            positions = permutation(self.order_seed, number, resident.train_examples)[:delivered]
            ids = resident.split.train[positions]
            moved = moves(resident.data.augment, self.augment_seed, number, ids, resident.device)
            on_device = torch.from_numpy(positions).to(resident.device)
            self._latest.clear()
            self._latest[number] = Epoch(ids, on_device, resident.labels(on_device), moved)
        return self._latest[number]


def _check(data: Data, examples: int, shape: tuple[int, int, int]) -> None:
    if data.batch_size > examples:
        what = f"a batch is larger than the {examples} training examples"
        raise DataError(what, at="data.batch_size", value=data.batch_size, cure="Take a smaller batch.")
    if data.augment.crop >= min(shape[1:]):
        what = f"the border is as wide as the images of {shape[1]} x {shape[2]} pixels"
        cure = "Take a smaller crop; 4 is usual for 32 pixels."
        raise DataError(what, at="data.augment.crop", value=data.augment.crop, cure=cure)


def _home(dataset: Dataset, device: torch.device) -> torch.device:
    """Where the images stay: on the device, or in the host's memory where a GPU has no room for them."""
    if device.type != "cuda" or dataset.images.size <= DEVICE_SHARE * torch.cuda.mem_get_info(device)[0]:
        return device
    return torch.device("cpu")
