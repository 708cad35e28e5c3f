"""Effective density through attention."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from lth.models.vit import VisionTransformer
from lth.pruning.effective import effective_density
from lth.pruning.mask import Mask
from lth.pruning.names import convolution_and_linear_weights


def full_mask(model: nn.Module) -> Mask:
    weights = convolution_and_linear_weights(model)
    return Mask({name: torch.ones(value.shape, dtype=torch.bool) for name, value in weights.items()})


def drawn(model: nn.Module, density: float, seed: int) -> Mask:
    generator = torch.Generator().manual_seed(seed)
    full = full_mask(model).tensors.items()
    return Mask({name: torch.rand(tensor.shape, generator=generator) < density for name, tensor in full})


class Attending(nn.Module):
    """Linear layers around torch's attention; `keys` choose packed or separate projections and the batch's place."""

    def __init__(self, **keys):
        super().__init__()
        self.first = nn.Linear(3, 4, bias=False)
        self.attention = nn.MultiheadAttention(4, 2, **keys)
        self.last = nn.Linear(4, 2)

    def forward(self, x):
        x = self.first(x.flatten(2))  # (1, tokens, features)
        return self.last(self.attention(x, x, x)[0])


def attention_by_hand(mask: dict[str, torch.Tensor]) -> int:
    """Live weights of `Attending`, from which features are reached and which are needed."""
    first, last, out = mask["first.weight"], mask["last.weight"], mask["attention.out_proj.weight"]
    query, key, value = mask["attention.in_proj_weight"].chunk(3)
    reached = first.any(1)
    queries, keys, values = ((part & reached).any(1) for part in (query, key, value))
    needed = last.any(0)
    values_needed = (out & needed[:, None]).any(0)
    working = (values & values_needed).unflatten(0, (2, 2)).any(1).repeat_interleave(2)  # heads that pass something on
    live = {
        "query": query & reached & (keys & working)[:, None],
        "key": key & reached & (queries & working)[:, None],
        "value": value & reached & values_needed[:, None],
        "out": out & values & needed[:, None],
    }
    live["last"] = last & (out & values).any(1)
    live["first"] = first & (live["query"] | live["key"] | live["value"]).any(0)[:, None]
    return sum(int(part.count_nonzero()) for part in live.values())


@given(st.sampled_from([0.2, 0.35, 0.5, 0.8]), st.integers(0, 1000), st.booleans())
def test_attention_against_reach_and_need(density, seed, batch_first):
    model = Attending(batch_first=batch_first)
    mask = drawn(model, density, seed)
    expected = attention_by_hand(dict(mask.tensors)) / mask.total
    assert effective_density(model, mask, (5, 1, 3)) == pytest.approx(expected)


def test_separate_projections_count_like_packed_ones():
    packed, apart = Attending(), Attending(kdim=4, vdim=4)
    apart.attention._qkv_same_embed_dim = False
    for letter in "qkv":
        apart.attention.register_parameter(f"{letter}_proj_weight", nn.Parameter(torch.zeros(4, 4)))
    apart.attention.register_parameter("in_proj_weight", None)
    mask = drawn(packed, 0.5, 3)
    parts = dict(mask.tensors)
    for letter, part in zip("qkv", parts.pop("attention.in_proj_weight").chunk(3), strict=True):
        parts[f"attention.{letter}_proj_weight"] = part
    live = effective_density(packed, mask, (5, 1, 3))
    assert 0 < live < mask.density
    assert effective_density(apart, Mask(parts), (5, 1, 3)) == live


@pytest.mark.parametrize("head", [0, 1])
def test_a_vision_transformer_finds_the_dead_rows_and_columns_of_its_projections(head):
    model = VisionTransformer((1, 8, 8), 3, patch=4, dim=8, depth=2, heads=2, mlp=4)
    full, block = full_mask(model), "encoder.layers.encoder_layer_1.self_attention"
    assert effective_density(model, full, (1, 8, 8)) == 1.0

    def without(part: int, rows: slice) -> float:
        cut = dict(full.tensors)
        kept = cut[f"{block}.in_proj_weight"].clone()
        kept.unflatten(0, (3, 8))[part, rows] = False
        cut[f"{block}.in_proj_weight"] = kept
        return full.total * (1 - effective_density(model, Mask(cut), (1, 8, 8)))

    unit, units = slice(4 * head, 4 * head + 1), slice(4 * head, 4 * head + 4)
    query, value = 0, 2
    assert without(query, unit) == pytest.approx(8 + 8)  # the keys of that feature meet no query
    assert without(query, units) == pytest.approx(2 * 32)  # the head averages: its values stay live
    assert without(value, unit) == pytest.approx(8 + 8)  # the column of the output projection behind it
    assert without(value, units) == pytest.approx(4 * 32)  # queries, keys and outputs of a head without values


def test_torchs_own_encoder_and_softmax_attention_written_out():
    class Written(nn.Module):
        def __init__(self):
            super().__init__()
            self.query, self.key, self.value = (nn.Linear(4, 4) for _ in range(3))

        def forward(self, x):
            return (self.query(x) @ self.key(x).mT).softmax(-1) @ self.value(x)

    encoder = nn.TransformerEncoderLayer(4, 2, dim_feedforward=3, batch_first=True)
    model = nn.Sequential(nn.Flatten(2), nn.Linear(4, 4), encoder, Written())
    full = full_mask(model)
    assert effective_density(model, full, (5, 2, 2)) == 1.0
    cut = dict(full.tensors)
    cut["3.query.weight"] = ~cut["3.query.weight"]
    dead = 2 * 16  # queries and keys, but not the values they would have weighed
    assert effective_density(model, Mask(cut), (5, 2, 2)) == pytest.approx(1 - dead / full.total)


def test_deep_transformers_stay_in_range():
    model = VisionTransformer((1, 8, 8), 3, patch=4, dim=16, depth=40, heads=2)
    full, block = full_mask(model), "encoder.layers.encoder_layer_20.mlp"
    cut = Mask({**full.tensors, f"{block}.0.weight": ~full.tensors[f"{block}.0.weight"]})
    dead = 2 * 16 * 64  # an overflow would give gradients that are no numbers, and count dead weights as live
    assert effective_density(model, cut, (1, 8, 8)) == pytest.approx(1 - dead / full.total)
