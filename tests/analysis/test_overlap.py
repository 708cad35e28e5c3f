"""Overlap of masks and agreement of signs, counted weight by weight."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lth.analysis.overlap import mask_overlap, sign_agreement
from lth.errors import LthError
from lth.pruning.controls import shuffled_mask
from lth.pruning.mask import Mask

SHAPES = {"a.weight": (4, 5), "b.weight": (3, 2, 2)}
Bits = dict[str, list[bool]]
bits = st.fixed_dictionaries({name: st.lists(st.booleans(), min_size=20, max_size=20) for name in SHAPES})


def mask(values: Bits) -> Mask:
    return Mask(
        {name: torch.tensor(row[: int(np.prod(SHAPES[name]))]).reshape(SHAPES[name]) for name, row in values.items()}
    )


@given(bits, bits)
def test_overlap_is_that_of_the_sets_of_kept_weights(first: Bits, second: Bits) -> None:
    a, b = mask(first), mask(second)
    found = mask_overlap(a, b)
    kept = [
        {(name, i) for name, one in side.tensors.items() for i, bit in enumerate(one.flatten().tolist()) if bit}
        for side in (a, b)
    ]
    both, either = kept[0] & kept[1], kept[0] | kept[1]
    assert (found.total.both, found.total.either) == (len(both), len(either))
    assert found.total.iou == (len(both) / len(either) if either else 1.0)
    for name in SHAPES:
        wanted = [{one for one in side if one[0] == name} for side in kept]
        assert (found.layers[name].both, found.layers[name].either) == (
            len(wanted[0] & wanted[1]), len(wanted[0] | wanted[1]),
        )  # fmt: skip
    assert mask_overlap(b, a) == found
    assert 0 <= found.total.by_chance <= 1
    assert mask_overlap(a, a).total.iou == 1.0


def test_chance_is_what_shuffled_masks_share() -> None:
    draw = torch.Generator().manual_seed(0)
    a = Mask({"a": torch.rand(40, 50, generator=draw) < 0.1, "b": torch.rand(30, 10, generator=draw) < 0.6})
    b = Mask({"a": torch.rand(40, 50, generator=draw) < 0.3, "b": torch.rand(30, 10, generator=draw) < 0.5})
    shuffles = [mask_overlap(a, shuffled_mask(b, seed)) for seed in range(200)]
    expected = mask_overlap(a, b)
    assert np.mean([one.total.both for one in shuffles]) == pytest.approx(expected.total.expected, rel=0.01)
    for name in ("a", "b"):
        assert np.mean([one.layers[name].iou for one in shuffles]) == pytest.approx(
            expected.layers[name].by_chance, rel=0.02
        )


def test_signs_are_compared_where_every_mask_keeps_the_weight() -> None:
    first = {"w": torch.tensor([1.0, -1.0, 2.0, -3.0, 0.0, 5.0]), "b": torch.ones(3)}
    second = {"w": torch.tensor([0.1, 1.0, 3.0, -0.5, 0.0, -1.0]), "b": -torch.ones(3)}
    one = Mask({"w": torch.tensor([1, 1, 1, 0, 1, 0]).bool()})
    other = Mask({"w": torch.tensor([1, 1, 0, 1, 1, 1]).bool()})
    assert sign_agreement(first, second, [one]) == 3 / 4  # a weight of 0 agrees with 0 alone
    assert sign_agreement(first, second, [one, other]) == 2 / 3
    none = Mask({"w": torch.zeros(6).bool()})
    assert sign_agreement(first, second, [one, none]) == 1.0
    assert mask_overlap(none, none).total.iou == mask_overlap(none, none).total.by_chance == 1.0


def test_other_weights_are_refused() -> None:
    one = Mask({"w": torch.ones(3).bool()})
    with pytest.raises(LthError, match="not the same weights"):
        mask_overlap(one, Mask({"v": torch.ones(3).bool()}))
    with pytest.raises(LthError, match="not the same weights"):
        mask_overlap(one, Mask({"w": torch.ones(4).bool()}))
    with pytest.raises(LthError, match="not the same weights"):
        sign_agreement({"w": torch.ones(3)}, {"w": torch.ones(4)}, [one])
