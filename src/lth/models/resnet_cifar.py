"""ResNet-20 and ResNet-56 for 32 x 32 images (He et al. 2016, section 4.2).

Where a stage begins, the shortcut is a 1x1 projection with batch norm (option B) and not the paper's padding with
zeros (option A): the lottery ticket studies train them so (Frankle et al. 2020; Renda et al. 2020).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.functional import relu

from lth.models.arguments import demand_count, demand_multiplier, scaled
from lth.models.initialize import kaiming_fan_out
from lth.models.resnet import BasicBlock, stage


class ResNetCifar(nn.Module):
    """A network of three stages of (`depth` - 2) / 6 basic blocks, `width`, 2 `width` and 4 `width` channels wide.

    272 474 (depth 20) and 855 770 (depth 56) parameters at 3 channels, 10 classes and width 16; names as in
    torchvision's ResNets. `width_multiplier` scales all channels. Raises ModelError for a width that is no count
    and a multiplier that is not above 0.
    """

    def __init__(
        self, depth: int, input_shape: Sequence[int], classes: int, width: int = 16, width_multiplier: float = 1.0
    ):
        super().__init__()
        demand_count("width", width)
        demand_multiplier(width_multiplier)
        first, second, third = (scaled(width * factor, width_multiplier) for factor in (1, 2, 4))
        repeats = (depth - 2) // 6
        self.conv1 = nn.Conv2d(input_shape[0], first, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(first)
        self.layer1 = stage(BasicBlock, first, first, repeats, 1)
        self.layer2 = stage(BasicBlock, first, second, repeats, 2)
        self.layer3 = stage(BasicBlock, second, third, repeats, 2)
        self.fc = nn.Linear(third, classes)
        kaiming_fan_out(self)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the logits, (batch, classes), of images (batch, channels, height, width)."""
        x = relu(self.bn1(self.conv1(x)), inplace=True)
        return self.fc(self.layer3(self.layer2(self.layer1(x))).mean((2, 3)))
