from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from lth.data import statistics
from lth.data.normalize import Normalizer, channel_statistics

CPU = torch.device("cpu")


def images(*shape: int) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, shape, dtype=np.uint8)


def test_statistics_are_those_of_numpy() -> None:
    x = images(40, 9, 7, 3)
    mean, deviation = channel_statistics(x)
    np.testing.assert_allclose(mean, x.mean((0, 1, 2)), rtol=1e-13)
    np.testing.assert_allclose(deviation, x.std((0, 1, 2)), rtol=1e-13)


def test_statistics_do_not_depend_on_pieces(monkeypatch) -> None:
    x = images(30, 5, 5, 2)
    whole = channel_statistics(x)
    monkeypatch.setattr(statistics, "PIECE", 7)
    assert [one.tolist() for one in channel_statistics(x)] == [one.tolist() for one in whole]


def test_a_channel_of_one_colour_becomes_zeros() -> None:
    x = images(6, 4, 4, 2)
    x[..., 1] = 200
    normal = Normalizer.of(x, CPU)(torch.from_numpy(x).permute(0, 3, 1, 2))
    assert torch.isfinite(normal).all()
    assert not normal[:, 1].any()


@given(st.integers(1, 30))
def test_a_batch_changes_no_bit(size: int) -> None:
    x = torch.from_numpy(images(30, 3, 5, 5))
    normalize_images = Normalizer.of(x.permute(0, 2, 3, 1).numpy(), CPU)
    whole = normalize_images(x)
    assert whole.dtype == torch.float32
    assert torch.equal(torch.cat([normalize_images(part) for part in x.split(size)]), whole)
