from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lth.errors import LthError
from lth.pruning.iterative import next_mask
from lth.pruning.mask import Mask
from lth.pruning.threshold import masks

values = st.sampled_from([0.0, -0.0, 1.0, -1.0, 1e-45, -2.5, 2.5, 3.0, -math.inf])
rates = st.sampled_from([0.0, 0.25, 0.5, 1.0, 1.0, 1.0])
layers = st.dictionaries(
    st.sampled_from("abcd"), st.tuples(st.lists(st.tuples(values, st.booleans()), max_size=13), rates), min_size=1
)


def reference(
    before: dict[str, list[bool]], weights: dict[str, list[float]], rate: float, scope: str, own: dict[str, float]
) -> dict[str, list[bool]]:
    """One weight after the other: of those that are left the smallest goes first, then layer, then index."""
    kept = {name: list(layer) for name, layer in before.items()}
    rest = [name for name in weights if own[name] == 1 and scope == "global"]
    for group in [rest, *[[name] for name in weights if name not in rest]]:
        left = [(abs(weights[name][i]), place, i) for place, name in enumerate(group)
                for i, there in enumerate(before[name]) if there]  # fmt: skip
        share = Fraction(str(rate)) * Fraction(str(own[group[0]] if group else 1)) * len(left)
        for _, place, i in sorted(left)[: math.floor(share + Fraction(1, 2))]:
            kept[group[place]][i] = False
    return kept


@given(layers, st.sampled_from([0.0, 0.1, 0.2, 0.5, 0.99]), st.sampled_from(["global", "layerwise"]))
def test_a_level_equals_the_plain_reference(layers, rate, scope):
    weights = {name: torch.tensor([value for value, _ in layer]) for name, (layer, _) in layers.items()}
    before = {name: [there for _, there in layer] for name, (layer, _) in layers.items()}
    own = {name: value for name, (_, value) in layers.items()}
    mask = Mask({name: torch.tensor(layer, dtype=torch.bool) for name, layer in before.items()})
    found = next_mask(mask, weights, rate, scope, own)
    plain = {name: weight.tolist() for name, weight in weights.items()}
    assert {name: layer.tolist() for name, layer in found.tensors.items()} == reference(before, plain, rate, scope, own)
    assert list(found.tensors) == list(weights)
    assert all(not (found.tensors[name] & ~mask.tensors[name]).any() for name in weights)


@pytest.mark.parametrize("scope", ["global", "layerwise"])
def test_the_first_level_is_the_one_shot_mask(scope):
    generator = torch.Generator().manual_seed(0)
    weights = {name: torch.randn(20, 30, generator=generator) for name in ("a", "b", "output")}
    own = {"output": 0.5}
    expected = masks({n: w.abs() for n, w in weights.items()}, [0.2], scope=scope, rates=own)[0.2]
    assert next_mask(None, weights, 0.2, scope, own) == expected


def test_twenty_levels_of_lenet_follow_the_published_densities():
    """Frankle & Carbin 2019: layers lose 20 %, the output 10 %, of what is left, each level."""
    generator = torch.Generator().manual_seed(0)
    shapes = {"fc1": (300, 784), "fc2": (100, 300), "output": (10, 100)}
    mask, counts = None, {name: math.prod(shape) for name, shape in shapes.items()}
    densities = []
    for _ in range(20):
        weights = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
        mask = next_mask(mask, weights, 0.2, "layerwise", {"output": 0.5})
        for name, own in (("fc1", 5), ("fc2", 5), ("output", 10)):
            counts[name] -= (2 * counts[name] + own) // (2 * own)
        assert {name: int(layer.sum()) for name, layer in mask.tensors.items()} == counts
        densities.append(100 * mask.density)
    published = [80.0, 64.1, 51.3, 41.1, 32.9, 26.4, 21.1, 16.9, 13.5, 10.8, 8.7, 7.0, 5.6, 4.5, 3.6, 2.9, 2.3]
    assert densities[: len(published)] == pytest.approx(published, abs=0.1)


def test_the_weights_and_the_mask_before_are_left_alone():
    weights = {"a": torch.tensor([[3.0, -0.0], [-1.0, 2.0]])}
    before = Mask({"a": torch.tensor([[True, False], [True, True]])})
    assert next_mask(before, weights, 0.34, "global", {}).tensors["a"].tolist() == [[True, False], [False, True]]
    assert before.tensors["a"].tolist() == [[True, False], [True, True]]
    assert weights["a"].tolist() == [[3.0, 0.0], [-1.0, 2.0]]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rate": 1.0}, r"rate: a rate is outside \[0, 1\) \(found 1.0\)"),
        ({"rate": math.nan}, r"rate: a rate is outside \[0, 1\)"),
        ({"scope": "erk"}, r"scope: a level of iterative pruning is ranked .* \(found 'erk'\)\. Take \"global\""),
        ({"scope": "flops"}, r"scope: a level of iterative pruning is ranked"),
        ({"rates": {"b": 0.5}}, r"rates: a rate for a layer that has no scores \(found 'b'\)"),
        ({"before": Mask({"b": torch.ones(2, dtype=torch.bool)})}, r"do not name the same layers \(found \['a', 'b'\]"),
        ({"before": Mask({"a": torch.ones(1, 2, dtype=torch.bool)})}, r"a: the mask before has another shape"),
        ({"weights": {"a": torch.tensor([1.0, math.nan])}}, r"a: a weight is not a number"),
    ],
)
def test_bad_arguments_are_refused(given, message):
    arguments = {"before": None, "weights": {"a": torch.ones(2)}, "rate": 0.2, "scope": "global", "rates": {}} | given
    with pytest.raises(LthError, match=message):
        next_mask(**arguments)
