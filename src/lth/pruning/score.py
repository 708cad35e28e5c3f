"""Scores that masks are made from; the lowest are pruned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from lth.errors import LthError
from lth.pruning.allocate import Scope
from lth.pruning.mask import Mask
from lth.pruning.names import convolution_and_linear_weights
from lth.pruning.threshold import masks


def magnitude(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the absolute value of every weight, by name; raises LthError for a weight that is not a number."""
    scores = {name: weight.detach().abs() for name, weight in weights.items()}
    for name, score in scores.items():
        if torch.isnan(score).any():
            raise LthError("a weight is not a number", at=name, cure="The training that made it has diverged.")
    return scores


def magnitude_masks(
    model_or_weights: nn.Module | Mapping[str, Tensor], sparsities: Sequence[float],
    *, scope: Scope = "global", rates: Mapping[str, float] | None = None, names: Iterable[str] | None = None,
    costs: Mapping[str, int] | None = None,
) -> dict[float, Mask]:  # fmt: skip
    """Returns, for each sparsity, the mask that prunes the weights of smallest magnitude.

    From a network: the weights of its convolution, linear and attention layers, or those of `names`. From a mapping:
    all its tensors, which must have two or more dimensions, or those of `names`. `rates` (by parameter
    name) multiplies a layer's sparsity. `scope` says where the kept weights go, see `lth.pruning.allocate.budget`;
    "flops" needs `costs`, the multiply-adds of each layer by parameter name, as
    `lth.models.prunable.multiply_adds(model, input_shape)` counts them. Raises LthError for names that are not
    there, for costs that the scope would ignore, and as `masks` does.
    """
    if costs is not None and scope != "flops":
        cure = 'Leave costs out, or take scope = "flops".'
        raise LthError('only the scope "flops" reads multiply-adds', at="costs", value=f"scope {scope!r}", cure=cure)
    if isinstance(model_or_weights, nn.Module):
        weights: Mapping[str, Tensor] = convolution_and_linear_weights(model_or_weights)
    else:
        weights = model_or_weights
    if names is not None:
        weights = _chosen(weights, list(names))
    elif not isinstance(model_or_weights, nn.Module):
        _refuse_biases(weights)
    if not weights:
        raise LthError(
            "no weights to prune", cure="Prunable are the weights of convolution, linear and attention layers."
        )
    return masks(magnitude(weights), sparsities, scope=scope, rates=rates, costs=costs)


def _chosen(weights: Mapping[str, Tensor], names: Sequence[str]) -> dict[str, Tensor]:
    missing = [name for name in names if name not in weights]
    if missing:
        raise LthError("no such weights", at="names", value=missing, cure=f"There are: {', '.join(list(weights)[:8])}.")
    return {name: weight for name, weight in weights.items() if name in names}


def _refuse_biases(weights: Mapping[str, Tensor]) -> None:
    """A whole state_dict given by mistake would prune biases and norm parameters."""
    odd = [name for name, weight in weights.items() if weight.ndim < 2 or not weight.is_floating_point()]
    if odd:
        cure = "Give the network itself, or say which weights to prune with names=[...]."
        raise LthError("biases and norm parameters are not prunable", value=odd, cure=cure)
