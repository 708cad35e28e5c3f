from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lth.errors import LthError
from lth.pruning.allocate import budget
from lth.pruning.threshold import masks

sparsities = st.lists(
    st.one_of(st.floats(0, 0.999), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1e-05])), min_size=1, max_size=5
)
values = st.sampled_from([0.0, -0.0, 1.0, -1.0, 1e-45, -1e-45, 2.5, math.inf, -math.inf])  # ties, signs, subnormals
sizes = st.sampled_from([0, 1, 1, 2, 3, 5, 8, 13])
rates = st.sampled_from([0.0, 0.25, 0.5, 1.0, 1.0, 1.0])
layers = st.dictionaries(
    st.sampled_from("abcd"),
    st.tuples(sizes.flatmap(lambda n: st.lists(values, min_size=n, max_size=n)), rates),
    min_size=1,
)


def reference(
    scores: dict[str, list[float]], sparsity: float, scope: str, rate: dict[str, float]
) -> dict[str, list[bool]]:
    """One weight after the other, in plain Python: lowest score first, then layer, then index."""
    kept = {name: [True] * len(layer) for name, layer in scores.items()}
    together = (
        [[name for name in scores if rate[name] == 1]] if scope == "global" else [[n] for n in scores if rate[n] == 1]
    )
    for group in together + [[name] for name in scores if rate[name] != 1]:
        order = [(score, place, index) for place, name in enumerate(group) for index, score in enumerate(scores[name])]
        wanted = Fraction(str(sparsity)) * Fraction(str(rate[group[0]] if group else 1)) * len(order) + Fraction(1, 2)
        for _, place, index in sorted(order)[: math.floor(wanted)]:
            kept[group[place]][index] = False
    return kept


@given(layers, sparsities, st.sampled_from(["global", "layerwise"]), st.sampled_from([torch.float32, torch.float64]))
def test_masks_equal_the_plain_reference(layers, sparsities, scope, dtype):
    scores = {name: torch.tensor(layer, dtype=dtype) for name, (layer, _) in layers.items()}
    plain = {name: score.tolist() for name, score in scores.items()}
    rate = {name: value for name, (_, value) in layers.items()}
    found = masks(scores, sparsities, scope=scope, rates=rate)
    assert set(found) == set(sparsities)
    for sparsity, mask in found.items():
        expected = reference(plain, sparsity, scope, rate)
        assert {name: tensor.tolist() for name, tensor in mask.tensors.items()} == expected
        assert list(mask.tensors) == list(scores)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_random_scores_of_every_precision(dtype):
    generator = torch.Generator().manual_seed(0)
    scores = {name: torch.randn(20, 30, generator=generator).to(dtype) for name in ("a", "b")}
    flat = torch.cat([score.double().reshape(-1) for score in scores.values()])
    for sparsity, mask in masks(scores, [0.1, 0.33, 0.9], scope="global").items():
        pruned = torch.argsort(flat, stable=True)[: round(sparsity * 1200)]
        expected = torch.ones(1200, dtype=torch.bool)
        expected[pruned] = False
        assert torch.cat([tensor.reshape(-1) for tensor in mask.tensors.values()]).equal(expected)


tensors = st.dictionaries(
    st.sampled_from("abcd"),
    st.tuples(st.lists(st.integers(0, 4), min_size=1, max_size=3), rates, st.integers(1, 500)),
    min_size=1,
)


@given(tensors, sparsities, st.sampled_from(["global", "layerwise", "erk", "flops"]), st.integers(0, 9))
def test_masks_are_nested_and_lose_the_lowest_of_each_group_of_the_budget(layers, levels, scope, seed):
    generator = torch.Generator().manual_seed(seed)
    scores = {name: torch.randint(9, tuple(shape), generator=generator) for name, (shape, _, _) in layers.items()}
    rate, costs = ({name: layer[i] for name, layer in layers.items()} for i in (1, 2))
    found = masks(scores, levels, scope=scope, rates=rate, costs=costs)
    denser: dict[str, torch.Tensor] = {name: torch.ones_like(score, dtype=torch.bool) for name, score in scores.items()}
    for sparsity in sorted(found):
        kept = found[sparsity].tensors
        assert not any((kept[name] & ~denser[name]).any() for name in scores)
        denser = kept
        for names, pruned in budget(
            {name: score.shape for name, score in scores.items()}, sparsity, scope, rate, costs
        ):
            lost = torch.cat([scores[name][~kept[name]] for name in names])
            left = torch.cat([scores[name][kept[name]] for name in names])
            assert len(lost) == pruned
            assert not len(lost) or not len(left) or lost.max() <= left.min()


def test_erk_and_flops_take_the_smallest_of_each_layer():
    scores = {"a": torch.tensor([[4.0, 1.0], [3.0, 2.0]]), "b": torch.tensor([[10.0, 40.0, 20.0, 30.0] * 3])}
    kept = masks(scores, [0.5], scope="erk")[0.5].tensors  # 8 weights, 4 : 13 = 1.9 : 6.1
    assert kept["a"].tolist() == [[True, False], [True, False]]
    assert kept["b"].tolist() == [[False, True, False, True] * 3]
    kept = masks(scores, [0.5], scope="flops", costs={"a": 16, "b": 12})[0.5].tensors  # 4 and 1 a weight: 1.6 : 6.4
    assert [int(layer.sum()) for layer in kept.values()] == [2, 6]
    kept = masks(scores, [0.75], scope="flops", costs={"a": 80, "b": 12})[0.75].tensors  # 20 and 1: 0.2 : 3.8
    assert kept["a"].tolist() == [[False, False], [False, False]]
    assert kept["b"].tolist() == [[False, True, False, False] * 2 + [False, True, False, True]]  # the last 30


def test_inputs_are_not_changed_and_need_not_be_contiguous():
    score = torch.tensor([[3.0, -0.0], [1.0, 2.0]])
    before = score.clone()
    transposed = masks({"a": score.t()}, [0.5], scope="global")[0.5]
    assert transposed.tensors["a"].tolist() == [[True, False], [False, True]]
    assert score.view(torch.int32).equal(before.view(torch.int32))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sparsities": [0.5, 1.0]}, r"a sparsity is outside \[0, 1\) \(found 1.0\)"),
        ({"sparsities": [-0.1]}, r"a sparsity is outside \[0, 1\)"),
        ({"sparsities": [math.nan]}, r"a sparsity is outside \[0, 1\)"),
        ({"scope": "local"}, r"scope: no such scope \(found 'local'\)\. Take \"global\", \"layerwise\""),
        ({"rates": {"b": 0.5}}, r"rates: a rate for a layer that has no scores \(found 'b'\)\. Layers: a"),
        ({"rates": {"a": 1.5}}, r"rates\.a: a rate is outside \[0, 1\]"),
        ({"scores": {"a": torch.tensor([1.0, math.nan])}}, r"a: a score is not a number \(found '1 of 2'\)"),
    ],
)
def test_bad_arguments_are_refused(given, message):
    arguments = {"scores": {"a": torch.ones(2)}, "sparsities": [0.5], "scope": "global", "rates": None} | given
    with pytest.raises(LthError, match=message):
        masks(arguments.pop("scores"), arguments.pop("sparsities"), **arguments)
