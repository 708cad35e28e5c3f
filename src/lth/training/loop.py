"""The training loop: networks step in turn on one shared batch."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from threading import Event
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lth.errors import LthError
from lth.pruning.mask import Mask
from lth.spec.recipe import Train
from lth.training.recipe import State, fresh_state, learning_rate, update


class Batches(Protocol):
    """A data stream: the batch of a step is a pure function of that step."""

    def batch_at(self, step: int) -> tuple[Tensor, Tensor]: ...


class Trainee:
    """One network in training. Weights, gradient and mask are flat buffers; the model's parameters are views.

    It boards the loop at `step` and leaves at `last_step`; the schedule is that of `planned_steps`, the whole
    training, even where it leaves earlier. `model` must already hold the weights it starts
    from; pruned weights are set to 0 here. The gradient is multiplied by the mask before the fused optimizer
    step: weights, gradient and optimizer state of a pruned weight are then exactly 0 at every step.
    """

    def __init__(
        self, name: str, model: nn.Module, recipe: Train, steps_per_epoch: int,
        *, step: int = 0, mask: Mask | None = None, dropout_seed: int = 0,
    ):  # fmt: skip
        self.name, self.model, self.recipe, self.steps_per_epoch = name, model.train(), recipe, steps_per_epoch
        self.step = self.first_step = step
        self.last_step = self.planned_steps = recipe.epochs * steps_per_epoch
        self.weights, self.gradient, self._slices = _flatten(model)
        self.mask = None if mask is None else self._flat_mask(mask)
        if self.mask is not None:
            self.weights.mul_(self.mask).add_(0.0)  # + 0.0 turns -0.0 into 0.0
        self.state: State = fresh_state(self.weights, recipe.optimizer)
        self.losses: list[Tensor] = []
        self.dropout_seed = dropout_seed
        self._generator = _generator(self.weights.device)

    def advance(self, x: Tensor, y: Tensor) -> None:
        """Returns nothing; takes one optimizer step on the batch."""
        self._generator.manual_seed((self.dropout_seed + self.step) % 2**63)  # torch.manual_seed would be far slower
        recipe = self.recipe.optimizer
        lr = learning_rate(self.step, self.planned_steps, self.steps_per_epoch, recipe.lr, self.recipe.schedule)
        self.gradient.zero_()
        loss = cross_entropy(self.model(x), y)
        loss.backward()
        if self.mask is not None:
            self.gradient.mul_(self.mask)
        update(self.weights, self.gradient, self.state, lr, recipe)
        self.losses.append(loss.detach())
        self.step += 1

    def named(self, flat: Tensor) -> dict[str, Tensor]:
        """Returns views of a flat buffer of this network by parameter name."""
        return {name: flat[at].view(shape) for name, (at, shape) in self._slices.items()}

    def optimizer_state(self) -> dict[str, dict[str, Tensor]]:
        """Returns the optimizer's per-weight state as state name -> parameter name -> values."""
        return {key: self.named(value) for key, value in self.state.items() if value.dim()}

    def take_losses(self) -> Tensor:
        """Returns the training losses since the last call, one a step, and forgets them."""
        losses, self.losses = self.losses, []
        return torch.stack(losses).double().cpu() if losses else torch.empty(0, dtype=torch.float64)

    def _flat_mask(self, mask: Mask) -> Tensor:
        flat = torch.ones_like(self.weights)
        views = self.named(flat)
        for name, kept in mask.tensors.items():
            if name not in views or views[name].shape != kept.shape:
                raise LthError("the mask does not fit the model", at=name, value=tuple(kept.shape))
            views[name].copy_(kept)
        return flat


def train(trainees: Sequence[Trainee], batches: Batches, moments: Collection[int], stop: Event) -> Iterator[int]:
    """Yields each of `moments` (optimizer steps) as it is reached, and the step at which `stop` was seen.

    Every trainee takes part from its own step to its last; each steps in turn on the same batch, which
    leaves its weights bit for bit what they would be alone.
    """
    step = min(trainee.step for trainee in trainees)
    last = max(trainee.last_step for trainee in trainees)
    while step < last:
        x, y = batches.batch_at(step)
        for trainee in trainees:
            if trainee.step == step < trainee.last_step:
                trainee.advance(x, y)
        step += 1
        if stop.is_set():
            yield step
            return
        if step in moments:
            yield step


def _generator(device: torch.device) -> torch.Generator:
    """The generator that dropout on `device` draws from."""
    if device.type == "cuda":
        return torch.cuda.default_generators[device.index or 0]
    return torch.default_generator


def _flatten(model: nn.Module) -> tuple[Tensor, Tensor, dict[str, tuple[slice, torch.Size]]]:
    """Moves the parameters into one flat buffer each for values and gradients, and makes them views of it."""
    parameters = dict(model.named_parameters())
    if any(parameter.dtype != torch.float32 for parameter in parameters.values()):
        raise LthError("the model has parameters that are not float32", at=type(model).__name__)
    flat = torch.cat([parameter.data.flatten() for parameter in parameters.values()])
    gradient = torch.zeros_like(flat)
    slices, at = {}, 0
    for name, parameter in parameters.items():
        part = slice(at, at := at + parameter.numel())
        slices[name] = (part, parameter.shape)
        parameter.data = flat[part].view(parameter.shape)
        parameter.grad = gradient[part].view(parameter.shape)
    return flat, gradient, slices
