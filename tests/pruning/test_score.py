from __future__ import annotations

import re

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from lth.errors import LthError
from lth.models.prunable import multiply_adds
from lth.pruning.score import magnitude, magnitude_masks


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 10), nn.LayerNorm((10,)))


def test_magnitude_ranks_negative_weights_by_size():
    scores = magnitude({"a": torch.tensor([[-3.0, 1.0, -0.0]])})
    assert scores["a"].tolist() == [[3.0, 1.0, 0.0]]
    mask = magnitude_masks({"a": torch.tensor([[-3.0, 1.0, -2.0, 0.5]])}, [0.5])[0.5]
    assert mask.tensors["a"].tolist() == [[True, False, True, False]]


def test_from_a_network_convolution_and_linear_weights_are_taken():
    model = network()
    mask = magnitude_masks(model, [0.25])[0.25]
    assert list(mask.tensors) == ["0.weight", "3.weight"]
    assert mask.total - mask.kept == 58  # a quarter of 72 + 160
    assert mask == magnitude_masks({name: model.state_dict()[name] for name in mask.tensors}, [0.25])[0.25]
    assert mask == magnitude_masks(model.state_dict(), [0.25], names=["0.weight", "3.weight"])[0.25]


def test_scope_rates_and_names_choose_what_is_pruned():
    layerwise = magnitude_masks(network(), [0.5], scope="layerwise", rates={"3.weight": 0.5})[0.5]
    assert layerwise.layer_densities() == {"0.weight": 0.5, "3.weight": 0.75}
    assert list(magnitude_masks(network(), [0.5], names=["3.weight"])[0.5].tensors) == ["3.weight"]


def test_erk_and_flops_from_a_network():
    model = network()  # shapes (4, 2, 3, 3) and (10, 16): sums 12 and 26
    assert magnitude_masks(model, [0.9], scope="erk")[0.9].layer_densities() == {"0.weight": 7 / 72, "3.weight": 0.1}
    costs = multiply_adds(model, (2, 4, 4))
    assert costs == {"0.weight": 4 * 72, "3.weight": 160}
    mask = magnitude_masks(model, [0.9], scope="flops", costs=costs)[0.9]
    assert [int(layer.sum()) for layer in mask.tensors.values()] == [5, 18]  # 23 weights, 4 and 1 multiply-adds each
    size = model.get_parameter("3.weight").abs()
    assert mask.tensors["3.weight"].equal(size >= size.flatten().sort()[0][-18])
    assert magnitude_masks(nn.DataParallel(model), [0.9], scope="flops", costs=costs)[0.9] == mask


def test_multiply_adds_are_asked_for_and_never_ignored():
    missing = 'costs: the scope "flops" needs the multiply-adds of each layer. Give costs = lth.models.prunable.'
    with pytest.raises(LthError, match=re.escape(missing)):
        magnitude_masks(network(), [0.5], scope="flops")
    for scope in ("global", "layerwise", "erk"):
        with pytest.raises(
            LthError, match=re.escape(f'costs: only the scope "flops" reads multiply-adds (found "scope \'{scope}\'")')
        ):
            magnitude_masks(network(), [0.5], scope=scope, costs={"0.weight": 288, "3.weight": 160})


def test_wrappers_do_not_change_names():
    assert magnitude_masks(nn.DataParallel(network()), [0.5]) == magnitude_masks(network(), [0.5])


def tied() -> nn.Module:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    return model


def diverged() -> nn.Module:
    model = network()
    nn.init.constant_(model[3].weight, float("nan"))
    return model


@pytest.mark.parametrize(
    ("make", "names", "message"),
    [
        (diverged, None, "3.weight: a weight is not a number"),
        (
            lambda: network().state_dict(),
            None,
            "biases and norm parameters are not prunable (found ['0.bias', '1.weight'",
        ),
        (lambda: {"a": torch.ones(2, 2, dtype=torch.int64)}, None, "not prunable (found ['a'])"),
        (network, ["3.bias"], "names: no such weights (found ['3.bias']). There are: 0.weight, 3.weight."),
        (lambda: nn.Sequential(nn.BatchNorm2d(2)), None, "no weights to prune"),
        (
            lambda: nn.Sequential(prune.random_unstructured(nn.Linear(2, 2), "weight", 1)),
            None,
            "0.weight: the weight is computed",
        ),
        (tied, None, "1.weight: the weight is tied to 0.weight"),
    ],
)
def test_what_cannot_be_ranked_is_refused(make, names, message):
    with pytest.raises(LthError, match=re.escape(message)):
        magnitude_masks(make(), [0.5], names=names)
