"""Masks of the allocations erk and flops, honest and broken on purpose, before the audit."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from pruning.small_run import NAMES, RATES, Net, dense

from lth.errors import LthError
from lth.models.prunable import multiply_adds
from lth.pruning.allocate import Scope
from lth.pruning.audit import check_mask
from lth.pruning.controls import random_mask, shuffled_mask
from lth.pruning.mask import Mask
from lth.pruning.score import magnitude_masks

SCOPES = {"erk": [9, 119, 41], "flops": [5, 82, 82]}  # and what each keeps of conv, fc1, output
SPARSITY = 0.98
COSTS = multiply_adds(Net(), (4, 4, 4))


@pytest.mark.parametrize("scope", SCOPES)
def test_an_honest_mask_of_each_allocation(scope):
    found = dense()
    costs = COSTS if scope == "flops" else None
    mask = magnitude_masks(found.final, [SPARSITY], scope=scope, names=NAMES, costs=costs)[SPARSITY]
    assert [int(layer.sum()) for layer in mask.tensors.values()] == SCOPES[scope]
    assert set(check_mask(mask, found.final, SPARSITY, scope, RATES, set(NAMES), COSTS).values()) == {True}
    for control in (shuffled_mask(mask, 3), random_mask(mask, 3)):
        assert set(check_mask(control, None, SPARSITY, scope, RATES, set(NAMES), COSTS).values()) == {True}
    for other in set(get_args(Scope)) - {scope}:
        checks = check_mask(mask, found.final, SPARSITY, other, RATES, set(NAMES), COSTS)
        assert not all(checks.values()), other
    assert not check_mask(mask, found.final, 0.97, scope, RATES, set(NAMES), COSTS)["density_exact"]


@pytest.mark.parametrize("scope", SCOPES)
def test_one_weight_moved_between_layers(scope):
    """The next weight of fc1 is kept for the last one of the output layer: the total and every order still hold."""
    found = dense()
    mask = magnitude_masks(
        found.final, [SPARSITY], scope=scope, names=NAMES, costs=COSTS if scope == "flops" else None
    )[SPARSITY]
    moved = {name: layer.clone() for name, layer in mask.tensors.items()}
    sizes = {name: found.final[name].abs() for name in moved}
    fc1, output = moved["fc1.weight"], moved["output.weight"]
    fc1[sizes["fc1.weight"] == sizes["fc1.weight"][~fc1].max()] = True
    output[sizes["output.weight"] == sizes["output.weight"][output].min()] = False
    assert Mask(moved).kept == mask.kept
    assert check_mask(Mask(moved), found.final, SPARSITY, scope, RATES, set(NAMES), COSTS) == {
        "density_exact": False, "only_prunable_masked": True, "mask_ranks_final_weights": True
    }  # fmt: skip


@pytest.mark.parametrize("scope", SCOPES)
def test_two_weights_swapped_within_a_layer(scope):
    found = dense()
    mask = magnitude_masks(
        found.final, [SPARSITY], scope=scope, names=NAMES, costs=COSTS if scope == "flops" else None
    )[SPARSITY]
    layer = mask.tensors["fc1.weight"].clone()
    size = found.final["fc1.weight"].abs()
    layer[size == size.max()], layer[size == size.min()] = False, True
    swapped = Mask(mask.tensors | {"fc1.weight": layer})
    assert check_mask(swapped, found.final, SPARSITY, scope, RATES, set(NAMES), COSTS) == {
        "density_exact": True, "only_prunable_masked": True, "mask_ranks_final_weights": False
    }  # fmt: skip


def test_batch_norm_masked_under_flops():
    """What is not prunable has no multiply-adds: the audit says so instead of failing on it."""
    found = dense()
    mask = magnitude_masks(found.final, [SPARSITY], scope="flops", names=NAMES, costs=COSTS)[SPARSITY]
    more = Mask(mask.tensors | {"norm.weight": torch.ones(8, dtype=torch.bool)})
    assert check_mask(more, found.final, SPARSITY, "flops", RATES, set(NAMES), COSTS) == {
        "density_exact": True, "only_prunable_masked": False, "mask_ranks_final_weights": True
    }  # fmt: skip
    with pytest.raises(LthError, match=r'costs: the scope "flops" needs the multiply-adds'):
        check_mask(mask, found.final, SPARSITY, "flops", RATES, set(NAMES))
