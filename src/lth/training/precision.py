"""Number formats and memory layouts of training."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from lth.spec.recipe import Train

_FULL = nullcontext()


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Returns the context of a forward pass: bf16 where it is safe ("bf16"), or nothing at all.

    Weights, gradients and updates stay float32 (mixed precision, Micikevicius et al. 2018, section 3).
    """
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else _FULL


def channels_last(model: nn.Module, recipe: Train) -> bool:
    """Returns whether the network is laid out with its channels last: "auto" means where it has 2-d convolutions."""
    if recipe.layout != "auto":
        return recipe.layout == "channels_last"
    return any(isinstance(module, nn.Conv2d) for module in model.modules())
