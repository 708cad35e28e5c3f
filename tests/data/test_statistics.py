from __future__ import annotations

import subprocess
import sys

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lth.data.normalize import channel_statistics
from lth.data.statistics import pixel_sums, statistics_of_sums


@given(st.integers(1, 12), st.integers(0, 12))
def test_sums_of_parts_add_up_to_the_bits_of_the_whole(n: int, cut: int) -> None:
    images = np.random.default_rng(n).integers(0, 256, (n, 3, 2, 3), dtype=np.uint8)
    parts = [pixel_sums(part) for part in (images[:cut], images[cut:])]
    count = sum(one[0] for one in parts)
    sums, squares = (np.add(parts[0][i], parts[1][i]).tolist() for i in (1, 2))
    mean, deviation = statistics_of_sums(count, sums, squares)
    whole = channel_statistics(images)
    assert (mean, deviation) == (whole[0].tolist(), whole[1].tolist())


def test_sums_are_exact_beyond_float64() -> None:
    # Half the pixels are 0, half are 2: mean and deviation 1, of sums that no float64 holds.
    many = (1 << 60) + 2
    assert statistics_of_sums(many, [many], [2 * many]) == ([1.0], [1.0])
    assert statistics_of_sums(many, [many - 2], [2 * many - 4])[0] == [(many - 2) / many]


def test_torch_is_not_needed() -> None:
    program = "import lth.data.statistics, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
