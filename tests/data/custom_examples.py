"""Augmentations as users write them, good ones and bad ones."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lth.data.hashing import uniform


def shifted(images: Tensor, ids: np.ndarray, epoch: int, seed: int) -> Tensor:
    brightness = torch.from_numpy(uniform(seed, epoch, ids, 1)).to(images)
    return (images + 20 * brightness[:, :, None, None]).clamp(0, 255)


def in_place(images: Tensor, ids: np.ndarray, epoch: int, seed: int) -> Tensor:
    return images.mul_(0.5)


def careless(images: Tensor, ids: np.ndarray, epoch: int, seed: int) -> Tensor:
    return images + torch.rand_like(images)


def batchwise(images: Tensor, ids: np.ndarray, epoch: int, seed: int) -> Tensor:
    return images - images.mean()


def shrunk(images: Tensor, ids: np.ndarray, epoch: int, seed: int) -> Tensor:
    return images[:, :, 1:]


def broken(images: Tensor, ids: np.ndarray, epoch: int, seed: int) -> Tensor:
    raise KeyError("hue")


def short(images: Tensor) -> Tensor:
    return images
