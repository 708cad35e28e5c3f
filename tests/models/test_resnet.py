from __future__ import annotations

import torch

from lth.models.prunable import multiply_adds
from lth.models.resnet import ResNet


def meta(depth: int, **arguments) -> ResNet:
    with torch.device("meta"):
        return ResNet(depth, (3, 224, 224), 1000, **arguments)


def test_torchvision_names():
    basic, bottleneck = meta(18).state_dict(), meta(50).state_dict()
    assert (len(basic), len(bottleneck)) == (122, 320)
    assert {
        "conv1.weight", "bn1.running_mean", "bn1.num_batches_tracked", "layer1.0.conv1.weight",
        "layer1.1.bn2.running_var", "layer2.0.downsample.0.weight", "layer2.0.downsample.1.bias",
        "layer4.1.conv2.weight", "fc.weight", "fc.bias",
    } <= basic.keys()  # fmt: skip
    assert "layer1.0.downsample.0.weight" not in basic
    assert bottleneck["layer1.0.downsample.0.weight"].shape == (256, 64, 1, 1)
    assert bottleneck["layer4.2.conv3.weight"].shape == (2048, 512, 1, 1)
    assert bottleneck["fc.weight"].shape == (1000, 2048)


def test_the_bottleneck_strides_in_its_3x3():
    model = meta(50)
    assert [model.layer2[0].conv1.stride, model.layer2[0].conv2.stride] == [(1, 1), (2, 2)]
    assert multiply_adds(model, (3, 224, 224))["layer2.0.conv1.weight"] == 56 * 56 * 256 * 128


def test_small_images_keep_their_resolution_at_the_stem():
    costs = multiply_adds(meta(18, small_images=True), (3, 32, 32))
    assert costs["conv1.weight"] == 32 * 32 * 3 * 64 * 9
    assert costs["layer1.0.conv1.weight"] == 32 * 32 * 64 * 64 * 9
    assert multiply_adds(meta(18), (3, 32, 32))["layer1.0.conv1.weight"] == 8 * 8 * 64 * 64 * 9


def test_a_block_without_its_branch_is_the_identity_on_what_is_positive():
    block = ResNet(18, (3, 32, 32), 10, width=4).layer1[0].eval()
    torch.nn.init.zeros_(block.conv2.weight)
    x = torch.rand(2, 4, 5, 5)
    assert torch.equal(block(x), x)
