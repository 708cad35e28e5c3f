"""Normalisation of images to zero mean and unit variance, channel by channel."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

PIECE = 1 << 20


def channel_statistics(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns mean and standard deviation of each channel of uint8 (n,h,w,c), float64 (c,), in grey levels 0..255.

    Sums of whole numbers below 2**53 are exact in float64 in any order, so the result is the same everywhere.
    A channel of one colour gets deviation 1: it normalises to zeros.
    """
    pixels = images.reshape(-1, images.shape[-1])
    sums = np.zeros((2, pixels.shape[1]))
    for start in range(0, len(pixels), PIECE // pixels.shape[1]):
        piece = pixels[start : start + PIECE // pixels.shape[1]].astype(np.float64)
        sums += piece.sum(0), np.einsum("pc,pc->c", piece, piece)
    count = len(pixels)
    exact = [(int(total), int(squares)) for total, squares in sums.T]
    mean = [total / count for total, _ in exact]
    deviation = [math.sqrt(count * squares - total * total) / count or 1.0 for total, squares in exact]
    return np.array(mean), np.array(deviation)


@dataclass(frozen=True)
class Normalizer:
    """Mean and standard deviation of each channel, float32 (C,1,1) on the device of the images."""

    mean: Tensor
    deviation: Tensor

    @classmethod
    def of(cls, images: np.ndarray, device: torch.device) -> Normalizer:
        """Returns the normalizer of uint8 images (n,h,w,c)."""
        mean, deviation = channel_statistics(images)
        return cls(*(torch.tensor(one, dtype=torch.float32, device=device)[:, None, None] for one in (mean, deviation)))

    def __call__(self, x: Tensor) -> Tensor:
        """Returns the normalised float32 images of uint8 (B,C,H,W): the same bits in whatever batch."""
        return x.to(torch.float32).sub_(self.mean).div_(self.deviation)
