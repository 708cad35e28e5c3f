from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from lth.errors import ModelError
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


def test_attention_gives_its_projections():
    model = nn.Sequential(nn.Linear(2, 4), nn.MultiheadAttention(4, 2), nn.MultiheadAttention(4, 2, vdim=3))
    weights = convolution_and_linear_weights(torch.compile(nn.DataParallel(model), backend="eager"))
    assert list(weights) == [
        "0.weight", "1.in_proj_weight", "1.out_proj.weight",
        "2.q_proj_weight", "2.k_proj_weight", "2.v_proj_weight", "2.out_proj.weight",
    ]  # fmt: skip
    assert all(weight is model.get_parameter(name) for name, weight in weights.items())
    assert list(convolution_and_linear_weights(model[1])) == ["in_proj_weight", "out_proj.weight"]


def test_attention_that_a_mask_would_not_hold_on_is_refused():
    hooked = nn.MultiheadAttention(4, 2)
    prune.l1_unstructured(hooked, "in_proj_weight", 0.5)
    with pytest.raises(ModelError, match="in_proj_weight: the weight is computed from other parameters"):
        convolution_and_linear_weights(hooked)
    tied = nn.ModuleList([nn.MultiheadAttention(4, 2), nn.MultiheadAttention(4, 2)])
    tied[1].in_proj_weight = tied[0].in_proj_weight
    with pytest.raises(ModelError, match=r"1\.in_proj_weight: the weight is tied to 0\.in_proj_weight"):
        convolution_and_linear_weights(tied)
