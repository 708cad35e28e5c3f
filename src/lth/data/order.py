"""Seed streams and data order. Nothing here keeps a random state: every draw is a function of its arguments."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from functools import cached_property

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


@dataclass(frozen=True)
class Epoch:
    """One epoch in the order of delivery: the ids of its examples, and their positions among the training ids."""

    ids: np.ndarray
    positions: np.ndarray

    @cached_property
    def fingerprint(self) -> str:
        """Returns the sha256 of the ids."""
        return fingerprint(self.ids)


class Order:
    """Which of the training ids `train`, int64 (n,), stand in which step; a function of seed and step.

    Of `world` processes each has an equal, contiguous share of every batch. Threads may share it; two epochs are
    remembered.
    """

    def __init__(self, train: np.ndarray, batch_size: int, seed: int, rank: int = 0, world: int = 1):
        self._train, self._batch_size, self._seed = train, batch_size, seed
        self.steps_per_epoch = len(train) // batch_size
        self.share_size = batch_size // world
        self._first = rank * self.share_size
        self._latest: dict[int, Epoch] = {}
        self._lock = threading.Lock()

    def epoch(self, number: int) -> Epoch:
        """Returns an epoch, all processes' shares of it."""
        with self._lock:
            found = self._latest.pop(number, None)
            if found is None:
                delivered = self.steps_per_epoch * self._batch_size
                positions = permutation(self._seed, number, len(self._train))[:delivered]
                found = Epoch(self._train[positions], positions)
                if len(self._latest) > 1:
                    del self._latest[next(iter(self._latest))]
            self._latest[number] = found
            return found

    def part(self, step: int) -> tuple[int, slice]:
        """Returns the epoch of a step, and where this process's share of it lies there."""
        number, at = divmod(step, self.steps_per_epoch)
        first = at * self._batch_size + self._first
        return number, slice(first, first + self.share_size)

    def share(self, step: int) -> tuple[int, np.ndarray, np.ndarray]:
        """Returns the epoch of a step, and the ids and positions of this process's share of the step."""
        number, part = self.part(step)
        epoch = self.epoch(number)
        return number, epoch.ids[part], epoch.positions[part]
