"""The kernels give the bytes of a plain description, and of each other."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lth.data.kernel import Cut, cut, cut_by_numpy, cut_whole


def kernels() -> list[Cut]:
    found = [cut_by_numpy]
    try:
        from lth.data.kernel_numba import cut_by_numba

        found.append(cut_by_numba)
    except ImportError:
        pass
    return found


def described(image: np.ndarray, top: int, left: int, flip: bool, high: int, wide: int) -> np.ndarray:
    around = 100
    padded = np.pad(image, ((around, around), (around, around), (0, 0)))
    found = padded[around + top : around + top + high, around + left : around + left + wide]
    return found[:, ::-1] if flip else found


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_a_cut_is_a_cut(data: st.DataObject) -> None:
    height, width, high, wide = (data.draw(st.integers(1, 45)) for _ in range(4))
    count = data.draw(st.integers(0, 5))
    images = np.random.default_rng(count).integers(1, 256, (6, height, width, 3), dtype=np.uint8)
    rows = data.draw(st.lists(st.integers(0, 5), min_size=count, max_size=count))
    tops, lefts = (
        np.array(data.draw(st.lists(st.integers(-50, 50), min_size=count, max_size=count)), np.int64) for _ in "tl"
    )
    flips = np.array(data.draw(st.lists(st.booleans(), min_size=count, max_size=count)), np.bool_)
    addresses = np.array([images[row].ctypes.data for row in rows], np.uint64)
    wanted = [
        described(images[row], top, left, flip, high, wide)
        for row, top, left, flip in zip(rows, tops.tolist(), lefts.tolist(), flips.tolist(), strict=True)
    ]
    for kernel in kernels():
        around = np.full((count + 2, high, wide, 3), 77, np.uint8)
        kernel(addresses, height, width, tops, lefts, flips, around[1:-1])
        assert (around[[0, -1]] == 77).all()  # not a byte beside its own
        assert all(np.array_equal(a, b) for a, b in zip(around[1:-1], wanted, strict=True))


def test_whole_images() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 5, 7, 3), dtype=np.uint8)
    out = np.zeros((2, 5, 7, 3), np.uint8)
    cut_whole(np.array([images[2].ctypes.data, images[0].ctypes.data], np.uint64), out)
    assert np.array_equal(out, images[[2, 0]])


def test_without_numba_numpy_does_it() -> None:
    program = (
        "import sys; sys.modules['numba'] = None\n"
        "from lth.data.kernel import cut, cut_by_numpy\n"
        "assert cut() == ('numpy', cut_by_numpy)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_fastest_is_taken() -> None:
    pytest.importorskip("numba")
    assert cut()[0] == "numba"
