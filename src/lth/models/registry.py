"""Networks by name: the ones in this package, or the user's own by import path."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from lth.errors import ModelError
from lth.models.conv import ConvN
from lth.models.initialize import initialize
from lth.models.lenet import LeNet300100
from lth.models.mobilenet_v2 import MobileNetV2
from lth.models.resnet import ResNet
from lth.models.resnet_cifar import ResNetCifar
from lth.models.strides import without_narrow_strides
from lth.models.vgg import VGG
from lth.models.vit import VisionTransformer
from lth.spec.imported import imported_class
from lth.spec.schema import Model

MODELS: dict[str, Callable[..., nn.Module]] = {
    "lenet_300_100": LeNet300100,
    "conv_2": partial(ConvN, 2),
    "conv_4": partial(ConvN, 4),
    "conv_6": partial(ConvN, 6),
    "vgg_16": partial(VGG, 16),
    "vgg_19": partial(VGG, 19),
    "resnet_20": partial(ResNetCifar, 20),
    "resnet_56": partial(ResNetCifar, 56),
    "resnet_18": partial(ResNet, 18),
    "resnet_50": partial(ResNet, 50),
    "mobilenet_v2": MobileNetV2,
    "vit_small": VisionTransformer,
}


def build(model: Model, input_shape: tuple[int, int, int], classes: int, seed: int) -> nn.Module:
    """Returns the freshly initialised network, on the CPU: the same bits for the same seed.

    `input_shape` is (channels, height, width). A name from MODELS gets input shape, classes and the
    spec's arguments; "package.module:Class" is called with the arguments alone. torch's own generator is
    seeded for the construction and left as it was. Raises ModelError for a name, an argument or a result
    that does not fit.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        make = constructor(model.name)
        if model.name in MODELS:
            network = _built(make, (input_shape, classes), model)
        else:
            network = _built(make, (), model)
            _check_output(network, input_shape, classes, model.name)
    network = without_narrow_strides(network)
    return initialize(network, model.initialization, torch.Generator().manual_seed(seed))


def constructor(name: str) -> Callable[..., Any]:
    """Returns what makes the network of a spec's `model.name`; raises ModelError for a name that nothing has."""
    if ":" in name:
        return _imported(name)
    if name not in MODELS:
        known = ", ".join(MODELS)
        cure = f'Take one of: {known}; or your own as "package.module:Class".'
        raise ModelError("no such model", at="model.name", value=name, cure=cure)
    return MODELS[name]


def _imported(path: str) -> Callable[..., Any]:
    def refused(what: str, cure: str) -> ModelError:
        return ModelError(what, at="model.name", value=path, cure=cure)

    return imported_class(path, refused, nn.Module)


def _built(make: Callable[..., nn.Module], given: Sequence[Any], model: Model) -> nn.Module:
    signature = inspect.signature(make)
    try:
        signature.bind(*given, **model.arguments)
    except TypeError as problem:
        accepted = list(signature.parameters)[len(given) :]
        cure = f"The arguments of {model.name} are: {', '.join(accepted) or 'none'}."
        raise ModelError(str(problem), at="model.arguments", value=dict(model.arguments), cure=cure) from problem
    try:
        network = make(*given, **model.arguments)
    except ModelError:
        raise
    except Exception as problem:
        what = f"{model.name} cannot be built: {type(problem).__name__}: {problem}"
        cure = "Check the arguments against the class."
        raise ModelError(what, at="model.arguments", value=dict(model.arguments), cure=cure) from problem
    if not isinstance(network, nn.Module):
        what, found = f"{model.name} gave no torch.nn.Module", type(network).__name__
        cure = "Name a class or function that gives a torch.nn.Module."
        raise ModelError(what, at="model.name", value=found, cure=cure)
    return network


def _check_output(network: nn.Module, input_shape: tuple[int, int, int], classes: int, name: str) -> None:
    """Tries the user's network on two blank images, so that a wrong shape is found before training."""
    modes = [(module, module.training) for module in network.modules()]
    try:
        with torch.no_grad():
            output = network.eval()(torch.zeros(2, *input_shape))
    except Exception as problem:
        what = f"{name} cannot take the data, images of shape {input_shape}: {problem}"
        raise ModelError(what, at="model.arguments", cure="Give it arguments that fit the data.") from problem
    finally:
        for module, mode in modes:
            module.training = mode
    shape = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
    if shape != (2, classes):
        what = f"{name} gave an output of the wrong shape for 2 images"
        cure = f"Return logits of shape (batch, {classes}): the data has {classes} classes."
        raise ModelError(what, at="model.arguments", value=shape, cure=cure)
