"""ResNet-18 and ResNet-50 (He et al. 2016, table 1), with torchvision's parameter and buffer names.

ResNet-50 takes its strides in the 3x3 convolutions ("v1.5"), as torchvision and the usual recipes do.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.functional import relu

from lth.models.arguments import demand, demand_count, demand_multiplier, scaled
from lth.models.initialize import kaiming_fan_out


def _conv3x3(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)


def _downsample(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    """The projection shortcut (section 3.3, option B): only where the shapes of input and output differ."""
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


class BasicBlock(nn.Module):
    """A block of two 3x3 convolutions and a shortcut around them."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int = 1):
        super().__init__()
        self.conv1, self.bn1 = _conv3x3(inputs, width, stride), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = _conv3x3(width, width), nn.BatchNorm2d(width)
        self.downsample = _downsample(inputs, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = relu(self.bn1(self.conv1(x)), inplace=True)
        return relu(self.bn2(self.conv2(x)) + shortcut, inplace=True)


class Bottleneck(nn.Module):
    """A block of 1x1, 3x3 (with the stride) and 1x1 convolution, and a shortcut around them."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int = 1):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = _conv3x3(width, width, stride), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width)
        self.downsample = _downsample(inputs, 4 * width, stride)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = relu(self.bn1(self.conv1(x)), inplace=True)
        x = relu(self.bn2(self.conv2(x)), inplace=True)
        return relu(self.bn3(self.conv3(x)) + shortcut, inplace=True)


Block = type[BasicBlock] | type[Bottleneck]
LAYOUTS: dict[int, tuple[Block, tuple[int, int, int, int]]] = {
    18: (BasicBlock, (2, 2, 2, 2)),
    50: (Bottleneck, (3, 4, 6, 3)),
}


def stage(block: Block, inputs: int, width: int, repeats: int, stride: int) -> nn.Sequential:
    """Returns `repeats` blocks in a row, the first with the stride; they give block.expansion * width channels."""
    first = block(inputs, width, stride)
    return nn.Sequential(first, *[block(block.expansion * width, width) for _ in range(repeats - 1)])


class ResNet(nn.Module):
    """A network of four stages of residual blocks; `depth` is 18 or 50, `width` the channels of the stem.

    11 689 512 and 25 557 032 parameters at 3 channels, 1000 classes and width 64. `small_images` has the stem of
    32 x 32 images: a 3x3 convolution of stride 1 and no pooling. `width_multiplier` scales all channels. Raises
    ModelError for arguments out of range.
    """

    def __init__(
        self, depth: int, input_shape: Sequence[int], classes: int,
        width: int = 64, small_images: bool = False, width_multiplier: float = 1.0,
    ):  # fmt: skip
        super().__init__()
        demand_count("width", width)
        demand_multiplier(width_multiplier)
        demand("small_images", small_images, isinstance(small_images, bool), "Take true or false.")
        block, repeats = LAYOUTS[depth]
        kernel, stride = (3, 1) if small_images else (7, 2)
        widths = [scaled(width * factor, width_multiplier) for factor in (1, 2, 4, 8)]
        self.conv1 = nn.Conv2d(input_shape[0], widths[0], kernel, stride, kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.maxpool = nn.Identity() if small_images else nn.MaxPool2d(3, 2, 1)
        inputs = [widths[0], *(block.expansion * before for before in widths)]
        self.layer1 = stage(block, inputs[0], widths[0], repeats[0], 1)
        self.layer2 = stage(block, inputs[1], widths[1], repeats[1], 2)
        self.layer3 = stage(block, inputs[2], widths[2], repeats[2], 2)
        self.layer4 = stage(block, inputs[3], widths[3], repeats[3], 2)
        self.fc = nn.Linear(inputs[4], classes)
        kaiming_fan_out(self)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the logits, (batch, classes), of images (batch, channels, height, width)."""
        x = self.maxpool(relu(self.bn1(self.conv1(x)), inplace=True))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))
