"""What becomes of a batch on the device: from the stored pixels to what the network sees."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from lth.data.augment import Frame, Moves, central, move
from lth.data.custom import Custom, apply, check_pure, custom_function
from lth.data.normalize import Normalizer
from lth.data.resample import resample
from lth.errors import DataError
from lth.spec.schema import Augment, Data

CHECKED = 8  # images of the first batch that a user's function is tried on


@dataclass
class Finish:
    """Augmentation and normalisation of the batches of one data set: the same bits in whatever batch an image is.

    `normal` says that images come normalised already; it is never so where grey levels are wanted in between.
    """

    augment: Augment
    frame: Frame
    normalize: Normalizer
    black: Tensor
    layout: torch.memory_format
    normal: bool = False
    custom: Custom | None = None
    checked: bool = field(default=False, init=False)

    @classmethod
    def of(cls, data: Data, frame: Frame, normalize: Normalizer, layout: torch.memory_format) -> Finish:
        """Returns the finish of a spec's data. Raises DataError for a user's function that cannot be had."""
        custom = None if data.augment.custom is None else custom_function(data.augment.custom)
        black = torch.zeros_like(normalize.mean, dtype=torch.uint8)
        return cls(data.augment, frame, normalize, black, layout, custom=custom)

    @property
    def grey(self) -> bool:
        """Whether augmentation takes grey levels, so that images cannot be normalised before it."""
        return self.augment.resized is not None or self.augment.custom is not None

    def __call__(self, x: Tensor, moves: Moves | None, *, cut: bool = False) -> Tensor:
        """Returns the images x (B,C,H,W) moved, or their middle without `moves`, and normalised: float32.

        `cut` says that they were cut and flipped already.
        """
        if moves is not None and moves.boxes is not None:
            x = resample(x, moves, self.frame.seen)
        elif not cut:
            x = self._cut(x, moves)
        if moves is not None and self.custom is not None:
            if not self.checked:
                check_pure(self.custom, x[:CHECKED], moves[:CHECKED])
                self.checked = True
            x = apply(self.custom, x, moves)
        x = x if self.normal else self.normalize(x)
        return x.contiguous(memory_format=self.layout)

    def _cut(self, x: Tensor, moves: Moves | None) -> Tensor:
        if moves is None:
            return central(x, self.frame.seen) if any(self.frame.room) else x
        if not (self.augment.crop or self.augment.flip or any(self.frame.room)):
            return x
        return move(x, moves, self.augment.crop, self.black, self.frame.seen)


def check_sizes(data: Data, examples: int, stored: tuple[int, int]) -> None:
    """Returns nothing; raises DataError where a batch, a crop or its border does not fit the data."""
    if data.batch_size > examples:
        what = f"a batch is larger than the {examples} training examples"
        raise DataError(what, at="data.batch_size", value=data.batch_size, cure="Take a smaller batch.")
    check_crop(data, stored)


def check_crop(data: Data, stored: tuple[int, int]) -> None:
    """Returns nothing; raises DataError where a crop or its border does not fit the images."""
    of = f"images of {stored[0]} x {stored[1]} pixels"
    if data.crop_size is not None and data.crop_size > min(stored):
        what, cure = f"larger than the {of}", f"Take {min(stored)} pixels at most."
        raise DataError(what, at="data.crop_size", value=data.crop_size, cure=cure)
    if data.augment.crop >= min(stored):
        cure = "Take a smaller crop; 4 is usual for 32 pixels."
        what = f"the border is as wide as the {of}"
        raise DataError(what, at="data.augment.crop", value=data.augment.crop, cure=cure)
