"""The convolution, linear and attention weights of any network, and the role each plays."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize
from torch.nn.utils.prune import BasePruningMethod

from lth.errors import ModelError

ROLES = ("stem", "depthwise", "pointwise", "conv", "attention", "linear", "output")

Weighted = _ConvNd | nn.Linear | nn.MultiheadAttention


def weighted_layers(model: nn.Module) -> dict[str, Weighted]:
    """Returns the convolution, linear and attention layers in module order, by the parameter name of each weight.

    torch.nn.MultiheadAttention stands under several names: its input projections (one parameter for all three,
    or one each) and its output projection. Raises ModelError where a weight cannot be masked by name: it is
    parametrized, carries a torch.nn.utils.prune hook, has no shape yet, or shares its memory with another
    parameter (tied).
    """
    found: dict[str, Weighted] = {}
    for path, module in model.named_modules():
        if isinstance(module, Weighted):
            for weight in _weights(module):
                # An attention comes before its own output projection, which is a linear layer as well.
                found.setdefault(f"{path}.{weight}" if path else weight, module)
    for name in found:
        holder, _, attribute = name.rpartition(".")
        _check_plain(name, model.get_submodule(holder), attribute)
    _check_untied(model, found)
    return found


def roles(found: dict[str, Weighted]) -> dict[str, str]:
    """Returns each layer's role, one of ROLES, by parameter name.

    "attention" are the projections of torch.nn.MultiheadAttention; "output" is the last linear layer outside of
    it; "depthwise" has as many groups as input channels, above 1; "stem" is the first convolution unless that is
    depthwise; "pointwise" has a kernel of 1.
    """
    convolutions = [name for name, module in found.items() if isinstance(module, _ConvNd)]
    linear = [name for name, module in found.items() if isinstance(module, nn.Linear)]

    def role(name: str, module: Weighted) -> str:
        if isinstance(module, nn.MultiheadAttention):
            return "attention"
        if isinstance(module, nn.Linear):
            return "output" if name == linear[-1] else "linear"
        if module.groups == module.in_channels > 1:
            return "depthwise"
        if name == convolutions[0]:
            return "stem"
        return "pointwise" if set(module.kernel_size) == {1} else "conv"

    return {name: role(name, module) for name, module in found.items()}


def _weights(module: Weighted) -> tuple[str, ...]:
    """The names of a layer's weights, below the layer."""
    if not isinstance(module, nn.MultiheadAttention):
        return ("weight",)
    packed = ("in_proj_weight",) if module._qkv_same_embed_dim else ("q_proj_weight", "k_proj_weight", "v_proj_weight")
    return (*packed, "out_proj.weight")


def _check_plain(name: str, module: nn.Module, attribute: str) -> None:
    if parametrize.is_parametrized(module, attribute):
        cure = "Call torch.nn.utils.parametrize.remove_parametrizations on the layer first."
        raise ModelError("the weight is parametrized, so a mask on it would not hold", at=name, cure=cure)
    if any(isinstance(hook, BasePruningMethod) for hook in module._forward_pre_hooks.values()):
        cure = "Call torch.nn.utils.prune.remove on the layer first."
        raise ModelError("the weight is already pruned by a torch.nn.utils.prune hook", at=name, cure=cure)
    if attribute not in module._parameters:
        cure = "Use the layer without weight_norm, spectral_norm or the like."
        raise ModelError("the weight is computed from other parameters", at=name, cure=cure)
    if is_lazy(module.get_parameter(attribute)):
        cure = "Run the model on one example first."
        raise ModelError("the weight has no shape yet (a lazy layer)", at=name, cure=cure)


def _check_untied(model: nn.Module, found: dict[str, Weighted]) -> None:
    # Ranges of memory, not storages: a training loop may keep all parameters as views of one flat buffer.
    spans = sorted(
        (*_span(parameter), name)
        for name, parameter in model.named_parameters(remove_duplicate=False)
        if not is_lazy(parameter) and parameter.numel() and parameter.device.type != "meta"
    )
    end, owner = 0, ""
    for start, stop, name in spans:
        if start < end and (name in found or owner in found):
            what = f"the weight shares its memory with {owner!r} (tied weights), so one mask by name cannot describe it"
            raise ModelError(what, at=name, cure="Give each layer a weight of its own.")
        if stop > end:
            end, owner = stop, name


def _span(tensor: Tensor) -> tuple[int, int]:
    """First and past-the-end address of the elements."""
    start = tensor.data_ptr()
    reach = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return start, start + (reach + 1) * tensor.element_size()
