from __future__ import annotations

import re
from fractions import Fraction
from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lth.errors import LthError
from lth.models.mobilenet_v2 import MobileNetV2
from lth.models.prunable import multiply_adds
from lth.pruning.allocate import budget, pruned_count, spread

HALF = Fraction(1, 2)
decimals = st.one_of(st.floats(0, 0.9999), st.sampled_from([0.0, 0.1, 0.5, 0.9, 0.99, 1e-05]))
shapes = st.lists(st.integers(0, 7), min_size=1, max_size=4)
rates = st.sampled_from([0.0, 0.5, 1.0, 1.0, 1.0, 1])
networks = st.dictionaries(st.sampled_from("abcdefgh"), st.tuples(shapes, rates, st.integers(1, 10**9)), min_size=1)
filling = st.lists(st.tuples(st.integers(0, 30), st.fractions(Fraction(1, 99), 99, max_denominator=99)), max_size=8)


def kept(shapes, sparsity, scope, rates=None, costs=None) -> dict[str, int]:
    found = budget(shapes, sparsity, scope, rates, costs)
    return {name: prod(shapes[name]) - pruned for (name,), pruned in found}


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


def test_groups_of_global_and_layerwise():
    rate, shapes = {"b": 0.5, "d": 0.5}, dict.fromkeys("abcd", (2, 5))
    assert budget(shapes, 0.6, "global", rate, None) == [(["a", "c"], 12), (["b"], 3), (["d"], 3)]
    assert budget(shapes, 0.6, "layerwise", rate, None) == [(["a"], 6), (["b"], 3), (["c"], 6), (["d"], 3)]
    assert budget({"b": (2, 5)}, 0.6, "global", {"b": 0.5}, None) == [(["b"], 3)]
    for scope in ("global", "layerwise", "erk", "flops"):
        assert budget({}, 0.6, scope, None, None) == []


def test_erk_by_hand():
    layers = {"conv": (8, 4, 3, 3), "fc": (10, 30), "wide": (90, 10)}  # sums 18, 40, 100; sizes 288, 300, 900
    assert kept(layers, 1 - 158 / 1488, "erk") == {"conv": 18, "fc": 40, "wide": 100}
    assert kept(layers, 1 - 316 / 1488, "erk") == {"conv": 36, "fc": 80, "wide": 200}


def test_erk_counts_the_kernel_and_ignores_the_order_of_the_dimensions():
    # A depthwise 3 x 3 kernel of 16 channels: 16 + 1 + 3 + 3 = 23 of 144; the matrix 10 + 13 = 23 of 130.
    assert kept({"depthwise": (16, 1, 3, 3), "fc": (13, 10)}, 0.75, "erk") == {"depthwise": 34, "fc": 34}
    assert kept({"depthwise": (3, 3, 16, 1), "fc": (10, 13)}, 0.75, "erk") == {"depthwise": 34, "fc": 34}


def test_erk_keeps_layers_dense_that_would_exceed_1_and_rescales_the_rest():
    layers = {"stem": (2, 2), "a": (20, 20), "b": (20, 40)}  # sums 4, 40, 60; sizes 4, 400, 800
    # 304 of 1204 kept: proportional would be 11.7 in the stem; it is full at 4, and 300 go 40 : 60.
    assert kept(layers, 900 / 1204, "erk") == {"stem": 4, "a": 120, "b": 180}
    # 1104 kept: a is full at 400 as well (1100 * 0.4 = 440), so b gets the rest.
    assert kept(layers, 100 / 1204, "erk") == {"stem": 4, "a": 400, "b": 700}


def test_flops_by_hand():
    layers, costs = {"stem": (4, 10), "conv": (10, 20), "fc": (2, 10)}, {"stem": 4000, "conv": 2000, "fc": 20}
    # 100, 10 and 1 multiply-adds a weight; fc is full at 20.
    assert kept(layers, 1 - 31 / 260, "flops", None, costs) == {"stem": 1, "conv": 10, "fc": 20}  # 100 each
    assert kept(layers, 1 - 130 / 260, "flops", None, costs) == {"stem": 10, "conv": 100, "fc": 20}  # 1000 each
    assert kept(layers, 1 - 236 / 260, "flops", None, costs) == {
        "stem": 20,
        "conv": 196,
        "fc": 20,
    }  # 1964 each: 19.6 and 196.4


def test_a_layer_of_another_rate_stands_by_itself():
    layers = {"a": (10, 10), "b": (10, 30), "c": (5, 20)}
    costs = {"a": 700, "b": 2100}  # none needed of c
    for scope in ("erk", "flops"):
        found = kept(layers, 0.5, scope, {"a": 1.0, "c": 0.5}, costs)
        assert found["c"] == 75
        assert found["a"] + found["b"] == 200
    assert kept(layers, 0.5, "erk", {"c": 0.5}) == {"a": 67, "b": 133, "c": 75}  # 20 : 40
    assert kept(layers, 0.5, "flops", {"c": 0.5}, costs) == {"a": 100, "b": 100, "c": 75}  # 7 each


@given(filling, st.integers(0, 240))
def test_spread_is_the_beginning_of_one_sequence(layers, kept):
    """Every weight's time written down, sorted, and the first taken."""
    sizes, speeds = [size for size, _ in layers], [speed for _, speed in layers]
    kept = min(kept, sum(sizes))
    sequence = sorted(((j + HALF) / speed, i) for i, (size, speed) in enumerate(layers) for j in range(size))
    first = [i for _, i in sequence[:kept]]
    assert spread(sizes, speeds, kept) == [first.count(i) for i in range(len(layers))]


@given(networks, st.lists(decimals, min_size=2, max_size=5), st.sampled_from(["erk", "flops"]))
def test_totals_are_exact_counts_nested_and_shares_as_promised(network, sparsities, scope):
    layers, rate, costs = ({name: parts[i] for name, parts in network.items()} for i in range(3))
    sizes = {name: prod(shape) for name, shape in layers.items()}
    shared = [name for name in layers if rate[name] == 1]
    before = sizes
    for sparsity in sorted(sparsities):
        found = kept(layers, sparsity, scope, rate, costs)
        assert found.keys() == sizes.keys()
        assert all(0 <= found[name] <= before[name] for name in layers)  # nested
        before = found
        n = sum(sizes[name] for name in shared)
        assert sum(found[name] for name in shared) == n - pruned_count(n, sparsity, 1)
        for name in layers.keys() - set(shared):
            assert found[name] == sizes[name] - pruned_count(sizes[name], sparsity, rate[name])
        # One level for all: no layer is more than half a weight above it, none that is not full more below.
        unit = {
            name: Fraction(1, sum(layers[name])) if scope == "erk" else Fraction(costs[name], sizes[name])
            for name in shared
            if sizes[name]
        }
        above = max(((found[name] - HALF) * one for name, one in unit.items() if found[name]), default=0)
        below = [(found[name] + HALF) * one for name, one in unit.items() if found[name] < sizes[name]]
        assert above <= min(below, default=above)


def test_mobilenet_spends_its_multiply_adds_evenly():
    model = MobileNetV2((3, 224, 224), 1000)
    costs = multiply_adds(model, (3, 224, 224))
    layers = {name: tuple(model.get_parameter(name).shape) for name in costs}
    sizes = {name: prod(shape) for name, shape in layers.items()}
    found = kept(layers, 0.9, "flops", None, costs)
    assert sum(found.values()) == sum(sizes.values()) - pruned_count(sum(sizes.values()), 0.9, 1)
    each = {name: found[name] * costs[name] // sizes[name] for name in layers}
    level = each["classifier.1.weight"]  # one multiply-add a weight, so without rounding
    for name in layers:
        assert found[name] == sizes[name] or abs(each[name] - level) <= costs[name] / sizes[name]
    assert each["features.1.conv.1.weight"] < costs["features.1.conv.1.weight"] / 10


@pytest.mark.parametrize(
    ("scope", "rates", "costs", "message"),
    [
        ("local", None, None, "scope: no such scope (found 'local'). Take \"global\", \"layerwise\", \"erk\" or"),
        ("erk", {"c": 0.5}, None, "rates: a rate for a layer that has no scores (found 'c'). Layers: a, b."),
        ("erk", {"a": -0.5}, None, "rates.a: a rate is outside [0, 1]"),
        ("flops", None, None, "costs: the scope \"flops\" needs the multiply-adds of each layer. Give costs ="),
        ("flops", None, {"a": 5}, "costs.b: the scope \"flops\" needs the multiply-adds of each layer. Give costs ="),
        ("flops", None, {"a": 5, "b": 0}, "costs.b: a layer without multiply-adds (it is never called)"),
        ("flops", None, {"a": -5, "b": 1}, "costs.a: a layer without multiply-adds"),
        ("flops", None, {"a": float("nan"), "b": 1}, "costs.a: a layer without multiply-adds"),
    ],
)  # fmt: skip
def test_bad_arguments_are_refused(scope, rates, costs, message):
    with pytest.raises(LthError, match=re.escape(message)):
        budget({"a": (2, 3), "b": (3, 4)}, 0.5, scope, rates, costs)


def test_a_layer_that_is_never_called_may_be_given_a_rate():
    assert kept({"a": (10, 10), "idle": (2, 5)}, 0.5, "flops", {"idle": 0}, {"a": 9, "idle": 0}) == {
        "a": 50,
        "idle": 10,
    }
