"""Normalisation of images to zero mean and unit variance, channel by channel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from lth.data.statistics import pixel_sums, statistics_of_sums


def channel_statistics(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns mean and standard deviation of each channel of uint8 (n,h,w,c), float64 (c,), in grey levels 0..255.

    Made of exact sums, so the result is the same everywhere. A channel of one colour gets deviation 1: it
    normalises to zeros.
    """
    mean, deviation = statistics_of_sums(*pixel_sums(images))
    return np.array(mean), np.array(deviation)


@dataclass(frozen=True)
class Normalizer:
    """Mean and standard deviation of each channel, float32 (C,1,1) on the device of the images."""

    mean: Tensor
    deviation: Tensor

    @classmethod
    def of(cls, images: np.ndarray, device: torch.device) -> Normalizer:
        """Returns the normalizer of uint8 images (n,h,w,c)."""
        return cls.of_statistics(*channel_statistics(images), device)

    @classmethod
    def of_statistics(cls, mean: ArrayLike, deviation: ArrayLike, device: torch.device) -> Normalizer:
        """Returns the normalizer of channels of this mean and deviation, in grey levels 0..255."""
        return cls(*(torch.tensor(one, dtype=torch.float32, device=device)[:, None, None] for one in (mean, deviation)))

    def __call__(self, x: Tensor) -> Tensor:
        """Returns the normalised float32 images of grey levels (B,C,H,W): the same bits in whatever batch."""
        return x.to(torch.float32, copy=True).sub_(self.mean).div_(self.deviation)
