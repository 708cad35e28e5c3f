"""MobileNetV2 (Sandler et al. 2018, table 2), with torchvision's parameter and buffer names."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from lth.models.arguments import demand, demand_multiplier

# Table 2: expansion t, output channels c, repeats n, stride s of the first repeat.
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def rounded(channels: float) -> int:
    """Returns `channels` rounded to a multiple of 8, at least 8, and never more than 10 % below it."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest


def _conv_norm_relu(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU6(inplace=True))


class InvertedResidual(nn.Module):
    """A block: 1x1 expansion (left out at expansion 1), 3x3 depthwise, linear 1x1 projection.

    Input and output are added where their shapes agree (section 3.3).
    """

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int):
        super().__init__()
        hidden = inputs * expansion
        expand = [_conv_norm_relu(inputs, hidden, 1)] if expansion > 1 else []
        depthwise = _conv_norm_relu(hidden, hidden, 3, stride, groups=hidden)
        project = nn.Conv2d(hidden, outputs, 1, bias=False)
        self.conv = nn.Sequential(*expand, depthwise, project, nn.BatchNorm2d(outputs))
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.residual else self.conv(x)


class MobileNetV2(nn.Module):
    """A network of 17 inverted residual blocks; 3 504 872 parameters at 1000 classes and width 1.

    `stem_stride` = 1 suits images of 32 x 32. Raises ModelError for arguments outside their range.
    """

    def __init__(
        self, input_shape: Sequence[int], classes: int,
        width_multiplier: float = 1.0, stem_stride: int = 2, dropout: float = 0.2,
    ):  # fmt: skip
        super().__init__()
        _check(width_multiplier, stem_stride, dropout)
        channels = rounded(32 * width_multiplier)
        features: list[nn.Module] = [_conv_norm_relu(input_shape[0], channels, 3, stem_stride)]
        for expansion, width, repeats, stride in STAGES:
            outputs = rounded(width * width_multiplier)
            for repeat in range(repeats):
                features.append(InvertedResidual(channels, outputs, 1 if repeat else stride, expansion))
                channels = outputs
        last = rounded(1280 * max(1.0, width_multiplier))
        features.append(_conv_norm_relu(channels, last, 1))
        self.features = nn.Sequential(*features)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(last, classes))
        self._initialize()

    def forward(self, x: Tensor) -> Tensor:
        """Returns the logits, (batch, classes), of images (batch, channels, height, width)."""
        return self.classifier(self.features(x).mean((2, 3)))

    def _initialize(self) -> None:
        """The initialisation in common use: Kaiming normal over fan-out, and N(0, 0.01) for the classifier."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0, 0.01)
                nn.init.zeros_(module.bias)


def _check(width_multiplier: float, stem_stride: int, dropout: float) -> None:
    demand_multiplier(width_multiplier)
    demand("stem_stride", stem_stride, stem_stride in (1, 2), "Take 2, or 1 for images of 32 x 32.")
    demand("dropout", dropout, 0 <= dropout < 1, "Take a probability from 0 to below 1.")
