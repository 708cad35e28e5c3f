"""The specs that come with `lth`, as `lth init` prints them."""

from __future__ import annotations

from difflib import get_close_matches
from importlib.resources import files

from lth.errors import LthError

PRESETS = {
    "digits_lenet": "handwritten digits of scikit-learn, LeNet-300-100: 500 tickets in minutes on two cores",
    "mnist_lenet": "MNIST, LeNet-300-100, trained as in the reference implementation of the lottery ticket papers",
    "cifar10_resnet20": "CIFAR-10, ResNet-20, trained as in Renda et al. 2020: meant for a GPU",
    "cifar10_vgg16": "CIFAR-10, VGG-16, trained as in Frankle et al. 2020: meant for a GPU",
}


def preset_text(name: str) -> str:
    """Returns the commented TOML of the preset `name`. Raises LthError, naming the presets there are."""
    if name not in PRESETS:
        close = get_close_matches(name, PRESETS, 1)
        cure = f"Did you mean {close[0]}?" if close else f"Choose one of {', '.join(PRESETS)}"
        raise LthError("no such preset", at="lth init", value=name, cure=cure)
    return files("lth.spec").joinpath("presets", f"{name}.toml").read_text(encoding="utf-8")
