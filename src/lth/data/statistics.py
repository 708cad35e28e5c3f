"""Mean and deviation of the channels of many pixels, from exact whole sums; torch is not needed for them."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

PIECE = 1 << 20


def pixel_sums(images: np.ndarray) -> tuple[int, list[int], list[int]]:
    """Returns the number of pixels of uint8 (n,h,w,c) and, channel by channel, their sums and sums of squares.

    Exact, so those of parts may be added up in any order. Whole numbers below 2**53 have exact sums in float64.
    """
    pixels = images.reshape(-1, images.shape[-1])
    total = np.zeros((2, pixels.shape[1]), object)
    for start in range(0, len(pixels), PIECE // pixels.shape[1]):
        piece = pixels[start : start + PIECE // pixels.shape[1]].astype(np.float64)
        here = np.stack([piece.sum(0), np.einsum("pc,pc->c", piece, piece)])
        total += here.astype(np.int64).astype(object)
    sums, squares = total.tolist()
    return len(pixels), sums, squares


def statistics_of_sums(count: int, sums: Iterable[int], squares: Iterable[int]) -> tuple[list[float], list[float]]:
    """Returns mean and standard deviation of each channel, in grey levels 0..255, of what `pixel_sums` gives.

    A channel of one colour gets deviation 1: it normalises to zeros.
    """
    exact = [(int(total), int(square)) for total, square in zip(sums, squares, strict=True)]
    mean = [total / count for total, _ in exact]
    deviation = [math.sqrt(count * square - total * total) / count or 1.0 for total, square in exact]
    return mean, deviation
