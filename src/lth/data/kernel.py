"""The kernel of the loader: rows of bytes to a batch, cut and flipped in one pass."""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Callable
from functools import cache

import numpy as np

log = logging.getLogger("lth")

CHANNELS = 3
# (addresses uint64 (B,), height, width, tops int64 (B,), lefts int64 (B,), flips bool (B,), out uint8 (B,h,w,3))
Cut = Callable[[np.ndarray, int, int, np.ndarray, np.ndarray, np.ndarray, np.ndarray], None]


def cut_by_numpy(
    addresses: np.ndarray, height: int, width: int, tops: np.ndarray, lefts: np.ndarray, flips: np.ndarray,
    out: np.ndarray,
) -> None:  # fmt: skip
    """Returns nothing; fills `out` with a cut of each image, uint8 (height,width,3), that lies at an address.

    Tops and lefts may be negative and cuts may reach over the end: what lies outside an image is black. A flip
    turns the cut, left to right. The caller keeps the memory at the addresses alive.
    """
    high, wide = out.shape[1:3]
    row, pixels = ctypes.c_uint8 * (height * width * CHANNELS), (height, width, CHANNELS)
    given = zip(addresses.tolist(), tops.tolist(), lefts.tolist(), flips.tolist(), out, strict=True)
    for address, top, left, flip, into in given:
        image = np.ctypeslib.as_array(row.from_address(address)).reshape(pixels)
        first, last = max(0, -top), min(high, height - top)
        begin, end = max(0, -left), min(wide, width - left)
        turned = into[:, ::-1] if flip else into
        if (first, begin, last, end) != (0, 0, high, wide):
            into[...] = 0
        if first < last and begin < end:
            turned[first:last, begin:end] = image[top + first : top + last, left + begin : left + end]


@cache
def cut() -> tuple[str, Cut]:
    """Returns the name of the fastest kernel there is, "numba" or "numpy", and the kernel: both give the same bytes.

    They keep no state and let other threads run (numba) while they copy.
    """
    try:
        from lth.data.kernel_numba import cut_by_numba
    except ImportError as problem:
        log.info("no numba (%s): the loader copies with NumPy, which is slower; pip install 'lth[data]'", problem)
        return "numpy", cut_by_numpy
    return "numba", cut_by_numba


def cut_whole(addresses: np.ndarray, out: np.ndarray) -> None:
    """Returns nothing; fills `out` uint8 (B,h,w,3) with the images of that size that lie at the addresses."""
    high, wide = out.shape[1:3]
    for address, into in zip(addresses.tolist(), out, strict=True):
        ctypes.memmove(into.ctypes.data, address, high * wide * CHANNELS)
