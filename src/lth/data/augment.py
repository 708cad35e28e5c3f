"""Random crop and horizontal flip, decided by hashing (seed, epoch, example id): no batch changes them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from lth.data.boxes import boxes
from lth.data.hashing import ODD, hashed, mix, spread
from lth.spec.schema import Augment

__all__ = ["Frame", "Moves", "central", "mix", "move", "moves"]


@dataclass(frozen=True)
class Frame:
    """Height and width of the images as they are stored, and of what the network sees of them, in pixels."""

    stored: tuple[int, int]
    seen: tuple[int, int]

    @classmethod
    def of(cls, stored: tuple[int, int], crop_size: int | None) -> Frame:
        """Returns the frame of a spec's `data.crop_size`."""
        return cls(stored, stored if crop_size is None else (crop_size, crop_size))

    @property
    def room(self) -> tuple[int, int]:
        """The pixels, down and across, by which the cut may be moved."""
        return self.stored[0] - self.seen[0], self.stored[1] - self.seen[1]


WHOLE = Frame((0, 0), (0, 0))  # of whatever size, and seen as a whole


@dataclass(frozen=True)
class Moves:
    """What happens to each of B images: crop offsets in pixels, int64 (B,), and flips, bool (B,).

    Offsets are 0..2 * crop, and more where less is seen than is stored; they count from the corner of the padded
    image. `boxes` int64 (B,4) are top, left, height and width of resized crops, which leave the offsets at 0. The
    examples are `ids` (B,) int64 in `epoch`, drawn by `seed`.
    """

    rows: Tensor
    columns: Tensor
    flips: Tensor
    boxes: Tensor | None = None
    ids: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    epoch: int = 0
    seed: int = 0

    def __getitem__(self, part: slice) -> Moves:
        cut = None if self.boxes is None else self.boxes[part]
        rows, columns, flips = self.rows[part], self.columns[part], self.flips[part]
        return Moves(rows, columns, flips, cut, self.ids[part], self.epoch, self.seed)


def moves(
    augment: Augment, seed: int, epoch: int, ids: np.ndarray, device: torch.device, frame: Frame = WHOLE
) -> Moves | None:
    """Returns the moves of the examples `ids` (B,) in an epoch, or None where augmentation is off."""
    if not (augment.crop or augment.flip or augment.resized or augment.custom or any(frame.room)):
        return None
    draws = hashed(seed, epoch, ids)
    down, across = (0, 0) if augment.resized else frame.room
    rows = spread(draws, 2 * augment.crop + down + 1)
    columns = spread(draws >> np.uint64(32), 2 * augment.crop + across + 1)
    flips = (mix(draws + ODD) >> np.uint64(63)).astype(bool) & augment.flip
    cut = None
    if augment.resized is not None:
        cut = torch.from_numpy(boxes(draws, augment.resized, frame.stored)).to(device)
    offsets = torch.from_numpy(np.stack([rows, columns])).to(device)
    return Moves(offsets[0], offsets[1], torch.from_numpy(flips).to(device), cut, ids, epoch, seed)


def move(x: Tensor, moves: Moves, crop: int, border: Tensor, seen: tuple[int, int] | None = None) -> Tensor:
    """Returns x (B,C,H,W), uint8 or float, cropped out of itself with a border of `crop` pixels, and flipped.

    `border` (C,1,1) is the border's colour: black, as the images write it. The crop is as large as the image, or
    `seen` (height, width).
    """
    height, width = x.shape[2:] if seen is None else seen
    padded = _pad(x, crop, border) if crop else x
    down, across = (torch.arange(size, device=x.device) for size in (height, width))
    rows = moves.rows[:, None] + down
    columns = moves.columns[:, None] + torch.where(moves.flips[:, None], width - 1 - across, across)
    # One index for all channels of an image, and one copy for crop and flip together.
    pixels = (rows[:, :, None] * padded.shape[3] + columns[:, None, :]).flatten(1)
    cut = padded.flatten(2).gather(2, pixels[:, None, :].expand(-1, x.shape[1], -1))
    return cut.view(*x.shape[:2], height, width)


def central(x: Tensor, seen: tuple[int, int]) -> Tensor:
    """Returns the middle of x (B,C,H,W), of `seen` (height, width): what evaluation sees."""
    top, left = (x.shape[2] - seen[0]) // 2, (x.shape[3] - seen[1]) // 2
    return x[:, :, top : top + seen[0], left : left + seen[1]]


def _pad(x: Tensor, crop: int, border: Tensor) -> Tensor:
    batch, channels, height, width = x.shape
    padded = border.to(x.dtype).expand(batch, channels, height + 2 * crop, width + 2 * crop).contiguous()
    padded[:, :, crop : crop + height, crop : crop + width] = x
    return padded
