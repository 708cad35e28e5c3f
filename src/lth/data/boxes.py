"""The boxes of random resized crops."""

from __future__ import annotations

from decimal import Decimal, localcontext
from functools import lru_cache

import numpy as np

from lth.data.hashing import LOW, nth, spread
from lth.spec.schema import Resized

TRIES = 10
STEPS = 1024  # ratios, evenly spaced by their logarithm; next to each other they differ by less than a pixel


def boxes(draws: np.ndarray, resized: Resized, stored: tuple[int, int]) -> np.ndarray:
    """Returns top, left, height and width of a box for each of `draws` (`hashing.hashed`), int64 (B,4), in pixels.

    Share of the area and logarithm of width / height are even over their ranges; a box that does not fit into the
    `stored` (height, width) is drawn again, ten times at most, after which it is the largest central one of an
    allowed ratio. Only exact steps and square roots are taken, so it is the same on every machine.
    Source: Szegedy et al. 2015, "Going deeper with convolutions", section 6.
    """
    height, width = stored
    found = np.tile(np.array(_fallback(resized, stored), np.int64), (len(draws), 1))
    left = np.arange(len(draws))
    ratios = np.array(_ratios(*resized.ratio))
    least, most = resized.scale
    for number in range(TRIES):
        shape, place = nth(draws[left], 2 + 2 * number), nth(draws[left], 3 + 2 * number)
        area = height * width * (least + (most - least) * ((shape & LOW) * 2.0**-32))
        ratio = ratios[spread(shape >> np.uint64(32), STEPS)]
        high, wide = (np.floor(np.sqrt(one) + 0.5).astype(np.int64) for one in (area / ratio, area * ratio))
        fits = (high >= 1) & (high <= height) & (wide >= 1) & (wide <= width)
        rows = spread(place[fits], height - high[fits] + 1)
        columns = spread(place[fits] >> np.uint64(32), width - wide[fits] + 1)
        found[left[fits]] = np.stack([rows, columns, high[fits], wide[fits]], 1)
        left = left[~fits]
    return found


@lru_cache
def _ratios(least: float, most: float) -> tuple[float, ...]:
    """The middles of STEPS equal parts of the range of logarithms; Decimal rounds exp and ln alike everywhere."""
    with localcontext() as context:
        context.prec = 30
        low, high = (Decimal(str(one)).ln() for one in (least, most))
        return tuple(float((low + (high - low) * (2 * step + 1) / (2 * STEPS)).exp()) for step in range(STEPS))


def _fallback(resized: Resized, stored: tuple[int, int]) -> tuple[int, int, int, int]:
    height, width = stored
    least, most = resized.ratio
    high = min(height, max(1, int(width / least + 0.5)))
    wide = min(width, max(1, int(height * most + 0.5)))
    return (height - high) // 2, (width - wide) // 2, high, wide
