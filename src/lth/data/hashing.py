"""Random numbers without a random state: hashes of (seed, epoch, example id)."""

from __future__ import annotations

import numpy as np

ODD = np.uint64(0x9E3779B97F4A7C15)
LOW = np.uint64(0xFFFFFFFF)
CUSTOM = np.uint64(1 << 32)  # far behind what crops, flips and boxes take of an example's sequence


def mix(values: np.ndarray) -> np.ndarray:
    """Returns a hash of each uint64: the finaliser of SplitMix64 (Steele, Lea and Flood 2014, section 3)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def hashed(seed: int, epoch: int, ids: np.ndarray) -> np.ndarray:
    """Returns the first draw of each example in an epoch, uint64 (B,): it begins a SplitMix64 sequence of its own."""
    key = np.zeros(1, np.uint64)
    for part in (seed, epoch):
        key = mix(key * ODD + np.uint64(part) + np.uint64(1))
    return mix(key + ids.astype(np.uint64) * ODD)


def nth(draws: np.ndarray, number: int) -> np.ndarray:
    """Returns draw `number` of the sequences that begin with `draws`, uint64 (B,)."""
    return mix(draws + ODD * np.array([number], np.uint64))


def spread(draws: np.ndarray, sides: np.ndarray | int) -> np.ndarray:
    """Returns whole numbers 0..sides-1 made of the low half of each draw, int64 (B,)."""
    return (((draws & LOW) * np.asarray(sides).astype(np.uint64)) >> np.uint64(32)).astype(np.int64)


def uniform(seed: int, epoch: int, ids: np.ndarray, count: int) -> np.ndarray:
    """Returns `count` numbers in [0, 1) for each example of an epoch, float64 (B,count), for one's own augmentation.

    A function of the arguments alone, unrelated to the numbers that crops and flips are made of.
    """
    first = hashed(seed, epoch, np.asarray(ids))
    at = CUSTOM + np.arange(count, dtype=np.uint64)
    return (mix(first[:, None] + ODD * at) >> np.uint64(11)) * 2.0**-53
