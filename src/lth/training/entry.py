"""A training function of one's own (`train.entry`): the job it is given, and how it is found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lth.data.loader import Stream
from lth.errors import SpecError
from lth.pruning.enforce import Enforcer
from lth.pruning.mask import Mask
from lth.spec.imported import imported_function
from lth.spec.recipe import Train
from lth.spec.toml import shown
from lth.training.entry_log import EntryLog
from lth.training.evaluate import BATCH
from lth.training.recipe import learning_rate

Entry = Callable[["Job"], Mapping[str, Any] | None]


@dataclass(frozen=True)
class Job:
    """One training for a function of your own to do: the dense network of a seed, or one ticket or control.

    `model` is on `device` and holds the weights to start from, rewound and with the pruned ones at 0; train it
    in place. `mask` says which weights are kept; None for a dense network. Steps are optimizer steps counted
    from the start of the dense training: take `first_step`, ..., `last_step - 1`, and call `after_step` after
    each. `recipe` is the [train] table of the spec, to follow or not. The seeds are those of this seed's data
    order, augmentation and dropout (torch's generator starts from the last). `folder` stays through a kill and
    a new try of this job, and is deleted when its result is published: keep checkpoints there.
    """

    name: str
    model: nn.Module
    mask: Mask | None
    device: torch.device
    first_step: int
    last_step: int
    steps_per_epoch: int
    recipe: Train
    seed: int
    order_seed: int
    augment_seed: int
    dropout_seed: int
    folder: Path
    _stream: Callable[[], Stream] = field(repr=False)
    _log: EntryLog = field(repr=False)

    def batch_at(self, step: int) -> tuple[Tensor, Tensor]:
        """Returns images (B,C,H,W) and labels (B,) of a step: the same ones, in the same order, on every try."""
        return self._stream().batch_at(step)

    def validation(self, size: int = BATCH) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields images and labels of this seed's validation data, `size` at a time."""
        return self._stream().resident.batches("validation", size)

    def test(self, size: int = BATCH) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields images and labels of the test data, `size` at a time."""
        return self._stream().resident.batches("test", size)

    def learning_rate(self, step: int) -> float:
        """Returns the recipe's learning rate of a step; a rewound ticket enters the schedule at its own step."""
        planned, base = self.recipe.length.index(self.steps_per_epoch), self.recipe.optimizer.lr
        return learning_rate(step, planned, self.steps_per_epoch, base, self.recipe.schedule)

    def enforce(self, optimizer: Optimizer) -> Enforcer | None:
        """Returns what keeps the pruned weights at 0 through the optimizer's steps; None for a dense network."""
        return None if self.mask is None else Enforcer(self.model, self.mask, optimizer)

    def after_step(self, step: int) -> None:
        """Returns nothing; notes that `step` was taken, and keeps the dense weights that tickets are rewound to.

        Raises TrainingError for a step that is not the one after the last call's.
        """
        self._log.taken(step, self.model)

    def log(self, step: int, **numbers: Any) -> None:
        """Returns nothing; adds numbers after `step` to the training curve.

        validation_top1 in [0, 1] and validation_loss together are drawn in the report. Raises TrainingError for
        what is not a finite number.
        """
        self._log.note(step, numbers)


def entry_function(path: str) -> Entry:
    """Returns the function that "package.module:function" names; raises SpecError where there is none to call."""

    def refused(what: str, cure: str) -> SpecError:
        return SpecError([f"train.entry: {what} (found {shown(path)}). {cure}"])

    return imported_function(path, refused, ("job",))
