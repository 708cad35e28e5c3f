"""Seeded initialisation of a network's weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)


def _kaiming_normal(weight: Tensor, generator: torch.Generator) -> None:
    """He et al. 2015, equation 10: variance 2 / fan-in."""
    nn.init.kaiming_normal_(weight, nonlinearity="relu", generator=generator)


def _glorot_normal(weight: Tensor, generator: torch.Generator) -> None:
    """Glorot & Bengio 2010, the normal form: variance 2 / (fan-in + fan-out)."""
    nn.init.xavier_normal_(weight, generator=generator)


INITIALIZATIONS = {"default": None, "kaiming_normal": _kaiming_normal, "glorot_normal": _glorot_normal}


def initialize(model: nn.Module, name: str, generator: torch.Generator) -> nn.Module:
    """Returns `model`, initialised in place: "default" leaves what its class drew.

    The others draw every convolution and linear weight from `generator`, in module order, set their biases
    to 0, and reset norms to weight 1, bias 0 and fresh statistics. Other parameters keep the class's values.
    """
    draw = INITIALIZATIONS[name]
    if draw is None:
        return model
    for module in model.modules():
        if isinstance(module, _ConvNd | nn.Linear):
            draw(module.weight, generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, NORMS):
            _reset_norm(module)
    return model


def _reset_norm(module: nn.Module) -> None:
    if isinstance(module, _NormBase):
        module.reset_running_stats()
    for name, value in (("weight", 1.0), ("bias", 0.0)):
        parameter = getattr(module, name, None)
        if parameter is not None:
            nn.init.constant_(parameter, value)
