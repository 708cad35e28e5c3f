"""Effective density: the weights that lie on a path from input to output."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from torch.nn.modules.conv import _ConvNd
from torch.overrides import TorchFunctionMode

from lth.pruning.mask import Mask

# Functions that give their first argument back, so that only the connections count.
IDENTITY = frozenset((
    "relu", "relu6", "hardtanh", "leaky_relu", "rrelu", "prelu", "elu", "selu", "celu", "gelu", "silu", "mish",
    "softplus", "softsign", "sigmoid", "logsigmoid", "tanh", "hardswish", "hardsigmoid", "threshold", "clamp",
    "log_softmax", "dropout", "alpha_dropout", "feature_alpha_dropout", "dropout1d", "dropout2d",
    "dropout3d", "batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm", "local_response_norm",
))  # fmt: skip
POOLING = ("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode")
AVERAGE = {
    "max_pool1d": functional.avg_pool1d,
    "max_pool2d": functional.avg_pool2d,
    "max_pool3d": functional.avg_pool3d,
}
AVERAGE_TO_SIZE = {
    "adaptive_max_pool1d": functional.adaptive_avg_pool1d,
    "adaptive_max_pool2d": functional.adaptive_avg_pool2d,
    "adaptive_max_pool3d": functional.adaptive_avg_pool3d,
}
PARTS = ("query", "key", "value")


def effective_density(model: nn.Module, mask: Mask, input_shape: Sequence[int]) -> float:
    """Returns the share of the mask's weights that are kept and lie on a path of kept weights from input to output.

    `input_shape` is (channels, height, width). The network, untouched, is run once on ones in float64 with
    every weight positive where kept, biases 0, norms and activations the identity, maxima means: a weight
    is live where its gradient is not 0 (Tanaka et al. 2020, section 5; Vysogorets & Kempe 2021, section 3).
    In attention every token reaches every other, so values stay live where all queries or keys are pruned, but
    not the other way round; learnt tokens and positions count as inputs. 1 for a mask over no weights.
    """
    if not mask.total:
        return 1.0
    values = _path_weights(model, mask)
    names = list(mask.tensors)
    device = values[names[0]].device
    ones = torch.ones(1, *input_shape, dtype=torch.float64, device=device)
    modes = [(module, module.training) for module in model.modules()]
    try:
        with torch.enable_grad(), _Paths():
            output = functional_call(model.eval(), values, (ones,))
        gradients = torch.autograd.grad(output.sum(), [values[name] for name in names], allow_unused=True)
    finally:
        for module, mode in modes:
            module.training = mode
    live = 0
    for name, gradient in zip(names, gradients, strict=True):
        if gradient is not None:
            live += int((gradient.cpu().ne(0) & mask.tensors[name]).count_nonzero())
    return live / mask.total


class _Paths(TorchFunctionMode):
    """Replaces activations, norms and maxima while a network runs, called as modules or as functions."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name, options = getattr(func, "__name__", "").rstrip("_"), dict(kwargs or {})
        if name in IDENTITY and args:
            return args[0]
        if name in AVERAGE:
            given = dict(zip(POOLING, args, strict=False)) | options
            if set(torch.atleast_1d(torch.tensor(given.pop("dilation", 1))).tolist()) == {1}:
                return AVERAGE[name](**{key: given[key] for key in POOLING if given.get(key) is not None})
        if name in AVERAGE_TO_SIZE:
            return AVERAGE_TO_SIZE[name](*args[:2])
        if name == "softmax" and args:
            return _attended(args[0])
        if name == "scaled_dot_product_attention":
            query, key, value = ((dict(zip(PARTS, args, strict=False)) | options)[part] for part in PARTS)
            return _attended(query @ key.mT) @ value
        if name == "multi_head_attention_forward":
            return _multi_head_attention(inspect.signature(func).bind(*args, **options).arguments)
        return func(*args, **options)


def _attended(scores: Tensor) -> Tensor:
    """Returns attention weights that are even where scores are 0, as a softmax's, and rise with the scores.

    The scores go over their maximum: those of one block would else grow with the cube of the block before.
    """
    most = scores.detach().amax()
    return (1 + scores / most.where(most > 0, 1)) / scores.shape[-1]


def _multi_head_attention(given: Mapping[str, Any]) -> tuple[Tensor, Tensor | None]:
    """Returns what torch's function of this name does, without biases and masks; (tokens, [batch,] features).

    torch calls the parts of its own function out of sight of a TorchFunctionMode.
    """
    if given.get("use_separate_proj_weight"):
        projections = [given[f"{part[0]}_proj_weight"] for part in PARTS]
    else:
        projections = given["in_proj_weight"].chunk(3)
    query, key, value = (
        functional.linear(given[part], weight).unflatten(-1, (given["num_heads"], -1)).movedim(0, -2)
        for part, weight in zip(PARTS, projections, strict=True)
    )
    weights = _attended(query @ key.mT)
    output = functional.linear((weights @ value).movedim(-2, 0).flatten(-2), given["out_proj_weight"])
    if not given.get("need_weights", True):
        return output, None
    return output, weights.mean(-3) if given.get("average_attn_weights", True) else weights


def _path_weights(model: nn.Module, mask: Mask) -> dict[str, Tensor]:
    """Parameters and buffers in float64: masks and ones, each row over its sum so that deep networks stay in range."""
    transposed = {
        f"{name}.weight" for name, module in model.named_modules() if isinstance(module, _ConvNd) and module.transposed
    }
    values: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            values[name] = torch.zeros(parameter.shape, dtype=torch.float64, device=parameter.device)
            continue
        kept = mask.tensors.get(name)
        value = torch.ones(parameter.shape, dtype=torch.float64) if kept is None else kept.double()
        if value.ndim > 1:
            rows = [axis for axis in range(value.ndim) if axis != (1 if name in transposed else 0)]
            value /= value.sum(rows, keepdim=True).clamp(min=1)
        values[name] = value.to(parameter.device).requires_grad_(kept is not None)
    return values
