"""Linear mode connectivity: error and loss along the straight line between two trained networks."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lth.data.loader import Images, Part
from lth.data.order import permutation, stream_seed
from lth.errors import LthError
from lth.training.evaluate import evaluate
from lth.training.precision import autocast

Way = Literal["interpolated", "re-estimated"]
WAYS: tuple[Way, ...] = get_args(Way)
PARTS: tuple[Part, ...] = get_args(Part)
POINTS = 30
BATCHES = 50
STABLE = 0.02


@dataclass(frozen=True)
class Line:
    """Error (1 - top-1, a fraction) and mean loss (nats) at evenly spaced points from one network to another."""

    error: tuple[float, ...]
    loss: tuple[float, ...]

    @property
    def instability(self) -> float:
        """Returns the largest error on the line minus the mean error of its ends (Frankle et al. 2020, section 2)."""
        return max(self.error) - (self.error[0] + self.error[-1]) / 2

    @property
    def loss_barrier(self) -> float:
        """Returns the largest loss on the line minus the mean loss of its ends."""
        return max(self.loss) - (self.loss[0] + self.loss[-1]) / 2

    def as_json(self) -> dict[str, list[float | None]]:
        """Returns error and loss as JSON values; a loss that overflowed has none."""
        return {"error": list(self.error), "loss": [one if math.isfinite(one) else None for one in self.loss]}

    @classmethod
    def of_json(cls, value: Mapping[str, Any]) -> Line:
        """Returns the line that `as_json` wrote."""
        return cls(tuple(value["error"]), tuple(math.inf if one is None else one for one in value["loss"]))


@dataclass(frozen=True)
class Barrier:
    """The lines between two networks, by what became of the batch-norm statistics and by part of the data.

    A network without batch norm has the same line both ways.
    """

    lines: Mapping[Way, Mapping[Part, Line]]
    batch_norm: bool

    def instability(self, way: Way, part: Part) -> float:
        """Returns the instability, a fraction: 0.02 is two percentage points of error."""
        return self.lines[way][part].instability


def barrier(
    model: nn.Module, first: Mapping[str, Tensor], second: Mapping[str, Tensor], resident: Images,
    *, points: int = POINTS, ways: Sequence[Way] = WAYS, parts: Sequence[Part] = PARTS,
    batches: int = BATCHES, precision: str = "fp32",
) -> Barrier:  # fmt: skip
    """Returns error and loss of `model` at `points` evenly spaced states from `first` to `second`, both included.

    At each point the batch-norm statistics are interpolated like the weights, or re-estimated (`re_estimate`) for
    these weights; integers, such as the number of batches seen, are those of `first`. The model keeps its own
    state and mode. Raises LthError for fewer than two points and for states that do not fit each other.
    Source: Frankle et al. 2020, "Linear mode connectivity and the lottery ticket hypothesis", section 2.
    """
    _check(first, second, points)
    norms = bool(batch_norms(model))
    device = next(iter(model.state_dict().values())).device
    start, end = ({name: value.to(device) for name, value in state.items()} for state in (first, second))
    wanted: tuple[Way, ...] = tuple(ways) if norms else ("interpolated",)
    found: dict[Way, dict[Part, list[tuple[float, float]]]] = {way: {part: [] for part in parts} for way in wanted}
    with _kept(model):
        for position in range(points):
            for way in wanted:
                model.load_state_dict(between(start, end, position / (points - 1)))
                if way == "re-estimated":
                    re_estimate(model, resident, batches, precision)
                for part in parts:
                    scores = evaluate(model, resident, part, precision)
                    found[way][part].append((1 - scores.top1, scores.loss))
    if not norms:
        found = dict.fromkeys(ways, found["interpolated"])
    return Barrier({way: {part: _line(row) for part, row in rows.items()} for way, rows in found.items()}, norms)


def _line(scored: Sequence[tuple[float, float]]) -> Line:
    return Line(tuple(error for error, _ in scored), tuple(loss for _, loss in scored))


def between(first: Mapping[str, Tensor], second: Mapping[str, Tensor], position: float) -> dict[str, Tensor]:
    """Returns the state at `position` in [0, 1] on the line from `first` to `second`, whose ends are exact."""
    return {
        name: torch.lerp(value, second[name], position) if value.is_floating_point() else value
        for name, value in first.items()
    }


def batch_norms(model: nn.Module) -> list[_BatchNorm]:
    """Returns the batch norms of the network that keep running statistics."""
    return [one for one in model.modules() if isinstance(one, _BatchNorm) and one.running_mean is not None]


@torch.no_grad()
def re_estimate(model: nn.Module, resident: Images, batches: int = BATCHES, precision: str = "fp32") -> None:
    """Returns nothing; every batch norm has the plain average of its statistics over training batches.

    At most `batches` whole ones of the training's size, in one fixed order and not augmented; all but the batch
    norms is in evaluation mode, in which the model is left.
    """
    norms = batch_norms(model)
    momenta = [norm.momentum for norm in norms]
    model.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch's word for the cumulative average
        norm.train()
    for images in _images(resident, batches):
        with autocast(images.device, precision):
            model(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()


def _images(resident: Images, batches: int) -> Iterator[Tensor]:
    """A fixed shuffle: by increasing id, many data sets have one class after the other."""
    order = permutation(stream_seed(0, "statistics"), 0, resident.train_examples)
    size = resident.data.batch_size
    for batch in range(min(batches, resident.steps_per_epoch)):
        positions = torch.from_numpy(order[batch * size : (batch + 1) * size])
        yield resident.gather(positions.to(resident.device), None)


@contextmanager
def _kept(model: nn.Module) -> Generator[None]:
    """Gives the model its state and modes back at the end."""
    state = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        model.load_state_dict(state)
        for module, mode in modes:
            module.training = mode


def _check(first: Mapping[str, Tensor], second: Mapping[str, Tensor], points: int) -> None:
    if points < 2:
        raise LthError("a line has two ends", at="points", value=points, cure="Take at least 2 points; 30 are usual.")
    shapes = [{name: tuple(value.shape) for name, value in state.items()} for state in (first, second)]
    if shapes[0] != shapes[1]:
        odd = sorted({name for name, _ in shapes[0].items() ^ shapes[1].items()})
        cure = "Only two states of one network have a line between them."
        raise LthError("the states differ in names or shapes", value=odd, cure=cure)
