"""The training loop: networks step in turn on one shared batch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Protocol

from torch import Tensor

from lth.training.trainee import Clock, Trainee, unclocked


class Batches(Protocol):
    """A data stream: the batch of a step is a pure function of that step."""

    def batch_at(self, step: int) -> tuple[Tensor, Tensor]: ...


def train(
    trainees: Sequence[Trainee], batches: Batches, moments: Collection[int], interrupted: Callable[[], bool],
    clock_of: Callable[[int], Clock] = lambda step: unclocked,
) -> Iterator[int]:  # fmt: skip
    """Yields each of `moments` (optimizer steps) as it is reached, and every step at which `interrupted` says so.

    Every trainee takes part from its own step to its last; each steps in turn on the same batch, which
    leaves its weights bit for bit what they would be alone.
    """
    step = min(trainee.step for trainee in trainees)
    while step < max(trainee.last_step for trainee in trainees):
        clock = clock_of(step)
        x, y = batches.batch_at(step)
        clock("data")
        for trainee in trainees:
            if trainee.step == step < trainee.last_step:
                trainee.advance(x, y, clock)
        step += 1
        if interrupted() or step in moments:
            yield step
