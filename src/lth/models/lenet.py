"""LeNet-300-100: the fully connected network of the lottery ticket paper (Frankle & Carbin 2019, section 2)."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from torch import Tensor, nn
from torch.nn.functional import relu

from lth.models.arguments import demand_multiplier, scaled


class LeNet300100(nn.Module):
    """A network of two hidden layers, 300 and 100 units wide with ReLU, for inputs of any shape.

    Parameters: fc1, fc2, output, each with weight and bias; 266 610 of them at 28 x 28 inputs and 10 classes.
    `width_multiplier` scales the hidden units. Raises ModelError for one that is not above 0.
    """

    def __init__(self, input_shape: Sequence[int], classes: int, width_multiplier: float = 1.0):
        super().__init__()
        demand_multiplier(width_multiplier)
        first, second = scaled(300, width_multiplier), scaled(100, width_multiplier)
        self.fc1 = nn.Linear(prod(input_shape), first)
        self.fc2 = nn.Linear(first, second)
        self.output = nn.Linear(second, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the logits, (batch, classes), of inputs (batch, *input_shape)."""
        return self.output(relu(self.fc2(relu(self.fc1(x.flatten(1))))))
