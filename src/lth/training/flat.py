"""The parameters of a network as one flat buffer, each parameter a view of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lth.errors import LthError


@dataclass(frozen=True)
class Place:
    """Where a parameter lies in a flat buffer, its shape, and whether its channels come last in memory."""

    part: slice
    shape: torch.Size
    channels_last: bool

    def of(self, flat: Tensor) -> Tensor:
        """Returns the view of `flat` that is this parameter."""
        if not self.channels_last:
            return flat[self.part].view(self.shape)
        outputs, inputs, height, width = self.shape
        return flat[self.part].view(outputs, height, width, inputs).permute(0, 3, 1, 2)


@dataclass(frozen=True)
class Flat:
    """All parameters of a network in one buffer `weights`; the first `decayed` elements are under weight decay."""

    weights: Tensor
    gradient: Tensor
    places: dict[str, Place]
    decayed: int

    def named(self, flat: Tensor) -> dict[str, Tensor]:
        """Returns the views of a buffer laid out as `weights`, by parameter name."""
        return {name: place.of(flat) for name, place in self.places.items()}


def flatten(
    model: nn.Module, *, channels_last: bool = False, decay_norm_and_bias: bool = True, gradient: Tensor | None = None
) -> Flat:
    """Returns the flat buffers of `model`, whose parameters become views of them.

    Without `decay_norm_and_bias` the parameters of one dimension come last. `gradient` is the memory of
    another network of the same size, to be used in turns. Raises LthError unless all parameters are
    float32, or all float64, and trained.
    """
    parameters = dict(model.named_parameters())
    kinds = {parameter.dtype for parameter in parameters.values()}
    if len(kinds) != 1 or not kinds <= {torch.float32, torch.float64}:
        found = ", ".join(sorted(str(kind) for kind in kinds)) or "no parameters"
        raise LthError("the model has parameters that are not float32", at=type(model).__name__, value=found)
    if frozen := [name for name, parameter in parameters.items() if not parameter.requires_grad]:
        cure = "Register what is not to be trained as buffers: weight decay would move it."
        raise LthError(
            "the model has parameters that are not trained", at=type(model).__name__, value=frozen, cure=cure
        )
    if not decay_norm_and_bias:
        parameters = dict(sorted(parameters.items(), key=lambda item: item[1].dim() < 2))
    places, at, decayed = {}, 0, 0
    for name, parameter in parameters.items():
        last = channels_last and parameter.dim() == 4
        places[name] = Place(slice(at, at := at + parameter.numel()), parameter.shape, last)
        decayed = at if decay_norm_and_bias or parameter.dim() > 1 else decayed
    first = next(iter(parameters.values()))
    weights = torch.empty(at, dtype=first.dtype, device=first.device)
    gradient = torch.zeros_like(weights) if gradient is None else gradient
    for name, parameter in parameters.items():
        view = places[name].of(weights)
        view.copy_(parameter.detach())
        parameter.data = view
    return Flat(weights, gradient, places, decayed)


def flatten_statistics(model: nn.Module) -> Tensor:
    """Returns the floating-point buffers of `model`, such as batch-norm statistics, as one; they become views of it."""
    found = [
        (module, name, buffer)
        for module in model.modules()
        for name, buffer in module.named_buffers(recurse=False)
        if buffer.is_floating_point()
    ]
    kind = next(model.parameters())
    flat = torch.empty(sum(buffer.numel() for _, _, buffer in found), dtype=kind.dtype, device=kind.device)
    at = 0
    for module, name, buffer in found:
        view = flat[at : (at := at + buffer.numel())].view(buffer.shape)
        view.copy_(buffer)
        setattr(module, name, view)
    return flat
