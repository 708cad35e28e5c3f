from __future__ import annotations

import torch
from torch import nn

from lth.models.vgg import VGG


def test_four_poolings_and_a_global_mean():
    with torch.device("meta"):
        model = VGG(16, (3, 32, 32), 10)
        assert model.features(torch.empty(2, 3, 32, 32)).shape == (2, 512, 2, 2)
        assert model(torch.empty(2, 3, 48, 80)).shape == (2, 10)
    convolutions = [index for index, layer in enumerate(model.features) if isinstance(layer, nn.Conv2d)]
    assert convolutions == [0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37, 40]
    assert [name for name, _ in model.classifier.named_parameters()] == ["weight", "bias"]


def test_drawn_with_variance_2_over_fan_out():
    torch.manual_seed(0)
    conv = VGG(16, (3, 32, 32), 10, width=16).features[3]
    assert abs(conv.weight.std().item() / (2 / (16 * 9)) ** 0.5 - 1) < 0.05
    assert not conv.bias.any()
