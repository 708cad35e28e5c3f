"""Narrower dense networks: what a ticket has to beat at as many parameters, or as many multiply-adds."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import torch
from torch import nn

from lth.errors import ModelError
from lth.models.prunable import multiply_adds as multiply_adds_of
from lth.models.registry import MODELS, build, constructor
from lth.spec.schema import Model

STEP = 10**6  # widths are whole millionths: finer than a unit of any layer, and short in a spec


def narrower(
    model: Model, input_shape: tuple[int, int, int], classes: int,
    *, parameters: int | None = None, multiply_adds: int | None = None,
) -> Model:  # fmt: skip
    """Returns `model` at the `width_multiplier` that gives the largest network that is not above the goal.

    The goal is one of `parameters`, of all kinds, and `multiply_adds` on one input, as
    `lth.models.prunable.multiply_adds` counts them. The multiplier is the largest one of up to six decimals and at
    most the model's own. Raises ModelError where both goals or none are given, for a class of the user's without a
    parameter `width_multiplier`, for a goal below the narrowest network, and as `build` does.
    """
    if (parameters is None) == (multiply_adds is None):
        cure = "Give the parameters, or the multiply-adds."
        raise ModelError("a narrower network has one goal", at="parameters, multiply_adds", cure=cure)
    _check_scalable(model)

    def size(millionths: int) -> int:
        network = _built(_at(model, millionths), input_shape, classes)
        if parameters is None:
            return sum(multiply_adds_of(network, input_shape).values())
        return sum(parameter.numel() for parameter in network.parameters())

    goal = parameters if parameters is not None else multiply_adds
    assert goal is not None
    own = model.arguments.get("width_multiplier", 1.0)
    widest = round(float(own) * STEP)
    if size(widest) <= goal:
        return model
    least = size(1)
    if least > goal:
        what = f"the narrowest {model.name} has {least} {'parameters' if parameters is not None else 'multiply-adds'}"
        raise ModelError(f"{what}, more than the goal", at="model", value=goal, cure="Take a denser ticket.")
    return _at(model, _largest(size, goal, 1, widest))


def _largest(size: Callable[[int], int], goal: int, fits: int, exceeds: int) -> int:
    """The largest whole number whose size, which never falls, is not above the goal; that of `fits` is not."""
    while exceeds - fits > 1:
        middle = (fits + exceeds) // 2
        if size(middle) <= goal:
            fits = middle
        else:
            exceeds = middle
    return fits


def _at(model: Model, millionths: int) -> Model:
    return model.model_copy(update={"arguments": model.arguments | {"width_multiplier": millionths / STEP}})


def _built(model: Model, input_shape: tuple[int, int, int], classes: int) -> nn.Module:
    """The network for counting: one of this package's without memory for its weights, which are not drawn either."""
    plain = model.model_copy(update={"initialization": "default"})
    if model.name not in MODELS:
        return build(plain, input_shape, classes, 0)
    with torch.device("meta"):
        return build(plain, input_shape, classes, 0)


def _check_scalable(model: Model) -> None:
    if "width_multiplier" not in inspect.signature(constructor(model.name)).parameters:
        what = "a narrower network needs a class that takes a width"
        cure = "Give it an argument width_multiplier: float = 1.0 that scales its layers."
        raise ModelError(what, at="model.name", value=model.name, cure=cure)
