"""Seed streams and data order. Nothing here keeps a random state: every draw is a function of its arguments."""

from __future__ import annotations

import hashlib

import numpy as np

from lth.errors import DataError


def stream_seed(seed: int, stream: str) -> int:
    """Returns the 63-bit seed of one of a run's independent streams, such as "init" or "order-dense"."""
    digest = hashlib.sha256(f"{seed}/{stream}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def raw_draws(seed: int, epoch: int, count: int) -> np.ndarray:
    """Returns `count` uint64 draws of the Philox 4x64 stream whose key is (seed, epoch).

    Only the generator's raw output is taken: NumPy keeps it the same across versions, unlike `shuffle`.
    Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3".
    """
    return np.random.Philox(key=seed + (epoch << 64)).random_raw(count)


def permutation(seed: int, epoch: int, n: int) -> np.ndarray:
    """Returns the order of n examples in an epoch: int64 (n,), a permutation of 0..n-1; `seed` below 2**64."""
    return np.argsort(raw_draws(seed, epoch, n), kind="stable").astype(np.int64, copy=False)


def rank_slice(batch: int, rank: int, world: int) -> slice:
    """Returns the part of a global batch of `batch` examples that belongs to `rank` of `world`.

    The parts are contiguous, follow each other in rank order, and differ in length by one at most. Raises
    DataError where some rank would get nothing.
    """
    if world > batch:
        raise DataError(
            f"a batch of {batch} cannot be shared by {world} workers",
            at="data.batch_size",
            cure="Take a larger batch, or fewer workers for this training.",
        )
    return slice(rank * batch // world, (rank + 1) * batch // world)


def fingerprint(ids: np.ndarray) -> str:
    """Returns the sha256 of a sequence of example ids, in hexadecimal."""
    return hashlib.sha256(ids.astype("<i8").tobytes()).hexdigest()
