"""A ticket's step as a CUDA graph: captured once, replayed at every step."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from lth.training.trainee import Trainee

WARM_UP_STEPS = 3  # before a capture: libraries choose their kernels and take their workspaces


class Graphs:
    """The memory that the captured steps of one worker's tickets share: one batch, one pool for activations.

    The tickets are replayed in turn and nothing of a step outlives it but its loss, which is copied out, so one
    pool serves all. A small network is bound by the launching of its kernels, which a replay does at once.
    """

    def __init__(self) -> None:
        self._pool: Any = None
        self._batch: tuple[Tensor, Tensor] | None = None
        self._held: Tensor | None = None

    def capture(self, trainee: Trainee, x: Tensor, y: Tensor) -> Callable[[Tensor, Tensor, float], Tensor]:
        """Returns the step of `trainee` as a function of batch and learning rate, which returns the loss.

        The trainee is left as it was. Batches must have the shape of `x` and `y`.
        """
        if self._batch is None:
            self._batch = x.clone(memory_format=torch.preserve_format), y.clone()
        images, labels = self._batch
        rate = torch.zeros((), device=x.device)
        before = [(value, value.clone()) for value in _live(trainee)]
        beside = torch.cuda.Stream(x.device)
        beside.wait_stream(torch.cuda.current_stream(x.device))
        with torch.cuda.stream(beside):
            for _ in range(WARM_UP_STEPS):
                trainee.take_step(images, labels, rate)
        torch.cuda.current_stream(x.device).wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            loss = trainee.take_step(images, labels, rate)
        self._pool = self._pool or graph.pool()
        for value, saved in before:
            value.copy_(saved)
        self._held = None

        def replay(x: Tensor, y: Tensor, lr: float) -> Tensor:
            if x is not self._held:  # the first ticket of a step brings the batch for all
                images.copy_(x)
                labels.copy_(y)
                self._held = x
            rate.fill_(lr)
            graph.replay()
            return loss.clone()

        return replay


def _live(trainee: Trainee) -> list[Tensor]:
    """All that a step changes."""
    return [trainee.weights, *trainee.state.values(), *trainee.model.buffers()]
