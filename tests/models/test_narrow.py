from __future__ import annotations

import sys
import types

import pytest
import torch
from torch import nn

from lth.errors import ModelError
from lth.models.narrow import narrower
from lth.models.prunable import multiply_adds
from lth.models.registry import MODELS, build
from lth.spec.schema import Model

SMALL = {
    "lenet_300_100": {}, "conv_2": {"width": 8}, "conv_4": {"width": 8}, "conv_6": {"width": 8},
    "vgg_16": {"width": 8}, "vgg_19": {"width": 8}, "resnet_20": {}, "resnet_56": {"width": 8},
    "resnet_18": {"width": 16, "small_images": True}, "resnet_50": {"width": 8, "small_images": True},
    "mobilenet_v2": {"stem_stride": 1}, "vit_small": {"patch": 8, "dim": 24, "depth": 2},
}  # fmt: skip
SHAPE = (3, 16, 16)
every_network = pytest.mark.parametrize("name", list(MODELS))


def on_paper(model: Model) -> nn.Module:
    with torch.device("meta"):
        return build(model, SHAPE, 10, 0)


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def costs(network: nn.Module) -> int:
    return sum(multiply_adds(network, SHAPE).values())


@every_network
def test_a_multiplier_of_1_is_the_default_bit_for_bit(name):
    plain = build(Model(name=name, arguments=SMALL[name]), SHAPE, 10, 3).state_dict()
    same = build(Model(name=name, arguments=SMALL[name] | {"width_multiplier": 1}), SHAPE, 10, 3).state_dict()
    assert list(plain) == list(same)
    assert all(torch.equal(value, same[key]) for key, value in plain.items())


@every_network
def test_narrow_networks_train_down_to_the_narrowest(name):
    for multiplier in (0.5, 0.13, 1e-6):
        arguments = SMALL[name] | {"width_multiplier": multiplier}
        network = build(Model(name=name, arguments=arguments), SHAPE, 10, 0)
        output = network(torch.randn(4, *SHAPE))
        assert output.shape == (4, 10)
        output.sum().backward()
        assert all(parameter.grad.isfinite().all() for parameter in network.parameters())


@every_network
def test_sizes_never_fall_as_the_width_grows(name):
    widths = (0.05, 0.1, 0.11, 0.3, 0.95, 1.0)
    networks = [on_paper(Model(name=name, arguments=SMALL[name] | {"width_multiplier": width})) for width in widths]
    for size in (parameters, costs):
        found = [size(network) for network in networks]
        assert found == sorted(found)
        assert found[0] < found[-1]


QUICK = ["lenet_300_100", "conv_4", "vgg_16", "resnet_20", "vit_small"]
SIZES = {"parameters": parameters, "multiply_adds": costs}
CASES = [(name, size) for name in MODELS for size in SIZES]
SLOW = [
    (name, size)
    for name, size in CASES
    if name not in QUICK and (size == "multiply_adds" or name in ("resnet_50", "resnet_56"))
]


@pytest.mark.parametrize(
    ("name", "size"),
    [case for case in CASES if case not in SLOW] + [pytest.param(*c, marks=pytest.mark.long) for c in SLOW],
)
def test_the_largest_network_not_above_the_goal(name, size):
    model = Model(name=name, arguments=SMALL[name], initialization="kaiming_normal")
    goal = int(0.3 * SIZES[size](on_paper(model)))
    found = narrower(model, SHAPE, 10, **{size: goal})
    multiplier = found.arguments["width_multiplier"]
    assert found == model.model_copy(update={"arguments": SMALL[name] | {"width_multiplier": multiplier}})
    assert 0 < multiplier < 1
    wider = model.model_copy(update={"arguments": SMALL[name] | {"width_multiplier": round(multiplier + 1e-6, 6)}})
    assert SIZES[size](on_paper(found)) <= goal < SIZES[size](on_paper(wider))


def test_lenet_by_hand():
    """784 - 30 - 10 - 10: 23 550 + 310 + 110 parameters; one unit more in a hidden layer is above the goal."""
    found = narrower(Model(name="lenet_300_100"), (1, 28, 28), 10, parameters=23_970)
    network = build(found, (1, 28, 28), 10, 0)
    assert [layer.out_features for layer in network.children()] == [30, 10, 10]
    assert parameters(network) == 23_970
    below = build(narrower(Model(name="lenet_300_100"), (1, 28, 28), 10, parameters=23_969), (1, 28, 28), 10, 0)
    assert [layer.out_features for layer in below.children()] == [29, 10, 10]


def test_heads_keep_dividing_the_width():
    model = Model(name="vit_small", arguments={"patch": 8, "dim": 24, "heads": 3, "mlp": 50, "width_multiplier": 0.4})
    network = build(model, SHAPE, 10, 0)
    assert network.class_token.shape == (1, 1, 9)
    assert network.encoder.layers[0].mlp[0].out_features == 20


def test_a_goal_that_the_network_meets_changes_nothing_and_its_own_width_is_the_widest():
    model = Model(name="resnet_20", arguments={"width_multiplier": 0.5})
    size = parameters(on_paper(model))
    assert narrower(model, SHAPE, 10, parameters=size) == model
    assert narrower(model, SHAPE, 10, parameters=10 * size) == model
    assert narrower(model, SHAPE, 10, parameters=size - 1).arguments["width_multiplier"] < 0.5


class Wide(nn.Module):
    """A network of the user's whose sizes are plain numbers, which no tensor without memory has."""

    def __init__(self, width_multiplier: float = 1.0):
        super().__init__()
        units = max(1, int(torch.tensor(100 * width_multiplier).round().item()))
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, units), nn.ReLU(), nn.Linear(units, 10))

    def forward(self, x):
        return self.layers(x)


class Fixed(Wide):
    def __init__(self):
        super().__init__()


@pytest.fixture
def user_module(monkeypatch):
    module = types.ModuleType("users_networks")
    module.Wide, module.Fixed = Wide, Fixed
    monkeypatch.setitem(sys.modules, "users_networks", module)


@pytest.mark.usefixtures("user_module")
def test_a_class_of_the_users_is_scaled_by_its_own_argument():
    found = narrower(Model(name="users_networks:Wide"), SHAPE, 10, parameters=779 * 42 + 10)
    assert build(found, SHAPE, 10, 0).layers[1].out_features == 42


@pytest.mark.usefixtures("user_module")
def test_what_cannot_be_narrower_is_refused():
    with pytest.raises(
        ModelError, match=r"model\.name: .* takes a width \(found 'users_networks:Fixed'\)\. Give it an"
    ):
        narrower(Model(name="users_networks:Fixed"), SHAPE, 10, parameters=1000)
    with pytest.raises(ModelError, match=r"the narrowest lenet_300_100 has 791 parameters, .* \(found 790\)"):
        narrower(Model(name="lenet_300_100"), SHAPE, 10, parameters=790)
    assert narrower(Model(name="lenet_300_100"), SHAPE, 10, parameters=791).arguments["width_multiplier"] > 0
    with pytest.raises(ModelError, match="the narrowest lenet_300_100 has 779 multiply-adds"):
        narrower(Model(name="lenet_300_100"), SHAPE, 10, multiply_adds=778)
    with pytest.raises(ModelError, match=r"model\.name: no such model \(found 'lenet'\)"):
        narrower(Model(name="lenet"), SHAPE, 10, parameters=790)
    for goals in ({}, {"parameters": 5, "multiply_adds": 5}):
        with pytest.raises(ModelError, match="a narrower network has one goal"):
            narrower(Model(name="lenet_300_100"), SHAPE, 10, **goals)


@every_network
@pytest.mark.parametrize("value", [0, -1.0, True, "half"])
def test_a_multiplier_that_is_no_number_above_0_is_refused(name, value):
    with pytest.raises(ModelError, match=r"model\.arguments\.width_multiplier: outside its range"):
        build(Model(name=name, arguments={"width_multiplier": value}), (3, 32, 32), 10, 0)
