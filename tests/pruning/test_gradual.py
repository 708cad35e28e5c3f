from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lth.errors import LthError
from lth.pruning.audit import check_mask
from lth.pruning.gradual import pruning_moments, regrow_free_mask, sparsity_at
from lth.pruning.mask import Mask
from lth.pruning.threshold import masks


def test_the_cubic_by_hand():
    assert [sparsity_at(step, 0.8, 10, 20) for step in (0, 10, 20, 99)] == [0.0, 0.0, 0.8, 0.8]
    assert sparsity_at(15, 0.8, 10, 20) == pytest.approx(0.8 * (1 - 1 / 8))
    assert sparsity_at(12, 0.5, 10, 20) == pytest.approx(0.5 + (0.0 - 0.5) * 0.8**3)
    assert sparsity_at(3, 0.9, 3, 3) == 0.9


@given(st.floats(0, 0.999), st.integers(0, 50), st.integers(0, 50))
def test_the_sparsity_rises_from_0_to_the_final_one(final, begin, more):
    found = [sparsity_at(step, final, begin, begin + more) for step in range(begin + more + 5)]
    assert found == sorted(found)
    assert min(found) >= 0
    assert found[-1] == found[begin + more] == final


@given(st.integers(1, 10**6), st.integers(1, 10**4))
def test_moments_rise_between_a_tenth_and_three_quarters(total, epoch):
    moments = pruning_moments(total, epoch)
    steps = {after - before for before, after in pairwise(moments)}
    assert steps <= {math.ceil(total / 100)}
    assert moments[-1] == 3 * total // 4
    assert total // 10 <= moments[0] or moments[0] >= total // 4
    assert moments[0] >= min(epoch, total // 4)
    assert moments[-1] < total
    assert len(moments) <= 66


def test_moments_of_a_usual_training():
    moments = pruning_moments(160 * 390, 390)
    assert moments[:2] == [6240, 6864]  # epoch 16
    assert moments[-1] == 120 * 390
    assert len(moments) == 66
    assert pruning_moments(8, 8) == [2, 3, 4, 5, 6]
    assert pruning_moments(1, 5) == [0]
    for name in ("total_steps", "steps_per_epoch"):
        with pytest.raises(LthError, match=rf"{name}: a training has at least one step \(found 0\)"):
            pruning_moments(**({"total_steps": 5, "steps_per_epoch": 5} | {name: 0}))


rates = st.sampled_from([0.0, 0.5, 1.0, 1.0])
layers = st.dictionaries(st.sampled_from("abc"), st.tuples(st.integers(1, 40), rates, st.integers(1, 500)), min_size=1)
scopes = st.sampled_from(["global", "layerwise", "erk", "flops"])


@given(layers, scopes, st.lists(st.floats(0, 0.99), min_size=1, max_size=4), st.integers(0, 9))
def test_a_training_of_moments_is_nested_and_exact_whatever_the_weights_do(layers, scope, levels, seed):
    generator = torch.Generator().manual_seed(seed)
    rate, costs = ({name: layer[i] for name, layer in layers.items()} for i in (1, 2))
    mask = None
    for sparsity in sorted(levels):
        weights = {
            name: torch.randint(-5, 5, (n, 1), generator=generator).float() for name, (n, _, _) in layers.items()
        }
        found = regrow_free_mask(mask, weights, sparsity, scope, rate, costs)
        checks = check_mask(found, weights, sparsity, scope, rate, set(layers), costs, before=mask)
        assert all(checks.values())
        if mask is None:
            assert (
                found
                == masks({n: w.abs() for n, w in weights.items()}, [sparsity], scope=scope, rates=rate, costs=costs)[
                    sparsity
                ]
            )
        assert list(found.tensors) == list(layers)
        mask = found


def test_a_pruned_weight_stays_pruned_though_it_ties_with_a_kept_one_or_exceeds_it():
    before = Mask({"a": torch.tensor([True, True, False, True])})
    for size in (0.0, 9.0):
        weights = {"a": torch.tensor([3.0, 0.0, size, -1.0])}
        assert regrow_free_mask(before, weights, 0.5, "global").tensors["a"].tolist() == [True, False, False, True]
        assert regrow_free_mask(before, weights, 0.75, "global").tensors["a"].tolist() == [True, False, False, False]


def test_bad_arguments_are_refused():
    before = Mask({"a": torch.tensor([True, False, False, False])})
    weights = {"a": torch.ones(4)}
    with pytest.raises(LthError, match=r"a: the mask before has pruned 1 weights more .* \(found 0.5\)\. Give the"):
        regrow_free_mask(before, weights, 0.5, "global")
    with pytest.raises(LthError, match="do not name the same layers"):
        regrow_free_mask(before, {"b": torch.ones(4)}, 0.9, "global")
    with pytest.raises(LthError, match="a: the mask before has another shape"):
        regrow_free_mask(before, {"a": torch.ones(2, 2)}, 0.9, "global")
    with pytest.raises(LthError, match=r"a sparsity is outside \[0, 1\)"):
        regrow_free_mask(None, weights, 1.0, "global")
    with pytest.raises(LthError, match="a: a weight is not a number"):
        regrow_free_mask(None, {"a": torch.tensor([math.nan])}, 0.5, "global")
