"""Random crop and horizontal flip, decided by hashing (seed, epoch, example id): no batch changes them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lth.spec.schema import Augment

_ODD = 0x9E3779B97F4A7C15
_LOW = np.uint64(0xFFFFFFFF)


@dataclass(frozen=True)
class Moves:
    """What happens to each of B images: crop offsets in pixels, 0..2 * crop, int64 (B,), and flips, bool (B,)."""

    rows: Tensor
    columns: Tensor
    flips: Tensor

    def __getitem__(self, part: slice) -> Moves:
        return Moves(self.rows[part], self.columns[part], self.flips[part])


def mix(values: np.ndarray) -> np.ndarray:
    """Returns a hash of each uint64: the finaliser of SplitMix64 (Steele, Lea and Flood 2014, section 3)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def moves(augment: Augment, seed: int, epoch: int, ids: np.ndarray, device: torch.device) -> Moves | None:
    """Returns the moves of the examples `ids` (B,) in an epoch, or None where augmentation is off."""
    if not (augment.crop or augment.flip):
        return None
    key = np.zeros(1, np.uint64)
    for part in (seed, epoch):
        key = mix(key * np.uint64(_ODD) + np.uint64(part) + np.uint64(1))
    hashed = mix(key + ids.astype(np.uint64) * np.uint64(_ODD))
    span = np.uint64(2 * augment.crop + 1)
    rows = ((hashed & _LOW) * span) >> np.uint64(32)
    columns = ((hashed >> np.uint64(32)) * span) >> np.uint64(32)
    flips = (mix(hashed + np.uint64(_ODD)) >> np.uint64(63)).astype(bool) & augment.flip
    offsets = torch.from_numpy(np.stack([rows, columns]).astype(np.int64)).to(device)
    return Moves(offsets[0], offsets[1], torch.from_numpy(flips).to(device))


def move(x: Tensor, moves: Moves, crop: int, border: Tensor) -> Tensor:
    """Returns x (B,C,H,W), uint8 or float, cropped out of itself with a border of `crop` pixels, and flipped.

    `border` (C,1,1) is the border's colour: black, as the images write it.
    """
    height, width = x.shape[2:]
    padded = _pad(x, crop, border) if crop else x
    down, across = (torch.arange(size, device=x.device) for size in (height, width))
    rows = moves.rows[:, None] + down
    columns = moves.columns[:, None] + torch.where(moves.flips[:, None], width - 1 - across, across)
    # One index for all channels of an image, and one copy for crop and flip together.
    pixels = (rows[:, :, None] * padded.shape[3] + columns[:, None, :]).flatten(1)
    return padded.flatten(2).gather(2, pixels[:, None, :].expand(-1, x.shape[1], -1)).view(x.shape)


def _pad(x: Tensor, crop: int, border: Tensor) -> Tensor:
    batch, channels, height, width = x.shape
    padded = border.to(x.dtype).expand(batch, channels, height + 2 * crop, width + 2 * crop).contiguous()
    padded[:, :, crop : crop + height, crop : crop + width] = x
    return padded
