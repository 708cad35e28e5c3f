from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lth.pruning.controls import random_mask, shuffled_mask
from lth.pruning.mask import Mask


def mask(counts: dict[str, tuple[int, int]]) -> Mask:
    return Mask({name: torch.arange(n).lt(kept).reshape(1, n) for name, (n, kept) in counts.items()})


BIG = mask({"a": (4000, 400), "b": (6000, 60)})

counts = st.dictionaries(
    st.sampled_from("abc"), st.integers(0, 12).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))), max_size=3
)


@given(counts, st.integers(0, 2**63))
def test_shuffled_mask_keeps_as_many_in_every_layer(counts, seed):
    drawn = shuffled_mask(mask(counts), seed)
    assert {name: (tensor.numel(), int(tensor.sum())) for name, tensor in drawn.tensors.items()} == counts


@given(counts, st.integers(0, 2**63))
def test_random_mask_keeps_as_many_in_all(counts, seed):
    drawn = random_mask(mask(counts), seed)
    assert drawn.kept == mask(counts).kept
    assert {name: tensor.shape for name, tensor in drawn.tensors.items()} == {
        name: (1, n) for name, (n, _) in counts.items()
    }


@pytest.mark.parametrize("draw", [shuffled_mask, random_mask])
def test_the_seed_decides_and_the_global_generator_is_left_alone(draw):
    before = torch.get_rng_state()
    assert draw(BIG, 1) == draw(BIG, 1)
    assert draw(BIG, 1) != draw(BIG, 2)
    assert torch.equal(before, torch.get_rng_state())


def test_random_mask_spreads_evenly_over_layers():
    """Hypergeometric: 460 of 10 000 kept, 4000 of them in a; 5 standard deviations are 53."""
    assert abs(int(random_mask(BIG, 0).tensors["a"].sum()) - 184) < 53


def test_places_are_uniform_within_a_layer():
    halves = [int(shuffled_mask(BIG, seed).tensors["a"][0, :2000].sum()) for seed in range(20)]
    assert abs(sum(halves) - 4000) < 5 * (20 * 90) ** 0.5


def test_golden_places():
    """Pinned: the same draw under every version of NumPy and torch."""
    drawn = shuffled_mask(mask({"a": (16, 4)}), 7).tensors["a"]
    assert drawn.nonzero()[:, 1].tolist() == [2, 8, 9, 14]
    drawn = random_mask(mask({"a": (10, 2), "b": (6, 2)}), 7)
    assert torch.cat([tensor[0] for tensor in drawn.tensors.values()]).nonzero().flatten().tolist() == [6, 13, 14, 15]
