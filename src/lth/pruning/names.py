"""Parameter names as the bare network has them, whatever wraps it."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.conv import _ConvNd

from lth.errors import ModelError

WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel)


def bare_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Returns the parameters of the network inside DDP, DataParallel and torch.compile, by its own names."""
    bare = _unwrapped(model)
    return {_bare_name(name): parameter for name, parameter in bare.named_parameters(remove_duplicate=False)}


def convolution_and_linear_weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """Returns the weights of the convolution, linear and attention layers by bare parameter name, in module order.

    Those of torch.nn.MultiheadAttention are its input projections and its output projection. Raises ModelError
    where a weight is no plain parameter of its layer (parametrized, or a torch.nn.utils.prune hook) or is tied
    to another layer's: a mask on it would not hold.
    """
    weights: dict[str, nn.Parameter] = {}
    owners: dict[int, str] = {}
    for path, module in _unwrapped(model).named_modules():
        for name in _weights(module):
            at = _bare_name(f"{path}.{name}" if path else name)
            if at in weights:
                continue  # the output projection of an attention is a linear layer too
            weight = _plain(module, name, at)
            owner = owners.setdefault(id(weight), at)
            if owner != at:
                raise ModelError(f"the weight is tied to {owner}", at=at, cure="Give each layer a weight of its own.")
            weights[at] = weight
    return weights


def _weights(module: nn.Module) -> tuple[str, ...]:
    """The names of a layer's prunable weights, below the layer."""
    if isinstance(module, nn.MultiheadAttention):
        packed = module._qkv_same_embed_dim
        inputs = ("in_proj_weight",) if packed else ("q_proj_weight", "k_proj_weight", "v_proj_weight")
        return (*inputs, "out_proj.weight")
    return ("weight",) if isinstance(module, _ConvNd | nn.Linear) else ()


def _plain(module: nn.Module, name: str, at: str) -> nn.Parameter:
    holder, _, attribute = name.rpartition(".")
    if attribute not in module.get_submodule(holder)._parameters:
        cure = "Remove the parametrization or the torch.nn.utils.prune hook first."
        raise ModelError("the weight is computed from other parameters, so a mask would not hold", at=at, cure=cure)
    return module.get_parameter(name)


def _unwrapped(model: nn.Module) -> nn.Module:
    while True:
        if isinstance(model, WRAPPERS):
            model = model.module
        elif isinstance(inner := getattr(model, "_orig_mod", None), nn.Module):
            model = inner
        else:
            return model


def _bare_name(name: str) -> str:
    """Compiled inner modules put a segment of their own into the names below them."""
    return ".".join(part for part in name.split(".") if part != "_orig_mod")
