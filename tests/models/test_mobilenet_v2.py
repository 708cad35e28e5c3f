from __future__ import annotations

import hashlib
import json

import pytest
import torch

from lth.errors import ModelError
from lth.models.mobilenet_v2 import MobileNetV2, rounded
from lth.models.prunable import multiply_adds

# sha256 of the sorted [name, shape] list of torchvision 0.29's own mobilenet_v2(width_mult=...).state_dict().
TORCHVISION = {
    1.0: "a748bb7149f5f7285a7ee01af44c6e54ad349f85ec55c6ea42bbce19f16dadfb",
    0.5: "5b816a90f4a255c9c03a235d82a3972f4351372328a1ebcc01198316643bfe4c",
    1.4: "be3dd327e61670e2d1075a2f4b5cd24b9926b8279ddd123322a9ab496b88bddc",
    0.35: "ddc28e385020cb876a86ca0a302f8fb0fc9818fbc3050aee2ca9ce61118c702b",
}
# Sandler 2018, table 2, one row a block: input channels, expanded channels, output channels.
BLOCKS = [
    (32, 32, 16), (16, 96, 24), (24, 144, 24), (24, 144, 32), (32, 192, 32), (32, 192, 32),
    (32, 192, 64), (64, 384, 64), (64, 384, 64), (64, 384, 64), (64, 384, 96), (96, 576, 96),
    (96, 576, 96), (96, 576, 160), (160, 960, 160), (160, 960, 160), (160, 960, 320),
]  # fmt: skip


def norm(name: str, channels: int) -> dict[str, list[int]]:
    values = {f"{name}.{part}": [channels] for part in ("weight", "bias", "running_mean", "running_var")}
    return values | {f"{name}.num_batches_tracked": []}


def expected_layout() -> dict[str, list[int]]:
    """The names by rule: features.i.conv.j, where a block without expansion has one element less."""
    layout = {"features.0.0.weight": [32, 3, 3, 3], **norm("features.0.1", 32)}
    for index, (inputs, hidden, outputs) in enumerate(BLOCKS, start=1):
        at, place = f"features.{index}.conv", 0
        if hidden != inputs:
            layout |= {f"{at}.0.0.weight": [hidden, inputs, 1, 1], **norm(f"{at}.0.1", hidden)}
            place = 1
        layout |= {f"{at}.{place}.0.weight": [hidden, 1, 3, 3], **norm(f"{at}.{place}.1", hidden)}
        layout |= {f"{at}.{place + 1}.weight": [outputs, hidden, 1, 1], **norm(f"{at}.{place + 2}", outputs)}
    layout |= {"features.18.0.weight": [1280, 320, 1, 1], **norm("features.18.1", 1280)}
    return layout | {"classifier.1.weight": [1000, 1280], "classifier.1.bias": [1000]}


def layout(model: torch.nn.Module) -> dict[str, list[int]]:
    return {name: list(value.shape) for name, value in model.state_dict().items()}


def digest(names: dict[str, list[int]]) -> str:
    return hashlib.sha256(json.dumps(sorted(map(list, names.items())), separators=(",", ":")).encode()).hexdigest()


@pytest.fixture(scope="module")
def model() -> MobileNetV2:
    return MobileNetV2((3, 224, 224), 1000)


def test_torchvision_names_and_shapes_of_parameters_and_buffers(model):
    assert layout(model) == expected_layout()
    assert digest(layout(model)) == TORCHVISION[1.0]
    assert len(list(model.parameters())) == 158
    assert len(list(model.buffers())) == 52 * 3


@pytest.mark.parametrize("width", [0.35, 0.5, 1.4])
def test_width_multiplier_rounds_as_torchvision_does(width):
    assert digest(layout(MobileNetV2((3, 224, 224), 1000, width_multiplier=width))) == TORCHVISION[width]


def test_parameters_and_multiply_adds_of_the_paper(model):
    assert sum(parameter.numel() for parameter in model.parameters()) == 3_504_872
    costs = multiply_adds(model, (3, 224, 224))
    assert sum(costs.values()) == 300_774_272
    assert costs["features.0.0.weight"] == 112 * 112 * 864
    assert costs["features.2.conv.1.0.weight"] == 56 * 56 * 96 * 9
    assert costs["classifier.1.weight"] == 1280 * 1000


def test_small_images_keep_their_resolution_at_stem_stride_1():
    model = MobileNetV2((1, 32, 32), 10, width_multiplier=0.35, stem_stride=1)
    assert model(torch.randn(2, 1, 32, 32)).shape == (2, 10)
    assert model.features(torch.randn(2, 1, 32, 32)).shape[2:] == (2, 2)


def test_residuals_join_blocks_of_equal_shape_only(model):
    residual = [index for index, block in enumerate(model.features) if getattr(block, "residual", False)]
    assert residual == [3, 5, 6, 8, 9, 10, 12, 13, 15, 16]


@pytest.mark.parametrize(
    ("channels", "expected"), [(32 * 0.35, 16), (16 * 0.35, 8), (33.6, 32), (44.8, 48), (8, 8), (1, 8)]
)
def test_rounding_to_multiples_of_8(channels, expected):
    assert rounded(channels) == expected


@pytest.mark.parametrize("argument", [{"width_multiplier": 0.0}, {"stem_stride": 3}, {"dropout": 1.0}])
def test_arguments_outside_their_range_are_refused(argument):
    with pytest.raises(ModelError, match=rf"model\.arguments\.{next(iter(argument))}: outside its range"):
        MobileNetV2((3, 32, 32), 10, **argument)
