from __future__ import annotations

import pytest
import torch

from lth.models.resnet_cifar import ResNetCifar


@pytest.mark.parametrize(("depth", "blocks", "option_a"), [(20, 3, 269_722), (56, 9, 853_018)])
def test_as_deep_as_the_name_says_with_two_projections(depth, blocks, option_a):
    with torch.device("meta"):
        model = ResNetCifar(depth, (3, 32, 32), 10)
    assert [len(stage) for stage in (model.layer1, model.layer2, model.layer3)] == [blocks] * 3
    names = list(model.state_dict())
    counted = [name for name in names if name.endswith(("conv1.weight", "conv2.weight", "fc.weight"))]
    assert len(counted) == depth
    projections = [name for name in names if name.endswith("downsample.0.weight")]
    assert projections == ["layer2.0.downsample.0.weight", "layer3.0.downsample.0.weight"]
    # The shortcuts of the paper (option A) have no parameters: 0.27 M and 0.85 M in its table 6.
    without = sum(value.numel() for name, value in model.named_parameters() if "downsample" not in name)
    assert without == option_a


def test_three_stages_halve_the_image_twice():
    model = ResNetCifar(20, (1, 32, 32), 10, width=2)
    x = model.conv1(torch.randn(2, 1, 32, 32))
    sizes = []
    for stage in (model.layer1, model.layer2, model.layer3):
        x = stage(x)
        sizes.append(tuple(x.shape[1:]))
    assert sizes == [(2, 32, 32), (4, 16, 16), (8, 8, 8)]
