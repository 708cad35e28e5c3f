from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lth.errors import LthError
from lth.pruning.threshold import groups, masks, pruned_count

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


@given(st.integers(0, 10**7), st.floats(0, 0.9999), st.sampled_from([0.1, 0.5, 1, 1.0, 1 / 3]))
def test_count_rounds_half_up_exactly(n, sparsity, rate):
    exact = Fraction(str(sparsity)) * Fraction(str(rate)) * n
    assert abs(pruned_count(n, sparsity, rate) - exact) <= Fraction(1, 2)
    assert Fraction(-1, 2) < pruned_count(n, sparsity, rate) - exact  # a half goes up


@pytest.mark.parametrize(
    ("n", "sparsity", "rate", "expected"),
    [
        (10, 0.25, 1, 3), (10, 0.15, 1.0, 2), (1000, 0.145, 1, 145), (235200, 0.99, 1, 232848), (1, 0.5, 1, 1),
        (1, 0.49, 1, 0), (0, 0.9, 1, 0), (100, 0.29, 1, 29), (1000, 0.9, 0.5, 450), (3, np.float64(0.5), 1, 2),
        (10, 1e-05, 1, 0),
    ],
)  # fmt: skip
def test_count_examples_where_floats_go_wrong(n, sparsity, rate, expected):
    assert pruned_count(n, sparsity, rate) == expected


def test_masks_are_nested():
    scores = {"a": torch.randn(50, generator=torch.Generator().manual_seed(1)).round(decimals=1)}
    found = masks(scores, [0.9, 0.1, 0.5], scope="global")
    assert not (found[0.9].tensors["a"] & ~found[0.5].tensors["a"]).any()
    assert not (found[0.5].tensors["a"] & ~found[0.1].tensors["a"]).any()


def test_groups_of_both_scopes():
    rate = {"b": 0.5, "d": 0.5}
    assert groups("abcd", "global", rate) == [(["a", "c"], 1), (["b"], 0.5), (["d"], 0.5)]
    assert groups("abcd", "layerwise", rate) == [(["a"], 1), (["b"], 0.5), (["c"], 1), (["d"], 0.5)]
    assert groups("b", "global", {"b": 0.5}) == [(["b"], 0.5)]
    assert groups("", "global", None) == []


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
        ({"scope": "local"}, r"scope: no such scope \(found 'local'\)\. Take \"global\" or \"layerwise\""),
        ({"rates": {"b": 0.5}}, r"rates: a rate for a layer that has no scores \(found 'b'\)\. Layers: a"),
        ({"rates": {"a": 1.5}}, r"rates\.a: a rate is outside \[0, 1\]"),
        ({"scores": {"a": torch.tensor([1.0, math.nan])}}, r"a: a score is not a number \(found '1 of 2'\)"),
    ],
)
def test_bad_arguments_are_refused(given, message):
    arguments = {"scores": {"a": torch.ones(2)}, "sparsities": [0.5], "scope": "global", "rates": None} | given
    with pytest.raises(LthError, match=message):
        masks(arguments.pop("scores"), arguments.pop("sparsities"), **arguments)
