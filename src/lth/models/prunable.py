"""Which weights of a network are prunable, at which rate, and why the others are not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from lth.errors import ModelError
from lth.models.weights import ROLES, roles, weighted_layers
from lth.spec.schema import Prune


@dataclass(frozen=True)
class Layer:
    """A convolution, linear or attention weight, by its parameter name; `excluded` says why it stays dense, if so."""

    name: str
    role: str
    shape: tuple[int, ...]
    rate: float
    excluded: str | None

    @property
    def size(self) -> int:
        return prod(self.shape)


def layers(model: nn.Module, prune: Prune) -> tuple[Layer, ...]:
    """Returns every weight of `weighted_layers` in module order, with its role, rate and reason of exclusion.

    `exclude` and `rates` name roles, or shell patterns of parameter or module names; an exclusion outweighs
    a rate. Raises ModelError for a name that matches nothing, two rates for one layer, nothing left to
    prune, and weights that cannot be masked by name (see `weighted_layers`).
    """
    found = weighted_layers(model)
    if not found:
        cure = "Prunable are torch.nn.Linear, Conv1d to Conv3d, ConvTranspose1d to 3d and MultiheadAttention."
        raise ModelError("no convolution, linear or attention layer", at="model", value=type(model).__name__, cure=cure)
    role = roles(found)
    _check_names(prune, role)
    shapes = {name: tuple(model.get_parameter(name).shape) for name in found}
    table = tuple(
        Layer(name, kind, shapes[name], _rate(name, kind, prune), _excluded(name, kind, prune))
        for name, kind in role.items()
    )
    if all(layer.excluded for layer in table):
        raise ModelError("every layer is excluded", at="prune.exclude", value=prune.exclude, cure="Leave one to prune.")
    return table


def prunable(model: nn.Module, prune: Prune) -> dict[str, float]:
    """Returns the rate of every layer that is not excluded, by parameter name, in module order; raises as `layers`."""
    return {layer.name: layer.rate for layer in layers(model, prune) if layer.excluded is None}


def multiply_adds(model: nn.Module, input_shape: tuple[int, ...]) -> dict[str, int]:
    """Returns the multiply-adds of each weight of `weighted_layers` on one input, 0 where it is not called.

    `input_shape` is (channels, height, width). The model runs once in evaluation mode and is left as it was. The
    products of queries, keys and values among themselves belong to no weight and are not counted.
    """
    found = weighted_layers(model)
    counts = dict.fromkeys(found, 0)
    handles = [
        module.register_forward_hook(_counter(counts, name, model.get_parameter(name).numel()), with_kwargs=True)
        for name, module in found.items()
    ]
    modes = [(module, module.training) for module in model.modules()]
    first = next(model.parameters())
    try:
        with torch.no_grad():
            model.eval()(torch.zeros(1, *input_shape, device=first.device, dtype=first.dtype))
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes:
            module.training = mode
    return counts


def scope_table(model: nn.Module, prune: Prune, input_shape: tuple[int, ...]) -> list[dict[str, Any]]:
    """Returns the rows of `lth scope`: what is pruned, what is not and why, adding up to all parameters.

    Keys: layer, role, shape, weights, share (of all parameters, 0 to 1), multiply_adds, prunable ("yes" or
    "no: why"), rate (None where not prunable). Raises as `layers`.
    """
    total = sum(parameter.numel() for parameter in model.parameters())
    table, costs = layers(model, prune), multiply_adds(model, input_shape)
    rows = [
        _row(
            layer.name, layer.role, layer.shape, layer.size, total, costs[layer.name],
            f"no: {layer.excluded}" if layer.excluded else "yes", None if layer.excluded else layer.rate,
        )
        for layer in table
    ]  # fmt: skip
    rest = {name: tuple(value.shape) for name, value in model.named_parameters() if name not in costs}
    for name, shape in rest.items():
        if len(shape) > 1:
            why = "no: not the weight of a convolution, linear or attention layer"
            rows.append(_row(name, "", shape, prod(shape), total, 0, why, None))
    small = sum(prod(shape) for shape in rest.values() if len(shape) < 2)
    if small:
        rows.append(_row("biases and norms", "", (), small, total, 0, "no: never pruned", None))
    return rows


def _row(
    layer: str, role: str, shape: tuple[int, ...], weights: int, total: int, cost: int, answer: str, rate: float | None
) -> dict[str, Any]:
    return {
        "layer": layer, "role": role, "shape": list(shape), "weights": weights, "share": weights / total,
        "multiply_adds": cost, "prunable": answer, "rate": rate,
    }  # fmt: skip


def _counter(counts: dict[str, int], name: str, weights: int) -> Callable[..., None]:
    def count(module: Any, inputs: tuple[Tensor, ...], keywords: dict[str, Any], output: Any) -> None:
        # A weight works once per output position; in a transposed convolution, once per input position.
        if isinstance(module, nn.MultiheadAttention):
            counts[name] += _projected(name, weights, inputs, keywords)
        elif isinstance(module, nn.Linear):
            counts[name] += output.numel() // module.out_features * weights
        else:
            given = inputs[0] if inputs else keywords["input"]
            counts[name] += prod((given if module.transposed else output).shape[2:]) * weights

    return count


def _projected(name: str, weights: int, inputs: tuple[Tensor, ...], keywords: dict[str, Any]) -> int:
    """The multiply-adds of one weight of an attention: counted here, as its projections are not called as modules."""
    given = dict(zip(("query", "key", "value"), inputs, strict=False)) | keywords
    tokens = {part: given[part].numel() // given[part].shape[-1] for part in ("query", "key", "value")}
    attribute = name.rpartition(".")[2]
    if attribute == "in_proj_weight":
        return sum(tokens.values()) * weights // 3
    return tokens[{"k_proj_weight": "key", "v_proj_weight": "value"}.get(attribute, "query")] * weights


def _spellings(name: str) -> Iterator[str]:
    """The parameter name, then the names of its module and of the modules around it."""
    while name:
        yield name
        name = name.rpartition(".")[0]


def _names(key: str, name: str, role: str) -> bool:
    return key == role or any(fnmatchcase(spelling, key) for spelling in _spellings(name))


def _excluded(name: str, role: str, prune: Prune) -> str | None:
    return next((f"excluded by {key!r}" for key in prune.exclude if _names(key, name, role)), None)


def _rate(name: str, role: str, prune: Prune) -> float:
    matching = {key: rate for key, rate in prune.rates.items() if _names(key, name, role)}
    if len(set(matching.values())) > 1:
        cure = "Leave one that matches it."
        raise ModelError(f"several rates for {name}", at="prune.rates", value=matching, cure=cure)
    return next(iter(matching.values()), 1.0)


def _check_names(prune: Prune, role: dict[str, str]) -> None:
    for section, keys in (("exclude", prune.exclude), ("rates", prune.rates)):
        for key in keys:
            if not any(_names(key, name, kind) for name, kind in role.items()):
                present = [kind for kind in ROLES if kind in role.values()]
                names = ", ".join(list(role)[:8]) + " ..." * (len(role) > 8)
                cure = f"Roles in this model: {', '.join(present)}; layers: {names}"
                raise ModelError("matches no layer of the model", at=f"prune.{section}", value=key, cure=cure)
