"""Processes that train one network together: each its share of every batch, sums over all of them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Event

import torch
import torch.distributed as dist
from torch import Tensor

from lth.errors import RunError
from lth.grid.stop import Stop
from lth.spec.schema import Spec

RENDEZVOUS = "LTH_RENDEZVOUS"  # names the file by which processes on one machine find each other without a port
PATIENCE = timedelta(minutes=10)
ASK_SECONDS = 0.25


class GroupError(RunError):
    """A group that cannot go on together: a process of it has ended, or a training broke in it."""


@dataclass(frozen=True)
class Group:
    """This process's place among `world` processes that train the same network; the first has rank 0.

    Every method is called by all of them, in the same order. Each raises GroupError where one has ended.
    """

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0

    def sum_(self, value: Tensor) -> Tensor:
        """Returns `value`, which then holds the sum over all processes."""
        if self.world > 1:
            with _others():
                dist.all_reduce(value)
        return value

    def share_(self, value: Tensor) -> Tensor:
        """Returns `value`, which then holds the first process's."""
        if self.world > 1:
            with _others():
                dist.broadcast(value, 0)
        return value

    def gather(self, value: Tensor) -> list[Tensor]:
        """Returns every process's `value`, by rank; first dimensions may differ."""
        if self.world == 1:
            return [value]
        with _others():
            sizes = [torch.zeros(1, dtype=torch.int64, device=value.device) for _ in range(self.world)]
            dist.all_gather(sizes, torch.tensor([len(value)], device=value.device))
            most = max(int(size) for size in sizes)
            padded = torch.zeros((most, *value.shape[1:]), dtype=value.dtype, device=value.device)
            padded[: len(value)] = value
            gathered = [torch.empty_like(padded) for _ in range(self.world)]
            dist.all_gather(gathered, padded)
        return [part[: int(size)] for part, size in zip(gathered, sizes, strict=True)]

    def largest(self, *values: int) -> tuple[int, ...]:
        """Returns the largest of all processes' values, one by one."""
        if self.world == 1:
            return values
        together = torch.tensor(values)  # on the CPU, so that no GPU is waited for
        with _others():
            dist.all_reduce(together, dist.ReduceOp.MAX)
        return tuple(together.tolist())

    def words(self, words: str = "") -> str:
        """Returns the first process's `words`."""
        data = torch.tensor(list(words.encode()), dtype=torch.uint8)
        (size,) = self.largest(len(data) if self.first else 0)
        return bytes(self.share_(data if self.first else data.new_empty(size)).tolist()).decode()


ALONE = Group()


@dataclass
class Halt:
    """Whether a training is to be saved, and whether to stop: one answer at one step in all processes of its group.

    A group asks about four times a second, in steps of its common count; asking is an all-reduce of 24 bytes.
    """

    stop: Event
    due: Callable[[], bool]
    group: Group = ALONE
    stopping: bool = False
    saving: bool = False
    _asked: float = field(default_factory=time.monotonic)
    _every: int = 1
    _left: int = 1

    def look(self) -> bool:
        """Returns whether the training pauses after this step: `saving`, `stopping` or both say what for."""
        self.stopping = self.saving = False
        self._left -= 1
        if self._left == 0:
            urgent = self.stop.urgent() if isinstance(self.stop, Stop) else self.stop.is_set()
            stop, save, every = self.group.largest(urgent, self.due(), -self._steps_to_next())
            self.stopping, self.saving, self._every = bool(stop), bool(save), -every
            self._left = self._every
        if self.stopping:
            self.stop.set()  # so that a process that was not told itself claims nothing more either
        return self.stopping or self.saving

    def _steps_to_next(self) -> int:
        """The steps after which to ask again: each where that costs nothing."""
        if self.group.world == 1:
            return 1
        before, self._asked = self._asked, time.monotonic()
        return max(1, int(ASK_SECONDS * self._every / max(self._asked - before, 1e-9)))


@contextmanager
def joined(spec: Spec) -> Iterator[Group]:
    """Lends the group that the environment names as torchrun does (RANK, WORLD_SIZE, MASTER_ADDR ...), or ALONE.

    gloo joins processes on CPUs, NCCL those on GPUs, where LOCAL_RANK says which. Raises RunError where
    the group cannot train `spec`, or its processes do not find each other.
    """
    world = _number("WORLD_SIZE", 1)
    if world == 1:
        yield ALONE
        return
    check_world(spec, world)
    rank, cuda = _number("RANK"), _take_gpu(spec)
    file = os.environ.get(RENDEZVOUS)
    where = f"file://{file}" if file else "env://"
    try:
        kind = "cpu:gloo,cuda:nccl" if cuda else "gloo"
        dist.init_process_group(kind, init_method=where, rank=rank, world_size=world, timeout=PATIENCE)
    except (RuntimeError, ValueError) as problem:
        said, cure = str(problem).partition("\n")[0], "Start all processes with torchrun, or check MASTER_ADDR."
        raise RunError(f"the {world} processes do not find each other: {said}", at=where, cure=cure) from problem
    yield Group(rank, world)
    dist.destroy_process_group()  # not after an error: it may wait for a process that has ended


def check_world(spec: Spec, world: int) -> None:
    """Returns nothing; raises RunError unless `world` processes can share every batch in whole micro-batches."""
    batch, micro, at = spec.data.batch_size, spec.train.micro_batch, f"WORLD_SIZE={world}"
    if spec.train.entry is not None:
        what, cure = "a group of processes cannot train with train.entry", "Start one process: lth work RUN"
    elif micro is None:
        what = "batch norm would see other batches than in one process"
        cure = "Set train.micro_batch, which goes through the network at once in either"
        cure += f": {batch // world}." if batch % world == 0 else f", and take a batch_size that {world} divides."
    elif batch // micro % world:
        parts = batch // micro
        fit = max(count for count in range(1, world) if parts % count == 0)
        what = f"{world} processes cannot share the {parts} micro-batches of a step ({batch} / {micro})"
        cure = f"Start {fit}, or take a smaller train.micro_batch."
    else:
        return
    raise RunError(what, at=at, cure=cure)


def _take_gpu(spec: Spec) -> bool:
    """Makes the GPU of LOCAL_RANK this process's own; returns whether it trains on one."""
    if spec.execute.device == "cpu" or not torch.cuda.is_available():
        return False
    local, count = _number("LOCAL_RANK"), torch.cuda.device_count()
    if local >= count:
        cure = f"Start at most {count} processes on this machine."
        raise RunError(f"there is no GPU for this process, only {count}", at="LOCAL_RANK", value=local, cure=cure)
    torch.cuda.set_device(local)
    return True


def _number(name: str, default: int | None = None) -> int:
    text = os.environ.get(name, "" if default is None else str(default))
    if not text.isdigit():
        cure = "Start the processes with torchrun, which sets RANK, LOCAL_RANK, WORLD_SIZE and MASTER_ADDR."
        raise RunError("not a number, which a process of a group needs", at=name, value=text, cure=cure)
    return int(text)


@contextmanager
def _others() -> Iterator[None]:
    """Turns the error of a connection into one that says what has happened."""
    try:
        yield
    except RuntimeError as problem:
        cure = "Start the same command again: it goes on from the last saved state."
        said = str(problem).partition("\n")[0].rpartition("] ")[2].partition(". ")[0]
        raise GroupError(f"another process of the group has ended ({said})", cure=cure) from problem
