from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lth.data.splits import split
from lth.errors import DataError
from lth.spec.schema import Data, Validation


def data(split_seed: int = 0, **validation: float) -> Data:
    return Data(source="digits", batch_size=1, split_seed=split_seed, validation=Validation.model_validate(validation))


def test_golden_split() -> None:
    drawn = split(20, data(3, count=6), 0)
    assert drawn.validation.tolist() == [1, 3, 6, 10, 17, 18]
    assert drawn.train.tolist() == [0, 2, 4, 5, 7, 8, 9, 11, 12, 13, 14, 15, 16, 19]


@given(st.integers(2, 400), st.integers(0, 2**31 - 1), st.integers(0, 50), st.data())
def test_every_id_stands_in_exactly_one_part(n: int, split_seed: int, seed: int, draw: st.DataObject) -> None:
    drawn = split(n, data(split_seed, count=draw.draw(st.integers(1, n - 1))), seed)
    assert sorted([*drawn.train, *drawn.validation]) == list(range(n))
    for part in (drawn.train, drawn.validation):
        assert part.dtype == np.int64
        assert np.all(np.diff(part) > 0)


def test_seeds_do_not_move_the_split_but_split_seed_does() -> None:
    splits = [split(500, data(fraction=0.2), seed).validation for seed in range(4)]
    assert all(np.array_equal(splits[0], other) for other in splits)
    assert not np.array_equal(splits[0], split(500, data(1, fraction=0.2), 0).validation)


@given(st.integers(2, 9), st.integers(9, 200), st.integers(0, 1000))
def test_folds_are_disjoint_cover_everything_and_come_round(folds: int, n: int, first: int) -> None:
    parts = [split(n, data(folds=folds), first + fold).validation for fold in range(folds)]
    assert sorted(np.concatenate(parts)) == list(range(n))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert np.array_equal(parts[0], split(n, data(folds=folds), first + folds).validation)


@pytest.mark.parametrize(
    ("fraction", "n", "expected"), [(0.1, 60000, 6000), (0.15, 70, 11), (0.15, 50, 8), (0.3, 11, 3)]
)
def test_fractions_round_half_up_on_the_decimal_as_written(fraction: float, n: int, expected: int) -> None:
    assert len(split(n, data(fraction=fraction), 0).validation) == expected


@pytest.mark.parametrize("validation", [{"fraction": 0.1}, {"count": 4}, {"count": 9}, {"folds": 5}, {"fraction": 0.9}])
def test_nothing_left_for_one_part_is_an_error(validation: dict[str, float]) -> None:
    with pytest.raises(DataError, match=r"^data\.validation"):
        split(4, data(**validation), 0)
