"""One network in training, and the step that it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lth.errors import LthError
from lth.pruning.mask import Mask
from lth.spec.recipe import Train
from lth.training.distributed import ALONE, Group
from lth.training.flat import flatten, flatten_statistics
from lth.training.graph import Graphs
from lth.training.precision import autocast
from lth.training.recipe import AVERAGE, PER_WEIGHT, STATISTICS, State, clip_, fresh_state, learning_rate, update

Clock = Callable[[str], None]


def unclocked(part: str) -> None:
    """Returns nothing; a step that is not timed."""


@dataclass(frozen=True)
class Timing:
    """The steps `first` to `last` (None: the schedule's end) of a training, and how the schedule runs over them.

    It runs from position `first`; a training longer than the schedule stretches it over all its steps; one that is
    `held` keeps the last learning rate of the schedule throughout (fine-tuning).
    """

    first: int = 0
    last: int | None = None
    held: bool = False

    def position(self, step: int, schedule_steps: int) -> int:
        """Returns the place of optimizer step `step` in a schedule of so many steps."""
        if self.held:
            return schedule_steps - 1
        long = self.last is not None and self.last > schedule_steps
        return step * schedule_steps // (self.last or 1) if long else step


class Trainee:
    """One network in training: weights, gradient, mask and optimizer state are flat buffers, the parameters views.

    It boards the loop at `step` and leaves at `last_step`; the schedule is that of the whole training, even where it
    leaves earlier (see `Timing`). The gradient is multiplied by the mask on its way into the flat
    buffer, before clipping and the fused optimizer step: weights, gradient and optimizer state of a pruned
    weight are then exactly 0 at every step. `gradient` is memory that networks of the same size use in turns.
    """

    def __init__(
        self, name: str, model: nn.Module, recipe: Train, steps_per_epoch: int,
        *, timing: Timing | None = None, mask: Mask | None = None, dropout_seed: int = 0,
        channels_last: bool = False, gradient: Tensor | None = None, group: Group = ALONE, graphs: Graphs | None = None,
    ):  # fmt: skip
        self.model, self.recipe, self.steps_per_epoch, self.group = model.train(), recipe, steps_per_epoch, group
        self.schedule_steps = recipe.length.index(steps_per_epoch)
        decay_all = recipe.optimizer.decay_norm_and_bias
        self.flat = flatten(model, channels_last=channels_last, decay_norm_and_bias=decay_all, gradient=gradient)
        self.weights, self.gradient, self.named = self.flat.weights, self.flat.gradient, self.flat.named
        self.statistics = flatten_statistics(model) if recipe.ema or recipe.micro_batch else None
        self.network = torch.compile(model, dynamic=False) if recipe.compile else model
        self._names, self._parameters = zip(*model.named_parameters(), strict=True)
        self.mask: Tensor | None = None
        self.state: State = fresh_state(self.weights, recipe, self.statistics)
        self.graphs, self.captured = graphs, None
        self._generator = _generator(self.weights.device)
        self.board(name, None, timing=timing, mask=mask, dropout_seed=dropout_seed)

    def board(
        self, name: str, state: Mapping[str, Tensor] | None,
        *, timing: Timing | None, mask: Mask | None, dropout_seed: int,
    ) -> None:  # fmt: skip
        """Returns nothing; the trainee is now this ticket, with the weights of `state` (None: its own), all else fresh.

        Raises LthError where the mask does not fit.
        """
        if state is not None:
            self.model.load_state_dict(state)
        self.name, self.dropout_seed, self.losses = name, dropout_seed, list[Tensor]()
        self.timing = timing or Timing()
        self.step = self.first_step = self.timing.first
        self.last_step = self.planned_steps = self.timing.last or self.schedule_steps
        self.last_gradient: Tensor | None = None
        self.remasked = False
        self._load_mask(mask)
        for key, value in fresh_state(self.weights, self.recipe, self.statistics).items():
            self.state[key].copy_(value)

    def advance(self, x: Tensor, y: Tensor, clock: Clock = unclocked) -> None:
        """Returns nothing; takes one optimizer step on the batch."""
        optimizer, schedule = self.recipe.optimizer, self.recipe.schedule
        at = self.timing.position(self.step, self.schedule_steps)
        lr = learning_rate(at, self.schedule_steps, self.steps_per_epoch, optimizer.lr, schedule)
        if self.graphs is not None and self.captured is None:
            self.captured = self.graphs.capture(self, x, y)
        self._generator.manual_seed((self.dropout_seed + self.step) % 2**63)  # torch.manual_seed would be far slower
        self.losses.append(self.captured(x, y, lr) if self.captured else self.take_step(x, y, lr, clock))
        self.step += 1
        if self.step == self.last_step:
            self._arrive()

    def take_step(self, x: Tensor, y: Tensor, lr: float | Tensor, clock: Clock = unclocked) -> Tensor:
        """Returns the loss of the step that it takes: masked gradient, clipping, fused update, moving average."""
        loss = self._gradient_of(x, y, clock)
        if self.recipe.clip_norm is not None:
            clip_(self.gradient, self.recipe.clip_norm)
        update(self.weights, self.gradient, self.state, lr, self.recipe.optimizer, self.flat.decayed)
        for kept, moved in self._averages():
            kept.lerp_(moved, 1 - (self.recipe.ema or 0))
        clock("optimizer")
        return loss

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Lends the network its moving averages, where it keeps any, for the length of a `with` block."""
        pairs = [] if self.step == self.planned_steps else self._averages()
        raw = [moved.clone() for _, moved in pairs]
        for kept, moved in pairs:
            moved.copy_(kept)
        try:
            yield
        finally:
            for (_, moved), value in zip(pairs, raw, strict=True):
                moved.copy_(value)

    def optimizer_state(self) -> dict[str, dict[str, Tensor]]:
        """Returns the per-weight state, moving average included, as state name -> parameter name -> values."""
        return {key: self.named(value) for key, value in self.state.items() if value.shape == self.weights.shape}

    def remask(self, mask: Mask) -> None:
        """Returns nothing; goes on under another mask, with weights and optimizer state of what it prunes at 0."""
        self._load_mask(mask)
        self.remasked = True
        assert self.mask is not None
        for key in PER_WEIGHT:
            if key in self.state:
                self.state[key].mul_(self.mask).add_(0.0)

    def take_losses(self) -> Tensor:
        """Returns the training losses since the last call, one a step, and forgets them."""
        losses, self.losses = self.losses, []
        stacked = self.group.sum_(torch.stack(losses)) if losses else torch.empty(0)
        return stacked.double().cpu()

    def _gradient_of(self, x: Tensor, y: Tensor, clock: Clock) -> Tensor:
        """The mean loss over the batch; its masked gradient is then in `gradient`, summed over all processes."""
        if not self.recipe.micro_batch:
            return self._backward(x, y, 1, True, clock)
        parts = list(zip(x.split(self.recipe.micro_batch), y.split(self.recipe.micro_batch), strict=True))
        assert self.statistics is not None
        before = {name: value.clone() for name, value in self.model.named_buffers()}
        total, summed = len(parts) * self.group.world, torch.zeros_like(self.statistics)
        loss = torch.zeros((), dtype=self.weights.dtype, device=x.device)
        for number, (images, labels) in enumerate(parts, self.group.rank * len(parts)):
            for name, value in self.model.named_buffers():  # each starts from the same statistics, wherever it is done
                value.copy_(before[name])
            self._generator.manual_seed((self.dropout_seed + self.step + (number << 40)) % 2**63)
            loss += self._backward(images, labels, total, images is parts[0][0], clock)
            summed += self.statistics
        self.group.sum_(self.gradient)
        self.statistics.copy_(self.group.sum_(summed).div_(total))
        return loss

    def _backward(self, x: Tensor, y: Tensor, parts: int, first: bool, clock: Clock) -> Tensor:
        with autocast(x.device, self.recipe.precision):
            loss = cross_entropy(self.network(x), y, label_smoothing=self.recipe.label_smoothing)
        loss = loss if parts == 1 else loss / parts
        clock("forward")
        gradients = torch.autograd.grad(loss, self._parameters, materialize_grads=True)
        clock("backward")
        for value, (place, kept) in zip(gradients, self._targets, strict=True):
            if kept is None:
                place.copy_(value) if first else place.add_(value)
            elif first:
                torch.mul(value, kept, out=place)
            else:
                place.addcmul_(value, kept)
        clock("mask")
        return loss.detach()

    def _averages(self) -> list[tuple[Tensor, Tensor]]:
        live = {AVERAGE: self.weights, STATISTICS: self.statistics}
        return [(self.state[key], value) for key, value in live.items() if key in self.state and value is not None]

    def _arrive(self) -> None:
        """Keeps the last gradient for the audit; at the end of training the average becomes the network."""
        self.last_gradient = self.gradient.clone()
        if self.step == self.planned_steps:
            for kept, moved in self._averages():
                moved.copy_(kept)

    def _load_mask(self, mask: Mask | None) -> None:
        """Sets the flat mask, pruned weights to 0, and where each parameter's gradient goes and what multiplies it."""
        masked = {} if mask is None else mask.tensors
        self.mask = None if mask is None else torch.empty_like(self.weights) if self.mask is None else self.mask
        views = {} if self.mask is None else self.named(self.mask.fill_(1))
        for name, kept in masked.items():
            if name not in views or views[name].shape != kept.shape:
                raise LthError("the mask does not fit the model", at=name, value=tuple(kept.shape))
            views[name].copy_(kept)
        if self.mask is not None:
            self.weights.mul_(self.mask).add_(0.0)  # + 0.0 turns -0.0 into 0.0
        places = self.named(self.gradient)
        self._targets = [(places[name], views[name] if name in masked else None) for name in self._names]


def _generator(device: torch.device) -> torch.Generator:
    """The generator that dropout on `device` draws from."""
    if device.type == "cuda":
        return torch.cuda.default_generators[device.index or 0]
    return torch.default_generator
