from __future__ import annotations

import torch

from lth.models.lenet import LeNet300100


def test_names_and_size_of_the_paper():
    model = LeNet300100((1, 28, 28), 10)
    assert [name for name, _ in model.named_parameters()] == [
        "fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias", "output.weight", "output.bias",
    ]  # fmt: skip
    assert sum(parameter.numel() for parameter in model.parameters()) == 266_610


def test_any_input_shape_is_flattened():
    assert LeNet300100((3, 5, 4), 7)(torch.zeros(2, 3, 5, 4)).shape == (2, 7)


def test_forward_is_three_layers_with_two_relus():
    model, x = LeNet300100((1, 2, 2), 3).double(), torch.randn(5, 1, 2, 2, dtype=torch.float64)
    hidden = (x.reshape(5, 4) @ model.fc1.weight.T + model.fc1.bias).clamp(min=0)
    hidden = (hidden @ model.fc2.weight.T + model.fc2.bias).clamp(min=0)
    torch.testing.assert_close(model(x), hidden @ model.output.weight.T + model.output.bias)
