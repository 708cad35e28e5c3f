from __future__ import annotations

import torch

from lth.models.conv import ConvN


def test_layers_of_the_paper():
    with torch.device("meta"):
        shapes = {name: tuple(value.shape) for name, value in ConvN(6, (3, 32, 32), 10).named_parameters()}
    weights = [shape for name, shape in shapes.items() if name.endswith("weight")]
    assert weights == [
        (64, 3, 3, 3), (64, 64, 3, 3), (128, 64, 3, 3), (128, 128, 3, 3), (256, 128, 3, 3), (256, 256, 3, 3),
        (256, 4096), (256, 256), (10, 256),
    ]  # fmt: skip
    assert list(shapes)[-6:] == ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias", "output.weight", "output.bias"]


def test_poolings_round_odd_sizes_down():
    model = ConvN(4, (1, 13, 22), 3, width=2)
    assert model.fc1.in_features == 4 * 3 * 5
    assert model(torch.randn(2, 1, 13, 22)).shape == (2, 3)
