"""Seeded initialisation of a network's weights."""

from __future__ import annotations

from collections.abc import Callable

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


Draw = Callable[[Tensor, torch.Generator], None]
INITIALIZATIONS: dict[str, Draw | None] = {
    "default": None,
    "kaiming_normal": _kaiming_normal,
    "glorot_normal": _glorot_normal,
}


def initialize(model: nn.Module, name: str, generator: torch.Generator) -> nn.Module:
    """Returns `model`, initialised in place: "default" leaves what its class drew.

    The others draw every convolution, linear and attention weight from `generator`, in module order, set their
    biases to 0, and reset norms to weight 1, bias 0 and fresh statistics. The projections of query, key and
    value are drawn each by itself, also where one parameter holds them. Other parameters keep the class's values.
    """
    draw = INITIALIZATIONS[name]
    if draw is None:
        return model
    for module in model.modules():
        if isinstance(module, _ConvNd | nn.Linear):
            draw(module.weight, generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.MultiheadAttention):
            _draw_attention(module, draw, generator)
        elif isinstance(module, NORMS):
            _reset_norm(module)
    return model


def kaiming_fan_out(model: nn.Module) -> None:
    """Returns nothing; draws the convolutions as the ImageNet recipes do: variance 2 / fan-out, biases 0."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _draw_attention(module: nn.MultiheadAttention, draw: Draw, generator: torch.Generator) -> None:
    """The input projections; the output projection is a linear layer of its own."""
    if module.in_proj_weight is None:
        parts = (module.q_proj_weight, module.k_proj_weight, module.v_proj_weight)
    else:
        parts = module.in_proj_weight.detach().chunk(3)
    for part in parts:
        draw(part, generator)
    if module.in_proj_bias is not None:
        nn.init.zeros_(module.in_proj_bias)


def _reset_norm(module: nn.Module) -> None:
    if isinstance(module, _NormBase):
        module.reset_running_stats()
    for name, value in (("weight", 1.0), ("bias", 0.0)):
        parameter = getattr(module, name, None)
        if parameter is not None:
            nn.init.constant_(parameter, value)
