from __future__ import annotations

import torch
from torch import nn

from lth.pruning.names import bare_parameters, convolution_and_linear_weights


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv1d(1, 2, 1), nn.BatchNorm1d(2), nn.ConvTranspose1d(2, 2, 1), nn.Linear(3, 3))


def test_names_are_those_of_the_bare_network():
    names = [name for name, _ in network().named_parameters()]
    inner = nn.Sequential(*network()[:3], torch.compile(network()[3], backend="eager"))
    for model in (
        network(),
        nn.DataParallel(network()),
        torch.compile(nn.DataParallel(network()), backend="eager"),
        inner,
    ):
        assert list(bare_parameters(model)) == names
        assert list(convolution_and_linear_weights(model)) == ["0.weight", "2.weight", "3.weight"]


def test_a_network_with_a_child_named_module_keeps_its_names():
    class Wrapper(nn.Module):
        def __init__(self):
            super().__init__()
            self.module = nn.Linear(2, 2)

    assert list(bare_parameters(Wrapper())) == ["module.weight", "module.bias"]
    assert list(convolution_and_linear_weights(Wrapper())) == ["module.weight"]
    assert list(convolution_and_linear_weights(nn.Linear(2, 2))) == ["weight"]
