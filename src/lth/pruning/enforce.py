"""Pruned weights held at zero in a training loop of one's own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import LBFGS, Optimizer

from lth.errors import LthError
from lth.pruning.mask import Mask
from lth.pruning.names import bare_parameters


class Enforcer:
    """Keeps the pruned weights of `model`, their gradients and their optimizer state exactly 0 until `remove()`.

    Zeroes them at once, then works through the optimizer's own step hooks: gradients are masked before every
    step, weights and state after it. Holds under momentum, Adam and weight decay, for networks inside DDP,
    DataParallel or torch.compile, and after the network moves to another device. Make it after the
    optimizer, once per training. Raises LthError for a mask that does not fit the network, weights that the
    optimizer does not train, and LBFGS, which evaluates gradients inside its step.
    """

    def __init__(self, model: nn.Module, mask: Mask, optimizer: Optimizer):
        if isinstance(optimizer, LBFGS):
            cure = "Take SGD, Adam or another first-order optimizer."
            raise LthError("LBFGS cannot be enforced", at="optimizer", cure=cure)
        weights = _matched(model, mask, optimizer)
        self._weights = list(weights.values())
        self._kept = [_like(weight, mask.tensors[name]) for name, weight in weights.items()]
        self._optimizer = optimizer
        self._clear()
        self._hooks = [
            optimizer.register_step_pre_hook(self._mask_gradients),
            optimizer.register_step_post_hook(self._mask_weights_and_state),
        ]

    def remove(self) -> None:
        """Returns nothing; lets go of the optimizer: the weights stay as they are and move freely from now on."""
        for hook in self._hooks:
            hook.remove()

    @torch.no_grad()
    def _clear(self) -> None:
        # masked_fill, not a product: an old infinity or NaN must go as well, and no -0.0 may come.
        for weight, kept in zip(self._weights, self._kept, strict=True):
            for tensor in (weight, weight.grad, *self._state_of(weight)):
                if tensor is not None:
                    tensor.masked_fill_(kept == 0, 0)

    @torch.no_grad()
    def _mask_gradients(self, *_: Any) -> None:
        self._follow()
        pairs = zip(self._weights, self._kept, strict=True)
        _multiply([(weight.grad, kept) for weight, kept in pairs if weight.grad is not None])

    @torch.no_grad()
    def _mask_weights_and_state(self, *_: Any) -> None:
        pairs = list(zip(self._weights, self._kept, strict=True))
        state = [(tensor, kept) for weight, kept in pairs for tensor in self._state_of(weight)]
        _multiply([(weight.data, kept) for weight, kept in pairs] + state)

    def _state_of(self, weight: Tensor) -> list[Tensor]:
        """The optimizer's tensors that have one value per weight."""
        values = self._optimizer.state.get(weight, {}).values()
        return [value for value in values if isinstance(value, Tensor) and value.shape == weight.shape]

    def _follow(self) -> None:
        """Moves the masks to where the weights are."""
        for index, (weight, kept) in enumerate(zip(self._weights, self._kept, strict=True)):
            if kept.device != weight.device or kept.dtype != weight.dtype:
                self._kept[index] = _like(weight, kept)


def _multiply(pairs: list[tuple[Tensor, Tensor]]) -> None:
    if pairs:
        tensors, kept = [tensor for tensor, _ in pairs], [mask for _, mask in pairs]
        # Masks of the weights' own type: a boolean one is 3 to 7 times slower here.
        torch._foreach_mul_(tensors, kept)  # pyright: ignore[reportPrivateImportUsage]


def _like(weight: Tensor, mask: Tensor) -> Tensor:
    return torch.empty_like(weight, requires_grad=False).copy_(mask)


def _matched(model: nn.Module, mask: Mask, optimizer: Optimizer) -> dict[str, nn.Parameter]:
    parameters = bare_parameters(model)
    trained = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    for name, kept in mask.tensors.items():
        weight = parameters.get(name)
        if weight is None:
            cure = f"The network has: {', '.join(list(parameters)[:8])}{' ...' * (len(parameters) > 8)}."
            raise LthError("the network has no such parameter", at=name, cure=cure)
        if weight.shape != kept.shape:
            found = f"{tuple(kept.shape)}, the weight {tuple(weight.shape)}"
            cure = "Take the network it was made from."
            raise LthError("the mask has another shape than the weight", at=name, value=found, cure=cure)
        if weight.requires_grad and id(weight) not in trained:
            cure = "Make the optimizer from this network's parameters."
            raise LthError("the optimizer does not train this weight", at=name, cure=cure)
    return {name: parameters[name] for name in mask.tensors}
