"""VGG-16 and VGG-19 for 32 x 32 images: batch norm and one linear layer behind the convolutions.

The convolutions are those of Simonyan & Zisserman 2015, table 1, D and E, under torchvision's names; the fully
connected layers and the fifth pooling give way to a global mean (Renda et al. 2020; Frankle et al. 2020).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from lth.models.arguments import demand_count, demand_multiplier, demand_pixels, scaled
from lth.models.initialize import kaiming_fan_out

# Convolutions in each of the five stages, by depth.
STAGES = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}


class VGG(nn.Module):
    """A network of 13 (`depth` 16) or 16 (`depth` 19) 3x3 convolutions, `width` to 8 `width` channels wide.

    14 728 266 and 20 040 522 parameters at 3 channels and 10 classes. `width_multiplier` scales all channels.
    Raises ModelError for a width that is no count, a multiplier that is not above 0, and images of fewer than
    16 x 16 pixels.
    """

    def __init__(
        self, depth: int, input_shape: Sequence[int], classes: int, width: int = 64, width_multiplier: float = 1.0
    ):
        super().__init__()
        demand_count("width", width)
        demand_multiplier(width_multiplier)
        demand_pixels(input_shape, 16)
        channels = input_shape[0]
        features: list[nn.Module] = []
        for stage, convolutions in enumerate(STAGES[depth]):
            features += [nn.MaxPool2d(2)] if stage else []
            for _ in range(convolutions):
                outputs = scaled(width * min(2**stage, 8), width_multiplier)
                conv = nn.Conv2d(channels, outputs, 3, padding=1)
                features += [conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
                channels = outputs
        self.features = nn.Sequential(*features)
        self.classifier = nn.Linear(channels, classes)
        kaiming_fan_out(self)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the logits, (batch, classes), of images (batch, channels, height, width)."""
        return self.classifier(self.features(x).mean((2, 3)))
