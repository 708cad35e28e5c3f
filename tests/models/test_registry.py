from __future__ import annotations

import re
import sys
import types

import pytest
import torch
from torch import nn

from lth.errors import ModelError
from lth.models.registry import MODELS, build
from lth.spec.schema import Model


class Small(nn.Module):
    def __init__(self, inputs: int, classes: int, width: int = 4):
        super().__init__()
        if width < 1:
            raise ValueError("width must be positive")
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(inputs, width), nn.BatchNorm1d(width), nn.Linear(width, classes)
        )
        self.layers[2].eval()

    def forward(self, x):
        return self.layers(x)


@pytest.fixture(autouse=True)
def user_module(monkeypatch):
    module = types.ModuleType("users_networks")
    module.Small, module.number, module.make = Small, 3, lambda: "no network"
    monkeypatch.setitem(sys.modules, "users_networks", module)


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())


NARROW = {name: {"width": 4} for name in MODELS} | {
    "lenet_300_100": {}, "mobilenet_v2": {"width_multiplier": 0.35}, "vit_small": {"dim": 12, "depth": 2}
}  # fmt: skip


@pytest.mark.parametrize("initialization", ["default", "kaiming_normal", "glorot_normal"])
@pytest.mark.parametrize("name", sorted(MODELS))
def test_same_seed_same_bits_different_seeds_differ(name, initialization):
    model = Model(name=name, arguments=NARROW.get(name, {}), initialization=initialization)
    first = build(model, (1, 16, 16), 10, 2**62 + 1)
    torch.randn(3)
    assert same(first, build(model, (1, 16, 16), 10, 2**62 + 1))
    other = build(model, (1, 16, 16), 10, 5)
    for parameter, weight in zip(first.parameters(), other.parameters(), strict=True):
        assert parameter.ndim < 2 or not torch.equal(parameter, weight)


def test_building_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    build(Model(name="lenet_300_100", initialization="glorot_normal"), (1, 8, 8), 10, 7)
    build(Model(name="users_networks:Small", arguments={"inputs": 64, "classes": 10}), (1, 8, 8), 10, 7)
    assert torch.equal(before, torch.get_rng_state())


def test_users_class_is_called_with_the_arguments_and_keeps_its_modes():
    model = build(
        Model(name="users_networks:Small", arguments={"inputs": 64, "classes": 10, "width": 6}), (1, 8, 8), 10, 0
    )
    assert isinstance(model, Small)
    assert model.layers[1].weight.shape == (6, 64)
    assert model.training
    assert not model.layers[2].training
    assert model.layers[2].num_batches_tracked == 0


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        (
            "lenet",
            {},
            "model.name: no such model (found 'lenet'). Take one of: lenet_300_100, conv_2, conv_4, conv_6, vgg_16,",
        ),
        ("vgg", {}, "resnet_50, mobilenet_v2, vit_small; or your own as "),
        ("conv_6", {"depth": 3}, "The arguments of conv_6 are: width, width_multiplier."),
        ("resnet_18", {"depth": 3}, "The arguments of resnet_18 are: width, small_images, width_multiplier."),
        ("vit_small", {"layers": 3}, "of vit_small are: patch, dim, depth, heads, mlp, dropout, width_multiplier."),
        ("no_such_module_here:Net", {}, "cannot import 'no_such_module_here'"),
        (
            "users_networks:Big",
            {},
            "users_networks has no class 'Big' (found 'users_networks:Big'). Its networks are: Small.",
        ),
        ("users_networks:number", {}, "has no class 'number'"),
        ("users_networks:make", {}, "users_networks:make gave no torch.nn.Module (found 'str')"),
        ("mobilenet_v2", {"depth": 3}, "The arguments of mobilenet_v2 are: width_multiplier, stem_stride, dropout."),
        ("lenet_300_100", {"width": 3}, "The arguments of lenet_300_100 are: width_multiplier."),
        ("users_networks:Small", {"inputs": 64}, "The arguments of users_networks:Small are: inputs, classes, width."),
        ("users_networks:Small", {"inputs": 64, "classes": 10, "width": 0}, "ValueError: width must be positive"),
        ("users_networks:Small", {"inputs": 63, "classes": 10}, "cannot take the data, images of shape (1, 8, 8)"),
        ("users_networks:Small", {"inputs": 64, "classes": 9}, "the data has 10 classes"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_exists(name, arguments, message):
    with pytest.raises(ModelError, match=re.escape(message)):
        build(Model(name=name, arguments=arguments), (1, 8, 8), 10, 0)
