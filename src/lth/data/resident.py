"""Images in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from lth.data.augment import Frame, Moves, moves
from lth.data.finish import Finish, check_sizes
from lth.data.normalize import Normalizer
from lth.data.order import Order
from lth.data.sources import Dataset
from lth.data.splits import Part, split
from lth.spec.schema import Data

FLOAT_LIMIT = 2 << 30
DEVICE_SHARE = 0.25  # of a GPU's free memory; data that would take more stay in the host's
PIECE = 1 << 18


class Resident:
    """A data set split for one seed, in memory on the device: images as NCHW, normalised by the channel mean
    and deviation of all training and validation images; labels int64.

    Normalised float32 images are made once; where they would take more than `limit` bytes, or augmentation wants
    grey levels, the images stay uint8 and are normalised batch by batch, to the same bits. Where those are too
    many for a GPU they stay in the host's memory (`home`), and each batch is copied through pinned memory while
    the GPU computes.
    """

    def __init__(
        self, dataset: Dataset, data: Data, seed: int, device: torch.device,
        *, limit: int = FLOAT_LIMIT, channels_last: bool = False, home: torch.device | None = None,
    ):  # fmt: skip
        _, height, width, channels = dataset.images.shape
        self.data, self.device, self.classes = data, device, len(dataset.class_names)
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        self.home = _home(dataset, device) if home is None else home
        self.split = split(len(dataset.labels), data, seed)
        self.train_examples = len(self.split.train)
        self.steps_per_epoch = self.train_examples // data.batch_size
        check_sizes(data, self.train_examples, (height, width))
        self.frame = Frame.of((height, width), data.crop_size)
        self.input_shape, self.buffer_bytes = (channels, *self.frame.seen), 0
        self._stored = (channels, height, width)
        recorded = dataset.statistics
        self.normalize = (
            Normalizer.of(dataset.images, device) if recorded is None else Normalizer.of_statistics(*recorded, device)
        )
        self._finish = Finish.of(data, self.frame, self.normalize, self.layout)
        fits = 4 * (dataset.images.size + dataset.test_images.size) <= limit
        self.as_float = self._finish.normal = self.home == device and fits and not self._finish.grey
        if self.as_float:
            self._finish.black = self.normalize(self._finish.black)
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
            yield self._finish(images.to(self.device), None), labels

    def gather(self, positions: Tensor, moved: Moves | None) -> Tensor:
        """Returns the normalised training images at `positions` (B,) among the training ids, moved if so told."""
        images = self._parts["train"][0]
        if self.home == self.device:
            x = images.index_select(0, positions)
        else:
            pinned = torch.empty((len(positions), *self._stored), dtype=torch.uint8, pin_memory=True)
            torch.index_select(images, 0, positions.to(self.home), out=pinned)
            x = pinned.to(self.device, non_blocking=True)
        return self._finish(x, moved)

    def labels(self, part: Part) -> Tensor:
        """Returns the labels of a part, int64, by increasing id."""
        return self._parts[part][1]

    def feed(self, order: Order, augment_seed: int) -> Callable[[int], tuple[Tensor, Tensor]]:
        """Returns what gives the images and labels of a step of `order`; it remembers one epoch."""
        kept: dict[int, tuple[Tensor, Tensor, Moves | None]] = {}

        def batch(step: int) -> tuple[Tensor, Tensor]:
            number, part = order.part(step)
            if number not in kept:
                epoch = order.epoch(number)
                moved = moves(self.data.augment, augment_seed, number, epoch.ids, self.device, self.frame)
                positions = torch.from_numpy(epoch.positions).to(self.device)
                kept.clear()
                kept[number] = positions, self.labels("train").index_select(0, positions), moved
            positions, labels, moved = kept[number]
            return self.gather(positions[part], None if moved is None else moved[part]), labels[part]

        return batch

    def _whole(self, part: Part) -> tuple[Tensor, Tensor]:
        x, y = self._parts[part]
        return (x if self.as_float else self.normalize(x.to(self.device))), y

    def _load(self, images: np.ndarray, labels: np.ndarray, ids: np.ndarray) -> tuple[Tensor, Tensor]:
        dtype = torch.float32 if self.as_float else torch.uint8
        x = torch.empty((len(ids), *self._stored), dtype=dtype, device=self.home)
        rows = max(1, PIECE // images[0].size)
        for first in range(0, len(ids), rows):
            piece = torch.from_numpy(images[ids[first : first + rows]]).to(self.home).permute(0, 3, 1, 2)
            x[first : first + rows] = self.normalize(piece) if self.as_float else piece
        return x, torch.from_numpy(labels[ids]).to(self.device)


def _home(dataset: Dataset, device: torch.device) -> torch.device:
    """Where the images stay: on the device, or in the host's memory where a GPU has no room for them."""
    if device.type != "cuda" or dataset.images.size <= DEVICE_SHARE * torch.cuda.mem_get_info(device)[0]:
        return device
    return torch.device("cpu")
