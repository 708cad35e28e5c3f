"""Conv-2, Conv-4 and Conv-6: small networks for 32 x 32 images (Frankle & Carbin 2019, figure 2)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.functional import relu

from lth.models.arguments import demand_count, demand_multiplier, demand_pixels, scaled


class ConvN(nn.Module):
    """A network of 2, 4 or 6 convolutions (`depth`) and two fully connected layers of 256 units, without norms.

    Pairs of 3x3 convolutions with ReLU, `width`, 2 `width` and 4 `width` channels, each pair closed by 2x2 max
    pooling. At 3 x 32 x 32 inputs and 10 classes 4 301 642, 2 425 930 and 2 262 602 parameters.
    `width_multiplier` scales all channels and units. Raises ModelError for a width that is no count, a multiplier
    that is not above 0, and images that the poolings leave nothing of.
    """

    def __init__(
        self, depth: int, input_shape: Sequence[int], classes: int, width: int = 64, width_multiplier: float = 1.0
    ):
        super().__init__()
        demand_count("width", width)
        demand_multiplier(width_multiplier)
        pairs = depth // 2
        demand_pixels(input_shape, 2**pairs)
        channels, height, across = input_shape
        features: list[nn.Module] = []
        for pair in range(pairs):
            for _ in range(2):
                outputs = scaled(width * 2**pair, width_multiplier)
                features += [nn.Conv2d(channels, outputs, 3, padding=1), nn.ReLU(inplace=True)]
                channels = outputs
            features.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*features)
        units = scaled(256, width_multiplier)
        self.fc1 = nn.Linear(channels * (height >> pairs) * (across >> pairs), units)
        self.fc2 = nn.Linear(units, units)
        self.output = nn.Linear(units, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the logits, (batch, classes), of images (batch, channels, height, width)."""
        x = self.features(x).flatten(1)
        return self.output(relu(self.fc2(relu(self.fc1(x)))))
