from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lth.data.augment import mix, move, moves
from lth.data.order import stream_seed
from lth.spec.schema import Augment

CPU = torch.device("cpu")
BOTH = Augment(crop=4, flip=True)


def test_mix_is_splitmix64() -> None:
    # The first outputs of SplitMix64 from state 0, as published with the xoshiro generators.
    states = np.uint64(0x9E3779B97F4A7C15) * np.arange(1, 4, dtype=np.uint64)
    assert [hex(value) for value in mix(states)] == ["0xe220a8397b1dcdaf", "0x6e789e6aa1b965f4", "0x6c45d188009454f"]


def test_golden_moves() -> None:
    drawn = moves(BOTH, stream_seed(0, "augment-dense"), 5, np.array([0, 1, 2, 59999, 2**40]), CPU)
    assert drawn is not None
    assert drawn.rows.tolist() == [8, 2, 3, 2, 4]
    assert drawn.columns.tolist() == [3, 5, 0, 6, 7]
    assert drawn.flips.tolist() == [False, True, False, True, False]


def test_off_means_none() -> None:
    assert moves(Augment(), 1, 2, np.arange(3), CPU) is None


@pytest.mark.parametrize("augment", [Augment(crop=3), Augment(flip=True)])
def test_one_without_the_other(augment: Augment) -> None:
    drawn = moves(augment, 1, 2, np.arange(200), CPU)
    assert drawn is not None
    assert bool(drawn.flips.any()) is augment.flip
    assert int(drawn.rows.max()) == int(drawn.columns.max()) == 2 * augment.crop


@given(st.integers(0, 2**63 - 1), st.integers(0, 10_000), st.lists(st.integers(0, 2**40), min_size=1, max_size=9))
def test_an_image_moves_alike_in_any_batch(seed: int, epoch: int, ids: list[int]) -> None:
    batch = moves(BOTH, seed, epoch, np.array(ids), CPU)
    assert batch is not None
    for at, one in enumerate(ids):
        alone = moves(BOTH, seed, epoch, np.array([one]), CPU)
        assert alone is not None
        for name in ("rows", "columns", "flips"):
            assert getattr(alone, name)[0] == getattr(batch, name)[at]


def test_moves_are_even_and_unrelated() -> None:
    n = 90_000
    ids = np.arange(n)
    first, later, other = (moves(BOTH, seed, epoch, ids, CPU) for seed, epoch in ((1, 0), (1, 1), (2, 0)))
    assert first is not None
    for one in (later, other):
        assert one is not None
        assert 0.10 < (first.rows == one.rows).double().mean() < 0.122  # 1 in 9 by chance
    assert abs(first.flips.double().mean() - 0.5) < 0.01
    joint = torch.bincount((first.rows * 9 + first.columns) * 2 + first.flips, minlength=162).double()
    expected = n / 162
    assert ((joint - expected) ** 2 / expected).sum() < 250  # chi-square of 161 degrees of freedom: mean 161, sd 18


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("crop", [0, 1, 3])
@pytest.mark.parametrize("shape", [(7, 1, 4, 6), (5, 3, 6, 4)])
def test_move_is_crop_of_the_padded_image_then_flip(dtype: torch.dtype, crop: int, shape: tuple[int, ...]) -> None:
    x = (torch.arange(torch.Size(shape).numel()) % 251).view(shape).to(dtype)
    drawn = moves(Augment(crop=crop, flip=True), 3, 1, np.arange(shape[0]), CPU)
    assert drawn is not None
    border = torch.arange(90, 90 + shape[1])[:, None, None].to(dtype)
    moved = move(x, drawn, crop, border)
    assert moved.dtype == dtype
    assert moved.is_contiguous()
    assert drawn.flips.any()
    assert not drawn.flips.all()
    for image, result, row, column, flip in zip(x, moved, drawn.rows, drawn.columns, drawn.flips, strict=True):
        expected = border.expand(-1, shape[2] + 2 * crop, shape[3] + 2 * crop).clone()
        expected[:, crop : crop + shape[2], crop : crop + shape[3]] = image
        expected = expected[:, row : row + shape[2], column : column + shape[3]]
        assert torch.equal(result, expected.flip(2) if flip else expected)


def test_move_leaves_its_input_alone() -> None:
    x = torch.rand(4, 3, 5, 5)
    before = x.clone()
    drawn = moves(BOTH, 0, 0, np.arange(4), CPU)
    assert drawn is not None
    move(x, drawn, 4, torch.zeros(3, 1, 1))
    assert torch.equal(x, before)
