"""Boxes of resized crops: golden, inside the image, of the shares and ratios asked for; and what is made of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lth.data.augment import Frame, Moves, central, move, moves
from lth.data.boxes import boxes
from lth.data.hashing import hashed, uniform
from lth.data.order import stream_seed
from lth.data.resample import resample
from lth.spec.schema import Augment, Resized

CPU = torch.device("cpu")
IDS = np.array([0, 1, 2, 59999, 2**40])
GOLDEN_BOXES = [[75, 49, 119, 103], [91, 135, 67, 71], [51, 47, 125, 150], [23, 9, 132, 128], [0, 6, 200, 197]]
GOLDEN_WIDE = [[2, 9, 38, 38], [3, 22, 35, 35], [0, 12, 40, 40], [0, 2, 39, 39], [0, 0, 40, 40]]
GOLDEN_CROPS = ([11, 3, 4, 3, 5], [4, 7, 0, 9, 10], [False, True, False, True, False])
GOLDEN_UNIFORM = [
    ["0x1.a29cf7bcb6169p-1", "0x1.d19dd60833fbep-2", "0x1.257413d366a7cp-1"],
    ["0x1.629e67eeb4736p-1", "0x1.ca313cf4f5bbdp-1", "0x1.551a617bf243ap-1"],
]


def test_golden_boxes() -> None:
    draws = hashed(stream_seed(0, "augment-dense"), 5, IDS)
    assert boxes(draws, Resized(), (227, 227)).tolist() == GOLDEN_BOXES
    assert boxes(draws, Resized(scale=(0.5, 1.0), ratio=(1.0, 1.0)), (40, 60)).tolist() == GOLDEN_WIDE


def test_golden_crops_of_larger_images() -> None:
    augment = Augment(crop=4, flip=True)
    drawn = moves(augment, stream_seed(0, "augment-dense"), 5, IDS, CPU, Frame((227, 227), (224, 224)))
    assert drawn is not None
    assert (drawn.rows.tolist(), drawn.columns.tolist(), drawn.flips.tolist()) == GOLDEN_CROPS


def test_golden_uniform_numbers() -> None:
    found = uniform(stream_seed(0, "augment-dense"), 5, IDS[:2], 3)
    assert [[value.hex() for value in row] for row in found.tolist()] == GOLDEN_UNIFORM


@given(st.integers(1, 60), st.integers(1, 60), st.floats(0.01, 1), st.floats(0.2, 1), st.integers(0, 2**32))
def test_boxes_lie_in_the_image(height: int, width: int, least: float, narrow: float, seed: int) -> None:
    resized = Resized(scale=(least, 1.0), ratio=(narrow, 1 / narrow))
    found = boxes(hashed(seed, 3, np.arange(200)), resized, (height, width))
    assert (found[:, :2] >= 0).all()
    assert (found[:, 2:] >= 1).all()
    assert (found[:, 0] + found[:, 2] <= height).all()
    assert (found[:, 1] + found[:, 3] <= width).all()


def test_shares_and_ratios_are_those_asked_for() -> None:
    _, _, high, wide = boxes(hashed(1, 2, np.arange(50_000)), Resized(), (1000, 1000)).T
    share, ratio = high * wide / 1e6, wide / high
    assert share.min() == pytest.approx(0.08, abs=0.001)
    assert share.max() <= 1
    assert (ratio.min(), ratio.max()) == pytest.approx((0.75, 1.3333), abs=0.01)
    assert np.median(ratio) == pytest.approx(1, abs=0.01)  # as even above 1 as below
    small = share < 0.54  # nearly none of these is drawn again
    assert share[small].mean() == pytest.approx(0.31, abs=0.01)


def test_a_box_moves_alike_in_any_batch() -> None:
    whole = boxes(hashed(1, 2, np.arange(40)), Resized(), (30, 40))
    alone = [boxes(hashed(1, 2, np.array([one])), Resized(), (30, 40))[0].tolist() for one in range(40)]
    assert whole.tolist() == alone


def box(*given: int, flip: bool = False) -> Moves:
    zero = torch.zeros(1, dtype=torch.int64)
    return Moves(zero, zero, torch.tensor([flip]), torch.tensor([given]))


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("sides", [(5, 4), (9, 9), (3, 7)])
def test_resampling_is_cropping_then_resizing(flip: bool, sides: tuple[int, int]) -> None:
    x = torch.randint(0, 256, (1, 3, 12, 14), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    made = resample(x, box(2, 3, 6, 7, flip=flip), sides)
    cut = x[:, :, 2:8, 3:10].to(torch.float32)
    wanted = torch.nn.functional.interpolate(cut, sides, mode="bilinear", align_corners=False)
    torch.testing.assert_close(made, wanted.flip(3) if flip else wanted, rtol=0, atol=0.01)
    assert made.dtype == torch.float32


def test_the_whole_image_at_its_size_is_itself() -> None:
    x = torch.randint(0, 256, (1, 3, 12, 14), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(resample(x, box(0, 0, 12, 14), (12, 14)), x.to(torch.float32), rtol=0, atol=0.01)


@pytest.mark.parametrize("last", [False, True])
def test_an_image_has_the_same_bits_in_any_batch(last: bool) -> None:
    x = torch.randint(0, 256, (40, 3, 23, 31), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    drawn = moves(Augment(resized=Resized(), flip=True), 1, 2, np.arange(40), CPU, Frame((23, 31), (17, 17)))
    assert drawn is not None
    whole = resample(x.contiguous(memory_format=torch.channels_last) if last else x, drawn, (17, 17))
    pieces = [resample(x[at : at + 7], drawn[at : at + 7], (17, 17)) for at in range(0, 40, 7)]
    assert torch.equal(whole, torch.cat(pieces))


def test_a_cut_out_of_more_reaches_every_corner() -> None:
    frame = Frame((9, 7), (6, 6))
    drawn = moves(Augment(), 1, 2, np.arange(300), CPU, frame)
    assert drawn is not None
    assert sorted(set(drawn.rows.tolist())) == [0, 1, 2, 3]
    assert sorted(set(drawn.columns.tolist())) == [0, 1]
    x = torch.arange(2 * 9 * 7).view(2, 1, 9, 7).to(torch.uint8)
    made = move(x, drawn[:2], 0, torch.zeros(1, 1, 1), frame.seen)
    for at in range(2):
        top, left = int(drawn.rows[at]), int(drawn.columns[at])
        assert torch.equal(made[at], x[at, :, top : top + 6, left : left + 6])
    assert torch.equal(central(x, (6, 6)), x[:, :, 1:7, 0:6])
