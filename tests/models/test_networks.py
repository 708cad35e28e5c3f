"""What holds for every network of the registry."""

from __future__ import annotations

import hashlib
import json

import pytest
import torch
from torch import nn

from lth.errors import ModelError
from lth.models.prunable import layers, multiply_adds, scope_table
from lth.models.registry import MODELS, build
from lth.models.weights import roles, weighted_layers
from lth.pruning.effective import effective_density
from lth.pruning.mask import Mask
from lth.pruning.names import convolution_and_linear_weights
from lth.spec.schema import Model, Prune

SMALL = {
    "lenet_300_100": {}, "conv_2": {"width": 4}, "conv_4": {"width": 4}, "conv_6": {"width": 4},
    "vgg_16": {"width": 4}, "vgg_19": {"width": 4}, "resnet_20": {"width": 4}, "resnet_56": {"width": 4},
    "resnet_18": {"width": 4, "small_images": True}, "resnet_50": {"width": 4, "small_images": True},
    "mobilenet_v2": {"width_multiplier": 0.1, "stem_stride": 1},
    "vit_small": {"patch": 8, "dim": 8, "depth": 1, "heads": 2},
}  # fmt: skip
# Parameters and multiply-adds at 3 x 32 x 32 inputs and 10 classes; ImageNet's networks at 224 x 224 and 1000.
SIZES = {
    "lenet_300_100": (953_010, 952_600),
    "conv_2": (4_301_642, 43_780_608),
    "conv_4": (2_425_930, 98_306_560),
    "conv_6": (2_262_602, 153_881_088),
    "vgg_16": (14_728_266, 313_201_664),
    "vgg_19": (20_040_522, 398_136_320),
    "resnet_20": (272_474, 40_813_184),
    "resnet_56": (855_770, 125_747_840),
    "resnet_18": (11_689_512, 1_814_073_344),
    "resnet_50": (25_557_032, 4_089_184_256),
    "mobilenet_v2": (3_504_872, 300_774_272),
    "vit_small": (2_693_578, 173_115_264),
}
IMAGENET = ("resnet_18", "resnet_50", "mobilenet_v2")
# sha256 of the sorted [name, shape] list of torchvision 0.29's own state_dict(); of VGG its `features` alone.
TORCHVISION = {
    "vgg_16": "3e4d9e88cbce56d7e51fba9056cdbd1562179cb3eb86f66b3d8e9885393ff708",
    "vgg_19": "2be9e7a0f9c0af4b60379836072741a9ffe924e29cb42dcdcb766bf6219471ec",
    "resnet_18": "57dd06b2996bc1c8ef30600a4fa9462d1d145f24959b76e3d842deb64ab92f52",
    "resnet_50": "63638f61220b73c689fc5a2bdac6d3629cc3e6c732ce24889b49f4f0d59a7c65",
    "vit_small": "dfa2c6b1de29e67ab7e6f0ff64fe09383566413cf032362f95ee08fabac5cb7e",
}
every_network = pytest.mark.parametrize("name", list(MODELS))


def small(name: str, seed: int = 0) -> nn.Module:
    return build(Model(name=name, arguments=SMALL[name]), (3, 32, 32), 5, seed)


def full_size(name: str) -> nn.Module:
    with torch.device("meta"):
        return MODELS[name]((3, 224, 224), 1000) if name in IMAGENET else MODELS[name]((3, 32, 32), 10)


@every_network
def test_parameters_and_multiply_adds(name):
    model = full_size(name)
    costs = multiply_adds(model, (3, 224, 224) if name in IMAGENET else (3, 32, 32))
    assert (sum(parameter.numel() for parameter in model.parameters()), sum(costs.values())) == SIZES[name]


@pytest.mark.parametrize("name", list(TORCHVISION))
def test_names_and_shapes_are_torchvisions(name):
    model = full_size(name)
    state = (model.features if name.startswith("vgg") else model).state_dict()
    shapes = sorted([key, list(value.shape)] for key, value in state.items())
    assert hashlib.sha256(json.dumps(shapes, separators=(",", ":")).encode()).hexdigest() == TORCHVISION[name]


@every_network
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_trains_and_evaluates(name, dtype):
    model, images = small(name).to(dtype), torch.randn(4, 3, 32, 32, dtype=dtype, requires_grad=True)
    before = images.detach().clone()
    output = model(images)
    assert output.shape == (4, 5)
    assert output.dtype == dtype
    nn.functional.cross_entropy(output, torch.tensor([0, 1, 2, 3])).backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    assert all(model.get_parameter(weight).grad.any() for weight in weighted_layers(model))
    assert torch.equal(images, before)
    with torch.no_grad():
        together, single = model.eval()(images), model(images[:1])
    torch.testing.assert_close(together[:1], single, rtol=1e-3, atol=1e-4)


@every_network
def test_every_number_of_channels(name):
    model = build(Model(name=name, arguments=SMALL[name]), (1, 32, 32), 3, 0)
    assert model(torch.randn(2, 1, 32, 32)).shape == (2, 3)


@every_network
def test_scope_adds_up_and_names_one_classifier(name):
    model = small(name)
    rows = scope_table(model, Prune(scope="global"), (3, 32, 32))
    assert sum(row["weights"] for row in rows) == sum(parameter.numel() for parameter in model.parameters())
    outputs = [row for row in rows if row["role"] == "output"]
    assert len(outputs) == 1
    assert outputs[0]["shape"][0] == 5
    assert all(row["multiply_adds"] > 0 for row in rows if row["prunable"] == "yes")


@every_network
def test_masks_from_a_network_cover_what_is_prunable(name):
    model = small(name)
    assert list(convolution_and_linear_weights(model)) == [layer.name for layer in layers(model, Prune(scope="global"))]


@every_network
def test_effective_density(name):
    model = small(name)
    weights = convolution_and_linear_weights(model)
    full = Mask({key: torch.ones(value.shape, dtype=torch.bool) for key, value in weights.items()})
    assert effective_density(model, full, (3, 32, 32)) == 1.0
    output = list(full.tensors)[-1]
    cut = Mask({**full.tensors, output: torch.zeros_like(full.tensors[output])})
    assert effective_density(model, cut, (3, 32, 32)) == 0.0
    generator = torch.Generator().manual_seed(0)
    sparse = Mask({key: torch.rand(value.shape, generator=generator) < 0.3 for key, value in weights.items()})
    assert 0 < effective_density(model, sparse, (3, 32, 32)) < sparse.density


def test_roles_of_the_families():
    found = {name: list(roles(weighted_layers(small(name))).values()) for name in MODELS}
    assert found["conv_2"] == ["stem", "conv", "linear", "linear", "output"]
    assert found["vgg_16"] == ["stem"] + ["conv"] * 12 + ["output"]
    assert [found["resnet_20"].count(role) for role in ("stem", "conv", "pointwise", "output")] == [1, 18, 2, 1]
    assert [found["resnet_18"].count(role) for role in ("stem", "conv", "pointwise", "output")] == [1, 16, 3, 1]
    assert [found["resnet_50"].count(role) for role in ("stem", "conv", "pointwise", "output")] == [1, 16, 36, 1]
    assert found["vit_small"] == ["stem", "attention", "attention", "linear", "linear", "output"]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("conv_4", {"width": 0}), ("vgg_16", {"width": -1}), ("resnet_20", {"width": 16.0}),
        ("resnet_56", {"width": True}), ("resnet_50", {"width": "64"}), ("resnet_18", {"small_images": 1}),
        ("vit_small", {"patch": 0}), ("vit_small", {"dim": 1.5}), ("vit_small", {"depth": 0}),
        ("vit_small", {"heads": 5}), ("vit_small", {"heads": 0}), ("vit_small", {"mlp": 0}),
        ("vit_small", {"dropout": 1.0}), ("vit_small", {"dropout": -0.1}),
    ],
)  # fmt: skip
def test_arguments_outside_their_range_are_refused(name, arguments):
    with pytest.raises(ModelError, match=rf"model\.arguments\.{next(iter(arguments))}: outside its range"):
        build(Model(name=name, arguments=arguments), (3, 32, 32), 10, 0)


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("conv_6", (7, 9), r"too small for this network \(found '7 x 9'\)\. Take images of at least 8 x 8 pixels"),
        ("vgg_16", (32, 15), r"too small for this network \(found '32 x 15'\)\. Take images of at least 16 x 16"),
        ("vit_small", (30, 32), r"model\.arguments\.patch: the patches do not tile images of 30 x 32 pixels"),
    ],
)
def test_images_that_do_not_fit_are_refused(name, size, message):
    with pytest.raises(ModelError, match=message):
        build(Model(name=name), (3, *size), 10, 0)
