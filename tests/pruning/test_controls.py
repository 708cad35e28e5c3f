from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lth.errors import LthError
from lth.pruning.controls import inverted_mask, random_mask, shuffled_mask, signed_state
from lth.pruning.mask import Mask
from lth.pruning.threshold import masks


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


def test_devices_are_uniform_within_a_layer():
    halves = [int(shuffled_mask(BIG, seed).tensors["a"][0, :2000].sum()) for seed in range(20)]
    assert abs(sum(halves) - 4000) < 5 * (20 * 90) ** 0.5


def test_golden_places():
    """Pinned: the same draw under every version of NumPy and torch."""
    drawn = shuffled_mask(mask({"a": (16, 4)}), 7).tensors["a"]
    assert drawn.nonzero()[:, 1].tolist() == [2, 8, 9, 14]
    drawn = random_mask(mask({"a": (10, 2), "b": (6, 2)}), 7)
    assert torch.cat([tensor[0] for tensor in drawn.tensors.values()]).nonzero().flatten().tolist() == [6, 13, 14, 15]


values = st.sampled_from([0.0, -0.0, 1.0, -1.0, 2.5, -3.0])
ranked = st.dictionaries(st.sampled_from("abc"), st.lists(st.tuples(values, st.booleans()), max_size=12), max_size=3)


@given(ranked)
def test_inverted_mask_keeps_as_many_of_each_layer_the_smallest(layers):
    weights = {name: torch.tensor([value for value, _ in layer]) for name, layer in layers.items()}
    ticket = Mask({name: torch.tensor([kept for _, kept in layer], dtype=torch.bool) for name, layer in layers.items()})
    found = inverted_mask(ticket, weights)
    for name, layer in layers.items():
        order = sorted(range(len(layer)), key=lambda i, layer=layer: (-abs(layer[i][0]), i))  # largest first
        lost = order[: sum(not kept for _, kept in layer)]
        assert found.tensors[name].tolist() == [i not in lost for i in range(len(layer))]


def test_inverted_twice_is_the_ranking_and_half_a_layer_its_complement():
    scores = {"a": torch.randperm(100, generator=torch.Generator().manual_seed(0)).float().view(10, 10) + 1}
    ticket = masks(scores, [0.5], scope="global")[0.5]
    assert inverted_mask(ticket, scores) == Mask({"a": ~ticket.tensors["a"]})
    assert inverted_mask(ticket, {"a": 1 / scores["a"]}) == ticket


def test_signed_state_takes_signs_and_nothing_else():
    fresh = {"w": torch.tensor([0.1, -0.2, 0.3, -0.0, 0.5]), "b": torch.tensor([1.0]), "n": torch.tensor(7)}
    original = {"w": torch.tensor([-3.0, -1e-45, 0.0, 2.0, 9.0]), "b": torch.tensor([-1.0]), "n": torch.tensor(9)}
    found = signed_state(fresh, original, ["w"])
    torch.testing.assert_close(found["w"], torch.tensor([-0.1, -0.2, 0.3, 0.0, 0.5]), rtol=0, atol=0)
    assert found["b"].equal(torch.tensor([1.0]))
    assert found["n"].equal(torch.tensor(7))
    assert list(found) == list(fresh)
    assert fresh["w"].equal(torch.tensor([0.1, -0.2, 0.3, -0.0, 0.5]))


def test_states_and_scores_that_do_not_fit_are_refused():
    with pytest.raises(LthError, match="w: the two states have no such weight in common"):
        signed_state({"w": torch.ones(2)}, {"w": torch.ones(3)}, ["w"])
    with pytest.raises(LthError, match="v: the two states have no such weight"):
        signed_state({"w": torch.ones(2)}, {"w": torch.ones(2)}, ["v"])
    with pytest.raises(LthError, match="do not name the same layers"):
        inverted_mask(BIG, {"a": torch.ones(1, 4000)})
    with pytest.raises(LthError, match="a: a weight is not a number"):
        inverted_mask(mask({"a": (2, 1)}), {"a": torch.tensor([[1.0, float("nan")]])})
